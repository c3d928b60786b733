//! The segment usage table: how much of each segment is live, and which shards have entries in it.

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
/// A segment without live entries is dead when both checkpoints reflect its other records, and the operation that freed
/// the last entry is durable.
#[derive(Debug, Default)]
pub(crate) struct UsageTable {
    segments: Mutex<BTreeMap<SegmentId, SegmentUsage>>,
}

#[derive(Debug, Default)]
struct SegmentUsage {
    live: Amount,
    /// The commit group of the operation that last freed entries here: until it is durable, a crash undoes it.
    freed_by: u64,
    /// The shards that have places of entries here in memory; may repeat. Sealing clears it.
    touched: Vec<ShardId>,
}

impl UsageTable {
    /// Counts a batch that was written to `segment` in `group`, or entries that were moved there (group 0). Returns
    /// whether a segment was left without live entries.
    pub(crate) fn apply(&self, segment: SegmentId, group: u64, delta: &Delta) -> bool {
        let mut segments = self.segments.lock();
        let mut freed = false;
        if delta.appended.entries > 0 {
            let usage = segments.entry(segment).or_default();
            usage.live.add(delta.appended);
            usage.touched.extend_from_slice(&delta.touched);
        }
        for (segment, amount) in &delta.freed {
            let usage = segments.entry(*segment).or_default();
            let is_there = usage.live.entries >= amount.entries && usage.live.bytes >= amount.bytes;
            debug_assert!(is_there, "segment {segment}: {amount:?} of {:?} freed", usage.live);
            usage.live.subtract(*amount);
            usage.freed_by = usage.freed_by.max(group);
            freed |= usage.live.entries == 0;
        }
        freed
    }

    /// Counts entries that recovery found.
    pub(crate) fn add_recovered(&self, segment: SegmentId, amount: Amount, unsealed: Option<ShardId>) {
        let mut segments = self.segments.lock();
        let usage = segments.entry(segment).or_default();
        usage.live.add(amount);
        usage.touched.extend(unsealed);
    }

    /// The shards that have places in `segment` in memory, sorted.
    pub(crate) fn touched(&self, segment: SegmentId) -> Vec<ShardId> {
        let mut segments = self.segments.lock();
        let Some(usage) = segments.get_mut(&segment) else { return Vec::new() };
        usage.touched.sort_unstable();
        usage.touched.dedup();
        usage.touched.clone()
    }

    /// The footer of `segment` has the places from now on: no shard has them in memory.
    pub(crate) fn set_sealed(&self, segment: SegmentId) {
        if let Some(usage) = self.segments.lock().get_mut(&segment) {
            usage.touched = Vec::new();
        }
    }

    /// Whether no shard has places in `segment` in memory.
    pub(crate) fn is_sealed(&self, segment: SegmentId) -> bool {
        self.segments.lock().get(&segment).is_none_or(|usage| usage.touched.is_empty())
    }

    /// Whether no entry in `segment` is live, and no crash can undo that; groups up to `durable` are durable.
    pub(crate) fn is_dead(&self, segment: SegmentId, durable: u64) -> bool {
        let early = mutants::is_on(Mutant::RetiredEarly);
        let is_dead = |usage: &SegmentUsage| usage.live.entries == 0 && (usage.freed_by <= durable || early);
        self.segments.lock().get(&segment).is_none_or(is_dead)
    }

    /// Whether no entry in `segment` is live. A crash may still undo that: see [`UsageTable::is_dead`].
    pub(crate) fn is_free(&self, segment: SegmentId) -> bool {
        self.segments.lock().get(&segment).is_none_or(|usage| usage.live.entries == 0)
    }

    pub(crate) fn live(&self, segment: SegmentId) -> Amount {
        self.segments.lock().get(&segment).map_or(Amount::default(), |usage| usage.live)
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
        let (usage, segment) = (UsageTable::default(), SegmentId(3));
        let mut delta = Delta::default();
        delta.append(Amount::new(5, 500));
        delta.touch(ShardId(9));
        delta.touch(ShardId(9));
        usage.apply(segment, 1, &delta);
        assert_eq!(usage.touched(segment), [ShardId(9)]);
        assert!(!usage.is_dead(segment, 1));

        delta.clear();
        delta.free(segment, Amount::new(2, 300));
        delta.free(segment, Amount::new(3, 200));
        delta.free(segment, Amount::default());
        assert_eq!(delta.freed, [(segment, Amount::new(5, 500))]);
        usage.apply(SegmentId(4), 7, &delta);
        assert!(usage.is_free(segment));
        assert!(!usage.is_dead(segment, 6), "a crash would undo what freed it");
        assert!(usage.is_dead(segment, 7));
        assert!(usage.is_dead(SegmentId(99), 0), "nothing was ever appended there");
    }
}
