//! The history of clients' operations: calls, times and answers.

use std::time::Instant;

/// One operation of one client on one register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) client: u32,
    pub(crate) shard: u64,
    pub(crate) key: u32,
    pub(crate) call: Call,
    /// The number that the client gave the write, counted per client and shard from 1; 0 for a read.
    pub(crate) number: u64,
    /// The time of the first send, in nanoseconds since the run began.
    pub(crate) invoked: u64,
    /// The time and the value of the answer; `None` if the outcome is unknown.
    pub(crate) answered: Option<(u64, Answer)>,
}

/// An operation on a register. Each value is a number that is written only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Get,
    Put(u64),
    Swap { expected: Option<u64>, value: u64 },
}

/// The answer to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The answer to a get.
    Value(Option<u64>),
    /// The value was written.
    Written,
    /// The register had another value than expected: this one.
    Kept(Option<u64>),
}

/// A clock that all clients share: the time since the run began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch(Instant);

impl Watch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
