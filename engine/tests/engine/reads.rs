//! Reading: hot and cold, without copies, within a byte limit, never blocking where that is promised.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use bytes::Bytes;
use logboom::{Engine, EntryId, Shard, TryRead, disk::FaultKind};

use crate::support::*;

/// Closes and opens, so that nothing is in memory but what a read brings there.
fn cold(ground: &Ground, engine: Engine) -> Engine {
    ground.reopen(engine)
}

fn is_ready(shard: &Shard, range: std::ops::Range<u64>) -> bool {
    match shard.try_entries(range, u64::MAX) {
        TryRead::Ready(_) => true,
        TryRead::WouldBlock(_) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_recent_tail_is_read_from_memory() {
    each(|ground| {
        let engine = ground.open();
        append(&engine, A, 1..200, 1);
        let before = engine.metrics();
        check(&engine.shard(A), 1..200, 1);
        assert!(is_ready(&engine.shard(A), 1..200));
        let after = engine.metrics();
        assert_eq!(after.log.cold_reads, before.log.cold_reads);
        assert!(after.read_hot > before.read_hot && after.read_cold == before.read_cold);
        engine.close().unwrap();
    });
}

#[test]
fn cold_entries_would_block_and_the_future_returns_them() {
    each(|ground| {
        let engine = ground.open();
        for round in 0..40 {
            append(&engine, A, round * 50..(round + 1) * 50, 1);
            write(&engine, |batch| {
                batch.append_payload(B, EntryId { index: round, term: 1 }, Bytes::from(vec![1; 20_000])).map(drop)
            });
        }
        let engine = cold(ground, engine);
        let shard = engine.shard(A);
        let future = match shard.try_entries(100..1900, u64::MAX) {
            TryRead::WouldBlock(future) => future,
            other => panic!("{other:?}"),
        };
        let entries = drive_on(ground, &engine, future).unwrap();
        assert_eq!((entries.len(), entries.first()), (1800, Some(100)));
        for entry in &entries {
            assert_eq!(entry.payload, payload(A, entry.index, 1));
        }
        let entries = drive_on(ground, &engine, shard.entries_async(7..9, 0)).unwrap();
        assert_eq!(entries.len(), 1);
        match shard.try_entries(3..4, 0) {
            TryRead::WouldBlock(future) => assert_eq!(future.wait().unwrap().first(), Some(3)),
            other => panic!("{other:?}"),
        }
        check(&shard, 0..2000, 1);
        assert!(engine.metrics().read_cold > 0);
        engine.close().unwrap();
    });
}

#[test]
fn futures_of_what_is_in_memory_are_ready() {
    each(|ground| {
        let engine = ground.open();
        append(&engine, A, 1..20, 1);
        let entries = drive_on(ground, &engine, engine.shard(A).entries_async(1..20, u64::MAX)).unwrap();
        assert_eq!(entries.len(), 19);
        let missing = drive_on(ground, &engine, engine.shard(A).entries_async(1..21, u64::MAX));
        assert!(missing.is_err());
        engine.close().unwrap();
    });
}

#[test]
fn the_byte_limit_is_kept_but_for_the_first_entry() {
    each(|ground| {
        let mut engine = ground.open();
        for index in 0..50 {
            let mut batch = engine.batch();
            for at in 0..4 {
                batch
                    .append_payload(A, EntryId { index: index * 4 + at, term: 1 }, Bytes::from(vec![7; 1000]))
                    .unwrap();
            }
            engine.write(batch).unwrap();
        }
        for _ in 0..2 {
            let shard = engine.shard(A);
            for (max_bytes, expected) in [(0, 1), (999, 1), (1000, 1), (1999, 1), (2000, 2), (9500, 9), (u64::MAX, 197)]
            {
                let entries = shard.entries(3..200, max_bytes).unwrap();
                assert_eq!((entries.len(), entries.first()), (expected, Some(3)), "{max_bytes}");
                assert_eq!(entries.payload_bytes(), 1000 * expected as u64);
            }
            drop(shard);
            engine = cold(ground, engine);
        }
        engine.close().unwrap();
    });
}

/// Also where segments have no more than the limit each: a read of a long range reads what it returns.
#[test]
fn a_read_stops_at_its_limit_over_segments() {
    let mut ground = Ground::sim(6);
    (ground.config.cache_bytes, ground.config.read_ahead_bytes) = (0, 0);
    let engine = ground.open();
    for index in 0..400 {
        write(&engine, |batch| {
            batch.append_payload(A, EntryId { index, term: 1 }, Bytes::from(vec![1; 10_000])).map(drop)
        });
    }
    ground.until(&engine, "segments are sealed", || engine.metrics().index_sealed > 10);
    let engine = cold(&ground, engine);
    for (max_bytes, expected) in [(100_000, 10), (300_000, 30), (1_000_000, 100)] {
        let before = ground.disk().operations().len();
        assert_eq!(engine.shard(A).entries(3..400, max_bytes).unwrap().len(), expected);
        let operations = ground.disk().operations();
        let reads = operations[before..].iter().filter(|operation| operation.kind == FaultKind::Read);
        let bytes: u64 = reads.map(|operation| operation.range.end - operation.range.start).sum();
        assert!(bytes < 2 * max_bytes + (200 << 10), "{bytes} bytes are read for {max_bytes}");
    }
}

#[test]
fn bytes_share_the_memory_of_the_log() {
    each(|ground| {
        let mut engine = ground.open();
        append(&engine, A, 1..10, 1);
        for _ in 0..2 {
            let entries = engine.shard(A).entries(1..10, u64::MAX).unwrap();
            let entry = entries.get(5).unwrap();
            let (bytes, pointer) = (entry.payload_shared(), entry.payload.as_ptr());
            assert_eq!(bytes.as_ptr(), pointer);
            // A second read of the tail gives the same memory; the bytes outlive the batch and the engine.
            drop(entries);
            assert_eq!(bytes, payload(A, 5, 1));
            engine = cold(ground, engine);
        }
        let shard = engine.shard(A);
        append(&engine, A, 10..12, 1);
        let pointer = |shard: &Shard| shard.entries(10..11, 0).unwrap().get(10).unwrap().payload.as_ptr();
        assert_eq!(pointer(&shard), pointer(&shard), "no copy is made for a reader");
        let kept = shard.entries(10..12, u64::MAX).unwrap();
        drop(shard);
        engine.close().unwrap();
        assert_eq!(kept.get(11).unwrap().payload_shared(), payload(A, 11, 1));
        let copy = kept.compact_copy();
        assert!(copy.pinned_bytes() < kept.pinned_bytes());
        assert_eq!(copy.get(11).unwrap().payload, payload(A, 11, 1));
    });
}

#[test]
fn a_small_cache_and_a_small_index_only_cost_time() {
    let mut ground = Ground::sim(5);
    ground.config.cache_bytes = 0;
    ground.config.index_bytes = 0;
    let engine = ground.open();
    for round in 0..40 {
        append(&engine, A, round * 50..(round + 1) * 50, 1);
        write(&engine, |batch| {
            batch.append_payload(B, EntryId { index: round, term: 1 }, Bytes::from(vec![1; 20_000])).map(drop)
        });
    }
    ground.until(&engine, "segments are sealed", || engine.metrics().index_sealed > 2);
    check(&engine.shard(A), 0..2000, 1);
    assert_eq!(engine.shard(A).entries(0..2000, u64::MAX).unwrap().len(), 2000);
    assert_eq!(engine.metrics().index_bytes, 0);
}

#[test]
fn readers_follow_a_writer() {
    let ground = Ground::real();
    let engine = ground.open();
    append(&engine, A, 1..2, 1);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let shard = engine.shard(A);
                while !done.load(Ordering::Acquire) {
                    let bounds = shard.bounds();
                    let (Some(first), Some(last)) = (bounds.first, bounds.last) else { panic!("{bounds:?}") };
                    match shard.entries(first..last + 1, 20_000) {
                        Ok(entries) => {
                            for entry in &entries {
                                assert_eq!(entry.payload, payload(A, entry.index, 1));
                            }
                        }
                        // The writer compacts.
                        Err(logboom::ReadError::Compacted { first: now, .. }) => assert!(now > first),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        for round in 0..400 {
            append(&engine, A, round * 10 + 2..(round + 1) * 10 + 2, 1);
            if round % 7 == 0 {
                write(&engine, |batch| batch.compact_through(A, round * 10).map(drop));
            }
        }
        done.store(true, Ordering::Release);
    });
    engine.close().unwrap();
}
