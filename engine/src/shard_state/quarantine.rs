//! Which parts of a shard are lost to damage.
//!
//! The same function removes a loss when a batch is planned, applied and replayed: [`Missing::follow`].

use std::{fmt, ops::Range};

use logboom_wal::Sequence;

use crate::{
    encoding::{extent::Extent, operation::Change},
    types::ranges::Ranges,
};

/// What a shard has lost to damage. Everything else of the shard is intact, and can be read.
///
/// A shard in quarantine refuses all operations but those that can end it: see [`Engine::heal`](crate::Engine::heal),
/// [`Batch::accept_loss`](crate::Batch::accept_loss), [`Batch::destroy`](crate::Batch::destroy) and
/// [`Batch::compact_through`](crate::Batch::compact_through).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quarantine {
    /// Lost entries of the log, as half-open ranges, sorted and not adjacent. They are within the bounds of the log.
    pub entries: Vec<Range<u64>>,
    /// The last hard state is lost; the engine has an earlier one, or none.
    pub hard_state: bool,
    /// A put or delete of an unknown key is lost.
    pub keys: bool,
    /// The registration of a snapshot is lost: the newest one is unknown.
    pub snapshot: bool,
    /// Later operations are or may be lost: log, hard state, commit hint and keys are those of some earlier moment.
    pub suffix: bool,
}

/// [`Quarantine`], with the sequences and counts that identify each loss.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) entries: Ranges,
    /// The lost record of the last hard state.
    pub(crate) hard_state: Option<Sequence>,
    /// The number of lost puts and deletes.
    pub(crate) keys: u32,
    /// The lost record that registered the last snapshot.
    pub(crate) snapshot: Option<Sequence>,
    pub(crate) suffix: bool,
    /// No record of the shard is known: it is held back, because lost records may have been its.
    pub(crate) unknown: bool,
}

impl Missing {
    /// Of a shard without any known record.
    pub(crate) fn unknown() -> Self {
        Self { suffix: true, unknown: true, ..Self::default() }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.entries.is_empty()
            && self.hard_state.is_none()
            && self.keys == 0
            && self.snapshot.is_none()
            && !self.suffix
    }

    /// Updates what is missing for `change`, which left the log at `after`.
    pub(crate) fn follow(&mut self, change: &Change<'_>, after: &Extent) {
        match *change {
            Change::Heal { first, count, .. } => self.entries.remove(&(first..first.saturating_add(count))),
            Change::HardState(_) => self.hard_state = None,
            Change::Destroy => *self = Self::default(),
            Change::Register { .. } => self.snapshot = None,
            Change::AcceptLoss { hard_state, keys, snapshot } => self.accept_loss(hard_state, keys, snapshot),
            Change::Append { .. }
            | Change::Truncate { .. }
            | Change::Compact { .. }
            | Change::Reset { .. }
            | Change::CommitHint(_)
            | Change::Put { .. }
            | Change::Delete { .. }
            | Change::Forget { .. } => {}
        }
        self.entries.clip(&after.range());
    }

    /// Removes the losses that the record names. Others were found after the record was written, even if they are of
    /// older records: bytes rot at any time.
    fn accept_loss(&mut self, hard_state: Option<Sequence>, keys: u32, snapshot: Option<Sequence>) {
        self.suffix = false;
        self.unknown = false;
        if self.hard_state == hard_state {
            self.hard_state = None;
        }
        if self.keys == keys {
            self.keys = 0;
        }
        if self.snapshot == snapshot {
            self.snapshot = None;
        }
    }
}

impl From<&Missing> for Quarantine {
    fn from(missing: &Missing) -> Self {
        Self {
            entries: missing.entries.iter().collect(),
            hard_state: missing.hard_state.is_some(),
            keys: missing.keys > 0,
            snapshot: missing.snapshot.is_some(),
            suffix: missing.suffix,
        }
    }
}

impl fmt::Display for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.iter().map(|range| match range.end - range.start {
            1 => format!("entry {}", range.start),
            _ => format!("entries {} to {}", range.start, range.end - 1),
        });
        let parts = [
            (self.hard_state, "the hard state"),
            (self.keys, "a change of the keys"),
            (self.snapshot, "the registration of a snapshot"),
            (self.suffix, "the last operations"),
        ];
        let parts = parts.into_iter().filter(|(lost, _)| *lost).map(|(_, what)| what.to_owned());
        let lost: Vec<String> = entries.chain(parts).collect();
        write!(f, "lost: {}", lost.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: Extent = Extent { first: 10, next: 20, boundary_term: Some(1) };

    fn missing() -> Missing {
        let entries = [11..13, 18..20].into_iter().collect();
        Missing { entries, hard_state: Some(Sequence(7)), keys: 2, snapshot: None, suffix: true, unknown: false }
    }

    #[test]
    fn losses_are_listed_in_words() {
        let text = Quarantine::from(&Missing { entries: [11..12, 18..20].into_iter().collect(), ..missing() });
        let expected = "lost: entry 11, entries 18 to 19, the hard state, a change of the keys, the last operations";
        assert_eq!(text.to_string(), expected);
    }

    #[test]
    fn removed_and_healed_entries_are_not_missing() {
        let mut missing = missing();
        missing.follow(&Change::Truncate { keep: 18 }, &LOG.truncate(18).unwrap());
        assert_eq!(missing.entries.iter().collect::<Vec<_>>(), [11..13, 18..19]);
        missing.follow(&Change::Compact { index: 11, term: 1 }, &Extent { first: 12, next: 19, ..LOG });
        missing.follow(&Change::Heal { first: 18, count: 1, term: 4 }, &Extent { first: 12, next: 19, ..LOG });
        assert!(missing.entries.iter().eq(std::iter::once(12..13)));
        missing.follow(&Change::Destroy, &Extent::default());
        assert!(missing.is_nothing());
    }

    #[test]
    fn an_accepted_loss_ends_what_it_names() {
        let accepted = |hard_state: Option<u64>, keys| {
            let mut missing = missing();
            missing.follow(&Change::AcceptLoss { hard_state: hard_state.map(Sequence), keys, snapshot: None }, &LOG);
            (missing.hard_state.is_some(), missing.keys, missing.suffix, missing.entries.is_empty())
        };
        assert_eq!(accepted(Some(7), 2), (false, 0, false, false));
        assert_eq!(accepted(None, 2), (true, 0, false, false), "a hard state that was there when it was made");
        assert_eq!(accepted(Some(7), 1), (false, 2, false, false), "a put that was there when it was made");
    }

    #[test]
    fn a_later_hard_state_is_known() {
        let mut missing = missing();
        missing.follow(&Change::HardState(b"new"), &LOG);
        assert_eq!((missing.hard_state, missing.keys), (None, 2));
    }
}
