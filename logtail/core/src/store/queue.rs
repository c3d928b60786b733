//! The requests to a store that have no outcome yet.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::{
    attempt::{Answer, Attempt, Content},
    error::{StoreError, StoreErrorKind},
    health::StoreHealth,
    put::{PutMachine, PutStep},
    request::{Outcome, Reply, Request, RequestId},
    retry::{Retry, RetryPolicy, Verdict},
};

/// How a queue treats its requests.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct QueueOptions {
    /// The most attempts in flight. 0 counts as 1.
    pub in_flight_max: usize,
    /// When puts, lists and deletes are tried again.
    pub writes: RetryPolicy,
    /// When gets are tried again.
    pub reads: RetryPolicy,
    /// Decides the pauses.
    pub seed: u64,
}

impl Default for QueueOptions {
    /// 16 attempts in flight; reads are given up after a minute, all else never.
    fn default() -> Self {
        let reads = RetryPolicy { patience: Some(Duration::from_secs(60)), ..RetryPolicy::default() };
        Self { in_flight_max: 16, writes: RetryPolicy::default(), reads, seed: 0 }
    }
}

/// The requests to a store, each until it has its outcome: which attempts to make, and when.
///
/// Attempts begin in the order in which they are due; one that has to wait holds nobody up. How many requests are open
/// is for the caller to bound, as their bytes stay in memory.
///
/// The queue reads no clock. Times are since whichever start the caller chose, and must not go backwards.
#[derive(Debug)]
pub struct StoreQueue {
    options: QueueOptions,
    jobs: BTreeMap<RequestId, Job>,
    /// What can begin now, in order.
    due: VecDeque<RequestId>,
    /// What pauses, by the end of the pause.
    pauses: BTreeSet<(Duration, RequestId)>,
    in_flight: usize,
    /// How many requests there have been: the next one's seed.
    count: u64,
}

/// The id is that of a request without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("request {} has no outcome yet: its id is in use", .0.0)]
pub struct IdInUse(pub RequestId);

#[derive(Debug)]
struct Job {
    request: Request,
    machine: Machine,
    in_flight: Option<InFlight>,
    failure: Option<Failure>,
}

/// When a request failed first and last, and how it failed last.
#[derive(Debug)]
struct Failure {
    since: Duration,
    at: Duration,
    error: StoreError,
}

#[derive(Debug)]
enum Machine {
    Put(PutMachine),
    Other(Retry),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InFlight {
    Request,
    ReadBack,
}

/// What follows an answer.
enum Next {
    Outcome(Outcome),
    At(Duration),
}

impl StoreQueue {
    /// An empty queue.
    pub fn new(options: QueueOptions) -> Self {
        Self { options, jobs: BTreeMap::new(), due: VecDeque::new(), pauses: BTreeSet::new(), in_flight: 0, count: 0 }
    }

    /// Takes a request. Its first attempt is due at once.
    ///
    /// # Errors
    /// [`IdInUse`]; nothing has changed then.
    pub fn submit(&mut self, id: RequestId, request: Request) -> Result<(), IdInUse> {
        if self.jobs.contains_key(&id) {
            return Err(IdInUse(id));
        }
        let seed = self.options.seed.wrapping_add(self.count);
        self.count = self.count.wrapping_add(1);
        let machine = match &request {
            Request::Put { .. } => Machine::Put(PutMachine::new(self.options.writes, seed)),
            Request::Get { .. } => Machine::Other(Retry::new(self.options.reads, seed)),
            Request::List { .. } | Request::Delete { .. } => Machine::Other(Retry::new(self.options.writes, seed)),
        };
        self.jobs.insert(id, Job { request, machine, in_flight: None, failure: None });
        self.due.push_back(id);
        Ok(())
    }

    /// The attempts to begin at `now`. Each is to be answered once, by [`done`](Self::done).
    pub fn step(&mut self, now: Duration) -> Vec<(RequestId, Attempt)> {
        while let Some((_, id)) = self.pauses.first().copied().filter(|(end, _)| *end <= now) {
            self.pauses.pop_first();
            self.due.push_back(id);
        }
        let mut begun = Vec::new();
        while self.in_flight < self.options.in_flight_max.max(1) {
            let Some(id) = self.due.pop_front() else { break };
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            begun.push((id, job.begin(now)));
            self.in_flight += 1;
        }
        begun
    }

    /// An attempt was answered at `now`. The outcome, if this is it; otherwise the request is tried again. An answer
    /// to what is not in flight changes nothing.
    pub fn done(&mut self, id: RequestId, answer: Answer, now: Duration) -> Option<Outcome> {
        let job = self.jobs.get_mut(&id)?;
        let attempt = job.in_flight.take()?;
        self.in_flight -= 1;
        match job.answered(attempt, answer, now) {
            Next::Outcome(outcome) => {
                self.jobs.remove(&id);
                Some(outcome)
            }
            Next::At(at) if at <= now => {
                self.due.push_back(id);
                None
            }
            Next::At(at) => {
                self.pauses.insert((at, id));
                None
            }
        }
    }

    /// When a pause ends, after which [`step`](Self::step) has something to begin. `None` where none is made.
    pub fn wake_at(&self) -> Option<Duration> {
        self.pauses.first().map(|(end, _)| *end)
    }

