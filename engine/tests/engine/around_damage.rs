//! Reclaiming beside damaged and unreadable segments: their order, how long they are deferred, and losses of moved
//! records.

use std::{io::ErrorKind, time::Duration};

use logboom::{
    Engine, EntryId, Error, SegmentSpace, ShardId,
    disk::{Disk, Fault, FaultKind, SimDisk},
};
use logboom_wal::{Options, Place, Scanned, SegmentId, open_read_only};

use crate::{quarantine::damage, support::*};

/// A shard that keeps everything, a few entries in each segment.
const LAGGARD: ShardId = ShardId(100);
/// A shard that compacts behind itself.
const HOT: ShardId = ShardId(7);
/// Bytes of an entry of the laggard: of few a segment is nearly empty, of many about a quarter is live.
const FEW: usize = 100;
const MANY: usize = 3300;

/// What the laggard writes, of so many bytes: an opening moves by itself what is in segments that are nearly empty.
fn long(index: u64, len: usize) -> Vec<u8> {
    let mut payload = payload(LAGGARD, index, 1);
    payload.resize(len, index as u8);
    payload
}

/// A few entries for the laggard, many for the hot shard, which then compacts all but the last.
fn round(engine: &Engine, nth: u64, len: usize) {
    for index in nth * 4 + 1..nth * 4 + 5 {
        write(engine, |batch| batch.append_payload(LAGGARD, EntryId { index, term: 1 }, long(index, len)).map(drop));
    }
    append(engine, HOT, nth * 200 + 1..nth * 200 + 201, 1);
    write(engine, |batch| batch.compact_through(HOT, nth * 200 + 199).map(drop));
}

/// Rounds until there are so many segments; returns how many rounds.
fn rounds_until(engine: &Engine, segments: usize, len: usize) -> u64 {
    let full = (0..).find(|&nth| {
        round(engine, nth, len);
        engine.segments().len() >= segments
    });
    full.unwrap() + 1
}

/// Nothing is in memory but what is in the air, and nothing moves that is not asked for.
fn ground() -> Ground {
    let mut ground = Ground::sim(3);
    ground.config.cache_bytes = 0;
    ground.config.reclaim_in_background = false;
    ground
}

/// The records that a view of the log finds in a segment, in their order: whose, the first index, and where.
fn records(ground: &Ground, segment: SegmentId) -> Vec<(ShardId, u64, Place)> {
    let mut opening = open_read_only(ground.disk(), Options::default()).unwrap();
    opening.replay(&mut |_| Ok(())).unwrap();
    let mut records = Vec::new();
    opening
        .scan(segment, &mut |scanned| {
            if let Scanned::Record(record, place) = scanned {
                records.push((ShardId(record.owner()), record.first(), place));
            }
            Ok(())
        })
        .unwrap();
    records
}

/// Whether all that the laggard has is there.
fn check_laggard(engine: &Engine, rounds: u64, len: usize) {
    let entries = engine.shard(LAGGARD).entries(1..rounds * 4 + 1, u64::MAX).unwrap();
    assert_eq!(entries.len() as u64, rounds * 4);
    assert!(entries.iter().all(|entry| entry.payload == long(entry.index, len)));
}

fn file_of(segment: &SegmentSpace) -> String {
    format!("segment-{:06}", segment.info.slot)
}

/// The sealed segments with something live, the oldest first, as the next opening left them.
fn ripe(engine: &Engine) -> Vec<SegmentSpace> {
    let mut ripe = engine.segments();
    ripe.retain(|segment| segment.live_entries > 0 && !segment.info.active && segment.info.footer);
    assert!(ripe.len() > 5, "an opening has moved too much: {ripe:?}");
    ripe
}

fn is_live(engine: &Engine, id: SegmentId) -> bool {
    engine.segments().iter().any(|segment| segment.info.id == id)
}

