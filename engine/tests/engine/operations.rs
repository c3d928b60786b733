//! Every operation and its effect, at once and after the log was opened again.

use bytes::Bytes;
use logboom::{Durability, Engine, Entry, EntryId, Error, ReadError};

use crate::support::*;

/// Fills an engine, and checks what it holds at once, after a proper close, and after one without a checkpoint of the
/// last operations (the handle is forgotten: on the simulated disk by a process crash).
fn survives(fill: impl Fn(&Engine), check: impl Fn(&Engine)) {
    each(|ground| {
        let engine = ground.open();
        fill(&engine);
        check(&engine);
        let engine = ground.reopen(engine);
        check(&engine);
        let engine = ground.reopen(engine);
        check(&engine);
        engine.close().unwrap();
    });
    let ground = Ground::sim(3);
    let engine = ground.open();
    fill(&engine);
    ground.replace_disk(ground.disk().process_crash());
    drop(engine);
    check(&ground.open());
}

#[test]
fn entries_with_everything() {
    survives(
        |engine| {
            write(engine, |batch| {
                batch.append(
                    A,
                    Entry { kind: 9, context: b"ctx", ..Entry::new(EntryId { index: 0, term: 3 }, b"zero") },
                )?;
                batch.append(A, Entry::new(EntryId { index: 1, term: 3 }, b""))?;
                batch.append(
                    A,
                    Entry { kind: 255, ..Entry::new(EntryId { index: 2, term: 4 }, Bytes::from_static(b"owned")) },
                )?;
                Ok(())
            });
        },
        |engine| {
            let shard = engine.shard(A);
            let entries = shard.entries(0..3, u64::MAX).unwrap();
            let seen: Vec<_> =
                entries.iter().map(|e| (e.index, e.term, e.kind, e.context.to_vec(), e.payload.to_vec())).collect();
            assert_eq!(
                seen,
                [
                    (0, 3, 9, b"ctx".to_vec(), b"zero".to_vec()),
                    (1, 3, 0, vec![], vec![]),
                    (2, 4, 255, vec![], b"owned".to_vec())
                ]
            );
            assert_eq!((shard.term(0).ok(), shard.term(1).ok(), shard.term(2).ok()), (Some(3), Some(3), Some(4)));
            assert!(matches!(shard.term(3), Err(ReadError::Unavailable { last: Some(2), .. })));
            assert_eq!((shard.next(), shard.durable(), shard.boundary()), (Some(3), Some(2), None));
        },
    );
}

#[test]
fn a_log_may_begin_anywhere() {
    survives(
        |engine| {
            append(engine, A, 0..3, 1);
            append(engine, B, 1000..1003, 1);
            append(engine, C, u64::MAX - 2..u64::MAX, 1);
        },
        |engine| {
            check(&engine.shard(A), 0..3, 1);
            check(&engine.shard(B), 1000..1003, 1);
            check(&engine.shard(C), u64::MAX - 2..u64::MAX, 1);
            assert_eq!(engine.shards(), [A, B, C]);
        },
    );
}

#[test]
fn overwriting_replaces_a_suffix() {
    survives(
        |engine| {
            append(engine, A, 1..20, 1);
            write(engine, |batch| batch.overwrite(A, entries(A, 10..15, 2)).map(drop));
            append(engine, B, 1..5, 1);
            write(engine, |batch| batch.overwrite(B, entries(B, 5..8, 1)).map(drop));
            append(engine, C, 3..5, 1);
            write(engine, |batch| batch.overwrite(C, entries(C, 3..4, 6)).map(drop));
        },
        |engine| {
            let shard = engine.shard(A);
            assert_eq!((shard.first(), shard.last()), (Some(1), Some(14)));
            assert_eq!((shard.term(9).ok(), shard.term(10).ok()), (Some(1), Some(2)));
            assert_eq!(shard.entries(14..15, 0).unwrap().get(14).unwrap().payload, payload(A, 14, 2));
            assert_eq!(shard.entries(9..10, 0).unwrap().get(9).unwrap().payload, payload(A, 9, 1));
            check(&engine.shard(B), 1..8, 1);
            check(&engine.shard(C), 3..4, 6);
        },
    );
}

#[test]
fn truncating_keeps_the_index() {
    survives(
        |engine| {
            append(engine, A, 5..20, 1);
            write(engine, |batch| batch.truncate_after(A, 9).map(drop));
            append(engine, B, 5..20, 1);
            write(engine, |batch| batch.truncate_after(B, 19).map(drop));
            append(engine, C, 5..20, 1);
            write(engine, |batch| batch.truncate_after(C, 4).map(drop));
        },
        |engine| {
            check(&engine.shard(A), 5..10, 1);
            check(&engine.shard(B), 5..20, 1);
            let shard = engine.shard(C);
            assert_eq!((shard.bounds().first, shard.boundary(), shard.next()), (None, None, None));
        },
    );
}

