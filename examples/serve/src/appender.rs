//! Appending from many tasks: who gets which index.

use logboom::{Durability, Engine, EntryId, Error, ShardId, Ticket};
use tokio::sync::Mutex;

use crate::{Answer, Request};

/// Gives each request the next index of its shard's log, and hands it to the engine.
///
/// In a replicated system a raft core decides on indexes and terms; here the first request does.
#[derive(Debug)]
pub struct Appender {
    engine: Engine,
    /// To ask for the next index and to append there is one step. It takes a microsecond and a copy of the payload; the
    /// lock is one that can be held while admission is awaited, which is when there is nothing else to do anyway.
    turn: Mutex<()>,
}

/// A request that is in the log, in order and readable, and not yet durable.
#[derive(Debug)]
#[must_use = "an acknowledgement is what comes of the ticket, not of its existence"]
pub struct Accepted {
    index: u64,
    ticket: Ticket,
}

impl Appender {
    /// Appends to the logs of `engine`.
    pub fn new(engine: Engine) -> Self {
        Self { engine, turn: Mutex::default() }
    }

    /// Accepts a request. Waits, without blocking the thread, while too many bytes await durability.
    ///
    /// # Errors
    /// Those of [`Engine::submit`]: the request is not in the log, and never will be.
    pub async fn append(&self, request: Request) -> Result<Accepted, Error> {
        let _turn = self.turn.lock().await;
        let index = self.next_index(request.shard);
        let mut batch = self.engine.batch();
        batch.append_payload(request.shard, EntryId { index, term: 0 }, request.payload)?;
        let ticket = self.engine.submit_async(batch, Durability::Durable).await?;
        Ok(Accepted { index, ticket })
    }

    fn next_index(&self, shard: ShardId) -> u64 {
        self.engine.shard(shard).next().unwrap_or(1)
    }
}

impl Accepted {
    /// Whether [`Accepted::answer`] has nothing to wait for.
    pub fn is_answered(&self) -> bool {
        self.ticket.is_done()
    }

    /// Waits until it is decided whether the request is durable.
    pub async fn answer(self) -> Answer {
        match self.ticket.await {
            Ok(()) => Answer::Durable { index: self.index },
            Err(_) => Answer::Unknown { index: self.index },
        }
    }
}
