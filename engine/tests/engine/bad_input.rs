//! Invalid calls fail with a typed error and change nothing.

use logboom::{Batch, Durability, Engine, Entry, EntryId, Error, Limit, ReadError, Result, TryRead};

use crate::support::*;

/// What a case does to the batch, and what must come of it.
type Case = (&'static str, fn(&mut Batch<'_>) -> Result<()>, fn(&Error) -> bool);

/// A holds 10..20 in term 1 behind the boundary (9, 1); B is empty behind the boundary (5, 2); C is vacant.
fn prepared(ground: &Ground) -> Engine {
    let engine = ground.open();
    append(&engine, A, 1..20, 1);
    write(&engine, |batch| {
        batch.compact_through(A, 9)?.hard_state(A, b"vote")?.put(A, b"k", b"v")?;
        batch.reset_to(B, Some(EntryId { index: 5, term: 2 }))?;
        Ok(())
    });
    engine
}

/// Everything that the public surface shows.
fn picture(engine: &Engine) -> String {
    let shards = [A, B, C].map(|id| {
        let shard = engine.shard(id);
        let bounds = shard.bounds();
        let entries = bounds.first.map(|first| {
            let entries = shard.entries(first..shard.next().unwrap(), u64::MAX).unwrap();
            entries.iter().map(|entry| format!("{entry:?} {:?}", entry.payload)).collect::<Vec<_>>()
        });
        (bounds, shard.hard_state().unwrap(), shard.scan(..).unwrap(), entries)
    });
    format!("{:?} {shards:?}", engine.shards())
}

