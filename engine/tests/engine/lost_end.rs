//! The newest segment of a log is gone or partly unreadable: after every opening each acknowledged entry is there, or
//! reported missing.

use std::{io::ErrorKind, time::Duration};

use logboom::{
    Engine, EntryId, Error, ShardId,
    disk::{Disk, Fault},
};
use logboom_disk::FaultKind;

use crate::{quarantine::crash, support::*};

/// A log that was killed when its newest segment had something of each of two shards, and the name of that one's file.
fn killed(seed: u64) -> (Ground, String, [u64; 2]) {
    let ground = Ground::sim(seed);
    let engine = ground.open();
    let mut next = 1;
    while engine.segments().len() < 4 || engine.segments().iter().any(|one| !one.info.active && !one.info.footer) {
        append(&engine, A, next..next + 100, 1);
        append(&engine, B, next..next + 100, 1);
        next += 100;
        ground.pass(&engine, Duration::from_millis(20));
    }
    let sealed = next;
    append(&engine, A, next..next + 10, 1);
    let newest = engine.segments().iter().find(|one| one.info.active).unwrap().info.slot;
    crash(&ground, engine);
    (ground, format!("segment-{newest:06}"), [sealed, next + 10])
}

/// Shard A and B are held back, and what they serve is right.
fn check_held_back(engine: &Engine, sealed: u64) {
    assert!(engine.has_unknown_losses(), "{}", engine.open_report());
    let quarantined = engine.quarantined();
    assert_eq!(quarantined.iter().map(|(shard, _)| *shard).collect::<Vec<_>>(), [A, B]);
    for (shard, lost) in quarantined {
        assert!(lost.suffix, "{lost}");
        let shard = engine.shard(shard);
        let next = shard.next().unwrap();
        // A checkpoint may know of entries that are lost with the segment.
        let there = lost.entries.first().map_or(next, |entries| entries.start);
        assert!(there > 1 && there <= sealed, "{shard:?}");
        for entry in &shard.entries(1..there, u64::MAX).unwrap() {
            assert_eq!(entry.payload, payload(shard.id(), entry.index, 1));
        }
        assert!(matches!(shard.hard_state(), Err(Error::Quarantined { .. })));
        let mut batch = engine.batch();
        batch.append_payload(shard.id(), EntryId { index: next, term: 1 }, b"x").unwrap();
        assert!(matches!(engine.write(batch), Err(Error::Quarantined { .. })));
    }
}

#[test]
fn entries_of_a_newest_segment_that_is_gone_are_missed() {
    for is_cut in [false, true] {
        let (ground, newest, [sealed, _]) = killed(7);
        ground.disk().remove(&newest).unwrap();
        if is_cut {
            drop(ground.disk().open(&newest, logboom_disk::Mode::Create).unwrap());
        }
        let mut engine = ground.open();
        for _ in 0..3 {
            check_held_back(&engine, sealed);
            engine = ground.reopen(engine);
        }
        // A shard that comes anew, and one that is the same as before.
        engine.accept_unknown_losses().unwrap();
        let lost = engine.shard(B).quarantine().unwrap().entries;
        write(&engine, |batch| {
            if let Some(first) = lost.first() {
                batch.truncate_after(B, first.start - 1)?;
            }
            batch.destroy(A)?.accept_loss(B).map(drop)
        });
        append(&engine, A, 1..10, 2);
        let mut next = engine.shard(B).next().unwrap();
        for round in 1..4 {
            append(&engine, B, next..next + round, 1);
            next += round;
            engine = ground.reopen(engine);
            assert_eq!((engine.quarantined(), engine.has_unknown_losses()), (vec![], false));
            check(&engine.shard(B), 1..next, 1);
            assert_eq!(engine.shard(A).term(1).ok(), Some(2));
        }
        engine.close().unwrap();
    }
}

