//! The stages append and compact: batches until they are accepted. Writing them is not counted.

use logboom::{Durability, EntryId, ShardId};

use crate::{
    Result,
    guard::{
        counted,
        fixture::{Fixture, TERM, payload},
    },
};

/// Batches of one small entry.
pub(super) fn small() -> Result<u64> {
    append(1, 256, 1024)
}

/// Batches of one small entry of each of many shards.
pub(super) fn wide() -> Result<u64> {
    append(64, 256, 64)
}

/// Batches of one large entry.
pub(super) fn large() -> Result<u64> {
    append(1, 16 << 10, 256)
}

/// Appends batches of one entry of each of `shards`; returns the number of entries.
fn append(shards: u64, bytes: usize, batches: u64) -> Result<u64> {
    let (fixture, payload) = (Fixture::new()?, payload(bytes));
    fixture.fill(shards, WARM, 1, &payload)?;
    for index in WARM + 1..=WARM + batches {
        counted(&mut || {
            let mut batch = fixture.engine.batch();
            for shard in 0..shards {
                batch.append_payload(ShardId(shard), EntryId { index, term: TERM }, &payload)?;
            }
            drop(fixture.engine.submit(batch, Durability::Durable)?);
            Ok(())
        })?;
        if index.is_multiple_of(ROUND) {
            fixture.engine.barrier()?.wait()?;
        }
    }
    Ok(shards * batches)
}

/// Batches that truncate the end of a log.
pub(super) fn truncate() -> Result<u64> {
    let fixture = Fixture::new()?;
    fixture.fill(SHARDS, 64, 8, &payload(256))?;
    each(&fixture, |batch, shard| Ok(batch.truncate_after(shard, 56).map(drop)?))
}

/// Batches that compact a log.
pub(super) fn compact() -> Result<u64> {
    let fixture = Fixture::new()?;
    fixture.fill(SHARDS, 128, 1, &payload(256))?;
    each(&fixture, |batch, shard| Ok(batch.compact_through(shard, 64).map(drop)?))
}

/// Submits a batch for each shard; returns the number of batches.
fn each(fixture: &Fixture, add: impl Fn(&mut logboom::Batch<'_>, ShardId) -> Result<()>) -> Result<u64> {
    for shard in (0..SHARDS).map(ShardId) {
        counted(&mut || {
            let mut batch = fixture.engine.batch();
            add(&mut batch, shard)?;
            drop(fixture.engine.submit(batch, Durability::Durable)?);
            Ok(())
        })?;
    }
    Ok(SHARDS)
}

/// The entries of each shard before the count begins, so that buffers have been recycled.
const WARM: u64 = 64;
/// The number of batches that are written at once.
const ROUND: u64 = 64;
const SHARDS: u64 = 256;
