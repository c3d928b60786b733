//! Reclaiming frees mostly dead segments by moving their live records.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use logboom::{
    Capacity, Durability, Engine, EntryId, EntryRef, Error, SegmentSpace, ShardId,
    disk::{Fault, SimDisk},
};

use crate::support::*;

/// Some shards that keep everything.
const LAGGARDS: std::ops::Range<u64> = 100..103;
/// A shard that compacts behind itself.
const HOT: ShardId = ShardId(7);

/// One round: a few entries for every laggard, many for the hot shard, which then compacts all but the last.
fn round(engine: &Engine, nth: u64) {
    for shard in LAGGARDS {
        append(engine, ShardId(shard), nth * 4 + 1..nth * 4 + 5, 1);
    }
    append(engine, HOT, nth * 200 + 1..nth * 200 + 201, 1);
    write(engine, |batch| batch.compact_through(HOT, nth * 200 + 199).map(drop));
}

fn check_all(engine: &Engine, rounds: u64) {
    for shard in LAGGARDS {
        check(&engine.shard(ShardId(shard)), 1..rounds * 4 + 1, 1);
    }
    check(&engine.shard(HOT), rounds * 200..rounds * 200 + 1, 1);
}

#[test]
fn entries_of_laggards_move_and_their_segments_are_freed() {
    each(|ground| {
        let engine = ground.open();
        const ROUNDS: u64 = 300;
        for nth in 0..ROUNDS {
            round(&engine, nth);
        }
        check_all(&engine, ROUNDS);
        let before = engine.space();
        let report = engine.reclaim().unwrap();
        assert!(report.segments <= 5, "{before:?} {report:?}");
        assert!(report.segments_freed > 0 && report.cold_segments >= 1, "{report:?}");
        let shards: Vec<u64> = report.shards.iter().map(|space| space.shard.0).collect();
        assert!(LAGGARDS.clone().all(|shard| shards.contains(&shard)), "{report:?}");
        assert!(report.damaged.is_empty());
        check_all(&engine, ROUNDS);
        // Live bytes are what the records of the live entries take.
        let live: u64 = engine.segments().iter().map(|segment| segment.live_entries).sum();
        assert_eq!(live, 3 * ROUNDS * 4 + 1);
        let engine = ground.reopen(engine);
        check_all(&engine, ROUNDS);
        ground.until(&engine, "what is moved meanwhile is given back", || engine.space().segments <= 6);

        // Moved entries are dropped, written over and handed on as any others.
        let laggard = ShardId(100);
        write(&engine, |batch| batch.compact_through(laggard, 100).map(drop));
        write(&engine, |batch| batch.overwrite(laggard, entries(laggard, 900..905, 2)).map(drop));
        let overwritten = engine.shard(laggard).entries(899..905, u64::MAX).unwrap();
        assert_eq!(overwritten.iter().map(|entry| entry.term).collect::<Vec<_>>(), [1, 2, 2, 2, 2, 2]);
        write(&engine, |batch| batch.destroy(ShardId(101)).map(drop));
        engine.reclaim().unwrap();
        let engine = ground.reopen(engine);
        assert_eq!(engine.shard(laggard).bounds().first, Some(101));
        assert_eq!(engine.shard(ShardId(101)).bounds().first, None);
        check(&engine.shard(ShardId(102)), 1..ROUNDS * 4 + 1, 1);
        engine.close().unwrap();
    });
}

struct Done<'d>(&'d AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_background_reclaims_and_readers_see_no_change() {
    each(|ground| {
        let engine = ground.open();
        let rounds = if ground.is_sim() { 400 } else { 800 };
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            if !ground.is_sim() {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let shard = engine.shard(ShardId(101));
                        let last = shard.bounds().last.unwrap_or(0);
                        let read = shard.entries(1..last + 1, u64::MAX).unwrap();
                        assert_eq!(read.len() as u64, last);
                        let is_right = |entry: EntryRef<'_>| entry.payload == payload(shard.id(), entry.index, 1);
                        assert!(read.iter().all(is_right));
                    }
                });
            }
            // A failure ends the reader as well.
            let _done = Done(&done);
            for nth in 0..rounds {
                round(&engine, nth);
                if ground.is_sim() {
                    ground.pass(&engine, Duration::from_millis(20));
                }
            }
            ground.until(&engine, "segments are emptied", || engine.metrics().segments_emptied > 0);
            ground.until(&engine, "the log is small", || {
                let space = engine.space();
                space.bytes_in_use <= space.live_bytes * 3 / 2 + 5 * ground.config.segment_bytes
            });
        });
        let metrics = engine.metrics();
        assert!(metrics.log.moved_bytes > 0 && metrics.log.moved_records > 0);
        check_all(&engine, rounds);
        let engine = ground.reopen(engine);
        check_all(&engine, rounds);
        engine.close().unwrap();
    });
}