#[test]
fn compacting_keeps_the_boundary() {
    survives(
        |engine| {
            append(engine, A, 1..10, 1);
            append(engine, A, 10..20, 2);
            write(engine, |batch| batch.compact_through(A, 9).map(drop));
            append(engine, B, 1..10, 4);
            write(engine, |batch| batch.compact_through(B, 9).map(drop));
            // Below the boundary: nothing to do.
            write(engine, |batch| batch.compact_through(B, 3)?.compact_through(A, 9).map(drop));
        },
        |engine| {
            let shard = engine.shard(A);
            check(&shard, 10..20, 2);
            assert_eq!(shard.boundary(), Some(EntryId { index: 9, term: 1 }));
            assert_eq!((shard.term(9).ok(), shard.term(10).ok()), (Some(1), Some(2)));
            assert!(matches!(shard.term(8), Err(ReadError::Compacted { first: 10, .. })));
            let shard = engine.shard(B);
            assert_eq!((shard.bounds().first, shard.bounds().last), (None, None));
            assert_eq!(shard.boundary(), Some(EntryId { index: 9, term: 4 }));
            assert_eq!((shard.next(), shard.durable()), (Some(10), Some(9)));
            assert_eq!(shard.term(9).ok(), Some(4));
            assert!(matches!(shard.term(10), Err(ReadError::Unavailable { last: None, .. })));
        },
    );
}

#[test]
fn resetting_empties_the_log_and_keeps_the_rest() {
    survives(
        |engine| {
            append(engine, A, 1..10, 1);
            write(engine, |batch| {
                batch.hard_state(A, b"vote")?.commit_hint(A, b"9")?.put(A, b"k", b"v")?;
                batch.reset_to(A, Some(EntryId { index: 100, term: 7 }))?;
                batch.append_payload(A, EntryId { index: 101, term: 7 }, b"after")?;
                Ok(())
            });
            append(engine, B, 1..10, 1);
            write(engine, |batch| {
                batch.reset_to(B, None)?.append_payload(B, EntryId { index: 0, term: 9 }, b"zero").map(drop)
            });
            write(engine, |batch| batch.reset_to(C, Some(EntryId { index: 0, term: 0 })).map(drop));
        },
        |engine| {
            let shard = engine.shard(A);
            assert_eq!((shard.first(), shard.last()), (Some(101), Some(101)));
            assert_eq!(shard.boundary(), Some(EntryId { index: 100, term: 7 }));
            assert_eq!(shard.hard_state().unwrap(), Some(Bytes::from_static(b"vote")));
            assert_eq!(shard.commit_hint().unwrap(), Some(Bytes::from_static(b"9")));
            assert_eq!(shard.get(b"k").unwrap(), Some(Bytes::from_static(b"v")));
            let shard = engine.shard(B);
            assert_eq!((shard.first(), shard.last(), shard.boundary()), (Some(0), Some(0), None));
            let shard = engine.shard(C);
            assert_eq!((shard.next(), shard.boundary()), (Some(1), Some(EntryId { index: 0, term: 0 })));
        },
    );
}

#[test]
fn a_destroyed_shard_may_begin_anew() {
    survives(
        |engine| {
            append(engine, A, 1..10, 1);
            write(engine, |batch| batch.hard_state(A, b"vote")?.put(A, b"k", b"v")?.commit_hint(A, b"").map(drop));
            append(engine, B, 1..10, 1);
            write(engine, |batch| {
                batch.destroy(A)?.destroy(B)?.append_payload(B, EntryId { index: 4, term: 9 }, b"anew").map(drop)
            });
            write(engine, |batch| batch.append_payload(B, EntryId { index: 5, term: 9 }, b"more").map(drop));
            write(engine, |batch| batch.destroy(C).map(drop));
        },
        |engine| {
            assert_eq!(engine.shards(), [B]);
            let shard = engine.shard(A);
            assert_eq!((shard.next(), shard.hard_state().unwrap(), shard.get(b"k").unwrap()), (None, None, None));
            assert_eq!((shard.commit_hint().unwrap(), shard.durable()), (None, None));
            let shard = engine.shard(B);
            assert_eq!((shard.first(), shard.last(), shard.term(4).ok()), (Some(4), Some(5), Some(9)));
            assert_eq!(shard.entries(4..6, 100).unwrap().iter().map(|e| e.payload.len()).collect::<Vec<_>>(), [4, 4]);
        },
    );
}