/// Nothing is left of what the checkpoint is replayed from.
#[test]
fn a_closed_log_that_loses_its_newest_segment_opens() {
    let (ground, ..) = killed(8);
    let mut engine = ground.open();
    engine = ground.reopen(engine);
    let newest = engine.segments().iter().find(|one| one.info.active).unwrap().info.slot;
    let known = engine.shard(A).next().unwrap();
    engine.close().unwrap();
    ground.disk().remove(&format!("segment-{newest:06}")).unwrap();
    let mut engine = ground.open();
    for _ in 0..3 {
        check_held_back(&engine, known);
        engine = ground.reopen(engine);
    }
    engine.close().unwrap();
}

#[test]
fn a_segment_that_cannot_be_read_costs_what_is_in_it_and_no_opening() {
    let fault = |name: &str| Fault::error(FaultKind::Read, ErrorKind::Other).on(name).sticky();
    for part in [0..8192, 0..256 << 10, 100 << 10..101 << 10] {
        let (ground, _, [_, next]) = killed(9);
        let other = ShardId(77);
        let segments = ground.disk().list().unwrap();
        for name in segments.iter().filter(|name| name.starts_with("segment-")) {
            let disk = ground.disk().fork(1);
            let hit = Ground::on(disk.clone(), 9);
            disk.inject(fault(name).within(part.clone()));
            let engine = hit.open();
            disk.clear_faults();
            let missing = |shard| engine.shard(shard).quarantine().is_some();
            let all = |shard| engine.shard(shard).next() == Some(if shard == A { next } else { next - 10 });
            for shard in [A, B] {
                // Whatever it serves is right, and what it does not serve it says.
                assert!(missing(shard) || all(shard), "{name} {part:?}: {:?}", engine.shard(shard));
                if !missing(shard) {
                    check(&engine.shard(shard), 1..engine.shard(shard).next().unwrap(), 1);
                }
            }
            let report = engine.open_report().to_string();
            assert!(engine.shard(other).quarantine().is_none() || report.contains("damage "), "{report}");
            engine.close().unwrap();
        }
    }
}

#[test]
fn a_checkpoint_that_cannot_be_read_is_as_good_as_one_that_rots() {
    let (ground, _, [_, next]) = killed(10);
    let engine = ground.open();
    ground.reopen(engine).close().unwrap();
    for slot in ["checkpoint-0", "checkpoint-1"] {
        let disk = ground.disk().fork(1);
        disk.inject(Fault::error(FaultKind::Read, ErrorKind::Other).on(slot).sticky());
        let engine = Ground::on(disk, 10).open();
        let report = engine.open_report().to_string();
        assert!(report.contains(&format!("{slot} cannot be read")), "{report}");
        assert_eq!(engine.quarantined(), []);
        check(&engine.shard(A), 1..next, 1);
        engine.close().unwrap();
    }
}

#[test]
fn segments_with_each_others_names_cost_no_shard_anything() {
    let (ground, ..) = killed(11);
    let mut engine = ground.open();
    engine = ground.reopen(engine);
    let next = engine.shard(A).next().unwrap();
    engine.close().unwrap();
    let names: Vec<String> = ground.disk().list().unwrap();
    let segments: Vec<&String> = names.iter().filter(|name| name.starts_with("segment-")).collect();
    for pair in segments.windows(2) {
        let disk = ground.disk().fork(1);
        disk.rename(pair[0], "between").unwrap();
        disk.rename(pair[1], pair[0]).unwrap();
        disk.rename("between", pair[1]).unwrap();
        disk.sync_dir().unwrap();
        let ground = Ground::on(disk, 11);
        let mut engine = ground.open();
        for _ in 0..2 {
            assert!(engine.quarantined().is_empty() && !engine.has_unknown_losses(), "{}", engine.open_report());
            check(&engine.shard(A), 1..next, 1);
            engine = ground.reopen(engine);
        }
        engine.close().unwrap();
    }
}