/// A damaged segment is emptied whatever is live in it, and before others: not where the log is close to its bound,
/// since that makes the least room.
#[test]
fn close_to_its_bound_a_log_empties_damaged_segments_last() {
    const FULL: ShardId = ShardId(200);
    for is_tight in [false, true] {
        let mut ground = ground();
        ground.config.space_bytes_max = is_tight.then_some(16 * ground.config.segment_bytes);
        let engine = ground.open();
        // More than half of the first segment is live: reclaiming leaves it alone, unless it is damaged.
        append(&engine, A, 1..2, 1);
        for index in 1..13 {
            write(&engine, |batch| batch.append_payload(FULL, EntryId { index, term: 1 }, vec![1; 15_000]).map(drop));
        }
        // The bound, but for the segments that a log keeps prepared.
        let rounds = rounds_until(&engine, 13, FEW);
        ground.pass(&engine, Duration::from_secs(1));
        let first = engine.segments()[0];
        let (_, _, place) = records(&ground, first.info.id).into_iter().find(|(shard, ..)| *shard == A).unwrap();
        damage(&ground, place, 64..place.len);
        engine.report_damage([first.info.id]).unwrap();
        assert_eq!(engine.quarantined().len(), 1);

        engine.reclaim().unwrap();
        let cold: Vec<SegmentId> =
            engine.segments().iter().map(|segment| segment.info.id).filter(|id| id.is_cold()).collect();
        let moved: Vec<(ShardId, u64)> =
            cold.iter().flat_map(|&id| records(&ground, id)).map(|(shard, first, _)| (shard, first)).collect();
        let of_damaged = moved.iter().position(|record| *record == (FULL, 1)).unwrap();
        let others = moved.iter().filter(|(shard, _)| *shard == LAGGARD).count();
        // Some of the laggard's lie beside the damage.
        assert!(
            if is_tight { of_damaged > others / 2 } else { of_damaged == 0 },
            "{of_damaged} of {others}: {moved:?}"
        );
        check_laggard(&engine, rounds, FEW);
        assert_eq!(engine.shard(FULL).entries(1..13, u64::MAX).unwrap().len(), 12);
    }
}

/// A segment that the device refuses is left alone for half a minute; all others are emptied meanwhile.
#[test]
fn a_segment_that_cannot_be_read_is_left_alone_and_holds_up_no_other() {
    let mut ground = ground();
    let engine = ground.open();
    let rounds = rounds_until(&engine, 10, MANY);
    engine.close().unwrap();
    ground.config.reclaim_in_background = true;
    // No footer of it is in memory.
    let engine = ground.open();
    let those = ripe(&engine);
    // The oldest is the first that is emptied. A lack of rights says nothing of the bytes.
    let (bad, others) = (&those[0], &those[1..]);
    let refuse = |disk: &SimDisk| {
        disk.inject(Fault::error(FaultKind::Read, ErrorKind::PermissionDenied).on(file_of(bad)).sticky());
    };
    let reads = |disk: &SimDisk| {
        let of_bad = |operation: &&logboom::disk::Operation| operation.file == file_of(bad);
        disk.operations().iter().filter(of_bad).filter(|operation| operation.kind == FaultKind::Read).count()
    };
    refuse(&ground.disk());
    let before = reads(&ground.disk());
    ground.until(&engine, "it is tried", || reads(&ground.disk()) > before);
    ground.until(&engine, "others are emptied", || {
        others.iter().filter(|other| !is_live(&engine, other.info.id)).count() > 2
    });
    ground.disk().clear_faults();
    ground.pass(&engine, Duration::from_secs(20));
    assert!(is_live(&engine, bad.info.id), "it is left alone");
    ground.pass(&engine, Duration::from_secs(20));
    ground.until(&engine, "it is emptied after all", || !is_live(&engine, bad.info.id));
    check_laggard(&engine, rounds, MANY);
    engine.close().unwrap();
}

