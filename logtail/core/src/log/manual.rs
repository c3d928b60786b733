//! `ManualLog`: a log that a test moves by hand.

use std::cell::RefCell;

use super::{Log, Refusal};

/// A log in memory, for tests of writers: the test says when it is full, and what a crash leaves of it.
#[derive(Debug)]
pub struct ManualLog {
    inner: RefCell<Inner>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    /// The index of the first record, less one.
    dropped: u64,
    records: Vec<Vec<u8>>,
    checkpoint: Option<u64>,
    refuse: Option<Refused>,
}

/// What a [`ManualLog`] answers instead of taking a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// [`Refusal::Busy`].
    #[error("the test says that it is busy")]
    Busy,
    /// [`Refusal::Full`].
    #[error("the test says that it is full")]
    Full,
    /// [`Refusal::Stopped`].
    #[error("the test says that it has stopped")]
    Stopped,
}

impl ManualLog {
    /// An empty log, whose records have at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { inner: RefCell::default(), bytes_max }
    }

    /// A log of these records, as [`ManualLog::records`] gives them.
    pub fn of(records: Vec<(u64, Vec<u8>)>, bytes_max: usize) -> Self {
        let log = Self::new(bytes_max);
        records.into_iter().for_each(|(_, record)| log.push(record));
        log
    }

    /// Adds a record that another writer proposed.
    pub fn push(&self, record: Vec<u8>) {
        self.inner.borrow_mut().records.push(record);
    }

    /// The index of the last record; 0 where there is none.
    pub fn last(&self) -> u64 {
        let inner = self.inner.borrow();
        inner.dropped + inner.records.len() as u64
    }

    /// The index of the newest checkpoint's record.
    pub fn checkpoint(&self) -> Option<u64> {
        self.inner.borrow().checkpoint
    }

    /// From now on the log answers so; with `None`, it takes records.
    pub fn refuse(&self, with: Option<Refused>) {
        self.inner.borrow_mut().refuse = with;
    }

    /// The records behind `index` are lost, as after a crash before they were durable.
    pub fn truncate_after(&self, index: u64) {
        let mut inner = self.inner.borrow_mut();
        let records = usize::try_from(index.saturating_sub(inner.dropped)).unwrap_or(usize::MAX);
        inner.records.truncate(records);
    }

    /// The records with their indexes, which begin at 1 in a log of which none is dropped.
    pub fn records(&self) -> Vec<(u64, Vec<u8>)> {
        let inner = self.inner.borrow();
        (inner.dropped + 1..).zip(inner.records.iter().cloned()).collect()
    }
}

impl Log for ManualLog {
    type Ticket = ();
    type Error = Refused;

    fn propose(&self, record: &[u8]) -> Result<(u64, ()), Refusal<Refused>> {
        let mut inner = self.inner.borrow_mut();
        match inner.refuse {
            Some(Refused::Busy) => return Err(Refusal::Busy),
            Some(Refused::Full) => return Err(Refusal::Full(Refused::Full)),
            Some(Refused::Stopped) => return Err(Refusal::Stopped(Refused::Stopped)),
            None => {}
        }
        inner.records.push(record.to_vec());
        Ok((inner.dropped + inner.records.len() as u64, ()))
    }

    fn truncate(&self, through: u64, checkpoint: u64) -> Result<(), Refusal<Refused>> {
        let mut inner = self.inner.borrow_mut();
        let dropped = usize::try_from(through.saturating_sub(inner.dropped)).unwrap_or(usize::MAX);
        let dropped = dropped.min(inner.records.len());
        inner.records.drain(..dropped);
        inner.dropped += dropped as u64;
        inner.checkpoint = Some(checkpoint);
        Ok(())
    }

    fn bytes_max(&self) -> usize {
        self.bytes_max
    }
}
