//! Where the suites get their stores from: a new engine for each.

use std::{
    io::{Read, Write},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use logboom::{Config, Engine, Runtime, ShardId, disk::SimDisk, disk::SimOptions};
use logboom_openraft::{Data, Failure, SnapshotView, StateMachine};
use tempfile::TempDir;

/// The group that a suite has to itself.
pub(crate) const GROUP: ShardId = ShardId(7);

/// Makes engines, and counts them.
pub(crate) struct Fixture {
    simulated: bool,
    made: AtomicU64,
}

/// Keeps a store's directory.
pub(crate) struct Guard(#[expect(dead_code, reason = "removes the directory when it goes")] Option<TempDir>);

impl Fixture {
    pub(crate) fn real() -> Self {
        Self { simulated: false, made: AtomicU64::new(0) }
    }

    pub(crate) fn simulated() -> Self {
        Self { simulated: true, made: AtomicU64::new(0) }
    }

    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    pub(crate) fn engine(&self) -> (Guard, Engine) {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        if self.simulated {
            let disk = SimDisk::new(number, SimOptions::default());
            return (Guard(None), Engine::open_on(disk, small("simulated"), Runtime::Threads).unwrap());
        }
        // Beside the build: never a tmpfs.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let engine = Engine::open(small(dir.path().join("log"))).unwrap();
        (Guard(Some(dir)), engine)
    }
}

fn small(dir: impl Into<std::path::PathBuf>) -> Config {
    let mut config = Config::new(dir);
    config.segment_bytes = 256 << 10;
    config.reserve_segments = 1;
    config.disk.lock_wait = Duration::from_secs(5);
    config
}

/// A machine that counts what it is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counter(pub(crate) u64);

impl StateMachine for Counter {
    type Data = Data;
    type Reply = u64;
    type View = Self;

    fn apply(&mut self, _: u64, data: Data) -> Result<u64, Failure> {
        self.0 += data.0.len() as u64;
        Ok(self.0)
    }

    fn view(&self) -> Result<Self, Failure> {
        Ok(self.clone())
    }

    fn recover(&mut self, from: &mut dyn Read) -> Result<(), Failure> {
        let mut bytes = [0; 8];
        from.read_exact(&mut bytes)?;
        self.0 = u64::from_le_bytes(bytes);
        Ok(())
    }
}

impl SnapshotView for Counter {
    fn save(self, to: &mut dyn Write) -> Result<(), Failure> {
        Ok(to.write_all(&self.0.to_le_bytes())?)
    }
}