const CASES: &[Case] = &[
    (
        "a gap",
        |b| b.append_payload(A, EntryId { index: 21, term: 1 }, b"").map(drop),
        |e| matches!(e, Error::Gap { shard: A, expected: 20, got: 21 }),
    ),
    (
        "an entry again",
        |b| b.append_payload(A, EntryId { index: 19, term: 1 }, b"").map(drop),
        |e| matches!(e, Error::Gap { expected: 20, got: 19, .. }),
    ),
    (
        "a compacted entry",
        |b| b.append_payload(A, EntryId { index: 9, term: 1 }, b"").map(drop),
        |e| matches!(e, Error::Compacted { shard: A, first: 10, .. }),
    ),
    (
        "a gap behind a boundary",
        |b| b.append_payload(B, EntryId { index: 7, term: 2 }, b"").map(drop),
        |e| matches!(e, Error::Gap { shard: B, expected: 6, got: 7 }),
    ),
    (
        "the boundary itself",
        |b| b.append_payload(B, EntryId { index: 5, term: 2 }, b"").map(drop),
        |e| matches!(e, Error::Compacted { shard: B, first: 6, .. }),
    ),
    (
        "the last number",
        |b| b.append_payload(C, EntryId { index: u64::MAX, term: 1 }, b"").map(drop),
        |e| matches!(e, Error::TooLarge { what: Limit::Index, size: u64::MAX, limit, .. } if *limit == u64::MAX - 1),
    ),
    (
        "a gap in the second operation",
        |b| {
            b.append_payload(A, EntryId { index: 20, term: 1 }, b"")?
                .append_payload(A, EntryId { index: 22, term: 1 }, b"")
                .map(drop)
        },
        |e| matches!(e, Error::Gap { expected: 21, got: 22, .. }),
    ),
    (
        "a gap in another shard",
        |b| {
            b.append_payload(A, EntryId { index: 20, term: 1 }, b"")?
                .put(C, b"k", b"v")?
                .append_payload(B, EntryId { index: 8, term: 1 }, b"")
                .map(drop)
        },
        |e| matches!(e, Error::Gap { shard: B, .. }),
    ),
    (
        "an overwrite of the compacted",
        |b| b.overwrite(A, [Entry::new(EntryId { index: 9, term: 1 }, b"")]).map(drop),
        |e| matches!(e, Error::Compacted { first: 10, .. }),
    ),
    (
        "an overwrite beyond the end",
        |b| b.overwrite(A, [Entry::new(EntryId { index: 21, term: 1 }, b"")]).map(drop),
        |e| matches!(e, Error::Gap { expected: 20, got: 21, .. }),
    ),
    (
        "an overwrite with a gap",
        |b| {
            b.overwrite(
                A,
                [Entry::new(EntryId { index: 15, term: 1 }, b""), Entry::new(EntryId { index: 17, term: 1 }, b"")],
            )
            .map(drop)
        },
        |e| matches!(e, Error::Gap { expected: 16, got: 17, .. }),
    ),
    (
        "a truncation beyond the end",
        |b| b.truncate_after(A, 20).map(drop),
        |e| matches!(e, Error::Beyond { shard: A, index: 20, last: Some(19) }),
    ),
    (
        "a truncation below the boundary",
        |b| b.truncate_after(A, 8).map(drop),
        |e| matches!(e, Error::Compacted { first: 10, .. }),
    ),
    (
        "a truncation of nothing",
        |b| b.truncate_after(C, 0).map(drop),
        |e| matches!(e, Error::Beyond { shard: C, last: None, .. }),
    ),
    (
        "a compaction beyond the end",
        |b| b.compact_through(A, 20).map(drop),
        |e| matches!(e, Error::Beyond { index: 20, last: Some(19), .. }),
    ),
    (
        "a compaction of nothing",
        |b| b.compact_through(C, 0).map(drop),
        |e| matches!(e, Error::Beyond { last: None, .. }),
    ),
    (
        "a boundary without a next",
        |b| b.reset_to(A, Some(EntryId { index: u64::MAX, term: 1 })).map(drop),
        |e| matches!(e, Error::TooLarge { what: Limit::Index, .. }),
    ),
    ("nothing", |_| Ok(()), |e| matches!(e, Error::Empty)),
    (
        "a long hard state",
        |b| b.hard_state(A, &[0; 65]).map(drop),
        |e| matches!(e, Error::TooLarge { what: Limit::HardState, size: 65, limit: 64, shard: Some(A), .. }),
    ),
    (
        "a long commit hint",
        |b| b.commit_hint(A, &[0; 65]).map(drop),
        |e| matches!(e, Error::TooLarge { what: Limit::CommitHint, size: 65, limit: 64, shard: Some(A), .. }),
    ),
    (
        "a long key",
        |b| b.put(A, &[0; 1025], b"").map(drop),
        |e| matches!(e, Error::TooLarge { what: Limit::Key, size: 1025, limit: 1024, .. }),
    ),
    (
        "a long value",
        |b| b.put(A, b"", &[0; 65_537]).map(drop),
        |e| matches!(e, Error::TooLarge { what: Limit::Value, size: 65_537, limit: 65_536, .. }),
    ),
    (
        "a long context",
        |b| b.append(A, Entry { context: &[0; 65_536], ..Entry::new(EntryId { index: 20, term: 1 }, b"") }).map(drop),
        |e| matches!(e, Error::TooLarge { what: Limit::Context, size: 65_536, limit: 65_535, .. }),
    ),
    (
        "a long payload",
        |b| b.append_payload(A, EntryId { index: 20, term: 1 }, bytes::Bytes::from(vec![0; 64 << 10])).map(drop),
        |e| matches!(e, Error::TooLarge { what: Limit::Entry, size: 65_536, .. }),
    ),
];

#[test]
fn bad_batches_change_nothing() {
    each(|ground| {
        let engine = prepared(ground);
        let before = picture(&engine);
        for (name, fill, expected) in CASES {
            let mut batch = engine.batch();
            let refused = fill(&mut batch).and_then(|()| engine.write(batch));
            let error = refused.expect_err(name);
            assert!(expected(&error), "{name}: {error:?}");
            assert_eq!(picture(&engine), before, "{name}");
        }
        // None of it reached the log.
        let engine = ground.reopen(engine);
        assert_eq!(picture(&engine), before);
        engine.close().unwrap();
    });
}

#[test]
fn a_refused_batch_is_given_back_as_it_was() {
    let ground = Ground::sim(1);
    let engine = prepared(&ground);
    let mut batch = engine.batch();
    batch.overwrite(A, entries(A, 25..27, 2)).unwrap();
    let refused = engine.try_submit(batch, Durability::Durable).unwrap_err();
    assert!(matches!(refused.error, Error::Gap { expected: 20, got: 25, .. }), "{refused}");
    assert_eq!(refused.to_string(), refused.error.to_string());
    assert!(std::error::Error::source(&refused).is_none(), "a walk along the sources prints the text once");
    assert_eq!(refused.batch.len(), 2);
    append(&engine, A, 20..25, 1);
    engine.try_submit(refused.batch, Durability::Durable).unwrap().wait().unwrap();
    assert_eq!(engine.shard(A).last(), Some(26));
}

