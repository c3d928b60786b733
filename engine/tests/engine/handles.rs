//! Handles to shards: they see what the engine has, and take no memory for shards without state.

use std::sync::atomic::{AtomicBool, Ordering};

use logboom::{Durability, EntryId, Error, ShardId};

use crate::support::*;

/// Ids of shards that nothing is written to.
fn others() -> impl Iterator<Item = ShardId> {
    (0..1000).map(|id| ShardId(1 << 32 | id))
}

#[test]
fn reading_an_unknown_shard_leaves_no_cell() {
    each(|ground| {
        let engine = ground.open();
        let kept: Vec<_> = others().map(|id| engine.shard(id)).collect();
        for shard in kept.iter().chain(&kept.clone()) {
            assert_eq!((shard.last(), shard.next(), shard.boundary(), shard.durable()), (None, None, None, None));
            assert!(shard.hard_state().unwrap().is_none() && shard.scan(..).unwrap().is_empty());
            assert!(matches!(shard.raise_applied_floor(0), Err(Error::Beyond { last: None, .. })));
            assert!(shard.applied_floor().is_none() && shard.entries(0..1, 1).is_err());
        }
        assert_eq!(engine.metrics().index_shards, 0);
        append(&engine, A, 0..3, 1);
        assert_eq!((engine.metrics().index_shards, engine.shards()), (1, vec![A]));
        engine.close().unwrap();
    });
}

#[test]
fn a_refused_batch_leaves_no_cells_of_its_shards() {
    each(|ground| {
        let engine = ground.open();
        append(&engine, A, 0..3, 1);
        for id in others() {
            let mut batch = engine.batch();
            batch
                .put(id, b"k", b"v")
                .unwrap()
                .append_payload(A, EntryId { index: 7, term: 1 }, b"")
                .unwrap()
                .compact_through(B, 0)
                .unwrap();
            let refused = engine.try_submit(batch, Durability::Durable).unwrap_err();
            assert!(matches!(refused.error, Error::Gap { shard: A, .. }), "{refused}");
            assert!(engine.submit(refused.batch, Durability::Durable).is_err());
        }
        assert_eq!(engine.metrics().index_shards, 1);
        engine.close().unwrap();
    });
}

#[test]
fn a_handle_from_before_the_first_write_sees_it_and_what_comes_later() {
    each(|ground| {
        let engine = ground.open();
        let (early, other) = (engine.shard(A), engine.shard(A));
        assert_eq!(early.last(), None);
        append(&engine, A, 0..3, 1);
        check(&early, 0..3, 1);
        write(&engine, |batch| batch.destroy(A).map(drop));
        assert_eq!((early.last(), other.last()), (None, None));
        append(&engine, A, 7..9, 2);
        check(&early, 7..9, 2);
        check(&other, 7..9, 2);
        engine.close().unwrap();
        check(&early, 7..9, 2);
    });
}

#[test]
fn destroyed_shards_are_forgotten_by_the_next_checkpoint() {
    let ground = Ground::sim(1);
    let engine = ground.open();
    let kept = engine.shard(ShardId(5));
    append(&engine, B, 0..3, 1);
    write(&engine, |batch| batch.destroy(B).map(drop));
    assert_eq!(engine.metrics().index_shards, 1);
    for round in 0..60 {
        append(&engine, A, round * 100..(round + 1) * 100, 1);
        write(&engine, |batch| batch.compact_through(A, round * 100 + 90).map(drop));
    }
    ground.until(&engine, "a checkpoint", || engine.metrics().index_shards == 1);
    append(&engine, kept.id(), 3..4, 1);
    assert_eq!(kept.last(), Some(3), "the handle and the engine mean the same shard");
    append(&engine, B, 7..9, 2);
    let engine = ground.reopen(engine);
    check(&engine.shard(B), 7..9, 2);
    assert_eq!(engine.shards(), [A, B, ShardId(5)]);
    engine.close().unwrap();
}

/// Writers that begin a shard, one refused and one not, beside those who look at it.
#[test]
fn a_reader_sees_nothing_or_all_of_a_shard_that_begins() {
    let ground = Ground::real();
    let engine = ground.open();
    for id in (1..200).map(ShardId) {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let look = || {
                let (early, mut seen) = (engine.shard(id), None);
                while !done.load(Ordering::Acquire) || early.last().is_none() {
                    let last = early.last();
                    assert!(last.is_none() || last == Some(4), "{last:?}");
                    assert!(seen.is_none() || last.is_some(), "it was there");
                    assert!(last.is_none() || engine.shard(id).last() == Some(4), "a later handle sees as much");
                    seen = last;
                }
            };
            scope.spawn(look);
            scope.spawn(look);
            scope.spawn(|| {
                for _ in 0..50 {
                    let mut batch = engine.batch();
                    batch.put(id, b"k", b"v").unwrap().truncate_after(id, 9).unwrap();
                    assert!(engine.submit(batch, Durability::Lazy).is_err());
                }
            });
            append(&engine, id, 0..5, 1);
            assert_eq!(engine.shard(id).last(), Some(4));
            done.store(true, Ordering::Release);
        });
        check(&engine.shard(id), 0..5, 1);
        assert_eq!(engine.shard(id).get(b"k").unwrap(), None);
    }
    assert_eq!(engine.metrics().index_shards, 199);
    engine.close().unwrap();
}
