//! `EncodeJob`: rows to be written to objects.

use super::sort::SortJob;
use crate::{ids::TableId, object_id::ObjectId};

/// The rows that a flush writes to objects.
#[derive(Debug)]
pub struct EncodeJob {
    /// The table.
    pub table: TableId,
    /// The id of the first object. The next ones have the next numbers: 65,536 of them are taken.
    pub first: ObjectId,
    /// Gives the rows.
    pub sort: SortJob,
}
