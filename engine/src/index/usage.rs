//! What of each segment is live, and which shards have entries in it: what compacting frees, and reclaiming moves.

use std::collections::BTreeMap;

use logboom_wal::{
    SegmentId,
    mutants::{self, Mutant},
};
use parking_lot::Mutex;

use crate::types::{
    delta::{Amount, Delta},
    ids::ShardId,
};

/// The live entries of every segment.
///
/// A segment without any is dead as soon as both checkpoints reflect the rest of what it holds, and what freed it is
/// durable.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    segments: Mutex<BTreeMap<SegmentId, Tally>>,
}

#[derive(Debug, Default)]
struct Tally {
    live: Amount,
    /// The commit group of the operation that last freed entries here: until it is durable, a crash brings them back.
    freed_by: u64,
    /// Shards with entries here whose places are with the shard; cleared by sealing. May repeat.
    touched: Vec<ShardId>,
}

impl Tallies {
    /// Counts a batch that was written to `segment` as `group`, or entries that moved there, group 0. Returns whether
    /// that left a segment without live entries.
    pub(crate) fn apply(&self, segment: SegmentId, group: u64, delta: &Delta) -> bool {
        let mut segments = self.segments.lock();
        let mut freed = false;
        if delta.appended.entries > 0 {
            let tally = segments.entry(segment).or_default();
            tally.live.add(delta.appended);
            tally.touched.extend_from_slice(&delta.touched);
        }
        for (segment, amount) in &delta.freed {
            let tally = segments.entry(*segment).or_default();
            let is_there = tally.live.entries >= amount.entries && tally.live.bytes >= amount.bytes;
            debug_assert!(is_there, "segment {segment}: {amount:?} of {:?} freed", tally.live);
            tally.live.subtract(*amount);
            tally.freed_by = tally.freed_by.max(group);
            freed |= tally.live.entries == 0;
        }
        freed
    }

    /// Counts entries that recovery found.
    pub(crate) fn found(&self, segment: SegmentId, amount: Amount, recent: Option<ShardId>) {
        let mut segments = self.segments.lock();
        let tally = segments.entry(segment).or_default();
        tally.live.add(amount);
        tally.touched.extend(recent);
    }

    /// The shards that have places in `segment` in memory, sorted.
    pub(crate) fn touched(&self, segment: SegmentId) -> Vec<ShardId> {
        let mut segments = self.segments.lock();
        let Some(tally) = segments.get_mut(&segment) else { return Vec::new() };
        tally.touched.sort_unstable();
        tally.touched.dedup();
        tally.touched.clone()
    }

    /// Forgets which shards have places in `segment`: its footer has them now.
    pub(crate) fn sealed(&self, segment: SegmentId) {
        if let Some(tally) = self.segments.lock().get_mut(&segment) {
            tally.touched = Vec::new();
        }
    }

    /// Whether no shard has places in `segment` in memory: all are in its footer.
    pub(crate) fn is_sealed(&self, segment: SegmentId) -> bool {
        self.segments.lock().get(&segment).is_none_or(|tally| tally.touched.is_empty())
    }

    /// Whether no entry in `segment` is live, and none can come back: groups up to `durable` are durable.
    pub(crate) fn is_dead(&self, segment: SegmentId, durable: u64) -> bool {
        let early = mutants::is_on(Mutant::RetiredEarly);
        let is_dead = |tally: &Tally| tally.live.entries == 0 && (tally.freed_by <= durable || early);
        self.segments.lock().get(&segment).is_none_or(is_dead)
    }

    /// Whether no entry in `segment` is live; a crash may still bring some back.
    pub(crate) fn is_free(&self, segment: SegmentId) -> bool {
        self.segments.lock().get(&segment).is_none_or(|tally| tally.live.entries == 0)
    }

    pub(crate) fn live(&self, segment: SegmentId) -> Amount {
        self.segments.lock().get(&segment).map_or(Amount::default(), |tally| tally.live)
    }

    pub(crate) fn forget(&self, segment: SegmentId) {
        self.segments.lock().remove(&segment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_dead_when_what_freed_it_is_durable() {
        let (tallies, segment) = (Tallies::default(), SegmentId(3));
        let mut delta = Delta::default();
        delta.append(Amount::new(5, 500));
        delta.touch(ShardId(9));
        delta.touch(ShardId(9));
        tallies.apply(segment, 1, &delta);
        assert_eq!(tallies.touched(segment), [ShardId(9)]);
        assert!(!tallies.is_dead(segment, 1));

        delta.clear();
        delta.free(segment, Amount::new(2, 300));
        delta.free(segment, Amount::new(3, 200));
        delta.free(segment, Amount::default());
        assert_eq!(delta.freed, [(segment, Amount::new(5, 500))]);
        tallies.apply(SegmentId(4), 7, &delta);
        assert!(tallies.is_free(segment));
        assert!(!tallies.is_dead(segment, 6), "a crash would undo what freed it");
        assert!(tallies.is_dead(segment, 7));
        assert!(tallies.is_dead(SegmentId(99), 0), "nothing was ever appended there");
    }
}
