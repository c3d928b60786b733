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
    /// The name by which it is asked for and reported.
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

    /// Opens its log in `dir`, an empty directory or one that it has written.
    ///
    /// # Errors
    /// Its own; and always for the floor, which has no log.
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
    /// How much of what a log does it can be measured at.
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

/// How much of what a log does a system can be measured at; each includes those before.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Reach {
    /// It takes entries; nothing is found again but by reading all of it, if at all.
    Writes,
    /// It keeps pairs of keys and values, and knows of no log.
    Pairs,
    /// It keeps logs.
    Log,
    /// It also has snapshots.
    Everything,
}

impl Reach {
    /// Why something cannot be measured that needs more.
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

/// The purpose of a log; each system translates it into its own configuration.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Tuning {
    /// Writing and compacting without end: recycling is warm.
    Load,
    /// Keeping what is written.
    Keep,
    /// Keeping what is written in one unsealed segment.
    Tail,
    /// Keeping what is written, and as little of it as possible in memory.
    Lean,
}

/// An open log.
pub trait Log: Send + Sync {
    /// A writer that has the empty shard `shard` for itself.
    fn writer(&self, shard: u64, retention: Retention) -> Box<dyn Writer + '_>;

    /// A loop that has the shards of `cohorts` for itself, and goes on after the last entry of each.
    fn store(&self, cohorts: &[Range<u64>], payload: usize, retention: Retention) -> Box<dyn Store + '_>;

    /// How many batches of one thread may be on their way to the disk at once.
    fn batches_in_flight_max(&self) -> u64;

    /// Fills the log as fast as it goes.
    fn filler(&self) -> Box<dyn Filler + '_>;

    /// Reads shards with numbers below `shards`.
    fn reader(&self, shards: u64) -> Box<dyn Reader + '_>;

    /// Notes how the log is configured, as far as that explains its figures.
    fn describe(&self, outcome: &mut Outcome);

    /// Memory in bytes that holds nothing and is kept for later use, if it says.
    fn idle_bytes(&self) -> u64 {
        0
    }

    /// The bytes written and held, if the system reports them.
    fn occupancy(&self) -> Option<Occupancy> {
        None
    }

    /// Closes the log in order.
    fn close(self: Box<Self>) -> Result<()>;
}

/// The bytes that a log has written since it was opened, and that it holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Occupancy {
    /// Of the groups that were appended, with all that frames and pads them.
    pub appended: u64,
    /// Of what was written to move live entries.
    pub moved: u64,
    /// Of the segments in use.
    pub in_use: u64,
    /// Of the records of live entries.
    pub live: u64,
    /// Of one segment.
    pub segment: u64,
}

/// A blocking writer.
pub trait Writer: Send {
    /// Appends the next entry; on return it is durable.
    fn append(&mut self, payload: &'static [u8]) -> Result<()>;
}

/// A loop thread of a store.
pub trait Store: Send {
    /// Appends one entry to each shard of the cohort, of which nothing is outstanding.
    fn submit(&mut self, cohort: usize) -> Result<()>;

    /// Waits until what was last submitted for the cohort is durable.
    fn wait(&mut self, cohort: usize) -> Result<()>;
}

/// Writes in bulk.
pub trait Filler {
    /// Adds an entry to the batch.
    fn append(&mut self, shard: u64, index: u64, payload: &'static [u8]) -> Result<()>;

    /// Adds a hard state to the batch.
    fn hard_state(&mut self, shard: u64, state: &[u8]) -> Result<()>;

    /// Writes the batch, if there is anything in it; on return it is durable if it is to be `alone` in its group.
    fn submit(&mut self, alone: bool) -> Result<()>;

    /// Waits until everything that was submitted is durable.
    fn finish(&mut self) -> Result<()>;
}

/// Reads entries.
pub trait Reader: Send {
    /// The indices of the shard's entries, half-open.
    fn bounds(&self, shard: u64) -> Range<u64>;

    /// Reads the entries with these indices, or as many of the first of them as the system returns at once, and
    /// touches the first and the last byte of each. Returns their number.
    fn read(&mut self, shard: u64, range: Range<u64>) -> Result<u64>;
}

/// When a shard under load is compacted, and to where: the same for every system.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    every: u64,
    /// Shards below this are never compacted.
    laggards: u64,
}

impl Retention {
    /// Keeps the live payload of `shards` shards below about 256 MiB, and below about 320 entries a shard.
    pub fn for_load(shards: u64, payload: usize) -> Self {
        Retention { every: (LIVE_BYTES / (shards * payload as u64)).clamp(EVERY_MIN, EVERY_MAX), laggards: 0 }
    }

    /// The same, but the first shards are never compacted.
    pub fn with_laggards(self, laggards: u64) -> Self {
        Retention { laggards, ..self }
    }

    /// If the shard is compacted with the entry `index`: the last entry that goes.
    ///
    /// Shards are not all compacted at once, so that compaction costs each batch the same.
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
