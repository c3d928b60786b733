//! `EncodeJob`: rows to be written to objects, and the objects.

use bytes::Bytes;

use super::sort::SortJob;
use crate::{block_meta::ObjectMeta, ids::TableId, object_id::ObjectId, table::Transfer};

/// Rows to be written to objects.
#[derive(Debug)]
pub struct EncodeJob {
    /// The table.
    pub table: TableId,
    /// The id of the first object. The next ones have the next numbers: 65,536 of them are taken.
    pub first: ObjectId,
    /// Gives the rows.
    pub sort: SortJob,
}

/// The objects of a flush.
#[derive(Debug, Default)]
pub struct Encoded {
    /// Metadata and bytes of each, in the order of the rows.
    pub objects: Vec<(ObjectMeta, Bytes)>,
    /// Where the rows are in them.
    pub transfer: Transfer,
}
