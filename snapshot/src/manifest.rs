//! What a snapshot consists of.

use bytes::Bytes;

/// What a snapshot is and consists of. It is the same on every node that the snapshot was shipped to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// The shard.
    pub shard: u64,
    /// The last index whose effect is in it.
    pub index: u64,
    /// The term of that index.
    pub term: u64,
    /// Tells it apart from every other snapshot, here and elsewhere.
    pub id: u64,
    /// As it was given to the builder.
    pub membership: Bytes,
    /// As it was given to the builder.
    pub metadata: Bytes,
    /// Its files, in the order in which they were written.
    pub files: Vec<FileInfo>,
}

/// A file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// Its name: see [`check_name`](crate::check_name).
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
}
