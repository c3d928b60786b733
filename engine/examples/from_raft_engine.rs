//! raft-engine's calls, each as a method over Logboom: what a program that moves has to change, and where it loses an
//! entry if it does not. The table of all calls is in `docs/guide/coming-from.md`.
//!
//! `cargo run -p logboom --example from_raft_engine`
#![expect(clippy::print_stdout, reason = "it is what an example is for")]

use bytes::Bytes;
use logboom::{Batch, Config, Durability, Engine, Entry, EntryId, ReadError, Result, ShardId};

/// `raft_engine::Engine`.
struct RaftEngine(Engine);

impl RaftEngine {
    /// `write(&mut batch, sync)`. What overwrites, votes or destroys has to be durable here.
    fn write(&self, batch: Batch<'_>, sync: bool) -> Result<()> {
        let durability = if sync { Durability::Durable } else { Durability::Lazy };
        let ticket = self.0.submit(batch, durability)?;
        if sync { ticket.wait() } else { Ok(()) }
    }

    /// `sync()`, which does nothing in 0.4.2.
    fn sync(&self) -> Result<()> {
        self.0.barrier()?.wait()
    }

    /// `compact_to(group, index)`: `index` is the first entry that **stays**. Logboom's call names the last that goes.
    fn compact_to(&self, group: u64, index: u64) -> Result<()> {
        let Some(last_gone) = index.checked_sub(1) else { return Ok(()) };
        let mut batch = self.0.batch();
        batch.compact_through(ShardId(group), last_gone)?;
        self.write(batch, false)
    }

    /// `fetch_entries_to(group, begin, end, max_size, &mut entries)`: half-open in both, at least one entry in both.
    fn fetch_entries_to(&self, group: u64, begin: u64, end: u64, max: Option<u64>) -> Result<Vec<Bytes>, ReadError> {
        let entries = self.0.shard(ShardId(group)).entries(begin..end, max.unwrap_or(u64::MAX))?;
        Ok(entries.iter().map(|entry| entry.payload_shared()).collect()) // shares the memory, copies nothing
    }

    /// `first_index(group)`, `last_index(group)`.
    fn bounds(&self, group: u64) -> (Option<u64>, Option<u64>) {
        let shard = self.0.shard(ShardId(group));
        (shard.first(), shard.last())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let mut config = Config::new(dir.path());
    config.segment_bytes = 1 << 20; // small: the default is 64 MiB
    let log = RaftEngine(Engine::open(config)?);

    // `LogBatch::add_entries` replaces from its first index on, as `overwrite` does.
    let mut batch = log.0.batch();
    batch.overwrite(ShardId(1), (1..=10).map(|index| Entry::new(EntryId { index, term: 1 }, b"set x")))?;
    batch.put(ShardId(1), b"applied", b"7")?; // `LogBatch::put`
    log.write(batch, true)?;

    log.compact_to(1, 5)?;
    assert_eq!(log.bounds(1), (Some(5), Some(10))); // 5 is there, as with raft-engine
    assert_eq!(log.fetch_entries_to(1, 5, 8, None)?.len(), 3);
    println!("first and last index: {:?}", log.bounds(1));

    let mut batch = log.0.batch();
    batch.destroy(ShardId(1))?; // `Command::Clean`
    log.write(batch, true)?;
    assert_eq!(log.bounds(1), (None, None));
    log.sync()?;
    Ok(log.0.close()?)
}

#[test]
fn it_runs() {
    main().unwrap();
}