#[test]
fn keys_are_ordered_and_survive() {
    survives(
        |engine| {
            write(engine, |batch| {
                for key in ["c", "a", "b", ""] {
                    batch.put(A, key.as_bytes(), format!("value of {key}").as_bytes())?;
                }
                batch.put(A, b"b", b"new")?.delete(A, b"c")?.delete(A, b"never there")?;
                batch.put(B, &[7; 1024], &vec![9; 40_000])?;
                Ok(())
            });
        },
        |engine| {
            let shard = engine.shard(A);
            let keys = |found: Vec<(Bytes, Bytes)>| found.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
            assert_eq!(keys(shard.scan(..).unwrap()), ["", "a", "b"]);
            assert_eq!(keys(shard.scan(&b"a"[..]..&b"b"[..]).unwrap()), ["a"]);
            assert_eq!(keys(shard.scan(&b"z"[..]..&b"a"[..]).unwrap()), Vec::<Bytes>::new());
            assert_eq!((shard.get(b"b").unwrap(), shard.get(b"c").unwrap()), (Some(Bytes::from_static(b"new")), None));
            assert_eq!(engine.shard(B).get(&[7; 1024]).unwrap().unwrap().len(), 40_000);
        },
    );
}

#[test]
fn small_state_of_every_length() {
    for len in [0, 1, 63, 64] {
        survives(
            |engine| write(engine, |batch| batch.hard_state(A, &vec![1; len])?.commit_hint(A, &vec![2; len]).map(drop)),
            |engine| {
                assert_eq!(engine.shard(A).hard_state().unwrap(), Some(vec![1; len].into()));
                assert_eq!(engine.shard(A).commit_hint().unwrap(), Some(vec![2; len].into()));
            },
        );
    }
}

#[test]
fn logs_over_many_segments() {
    survives(
        |engine| {
            for round in 0..30 {
                let mut batch = engine.batch();
                for shard in [A, B] {
                    for index in round * 40..(round + 1) * 40 {
                        batch
                            .append_payload(shard, EntryId { index, term: 1 }, Bytes::from(payload(shard, index, 1)))
                            .unwrap();
                    }
                }
                batch
                    .append_payload(C, EntryId { index: round, term: 1 }, Bytes::from(vec![round as u8; 40_000]))
                    .unwrap();
                engine.write(batch).unwrap();
            }
            assert!(engine.segments().len() > 4, "{:?}", engine.segments());
        },
        |engine| {
            check(&engine.shard(A), 0..1200, 1);
            check(&engine.shard(B), 0..1200, 1);
            for index in 0..30 {
                let entries = engine.shard(C).entries(index..index + 1, 0).unwrap();
                assert_eq!(entries.get(index).unwrap().payload, vec![index as u8; 40_000]);
            }
        },
    );
}

#[test]
fn cuts_across_segments() {
    survives(
        |engine| {
            for index in 0..40 {
                write(engine, |batch| {
                    batch.append_payload(
                        A,
                        EntryId { index, term: index / 10 },
                        Bytes::from(vec![index as u8; 20_000]),
                    )?;
                    batch.append_payload(B, EntryId { index, term: 1 }, Bytes::from(payload(B, index, 1)))?;
                    Ok(())
                });
            }
            write(engine, |batch| batch.overwrite(A, entries(A, 13..16, 9))?.compact_through(A, 12).map(drop));
            write(engine, |batch| batch.compact_through(B, 19)?.truncate_after(B, 29).map(drop));
            append(engine, A, 16..18, 9);
        },
        |engine| {
            check(&engine.shard(A), 13..18, 9);
            assert_eq!(engine.shard(A).boundary(), Some(EntryId { index: 12, term: 1 }));
            check(&engine.shard(B), 20..30, 1);
        },
    );
}

#[test]
fn the_durable_index_follows_the_tickets() {
    let ground = Ground::sim(1);
    let engine = ground.open();
    let shard = engine.shard(A);
    let submit = |fill: &dyn Fn(&mut logboom::Batch<'_>)| {
        let mut batch = engine.batch();
        fill(&mut batch);
        engine.submit(batch, Durability::Durable).unwrap()
    };
    let first = submit(&|batch| {
        batch.append_payload(A, EntryId { index: 5, term: 1 }, b"a").unwrap();
    });
    assert_eq!((shard.last(), shard.durable()), (Some(5), None), "accepted, not durable");
    first.wait().unwrap();
    assert_eq!(shard.durable(), Some(5));
    let second = submit(&|batch| {
        batch.append_payload(A, EntryId { index: 6, term: 1 }, b"b").unwrap();
    });
    assert_eq!((shard.last(), shard.durable()), (Some(6), Some(5)));
    second.wait().unwrap();
    let third = submit(&|batch| {
        batch.overwrite(A, [Entry::new(EntryId { index: 6, term: 2 }, b"c")]).unwrap();
    });
    assert_eq!(shard.durable(), Some(5), "what replaces a durable entry is not durable");
    third.wait().unwrap();
    assert_eq!(shard.durable(), Some(6));
    let reset = submit(&|batch| {
        batch.reset_to(A, Some(EntryId { index: 50, term: 3 })).unwrap();
    });
    assert_eq!(shard.durable(), None);
    reset.wait().unwrap();
    assert_eq!(shard.durable(), Some(50));
}

