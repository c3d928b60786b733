//! Why a transaction is not committed.

use std::{error::Error, fmt};

use crate::{
    block_meta::MetaError,
    clock::BoundReached,
    ids::{RowId, TableId},
    log::Refusal,
    timestamp::Timestamp,
};

/// Why a transaction is not committed. It had no effect, and never will have.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError<E: Error + 'static> {
    /// A row with the key is there at the transaction's snapshot.
    #[error("table {table} has a row {row} with a key that is inserted")]
    DuplicateKey {
        /// The table.
        table: TableId,
        /// The row that is there.
        row: RowId,
    },
    /// Another transaction, which committed after this one's snapshot, wrote the same key or deleted the same row.
    /// Begin again, at a newer snapshot.
    #[error("a transaction that committed at {at} wrote a row of table {table} that this one writes")]
    Conflict {
        /// The table.
        table: TableId,
        /// When the other one committed, or will.
        at: Timestamp,
    },
    /// The transaction began at an older timestamp than those since which it is known what others wrote: a flush or a
    /// bulk load was in between. Begin at a newer snapshot.
    #[error("what was written to table {table} is known since {oldest}, which is after the transaction's snapshot")]
    SnapshotTooOld {
        /// The table.
        table: TableId,
        /// The oldest snapshot that could write.
        oldest: Timestamp,
    },
    /// The table was changed or dropped after the transaction's snapshot. Begin again.
    #[error("the schema of table {0} has changed")]
    SchemaChanged(TableId),
    /// A bulk load of the table is being committed. Try again when it has got its place, in a moment.
    #[error("a bulk load of table {0} is being committed")]
    Loading(TableId),
    /// A row that is deleted by its id is not there: it never was, or was deleted before the snapshot.
    #[error("table {table} has no row {row}")]
    NoRow {
        /// The table.
        table: TableId,
        /// The row.
        row: RowId,
    },
    /// The record is longer than the log takes. Load so many rows in bulk; of a bulk load, it has the metadata of its
    /// objects.
    #[error("the transaction's record of {bytes} bytes is longer than the {max} that the log takes")]
    TooLarge {
        /// The record's length.
        bytes: usize,
        /// The longest one.
        max: usize,
    },
    /// The metadata of an object contradict each other.
    #[error("the metadata of an object")]
    Meta(#[from] MetaError),
    /// No timestamp may be given before a record of the clock's bound is durable, which is on its way. Try again then.
    #[error("the clock waits for its bound")]
    Clock(#[from] BoundReached),
    /// The log refused the record.
    #[error("the transaction's record")]
    Log(#[from] Refusal<E>),
    /// The writer has stopped: open it again.
    #[error("the writer has stopped: {0}")]
    Stopped(Stopped),
}

/// Why a writer has stopped. It takes nothing more: the log is to be opened again, by it or by another process, and
/// then tells what became of the records whose ends were not known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopped {
    /// Another writer has begun a later epoch, and records of this one are lost.
    Lost,
    /// The log does not know what became of some records.
    Unknown,
    /// A record that was proposed could not be placed: a fault of the writer.
    Fault(String),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost => f.write_str("another writer has taken over"),
            Self::Unknown => f.write_str("the log does not know what became of some records"),
            Self::Fault(what) => write!(f, "a record could not be placed: {what}"),
        }
    }
}
