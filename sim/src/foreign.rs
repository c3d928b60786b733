//! Callbacks and wakers that panic, or use the engine that calls them.

use std::{
    collections::BTreeSet,
    panic::resume_unwind,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Wake, Waker},
};

use logboom::{Durability, Engine, ShardId};
use logboom_wal::marks;

use crate::{
    check::{Check, Failure},
    choices::Choices,
};

/// The shard that callbacks write to, and nothing else does.
const THEIRS: ShardId = ShardId(1 << 40);

/// The action of a callback or waker besides taking the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Nothing,
    Panic,
    Read,
    Barrier,
    Write,
}

/// The state that callbacks share, and what they did. It lasts over restarts of the engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Foreign(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The running engine; none while one is closed, so that callbacks do not keep it alive.
    engine: Mutex<Option<Engine>>,
    /// Of the engine that lives.
    panics: AtomicU64,
    written: Mutex<Written>,
}

/// The keys that callbacks have put, each once.
#[derive(Debug, Default)]
struct Written {
    next: u64,
    submitted: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
}

impl Act {
    /// `percent` is how many do something.
    pub(crate) fn choose(choices: &mut Choices, percent: u64) -> Self {
        if choices.percent(percent) {
            choices.pick(&[Act::Panic, Act::Read, Act::Barrier, Act::Write, Act::Write])
        } else {
            Act::Nothing
        }
    }
}

impl Foreign {
    /// Lets callbacks use this engine.
    pub(crate) fn enter(&self, engine: &Engine) {
        *lock(&self.0.engine) = Some(engine.clone());
        self.0.panics.store(0, Ordering::Relaxed);
    }

    /// Lets callbacks use no engine, as this one ends.
    pub(crate) fn leave(&self) {
        let engine = lock(&self.0.engine).take();
        drop(engine);
    }

    /// Does what a callback or a waker does.
    pub(crate) fn act(&self, act: Act) {
        // Not below the lock: what is called may call this again.
        let engine = lock(&self.0.engine).clone();
        let Some(engine) = engine else { return };
        match act {
            Act::Nothing => {}
            Act::Panic => {
                marks::hit("foreign: it panics");
                self.0.panics.fetch_add(1, Ordering::Relaxed);
                drop(engine);
                resume_unwind(Box::new("foreign code panics"));
            }
            Act::Read => {
                marks::hit("foreign: it reads");
                let shard = engine.shard(ShardId(0));
                let bounds = shard.bounds();
                let last = bounds.last.unwrap_or(0);
                drop((shard.entries(last..last.saturating_add(1), u64::MAX), engine.health(), engine.metrics()));
            }
            Act::Barrier => {
                marks::hit("foreign: it waits for the log");
                drop(engine.barrier());
            }
            Act::Write => self.write(&engine),
        }
    }

    /// A waker that does this once it is woken.
    pub(crate) fn waker(&self, act: Act) -> Waker {
        Waker::from(Arc::new(Acts(self.clone(), act)))
    }

    fn write(&self, engine: &Engine) {
        let mut written = lock(&self.0.written);
        written.next += 1;
        let key = written.next;
        written.submitted.insert(key);
        drop(written);
        let mut batch = engine.batch();
        let put = batch.put(THEIRS, &key.to_le_bytes(), b"written by a callback").map(drop);
        match put.and_then(|()| engine.submit(batch, Durability::Durable)) {
            Ok(ticket) => {
                marks::hit("foreign: it writes");
                let inner = Arc::clone(&self.0);
                ticket.on_complete(move |outcome| {
                    if outcome.is_ok() {
                        lock(&inner.written).acknowledged.insert(key);
                    }
                });
            }
            // Refused, without a trace.
            Err(_) => drop(lock(&self.0.written).submitted.remove(&key)),
        }
    }

    /// Checks that all panics were caught and counted.
    ///
    /// # Errors
    /// [`Check::Foreign`].
    pub(crate) fn check_panics(&self, engine: &Engine) -> Result<(), Failure> {
        let (thrown, caught) = (self.0.panics.load(Ordering::Relaxed), engine.metrics().log.caught_panics);
        if caught < thrown {
            return Err(Failure::new(Check::Foreign, format!("{thrown} panics were thrown, {caught} caught")));
        }
        Ok(())
    }

    /// Checks that every acknowledged write of callbacks is there, and nothing that they did not write.
    ///
    /// # Errors
    /// [`Check::Foreign`].
    pub(crate) fn check_written(&self, engine: &Engine) -> Result<(), Failure> {
        let keys = engine.shard(THEIRS).scan(..).map_err(|error| Failure::new(Check::Foreign, format!("{error:#}")))?;
        let number = |key: &[u8]| key.try_into().map(u64::from_le_bytes).unwrap_or_default();
        let found: BTreeSet<u64> = keys.iter().map(|(key, _)| number(key)).collect();
        let mut written = lock(&self.0.written);
        let Written { submitted, acknowledged, .. } = &*written;
        if !acknowledged.is_subset(&found) || !found.is_subset(submitted) {
            let what = format!("of {submitted:?} {acknowledged:?} are acknowledged, and {found:?} are there");
            return Err(Failure::new(Check::Foreign, what));
        }
        // It is durable now, and what is not there is gone.
        (written.submitted, written.acknowledged) = (found.clone(), found);
        Ok(())
    }
}

struct Acts(Foreign, Act);

impl Wake for Acts {
    fn wake(self: Arc<Self>) {
        self.0.act(self.1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
