//! The workloads, by name.

pub mod sync;
pub mod store;
pub mod recover;
pub mod read;
pub mod memory;
pub mod laggards;
pub mod snapshot;

mod shape;

pub use shape::Shape;

use crate::{
    Result,
    job::{self, Job, Outcome, Task},
    place::Place,
    report::CACHE_DROPPED,
    system::{Reach, System},
};

/// A workload.
#[derive(Debug)]
pub struct Workload {
    /// The name in options and reports.
    pub name: &'static str,
    /// A description in one line.
    pub about: &'static str,
    kind: Kind,
}

/// All workloads, in the order of the list.
pub const ALL: &[Workload] = &[
    sync("sync-1x1k", "1 blocking writer of durable 1 KiB entries", 1, 1 << 10),
    sync("sync-4x1k", "4 blocking writers of durable 1 KiB entries, a shard each", 4, 1 << 10),
    sync("sync-16x1k", "16 blocking writers of durable 1 KiB entries, a shard each", 16, 1 << 10),
    sync("sync-64x1k", "64 blocking writers of durable 1 KiB entries, a shard each", 64, 1 << 10),
    sync("sync-256x1k", "256 blocking writers of durable 1 KiB entries, a shard each", 256, 1 << 10),
    sync("sync-64x16k", "64 blocking writers of durable 16 KiB entries, a shard each", 64, 16 << 10),
    Workload {
        name: "store-1024x256",
        about: "1024 shards, each with one 256 B append outstanding; the best of 1, 2 and 4 loop threads",
        kind: Kind::Store(store::Load { shards: 1024, payload: 256 }),
    },
    sync("bulk-1m", "1 MiB entries, 8 outstanding, a shard each", 8, 1 << 20),
    Workload {
        name: "recover-1g",
        about: "reopening 1 GiB in 256 B entries over 1000 shards, the writer killed, the page cache dropped",
        kind: Kind::Recover(Shape::RECOVER),
    },
    Workload {
        name: "recover-tail",
        about: "reopening 2.7 M entries of 256 B that no footer covers, the writer killed, the page cache dropped",
        kind: Kind::Recover(Shape::RECOVER_TAIL),
    },
    Workload {
        name: "read-hot",
        about: "ranges of 100 entries of 256 B at the recent end of 1000 shards",
        kind: Kind::ReadHot,
    },
    Workload {
        name: "read-cold",
        about: "scans of all 4000 entries of 256 B of each of 1000 shards, the page cache dropped",
        kind: Kind::ReadCold,
    },
    Workload {
        name: "memory",
        about: "live allocation per entry, at one entry per group, and per idle shard",
        kind: Kind::Memory,
    },
    Workload {
        name: "gc-laggards",
        about: "1000 shards that compact behind themselves, 256 B entries, beside 10 that never do; 16 GiB, or --gib",
        kind: Kind::Laggards,
    },
    Workload {
        name: "snapshot-4g",
        about: "a snapshot of 4 GiB, or --gib, is built, shipped to another engine, installed and read there",
        kind: Kind::Snapshot,
    },
];

/// The names of all workloads.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|workload| workload.name)
}

/// Finds a workload by name.
pub fn find(name: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.name == name)
}

impl Workload {
    /// Whether `system` can run it.
    pub fn runs_on(&self, system: System) -> bool {
        system.reach() >= self.needs()
    }

    fn needs(&self) -> Reach {
        match self.kind {
            Kind::Sync(_) | Kind::Store(_) => Reach::Writes,
            Kind::Recover(_) | Kind::ReadHot | Kind::ReadCold => Reach::Pairs,
            Kind::Memory | Kind::Laggards => Reach::Log,
            Kind::Snapshot => Reach::Everything,
        }
    }

    /// Whether the workload can run at a given rate.
    pub fn takes_rate(&self) -> bool {
        matches!(self.kind, Kind::Sync(_))
    }

    /// Whether the size of the workload can be chosen.
    pub fn takes_size(&self) -> bool {
        matches!(self.kind, Kind::Laggards | Kind::Snapshot)
    }

