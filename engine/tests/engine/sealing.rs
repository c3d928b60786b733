//! Every full segment gets a footer whatever it holds, and a segment without one blocks no other work.

use std::{collections::BTreeSet, io::ErrorKind, time::Duration};

use bytes::Bytes;
use fastrand::Rng;
use logboom::{
    Durability, Engine, Entry, EntryId, Reason, ShardId,
    disk::{Fault, FaultKind},
};

use crate::support::*;

/// Small segments: 256 KiB.
const SEGMENT: u64 = 256 << 10;

/// Waits until every full segment is sealed, and checks that nothing has failed on the way there.
fn until_sealed(ground: &Ground, engine: &Engine) {
    ground.until(engine, "all full segments are sealed", || {
        assert!(engine.health().is_good(), "{:?}", engine.health());
        engine.segments().iter().all(|segment| segment.info.footer || segment.info.active)
    });
}

/// One entry for each of so many shards, from shard 1 on.
fn round(engine: &Engine, shards: u64, index: u64) {
    for first in (1..=shards).step_by(100) {
        write(engine, |batch| {
            for shard in first..(first + 100).min(shards + 1) {
                batch.append_payload(
                    ShardId(shard),
                    EntryId { index, term: 1 },
                    Bytes::from(payload(ShardId(shard), index, 1)),
                )?;
            }
            Ok(())
        });
    }
}

#[test]
fn shards_that_were_looked_at_before_they_were_written_are_listed_as_any_others() {
    const SHARDS: u64 = 1000;
    each(|ground| {
        let engine = ground.open();
        let handles: Vec<_> = (1..=SHARDS).map(|shard| engine.shard(ShardId(shard))).collect();
        assert!(handles.iter().all(|shard| shard.last().is_none()));
        drop(handles);
        (1..=12).for_each(|index| round(&engine, SHARDS, index));
        until_sealed(ground, &engine);
        assert!(engine.segments().len() > 6, "{:?}", engine.segments());
        for first in (1..=SHARDS).step_by(100) {
            write(&engine, |batch| {
                (first..first + 100).try_for_each(|shard| batch.compact_through(ShardId(shard), 12).map(drop))
            });
        }
        let report = engine.reclaim().unwrap();
        assert!(report.segments <= 2, "{report:?}");
        let engine = ground.reopen(engine);
        assert!(engine.open_report().recovery.segments_replayed <= 2, "{}", engine.open_report());
        engine.close().unwrap();
    });
}

/// The largest footer for a segment: each shard has one record with one entry.
#[test]
fn a_segment_of_one_entry_per_shard_is_sealed() {
    let ground = Ground::sim(3);
    let engine = ground.open();
    let empty = |batch: &mut logboom::Batch<'_>, shards: std::ops::Range<u64>| {
        { shards }.try_for_each(|shard| {
            batch.append_payload(ShardId(shard), EntryId { index: 1, term: 1 }, Bytes::new()).map(drop)
        })
    };
    (0..80).for_each(|nth| write(&engine, |batch| empty(batch, nth * 100..nth * 100 + 100)));
    until_sealed(&ground, &engine);
    assert!(engine.segments().len() > 4);
    // The same ones, begun anew: twice in a segment, and in segments that others have begun.
    for nth in 0..40 {
        let shards = nth * 100..nth * 100 + 100;
        write(&engine, |batch| shards.clone().try_for_each(|shard| batch.destroy(ShardId(shard)).map(drop)));
        write(&engine, |batch| empty(batch, shards));
    }
    until_sealed(&ground, &engine);
    let engine = ground.reopen(engine);
    assert_eq!(engine.shards().len(), 8000);
    engine.close().unwrap();
}

/// A history of everything that adds ranges to a footer: shards that come and go, entries that are healed in any order
/// and in several segments, logs that are truncated and written again.
#[test]
fn every_full_segment_is_sealed_in_random_histories() {
    let first = std::env::var("LOGBOOM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    for seed in first..first + 12 {
        println!("LOGBOOM_SEED={seed}");
        let (ground, mut rng) = (Ground::sim(seed), Rng::with_seed(seed));
        let mut engine = ground.open();
        // Logs that lie in several segments, for what is handed in again to part.
        (1..=8).for_each(|index| round(&engine, 300, index));
        for _ in 0..600 {
            step(&engine, &mut rng);
            if rng.u32(..150) == 0 {
                until_sealed(&ground, &engine);
                engine = ground.reopen(engine);
            }
        }
        until_sealed(&ground, &engine);
        let last = engine.segments().pop().unwrap();
        assert!(last.info.id.0 > 12, "seed {seed}: {last:?}");
        engine.close().unwrap();
    }
}

