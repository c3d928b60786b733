//! The stage index: lookups in shards that read no entries.

use std::hint::black_box;

use logboom::{Shard, ShardId};

use crate::{
    Result,
    guard::{
        counted,
        fixture::{Fixture, payload},
    },
};

/// Looks up the terms of random entries.
pub(super) fn term() -> Result<u64> {
    asked(|shard, index| Ok(black_box(shard.term(index)).map(drop)?))
}

/// Looks up the bounds of shards.
pub(super) fn bounds() -> Result<u64> {
    asked(|shard, _| {
        black_box((shard.first(), shard.last()));
        Ok(())
    })
}

/// Writes batches of one entry of every shard, so that no two entries of a shard are adjacent, and then makes lookups
/// in a random order that is the same in every run.
fn asked(ask: impl Fn(&Shard, u64) -> Result<()>) -> Result<u64> {
    let fixture = Fixture::new()?;
    fixture.fill(SHARDS, ENTRIES, 1, &payload(64))?;
    let shards: Vec<_> = (0..SHARDS).map(|shard| fixture.engine.shard(ShardId(shard))).collect();
    let mut random = fastrand::Rng::with_seed(1);
    let mut question = || (random.usize(..shards.len()), random.u64(1..=ENTRIES));
    let questions: Vec<_> = (0..QUESTIONS).map(|_| question()).collect();
    counted(&mut || questions.iter().try_for_each(|&(shard, index)| ask(&shards[shard], index)))?;
    Ok(QUESTIONS)
}

const SHARDS: u64 = 100;
const ENTRIES: u64 = 64;
const QUESTIONS: u64 = 10_000;
