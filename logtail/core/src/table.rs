//! Tables: their rows in memory and in objects.

mod chunk;
mod commits;
mod deleted;
mod error;
mod key_bounds;
mod key_index;
mod memory;
mod memtable;
mod object;
mod older_rows;
mod transfer;
mod version;

pub use deleted::DeletedRows;
pub use error::TableError;
pub use memory::MemoryBytes;
pub use memtable::{Found, Memtable};
pub use object::Object;
pub(crate) use object::Persisted;
pub use transfer::Transfer;
pub use version::Version;

pub(crate) use chunk::{Chunk, Piece};
pub(crate) use key_index::KeyIndex;

use std::sync::Arc;

use parking_lot::RwLock;

use crate::{ids::TableId, timestamp::Timestamp};

/// A table, shared by its writer and its readers.
#[derive(Debug)]
pub struct Table {
    id: TableId,
    created: Timestamp,
    version: RwLock<Arc<Version>>,
}

impl Table {
    pub(crate) fn new(id: TableId, created: Timestamp, version: Version) -> Self {
        Self { id, created, version: RwLock::new(Arc::new(version)) }
    }

    /// The table's id.
    pub fn id(&self) -> TableId {
        self.id
    }

    /// When the table is created. Before that is published, the table is there, and readers do not see it.
    pub(crate) fn created(&self) -> Timestamp {
        self.created
    }

    /// Where the table's rows are now. A reader keeps its version: it has all rows of the timestamps that are read by
    /// it, and its own time does not change what is there.
    pub fn version(&self) -> Arc<Version> {
        Arc::clone(&self.version.read())
    }

    /// Readers that begin from now on get `version`.
    pub(crate) fn publish(&self, version: Version) {
        *self.version.write() = Arc::new(version);
    }
}
