//! `Sorting`: rows of a flush that are brought into their order.

use std::{
    sync::mpsc,
    thread::{self, JoinHandle},
};

use arrow_schema::ArrowError;
use logboom_logtail_core::{
    flush::{SortJob, SortedBatch, SortedRows},
    table::Transfer,
};

use crate::{
    error::{Error, Result},
    pace::Pacer,
};

/// Blocks that are gathered before they are asked for.
const AHEAD: usize = 2;

/// Rows of a flush that are brought into their order: on the thread that asks for them, or on one of their own, so that
/// they are gathered while others are encoded.
#[derive(Debug)]
pub(crate) enum Sorting {
    Here(Box<SortedRows>),
    Ahead(Ahead),
}

/// A thread that gathers some blocks before they are asked for. Dropping this ends it.
#[derive(Debug)]
pub(crate) struct Ahead {
    batches: Option<mpsc::Receiver<Result<SortedBatch, ArrowError>>>,
    thread: Option<JoinHandle<Transfer>>,
}

impl Sorting {
    /// On a thread with this pace, if there may be one.
    pub(crate) fn begin(job: SortJob, pacer: Option<Pacer>) -> Result<Self> {
        let Some(mut pacer) = pacer else { return Ok(Self::Here(Box::new(job.sort()))) };
        let (sender, batches) = mpsc::sync_channel(AHEAD);
        let work = move || {
            let mut sorted = pacer.work(|| job.sort());
            while let Some(batch) = pacer.work(|| sorted.next_batch()).transpose() {
                let is_last = batch.is_err();
                if sender.send(batch).is_err() || is_last {
                    break;
                }
            }
            sorted.into_transfer()
        };
        let thread = thread::Builder::new().name("logtail-sort".into()).spawn(work).map_err(Error::Thread)?;
        Ok(Self::Ahead(Ahead { batches: Some(batches), thread: Some(thread) }))
    }

    /// The rows of the next block; `None` behind the last.
    pub(crate) fn next_batch(&mut self) -> Result<Option<SortedBatch>> {
        let next = match self {
            Self::Here(rows) => rows.next_batch(),
            Self::Ahead(ahead) => ahead.batches.as_ref().and_then(|batches| batches.recv().ok()).transpose(),
        };
        Ok(next?)
    }

    /// Where the rows are, behind the last.
    pub(crate) fn into_transfer(self) -> Result<Transfer> {
        match self {
            Self::Here(rows) => Ok(rows.into_transfer()),
            Self::Ahead(mut ahead) => ahead.end().ok_or(Error::Closed),
        }
    }
}

impl Ahead {
    /// Ends the thread. Nothing if it has panicked, which is reported where it happens.
    fn end(&mut self) -> Option<Transfer> {
        self.batches = None;
        self.thread.take()?.join().ok()
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        _ = self.end();
    }
}