    /// Whether every request has its outcome.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Ends all requests, with the outcomes of those that had none. Of a put that was tried, the object may land.
    pub fn close(&mut self) -> Vec<(RequestId, Outcome)> {
        self.due.clear();
        self.pauses.clear();
        self.in_flight = 0;
        let closed = |job: Job| Err(StoreError::new(&job.request, StoreErrorKind::Closed));
        std::mem::take(&mut self.jobs).into_iter().map(|(id, job)| (id, closed(job))).collect()
    }

    /// What goes wrong now.
    pub fn health(&self) -> StoreHealth {
        let failures = || self.jobs.values().filter_map(|job| job.failure.as_ref());
        StoreHealth {
            failing: failures().count(),
            since: failures().map(|failure| failure.since).min(),
            last: failures().max_by_key(|failure| failure.at).map(|failure| failure.error.clone()),
            in_flight: self.in_flight,
            open: self.jobs.len(),
        }
    }
}

impl Job {
    fn begin(&mut self, now: Duration) -> Attempt {
        let is_read_back = matches!(&self.machine, Machine::Put(put) if put.next(now) == PutStep::ReadBack);
        if let (Request::Put { name, bytes, .. }, true) = (&self.request, is_read_back) {
            self.in_flight = Some(InFlight::ReadBack);
            return Attempt::ReadBack { name: name.clone(), bytes: bytes.clone() };
        }
        self.in_flight = Some(InFlight::Request);
        Attempt::Request(self.request.clone())
    }

    fn answered(&mut self, attempt: InFlight, answer: Answer, now: Duration) -> Next {
        match attempt {
            InFlight::Request => {
                let result = self.reply(answer);
                self.remember(result.as_ref().err(), now);
                self.request_done(result, now)
            }
            InFlight::ReadBack => {
                let result = self.content(answer);
                self.remember(result.as_ref().err(), now);
                if let Machine::Put(put) = &mut self.machine {
                    put.read_back_done(result.map_err(|error| error.kind), now);
                }
                self.put_next(now)
            }
        }
    }

    fn request_done(&mut self, result: Outcome, now: Duration) -> Next {
        match &mut self.machine {
            Machine::Put(put) => {
                put.put_done(result.map(|_| ()).map_err(|error| error.kind), now);
                self.put_next(now)
            }
            Machine::Other(retry) => match result {
                Err(error) => match retry.failed(error.kind, now) {
                    Verdict::Again(at) => Next::At(at),
                    Verdict::GiveUp => Next::Outcome(Err(error)),
                },
                reply => Next::Outcome(reply),
            },
        }
    }

    fn put_next(&self, now: Duration) -> Next {
        let Machine::Put(put) = &self.machine else { return Next::At(now) };
        match put.next(now) {
            PutStep::Put | PutStep::ReadBack => Next::At(now),
            PutStep::Wait(until) => Next::At(until),
            PutStep::Ended(Ok(())) => Next::Outcome(Ok(Reply::Put)),
            PutStep::Ended(Err(kind)) => {
                let last = self.failure.as_ref().map(|failure| &failure.error).filter(|error| error.kind == kind);
                Next::Outcome(Err(last.cloned().unwrap_or_else(|| StoreError::new(&self.request, kind))))
            }
        }
    }

    fn remember(&mut self, error: Option<&StoreError>, now: Duration) {
        if let Some(error) = error.cloned() {
            let since = self.failure.as_ref().map_or(now, |failure| failure.since);
            self.failure = Some(Failure { since, at: now, error });
        }
    }

    /// The reply of an answer to the request, if it is whole: a driver hands on what a store said.
    fn reply(&self, answer: Answer) -> Outcome {
        let fault = |kind| Err(StoreError::new(&self.request, kind));
        match (&self.request, answer) {
            (Request::Delete { .. }, Answer::Failed(error)) if error.kind == StoreErrorKind::NotFound => {
                Ok(Reply::Deleted)
            }
            (_, Answer::Failed(error)) => Err(error),
            (Request::Get { ranges, .. }, Answer::Reply(Reply::Got(got))) => {
                let is_whole = |(range, bytes): (&std::ops::Range<u64>, &bytes::Bytes)| {
                    range.end.checked_sub(range.start) == u64::try_from(bytes.len()).ok()
                };
                if ranges.len() == got.len() && ranges.iter().zip(&got).all(is_whole) {
                    return Ok(Reply::Got(got));
                }
                fault(StoreErrorKind::OutOfRange)
            }
            (Request::Put { .. }, Answer::Reply(reply @ Reply::Put))
            | (Request::List { .. }, Answer::Reply(reply @ Reply::Listed(_)))
            | (Request::Delete { .. }, Answer::Reply(reply @ Reply::Deleted)) => Ok(reply),
            (_, Answer::Reply(_) | Answer::ReadBack(_)) => fault(StoreErrorKind::Unavailable),
        }
    }

    fn content(&self, answer: Answer) -> Result<Content, StoreError> {
        match answer {
            Answer::ReadBack(content) => Ok(content),
            Answer::Failed(error) => Err(error),
            Answer::Reply(_) => Err(StoreError::new(&self.request, StoreErrorKind::Unavailable)),
        }
    }
}
