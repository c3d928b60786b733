//! A pool of a few threads that read from the disk for futures. Threads start when they are needed.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use logboom_wal::guarded;
use parking_lot::{Condvar, Mutex};

use crate::{
    read::{entries::EntryBatch, query::Query},
    types::error::{Error, read_error::ReadError},
};

/// The most threads of the pool.
const THREADS_MAX: usize = 4;

/// The pool and its queue.
pub(crate) struct Readers {
    /// Without threads, a future reads when it is polled: a simulation must control all work.
    threaded: bool,
    queue: Mutex<Queue>,
    signal: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<(Query, Arc<PendingRead>)>,
    threads: usize,
    idle: usize,
    stopped: bool,
}

/// The result of a queued read, and the waker of its future.
#[derive(Default)]
struct PendingRead {
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
    NotStarted,
    Queued(Arc<PendingRead>),
}

impl Readers {
    pub(crate) fn new(threaded: bool) -> Arc<Self> {
        Arc::new(Self { threaded, queue: Mutex::default(), signal: Condvar::new() })
    }

    /// Stops the threads after the queued reads.
    pub(crate) fn stop(&self) {
        self.queue.lock().stopped = true;
        self.signal.notify_all();
    }

    /// Queues a read; false if there are no threads.
    fn enqueue(self: &Arc<Self>, query: &Query, pending: &Arc<PendingRead>) -> bool {
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
        queue.jobs.push_back((query.clone(), Arc::clone(pending)));
        drop(queue);
        self.signal.notify_one();
        true
    }

    fn run(&self) {
        while let Some((query, pending)) = self.next() {
            // A count of one: the future was dropped.
            if Arc::strong_count(&pending) > 1 {
                pending.fill(answer(&query));
            }
        }
    }

    fn next(&self) -> Option<(Query, Arc<PendingRead>)> {
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

impl PendingRead {
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

/// Runs a query. A panic becomes an error: its future would wait forever otherwise.
fn answer(query: &Query) -> Result<EntryBatch, ReadError> {
    guarded(|| query.read()).unwrap_or_else(|panic| {
        tracing::error!(panic = &*panic, "a read has panicked");
        let error = Error::Bug { what: format!("a read has panicked: {panic}").into() };
        Err(ReadError::Log { shard: query.id, error: error.into() })
    })
}

impl EntriesFuture {
    /// Tries to read from memory at once.
    pub(crate) fn new(query: Query) -> Self {
        let state = query.try_read().map_or(State::NotStarted, |outcome| State::Ready(Some(outcome)));
        Self { query, state }
    }

    /// Of a query that needs the disk.
    pub(crate) fn cold(query: Query) -> Self {
        Self { query, state: State::NotStarted }
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
        if let State::NotStarted = self.state {
            let pending = Arc::new(PendingRead::default());
            if !self.query.store.readers.enqueue(&self.query, &pending) {
                self.state = State::Ready(None);
                return Poll::Ready(self.query.read());
            }
            self.state = State::Queued(pending);
        }
        match &mut self.state {
            State::Queued(pending) => pending.poll(context.waker()),
            // A future that is polled after its end reads again, rather than never ending.
            State::Ready(outcome) => Poll::Ready(outcome.take().unwrap_or_else(|| self.query.read())),
            State::NotStarted => Poll::Pending,
        }
    }
}

impl fmt::Debug for EntriesFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntriesFuture").field("range", &self.query.range).finish_non_exhaustive()
    }
}
