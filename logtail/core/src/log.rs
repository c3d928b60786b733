//! `Log`: where a writer's records go.

mod manual;

pub use manual::{ManualLog, Refused};

use std::{error, fmt};

/// The log behind a writer: a shard of an engine, of a replicated log, or one that a test moves by hand.
///
/// Records are in the order in which they were proposed, and each prefix of them is durable, and then committed, before
/// what follows it. In an engine's shard committed is durable; in a replicated log it is what a majority has.
pub trait Log {
    /// Tells the proposer of its record's end: waited for by the caller, who then passes a [`LogEvent`] on.
    type Ticket;
    /// Why the log does not take records.
    type Error: error::Error + Send + Sync + 'static;

    /// Appends a record, and returns its index, which is above those before. Never waits, as other proposals wait
    /// behind this one; whatever is to be waited for, room say, is acquired before. Nothing is durable on return.
    ///
    /// # Errors
    /// [`Refusal`]; the record is not in the log then, and never will be.
    fn propose(&self, record: &[u8]) -> Result<(u64, Self::Ticket), Refusal<Self::Error>>;

    /// Drops the records up to index `through`, inclusive, and notes which record the newest checkpoint is: both or
    /// neither after a crash. That record is committed, and not among the dropped ones.
    ///
    /// # Errors
    /// As [`Log::propose`]; nothing has changed then.
    fn truncate(&self, through: u64, checkpoint: u64) -> Result<Self::Ticket, Refusal<Self::Error>>;

    /// The longest record, in bytes.
    fn bytes_max(&self) -> usize;
}

/// Why a log refused a record.
#[derive(Debug, thiserror::Error)]
pub enum Refusal<E: error::Error + 'static> {
    /// Too much awaits durability: wait until the log has room, and propose again.
    #[error("the log is busy")]
    Busy,
    /// The log has no space. It may have some again, once what it holds is flushed.
    #[error("the log has no space")]
    Full(#[source] E),
    /// Another writer has written where the record would go: the log is that one's now.
    #[error("another writer has taken over")]
    Lost,
    /// The log takes no records any more: it has failed.
    #[error("the log has stopped")]
    Stopped(#[source] E),
}

/// What became of records. Indexes are inclusive, and each event holds for all before them too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEvent {
    /// Records up to this index survive a crash here. Of a replicated log they can still be lost.
    Durable(u64),
    /// Records up to this index are durable, and never lost.
    Committed(u64),
    /// Records from this index on are lost: another writer has written there. The writer stops.
    Lost(u64),
    /// What became of the records from this index on will be known to the log's next reader only. The writer stops.
    Unknown(u64),
}

impl fmt::Display for LogEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Durable(index) => write!(f, "records through {index} are durable"),
            Self::Committed(index) => write!(f, "records through {index} are committed"),
            Self::Lost(index) => write!(f, "records from {index} on are lost"),
            Self::Unknown(index) => write!(f, "the fate of records from {index} on is unknown"),
        }
    }
}
