//! dragonboat's `ILogDB` and `LogReader`, on the bare engine.

use logboom::{Durability, EntryBatch, EntryId, Error, ReadError, ShardId};

use logboom_rsm::Failure;

use super::{Bench, Row, SHARD, add, at_every_cut, payload, replace};

pub(super) const ROWS: &[Row] = &[
    row("SaveRaftState: state and entries of many shards in one call, atomic, durable on return", |_| {
        let save = |bench: &Bench| {
            bench.write(|batch| {
                for shard in (1..9).map(ShardId) {
                    batch
                        .append_payload(shard, EntryId { index: 1, term: 1 }, payload(shard.0))?
                        .hard_state(shard, b"term 1")?;
                }
                Ok(())
            })
        };
        at_every_cut(
            |_| {},
            save,
            |left, written| {
                let found = (1..9).map(ShardId).filter(|shard| {
                    let shard = left.engine.shard(*shard);
                    assert_eq!(shard.last().is_some(), shard.hard_state().unwrap().is_some());
                    shard.last().is_some()
                });
                let found = found.count();
                assert!(found == 8 || (found == 0 && !written), "{found} of 8");
            },
        );
    }),
    row("SaveRaftState is called for different shards at once", |bench| {
        std::thread::scope(|scope| {
            for shard in (1..5).map(ShardId) {
                let bench = &bench;
                scope.spawn(move || {
                    let save = |index| {
                        bench.submit(Durability::Durable, |batch| {
                            batch.append_payload(shard, EntryId { index, term: 1 }, payload(index)).map(drop)
                        })
                    };
                    (1..50).for_each(|index| drop(save(index).unwrap()));
                });
            }
        });
        bench.engine.barrier().unwrap().wait().unwrap();
        assert!((1..5).all(|shard| bench.engine.shard(ShardId(shard)).durable() == Some(49)));
    }),
    row("SaveRaftState replaces entries that conflict, and panics on a gap", |bench| {
        bench.append(1..10, 1);
        bench.write(|batch| replace(batch, 4..6, 2)).unwrap();
        assert_eq!(bench.shard().last(), Some(5));
        assert!(matches!(bench.write(|batch| replace(batch, 7..8, 2)), Err(Error::Gap { .. })));
    }),
    Row {
        adapter: "the range is cut to the bounds of the log before it is read",
        ..row("IterateEntries gives what exists, possibly nothing, without an error", |bench| {
            bench.append(1..10, 1);
            bench.compact(4).unwrap();
            let iterate = |low: u64, high: u64| {
                let bounds = bench.shard().bounds();
                let low = low.max(bounds.first.unwrap_or(high));
                let high = high.min(bounds.last.map_or(low, |last| last + 1)).max(low);
                bench.shard().entries(low..high, u64::MAX).unwrap().len()
            };
            assert_eq!([iterate(1, 7), iterate(8, 20), iterate(1, 3), iterate(20, 30)], [2, 2, 0, 0]);
        })
    },
    Row {
        adapter: "one more entry is read if the limit was not reached, and a limit of 0 is asked for as none",
        ..row("IterateEntries includes the entry that crosses the limit", |bench| {
            bench.append(1..10, 1);
            let iterate = |max_bytes: u64| {
                let shard = bench.shard();
                let read = shard.entries(1..10, if max_bytes == 0 { u64::MAX } else { max_bytes }).unwrap();
                let reached = read.payload_bytes() >= max_bytes && max_bytes > 0;
                let next = read.first().unwrap() + read.len() as u64;
                let crossing = if reached || next == 10 { 0 } else { shard.entries(next..10, 0).unwrap().len() };
                read.len() + crossing
            };
            // Nine bytes each.
            assert_eq!([1, 9, 10, 18, 19, 0].map(iterate), [1, 1, 2, 2, 3, 9]);
        })
    },
    Row {
        adapter: "an empty shard without a hard state is ErrNoSavedLog",
        ..row("ReadRaftState: the state, the first index and the count; ErrNoSavedLog if never saved", |bench| {
            let shard = bench.shard();
            assert_eq!((shard.hard_state().unwrap(), shard.bounds().last), (None, None));
            bench.append(1..10, 1);
            bench.compact(4).unwrap();
            bench.write(|batch| batch.hard_state(SHARD, b"term 1").map(drop)).unwrap();
            let (first, last) = (shard.first().unwrap(), shard.last().unwrap());
            assert_eq!((first, last - first + 1, shard.hard_state().unwrap().is_some()), (5, 5, true));
        })
    },
    row("RemoveEntriesTo is inclusive", |bench| {
        bench.append(1..10, 1);
        bench.compact(4).unwrap();
        assert_eq!(bench.power_cut().shard().first(), Some(5));
    }),
    row("CompactEntriesTo gives the space back", |bench| {
        for index in 1..60 {
            bench
                .write(|batch| batch.append_payload(SHARD, EntryId { index, term: 1 }, vec![1; 30_000]).map(drop))
                .unwrap();
        }
        let before = bench.engine.space();
        bench.compact(58).unwrap();
        let after = bench.engine.reclaim().unwrap();
        assert!(after.segments_freed > before.segments_freed + 3 && after.segments + 3 < before.segments, "{after:?}");
    }),
    Row {
        adapter: "Stale is no error",
        ..row("SaveSnapshots: the newest wins, an older one is ignored; GetSnapshot", |bench| {
            bench.append(1..10, 1);
            let snapshots = bench.engine.snapshots();
            let older = bench.build(3, 1);
            snapshots.register(&bench.build(6, 1)).unwrap();
            let older = snapshots.register(&older);
            assert!(matches!(older, Err(Error::Snapshot(logboom::snapshot::Error::Stale { .. }))), "{older:?}");
            let newest = bench.power_cut().engine.snapshots().newest(SHARD).unwrap().unwrap();
            assert_eq!(newest.manifest().index, 6);
        })
    },
    row("bootstrap information of each replica, and ListNodeInfo", |bench| {
        bench.write(|batch| batch.put(ShardId(3), b"bootstrap", b"1, 2, 3").map(drop)).unwrap();
        bench.append(1..2, 1);
        let bench = bench.power_cut();
        assert_eq!(bench.engine.shards(), [ShardId(3), SHARD]);
        assert_eq!(bench.engine.shard(ShardId(3)).get(b"bootstrap").unwrap().as_deref(), Some(&b"1, 2, 3"[..]));
    }),
    row("RemoveNodeData leaves nothing of a replica", |bench| {
        bench.append(1..10, 1);
        bench
            .write(|batch| {
                batch.hard_state(SHARD, b"term 1")?.put(SHARD, b"bootstrap", b"1")?;
                Ok(())
            })
            .unwrap();
        bench.write(|batch| batch.destroy(SHARD).map(drop)).unwrap();
        let bench = bench.power_cut();
        let shard = bench.shard();
        assert_eq!((bench.engine.shards(), shard.last(), shard.hard_state().unwrap()), (vec![], None, None));
        assert_eq!((shard.get(b"bootstrap").unwrap(), shard.boundary()), (None, None));
    }),
    row("ImportSnapshot wipes the replica, and writes state and snapshot", |_| {
        let prepare = |bench: &Bench| {
            bench.append(1..10, 1);
            bench.write(|batch| batch.hard_state(SHARD, b"old").map(drop)).unwrap();
        };
        let import = |bench: &Bench| {
            let built = bench.try_build(5, 1)?;
            bench.write(|batch| {
                batch.destroy(SHARD)?.hard_state(SHARD, b"new")?;
                batch.reset_to(SHARD, Some(EntryId { index: 5, term: 1 }))?.register_snapshot(SHARD, &built)?;
                Ok(())
            })?;
            Ok::<_, Failure>(())
        };
        at_every_cut(prepare, import, |left, written| {
            let (shard, newest) = (left.shard(), left.engine.snapshots().newest(SHARD).unwrap());
            let state = shard.hard_state().unwrap().unwrap();
            let (old, new) = ((Some(10), None, &b"old"[..]), (Some(6), Some(5), &b"new"[..]));
            let found = (shard.next(), newest.map(|lease| lease.manifest().index), &state[..]);
            assert!(found == new || (found == old && !written), "{found:?}");
        });
    }),
    row("LogReader: the marker is the boundary, and Term answers for it", |bench| {
        bench.append(1..10, 4);
        bench.compact(5).unwrap();
        assert_eq!(
            (bench.shard().boundary(), bench.shard().term(5).ok()),
            (Some(EntryId { index: 5, term: 4 }), Some(4))
        );
    }),
    row("LogReader.Compact is inclusive: ErrCompacted below the marker, ErrUnavailable above the last", |bench| {
        bench.append(1..10, 4);
        bench.compact(5).unwrap();
        assert!(matches!(bench.shard().term(4), Err(ReadError::Compacted { first: 6, .. })));
        assert!(matches!(bench.compact(10), Err(Error::Beyond { .. })));
    }),
    row("LogReader.Entries: ErrCompacted and ErrUnavailable, and never a gap", |bench| {
        bench.append(1..10, 4);
        bench.compact(5).unwrap();
        let entries = |low, high| bench.shard().entries(low..high, u64::MAX);
        assert!(matches!(entries(5, 7), Err(ReadError::Compacted { .. })));
        assert!(matches!(entries(6, 11), Err(ReadError::Unavailable { .. })));
        let indexes = |batch: EntryBatch| batch.iter().map(|entry| entry.index).collect::<Vec<_>>();
        assert_eq!(indexes(entries(6, 10).unwrap()), [6, 7, 8, 9]);
    }),
    row("LogReader.ApplySnapshot resets marker and length", |bench| {
        bench.append(1..10, 4);
        bench.engine.snapshots().install(&bench.build(30, 5), None).unwrap();
        assert_eq!((bench.shard().boundary(), bench.shard().last()), (Some(EntryId { index: 30, term: 5 }), None));
        bench.append(31..33, 5);
    }),
    row("entries are not kept behind Update: who keeps them copies them", |bench| {
        bench.append(1..10, 4);
        let read = bench.shard().entries(1..2, u64::MAX).unwrap();
        assert!(read.compact_copy().pinned_bytes() < read.pinned_bytes());
    }),
    row("a shard whose write failed panics: nothing is acknowledged behind a failure", |bench| {
        bench.append(1..10, 4);
        bench.world.disk.halt_after(1);
        assert!(bench.write(|batch| add(batch, 10, 4)).is_err());
        assert!(matches!(bench.write(|batch| add(batch, 11, 4)), Err(Error::Poisoned { .. })));
        assert_eq!(bench.terms(1..10), [4; 9]);
    }),
];

const fn row(rule: &'static str, check: fn(Bench)) -> Row {
    Row { core: "dragonboat", rule, adapter: "", check }
}
