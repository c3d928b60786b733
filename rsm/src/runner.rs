//! `Runner`: a thread that drives one state machine.

use std::{
    fmt, io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use logboom::guarded;
use parking_lot::{Condvar, Mutex};

use crate::{
    driver::{Applied, Driver},
    error::{Error, Result},
    machine::StateMachine,
    machine_cell::Reader,
    save::{SaveJob, Saved},
};

/// How often the runner checks for leases that have ended: their end is not signalled.
const UPKEEP: Duration = Duration::from_millis(200);

/// A [`Driver`] on its own thread: applies committed entries as soon as they are durable, and compacts the log; saves
/// snapshots on another thread.
///
/// For one machine, or a few; drive thousands by hand from a pool of threads. Dropping it ends the thread soon.
pub struct Runner<M: StateMachine> {
    boss: Boss<M>,
    reader: Reader<M>,
    thread: JoinHandle<(Driver<M>, Result<()>)>,
}

/// Sends orders to the thread; dropping it sends the last one, to stop.
struct Boss<M: StateMachine>(Arc<Shared<M>>);

struct Shared<M: StateMachine> {
    orders: Mutex<Orders<M>>,
    changed: Condvar,
    /// The last failure of upkeep or of a save, until one succeeds.
    last_failure: Mutex<Option<Error>>,
}

/// Orders to the thread.
struct Orders<M: StateMachine> {
    committed: Option<u64>,
    calls: Vec<Call<M>>,
    /// The result of a save on another thread.
    saved: Option<Saved>,
    stop: bool,
    /// The thread has ended and takes no more orders.
    ended: bool,
}

type Call<M> = Box<dyn FnOnce(&mut Driver<M>) + Send>;

impl<M: StateMachine> Runner<M> {
    /// Starts a thread for `driver`. The thread calls `applied` with each batch of applied entries before it does
    /// anything else: the callback answers the clients that proposed them, and may set a new membership on the driver.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(
        driver: Driver<M>,
        applied: impl FnMut(&mut Driver<M>, Applied<M::Output>) + Send + 'static,
    ) -> io::Result<Self> {
        let (shared, reader) = (Arc::<Shared<M>>::default(), driver.reader());
        let name = format!("rsm-{}", driver.shard().id().0);
        let orders = Arc::clone(&shared);
        let thread = thread::Builder::new().name(name).spawn(move || {
            let _ending = Ending(Arc::clone(&orders));
            let mut running = Running { driver, applied, shared: orders };
            let outcome = running.run();
            (running.driver, outcome)
        })?;
        Ok(Self { boss: Boss(shared), reader, thread })
    }

    /// [`Driver::commit`].
    pub fn commit(&self, index: u64) {
        self.boss.order(|orders| orders.committed = orders.committed.max(Some(index)));
    }

    /// Runs `call` with the driver on its thread, soon; never, if the thread has ended. Calls run in order.
    pub fn send(&self, call: impl FnOnce(&mut Driver<M>) + Send + 'static) {
        self.boss.order(|orders| orders.calls.push(Box::new(call)));
    }

    /// [`Runner::send`] that waits for the result of `call`: entries or a lease for a follower, say, or the
    /// installation of a snapshot. Called on the thread itself, from `applied`, it would deadlock.
    ///
    /// # Errors
    /// [`Error::Closed`] when the thread has ended.
    pub fn call<T: Send + 'static>(&self, call: impl FnOnce(&mut Driver<M>) -> T + Send + 'static) -> Result<T> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.send(move |driver| {
            // The caller waits for it.
            drop(answer.send(call(driver)));
        });
        answered.recv().map_err(|_| Error::Closed)
    }

    /// A reader that queries the machine from any thread.
    pub fn reader(&self) -> Reader<M> {
        self.reader.clone()
    }

    /// Whether the thread has ended because the driver failed. [`Runner::stop`] returns the error.
    pub fn has_failed(&self) -> bool {
        self.boss.0.orders.lock().ended
    }

    /// The error of the last upkeep or snapshot, which is retried; `None` if it succeeded.
    pub fn last_failure(&self) -> Option<Error> {
        self.boss.0.last_failure.lock().clone()
    }

    /// Ends the thread and a running save, and returns the driver, and its error if it failed.
    ///
    /// # Panics
    /// With the panic of the machine, or of the `applied` callback.
    pub fn stop(self) -> (Driver<M>, Result<()>) {
        let Self { boss, thread, .. } = self;
        drop(boss);
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl<M: StateMachine> Boss<M> {
    fn order(&self, give: impl FnOnce(&mut Orders<M>)) {
        let mut orders = self.0.orders.lock();
        if !orders.ended {
            give(&mut orders);
            self.0.changed.notify_one();
        }
    }
}

impl<M: StateMachine> Drop for Boss<M> {
    fn drop(&mut self) {
        self.order(|orders| orders.stop = true);
    }
}

/// The thread's side.
struct Running<M: StateMachine, A> {
    driver: Driver<M>,
    applied: A,
    shared: Arc<Shared<M>>,
}

impl<M: StateMachine, A: FnMut(&mut Driver<M>, Applied<M::Output>)> Running<M, A> {
    fn run(&mut self) -> Result<()> {
        while self.take_orders()? {
            // A committed entry is durable on a majority, and soon here.
            self.driver.wait_durable()?;
            while let Some(applied) = self.driver.apply()? {
                (self.applied)(&mut self.driver, applied);
            }
            let upkeep = self.driver.upkeep();
            let upkeep = self.tolerate(upkeep)?;
            upkeep.and_then(|upkeep| upkeep.job).into_iter().for_each(|job| self.save(job));
        }
        self.driver.stop_job();
        Ok(())
    }

    /// Waits for orders, and runs calls and results of saves. Returns false when it is to stop.
    fn take_orders(&mut self) -> Result<bool> {
        let orders = {
            let mut orders = self.shared.orders.lock();
            if orders.is_empty() {
                self.shared.changed.wait_for(&mut orders, UPKEEP);
            }
            std::mem::take(&mut *orders)
        };
        orders.committed.into_iter().for_each(|index| self.driver.commit(index));
        orders.calls.into_iter().for_each(|call| call(&mut self.driver));
        if let Some(saved) = orders.saved {
            let finished = self.driver.finish(saved);
            *self.shared.last_failure.lock() = None;
            self.tolerate(finished)?;
        }
        Ok(!orders.stop)
    }

    /// Passes on errors that stop the driver. The policy retries a failed snapshot or compaction.
    fn tolerate<T>(&self, outcome: Result<T>) -> Result<Option<T>> {
        use logboom::Error as Log;
        match outcome {
            Ok(done) => Ok(Some(done)),
            Err(error @ (Error::Halted { .. } | Error::Closed)) => Err(error),
            Err(error @ Error::Engine(Log::Closed | Log::Poisoned { .. })) => Err(error),
            Err(error) => {
                *self.shared.last_failure.lock() = Some(error);
                Ok(None)
            }
        }
    }

    /// Saves a snapshot on another thread. If none can be started, the policy asks again.
    fn save(&self, job: SaveJob<M>) {
        let shared = Arc::clone(&self.shared);
        let name = format!("rsm-{}-save", self.driver.shard().id().0);
        let spawned = thread::Builder::new().name(name).spawn(move || {
            let alive = Arc::clone(job.alive());
            // A panic of the machine counts as a failed save.
            let saved = guarded(|| job.run())
                .unwrap_or_else(|panic| Saved { outcome: Err(Error::machine("save", (&*panic).into())), alive });
            shared.orders.lock().saved = Some(saved);
            shared.changed.notify_one();
        });
        drop(spawned);
    }
}

impl<M: StateMachine> Orders<M> {
    fn is_empty(&self) -> bool {
        self.committed.is_none() && self.calls.is_empty() && self.saved.is_none() && !self.stop
    }
}

impl<M: StateMachine> Default for Orders<M> {
    fn default() -> Self {
        Self { committed: None, calls: Vec::new(), saved: None, stop: false, ended: false }
    }
}

impl<M: StateMachine> Default for Shared<M> {
    fn default() -> Self {
        Self { orders: Mutex::default(), changed: Condvar::new(), last_failure: Mutex::new(None) }
    }
}

impl<M: StateMachine> fmt::Debug for Runner<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("has_failed", &self.has_failed()).finish_non_exhaustive()
    }
}

/// Wakes callers that wait for a call when the thread ends.
struct Ending<M: StateMachine>(Arc<Shared<M>>);

impl<M: StateMachine> Drop for Ending<M> {
    fn drop(&mut self) {
        let unanswered = std::mem::replace(&mut *self.0.orders.lock(), Orders { ended: true, ..Orders::default() });
        drop(unanswered);
    }
}