/// An application that asks for it gets the room that can be had, and the reason why it is not more.
#[test]
fn reclaiming_on_demand_empties_all_but_what_it_cannot_read() {
    let ground = ground();
    let engine = ground.open();
    let rounds = rounds_until(&engine, 10, MANY);
    let engine = ground.reopen(engine);
    let mut others = ripe(&engine);
    let bad = others.remove(0);
    let refused = Fault::error(FaultKind::Read, ErrorKind::PermissionDenied).on(file_of(&bad));
    ground.disk().inject(refused.sticky());
    let failed = engine.reclaim();
    assert!(matches!(failed, Err(Error::Permission { .. })), "{failed:?}");
    assert!(is_live(&engine, bad.info.id) && others.iter().all(|other| !is_live(&engine, other.info.id)));
    ground.disk().clear_faults();
    engine.reclaim().unwrap();
    assert!(!is_live(&engine, bad.info.id));
    check_laggard(&engine, rounds, MANY);
    engine.close().unwrap();
}

/// What a cold segment held are entries of shards that the checkpoint knows: they are missing, and neither is any other
/// shard held back, nor anything behind them.
#[test]
fn a_cold_segment_of_which_nothing_is_left_costs_its_entries_and_no_more() {
    type Harm = fn(&SimDisk, &str);
    let harms: [Harm; 3] = [
        |disk, name| disk.damage(name, 0..256 << 10).unwrap(),
        |disk, name| disk.inject(Fault::error(FaultKind::Read, ErrorKind::Other).on(name).sticky()),
        |disk, name| {
            disk.remove(name).unwrap();
            disk.sync_dir().unwrap();
        },
    ];
    for (nth, is_closed, harm) in
        harms.iter().enumerate().flat_map(|(nth, harm)| [(nth, true, harm), (nth, false, harm)])
    {
        let what = format!("harm {nth}, closed: {is_closed}");
        let ground = ground();
        let engine = ground.open();
        let rounds = rounds_until(&engine, 10, FEW);
        engine.reclaim().unwrap();
        write(&engine, |batch| batch.hard_state(LAGGARD, b"vote").map(drop));
        let cold: Vec<SegmentSpace> =
            engine.segments().into_iter().filter(|segment| segment.info.id.is_cold()).collect();
        assert_eq!(cold.len(), 1, "{what}");
        if is_closed {
            engine.close().unwrap();
        } else {
            ground.replace_disk(ground.disk().process_crash());
            drop(engine);
        }
        let held: u64 = records(&ground, cold[0].info.id).iter().filter(|(shard, ..)| *shard == LAGGARD).count() as u64;
        assert!(held > 20, "{what}: {held}");
        harm(&ground.disk(), &file_of(&cold[0]));
        let mut engine = ground.open();
        for round in 0..3 {
            let quarantined = engine.quarantined();
            let of_laggard = &quarantined.iter().find(|(shard, _)| *shard == LAGGARD).unwrap().1;
            let lost: u64 = of_laggard.entries.iter().map(|range| range.end - range.start).sum();
            assert_eq!((lost, of_laggard.suffix, of_laggard.hard_state), (held, false, false), "{what}, round {round}");
            assert!(!engine.has_unknown_losses(), "{what}, round {round}: {}", engine.open_report());
            let shard = engine.shard(LAGGARD);
            assert_eq!(shard.hard_state().unwrap().unwrap(), "vote");
            for index in 1..=rounds * 4 {
                let is_lost = of_laggard.entries.iter().any(|range| range.contains(&index));
                match shard.entries(index..index + 1, u64::MAX) {
                    Ok(read) => {
                        let is_right = read.iter().all(|entry| entry.payload == long(index, FEW));
                        assert!(!is_lost && is_right, "{what}, round {round}: entry {index}");
                    }
                    Err(error) => assert!(is_lost, "{what}, round {round}: entry {index}: {error}"),
                }
            }
            append(&engine, ShardId(300 + round), 1..3, 1);
            engine = ground.reopen(engine);
        }
        engine.close().unwrap();
    }
}
