//! `Shape`: the content of a log for reading, reopening and measuring memory.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::{
    Result,
    job::{self, Job, Outcome},
    payload::Payloads,
    system::{Filler, Log, Tuning},
    usage,
};

/// Entries of equal size in shards, and the batches that write them.
///
/// Shards are numbered from 0, entries from 1.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Shape {
    /// The number of shards.
    pub shards: u64,
    /// The number of entries of each shard.
    pub entries: u64,
    /// Whether that number is a mean, and shards have from half to one and a half times as many.
    pub uneven: bool,
    /// The number of entries of a shard in one batch.
    pub run: u64,
    /// The number of shards in one batch.
    pub width: u64,
    /// The size of an entry's payload.
    pub payload: usize,
    /// Whether each batch is a group of its own, written and synced before the next begins.
    pub lone: bool,
    /// Whether each shard has a hard state.
    pub states: bool,
    /// The purpose that the system is configured for.
    pub tuning: Tuning,
}

impl Shape {
    /// The log of a store with all shards busy, in batches of one entry of every shard. It is the hardest log to reopen
    /// for every system, since no two entries of a shard are adjacent.
    pub const RECOVER: Shape = Shape {
        shards: 1000,
        entries: 4195,
        uneven: false,
        run: 1,
        width: 1000,
        payload: 256,
        lone: false,
        states: false,
        tuning: Tuning::Keep,
    };

    /// A log that fits into one segment of 1 GiB, with its headers and the entries written until the kill, so that no
    /// segment is sealed.
    pub const RECOVER_TAIL: Shape = Shape { entries: 2700, run: 8, width: 125, tuning: Tuning::Tail, ..Shape::RECOVER };

    /// A log with more entries than are read, in batches of 8 entries of a shard.
    pub const READ_HOT: Shape = Shape { entries: 200, run: 8, width: 1, ..Shape::RECOVER };

    /// A log of 1 GiB, in batches of 8 entries of a shard.
    pub const READ_COLD: Shape = Shape { entries: 4000, run: 8, width: 1, ..Shape::RECOVER };

    /// The number of entries of all shards.
    pub fn total(&self) -> u64 {
        (0..self.shards).map(|shard| self.entries_of(shard)).sum()
    }

    /// The number of entries of a shard.
    pub fn entries_of(&self, shard: u64) -> u64 {
        if self.uneven { self.entries / 2 + self.entries * shard / self.shards } else { self.entries }
    }

    /// Writes the log in this process. With `linger`, it reports when all entries are durable, and goes on writing.
    pub fn fill(&self, job: &Job, linger: bool) -> Result<Outcome> {
        let log = job.system.open(&job.dir, self.tuning)?;
        let outcome = self.write(&*log)?;
        if linger {
            job::report(outcome)?;
            return self.go_on(&*log);
        }
        log.close()?;
        Ok(outcome)
    }

    /// Writes all entries, and waits until they are durable.
    pub fn write(&self, log: &dyn Log) -> Result<Outcome> {
        let (began, cpu) = (Instant::now(), usage::cpu());
        let mut filler = log.filler();
        let mut payloads = Payloads::new(self.payload, 1);
        if self.states {
            self.write_states(&mut *filler)?;
        }
        let most = (0..self.shards).map(|shard| self.entries_of(shard)).max().unwrap_or(0);
        for first in (1..=most).step_by(steps(self.run)) {
            self.write_runs(&mut *filler, first, &mut payloads)?;
        }
        filler.finish()?;
        let (elapsed, cpu) = (began.elapsed(), usage::cpu().saturating_sub(cpu));
        let (ops, bytes) = (self.total(), self.total() * self.payload as u64);
        Ok(Outcome { ops, bytes, elapsed, cpu, ..Outcome::default() })
    }

    /// Appends the run that begins at the index `first` to every shard.
    fn write_runs(&self, filler: &mut dyn Filler, first: u64, payloads: &mut Payloads) -> Result<()> {
        for shards in (0..self.shards).step_by(steps(self.width)) {
            for shard in shards..(shards + self.width).min(self.shards) {
                for index in first..(first + self.run).min(self.entries_of(shard) + 1) {
                    filler.append(shard, index, payloads.next())?;
                }
            }
            filler.submit(self.lone)?;
        }
        Ok(())
    }

    fn write_states(&self, filler: &mut dyn Filler) -> Result<()> {
        for shard in 0..self.shards {
            filler.hard_state(shard, &[7; HARD_STATE_BYTES])?;
            if shard % 1000 == 999 {
                filler.submit(false)?;
            }
        }
        filler.submit(false)
    }

    /// Appends until the process is killed.
    fn go_on(&self, log: &dyn Log) -> Result<Outcome> {
        let mut filler = log.filler();
        let mut payloads = Payloads::new(self.payload, 2);
        let endless = Shape { entries: u64::MAX - 1, ..self.clone() };
        for first in (self.entries + 1..).step_by(steps(self.run)) {
            endless.write_runs(&mut *filler, first, &mut payloads)?;
        }
        Err("indices have run out".into())
    }
}

/// The size of a shard's hard state: what raft cores need, with room to spare.
const HARD_STATE_BYTES: usize = 64;

fn steps(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
