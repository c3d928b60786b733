//! `EncodeJob`: rows to be written to objects, and the objects.

use bytes::Bytes;

use super::{sort::SortJob, tombstones::TombstoneJob};
use crate::{ids::TableId, object_id::ObjectId, record::Tombstones, table::Transfer};

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

/// What a flush has written, but for its objects of rows: when the last of them is encoded.
#[derive(Debug, Default)]
pub struct Encoded {
    /// Where the rows are in the objects.
    pub transfer: Transfer,
    /// The tombstones and the bytes of their object.
    pub tombstones: Option<(Tombstones, Bytes)>,
}
