//! Where engines are opened in tests, and how their background is driven.

use std::{
    future::Future,
    path::PathBuf,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use logboom::{
    Config, Engine, Entry, EntryId, ManualClock, Runtime, Shard, ShardId,
    disk::{SimDisk, SimOptions},
};
use tempfile::TempDir;

pub(crate) const A: ShardId = ShardId(1);
pub(crate) const B: ShardId = ShardId(2);
pub(crate) const C: ShardId = ShardId(u64::MAX);

/// A directory, simulated or real, that engines are opened in one after the other.
pub(crate) struct Ground {
    pub config: Config,
    kind: Kind,
}

enum Kind {
    Sim { disk: Mutex<Arc<SimDisk>>, clock: Arc<ManualClock> },
    Real(#[expect(dead_code, reason = "removes the directory when it goes")] TempDir),
}

/// Runs a test on the simulated and on the real disk.
pub(crate) fn each(test: impl Fn(&Ground)) {
    test(&Ground::sim(7));
    test(&Ground::real());
}

/// Small segments: every test crosses a few.
pub(crate) fn small(dir: impl Into<PathBuf>) -> Config {
    let mut config = Config::new(dir);
    config.segment_bytes = 256 << 10;
    config.reserve_segments = 1;
    config.disk.lock_wait = Duration::from_secs(5);
    config
}

/// A directory beside the build: never a tmpfs.
pub(crate) fn temp_dir() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

impl Ground {
    pub(crate) fn sim(seed: u64) -> Self {
        Self::on(SimDisk::new(seed, SimOptions::default()), seed)
    }

    pub(crate) fn on(disk: Arc<SimDisk>, seed: u64) -> Self {
        let kind = Kind::Sim { disk: Mutex::new(disk), clock: ManualClock::new(seed) };
        Self { config: small("simulated"), kind }
    }

    pub(crate) fn real() -> Self {
        let dir = temp_dir();
        Self { config: small(dir.path().join("log")), kind: Kind::Real(dir) }
    }

    pub(crate) fn open(&self) -> Engine {
        self.try_open().unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn try_open(&self) -> logboom::Result<Engine> {
        match &self.kind {
            Kind::Sim { disk, clock } => {
                let (disk, clock) = (Arc::clone(&disk.lock().unwrap()), Arc::clone(clock));
                Engine::open_on(disk, self.config.clone(), Runtime::Manual(clock))
            }
            Kind::Real(_) => Engine::open(self.config.clone()),
        }
    }

    /// Closes an engine and opens another.
    pub(crate) fn reopen(&self, engine: Engine) -> Engine {
        engine.close().unwrap();
        self.open()
    }

    /// The simulated disk.
    pub(crate) fn disk(&self) -> Arc<SimDisk> {
        match &self.kind {
            Kind::Sim { disk, .. } => Arc::clone(&disk.lock().unwrap()),
            Kind::Real(_) => panic!("a real disk"),
        }
    }

    /// Goes on with what a crash left.
    pub(crate) fn replace_disk(&self, with: Arc<SimDisk>) {
        match &self.kind {
            Kind::Sim { disk, .. } => *disk.lock().unwrap() = with,
            Kind::Real(_) => panic!("a real disk"),
        }
    }

    /// Lets time pass, and the background work.
    pub(crate) fn pass(&self, engine: &Engine, time: Duration) {
        match &self.kind {
            Kind::Sim { clock, .. } => {
                let steps = 10;
                for _ in 0..steps {
                    clock.advance(time / steps);
                    drive(engine);
                }
            }
            Kind::Real(_) => thread::sleep(time),
        }
    }

    /// Lets time pass until `condition` holds.
    pub(crate) fn until(&self, engine: &Engine, what: &str, condition: impl Fn() -> bool) {
        let begun = Instant::now();
        while !condition() {
            assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain: {what}\n{:?}", engine.metrics());
            self.pass(engine, Duration::from_millis(10));
        }
    }

    pub(crate) fn is_sim(&self) -> bool {
        matches!(self.kind, Kind::Sim { .. })
    }
}

/// Drives an engine without threads until it has nothing to do.
pub(crate) fn drive(engine: &Engine) {
    for _ in 0..100_000 {
        if !engine.drive_once() {
            return;
        }
    }
    panic!("the background does not come to rest");
}

/// Appends entries of one term durably.
pub(crate) fn append(engine: &Engine, shard: ShardId, indexes: std::ops::Range<u64>, term: u64) {
    let mut batch = engine.batch();
    for index in indexes {
        let payload = payload(shard, index, term);
        batch.append_payload(shard, EntryId { index, term }, bytes::Bytes::from(payload)).unwrap();
    }
    engine.write(batch).unwrap();
}

/// Does operations durably.
pub(crate) fn write(engine: &Engine, fill: impl FnOnce(&mut logboom::Batch<'_>) -> logboom::Result<()>) {
    let mut batch = engine.batch();
    fill(&mut batch).unwrap();
    engine.write(batch).unwrap();
}

/// What [`append`] gives an entry.
pub(crate) fn payload(shard: ShardId, index: u64, term: u64) -> Vec<u8> {
    let len = 20 + (index % 97) as usize;
    let mut payload = format!("{}/{index}/{term}/", shard.0).into_bytes();
    payload.resize(payload.len() + len, index as u8);
    payload
}

/// Checks that a shard holds exactly the entries that [`append`] makes, in one term.
pub(crate) fn check(shard: &Shard, indexes: std::ops::Range<u64>, term: u64) {
    assert_eq!(shard.bounds().first, Some(indexes.start), "{shard:?}");
    assert_eq!(shard.bounds().last, Some(indexes.end - 1), "{shard:?}");
    let mut next = indexes.start;
    while next < indexes.end {
        let entries = shard.entries(next..indexes.end, 10_000).unwrap();
        assert!(!entries.is_empty());
        for entry in &entries {
            assert_eq!((entry.index, entry.term), (next, term));
            assert_eq!(entry.payload, payload(shard.id(), next, term), "entry {next} of {shard:?}");
            next += 1;
        }
    }
}

/// Entries of one term with the payloads of [`append`], made to last for the test.
pub(crate) fn entries(shard: ShardId, indexes: std::ops::Range<u64>, term: u64) -> Vec<Entry<'static>> {
    indexes.map(|index| Entry::new(EntryId { index, term }, bytes::Bytes::from(payload(shard, index, term)))).collect()
}

/// A future's output, waited for in this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// [`block_on`] for an engine that is driven by hand.
pub(crate) fn drive_on<F: Future>(ground: &Ground, engine: &Engine, future: F) -> F::Output {
    if !ground.is_sim() {
        return block_on(future);
    }
    let mut future = pin!(future);
    for _ in 0..10_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
        ground.pass(engine, Duration::from_millis(10));
    }
    panic!("the future does not end");
}
