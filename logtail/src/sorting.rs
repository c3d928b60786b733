//! `Sorting`: rows of a flush that are brought into their order.

use arrow_schema::ArrowError;
use logboom_logtail_core::{
    flush::{SortJob, SortedBatch, SortedRows},
    table::Transfer,
};

use crate::{ahead::Ahead, error::Result, pace::Pacer};

/// Blocks that are gathered before they are asked for.
const AHEAD: usize = 2;

/// Rows of a flush that are brought into their order: on the thread that asks for them, or on one of their own, so that
/// they are gathered while others are encoded.
#[derive(Debug)]
pub(crate) enum Sorting {
    Here(Box<SortedRows>),
    Ahead(Ahead<Result<SortedBatch, ArrowError>, Transfer>),
}

impl Sorting {
    /// On a thread with this pace, if there may be threads.
    pub(crate) fn begin(job: SortJob, threads: bool, mut pacer: Pacer) -> Result<Self> {
        if !threads {
            return Ok(Self::Here(Box::new(job.sort(&mut || {}))));
        }
        let ahead = Ahead::spawn("logtail-sort", AHEAD, move |sender| {
            let mut sorted = job.sort(&mut || pacer.pause());
            while let Some(batch) = sorted.next_batch(&mut || pacer.pause()).transpose() {
                let is_last = batch.is_err();
                if sender.send(batch).is_err() || is_last {
                    break;
                }
                pacer.begin();
            }
            sorted.into_transfer()
        });
        Ok(Self::Ahead(ahead?))
    }

    /// The rows of the next block; `None` behind the last.
    pub(crate) fn next_batch(&mut self) -> Result<Option<SortedBatch>> {
        let next = match self {
            Self::Here(rows) => rows.next_batch(&mut || {}),
            Self::Ahead(ahead) => ahead.wait().transpose(),
        };
        Ok(next?)
    }

    /// Where the rows are, behind the last.
    ///
    /// # Errors
    /// [`Error::Bug`](crate::Error::Bug) if the thread has panicked: the last rows that it gave were not the last.
    pub(crate) fn into_transfer(self) -> Result<Transfer> {
        match self {
            Self::Here(rows) => Ok(rows.into_transfer()),
            Self::Ahead(ahead) => ahead.end(),
        }
    }
}
