//! `Life`: what a process has in memory, from an opening to its end.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use logboom::{Engine, ShardId};
use logboom_logtail::{Commit, Error, Flushing, Tail, Timestamp};
use logboom_wal::marks;

use crate::{draft::Draft, loading::Loading, records::Records};

/// The shard that holds the tail.
pub(crate) const SHARD: ShardId = ShardId(3);

/// An engine with a tail, and what clients have of it.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) engine: Engine,
    pub(crate) tail: Tail,
    /// Tails that others have replaced.
    pub(crate) replaced: Vec<Tail>,
    pub(crate) drafts: Vec<Draft>,
    pub(crate) waiting: Vec<Waiting>,
    /// With their tables.
    pub(crate) flushes: Vec<(u64, Flushing)>,
    pub(crate) loads: Vec<Loading>,
    pub(crate) records: Records,
    /// The timestamp of the checkpoint from which the tail was opened: what was written before is in no memory.
    pub(crate) restored: Timestamp,
    /// The watermark when it was last looked at.
    pub(crate) watermark: Timestamp,
    /// The end of a transaction is not known: the tail takes no others.
    pub(crate) is_stopped: bool,
}

/// A transaction whose client has no answer yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) commit: Commit,
    /// Of which tail it is.
    pub(crate) tail: Tail,
}

impl Life {
    pub(crate) fn new(engine: Engine, tail: Tail) -> Self {
        let watermark = tail.watermark();
        let restored = restored_from(&tail);
        Self {
            engine,
            tail,
            replaced: Vec::new(),
            drafts: Vec::new(),
            waiting: Vec::new(),
            flushes: Vec::new(),
            loads: Vec::new(),
            records: Records::default(),
            restored,
            watermark,
            is_stopped: false,
        }
    }

    /// The last index that is durable.
    pub(crate) fn durable(&self) -> u64 {
        self.engine.shard(SHARD).durable().unwrap_or(0)
    }

    /// The tail of an open transaction.
    pub(crate) fn tail_of(&self, draft: &Draft) -> &Tail {
        self.replaced.last().filter(|_| draft.is_replaced).unwrap_or(&self.tail)
    }

    /// Ends the process, of which the machine's disk knows already. The engine is closed so that it drops the callbacks
    /// that it has, which refer to it.
    pub(crate) fn end(self) {
        let Self { engine, tail, replaced, drafts, waiting, flushes, loads, .. } = self;
        loads.iter().for_each(Loading::mark_end);
        let in_second_round = flushes.iter().any(|(_, flush)| flush.tombstone_rounds() > 1);
        marks::hit_if(in_second_round, "crash: in the second round of a flush's tombstones");
        drop((tail, replaced, drafts, waiting, flushes, loads));
        drop(engine.close());
    }
}

/// The timestamp of the checkpoint that a tail has just been opened from.
pub(crate) fn restored_from(tail: &Tail) -> Timestamp {
    tail.newest_checkpoint().map_or(Timestamp::ZERO, |checkpoint| checkpoint.timestamp)
}

impl Waiting {
    /// Looks whether the transaction is committed: the answer, or itself.
    pub(crate) fn poll(mut self) -> Result<(Tail, Result<Timestamp, Error>), Self> {
        match Pin::new(&mut self.commit).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Ok((self.tail, outcome)),
            Poll::Pending => Err(self),
        }
    }
}