#[test]
fn compaction_stays_below_the_applied_floor() {
    each(|ground| {
        let engine = ground.open();
        append(&engine, A, 1..10, 1);
        let shard = engine.shard(A);
        assert_eq!(shard.applied_floor(), None);
        assert!(matches!(shard.raise_applied_floor(10), Err(Error::Beyond { index: 10, last: Some(9), .. })));
        shard.raise_applied_floor(4).unwrap();
        shard.raise_applied_floor(2).unwrap();
        append(&engine, A, 10..13, 1);
        assert_eq!(shard.applied_floor(), Some(4));

        let mut batch = engine.batch();
        batch.put(A, b"k", b"v").unwrap().compact_through(A, 5).unwrap();
        let refused = engine.write(batch).unwrap_err();
        assert!(matches!(refused, Error::Unapplied { shard: A, index: 5, first: 5 }), "{refused}");
        assert_eq!((shard.first(), shard.get(b"k").unwrap()), (Some(1), None), "nothing was done");

        write(&engine, |batch| batch.compact_through(A, 4).map(drop));
        assert_eq!((shard.first(), shard.applied_floor()), (Some(5), Some(4)), "the boundary is applied");
        write(&engine, |batch| {
            batch.reset_to(A, Some(EntryId { index: 50, term: 2 }))?;
            batch.append_payload(A, EntryId { index: 51, term: 2 }, b"").map(drop)
        });
        assert_eq!(shard.applied_floor(), Some(50), "a snapshot stands for what was applied");
        drop(shard);
        let engine = ground.reopen(engine);
        assert_eq!(engine.shard(A).applied_floor(), None);
        write(&engine, |batch| batch.compact_through(A, 51).map(drop));
    });
}

/// What is on its way besides takes nothing from what is durable of a log.
#[test]
fn a_pending_hard_state_leaves_the_durable_end_where_it_is() {
    let ground = Ground::sim(11);
    let engine = ground.open();
    let shard = engine.shard(A);
    let pend = |state: &[u8]| {
        let mut batch = engine.batch();
        batch.hard_state(A, state).unwrap();
        engine.submit(batch, Durability::Durable).unwrap()
    };
    // Behind a reset.
    write(&engine, |batch| batch.reset_to(A, Some(EntryId { index: 50, term: 3 })).map(drop));
    assert_eq!(shard.durable(), Some(50));
    let ticket = pend(b"one");
    assert_eq!(shard.durable(), Some(50));
    ticket.wait().unwrap();
    // A reset that is on its way itself is not durable.
    let mut batch = engine.batch();
    batch.reset_to(A, Some(EntryId { index: 90, term: 3 })).unwrap();
    let ticket = engine.submit(batch, Durability::Durable).unwrap();
    assert_eq!(shard.durable(), None);
    ticket.wait().unwrap();
    assert_eq!(shard.durable(), Some(90));
    // Behind entries, and when they lie in one sealed segment.
    append(&engine, A, 91..95, 3);
    let ticket = pend(b"two");
    assert_eq!(shard.durable(), Some(94));
    ticket.wait().unwrap();
    // All entries are replaced: the boundary stays.
    let mut batch = engine.batch();
    batch.overwrite(A, entries(A, 91..95, 4)).unwrap();
    let ticket = engine.submit(batch, Durability::Durable).unwrap();
    assert_eq!(shard.durable(), Some(90));
    ticket.wait().unwrap();
    let engine = ground.reopen(engine);
    let shard = engine.shard(A);
    let mut batch = engine.batch();
    batch.hard_state(A, b"three").unwrap();
    let ticket = engine.submit(batch, Durability::Durable).unwrap();
    assert_eq!(shard.durable(), Some(94));
    ticket.wait().unwrap();
}

/// The batch borrows, and is not in the log yet when the payload goes: that is no use of it.
#[test]
fn payloads_may_be_declared_after_their_batch() {
    fn append(engine: &Engine, text: &str) -> logboom::Result<()> {
        let mut batch = engine.batch();
        let payload = text.repeat(3).into_bytes();
        batch.append(A, Entry { context: &payload, ..Entry::new(EntryId { index: 1, term: 1 }, &payload[..]) })?;
        if text.is_empty() {
            return Ok(());
        }
        engine.write(batch)
    }
    let engine = Ground::sim(1).open();
    append(&engine, "").unwrap();
    append(&engine, "abc").unwrap();
    assert_eq!(engine.shard(A).entries(1..2, u64::MAX).unwrap().get(1).unwrap().payload, b"abcabcabc");
}
