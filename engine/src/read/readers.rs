//! Reads from disk for those who cannot block: a few threads, started when they are needed.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use logboom_wal::guarded;
use parking_lot::{Condvar, Mutex};

use crate::{
    read::{entries::EntryBatch, query::Query},
    types::error::{Error, ReadError},
};

/// The most threads that read for futures.
const THREADS_MAX: usize = 4;

/// The threads and what they are asked for.
pub(crate) struct Readers {
    /// Without threads, a future reads when it is polled: nothing happens behind a simulation's back.
    threaded: bool,
    queue: Mutex<Queue>,
    signal: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<(Query, Arc<Slot>)>,
    threads: usize,
    idle: usize,
    stopped: bool,
}

/// Where the answer to one question goes.
#[derive(Default)]
struct Slot {
    answer: Mutex<Answer>,
}

#[derive(Default)]
struct Answer {
    outcome: Option<Result<EntryBatch, ReadError>>,
    waker: Option<Waker>,
}

/// Entries that are on their way: a future of no particular runtime.
///
/// Nothing is read before the first poll; dropping it gives up. The read runs on a thread of the engine, so any
/// executor may poll it.
#[must_use = "nothing is read unless the future is polled or waited for"]
pub struct EntriesFuture {
    query: Query,
    state: State,
}

enum State {
    Ready(Option<Result<EntryBatch, ReadError>>),
    Unasked,
    Asked(Arc<Slot>),
}

impl Readers {
    pub(crate) fn new(threaded: bool) -> Arc<Self> {
        Arc::new(Self { threaded, queue: Mutex::default(), signal: Condvar::new() })
    }

    /// Ends the threads when they have answered what they were asked.
    pub(crate) fn stop(&self) {
        self.queue.lock().stopped = true;
        self.signal.notify_all();
    }

    /// Takes over a question; false if there is nobody to answer it.
    fn ask(self: &Arc<Self>, query: &Query, slot: &Arc<Slot>) -> bool {
        let mut queue = self.queue.lock();
        if !self.threaded || queue.stopped {
            return false;
        }
        if queue.idle == 0 && queue.threads < THREADS_MAX {
            let readers = Arc::clone(self);
            let thread = std::thread::Builder::new().name("logboom-read".to_owned()).spawn(move || readers.run());
            queue.threads += usize::from(thread.is_ok());
        }
        if queue.threads == 0 {
            return false;
        }
        queue.jobs.push_back((query.clone(), Arc::clone(slot)));
        drop(queue);
        self.signal.notify_one();
        true
    }

    fn run(&self) {
        while let Some((query, slot)) = self.next() {
            // Nobody else holds the slot of a future that was dropped.
            if Arc::strong_count(&slot) > 1 {
                slot.fill(answer(&query));
            }
        }
    }

    fn next(&self) -> Option<(Query, Arc<Slot>)> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.stopped {
                return None;
            }
            queue.idle += 1;
            self.signal.wait(&mut queue);
            queue.idle -= 1;
        }
    }
}

impl Slot {
    fn fill(&self, outcome: Result<EntryBatch, ReadError>) {
        let mut answer = self.answer.lock();
        answer.outcome = Some(outcome);
        let waker = answer.waker.take();
        drop(answer);
        if let Some(waker) = waker
            && let Err(panic) = guarded(|| waker.wake())
        {
            tracing::error!(panic = &*panic, "a waker has panicked");
        }
    }

    fn poll(&self, waker: &Waker) -> Poll<Result<EntryBatch, ReadError>> {
        // A waker is foreign code, from its clone to its drop: none of it with the answer locked.
        let waker = waker.clone();
        let mut answer = self.answer.lock();
        if let Some(outcome) = answer.outcome.take() {
            drop(answer);
            return Poll::Ready(outcome);
        }
        let replaced = answer.waker.replace(waker);
        drop(answer);
        drop(replaced);
        Poll::Pending
    }
}

/// What a query reads; an error in place of a panic, which would leave who asked waiting.
fn answer(query: &Query) -> Result<EntryBatch, ReadError> {
    guarded(|| query.read()).unwrap_or_else(|panic| {
        tracing::error!(panic = &*panic, "a read has panicked");
        Err(ReadError::Io(Error::io("reading entries", io::Error::other(&*panic))))
    })
}

impl EntriesFuture {
    /// Reads from memory now, or else when it is polled.
    pub(crate) fn new(query: Query) -> Self {
        let state = query.try_read().map_or(State::Unasked, |outcome| State::Ready(Some(outcome)));
        Self { query, state }
    }

    /// What memory had no answer to.
    pub(crate) fn cold(query: Query) -> Self {
        Self { query, state: State::Unasked }
    }

    /// Reads in the calling thread, blocking.
    ///
    /// # Errors
    /// As [`Shard::entries`](crate::Shard::entries).
    pub fn wait(self) -> Result<EntryBatch, ReadError> {
        match self.state {
            State::Ready(Some(outcome)) => outcome,
            _ => self.query.read(),
        }
    }
}

impl Future for EntriesFuture {
    type Output = Result<EntryBatch, ReadError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Unasked = self.state {
            let slot = Arc::new(Slot::default());
            if !self.query.store.readers.ask(&self.query, &slot) {
                self.state = State::Ready(None);
                return Poll::Ready(self.query.read());
            }
            self.state = State::Asked(slot);
        }
        match &mut self.state {
            State::Asked(slot) => slot.poll(context.waker()),
            // A future that is polled after its end reads again, rather than never ending.
            State::Ready(outcome) => Poll::Ready(outcome.take().unwrap_or_else(|| self.query.read())),
            State::Unasked => Poll::Pending,
        }
    }
}

impl fmt::Debug for EntriesFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntriesFuture").field("range", &self.query.range).finish_non_exhaustive()
    }
}