fn step(engine: &Engine, rng: &mut Rng) {
    let (mut batch, mut used) = (engine.batch(), BTreeSet::new());
    for _ in 0..rng.u32(1..40) {
        let shard = ShardId(rng.u64(1..600));
        if !used.insert(shard) {
            continue;
        }
        let bounds = engine.shard(shard).bounds();
        let (first, last) = (bounds.first.unwrap_or(1), bounds.last.unwrap_or(0));
        let next = last + 1;
        let done = match rng.u32(..20) {
            0 => batch.destroy(shard).map(drop),
            1 if last > first => batch
                .overwrite(shard, [Entry::new(EntryId { index: rng.u64(first + 1..=last), term: 1 }, &b""[..])])
                .map(drop),
            2 if last > first => batch.compact_through(shard, rng.u64(first..last)).map(drop),
            3 => batch.hard_state(shard, b"state").map(drop),
            4..=13 if last >= first => {
                (0..rng.u32(1..4)).try_for_each(|_| heal(&mut batch, shard, rng.u64(first..=last), 1))
            }
            _ => batch.append_payload(shard, EntryId { index: next, term: 1 }, vec![3; rng.usize(..60)]).map(drop),
        };
        done.unwrap();
    }
    if !batch.is_empty() {
        engine.write(batch).unwrap();
    }
}

fn heal(batch: &mut logboom::Batch<'_>, shard: ShardId, index: u64, term: u64) -> logboom::Result<()> {
    batch.heal(shard, Entry::new(EntryId { index, term }, &b"again"[..])).map(drop)
}

/// Entries that were handed in again leave parts of records behind, each of which is a range: those move as well.
#[test]
fn parts_of_records_that_move_are_listed_in_their_cold_segment() {
    let ground = Ground::sim(5);
    let engine = ground.open();
    three_to_a_record(&engine, 5000);
    for first in (2..15_000).step_by(3 * 200) {
        write(&engine, |batch| {
            (first..first + 600).step_by(3).try_for_each(|index| heal(batch, A, index, index.div_ceil(3)))
        });
    }
    engine.reclaim().unwrap();
    until_sealed(&ground, &engine);
    assert!(engine.space().cold_segments > 2, "{:?}", engine.space());
    check_three(&engine, 5000);
    let engine = ground.reopen(engine);
    check_three(&engine, 5000);
}

/// Records of three entries of shard A, each of a term of its own, between more of another one that are dropped.
fn three_to_a_record(engine: &Engine, records: u64) {
    for nth in 0..records / 50 {
        write(engine, |batch| {
            for index in nth * 150 + 1..nth * 150 + 151 {
                batch.append_payload(A, EntryId { index, term: index.div_ceil(3) }, &b"entry"[..])?;
            }
            batch.append_payload(B, EntryId { index: nth + 1, term: 1 }, vec![7; 20_000]).map(drop)
        });
    }
    write(engine, |batch| batch.compact_through(B, records / 50 - 1).map(drop));
}

fn check_three(engine: &Engine, records: u64) {
    let read = engine.shard(A).entries(1..records * 3 + 1, u64::MAX).unwrap();
    assert_eq!(read.len() as u64, records * 3);
    assert!(read.iter().all(|entry| entry.payload == b"entry" || entry.payload == b"again"));
}

