//! Limits: a value at the limit is accepted and comes back, one above it is rejected, and the error names the limit.

use bytes::Bytes;
use logboom::{
    BATCH_RECORDS_MAX, Batch, CONTEXT_BYTES_MAX, Capacity, Durability, Engine, Entry, EntryId, Error, KEY_BYTES_MAX,
    Limit, Result, STATE_BYTES_MAX, ShardId, VALUE_BYTES_MAX,
    disk::{Disk, SimDisk, SimOptions},
};

use crate::support::*;

/// A segment in which a batch may hold the longest value.
const SEGMENT: u64 = 1 << 20;
const BATCH: u64 = SEGMENT / 4;
/// What frames an entry in its record.
const FRAME: u64 = 72;

/// What has a size, the greatest allowed, and how something of a size is put in a batch.
type Case = (Limit, u64, fn(&mut Batch<'_>, u64) -> Result<()>);

const CASES: &[Case] = &[
    (Limit::Key, KEY_BYTES_MAX as u64, |b, size| b.put(A, &zeros(size), b"").map(drop)),
    (Limit::Key, KEY_BYTES_MAX as u64, |b, size| b.delete(A, &zeros(size)).map(drop)),
    (Limit::Value, VALUE_BYTES_MAX as u64, |b, size| b.put(A, b"k", &zeros(size)).map(drop)),
    (Limit::HardState, STATE_BYTES_MAX as u64, |b, size| b.hard_state(A, &zeros(size)).map(drop)),
    (Limit::CommitHint, STATE_BYTES_MAX as u64, |b, size| b.commit_hint(A, &zeros(size)).map(drop)),
    (Limit::Context, CONTEXT_BYTES_MAX as u64, |b, size| {
        b.reset_to(A, None)?
            .append(A, Entry { context: zeros(size).leak(), ..Entry::new(EntryId { index: 1, term: 1 }, b"") })
            .map(drop)
    }),
    (Limit::Entry, BATCH - FRAME, |b, size| {
        b.append_payload(ShardId(size), EntryId { index: 1, term: 1 }, zeros(size)).map(drop)
    }),
    (Limit::Index, u64::MAX - 1, |b, index| {
        b.append_payload(ShardId(index), EntryId { index, term: 1 }, b"").map(drop)
    }),
    (Limit::Index, u64::MAX - 1, |b, index| b.reset_to(A, Some(EntryId { index, term: 1 })).map(drop)),
    (Limit::Index, u64::MAX - 1, |b, index| {
        b.reset_to(A, Some(EntryId { index: index - 2, term: 1 }))?.append_payload(
            A,
            EntryId { index: index - 1, term: 1 },
            b"",
        )?;
        b.append_payload(A, EntryId { index, term: 1 }, b"").map(drop)
    }),
    (Limit::Index, u64::MAX - 1, |b, index| {
        let entries = [index - 1, index].map(|index| Entry::new(EntryId { index, term: 1 }, b""));
        b.reset_to(A, None)?.overwrite(A, entries).map(drop)
    }),
    (Limit::Index, u64::MAX - 1, |b, index| {
        b.reset_to(A, None)?.append_payload(A, EntryId { index: index.min(u64::MAX - 1), term: 1 }, b"")?;
        b.heal(A, Entry::new(EntryId { index, term: 1 }, b"")).map(drop)
    }),
];

fn zeros(len: u64) -> Vec<u8> {
    vec![0; usize::try_from(len).unwrap()]
}

fn ground(segment_bytes: u64) -> Ground {
    let mut ground = Ground::sim(1);
    ground.config.segment_bytes = segment_bytes;
    ground
}

#[test]
fn an_operation_at_its_limit_is_taken_and_one_above_is_refused_when_it_is_added() {
    let ground = ground(SEGMENT);
    let engine = ground.open();
    for (nth, &(limit, most, fill)) in CASES.iter().enumerate() {
        for size in [most - 1, most] {
            write(&engine, |batch| fill(batch, size));
        }
        let mut batch = engine.batch();
        match fill(&mut batch, most + 1) {
            Err(Error::TooLarge { what, size, limit: named, .. }) => {
                assert_eq!((what, size, named), (limit, most + 1, most), "case {nth}");
            }
            other => panic!("case {nth}: {other:?}"),
        }
    }
    let engine = ground.reopen(engine);
    assert!(engine.quarantined().is_empty());
    let longest = engine.shard(ShardId(BATCH - FRAME)).entries(1..2, u64::MAX).unwrap();
    assert_eq!(longest.get(1).unwrap().payload.len() as u64, BATCH - FRAME);
    assert_eq!(engine.shard(ShardId(u64::MAX - 1)).last(), Some(u64::MAX - 1));
    assert_eq!(engine.shard(A).get(b"k").unwrap().unwrap().len(), VALUE_BYTES_MAX);
    assert_eq!(engine.shard(A).get(&zeros(KEY_BYTES_MAX as u64 - 1)).unwrap(), None, "deleted");
    engine.close().unwrap();
}

/// Fills a batch to within a record's header of its limit, and that with an operation that takes `bytes`.
fn filled<'a>(engine: &Engine, last: usize) -> Result<Batch<'a>> {
    let mut batch = engine.batch();
    let room = batch.bytes_max() - 64 - last as u64;
    batch.append_payload(A, EntryId { index: 1, term: 1 }, zeros(room - FRAME))?;
    batch.put(A, b"", &zeros(last as u64 - 2))?;
    Ok(batch)
}

#[test]
fn a_batch_may_take_a_quarter_of_a_segment() {
    let ground = ground(SEGMENT);
    let engine = ground.open();
    assert_eq!(engine.batch().bytes_max(), BATCH);
    let mut batch = filled(&engine, 40).unwrap();
    assert_eq!(batch.bytes(), BATCH);
    let over = batch.commit_hint(A, b"").unwrap_err();
    assert!(
        matches!(over, Error::TooLarge { what: Limit::Batch, size, limit: BATCH, .. } if size == BATCH + 64),
        "{over}"
    );
    assert_eq!((batch.bytes(), batch.len()), (BATCH, 2));
    engine.write(batch).unwrap();
    let engine = ground.reopen(engine);
    assert_eq!(engine.shard(A).entries(1..2, u64::MAX).unwrap().get(1).unwrap().payload.len(), 262_144 - 104 - 72);
    engine.close().unwrap();
}

/// Whatever a batch of a quarter of a segment consists of, the segment holds it, and the footer besides.
#[test]
fn a_full_batch_of_the_smallest_records_fits_the_smallest_segment() {
    for (pad_unit, seed) in [(512, 1), (4096, 2), (8192, 3)] {
        let options = SimOptions { pad_unit, physical_block: pad_unit, ..SimOptions::default() };
        let ground = Ground::on(SimDisk::new(seed, options), seed);
        let engine = ground.open();
        let full = |fill: &dyn Fn(&mut Batch<'_>, u64) -> Result<()>| {
            let mut batch = engine.batch();
            let refused = (0..).find_map(|id| fill(&mut batch, id).err());
            assert!(matches!(refused, Some(Error::TooLarge { what: Limit::Batch, .. })), "{refused:?}");
            engine.write(batch).unwrap();
        };
        for round in 0..8 {
            full(&|batch, id| batch.append_payload(ShardId(id), EntryId { index: round, term: 1 }, b"").map(drop));
            full(&|batch, id| batch.hard_state(ShardId(1000 + id), b"").map(drop));
            full(&|batch, id| {
                batch.append_payload(ShardId(5000 + round), EntryId { index: id, term: id }, b"").map(drop)
            });
        }
        drive(&engine);
        let segments = engine.segments();
        assert!(segments.len() > 8 && segments.iter().all(|segment| segment.info.footer || segment.info.active));
        let engine = ground.reopen(engine);
        assert!(engine.quarantined().is_empty());
        assert_eq!(engine.shard(ShardId(900)).last(), Some(7));
        assert!(engine.shard(ShardId(1900)).hard_state().unwrap().is_some());
        engine.close().unwrap();
    }
}

#[test]
fn a_batch_may_have_as_many_records_as_a_group() {
    let ground = ground(32 << 20);
    let engine = ground.open();
    let of = |records: usize| {
        let mut batch = engine.batch();
        let each = |id: usize| batch.hard_state(ShardId(id as u64), b"").map(drop);
        (0..records).try_for_each(each).map(|()| batch)
    };
    for records in [BATCH_RECORDS_MAX - 1, BATCH_RECORDS_MAX] {
        engine.write(of(records).unwrap()).unwrap();
    }
    let over = of(BATCH_RECORDS_MAX + 1).unwrap_err();
    assert!(matches!(over, Error::TooLarge { what: Limit::Records, size: 65_537, limit: 65_536, .. }), "{over}");
    let engine = ground.reopen(engine);
    assert_eq!(engine.shards().len(), BATCH_RECORDS_MAX);
    engine.close().unwrap();
}

#[test]
fn a_refused_operation_is_not_in_the_batch() {
    let ground = ground(SEGMENT);
    let engine = ground.open();
    let mut batch = filled(&engine, 40).unwrap();
    let value = zeros(1000);
    assert!(batch.put(A, b"another", &value).is_err());
    assert!(batch.overwrite(A, [Entry::new(EntryId { index: 7, term: 1 }, b"")]).is_err());
    engine.write(batch).unwrap();
    let shard = engine.shard(A);
    assert_eq!((shard.last(), shard.scan(..).unwrap().len()), (Some(1), 1));
    engine.close().unwrap();
}

#[test]
fn the_bound_of_a_log_is_of_its_own_segments() {
    let least = 8 * SEGMENT;
    // Made with segments of `SEGMENT`, and opened with other wishes since.
    let mut ground = ground(SEGMENT);
    let open = |ground: &mut Ground, segment_bytes: u64, bound: u64| {
        ground.config.segment_bytes = segment_bytes;
        ground.config.space_bytes_max = Some(bound);
        let opened = ground.try_open();
        match opened {
            Err(Error::Config { reason }) => {
                assert!(reason.contains("space_bytes_max") && reason.contains(&least.to_string()), "{reason}");
                false
            }
            opened => {
                opened.unwrap().close().unwrap();
                true
            }
        }
    };
    assert!(!open(&mut ground, SEGMENT, least - 1), "nothing is created");
    assert_eq!(ground.disk().list().unwrap(), [""; 0]);
    assert!(open(&mut ground, SEGMENT, least));
    for segment_bytes in [256 << 10, SEGMENT, 64 << 20] {
        for (bound, good) in [(2 << 20, false), (least - 1, false), (least, true), (least + 1, true)] {
            assert_eq!(open(&mut ground, segment_bytes, bound), good, "{segment_bytes} {bound}");
        }
    }
    let mut config = small(temp_dir().path().join("log"));
    config.space_bytes_max = Some(8 * config.segment_bytes - 1);
    assert!(matches!(Engine::open(config.clone()), Err(Error::Config { .. })));
    assert!(!config.dir.exists());
}

/// As many bytes as are admitted may be on their way, and not one more; a larger batch goes alone.
#[test]
fn admitted_bytes_are_counted_exactly() {
    let lazily = |engine: &Engine, index: u64| {
        let mut batch = engine.batch();
        batch.append_payload(A, EntryId { index, term: 1 }, vec![7; 30_000]).unwrap();
        let bytes = batch.bytes();
        engine.try_submit(batch, Durability::Lazy).map(|_| bytes).map_err(|rejected| rejected.error)
    };
    let bytes = lazily(&Ground::sim(1).open(), 1).unwrap();
    for (bound, admitted) in [(2 * bytes + 1, 2), (2 * bytes, 2), (2 * bytes - 1, 1), (bytes - 1, 1), (1, 1)] {
        let mut ground = Ground::sim(1);
        ground.config.admission_bytes = bound;
        let engine = ground.open();
        for index in 0..admitted {
            assert_eq!(lazily(&engine, index).unwrap(), bytes);
        }
        assert!(matches!(lazily(&engine, admitted), Err(Error::Busy)), "{bound}");
        engine.close().unwrap();
    }
}

#[test]
fn a_full_log_says_what_is_full() {
    let fill = |ground: &Ground| {
        let engine = ground.open();
        let full = (0..).find_map(|index| {
            let mut batch = engine.batch();
            batch.append_payload(A, EntryId { index, term: 1 }, Bytes::from(vec![7; 20_000])).unwrap();
            engine.submit(batch, Durability::Durable).and_then(|ticket| ticket.wait()).err()
        });
        full.unwrap()
    };
    let mut bounded = Ground::sim(1);
    bounded.config.space_bytes_max = Some(2 << 20);
    let error = fill(&bounded);
    assert!(matches!(error, Error::Full { capacity: Capacity::Bound { bytes_max: 2_097_152, .. }, .. }), "{error:?}");
    assert!(
        matches!(error, Error::Full { capacity: Capacity::Bound { used_bytes, .. }, .. } if used_bytes <= 2_097_152)
    );
    assert!(error.to_string().contains("space_bytes_max") && error.to_string().contains("2097152"), "{error}");
    assert!(error.to_string().contains("786432 of them unused and kept back"), "three segments: {error}");

    let ground = Ground::on(SimDisk::new(1, SimOptions { capacity: 4 << 20, ..SimOptions::default() }), 1);
    let error = fill(&ground);
    assert!(matches!(error, Error::Full { capacity: Capacity::Device, .. }), "{error:?}");
    assert!(error.to_string().starts_with("the device is full: compact shards"), "{error}");
}

/// A log from a device of smaller blocks, as if it had been copied to one of larger ones.
#[test]
fn a_log_of_smaller_blocks_says_so() {
    let mut ground = Ground::real();
    let engine = ground.open();
    let of_log = engine.open_report().disk.pad_unit;
    append(&engine, A, 0..9, 1);
    engine.close().unwrap();
    for (pad_unit, good) in [(of_log / 2, true), (of_log, true), (2 * of_log, false), (64 << 10, false)] {
        ground.config.disk.pad_unit = Some(pad_unit);
        for opened in [ground.try_open().map(drop), Engine::open_read_only(ground.config.clone()).map(drop)] {
            match opened {
                Ok(()) => assert!(good, "{pad_unit}"),
                Err(Error::Config { reason }) => {
                    let names = |bytes: usize| reason.contains(&format!(" {bytes}"));
                    assert!(!good && names(of_log) && names(pad_unit), "{reason}");
                }
                Err(error) => panic!("{pad_unit}: {error:?}"),
            }
        }
    }
    ground.config.disk.pad_unit = None;
    let engine = ground.open();
    check(&engine.shard(A), 0..9, 1);
    engine.close().unwrap();
}
