//! `EncodeJob`: rows to be written to objects, and the objects.

use bytes::Bytes;

use super::{sort::SortJob, tombstones::TombstoneJob};
use crate::{block_meta::ObjectMeta, ids::TableId, object_id::ObjectId, record::Tombstones, table::Transfer};

/// What a flush writes to objects.
#[derive(Debug)]
pub struct EncodeJob {
    /// The table.
    pub table: TableId,
    /// The id of the first object of rows. The next ones have the next numbers: 65,536 of them are taken.
    pub first: ObjectId,
    /// Gives the rows, if there are some.
    pub sort: SortJob,
    /// Gives the tombstones, if there are some.
    pub tombstones: Option<TombstoneJob>,
}

impl EncodeJob {
    /// Whether blocks have tombstones already, which are to be read from the store.
    pub fn reads_tombstones(&self) -> bool {
        self.tombstones.as_ref().is_some_and(TombstoneJob::reads)
    }
}

/// The objects of a flush.
#[derive(Debug, Default)]
pub struct Encoded {
    /// Metadata and bytes of each object of rows, in the order of the rows.
    pub objects: Vec<(ObjectMeta, Bytes)>,
    /// Where the rows are in them.
    pub transfer: Transfer,
    /// The tombstones and the bytes of their object.
    pub tombstones: Option<(Tombstones, Bytes)>,
}