/// Entries that are handed in again after they were moved part what their cold segment has, and no room was kept for
/// that: it stays without a footer, which costs its reading at the next opening. It is given back as any other.
#[test]
fn a_segment_that_cannot_be_sealed_holds_nothing_back() {
    let ground = Ground::sim(6);
    let engine = ground.open();
    three_to_a_record(&engine, 5000);
    engine.reclaim().unwrap();
    // All at once: none of the background's steps is between the move and these.
    let mut tickets = Vec::new();
    for first in (2..15_000).step_by(3 * 200) {
        let mut batch = engine.batch();
        (first..first + 600).step_by(3).try_for_each(|index| heal(&mut batch, A, index, index.div_ceil(3))).unwrap();
        tickets.push(engine.submit(batch, Durability::Durable).unwrap());
    }
    tickets.into_iter().for_each(|ticket| ticket.wait().unwrap());
    ground.pass(&engine, Duration::from_secs(1));
    let unsealable = |engine: &Engine| engine.segments().iter().filter(|segment| segment.info.unsealable).count();
    let left = unsealable(&engine);
    assert!(left > 0, "{:?}", engine.segments());
    let waits = |engine: &Engine| {
        engine.segments().iter().any(|segment| {
            let info = segment.info;
            !info.footer && !info.unsealable && !info.active
        })
    };
    assert!(!waits(&engine), "it blocks no younger one: {:?}", engine.segments());
    assert!(engine.health().is_good(), "{:?}", engine.health());
    check_three(&engine, 5000);

    // The next opening reads it, and finds what is there.
    drop(engine);
    ground.replace_disk(ground.disk().power_cut());
    let engine = ground.open();
    check_three(&engine, 5000);
    ground.pass(&engine, Duration::from_secs(1));
    assert!(!waits(&engine) && engine.health().is_good());
    // What is live in it moves, and it is given back.
    write(&engine, |batch| batch.compact_through(A, 10_000).map(drop));
    let report = engine.reclaim().unwrap();
    assert!(report.damaged.is_empty() && report.bytes_in_use < report.live_bytes * 2 + 4 * SEGMENT, "{report:?}");
    let read = engine.shard(A).entries(10_001..15_001, u64::MAX).unwrap();
    assert_eq!(read.len(), 5000);
    write(&engine, |batch| batch.compact_through(A, 14_999).map(drop));
    let report = engine.reclaim().unwrap();
    assert!(report.segments <= 4 && unsealable(&engine) == 0, "{report:?}");
    engine.close().unwrap();
}

/// A segment at whose end the device cannot write holds up no other one, is said until it is sealed, and is given back
/// without a footer when nothing in it is live any more.
#[test]
fn a_footer_that_cannot_be_written_is_tried_again_and_holds_up_no_other() {
    for heals in [true, false] {
        let ground = Ground::sim(8);
        let engine = ground.open();
        let slot = engine.segments()[0].info.slot;
        let fault = Fault::error(FaultKind::Write, ErrorKind::Other).on(format!("segment-{slot:06}"));
        ground.disk().inject(fault.within(SEGMENT - 4096..SEGMENT).sticky());
        (1..60).for_each(|index| round(&engine, 100, index));
        ground.pass(&engine, Duration::from_secs(20));
        let unsealed = || {
            let waits = engine.segments().into_iter().filter(|segment| !segment.info.footer && !segment.info.active);
            waits.map(|segment| segment.info.slot).collect::<Vec<_>>()
        };
        assert!(engine.metrics().index_sealed > 0);
        assert_eq!(unsealed(), [slot], "the others are sealed");
        let is_of_footer = |reason: &Reason| match reason {
            Reason::Background { machine: "seal", error } => format!("{error:#}").contains("footer"),
            _ => false,
        };
        let is_shown = || engine.health().reasons.iter().any(is_of_footer);
        assert!(is_shown());
        // Others work and succeed meanwhile: that is no success of this one.
        for index in 60..100 {
            round(&engine, 100, index);
            ground.pass(&engine, Duration::from_millis(50));
            assert!(is_shown(), "after {index} rounds");
        }
        assert!(engine.metrics().index_checkpoints > 0);
        assert!(engine.reclaim().is_err(), "what was asked for was not done");
        if heals {
            ground.disk().clear_faults();
        } else {
            write(&engine, |batch| (1..=100).try_for_each(|shard| batch.compact_through(ShardId(shard), 98).map(drop)));
            let failed = engine.reclaim();
            assert!(failed.is_ok() || engine.segments().iter().all(|segment| segment.info.slot != slot), "{failed:?}");
        }
        ground.until(&engine, "all is well", || engine.health().is_good());
        assert_eq!(unsealed(), [0; 0]);
        ground.disk().clear_faults();
        let engine = ground.reopen(engine);
        assert_eq!(engine.shard(ShardId(5)).last(), Some(99));
        engine.close().unwrap();
    }
}
