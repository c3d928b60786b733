//! tikv/raft-engine, the nearest thing in Rust, on the bare engine.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use logboom::{Durability, EntryId, Error, ShardId};

use super::{Bench, Row, SHARD, add, at_every_cut, payload};

pub(super) const ROWS: &[Row] = &[
    row("a LogBatch has entries of many raft groups, keys and commands, and is written as a whole", |_| {
        let prepare = |bench: &Bench| bench.append(1..10, 1);
        let write = |bench: &Bench| {
            bench.write(|batch| {
                batch.compact_through(SHARD, 5)?.put(SHARD, b"region", b"split")?;
                batch.append_payload(ShardId(1), EntryId { index: 1, term: 1 }, payload(1))?.append_payload(
                    ShardId(2),
                    EntryId { index: 1, term: 1 },
                    payload(1),
                )?;
                Ok(())
            })
        };
        at_every_cut(prepare, write, |left, written| {
            let has = [
                left.shard().first() == Some(6),
                left.shard().get(b"region").unwrap().is_some(),
                left.engine.shard(ShardId(1)).last() == Some(1),
                left.engine.shard(ShardId(2)).last() == Some(1),
            ];
            assert!(has == [true; 4] || (has == [false; 4] && !written), "{has:?}");
        });
    }),
    row("write(batch, sync) blocks until it is durable", |bench| {
        bench.write(|batch| add(batch, 1, 1)).unwrap();
        assert_eq!(bench.shard().durable(), Some(1));
    }),
    Row {
        adapter: "a lazy batch is durable with the next one, or soon",
        ..row("write(batch, false) returns when the batch can be read", |bench| {
            drop(bench.submit(Durability::Lazy, |batch| add(batch, 1, 1)).unwrap());
            assert_eq!((bench.shard().last(), bench.shard().durable()), (Some(1), None));
            bench.world.pass();
            bench.settle();
            assert_eq!(bench.shard().durable(), Some(1));
        })
    },
    Row {
        adapter: "entries share the log's memory: a decoder takes slices",
        ..row("fetch_entries_to decodes into entries of the caller's", |bench| {
            bench.append(1..10, 1);
            let (one, other) =
                (bench.shard().entries(2..5, u64::MAX).unwrap(), bench.shard().entries(3..9, 100).unwrap());
            let (a, b) = (one.get(4).unwrap().payload_shared(), other.get(4).unwrap().payload_shared());
            assert_eq!((&a[..], a.as_ptr()), (&payload(4)[..], b.as_ptr()));
        })
    },
    row("fetch_entries_to stops at max_size, with one entry at least", |bench| {
        bench.append(1..10, 1);
        assert_eq!(bench.shard().entries(1..10, 1).unwrap().len(), 1);
        assert_eq!(bench.shard().entries(1..10, 30).unwrap().len(), 3);
    }),
    row("first_index and last_index are none for a group without entries", |bench| {
        assert_eq!((bench.shard().first(), bench.shard().last()), (None, None));
    }),
    Row {
        adapter: "the first index before, and after; an index past the end is cut to it",
        ..row("compact_to says how many entries went, and may go past the end", |bench| {
            bench.append(1..10, 1);
            let shard = bench.shard();
            let compact_to = |index: u64| {
                let before = shard.first().or(shard.next()).unwrap_or(0);
                let to = index.min(shard.last().map_or(0, |last| last + 1)).saturating_sub(1);
                if to >= before {
                    bench.compact(to).unwrap();
                }
                shard.first().or(shard.next()).unwrap_or(0) - before
            };
            // Its argument is exclusive: the first entry that stays.
            assert_eq!([compact_to(5), compact_to(3), compact_to(100), compact_to(100)], [4, 0, 5, 0]);
            assert!(matches!(bench.compact(100), Err(Error::Beyond { .. })));
        })
    },
    row("purge_expired_files names the groups that hold the space", |bench| {
        for index in 1..60 {
            bench
                .write(|batch| {
                    batch.append_payload(SHARD, EntryId { index, term: 1 }, vec![1; 20_000])?;
                    batch.append_payload(ShardId(1), EntryId { index, term: 1 }, payload(index)).map(drop)
                })
                .unwrap();
        }
        let space = bench.engine.reclaim().unwrap().shards[0];
        assert!(space.shard == SHARD && space.entries > 30 && space.bytes > 600_000, "{space:?}");
    }),
    row("Clean leaves nothing of a group", |bench| {
        bench.append(1..10, 1);
        bench.write(|batch| batch.destroy(SHARD).map(drop)).unwrap();
        assert_eq!(bench.power_cut().engine.shards(), []);
    }),
    row("(missing there) terms, and the boundary's", |bench| {
        bench.append(1..5, 1);
        bench.append(5..10, 2);
        bench.compact(4).unwrap();
        assert_eq!(bench.terms(4..7), [1, 2, 2]);
    }),
    row("(missing there) completions without a thread for each", |bench| {
        let done = Arc::new(AtomicU64::new(0));
        for index in 1..40 {
            let counted = Arc::clone(&done);
            let ticket = bench.submit(Durability::Durable, |batch| add(batch, index, 1)).unwrap();
            ticket.on_complete(move |outcome| {
                outcome.unwrap();
                // In order: the one before was counted.
                assert_eq!(counted.fetch_add(1, Ordering::AcqRel), index - 1);
            });
        }
        bench.settle();
        assert_eq!(done.load(Ordering::Acquire), 39);
    }),
];

const fn row(rule: &'static str, check: fn(Bench)) -> Row {
    Row { core: "raft-engine", rule, adapter: "", check }
}
