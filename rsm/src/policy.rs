//! When a snapshot is due, and how much of the log may go: pure decisions, made from numbers.

use crate::account::Account;

/// When to save a snapshot of a shard's state machine, and how much log to keep behind it.
///
/// A policy holds no state and does nothing: [`SnapshotPolicy::decide`] takes how things stand, and says what to do
/// and why. The defaults are etcd's, and so is the rule that a snapshot is due when *more* was applied than a number.
///
/// # Example
/// ```
/// use logboom_rsm::{Account, SnapshotPolicy, Standing, Trigger};
///
/// let policy = SnapshotPolicy::default();
/// let log = Account::default();
/// let mut standing = Standing::new(1, &log);
/// standing.applied = Some(10_000);
/// assert_eq!(policy.decide(&standing).snapshot, None);
/// standing.applied = Some(10_001);
/// assert_eq!(policy.decide(&standing).snapshot, Some(Trigger::Entries { count: 10_001 }));
///
/// standing.saved = Some(10_001); // it was saved
/// let compaction = policy.decide(&standing).compaction.unwrap();
/// assert_eq!(compaction.to, 5_001);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Compaction is put off until it drops this many entries, as it costs a record in the log. Zero counts as one.
    /// Default: 64.
    pub compact_entries_min: u64,
    /// The most bytes of payload and context that applied entries may take in the log. Beyond it nothing holds the
    /// log back but what has no snapshot yet, and a snapshot is due when that alone is more. The log is then compacted
    /// to seven eighths of it, or there would be a compaction for each entry. `None` for no such cap, with which one
    /// dead follower keeps the log for ever. Default: 1 GiB.
    pub log_bytes_max: Option<u64>,
}

/// How things stand with a shard.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Standing<'s> {
    /// The log's first index, or where it continues if it is empty.
    pub first: u64,
    /// The last index that was applied; `None` before the first.
    pub applied: Option<u64>,
    /// The index of the newest state that a restart finds, from a registered snapshot or because the machine keeps
    /// its own; `None` if there is none.
    pub saved: Option<u64>,
    /// A snapshot is being saved at the moment: no other is due.
    pub saving: bool,
    /// Who needs which part of the log.
    pub holds: &'s [Hold],
    /// The bytes of the entries.
    pub log: &'s Account,
}

/// Somebody needs the log from an index on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hold {
    /// The first index that must stay.
    pub needs: u64,
    /// Who needs it.
    pub holder: Holder,
}

/// Who needs a part of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Holder {
    /// A follower, by the number that the application gave it.
    Follower(u64),
    /// Whoever reads the snapshot of this index, and goes on behind it.
    Lease(u64),
}

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// Save a snapshot of what is applied, for this reason.
    pub snapshot: Option<Trigger>,
    /// Drop a prefix of the log.
    pub compaction: Option<Compaction>,
    /// The hold because of which more of the log stays than the policy asks for; the lowest, if there are several.
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
    /// The log exceeds its cap, and what the last snapshot covers is not enough to drop.
    LogBytes {
        /// Payload and context of the applied entries in the log.
        bytes: u64,
    },
    /// It was asked for.
    Request,
}

/// How much of the log is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// The last index to drop; never above what is applied, nor above what a restart finds saved.
    pub to: u64,
    /// The bytes of payload and context that the applied entries in the log take, if they exceed the cap, for which
    /// reason neither [`SnapshotPolicy::keep_entries`] nor [`Compaction::overridden`] were respected.
    pub over_cap: Option<u64>,
    /// The holds that are not respected, lowest first. A lease among them still has its snapshot, which nothing
    /// deletes; whoever reads it will need another one behind it.
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

impl<'s> Standing<'s> {
    /// A shard whose log begins at `first`, of which nothing is applied, saved or held.
    pub fn new(first: u64, log: &'s Account) -> Self {
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
    /// What to do as things stand.
    pub fn decide(&self, standing: &Standing<'_>) -> Decision {
        let (compaction, held_by) = self.compaction(standing);
        Decision { snapshot: self.trigger(standing), compaction, held_by }
    }

    fn trigger(&self, standing: &Standing<'_>) -> Option<Trigger> {
        let unsaved = standing.unsaved();
        if standing.saving || unsaved.is_empty() {
            return None;
        }
        let count = unsaved.end - unsaved.start;
        if self.every_entries.is_some_and(|every| count > every) {
            return Some(Trigger::Entries { count });
        }
        let bytes = standing.log.bytes(unsaved);
        if self.every_bytes.is_some_and(|every| bytes > every) {
            return Some(Trigger::Bytes { bytes });
        }
        let over_cap = self.log_bytes_max.is_some_and(|cap| bytes > cap);
        over_cap.then(|| Trigger::LogBytes { bytes: standing.log_bytes() })
    }

    fn compaction(&self, standing: &Standing<'_>) -> (Option<Compaction>, Option<Hold>) {
        let Some(limit) = standing.saved.min(standing.applied) else { return (None, None) };
        // One past the last entry to drop, so that an empty prefix has a number too.
        let wished = limit.saturating_add(1).saturating_sub(self.keep_entries);
        let lowest = standing.holds.iter().min().copied();
        let held = lowest.map_or(wished, |hold| wished.min(hold.needs));
        let bytes = standing.log_bytes();
        let forced = match self.log_bytes_max.filter(|cap| bytes > *cap) {
            Some(cap) => standing.log.end_of(standing.first, bytes - (cap - cap / 8)).min(limit.saturating_add(1)),
            None => 0,
        };
        let end = held.max(forced);
        let held_by = lowest.filter(|hold| hold.needs < wished && hold.needs >= end && wished > standing.first);
        if end <= standing.first || (forced <= held && end - standing.first < self.compact_entries_min.max(1)) {
            return (None, held_by);
        }
        let mut overridden: Vec<Hold> = standing.holds.iter().filter(|hold| hold.needs < end).copied().collect();
        overridden.sort_unstable();
        (Some(Compaction { to: end - 1, over_cap: (forced > held).then_some(bytes), overridden }), held_by)
    }
}