/// A bounded log goes on for ever while shards compact; it is refused, with the reason at hand, when they do not.
#[test]
fn a_log_of_bounded_size_makes_room_or_says_who_holds_it() {
    // The smallest log that may be, and a larger one.
    for (mut ground, bound, rounds) in [(Ground::sim(7), 8, 300), (Ground::sim(7), 16, 500), (Ground::real(), 8, 300)] {
        ground.config.space_bytes_max = Some(bound as u64 * ground.config.segment_bytes);
        ground.config.reclaim_in_background = false;
        let engine = ground.open();
        for nth in 0..rounds {
            round(&engine, nth);
        }
        let report = engine.space();
        assert!(report.segments + report.free_segments <= bound, "{report:?}");
        assert!(report.segments_freed > 10 && report.moved_bytes > 0, "{report:?}");
        check_all(&engine, rounds);

        let full = (0..10_000).find_map(|nth| {
            let mut batch = engine.batch();
            let payload = bytes::Bytes::from(vec![7; 20_000]);
            batch.append_payload(A, EntryId { index: nth + 1, term: 1 }, payload).unwrap();
            engine.submit(batch, Durability::Durable).and_then(|ticket| ticket.wait()).err()
        });
        assert!(matches!(full, Some(Error::Full { capacity: Capacity::Bound { .. }, .. })), "{full:?}");
        let report = engine.space();
        assert!(report.shards.iter().any(|space| space.shard == A), "{report:?}");
        assert!(report.segments + report.free_segments <= bound, "{report:?}");
        let last = engine.shard(A).bounds().last.unwrap();
        check_all(&engine, rounds);
        // Whatever gives space back is still accepted, and then everything else is.
        write(&engine, |batch| batch.compact_through(A, last).map(drop));
        for nth in rounds..rounds + 20 {
            round(&engine, nth);
        }
        check_all(&engine, rounds + 20);
        let engine = ground.reopen(engine);
        check_all(&engine, rounds + 20);
        engine.close().unwrap();
    }
}

/// A future waits while the background makes room, as a thread that submits does; `try_submit` has it made.
#[test]
fn futures_wait_for_room_as_well() {
    for mut ground in [Ground::sim(8), Ground::real()] {
        ground.config.space_bytes_max = Some(16 * ground.config.segment_bytes);
        ground.config.reclaim_in_background = false;
        let engine = ground.open();
        let submit = |index: u64| {
            let mut batch = engine.batch();
            batch.append_payload(HOT, EntryId { index, term: 1 }, bytes::Bytes::from(vec![7; 20_000])).unwrap();
            drive_on(&ground, &engine, engine.submit_async(batch, Durability::Durable))
        };
        let mut batch = engine.batch();
        batch.append_payload(A, EntryId { index: 1, term: 1 }, bytes::Bytes::from_static(b"stays")).unwrap();
        engine.write(batch).unwrap();
        // Far more than fits, and compacted in time. The background compacts by itself: a laggard's entry must move.
        for index in 1..2_000 {
            if index % 7 == 0 {
                append(&engine, ShardId(100), index / 7..index / 7 + 1, 1);
            }
            submit(index).unwrap().wait().unwrap();
            if index % 50 == 0 {
                write(&engine, |batch| batch.compact_through(HOT, index).map(drop));
            }
        }
        assert!(engine.space().segments_freed > 10, "{:?}", engine.space());
        // All of it is held: the answer comes, and it is the reason.
        let (full, last) =
            (2_000..10_000).find_map(|index| submit(index).err().map(|error| (error, index - 1))).unwrap();
        assert!(matches!(full, Error::Full { capacity: Capacity::Bound { .. }, .. }), "{full:?}");
        write(&engine, |batch| batch.compact_through(HOT, last).map(drop));
        submit(last + 1).unwrap().wait().unwrap();
        check(&engine.shard(ShardId(100)), 1..286, 1);
        engine.close().unwrap();
    }
}

