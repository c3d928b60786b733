//! Why an operation does not fit the log of its shard.

/// Why an operation does not fit the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Gap {
        expected: u64,
        got: u64,
    },
    Compacted {
        first: u64,
    },
    Beyond {
        last: Option<u64>,
    },
    /// The shard is in quarantine.
    Quarantined,
    /// The entry at `index` has another term.
    Term {
        index: u64,
        stored: u64,
        given: u64,
    },
    /// A snapshot of index `held` is leased.
    Leased {
        held: u64,
    },
    /// Entries from `first` on are not known to be applied.
    Unapplied {
        first: u64,
    },
    /// The index `u64::MAX` is kept free, so that "one past the last" is always a number.
    IndexMax,
}
