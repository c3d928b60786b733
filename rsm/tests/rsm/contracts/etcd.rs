//! etcd-io/raft's `Storage` and `MemoryStorage`, etcd's `wal` and `snap`, on the bare engine.

use logboom::{Durability, EntryId, Error, ReadError};

use logboom_rsm::Failure;

use super::{Bench, Row, SHARD, add, at_every_cut, payload, replace};

pub(super) const ROWS: &[Row] = &[
    row("Term answers for first - 1 to last: ErrCompacted below, ErrUnavailable above", |bench| {
        bench.append(1..10, 2);
        bench.compact(4).unwrap();
        assert_eq!(bench.terms(4..10), [2; 6]);
        assert!(matches!(bench.shard().term(3), Err(ReadError::Compacted { first: 5, .. })));
        assert!(matches!(bench.shard().term(10), Err(ReadError::Unavailable { last: Some(9), .. })));
    }),
    row("Entries is half-open, has at least one entry, and else no more than the limit", |bench| {
        bench.append(1..10, 1);
        let count = |bytes| bench.shard().entries(2..8, bytes).unwrap().len();
        assert_eq!([0, 17, 18, 27, u64::MAX].map(count), [1, 1, 2, 3, 6]);
    }),
    row("Entries: ErrCompacted below the first, ErrUnavailable past the last", |bench| {
        bench.append(1..10, 1);
        bench.compact(4).unwrap();
        assert!(matches!(bench.shard().entries(4..6, 100), Err(ReadError::Compacted { first: 5, .. })));
        assert!(matches!(bench.shard().entries(5..11, 100), Err(ReadError::Unavailable { last: Some(9), .. })));
    }),
    row("entries that were returned do not change when the log does", |bench| {
        bench.append(1..10, 1);
        let before = bench.shard().entries(1..10, u64::MAX).unwrap();
        bench.write(|batch| replace(batch, 2..4, 9)).unwrap();
        bench.compact(3).unwrap();
        assert!(before.iter().all(|entry| entry.term == 1 && entry.payload == payload(entry.index)));
    }),
    Row {
        adapter: "an index at or below the boundary is ErrCompacted before the engine is asked, which does nothing",
        ..row("MemoryStorage.Compact is inclusive, keeps the term, and errs if there is nothing to compact", |bench| {
            bench.append(1..10, 3);
            bench.compact(4).unwrap();
            assert_eq!(bench.shard().boundary(), Some(EntryId { index: 4, term: 3 }));
            bench.compact(4).unwrap();
            assert_eq!(bench.shard().first(), Some(5));
        })
    },
    row("Compact past the last entry panics", |bench| {
        bench.append(1..10, 3);
        assert!(matches!(bench.compact(10), Err(Error::Beyond { index: 10, last: Some(9), .. })));
    }),
    row("Append replaces what conflicts", |bench| {
        bench.append(1..10, 1);
        bench.write(|batch| replace(batch, 5..8, 2)).unwrap();
        assert_eq!((bench.shard().last(), bench.terms(4..8)), (Some(7), vec![1, 2, 2, 2]));
    }),
    row("Append panics on a gap", |bench| {
        bench.append(1..10, 1);
        let gap = bench.write(|batch| replace(batch, 11..12, 1));
        assert!(matches!(gap, Err(Error::Gap { expected: 10, got: 11, .. })));
    }),
    Row {
        adapter: "entries at or below the boundary are cut off before they are handed over",
        ..row("Append silently clips entries that are compacted", |bench| {
            bench.append(1..10, 1);
            bench.compact(4).unwrap();
            let (from, first) = (3, bench.shard().first().unwrap());
            assert!(matches!(bench.write(|batch| replace(batch, from..8, 2)), Err(Error::Compacted { first: 5, .. })));
            bench.write(|batch| replace(batch, from.max(first)..8, 2)).unwrap();
            assert_eq!(bench.terms(5..8), [2; 3]);
        })
    },
    row("ApplySnapshot drops the whole log, which goes on behind it", |bench| {
        bench.append(1..10, 1);
        bench.engine.snapshots().install(&bench.build(5, 3), None).unwrap();
        assert_eq!((bench.shard().last(), bench.shard().next()), (None, Some(6)));
        assert_eq!(bench.shard().term(5).ok(), Some(3));
    }),
    row("ApplySnapshot: ErrSnapOutOfDate for one that is older", |bench| {
        bench.append(1..10, 1);
        let older = bench.build(4, 1);
        bench.engine.snapshots().install(&bench.build(5, 3), None).unwrap();
        let older = bench.engine.snapshots().install(&older, None);
        assert!(matches!(older, Err(Error::Snapshot(logboom::snapshot::Error::Stale { .. }))), "{older:?}");
        assert_eq!(bench.shard().boundary(), Some(EntryId { index: 5, term: 3 }));
    }),
    row("InitialState of what was never written is empty", |bench| {
        let shard = bench.shard();
        assert_eq!((shard.hard_state().unwrap(), shard.commit_hint().unwrap(), shard.last()), (None, None, None));
    }),
    row("MsgStorageAppend: responses in order, only when what they are about is durable", |bench| {
        let one = bench.submit(Durability::Durable, |batch| add(batch, 1, 1)).unwrap();
        let other = bench.submit(Durability::Durable, |batch| add(batch, 2, 1)).unwrap();
        assert!(!one.is_done() && !other.is_done() && bench.shard().durable().is_none());
        assert_eq!(bench.terms(1..3), [1, 1], "readable meanwhile");
        other.wait().unwrap();
        assert!(one.is_done() && bench.shard().durable() == Some(2));
    }),
    row("MsgStorageAppend: a stale response does not make stable what has replaced its entry", |bench| {
        let stale = bench.submit(Durability::Durable, |batch| add(batch, 1, 1)).unwrap();
        bench.settle();
        let newer = bench.submit(Durability::Durable, |batch| replace(batch, 1..2, 2)).unwrap();
        assert_eq!((stale.is_done(), bench.shard().durable()), (true, None));
        newer.wait().unwrap();
        assert_eq!(bench.shard().durable(), Some(1));
    }),
    row("Save has entries and state in one call, and never leaves a commit without its entry", |_| {
        let save = |bench: &Bench| {
            for index in 1..8 {
                bench.write(|batch| {
                    add(batch, index, 1)?;
                    batch.hard_state(SHARD, &index.to_le_bytes()).map(drop)
                })?;
            }
            Ok::<_, Error>(())
        };
        at_every_cut(
            |_| {},
            save,
            |left, _| {
                let state = left.shard().hard_state().unwrap();
                let commit = state.map(|state| u64::from_le_bytes(state[..].try_into().unwrap()));
                assert_eq!(commit, left.shard().last(), "one is of another Save");
            },
        );
    }),
    row("a commit that moves alone is not synced (etcd#4758)", |bench| {
        bench.append(1..10, 1);
        let before = bench.engine.metrics();
        drop(bench.submit(Durability::Lazy, |batch| batch.commit_hint(SHARD, b"9").map(drop)).unwrap());
        bench.settle();
        assert_eq!(bench.engine.metrics().log.groups, before.log.groups, "it waits for the next batch");
        bench.append(10..11, 1);
        assert_eq!(bench.power_cut().shard().commit_hint().unwrap().as_deref(), Some(&b"9"[..]));
    }),
    row("term and vote are never lazy", |bench| {
        let lazy = bench.submit(Durability::Lazy, |batch| batch.hard_state(SHARD, b"term 1").map(drop));
        assert!(matches!(lazy, Err(Error::NotLazy { .. })), "{lazy:?}");
    }),
    row("ReadAll resolves conflicts: the entry that was written last at an index", |bench| {
        bench.append(1..10, 1);
        bench.write(|batch| replace(batch, 5..8, 2)).unwrap();
        let bench = bench.power_cut();
        assert_eq!((bench.shard().last(), bench.terms(4..8)), (Some(7), vec![1, 2, 2, 2]));
    }),
    row("ReadAll takes a torn tail for the end, and what was acknowledged is before it", |_| {
        let write = |bench: &Bench| (1..6).try_for_each(|index| bench.write(|batch| add(batch, index, 1)));
        at_every_cut(
            |bench| bench.append(100..101, 1),
            |bench| {
                bench.write(|batch| batch.reset_to(SHARD, None).map(drop))?;
                write(bench)
            },
            |left, written| {
                let last = left.shard().last();
                assert!(!written || last == Some(5), "{last:?}");
                let first = left.shard().first();
                assert!(
                    matches!((first, last), (None, None) | (Some(100), Some(100)) | (Some(1), Some(1..6))),
                    "{first:?}"
                );
            },
        );
    }),
    row("the head of a new segment states what is needed: nothing hangs on segments that are gone", |bench| {
        bench.write(|batch| batch.hard_state(SHARD, b"term 7").map(drop)).unwrap();
        for index in 1..60 {
            bench
                .write(|batch| {
                    batch.append_payload(SHARD, EntryId { index, term: 7 }, vec![1; 30_000])?;
                    batch.compact_through(SHARD, index).map(drop)
                })
                .unwrap();
        }
        let report = bench.engine.reclaim().unwrap();
        assert!(report.segments_freed > 3, "{report:?}");
        let bench = bench.power_cut();
        assert_eq!(bench.shard().hard_state().unwrap().as_deref(), Some(&b"term 7"[..]));
        assert_eq!(bench.shard().boundary(), Some(EntryId { index: 59, term: 7 }));
    }),
    row("the snapshot file, then the record of it, then what it frees: one batch (etcd#10219)", |_| {
        let prepare = |bench: &Bench| bench.append(1..10, 1);
        let install = |bench: &Bench| {
            let built = bench.try_build(20, 3)?;
            Ok::<_, Failure>(bench.engine.snapshots().install(&built, Some(b"commit 20"))?)
        };
        at_every_cut(prepare, install, |left, written| {
            let (shard, newest) = (left.shard(), left.engine.snapshots().newest(SHARD).unwrap());
            let state = (shard.last(), shard.next(), shard.hard_state().unwrap().is_some(), newest.is_some());
            let (old, new) = ((Some(9), Some(10), false, false), (None, Some(21), true, true));
            assert!(state == new || (state == old && !written), "{state:?}");
        });
    }),
    row("the newest snapshot is the newest that the log knows of (etcd#11888)", |bench| {
        bench.append(1..10, 1);
        bench.engine.snapshots().register(&bench.build(4, 1)).unwrap();
        std::mem::forget(bench.build(8, 1));
        let bench = bench.power_cut();
        let newest = bench.engine.snapshots().newest(SHARD).unwrap().unwrap();
        assert_eq!((newest.manifest().index, bench.world.snapshot_files()), (4, 1));
    }),
];

const fn row(rule: &'static str, check: fn(Bench)) -> Row {
    Row { core: "etcd", rule, adapter: "", check }
}
