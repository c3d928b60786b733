//! What the log records of a snapshot.

/// A registered snapshot, as the log has it: what is recorded, and what is found again at opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The last index whose effect is in it. The order of snapshots is by index, then term.
    pub index: u64,
    /// The term of that index.
    pub term: u64,
    /// Tells the snapshot apart from every other, here and elsewhere.
    pub id: u64,
    /// The number in its file's name.
    pub file: u64,
    /// The checksum of its manifest.
    pub manifest_crc: u32,
}

impl Registered {
    /// What snapshots are ordered by: never the term first, since a log's terms rise with its indexes and those of
    /// candidates do not.
    pub fn order(&self) -> (u64, u64) {
        (self.index, self.term)
    }

    /// What a shard has once this is registered: the newest `kept` of `list`, which has the oldest first, and this.
    pub fn registered_in(self, list: &mut Vec<Registered>, kept: usize) {
        let at = list.partition_point(|other| other.order() <= self.order());
        list.insert(at, self);
        let too_many = list.len().saturating_sub(kept.max(1));
        list.drain(..too_many);
    }
}
