//! The queue of the blocking backend: a few threads that perform the operations.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{
    disk::{Completion, Op, OpKind, Queue, Wait, Wake},
    facts::Geometry,
    lock::DirLock,
    process::Process,
};

/// Operations in flight in threads of the queue's own, started when they are first needed.
pub(crate) struct BlockingQueue {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    threads_max: usize,
    geometry: Geometry,
    /// The process whose threads these are.
    process: Process,
    /// Completions of operations that were submitted in a forked child, all failed.
    refused: Vec<Completion>,
    /// Held until every operation is done.
    _lock: Option<Arc<DirLock>>,
}

impl BlockingQueue {
    pub(crate) fn new(depth: u32, geometry: Geometry, lock: Option<Arc<DirLock>>) -> Self {
        BlockingQueue {
            shared: Arc::default(),
            threads: Vec::new(),
            threads_max: THREADS_MAX.min(depth as usize),
            geometry,
            process: Process::this(),
            refused: Vec::new(),
            _lock: lock,
        }
    }

    /// Adds a thread if the others are busy. If no thread can be started at all, performs the operation in the calling
    /// thread: a process at its thread limit still gets its data written.
    fn staff(&mut self) {
        let state = self.shared.state.lock();
        if state.ready.len() <= state.idle || self.threads.len() >= self.threads_max {
            return;
        }
        drop(state);
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name("logboom-io".into()).spawn(move || shared.work());
        match thread {
            Ok(thread) => self.threads.push(thread),
            Err(_) if self.threads.is_empty() => self.shared.work_off(),
            Err(_) => {}
        }
    }
}

impl Queue for BlockingQueue {
    fn submit(&mut self, op: Op) {
        // Asserted here, in the submitting thread: a panic in a worker would go unnoticed.
        match &op.kind {
            OpKind::Write { slices, offset, .. } => self.geometry.assert_write(slices, *offset),
            OpKind::Read { region, offset } => self.geometry.assert_read(region, *offset),
            OpKind::SyncData => {}
        }
        if let Err(error) = self.process.require() {
            self.refused.push(op.refuse(error));
            return;
        }
        let mut state = self.shared.state.lock();
        state.in_flight += 1;
        state.ready.push_back(op);
        drop(state);
        self.shared.work_arrived.notify_one();
        self.staff();
    }

    fn reap(&mut self, wait: Wait, completions: &mut Vec<Completion>) {
        if !self.process.is_this() {
            completions.append(&mut self.refused);
            return;
        }
        let mut state = self.shared.state.lock();
        if state.done.is_empty() {
            self.shared.wait(&mut state, wait);
        }
        state.in_flight -= state.done.len();
        completions.append(&mut state.done);
    }

    fn in_flight(&self) -> usize {
        if self.process.is_this() { self.shared.state.lock().in_flight } else { self.refused.len() }
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.shared) as Arc<dyn Wake>
    }
}

impl Drop for BlockingQueue {
    fn drop(&mut self) {
        if !self.process.is_this() {
            // A forked child has no threads to join, and locks that they held are never released there.
            mem::forget(mem::take(&mut self.threads));
            return;
        }
        self.shared.state.lock().closed = true;
        self.shared.work_arrived.notify_all();
        for thread in self.threads.drain(..) {
            // A worker that panicked did so in an operation, and the submitter that drops the queue does not wait for
            // its result.
            drop(thread.join());
        }
    }
}

impl fmt::Debug for BlockingQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingQueue").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

/// Enough for the device to overlap writes. Deeper queues need the ring backend.
const THREADS_MAX: usize = 4;

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// An operation is ready, or the queue is closed.
    work_arrived: Condvar,
    /// A completion is there, or the waiter is woken.
    wait_ended: Condvar,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Op>,
    done: Vec<Completion>,
    in_flight: usize,
    idle: usize,
    woken: bool,
    closed: bool,
}

impl Shared {
    /// Runs a worker until the queue is closed and empty.
    fn work(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(op) = state.ready.pop_front() {
                MutexGuard::unlocked(&mut state, || self.perform(op));
            } else if state.closed {
                return;
            } else {
                state.idle += 1;
                self.work_arrived.wait(&mut state);
                state.idle -= 1;
            }
        }
    }

    /// Performs all queued operations in the submitting thread.
    fn work_off(&self) {
        while let Some(op) = self.pop() {
            self.perform(op);
        }
    }

    fn pop(&self) -> Option<Op> {
        self.state.lock().ready.pop_front()
    }

    fn perform(&self, op: Op) {
        let completion = op.perform();
        self.state.lock().done.push(completion);
        self.wait_ended.notify_one();
    }

    /// Waits for a completion or for being woken.
    fn wait(&self, state: &mut MutexGuard<'_, State>, wait: Wait) {
        let waits = |state: &mut State| state.done.is_empty() && !state.woken;
        match wait {
            Wait::No => return,
            Wait::Forever => self.wait_ended.wait_while(state, waits),
            Wait::For(duration) => match Instant::now().checked_add(duration) {
                Some(deadline) => drop(self.wait_ended.wait_while_until(state, waits, deadline)),
                None => self.wait_ended.wait_while(state, waits),
            },
        }
        state.woken = false;
    }
}

impl Wake for Shared {
    fn wake(&self) {
        self.state.lock().woken = true;
        self.wait_ended.notify_one();
    }
}
