//! `SnapshotPolicy`: decides when a snapshot is due and how much log to drop, as a pure function.

use crate::entry_sizes::EntrySizes;

/// When to save a snapshot of a shard's state machine, and how much log to keep behind it.
///
/// A policy holds no state and does nothing: [`SnapshotPolicy::decide`] takes a [`ShardStatus`], and returns what to do
/// and why. The defaults are etcd's, and so is the rule that a snapshot is due when *more* was applied than a number.
/// Fields are assigned after [`default`](Default::default).
///
/// # Example
/// ```
/// use logboom_rsm::{EntrySizes, SnapshotPolicy, ShardStatus, Trigger};
///
/// let policy = SnapshotPolicy::default();
/// let log = EntrySizes::default();
/// let mut status = ShardStatus::new(1, &log);
/// status.applied = Some(10_000);
/// assert_eq!(policy.decide(&status).snapshot, None);
/// status.applied = Some(10_001);
/// assert_eq!(policy.decide(&status).snapshot, Some(Trigger::Entries { count: 10_001 }));
///
/// status.saved = Some(10_001); // it was saved
/// let compaction = policy.decide(&status).compaction.unwrap();
/// assert_eq!(compaction.through, 5_001);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotPolicy {
    /// A snapshot is due when more than this many entries were applied since the last one, as with etcd's
    /// `SnapshotCount`: with 0 after each. `None` for never by their number. Default: 10,000.
    pub every_entries: Option<u64>,
    /// A snapshot is due when entries of more than this many bytes of payload and context were applied since the last
    /// one. Default: `None`, never by their bytes.
    pub every_bytes: Option<u64>,
    /// Entries up to and including the snapshot's index that stay in the log, so that a follower that is a little
    /// behind needs no snapshot. Default: 5,000.
    pub keep_entries: u64,
    /// Compaction waits until it drops at least this many entries, since it costs a record in the log. Zero counts as
    /// one. Default: 64.
    pub compact_entries_min: u64,
    /// The most bytes of payload and context that applied entries may take in the log. Beyond it holds are overridden,
    /// only entries without a snapshot stay, and a snapshot is due when those alone exceed the cap. The log is then
    /// compacted to seven eighths of the cap, to avoid a compaction for each entry. `None` for no cap: then one dead
    /// follower keeps the log for ever. Default: 1 GiB.
    pub log_bytes_max: Option<u64>,
}

/// The input of [`SnapshotPolicy::decide`]: the state of a shard.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShardStatus<'s> {
    /// The log's first index, or where it continues if it is empty.
    pub first: u64,
    /// The last index that was applied; `None` before the first.
    pub applied: Option<u64>,
    /// The index of the newest durable state, in a registered snapshot or in a machine that keeps its own; `None` if
    /// there is none.
    pub saved: Option<u64>,
    /// Whether a snapshot is being saved now; then no other is due.
    pub saving: bool,
    /// The holds on the log.
    pub holds: &'s [Hold],
    /// The bytes of the entries.
    pub log: &'s EntrySizes,
}

/// A hold: a follower or a lease needs the log from an index on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hold {
    /// The first index that must stay.
    pub needs: u64,
    /// Who needs it.
    pub holder: Holder,
}

/// Who needs the log: see [`Hold`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Holder {
    /// A follower, by the number that the application gave it.
    Follower(u64),
    /// A reader of the snapshot of this index, which continues with the entries behind it.
    Lease(u64),
}

/// The result of [`SnapshotPolicy::decide`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// Save a snapshot of the applied state, for this reason.
    pub snapshot: Option<Trigger>,
    /// Drop a prefix of the log.
    pub compaction: Option<Compaction>,
    /// The lowest hold that keeps more of the log than the policy asks for.
    pub held_by: Option<Hold>,
}

/// Why a snapshot is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trigger {
    /// Entries of this many bytes were applied since the last one.
    Bytes {
        /// Their payload and context.
        bytes: u64,
    },
    /// This many entries were applied since the last one.
    Entries {
        /// Their number.
        count: u64,
    },
    /// The log exceeds its cap, even without all entries that the last snapshot covers.
    LogBytes {
        /// Payload and context of the applied entries in the log.
        bytes: u64,
    },
    /// It was asked for.
    Request,
}

