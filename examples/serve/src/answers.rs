//! The answers of one connection: in order, many at a time.

use tokio::sync::mpsc::Receiver;

use crate::{Accepted, Answer};

/// Requests of a connection that are accepted while their answers are outstanding. Beyond that nothing is read from it.
pub const IN_FLIGHT_MAX: usize = 256;

/// A request that waits for its answer: accepted, or refused with the reason.
pub(crate) type Waiting = Result<Accepted, logboom::Error>;

/// Waits for the answers of a connection's requests, in the order in which these were sent.
#[derive(Debug)]
pub struct Answers {
    waiting: Receiver<Waiting>,
    /// The request that comes next, if it was looked at and could not be answered at once.
    next: Option<Waiting>,
}

impl Answers {
    pub(crate) fn new(waiting: Receiver<Waiting>) -> Self {
        Self { waiting, next: None }
    }

    /// Waits for the next answer, and adds it and all that can be had without waiting to `out`. False when there are no
    /// more.
    ///
    /// One sync of the disk makes many requests durable, so that many answers become one write to the connection.
    pub async fn collect(&mut self, out: &mut Vec<u8>) -> bool {
        let first = match self.next.take() {
            Some(next) => next,
            None => match self.waiting.recv().await {
                Some(next) => next,
                None => return false,
            },
        };
        answer(first).await.encode(out);
        while let Ok(next) = self.waiting.try_recv() {
            if next.as_ref().is_ok_and(|accepted| !accepted.is_answered()) {
                self.next = Some(next);
                break;
            }
            answer(next).await.encode(out);
        }
        true
    }
}

async fn answer(waiting: Waiting) -> Answer {
    match waiting {
        Ok(accepted) => accepted.answer().await,
        Err(_) => Answer::Refused,
    }
}
