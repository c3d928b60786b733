//! Read errors of the device while the log is open: proven losses are in quarantine, everything else is served, and
//! failed work is tried again.

use std::{io::ErrorKind, time::Duration};

use logboom::{
    Engine, EntryId, Error, ReadError, Reason,
    disk::{Fault, FaultKind, SimDisk},
};
use logboom_wal::{Options, Place, Scanned, open_read_only};

use crate::{
    quarantine::{crash, damage},
    support::*,
};

/// The file of a segment.
fn file_of(ground: &Ground, place: Place) -> String {
    let opening = open_read_only(ground.disk(), Options::default()).unwrap();
    let slot = opening.segments().iter().find(|info| info.id == place.segment).unwrap().slot;
    format!("segment-{slot:06}")
}

/// Everything that is read fails from now on.
fn fail(disk: &SimDisk) {
    disk.inject(Fault::error(FaultKind::Read, ErrorKind::Other).sticky());
}

/// One record is in a sector that the device does not give.
fn fail_at(ground: &Ground, place: Place) {
    let range = u64::from(place.offset)..u64::from(place.offset + 1);
    let fault = Fault::error(FaultKind::Read, ErrorKind::Other).on(file_of(ground, place)).within(range);
    ground.disk().inject(fault.sticky());
}

/// An engine whose checkpoint covers entries of A and of B side by side, and where the entries of A are.
fn filled() -> (Ground, Engine, Vec<(u64, Place)>) {
    let mut ground = Ground::sim(5);
    ground.config.cache_bytes = 0;
    let engine = ground.open();
    for index in 1..60 {
        append(&engine, A, index..index + 1, 1);
        write(&engine, |batch| {
            batch.append_payload(B, EntryId { index, term: 1 }, bytes::Bytes::from(vec![1; 12_000])).map(drop)
        });
    }
    let engine = ground.reopen(engine);
    let mut opening = open_read_only(ground.disk(), Options::default()).unwrap();
    opening.replay(&mut |_| Ok(())).unwrap();
    let sealed: Vec<_> =
        opening.segments().iter().map(|info| info.id).filter(|id| *id < opening.replay_from()).collect();
    let mut places = Vec::new();
    for segment in sealed {
        opening
            .scan(segment, &mut |scanned| {
                if let Scanned::Record(record, place) = scanned {
                    places.extend((record.owner() == A.0).then_some((record.first(), place)));
                }
                Ok(())
            })
            .unwrap();
    }
    (ground, engine, places)
}

fn failing(engine: &Engine) -> Vec<&'static str> {
    let machine = |reason: Reason| match reason {
        Reason::Background { machine, .. } => Some(machine),
        _ => None,
    };
    engine.health().reasons.into_iter().filter_map(machine).collect()
}

#[test]
fn the_neighbours_of_an_unreadable_sector_are_served() {
    let (ground, engine, places) = filled();
    let (index, place) = places[3];
    fail_at(&ground, place);
    // In one go, with what lies between them read as well.
    assert_eq!(engine.shard(B).entries(1..60, u64::MAX).unwrap().len(), 59);
    assert_eq!(engine.quarantined(), [], "B has lost nothing");
    assert_eq!(engine.shard(A).entries(1..60, u64::MAX).unwrap().len() as u64, index - 1);
    assert!(matches!(engine.shard(A).entries(index..60, u64::MAX), Err(ReadError::Corrupted { .. })));
    assert_eq!(engine.shard(A).entries(index + 1..60, u64::MAX).unwrap().len() as u64, 59 - index);
    assert_eq!(engine.shard(A).quarantine().unwrap().entries, std::slice::from_ref(&(index..index + 1)));
    crash(&ground, engine);
    ground.disk().clear_faults();
    let engine = ground.open();
    assert_eq!(engine.quarantined().len(), 1, "the checkpoint has it");
    engine.heal(A, entries(A, index..index + 1, 1)).unwrap();
    check(&engine.shard(A), 1..60, 1);
}

#[test]
fn a_device_that_fails_as_a_whole_has_lost_nothing() {
    let (ground, engine, _) = filled();
    fail(&ground.disk());
    for shard in [A, B] {
        assert!(matches!(engine.shard(shard).entries(1..60, u64::MAX), Err(ReadError::Io { .. })));
    }
    let segments: Vec<_> = engine.segments().iter().map(|segment| segment.info.id).collect();
    assert!(matches!(engine.report_damage(segments), Err(Error::Io { .. })));
    ground.disk().clear_faults();
    assert_eq!(engine.quarantined(), []);
    check(&engine.shard(A), 1..60, 1);
}

#[test]
fn verification_is_retried_when_the_disk_answers() {
    let (ground, engine, places) = filled();
    let (index, place) = places[3];
    damage(&ground, place, 64..place.len);
    fail(&ground.disk());
    assert!(matches!(engine.report_damage([place.segment]), Err(Error::Io { .. })));
    for _ in 0..3 {
        ground.pass(&engine, Duration::from_secs(2));
        assert_eq!(failing(&engine), ["verify"], "it is tried, and not forgotten");
    }
    assert_eq!(engine.quarantined(), []);
    ground.disk().clear_faults();
    ground.until(&engine, "it is verified", || !engine.quarantined().is_empty());
    assert_eq!(engine.shard(A).quarantine().unwrap().entries, std::slice::from_ref(&(index..index + 1)));
    ground.until(&engine, "nothing is left", || failing(&engine).is_empty());
}

#[test]
fn intact_entries_beside_an_unreadable_sector_move_out() {
    let (ground, engine, places) = filled();
    let (index, place) = places[3];
    fail_at(&ground, place);
    let report = engine.reclaim().and_then(|_| {
        engine.report_damage([place.segment])?;
        engine.reclaim()
    });
    let damaged = report.unwrap().damaged;
    assert_eq!(damaged, [place.segment]);
    assert_eq!(engine.shard(A).quarantine().unwrap().entries, std::slice::from_ref(&(index..index + 1)));
    engine.heal(A, entries(A, index..index + 1, 1)).unwrap();
    assert_eq!(engine.reclaim().unwrap().damaged, [], "the segment was given back");
    check(&engine.shard(A), 1..60, 1);
}
