//! Stores a raft log in a system of keys and values: entries by shard and index, changed in atomic batches.
//!
//! None of these systems can submit a batch and wait for it later, so a thread has one batch at a time. Compacted
//! entries are removed in the batch that compacts them, as in all systems here.

use std::ops::Range;

use super::{Filler, Log, Reader, Retention, Store, Writer};
use crate::{Result, job::Outcome, payload::Payloads};

/// A system that stores keys and values.
pub(super) trait Kv: Send + Sync {
    /// Applies all changes, or none if it fails; with `durable`, they survive power loss on return.
    fn commit(&self, changes: &[Change], durable: bool) -> Result<()>;

    /// The indices of the shard's entries, half-open; empty if there are none.
    fn bounds(&self, shard: u64) -> Result<Range<u64>>;

    /// Reads and touches the entries with these indices, and returns their number.
    fn read(&self, shard: u64, range: Range<u64>) -> Result<u64>;

    /// How writes are made durable.
    fn method(&self) -> &'static str;
}

/// A change of the log of a shard.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Adds an entry.
    Append { shard: u64, index: u64, payload: &'static [u8] },
    /// Removes the entries with these indices.
    Compact { shard: u64, indices: Range<u64> },
    /// Replaces the hard state.
    State { shard: u64, state: Vec<u8> },
}

/// The index under which the hard state is stored; entries have indices from 1.
pub(super) const STATE_INDEX: u64 = 0;

/// A log that is stored in such a system.
pub(super) struct KvLog<K>(pub(super) K);

impl<K: Kv + 'static> Log for KvLog<K> {
    fn writer(&self, shard: u64, retention: Retention) -> Box<dyn Writer + '_> {
        Box::new(ShardWriter { kv: &self.0, end: End::of_empty(shard), retention })
    }

    fn store(&self, cohorts: &[Range<u64>], payload: usize, retention: Retention) -> Box<dyn Store + '_> {
        let shards = || cohorts.iter().flat_map(Clone::clone);
        // If the bounds cannot be read, the first append fails and reports the error.
        let end = |shard| self.0.bounds(shard).map_or(End::of_empty(shard), |bounds| End { shard, bounds });
        let payloads = Payloads::new(payload, shards().next().unwrap_or(0));
        Box::new(Loop { kv: &self.0, ends: shards().map(end).collect(), payloads, retention, changes: Vec::new() })
    }

    fn batches_in_flight_max(&self) -> u64 {
        1
    }

    fn filler(&self) -> Box<dyn Filler + '_> {
        Box::new(Bulk { kv: &self.0, changes: Vec::new() })
    }

    fn reader(&self, _shards: u64) -> Box<dyn Reader + '_> {
        Box::new(Pairs(&self.0))
    }

    fn describe(&self, outcome: &mut Outcome) {
        outcome.note("method", self.0.method());
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// The bounds of a shard's log, which grows at its end.
#[derive(Debug, PartialEq)]
struct End {
    shard: u64,
    bounds: Range<u64>,
}

impl End {
    fn of_empty(shard: u64) -> Self {
        End { shard, bounds: 1..1 }
    }

    /// Adds the next entry, and the compaction that is due with it.
    fn append(&mut self, payload: &'static [u8], retention: Retention, changes: &mut Vec<Change>) {
        let (shard, index) = (self.shard, self.bounds.end.max(1));
        changes.push(Change::Append { shard, index, payload });
        self.bounds.end = index + 1;
        if let Some(last) = retention.due(shard, index) {
            changes.push(Change::Compact { shard, indices: self.bounds.start..last + 1 });
            self.bounds.start = last + 1;
        }
    }
}

struct ShardWriter<'a, K> {
    kv: &'a K,
    end: End,
    retention: Retention,
}

impl<K: Kv> Writer for ShardWriter<'_, K> {
    fn append(&mut self, payload: &'static [u8]) -> Result<()> {
        let mut changes = Vec::with_capacity(2);
        self.end.append(payload, self.retention, &mut changes);
        self.kv.commit(&changes, true)
    }
}

struct Loop<'a, K> {
    kv: &'a K,
    ends: Vec<End>,
    payloads: Payloads,
    retention: Retention,
    changes: Vec<Change>,
}