/// A prefix of the log to drop.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// The last index to drop (inclusive); never above the applied or the saved index.
    pub through: u64,
    /// The bytes of payload and context of the applied entries in the log if they exceed the cap; then
    /// [`SnapshotPolicy::keep_entries`] and [`Compaction::overridden`] are ignored.
    pub over_cap: Option<u64>,
    /// The holds that are ignored, lowest first. A lease among them still keeps its snapshot; its reader will need a
    /// newer snapshot to continue.
    pub overridden: Vec<Hold>,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self {
            every_entries: Some(10_000),
            every_bytes: None,
            keep_entries: 5_000,
            compact_entries_min: 64,
            log_bytes_max: Some(1 << 30),
        }
    }
}

impl<'s> ShardStatus<'s> {
    /// A shard whose log begins at `first`, with no entry applied, saved or held.
    pub fn new(first: u64, log: &'s EntrySizes) -> Self {
        Self { first, applied: None, saved: None, saving: false, holds: &[], log }
    }

    /// The applied entries behind what is saved, as a half-open range.
    fn unsaved(&self) -> std::ops::Range<u64> {
        let start = self.saved.map_or(self.first, |saved| saved.saturating_add(1));
        start..self.applied.map_or(start, |applied| applied.saturating_add(1)).max(start)
    }

    /// The bytes of the applied entries in the log.
    fn log_bytes(&self) -> u64 {
        self.applied.map_or(0, |applied| self.log.bytes(self.first..applied.saturating_add(1)))
    }
}

impl SnapshotPolicy {
    /// Decides what to do for a shard in this state.
    pub fn decide(&self, status: &ShardStatus<'_>) -> Decision {
        let (compaction, held_by) = self.compaction(status);
        Decision { snapshot: self.trigger(status), compaction, held_by }
    }

    fn trigger(&self, status: &ShardStatus<'_>) -> Option<Trigger> {
        let unsaved = status.unsaved();
        if status.saving || unsaved.is_empty() {
            return None;
        }
        let count = unsaved.end - unsaved.start;
        if self.every_entries.is_some_and(|every| count > every) {
            return Some(Trigger::Entries { count });
        }
        let bytes = status.log.bytes(unsaved);
        if self.every_bytes.is_some_and(|every| bytes > every) {
            return Some(Trigger::Bytes { bytes });
        }
        let over_cap = self.log_bytes_max.is_some_and(|cap| bytes > cap);
        over_cap.then(|| Trigger::LogBytes { bytes: status.log_bytes() })
    }

    fn compaction(&self, status: &ShardStatus<'_>) -> (Option<Compaction>, Option<Hold>) {
        let Some(limit) = status.saved.min(status.applied) else { return (None, None) };
        // One past the last entry to drop, so that an empty prefix can be expressed too.
        let wished = limit.saturating_add(1).saturating_sub(self.keep_entries);
        let lowest = status.holds.iter().min().copied();
        let held = lowest.map_or(wished, |hold| wished.min(hold.needs));
        let bytes = status.log_bytes();
        let forced = match self.log_bytes_max.filter(|cap| bytes > *cap) {
            Some(cap) => status.log.end_of(status.first, bytes - (cap - cap / 8)).min(limit.saturating_add(1)),
            None => 0,
        };
        let end = held.max(forced);
        let held_by = lowest.filter(|hold| hold.needs < wished && hold.needs >= end && wished > status.first);
        if end <= status.first || (forced <= held && end - status.first < self.compact_entries_min.max(1)) {
            return (None, held_by);
        }
        let mut overridden: Vec<Hold> = status.holds.iter().filter(|hold| hold.needs < end).copied().collect();
        overridden.sort_unstable();
        (Some(Compaction { through: end - 1, over_cap: (forced > held).then_some(bytes), overridden }), held_by)
    }
}
