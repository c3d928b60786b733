//! `Calls`: requests to other nodes and their answers, over links that may lose either.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes};
use logboom_rsm::Failure;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::messages::{Answer, Question};
use crate::links::Links;

/// The requests that wait for an answer.
#[derive(Debug)]
pub(crate) struct Calls {
    links: Links,
    asked: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Bytes>>>,
    pub(crate) frames: AtomicU64,
}

/// A frame that arrived.
pub(crate) enum Arrived {
    /// A request to a shard, and the number that its answer must have.
    Question { number: u64, shard: u64, question: Question },
    /// An answer, which was passed to the caller that waits for it.
    Answer,
}

/// Forgets a request when its caller stops waiting.
struct Waiting<'c>(&'c Calls, u64);

impl Calls {
    pub(crate) fn new(links: &Links) -> Self {
        let (asked, frames) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { links: links.clone(), asked, waiting: Mutex::default(), frames }
    }

    /// Sends a request, and waits at most `patience` for the answer.
    pub(crate) async fn ask(
        &self,
        peer: u64,
        shard: u64,
        question: Question,
        patience: Duration,
    ) -> Result<Answer, Failure> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().insert(number, sender);
        let _waiting = Waiting(self, number);

        let mut frame = Vec::new();
        frame.put_u8(0);
        frame.put_u64_le(number);
        frame.put_u64_le(shard);
        question.put(&mut frame);
        self.send(peer, frame)?;
        let answer = tokio::time::timeout(patience, answer).await??;
        Answer::take(&answer).ok_or_else(|| "what arrives is no answer".into())
    }

    pub(crate) fn answer(&self, peer: u64, number: u64, answer: &Answer) {
        let mut frame = Vec::new();
        frame.put_u8(1);
        frame.put_u64_le(number);
        answer.put(&mut frame);
        // If the answer is lost, the caller's wait times out.
        self.send(peer, frame).unwrap_or(());
    }

    /// Takes a frame from another node.
    pub(crate) fn take(&self, mut frame: Bytes) -> Result<Arrived, Failure> {
        let is_answer = frame.try_get_u8()? != 0;
        let number = frame.try_get_u64_le()?;
        if is_answer {
            if let Some(waiting) = self.waiting.lock().remove(&number) {
                waiting.send(frame).unwrap_or_default();
            }
            return Ok(Arrived::Answer);
        }
        let shard = frame.try_get_u64_le()?;
        let question = Question::take(frame).ok_or("what arrives is no question")?;
        Ok(Arrived::Question { number, shard, question })
    }

    fn send(&self, peer: u64, frame: Vec<u8>) -> Result<(), Failure> {
        self.frames.fetch_add(1, Ordering::Relaxed);
        if self.links.send(peer, frame) { Ok(()) } else { Err("the connection is gone".into()) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.lock().remove(&self.1);
    }
}
