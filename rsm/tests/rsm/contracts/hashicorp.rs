//! hashicorp/raft's `LogStore` and `StableStore`, and raft-wal, on the bare engine.

use logboom::{Durability, EntryId, Error, ReadError};

use super::{Bench, Row, SHARD, add, payload};

pub(super) const ROWS: &[Row] = &[
    Row {
        adapter: "no first or last index is 0",
        ..row("FirstIndex and LastIndex are 0 when the log is empty", |bench| {
            let indexes = |bench: &Bench| (bench.shard().first().unwrap_or(0), bench.shard().last().unwrap_or(0));
            assert_eq!(indexes(&bench), (0, 0));
            bench.append(5..10, 1);
            assert_eq!(indexes(&bench), (5, 9));
            bench.compact(9).unwrap();
            assert_eq!(indexes(&bench), (0, 0));
        })
    },
    Row {
        adapter: "Compacted and Unavailable are both ErrLogNotFound; nothing else is",
        ..row("GetLog gives ErrLogNotFound, which selects the sending of a snapshot", |bench| {
            bench.append(1..10, 1);
            bench.compact(4).unwrap();
            let get = |index: u64| bench.shard().entries(index..index + 1, u64::MAX).map(|batch| batch.len());
            assert!(matches!(get(4), Err(ReadError::Compacted { .. })));
            assert!(matches!(get(10), Err(ReadError::Unavailable { .. })));
            assert_eq!(get(5).unwrap(), 1);
        })
    },
    row("StoreLogs is durable on return", |bench| {
        bench.append(1..10, 1);
        let bench = bench.power_cut();
        assert_eq!((bench.shard().first(), bench.shard().last()), (Some(1), Some(9)));
    }),
    Row {
        adapter: "a range that ends with the last entry is truncate_after(min - 1)",
        ..row("DeleteRange is inclusive: a suffix is a conflict", |bench| {
            bench.append(1..10, 1);
            bench.write(|batch| batch.truncate_after(SHARD, 5).map(drop)).unwrap();
            assert_eq!(bench.power_cut().shard().last(), Some(5));
        })
    },
    Row {
        adapter: "a range that begins with the first entry is compact_through(max)",
        ..row("DeleteRange is inclusive: a prefix is a compaction", |bench| {
            bench.append(1..10, 1);
            bench.compact(5).unwrap();
            assert_eq!(bench.power_cut().shard().first(), Some(6));
        })
    },
    Row {
        adapter: "all of it, or past the end, is reset_to(None), behind which the log may begin anywhere",
        ..row("DeleteRange of everything empties the log, which begins where a snapshot says", |bench| {
            bench.append(1..10, 1);
            bench.write(|batch| batch.reset_to(SHARD, None).map(drop)).unwrap();
            bench.append(50..52, 2);
            let bench = bench.power_cut();
            assert_eq!((bench.shard().first(), bench.shard().last()), (Some(50), Some(51)));
        })
    },
    Row {
        adapter: "IsMonotonic is true: behind a restore the core deletes the whole log",
        ..row("gaps are legal unless the store is monotonic", |bench| {
            bench.append(1..10, 1);
            let gap = bench.write(|batch| add(batch, 20, 1));
            assert!(matches!(gap, Err(Error::Gap { expected: 10, got: 20, .. })));
        })
    },
    row("Set, Get and SetUint64 of the StableStore are durable, apart from the log", |bench| {
        bench.append(1..10, 1);
        let set = |bench: &Bench, term: u64| {
            bench.write(|batch| batch.put(SHARD, b"CurrentTerm", &term.to_le_bytes()).map(drop)).unwrap();
        };
        set(&bench, 4);
        set(&bench, 5);
        bench.write(|batch| batch.truncate_after(SHARD, 3).map(drop)).unwrap();
        let bench = bench.power_cut();
        let term = bench.shard().get(b"CurrentTerm").unwrap().unwrap();
        assert_eq!((&term[..], bench.shard().get(b"LastVoteCand").unwrap()), (&5_u64.to_le_bytes()[..], None));
    }),
    row(
        "StageCommitIndex goes with the next StoreLogs, and never exceeds the last index (hashicorp/raft#613)",
        |bench| {
            for index in 1..5 {
                bench
                    .write(|batch| {
                        add(batch, index, 1)?;
                        batch.commit_hint(SHARD, &(index - 1).to_le_bytes()).map(drop)
                    })
                    .unwrap();
            }
            let bench = bench.power_cut();
            let hint = bench.shard().commit_hint().unwrap().unwrap();
            assert_eq!((&hint[..], bench.shard().last()), (&3_u64.to_le_bytes()[..], Some(4)));
        },
    ),
    row("an error of StoreLogs leaves the store usable, and nothing of the call", |bench| {
        bench.append(1..10, 1);
        let refused = bench.write(|batch| {
            add(batch, 10, 1)?;
            add(batch, 12, 1)
        });
        assert!(matches!(refused, Err(Error::Gap { expected: 11, got: 12, .. })));
        assert_eq!(bench.shard().last(), Some(9));
        bench.append(10..12, 1);
    }),
    Row {
        adapter: "the process has to end: Poisoned does not go away, as what the failure left is unknown (raft-wal#32)",
        ..row("an error of the disk makes the leader step down, and the process goes on using the store", |bench| {
            bench.append(1..10, 1);
            bench.world.disk.halt_after(1);
            for index in [10, 10, 11] {
                assert!(matches!(
                    bench.write(|batch| add(batch, index, 1)),
                    Err(Error::Poisoned { .. } | Error::Io { .. })
                ));
            }
            assert_eq!(bench.shard().entries(1..10, u64::MAX).unwrap().len(), 9);
        })
    },
    row("raft-wal: the first append to an empty log may start anywhere, later ones are last + 1", |bench| {
        bench.append(1000..1003, 1);
        assert!(matches!(bench.write(|batch| add(batch, 1002, 1)), Err(Error::Gap { expected: 1003, .. })));
        bench.append(1003..1004, 1);
    }),
    row("raft-wal: readers do not wait for the writer", |bench| {
        bench.append(1..10, 1);
        let ticket = bench.submit(Durability::Durable, |batch| add(batch, 10, 1)).unwrap();
        let read = bench.shard().entries(1..11, u64::MAX).unwrap();
        assert_eq!((read.len(), ticket.is_done()), (10, false));
        assert_eq!(read.get(10).unwrap().payload, payload(10));
    }),
    row("raft-wal: a log that was truncated is not found longer after a crash (raft-wal#31)", |bench| {
        for index in 1..60 {
            bench
                .write(|batch| batch.append_payload(SHARD, EntryId { index, term: 1 }, vec![1; 20_000]).map(drop))
                .unwrap();
        }
        bench.write(|batch| batch.truncate_after(SHARD, 3).map(drop)).unwrap();
        let bench = bench.power_cut();
        assert_eq!((bench.shard().last(), bench.shard().entries(1..4, u64::MAX).unwrap().len()), (Some(3), 3));
        bench.append(4..6, 2);
    }),
];

const fn row(rule: &'static str, check: fn(Bench)) -> Row {
    Row { core: "hashicorp", rule, adapter: "", check }
}
