//! The same calls on the same seed make the same history, byte for byte.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use logboom::{Durability, EntryId, ShardId};

use crate::support::*;

fn history(seed: u64) -> Vec<String> {
    let ground = Ground::sim(seed);
    let mut rng = Rng::with_seed(seed);
    for _ in 0..3 {
        let engine = ground.open();
        for _ in 0..60 {
            let mut batch = engine.batch();
            let shard = ShardId(rng.u64(..4));
            let next = engine.shard(shard).next().unwrap_or(1);
            batch
                .append_payload(shard, EntryId { index: next, term: 1 }, Bytes::from(vec![7; rng.usize(..12_000)]))
                .unwrap();
            if next > 5 {
                batch.compact_through(shard, next - 5).unwrap();
            }
            let ticket = engine.submit(batch, Durability::Durable).unwrap();
            match rng.u32(..3) {
                0 => ticket.wait().unwrap(),
                1 => ground.pass(&engine, Duration::from_millis(30)),
                _ => drop(ticket),
            }
        }
        match rng.bool() {
            true => engine.close().unwrap(),
            false => ground.replace_disk(ground.disk().power_cut()),
        }
    }
    ground.disk().trace()
}

#[test]
fn a_seed_repeats_its_history() {
    for seed in 0..5 {
        let (one, other) = (history(seed), history(seed));
        let difference = one.iter().zip(&other).position(|(one, other)| one != other);
        assert_eq!(difference, None, "seed {seed}: {:?} / {:?}", one[difference.unwrap()], other[difference.unwrap()]);
        assert_eq!(one.len(), other.len());
        assert!(one.len() > 200, "{}", one.len());
    }
    assert_ne!(history(1), history(2));
}
