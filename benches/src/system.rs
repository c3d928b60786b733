//! The systems that are measured, behind one interface.

pub mod logboom;
pub mod raft_engine;
#[cfg(feature = "peers")]
pub mod fjall;
#[cfg(feature = "peers")]
pub mod redb;
#[cfg(feature = "peers")]
pub mod okaywal;
pub mod floor;

#[cfg(feature = "peers")]
mod kv;

use std::{fmt, ops::Range, path::Path};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{Result, job::Outcome};

/// A system that is measured.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// Ours.
    Logboom,
    /// The peer: raft-engine 0.4.2.
    RaftEngine,
    /// An LSM tree: fjall 3.
    #[cfg(feature = "peers")]
    Fjall,
    /// A B-tree: redb 4.
    #[cfg(feature = "peers")]
    Redb,
    /// A general write-ahead log: okaywal 0.3.
    #[cfg(feature = "peers")]
    Okaywal,
    /// A bare loop over the disk: the machine's own limit.
    Floor,
}

impl System {
    /// The name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            System::Logboom => "logboom",
            System::RaftEngine => "raft-engine",
            #[cfg(feature = "peers")]
            System::Fjall => "fjall",
            #[cfg(feature = "peers")]
            System::Redb => "redb",
            #[cfg(feature = "peers")]
            System::Okaywal => "okaywal",
            System::Floor => "floor",
        }
    }

    /// Opens the system's log in `dir`, which is empty or has an older log of the same system.
    ///
    /// # Errors
    /// The system's own; the floor always fails, since it has no log.
    pub fn open(self, dir: &Path, tuning: Tuning) -> Result<Box<dyn Log>> {
        match self {
            System::Logboom => logboom::open(dir, tuning),
            System::RaftEngine => raft_engine::open(dir, tuning),
            #[cfg(feature = "peers")]
            System::Fjall => fjall::open(dir),
            #[cfg(feature = "peers")]
            System::Redb => redb::open(dir),
            #[cfg(feature = "peers")]
            System::Okaywal => okaywal::open(dir),
            System::Floor => Err("a bare disk has no log".into()),
        }
    }
}

impl System {
    /// The features of a log that the system has.
    pub fn reach(self) -> Reach {
        match self {
            System::Logboom => Reach::Everything,
            System::RaftEngine => Reach::Log,
            #[cfg(feature = "peers")]
            System::Fjall | System::Redb => Reach::Pairs,
            #[cfg(feature = "peers")]
            System::Okaywal => Reach::Writes,
            System::Floor => Reach::Writes,
        }
    }
}

/// The features of a log that a system has, for the choice of workloads; each value includes those before.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Reach {
    /// It takes writes, and finds an entry at most by reading the whole log.
    Writes,
    /// It stores keys and values, and has no logs.
    Pairs,
    /// It stores logs.
    Log,
    /// It also has snapshots.
    Everything,
}

impl Reach {
    /// Why a workload that needs more cannot be measured.
    pub fn reason(self) -> &'static str {
        match self {
            Reach::Writes => "keeps nothing that could be read or recovered by shard and index",
            Reach::Pairs => "keeps pairs of keys and values, and no logs",
            Reach::Log => "has no snapshots",
            Reach::Everything => "can do everything",
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The purpose of a log, which each system translates into its own configuration.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Tuning {
    /// Write and compact without end; files are already being recycled.
    Load,
    /// Keep all entries.
    Keep,
    /// Keep all entries in one unsealed segment.
    Tail,
    /// Keep all entries, with as few as possible in memory.
    Lean,
}

/// An open log.
pub trait Log: Send + Sync {
    /// A writer with exclusive use of the empty shard `shard`.
    fn writer(&self, shard: u64, retention: Retention) -> Box<dyn Writer + '_>;

    /// A loop thread with exclusive use of the shards of `cohorts`; it appends after the last entry of each.
    fn store(&self, cohorts: &[Range<u64>], payload: usize, retention: Retention) -> Box<dyn Store + '_>;

    /// The most batches that one thread may have in flight.
    fn batches_in_flight_max(&self) -> u64;

    /// A writer that fills the log as fast as possible.
    fn filler(&self) -> Box<dyn Filler + '_>;

    /// A reader of the shards below `shards`.
    fn reader(&self, shards: u64) -> Box<dyn Reader + '_>;

    /// Notes the configuration of the log that explains its figures.
    fn describe(&self, outcome: &mut Outcome);

    /// The bytes of memory that are allocated and unused, kept for later use; 0 if the system does not report it.
    fn idle_bytes(&self) -> u64 {
        0
    }

    /// The bytes written and in use, if the system reports them.
    fn occupancy(&self) -> Option<Occupancy> {
        None
    }

    /// Closes the log cleanly.
    fn close(self: Box<Self>) -> Result<()>;
}

/// The bytes that a log has written since it was opened, and those that it uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Occupancy {
    /// The bytes of appended groups, with framing and padding.
    pub appended: u64,
    /// The bytes written to move live entries.
    pub moved: u64,
    /// The bytes of the segments in use.
    pub in_use: u64,
    /// The bytes of live records.
    pub live: u64,
    /// The bytes of one segment.
    pub segment: u64,
}

/// A blocking writer.
pub trait Writer: Send {
    /// Appends the next entry; on return it is durable.
    fn append(&mut self, payload: &'static [u8]) -> Result<()>;
}

/// A loop thread of a store workload.
pub trait Store: Send {
    /// Appends one entry to each shard of the cohort, which must have none outstanding.
    fn submit(&mut self, cohort: usize) -> Result<()>;

