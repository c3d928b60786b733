//! `Registered`: the log's record of a snapshot.

/// A registered snapshot, as recorded in the log and recovered at opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The last index that the snapshot includes. Snapshots are ordered by index, then term.
    pub index: u64,
    /// The term of that index.
    pub term: u64,
    /// A number that identifies the snapshot on every node.
    pub id: u64,
    /// The number in its file's name.
    pub file: u64,
    /// The checksum of its manifest.
    pub manifest_crc: u32,
}

impl Registered {
    /// The sort key of snapshots: index first. Terms rise with indexes within one log only: a candidate's higher term
    /// says nothing about its index.
    pub fn order(&self) -> (u64, u64) {
        (self.index, self.term)
    }

    /// The shard's snapshots after this one is registered: the newest `kept` of `list` (oldest first) and this one.
    pub fn registered_in(self, list: &mut Vec<Registered>, kept: usize) {
        let at = list.partition_point(|other| other.order() <= self.order());
        list.insert(at, self);
        let too_many = list.len().saturating_sub(kept.max(1));
        list.drain(..too_many);
    }
}
