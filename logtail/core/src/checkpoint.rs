//! Checkpoints: the state from which a restart goes on with the rest of the log.

mod capture;
mod item;

pub use capture::Captured;
pub use item::{Item, ItemError, Run};

pub(crate) use capture::Capture;

use crate::{block_meta::ObjectMeta, object_id::ObjectId, store::ObjectName, timestamp::Timestamp};

/// A checkpoint, as its record has it: from here on a restart reads its objects and the rest of the log.
///
/// Its objects are a *global* one, with the whole state of a time, and *incremental* ones, each with what changed since
/// the one before. Rows of users' tables that are in memory are in none of them: the log keeps their records. Only of
/// tables that have not been flushed for long they are, so that one table does not keep the log of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's identity.
    pub identity: u64,
    /// What was committed up to this timestamp is in the objects, but for rows in memory.
    pub timestamp: Timestamp,
    /// The oldest timestamp that can be read.
    pub horizon: Timestamp,
    /// The highest bound of a clock.
    pub bound: Timestamp,
    /// The number that the next database, table, memtable or object gets.
    pub next_number: u64,
    /// The global object, then the incremental ones in their order.
    pub objects: Vec<ObjectMeta>,
    /// Objects that an intent names and no later record: they are being written, or garbage.
    pub intended: Vec<ObjectId>,
}

impl Checkpoint {
    /// The names of the objects in their order and the timestamp, as text: `t0/..;t0/..;[0.0_1764490000000.3]`.
    pub fn location(&self) -> String {
        let names =
            self.objects.iter().map(|object| format!("{};", ObjectName { table: object.table, id: object.id }.name()));
        names.chain([format!("[{}_{}]", Timestamp::ZERO, self.timestamp)]).collect()
    }
}