/// What is damaged cannot move: its segment stays, with that alone, and the others do not.
#[test]
fn a_damaged_segment_stays_for_what_is_lost_in_it() {
    let ground = Ground::sim(3);
    let engine = ground.open();
    const ROUNDS: u64 = 120;
    for nth in 0..ROUNDS {
        round(&engine, nth);
    }
    engine.close().unwrap();
    let (disk, name, at) = a_record_of_a_laggard(&ground);
    disk.damage(&name, at..at + 512).unwrap();
    let engine = ground.open();
    let report = engine.reclaim().unwrap();
    assert_eq!(report.damaged.len(), 1, "{report:?}");
    let kept = engine.segments().into_iter().find(|segment| segment.info.id == report.damaged[0]).unwrap();
    let lost: u64 = engine.quarantined().iter().flat_map(|(_, lost)| &lost.entries).map(|at| at.end - at.start).sum();
    assert!(lost > 0 && kept.live_entries == lost, "{lost} lost, {kept:?}");
    assert!(report.segments_freed > 0 && report.segments <= 6, "{report:?}");
    check(&engine.shard(HOT), ROUNDS * 200..ROUNDS * 200 + 1, 1);
    engine.close().unwrap();
}

/// The file, and where in it, of a record that a laggard has in a segment that an opening leaves as it is.
fn a_record_of_a_laggard(ground: &Ground) -> (std::sync::Arc<SimDisk>, String, u64) {
    let engine = ground.reopen(ground.open());
    let is_left =
        |segment: &SegmentSpace| !segment.info.active && segment.live_bytes * 16 > ground.config.segment_bytes;
    let segment = engine.segments().into_iter().find(is_left).unwrap();
    engine.close().unwrap();
    let disk = ground.disk();
    let name = format!("segment-{:06}", segment.info.slot);
    let file = logboom::disk::Disk::open(&*disk, &name, logboom::disk::Mode::Read).unwrap();
    let pool = logboom::disk::Pool::new(1 << 20);
    let mut region = pool.region(256 << 10);
    file.read_at(&mut region, 0).unwrap();
    let needle = b"101/";
    let at = region[4096..].windows(needle.len()).position(|window| window == needle).unwrap() + 4096;
    (disk, name, (at as u64) / 512 * 512)
}

/// A read that gives what was there in an earlier life passes its checksum: it must not be moved in the place of what
/// is there, which is given back then.
#[test]
fn stale_reads_are_not_moved() {
    let (laggard, mut hit) = (ShardId(100), 0);
    for nth in 1..=30 {
        let ground = Ground::sim(nth);
        let mut engine = ground.open();
        let mut last = 0;
        // Records of one size at the same places in every life of a segment.
        for index in 1..700 {
            let shard = if index % 5 == 0 { laggard } else { HOT };
            let next = engine.shard(shard).next().unwrap_or(1);
            write(&engine, |batch| {
                batch.append_payload(shard, EntryId { index: next, term: 1 }, &[7; 1500][..]).map(drop)
            });
            if index % 5 == 0 {
                last = next;
            } else {
                write(&engine, |batch| batch.compact_through(HOT, next).map(drop));
            }
            if index % 100 == 99 {
                engine.reclaim().unwrap();
                ground.pass(&engine, Duration::from_millis(100));
            }
        }
        // What was written just now is in memory.
        engine = ground.reopen(engine);
        ground.disk().inject(Fault::stale_read().on("segment").nth(nth));
        drop(engine.reclaim());
        hit += u64::from(ground.disk().pending_faults() == 0);
        ground.disk().clear_faults();
        drop(engine.reclaim());
        ground.pass(&engine, Duration::from_millis(100));
        assert_eq!(engine.shard(laggard).entries(1..last + 1, u64::MAX).unwrap().len() as u64, last, "read {nth}");
        drop(engine);
        ground.replace_disk(ground.disk().power_cut());
        let engine = ground.open();
        assert_eq!(engine.quarantined(), [], "read {nth}");
        assert_eq!(engine.shard(laggard).entries(1..last + 1, u64::MAX).unwrap().len() as u64, last, "read {nth}");
    }
    assert!(hit > 5, "{hit}");
}
