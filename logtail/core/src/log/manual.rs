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
    records: Vec<Vec<u8>>,
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
        self.inner.borrow().records.len() as u64
    }

    /// From now on the log answers so; with `None`, it takes records.
    pub fn refuse(&self, with: Option<Refused>) {
        self.inner.borrow_mut().refuse = with;
    }

    /// The records behind `index` are lost, as after a crash before they were durable.
    pub fn truncate_after(&self, index: u64) {
        let records = usize::try_from(index).unwrap_or(usize::MAX);
        self.inner.borrow_mut().records.truncate(records);
    }

    /// The records with their indexes, which begin at 1.
    pub fn records(&self) -> Vec<(u64, Vec<u8>)> {
        (1..).zip(self.inner.borrow().records.iter().cloned()).collect()
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
        Ok((inner.records.len() as u64, ()))
    }

    fn bytes_max(&self) -> usize {
        self.bytes_max
    }
}