    /// Waits until the last submitted batch of the cohort is durable.
    fn wait(&mut self, cohort: usize) -> Result<()>;
}

/// A writer that fills a log with batches.
pub trait Filler {
    /// Adds an entry to the batch.
    fn append(&mut self, shard: u64, index: u64, payload: &'static [u8]) -> Result<()>;

    /// Adds a hard state to the batch.
    fn hard_state(&mut self, shard: u64, state: &[u8]) -> Result<()>;

    /// Writes the batch, if it is not empty. If it is `alone` in its group, it is durable on return.
    fn submit(&mut self, alone: bool) -> Result<()>;

    /// Waits until all submitted batches are durable.
    fn finish(&mut self) -> Result<()>;
}

/// Reads entries.
pub trait Reader: Send {
    /// The indices of the shard's entries, half-open.
    fn bounds(&self, shard: u64) -> Range<u64>;

    /// Reads the entries with these indices, or the first of them if the system returns fewer at once, and touches the
    /// first and the last byte of each. Returns their number.
    fn read(&mut self, shard: u64, range: Range<u64>) -> Result<u64>;
}

/// When a shard under load is compacted, and up to which entry: the same for every system.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    every: u64,
    /// The shards below this number are never compacted.
    laggards: u64,
}

impl Retention {
    /// Keeps the live payload of `shards` shards below about 256 MiB, and below about 320 entries a shard.
    pub fn for_load(shards: u64, payload: usize) -> Self {
        Retention { every: (LIVE_BYTES / (shards * payload as u64)).clamp(EVERY_MIN, EVERY_MAX), laggards: 0 }
    }

    /// The same, but shards below `laggards` are never compacted.
    pub fn with_laggards(self, laggards: u64) -> Self {
        Retention { laggards, ..self }
    }

    /// The last entry to drop, if the shard is compacted after the entry `index`.
    ///
    /// Shards are compacted at different times, so that each batch carries the same share of the compaction.
    pub fn due(self, shard: u64, index: u64) -> Option<u64> {
        let due = shard >= self.laggards && (index + shard).is_multiple_of(self.every);
        due.then(|| index.saturating_sub(self.every / 4)).filter(|last| *last > 0)
    }
}

const LIVE_BYTES: u64 = 256 << 20;
const EVERY_MIN: u64 = 8;
const EVERY_MAX: u64 = 256;

/// The term of all entries.
const TERM: u64 = 1;

/// Reads the first and the last byte of a payload.
fn touch(payload: &[u8]) {
    std::hint::black_box(payload.first().zip(payload.last()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_stays_live() {
        for (shards, payload) in [(1, 1 << 10), (8, 1 << 20), (64, 16 << 10), (1024, 256)] {
            let retention = Retention::for_load(shards, payload);
            for shard in [0, 1, shards - 1] {
                let (mut last, mut live_max) = (0, 0);
                for index in 1..10_000 {
                    live_max = live_max.max(index - last);
                    last = retention.due(shard, index).unwrap_or(last);
                }
                assert!(live_max * shards * payload as u64 <= 400 << 20, "{live_max} of {shards} shards");
                assert!(live_max <= 512);
            }
        }
    }

    #[test]
    fn laggards_keep_everything() {
        let retention = Retention::for_load(1010, 256).with_laggards(10);
        let compacted = |shard| (1..1000).filter(|&index| retention.due(shard, index).is_some()).count();
        assert_eq!((compacted(9), compacted(10)), (0, 3));
    }

    #[test]
    fn names_are_those_of_the_command_line() {
        for system in System::value_variants() {
            assert_eq!(system.to_possible_value().unwrap().get_name(), system.name());
            assert_eq!(serde_json::to_value(system).unwrap(), system.name());
        }
    }
}
