//! The id of an entry in a raft log: its index and its term.

/// Index and term of an entry, named: as two bare numbers side by side they could be swapped, and an overwriting append
/// at the wrong index drops entries. The default, 0 and 0, is what raft has before the first entry.
///
/// Ids are not ordered: raft compares logs by term first, a log is ordered by index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EntryId {
    /// The index.
    pub index: u64,
    /// The term.
    pub term: u64,
}
