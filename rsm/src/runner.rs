//! A thread that drives one state machine.

use std::{
    fmt,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::{Applied, Driver, Error, Reader, Result, SaveJob, Saved, StateMachine};

/// How often followers and leases, whose changes nobody announces, are looked at.
const UPKEEP: Duration = Duration::from_millis(200);

/// A [`Driver`] on a thread of its own: it applies what is committed as soon as it is durable, and keeps the shard up;
/// snapshots of machines that are saved beside updates are saved on another thread.
///
/// For one machine, or a few. Whoever has thousands drives them from a pool of threads, by hand.
pub struct Runner<M: StateMachine> {
    shared: Arc<Shared>,
    reader: Reader<M>,
    thread: JoinHandle<(Driver<M>, Result<()>)>,
}

#[derive(Default)]
struct Shared {
    orders: Mutex<Orders>,
    changed: Condvar,
    /// What came to nothing last, and has not succeeded since.
    trouble: Mutex<Option<Error>>,
}

/// What the thread is to do.
#[derive(Default)]
struct Orders {
    committed: Option<u64>,
    followers: Vec<(u64, Option<u64>)>,
    snapshot: bool,
    stop: bool,
    /// What a save on another thread came to.
    saved: Option<Saved>,
}

impl<M: StateMachine> Runner<M> {
    /// Starts a thread for `driver`. `applied` is called on it with whatever was applied, before anything else is: it
    /// answers whoever proposed the entries, and may tell the driver a new membership.
    ///
    /// # Errors
    /// [`Error::Engine`] when the system has no thread to give.
    pub fn start(
        driver: Driver<M>,
        applied: impl FnMut(&mut Driver<M>, Applied<M::Output>) + Send + 'static,
    ) -> Result<Self> {
        let (shared, reader) = (Arc::<Shared>::default(), driver.reader());
        let orders = Arc::clone(&shared);
        let name = format!("rsm-{}", driver.shard().id().0);
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || {
                let mut running = Running { driver, applied, shared: orders };
                let outcome = running.run();
                (running.driver, outcome)
            })
            .map_err(Error::io)?;
        Ok(Self { shared, reader, thread })
    }

    /// [`Driver::commit`].
    pub fn commit(&self, index: u64) {
        self.order(|orders| orders.committed = orders.committed.max(Some(index)));
    }

    /// [`Driver::follow`].
    pub fn follow(&self, follower: u64, needs: u64) {
        self.order(|orders| orders.followers.push((follower, Some(needs))));
    }

    /// [`Driver::unfollow`].
    pub fn unfollow(&self, follower: u64) {
        self.order(|orders| orders.followers.push((follower, None)));
    }

    /// [`Driver::request_snapshot`].
    pub fn request_snapshot(&self) {
        self.order(|orders| orders.snapshot = true);
    }

    /// Who asks the machine something, from any thread.
    pub fn reader(&self) -> Reader<M> {
        self.reader.clone()
    }

    /// Whether the thread has ended by itself, because the driver failed. [`Runner::stop`] says with what.
    pub fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Why the last upkeep or snapshot came to nothing; `None` if it did not. It is tried again.
    pub fn trouble(&self) -> Option<Error> {
        self.shared.trouble.lock().clone()
    }

    /// Ends the thread, and gives the driver back with what it failed with, if it has. A save under way is ended.
    ///
    /// # Panics
    /// With the panic of the machine, or of what was called with what was applied.
    pub fn stop(self) -> (Driver<M>, Result<()>) {
        self.order(|orders| orders.stop = true);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn order(&self, give: impl FnOnce(&mut Orders)) {
        give(&mut self.shared.orders.lock());
        self.shared.changed.notify_one();
    }
}

/// What runs on the thread.
struct Running<M: StateMachine, A> {
    driver: Driver<M>,
    applied: A,
    shared: Arc<Shared>,
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

    /// Waits for something to do, and notes it. False when that is to stop.
    fn take_orders(&mut self) -> Result<bool> {
        let Orders { committed, followers, snapshot, stop, saved } = {
            let mut orders = self.shared.orders.lock();
            if orders.is_empty() {
                self.shared.changed.wait_for(&mut orders, UPKEEP);
            }
            std::mem::take(&mut *orders)
        };
        committed.into_iter().for_each(|index| self.driver.commit(index));
        for (follower, needs) in followers {
            match needs {
                Some(needs) => self.driver.follow(follower, needs),
                None => self.driver.unfollow(follower),
            }
        }
        if snapshot {
            self.driver.request_snapshot();
        }
        if let Some(saved) = saved {
            let finished = self.driver.finish(saved);
            *self.shared.trouble.lock() = None;
            self.tolerate(finished)?;
        }
        Ok(!stop)
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
            let saved = job.run();
            shared.orders.lock().saved = Some(saved);
            shared.changed.notify_one();
        });
        drop(spawned);
    }
}

impl Orders {
    fn is_empty(&self) -> bool {
        let Self { committed, followers, snapshot, stop, saved } = self;
        committed.is_none() && followers.is_empty() && !snapshot && !stop && saved.is_none()
    }
}

impl<M: StateMachine> fmt::Debug for Runner<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("has_failed", &self.has_failed()).finish_non_exhaustive()
    }
}