#[test]
fn operations_that_safety_depends_on_cannot_be_lazy() {
    let ground = Ground::sim(1);
    let engine = prepared(&ground);
    let cases: [fn(&mut Batch<'_>) -> Result<()>; 5] = [
        |b| b.hard_state(A, b"").map(drop),
        |b| b.truncate_after(A, 15).map(drop),
        |b| b.overwrite(A, entries(A, 20..21, 1)).map(drop),
        |b| b.reset_to(A, None).map(drop),
        |b| b.destroy(A).map(drop),
    ];
    for fill in cases {
        let mut batch = engine.batch();
        fill(&mut batch).unwrap();
        assert!(matches!(engine.submit(batch, Durability::Lazy), Err(Error::NotLazy { .. })));
    }
    let mut batch = engine.batch();
    batch.commit_hint(A, b"9").unwrap().compact_through(A, 12).unwrap().put(A, b"k", b"w").unwrap();
    batch.delete(A, b"z").unwrap().append_payload(A, EntryId { index: 20, term: 1 }, b"").unwrap();
    engine.submit(batch, Durability::Lazy).unwrap().wait().unwrap();
}

#[test]
fn reads_out_of_range_are_typed() {
    each(|ground| {
        let engine = prepared(ground);
        let shard = engine.shard(A);
        assert!(matches!(shard.entries(9..12, 100), Err(ReadError::Compacted { shard: A, index: 9, first: 10 })));
        let beyond = shard.entries(15..21, 100);
        assert!(matches!(beyond, Err(ReadError::Unavailable { shard: A, index: 20, last: Some(19) })), "{beyond:?}");
        assert!(matches!(shard.entries(0..u64::MAX, 100), Err(ReadError::Compacted { first: 10, .. })));
        assert!(matches!(shard.try_entries(9..12, 100), TryRead::Failed(ReadError::Compacted { first: 10, .. })));
        assert!(matches!(
            shard.try_entries(15..21, 100),
            TryRead::Failed(ReadError::Unavailable { last: Some(19), .. })
        ));
        assert!(shard.entries(12..12, 100).unwrap().is_empty());
        #[expect(clippy::reversed_empty_ranges, reason = "the point of the case")]
        let backwards = 50..12;
        assert!(shard.entries(backwards, 100).unwrap().is_empty());
        assert!(matches!(engine.shard(B).entries(5..6, 1), Err(ReadError::Compacted { first: 6, .. })));
        assert!(matches!(engine.shard(B).entries(6..7, 1), Err(ReadError::Unavailable { last: None, .. })));
        assert!(matches!(
            engine.shard(C).entries(0..1, 1),
            Err(ReadError::Unavailable { shard: C, index: 0, last: None })
        ));
        assert!(matches!(engine.shard(C).term(0), Err(ReadError::Unavailable { last: None, .. })));
        engine.close().unwrap();
    });
}

#[test]
fn calls_of_a_closed_engine_fail() {
    each(|ground| {
        let engine = prepared(ground);
        let (other, shard) = (engine.clone(), engine.shard(A));
        engine.close().unwrap();
        let mut batch = other.batch();
        batch.put(A, b"k", b"v").unwrap();
        let refused = other.try_submit(batch, Durability::Durable).unwrap_err();
        assert!(matches!(refused.error, Error::Closed));
        assert!(matches!(other.write(refused.batch), Err(Error::Closed)));
        assert!(matches!(other.barrier(), Err(Error::Closed)));
        assert_eq!(shard.last(), Some(19));
        check(&shard, 10..20, 1);
        other.close().unwrap();
        drop(shard);
        check(&ground.open().shard(A), 10..20, 1);
    });
}

#[test]
fn invalid_configurations_are_rejected() {
    for change in [
        |config: &mut logboom::Config| config.segment_bytes = 1000,
        |config: &mut logboom::Config| config.segment_bytes = 4 << 30,
        |config: &mut logboom::Config| config.admission_bytes = 0,
    ] {
        let dir = temp_dir();
        let mut config = small(dir.path().join("log"));
        change(&mut config);
        assert!(matches!(Engine::open(config.clone()), Err(Error::Config { .. })));
        assert!(!config.dir.exists());
    }
}
