//! How many live entries each segment holds, and which shards have entries in it: what compacting frees.

use std::collections::BTreeMap;

use logboom_wal::{
    SegmentId,
    mutants::{self, Mutant},
};
use parking_lot::Mutex;

use crate::ShardId;

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
    live: u64,
    /// The commit group of the operation that last freed entries here: until it is durable, a crash brings them back.
    freed_by: u64,
    /// Shards with entries here whose places are with the shard; cleared by sealing. May repeat.
    touched: Vec<ShardId>,
}

/// What one batch changes, collected while it is applied, so that the tallies are locked once.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    appended: u64,
    touched: Vec<ShardId>,
    pub(crate) freed: Vec<(SegmentId, u64)>,
}

impl Delta {
    pub(crate) fn append(&mut self, count: u64) {
        self.appended += count;
    }

    /// Notes that `shard` has its first places in the segment that is written.
    pub(crate) fn touch(&mut self, shard: ShardId) {
        self.touched.push(shard);
    }

    pub(crate) fn free(&mut self, segment: SegmentId, count: u64) {
        match self.freed.last_mut() {
            _ if count == 0 => {}
            Some(last) if last.0 == segment => last.1 += count,
            _ => self.freed.push((segment, count)),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.appended = 0;
        self.touched.clear();
        self.freed.clear();
    }
}

impl Tallies {
    /// Counts a batch that was written to `segment` as `group`. Returns whether that left a segment without live
    /// entries.
    pub(crate) fn apply(&self, segment: SegmentId, group: u64, delta: &Delta) -> bool {
        let mut segments = self.segments.lock();
        let mut freed = false;
        if delta.appended > 0 {
            let tally = segments.entry(segment).or_default();
            tally.live += delta.appended;
            tally.touched.extend_from_slice(&delta.touched);
        }
        for (segment, count) in &delta.freed {
            let tally = segments.entry(*segment).or_default();
            debug_assert!(tally.live >= *count, "segment {segment}: {count} of {} entries freed", tally.live);
            tally.live = tally.live.saturating_sub(*count);
            tally.freed_by = tally.freed_by.max(group);
            freed |= tally.live == 0;
        }
        freed
    }

    /// Counts entries that recovery found.
    pub(crate) fn found(&self, segment: SegmentId, count: u64, recent: Option<ShardId>) {
        let mut segments = self.segments.lock();
        let tally = segments.entry(segment).or_default();
        tally.live = tally.live.saturating_add(count);
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

    /// Whether no entry in `segment` is live, and none can come back: groups up to `durable` are durable.
    pub(crate) fn is_dead(&self, segment: SegmentId, durable: u64) -> bool {
        let early = mutants::is_on(Mutant::RetiredEarly);
        let is_dead = |tally: &Tally| tally.live == 0 && (tally.freed_by <= durable || early);
        self.segments.lock().get(&segment).is_none_or(is_dead)
    }

    /// Whether no entry in `segment` is live; a crash may still bring some back.
    pub(crate) fn is_free(&self, segment: SegmentId) -> bool {
        self.segments.lock().get(&segment).is_none_or(|tally| tally.live == 0)
    }

    pub(crate) fn live(&self, segment: SegmentId) -> u64 {
        self.segments.lock().get(&segment).map_or(0, |tally| tally.live)
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
        delta.append(5);
        delta.touch(ShardId(9));
        delta.touch(ShardId(9));
        tallies.apply(segment, 1, &delta);
        assert_eq!(tallies.touched(segment), [ShardId(9)]);
        assert!(!tallies.is_dead(segment, 1));

        delta.clear();
        delta.free(segment, 2);
        delta.free(segment, 3);
        delta.free(segment, 0);
        assert_eq!(delta.freed, [(segment, 5)]);
        tallies.apply(SegmentId(4), 7, &delta);
        assert!(tallies.is_free(segment));
        assert!(!tallies.is_dead(segment, 6), "a crash would undo what freed it");
        assert!(tallies.is_dead(segment, 7));
        assert!(tallies.is_dead(SegmentId(99), 0), "nothing was ever appended there");
    }
}