    /// Runs one round in child processes.
    pub fn round(&self, round: &Round<'_>) -> Result<Outcome> {
        match &self.kind {
            Kind::Sync(load) => round.run(Task::Sync(load.clone())),
            Kind::Store(load) => round.run(Task::Store(load.clone())),
            Kind::Recover(shape) => recover::round(round, shape),
            Kind::ReadHot => round.run(Task::ReadHot(Shape::READ_HOT)),
            Kind::ReadCold => read::cold_round(round),
            Kind::Memory => memory::round(round),
            Kind::Laggards => laggards::round(round),
            Kind::Snapshot => snapshot::round(round),
        }
    }
}

/// The parameters of a round.
#[derive(Debug)]
pub struct Round<'a> {
    /// The system.
    pub system: System,
    /// The directory for the logs.
    pub place: &'a Place,
    /// The duration of the measurement in seconds, unless the size of the data decides it.
    pub seconds: f64,
    /// Operations per second, over all writers.
    pub rate: Option<u32>,
    /// The size of workloads that have one, in bytes; the workload's own if `None`.
    pub bytes: Option<u64>,
    /// The number of the system's round, from 1.
    pub number: u32,
}

impl Round<'_> {
    /// Runs `task` in a fresh directory.
    pub fn run(&self, task: Task) -> Result<Outcome> {
        self.place.fresh(LOG)?;
        let outcome = self.job(task).run()?;
        self.place.clear(LOG)?;
        Ok(outcome)
    }

    /// The job for `task`, in the directory as it is.
    pub fn job(&self, task: Task) -> Job {
        let Round { system, place, seconds, rate, .. } = *self;
        Job { system, dir: place.path().join(LOG), seconds, rate, task }
    }

    /// Runs `after` on the log that `fill` describes, after dropping the page cache.
    ///
    /// With `linger`, the child that writes is killed while it goes on writing after `fill`; otherwise it closes its
    /// log.
    pub fn reopen(&self, fill: &Shape, linger: bool, after: Task) -> Result<Outcome> {
        self.place.fresh(LOG)?;
        let filler = self.job(Task::Fill { shape: fill.clone(), linger });
        let written = if linger { kill_in_the_middle(&filler)? } else { filler.run()? };
        let dropped = drop_page_cache();
        let mut outcome = self.job(after).run()?;
        outcome.note(CACHE_DROPPED, dropped);
        outcome.note("written_entries", written.ops);
        let cpu_us = written.cpu.as_secs_f64() * 1e6 / written.ops.max(1) as f64;
        outcome.note(WRITTEN_CPU, job::round(cpu_us));
        self.place.clear(LOG)?;
        Ok(outcome)
    }
}

/// The name of the note of [`Round::reopen`] with the processor time of one written entry, in microseconds.
pub const WRITTEN_CPU: &str = "written_cpu_us_per_entry";

/// The directory of the running round's log.
const LOG: &str = "log";

#[derive(Debug)]
enum Kind {
    Sync(sync::Load),
    Store(store::Load),
    Recover(Shape),
    ReadHot,
    ReadCold,
    Memory,
    Laggards,
    Snapshot,
}

const fn sync(name: &'static str, about: &'static str, writers: u32, payload: usize) -> Workload {
    Workload { name, about, kind: Kind::Sync(sync::Load { writers, payload }) }
}

fn kill_in_the_middle(filler: &Job) -> Result<Outcome> {
    let mut running = filler.start()?;
    let written = running.outcome()?;
    std::thread::sleep(MIDDLE);
    running.kill()?;
    Ok(written)
}

/// How long the child goes on writing before it is killed.
const MIDDLE: std::time::Duration = std::time::Duration::from_millis(30);

/// Writes back all dirty pages and drops the page cache; only root may do so.
fn drop_page_cache() -> bool {
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for workload in ALL {
            assert_eq!(find(workload.name).map(|found| found.about), Some(workload.about));
        }
    }

    #[test]
    fn the_floor_runs_what_writes() {
        let floor: Vec<_> = ALL.iter().filter(|workload| workload.runs_on(System::Floor)).collect();
        assert!(floor.iter().all(|workload| ["sync", "stor", "bulk"].contains(&&workload.name[..4])));
        assert_eq!(floor.len(), 8);
    }
}
