//! `Records`: the entries of the tail's shard, read beside the tail.

use std::collections::BTreeMap;

use logboom::{ReadError, Shard};
use logboom_logtail::Timestamp;
use logboom_logtail_core::record::{Position, Record, RecordError, Tombstones};
use logboom_wal::marks;

/// What the records of a shard say, as far as they were read.
#[derive(Debug, Default)]
pub(crate) struct Records {
    next: u64,
    /// The timestamps of transactions, with the indexes of their records.
    pub(crate) commits: BTreeMap<Timestamp, u64>,
    /// Those of them that are flushes.
    pub(crate) flushes: Vec<Timestamp>,
    /// The highest bound of the clock.
    pub(crate) bound: Timestamp,
    pub(crate) epoch: Epoch,
}

/// The record of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) number: u64,
    pub(crate) nonce: u64,
    /// Of its record.
    pub(crate) index: u64,
}

impl Records {
    /// Reads the entries that are new.
    ///
    /// # Errors
    /// Those of the shard, as where the machine has stopped, and within them that of an entry that is no record.
    pub(crate) fn read(&mut self, shard: &Shard) -> Result<Result<(), RecordError>, ReadError> {
        let end = shard.next().unwrap_or(0);
        self.next = self.next.max(shard.first().unwrap_or(end));
        while self.next < end {
            for entry in &shard.entries(self.next..end, u64::MAX)? {
                match Record::decode(entry.payload) {
                    Ok((position, record)) => self.take(entry.index, position, &record),
                    Err(error) => return Ok(Err(error)),
                }
                self.next = entry.index + 1;
            }
        }
        Ok(Ok(()))
    }

    fn take(&mut self, index: u64, position: Position, record: &Record<'_>) {
        match record {
            Record::Epoch { nonce, .. } => self.epoch = Epoch { number: position.epoch, nonce: *nonce, index },
            Record::Bound(bound) => self.bound = self.bound.max(*bound),
            Record::Commit(commit) => drop(self.commits.insert(commit.timestamp, index)),
            Record::Flushed(flushed) => {
                self.commits.insert(flushed.timestamp, index);
                self.flushes.push(flushed.timestamp);
                mark_tombstones(&flushed.tombstones);
            }
            Record::Loaded(loaded) => drop(self.commits.insert(loaded.timestamp, index)),
            _ => {}
        }
    }
}

/// Marks what the tombstone objects of a flush have. Those of a round have all deletes up to the same timestamp.
fn mark_tombstones(all: &[Tombstones]) {
    let is_split = all.windows(2).any(|pair| pair[0].through == pair[1].through);
    marks::hit_if(is_split, "flush: tombstones of a round are in several objects");
    let mut rounds = BTreeMap::new();
    for tombstones in all {
        for block in &tombstones.blocks {
            let before = rounds.insert((block.rowset, block.block), tombstones.through);
            marks::hit_if(before.is_some(), "flush: tombstones of several rounds are of a block");
        }
    }
}
