//! The stage read: reads a range of a shard as a batch of entries.

use std::hint::black_box;

use logboom::{Engine, ShardId};

use crate::{
    Result,
    guard::{
        counted,
        fixture::{Fixture, SMALL_SEGMENT, payload},
    },
};

/// Reads one entry of the recent tail.
pub(super) fn one() -> Result<u64> {
    recent(1)
}

/// Reads many entries of the recent tail.
pub(super) fn hundred() -> Result<u64> {
    recent(100)
}

fn recent(count: u64) -> Result<u64> {
    let fixture = fixture()?;
    read_all(&fixture.engine, ENTRIES + 1 - count, ENTRIES + 1)
}

/// Reads entries of sealed segments from the disk; the index and the entries are loaded.
pub(super) fn sealed() -> Result<u64> {
    let fixture = Fixture::with_segments(SMALL_SEGMENT)?;
    fixture.fill(SHARDS, 256, 8, &payload(256))?;
    fixture.settle();
    let engine = fixture.close()?.open()?;
    read_all(&engine, 1, 65)
}

/// Reads a range of every shard, and fails if entries are missing.
fn read_all(engine: &Engine, first: u64, end: u64) -> Result<u64> {
    let shards: Vec<_> = (0..SHARDS).map(|shard| engine.shard(ShardId(shard))).collect();
    for shard in &shards {
        let mut read = 0;
        counted(&mut || {
            read = black_box(shard.entries(first..end, u64::MAX)?).len() as u64;
            Ok(())
        })?;
        if read != end - first {
            return Err(format!("{read} entries are there, {} were asked for", end - first).into());
        }
    }
    Ok(SHARDS)
}

/// Iterates over the entries of a batch that was read.
pub(super) fn iterate() -> Result<u64> {
    let fixture = fixture()?;
    let entries = fixture.engine.shard(ShardId(0)).entries(1..ENTRIES + 1, u64::MAX)?;
    counted(&mut || {
        for _ in 0..ITERATIONS {
            entries.iter().for_each(|entry| _ = black_box((entry.index, entry.term, entry.payload.first())));
        }
        Ok(())
    })?;
    Ok(ITERATIONS * ENTRIES)
}

/// A log whose entries are all in memory, in batches of 8 entries of a shard.
fn fixture() -> Result<Fixture> {
    let fixture = Fixture::new()?;
    fixture.fill(SHARDS, ENTRIES, 8, &payload(256))?;
    Ok(fixture)
}

const SHARDS: u64 = 64;
const ENTRIES: u64 = 128;
const ITERATIONS: u64 = 100;
