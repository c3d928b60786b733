//! Errors of a log tail.

use std::{sync::Arc, time::Duration};

use logboom::ReadError;
use logboom_logtail_core::{
    RowId, TableId, Timestamp,
    block_meta::MetaError,
    catalog::CatalogError,
    checkpoint::ItemError,
    log::Refusal,
    recovery::RecoveryError,
    rows::EncodeError,
    scan::{ColumnError, ScanError},
    state::{ApplyError, Stale},
    store::StoreError,
    transaction::OperationError,
    writer::{CommitError, FlushError, Stopped},
};
use logboom_logtail_objects::OpenError;

/// The result of a call to a log tail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call to a log tail failed. It had no effect, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A change of the catalog is refused.
    #[error("the catalog cannot be changed so")]
    Catalog(#[from] CatalogError),
    /// An operation of a transaction is refused. The transaction is as before.
    #[error("the operation is refused")]
    Operation(#[from] OperationError),
    /// A row with a key that is inserted is there at the transaction's snapshot.
    #[error("table {table} has a row {row} with a key that is inserted")]
    DuplicateKey {
        /// The table.
        table: TableId,
        /// The row that is there.
        row: RowId,
    },
    /// Another transaction wrote the same key or deleted the same row after this one's snapshot. Begin again.
    #[error("a transaction that committed at {at} wrote a row of table {table} that this one writes")]
    Conflict {
        /// The table.
        table: TableId,
        /// When the other one committed, or will.
        at: Timestamp,
    },
    /// The transaction began at an older timestamp than those since which it is known what others wrote: a flush or a
    /// [bulk load](crate::Load) was in between. Begin at a newer snapshot.
    #[error("what was written to table {table} is known since {oldest}, which is after the transaction's snapshot")]
    SnapshotTooOld {
        /// The table.
        table: TableId,
        /// The oldest snapshot that could write.
        oldest: Timestamp,
    },
    /// The table, or the catalog where that is changed, was changed after the transaction's snapshot. Begin again.
    #[error("the schema of table {0} has changed")]
    SchemaChanged(TableId),
    /// A row that is deleted by its id is not there.
    #[error("table {table} has no row {row}")]
    NoRow {
        /// The table.
        table: TableId,
        /// The row.
        row: RowId,
    },
    /// There is no such table at the timestamp.
    #[error("there is no table {table} at {timestamp}")]
    NoTable {
        /// The table.
        table: TableId,
        /// The timestamp.
        timestamp: Timestamp,
    },
    /// The table does not have a column that a read names, or the column does not compare with the value.
    #[error(transparent)]
    Column(#[from] ColumnError),
    /// The filter of a read has too many unions in each other.
    #[error("the filter has more than {max} unions in each other")]
    FilterTooDeep {
        /// The most that it may have.
        max: usize,
    },
    /// The transaction is longer than an entry of the log, or the metadata of a [bulk load](crate::Load)'s objects are.
    /// So many rows are to be loaded in bulk, or in several loads. An entry takes what the engine's `segment_bytes`
    /// leave it: 16 MiB with those of 64 MiB.
    #[error("the transaction's record of {bytes} bytes is longer than the {max} that an entry takes")]
    TooLarge {
        /// The record's length.
        bytes: usize,
        /// The longest one.
        max: usize,
    },
    /// Rows take all the memory that they may, and no thread of the tail flushes them. The transaction can be committed
    /// again behind a flush; with a thread it would have waited.
    #[error("rows of {} take {bytes} of {max} bytes of memory", name(*table))]
    Full {
        /// The table that takes what a table may; `None` where all tables take what they may.
        table: Option<TableId>,
        /// What they take.
        bytes: usize,
        /// What they may take.
        max: usize,
    },
    /// The table is being flushed [step by step](crate::Tail::begin_flush), on a tail without threads.
    #[error("table {0} is being flushed")]
    Flushing(TableId),
    /// What several callers waited for has failed: a flush that each of them asked for.
    #[error(transparent)]
    Shared(Arc<Error>),
    /// A bulk load has two rows with the same key. The load has failed.
    #[error("two rows that are loaded into table {table} have the key {}", hex(key))]
    DuplicateInLoad {
        /// The table.
        table: TableId,
        /// The key, [encoded](logboom_logtail_core::key).
        key: Vec<u8>,
    },
    /// Others wrote rows to the table faster than a bulk load looked for its keys among them. The load has failed; it
    /// may succeed while less is written.
    #[error("a load of table {table} did not catch up in {patience:?} with what others write to it")]
    Overtaken {
        /// The table.
        table: TableId,
        /// How long it tried without [coming nearer](crate::Options::load_patience) to them.
        patience: Duration,
    },
    /// A bulk load has failed before, and takes nothing more.
    #[error("the load has failed")]
    LoadFailed,
    /// The timestamp is below the horizon.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The timestamp is above the watermark: what is visible then is not known yet.
    #[error("{timestamp} is later than the watermark {watermark}")]
    Future {
        /// The timestamp that was asked for.
        timestamp: Timestamp,
        /// The newest that can be read.
        watermark: Timestamp,
    },
    /// The engine's log does not take the record.
    #[error("the log does not take the record")]
    Log(#[source] logboom::Error),
    /// The engine could not make the record durable. Whether the transaction is committed is known when the engine and
    /// the tail are opened again.
    #[error("whether the transaction at {timestamp} is committed is not known")]
    Unknown {
        /// When it commits, if it does.
        timestamp: Timestamp,
        /// What the engine says.
        #[source]
        source: logboom::Error,
    },
    /// The tail takes no transactions any more: open it again.
    #[error("the writer has stopped: {0}")]
    Stopped(Stopped),
    /// Entries of the shard cannot be read.
    #[error("the shard cannot be read")]
    Read(#[from] ReadError),
    /// The shard's entries are no log tail, or parts of it are missing.
    #[error("the shard holds no log tail that this version reads")]
    Recovery(#[from] RecoveryError),
    /// The store cannot be opened, or belongs to another log.
    #[error("the store of objects cannot be opened")]
    Open(#[from] OpenError),
    /// The store did not answer as it should.
    #[error("the store of objects")]
    Store(#[from] StoreError),
    /// An object is damaged: the rows of the block that it names cannot be read. Others can.
    #[error("an object cannot be read")]
    Object(#[from] logboom_logtail_blocks::ReadError),
    /// Rows cannot be encoded for a checkpoint, though they could for the log.
    #[error("rows of a checkpoint")]
    Rows(#[from] EncodeError),
    /// Rows cannot be written to an object. They stay in memory and in the log.
    #[error("rows cannot be written to an object")]
    Write(#[from] logboom_logtail_blocks::WriteError),
    /// The metadata of an object contradict each other.
    #[error("the metadata of an object")]
    Meta(#[source] MetaError),
    /// A row of a checkpoint is malformed.
    #[error("a row of a checkpoint")]
    Item(#[source] ItemError),
    /// The objects of a checkpoint contradict each other.
    #[error("the checkpoint cannot be restored")]
    Restore(#[source] ApplyError),
    /// A memtable cannot be flushed.
    #[error("a memtable cannot be flushed")]
    Flush(#[source] Box<FlushError<logboom::Error>>),
    /// The tail was closed while the call waited.
    #[error("the tail is closed")]
    Closed,
    /// The system has no thread for the flushes.
    #[error("no thread can be started")]
    Thread(#[source] std::io::Error),
    /// An invariant is broken. Please report it.
    #[error("a bug of Logboom: {0}")]
    Bug(String),
    /// Arrow cannot make batches of the rows.
    #[error("rows cannot be made into batches")]
    Arrow(#[from] arrow_schema::ArrowError),
}

/// Two digits a byte.
fn name(table: Option<TableId>) -> String {
    table.map_or_else(|| "all tables".to_owned(), |table| format!("table {table}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Error {
    /// Whether a transaction was refused for what it writes, rather than that something failed.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::DuplicateKey { .. }
                | Self::Conflict { .. }
                | Self::SnapshotTooOld { .. }
                | Self::SchemaChanged(_)
                | Self::NoRow { .. }
                | Self::TooLarge { .. }
                | Self::Full { .. }
        )
    }
}

impl From<ScanError> for Error {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Column(error) => Self::Column(error),
            ScanError::FilterTooDeep { max } => Self::FilterTooDeep { max },
            other => Self::Bug(other.to_string()),
        }
    }
}

impl From<CommitError<logboom::Error>> for Error {
    fn from(error: CommitError<logboom::Error>) -> Self {
        match error {
            CommitError::DuplicateKey { table, row } => Self::DuplicateKey { table, row },
            CommitError::Conflict { table, at } => Self::Conflict { table, at },
            CommitError::SnapshotTooOld { table, oldest } => Self::SnapshotTooOld { table, oldest },
            CommitError::SchemaChanged(table) => Self::SchemaChanged(table),
            CommitError::NoRow { table, row } => Self::NoRow { table, row },
            CommitError::TooLarge { bytes, max } => Self::TooLarge { bytes, max },
            CommitError::Log(refusal) => refusal.into(),
            CommitError::Stopped(stopped) => Self::Stopped(stopped),
            CommitError::Meta(source) => Self::Meta(source),
            // Commits wait for the bound, and this says that none will come.
            _ => Self::Stopped(Stopped::Unknown),
        }
    }
}

impl From<Refusal<logboom::Error>> for Error {
    fn from(refusal: Refusal<logboom::Error>) -> Self {
        match refusal {
            Refusal::Busy => Self::Log(logboom::Error::Busy),
            Refusal::Lost => Self::Stopped(Stopped::Lost),
            Refusal::Full(source) | Refusal::Stopped(source) => Self::Log(source),
        }
    }
}

impl From<FlushError<logboom::Error>> for Error {
    fn from(error: FlushError<logboom::Error>) -> Self {
        match error {
            FlushError::Log(refusal) => refusal.into(),
            FlushError::Stopped(stopped) => Self::Stopped(stopped),
            other => Self::Flush(Box::new(other)),
        }
    }
}