impl<K: Kv> Store for Loop<'_, K> {
    fn submit(&mut self, _cohort: usize) -> Result<()> {
        self.changes.clear();
        for end in &mut self.ends {
            end.append(self.payloads.next(), self.retention, &mut self.changes);
        }
        self.kv.commit(&self.changes, true)
    }

    fn wait(&mut self, _cohort: usize) -> Result<()> {
        Ok(())
    }
}

struct Bulk<'a, K> {
    kv: &'a K,
    changes: Vec<Change>,
}

impl<K: Kv> Filler for Bulk<'_, K> {
    fn append(&mut self, shard: u64, index: u64, payload: &'static [u8]) -> Result<()> {
        self.changes.push(Change::Append { shard, index, payload });
        Ok(())
    }

    fn hard_state(&mut self, shard: u64, state: &[u8]) -> Result<()> {
        self.changes.push(Change::State { shard, state: state.to_vec() });
        Ok(())
    }

    fn submit(&mut self, alone: bool) -> Result<()> {
        if self.changes.is_empty() {
            return Ok(());
        }
        self.kv.commit(&self.changes, alone)?;
        self.changes.clear();
        Ok(())
    }

    /// A durable commit makes all commits before it durable.
    fn finish(&mut self) -> Result<()> {
        self.kv.commit(&[Change::State { shard: u64::MAX, state: Vec::new() }], true)
    }
}

struct Pairs<'a, K>(&'a K);

impl<K: Kv> Reader for Pairs<'_, K> {
    fn bounds(&self, shard: u64) -> Range<u64> {
        self.0.bounds(shard).unwrap_or(0..0)
    }

    fn read(&mut self, shard: u64, range: Range<u64>) -> Result<u64> {
        self.0.read(shard, range)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::system::{System, Tuning};

    #[test]
    fn fjall_keeps_a_log() {
        check(System::Fjall);
    }

    #[test]
    fn redb_keeps_a_log() {
        check(System::Redb);
    }

    #[test]
    fn okaywal_takes_a_log() {
        let dir = dir();
        let log = System::Okaywal.open(dir.path(), Tuning::Load).unwrap();
        write(&*log);
        log.reader(1).read(0, 1..2).unwrap_err();
        log.close().unwrap();
    }

    /// Checks that written entries can be read, compacted ones are gone, and both are so after a reopening.
    fn check(system: System) {
        let dir = dir();
        let log = system.open(dir.path(), Tuning::Load).unwrap();
        write(&*log);
        expect(&*log);
        log.close().unwrap();
        expect(&*system.open(dir.path(), Tuning::Keep).unwrap());
    }

    fn write(log: &dyn Log) {
        let retention = Retention::for_load(1 << 40, 256);
        let mut writer = log.writer(0, retention);
        let mut payloads = Payloads::new(256, 1);
        (0..20).for_each(|_| writer.append(payloads.next()).unwrap());
        let mut store = log.store(&[1..2, 2..3], 256, retention);
        (0..2).for_each(|_| store.submit(0).and_then(|()| store.wait(0)).unwrap());
        let mut filler = log.filler();
        filler.hard_state(7, b"state").unwrap();
        (1..=5).for_each(|index| filler.append(7, index, payloads.next()).unwrap());
        filler.submit(false).unwrap();
        filler.finish().unwrap();
    }

    fn expect(log: &dyn Log) {
        let mut reader = log.reader(8);
        assert_eq!((reader.bounds(0), reader.bounds(1), reader.bounds(7)), (15..21, 1..3, 1..6));
        assert!(reader.bounds(5).is_empty());
        assert_eq!(reader.read(0, 15..21).unwrap(), 6);
        assert_eq!(reader.read(7, 2..5).unwrap(), 3);
    }

    #[test]
    fn compaction_follows_the_last() {
        let (mut end, mut changes) = (End::of_empty(0), Vec::new());
        (0..16).for_each(|_| end.append(b"", Retention::for_load(1 << 40, 256), &mut changes));
        let compacted = |change: &Change| match change {
            Change::Compact { indices, .. } => Some(indices.clone()),
            _ => None,
        };
        assert_eq!(changes.iter().filter_map(compacted).collect::<Vec<_>>(), [1..7, 7..15]);
        assert_eq!(end.bounds, 15..17);
    }

    fn dir() -> tempfile::TempDir {
        let build = std::env::current_exe().unwrap();
        tempfile::tempdir_in(build.parent().unwrap_or(Path::new("."))).unwrap()
    }
}
