//! A thread that drives one state machine.

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
    save::{SaveJob, Saved},
    seat::Reader,
};

/// How often leases, whose end nobody announces, are looked at.
const UPKEEP: Duration = Duration::from_millis(200);

/// A [`Driver`] on a thread of its own: it applies what is committed as soon as it is durable, and keeps the shard up;
/// snapshots are saved on another thread.
///
/// For one machine, or a few. Whoever has thousands drives them from a pool of threads, by hand. Dropped, it ends the
/// thread soon.
pub struct Runner<M: StateMachine> {
    boss: Boss<M>,
    reader: Reader<M>,
    thread: JoinHandle<(Driver<M>, Result<()>)>,
}

/// Gives orders, the last of them when it goes.
struct Boss<M: StateMachine>(Arc<Shared<M>>);

struct Shared<M: StateMachine> {
    orders: Mutex<Orders<M>>,
    changed: Condvar,
    /// What came to nothing last, and has not succeeded since.
    trouble: Mutex<Option<Error>>,
}

/// What the thread is to do.
struct Orders<M: StateMachine> {
    committed: Option<u64>,
    calls: Vec<Call<M>>,
    /// What a save on another thread came to.
    saved: Option<Saved>,
    stop: bool,
    /// Nobody takes orders any more.
    ended: bool,
}

type Call<M> = Box<dyn FnOnce(&mut Driver<M>) + Send>;

impl<M: StateMachine> Runner<M> {
    /// Starts a thread for `driver`. `applied` is called on it with whatever was applied, before anything else is: it
    /// answers whoever proposed the entries, and may tell the driver a new membership.
    ///
    /// # Errors
    /// When the system has no thread to give.
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

    /// Has `call` called with the driver, soon, on its thread; never, if that has ended. Calls keep their order.
    pub fn send(&self, call: impl FnOnce(&mut Driver<M>) + Send + 'static) {
        self.boss.order(|orders| orders.calls.push(Box::new(call)));
    }

    /// [`Runner::send`], and waits for what `call` gives: entries or a lease for a follower, say, or the installation
    /// of a snapshot. On the thread itself, where outputs are answered, it would wait for ever.
    ///
    /// # Errors
    /// [`Error::Closed`] when the thread has ended.
    pub fn call<T: Send + 'static>(&self, call: impl FnOnce(&mut Driver<M>) -> T + Send + 'static) -> Result<T> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.send(move |driver| {
            // Whoever asked waits for it.
            drop(answer.send(call(driver)));
        });
        answered.recv().map_err(|_| Error::Closed)
    }

    /// Who asks the machine something, from any thread.
    pub fn reader(&self) -> Reader<M> {
        self.reader.clone()
    }

    /// Whether the thread has ended by itself, because the driver failed. [`Runner::stop`] says with what.
    pub fn has_failed(&self) -> bool {
        self.boss.0.orders.lock().ended
    }

    /// Why the last upkeep or snapshot came to nothing; `None` if it did not. It is tried again.
    pub fn trouble(&self) -> Option<Error> {
        self.boss.0.trouble.lock().clone()
    }

    /// Ends the thread, and gives the driver back with what it failed with, if it has. A save under way is ended.
    ///
    /// # Panics
    /// With the panic of the machine, or of what was called with what was applied.
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

/// What runs on the thread.
struct Running<M: StateMachine, A> {
    driver: Driver<M>,
    applied: A,
    shared: Arc<Shared<M>>,
}

impl<M: StateMachine, A: FnMut(&mut Driver<M>, Applied<M::Output>)> Running<M, A> {
    fn run(&mut self) -> Result<()> {
        while self.take_orders()? {
            // What is committed is durable somewhere, and soon here.
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

    /// Waits for something to do, and does what is not for everybody. False when that is to stop.
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
            *self.shared.trouble.lock() = None;
            self.tolerate(finished)?;
        }
        Ok(!orders.stop)
    }

    /// Passes on what ends a driver. A snapshot or a compaction that came to nothing is tried again by policy.
    fn tolerate<T>(&self, outcome: Result<T>) -> Result<Option<T>> {
        use logboom::Error as Log;
        match outcome {
            Ok(done) => Ok(Some(done)),
            Err(error @ (Error::Halted { .. } | Error::Closed)) => Err(error),
            Err(error @ Error::Engine(Log::Closed | Log::Poisoned { .. })) => Err(error),
            Err(error) => {
                *self.shared.trouble.lock() = Some(error);
                Ok(None)
            }
        }
    }

    /// Has a snapshot saved on another thread. If there is none to be had, the policy asks again.
    fn save(&self, job: SaveJob<M>) {
        let shared = Arc::clone(&self.shared);
        let name = format!("rsm-{}-save", self.driver.shard().id().0);
        let spawned = thread::Builder::new().name(name).spawn(move || {
            let alive = Arc::clone(job.alive());
            // A panic of the machine's is a save that has failed.
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
        Self { orders: Mutex::default(), changed: Condvar::new(), trouble: Mutex::new(None) }
    }
}

impl<M: StateMachine> fmt::Debug for Runner<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("has_failed", &self.has_failed()).finish_non_exhaustive()
    }
}

/// Lets go of whoever waits for a call when the thread ends, in whatever way.
struct Ending<M: StateMachine>(Arc<Shared<M>>);

impl<M: StateMachine> Drop for Ending<M> {
    fn drop(&mut self) {
        let unanswered = std::mem::replace(&mut *self.0.orders.lock(), Orders { ended: true, ..Orders::default() });
        drop(unanswered);
    }
}
