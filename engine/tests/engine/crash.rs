//! A disk that fails, lies or loses power; histories of crashes are in `model`.

use std::{
    io::ErrorKind,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use logboom::{
    Durability, Entry, EntryId, Error, Observer, ReadError, Reason, RecoveryProgress,
    disk::{FaultKind, SimDisk, SimOptions},
};

use crate::support::*;

/// Remembers what it was told.
#[derive(Debug, Default)]
struct Told {
    poisoned: Mutex<Vec<String>>,
    progress: Mutex<Vec<RecoveryProgress>>,
}

impl Observer for Told {
    fn recovering(&self, progress: RecoveryProgress) {
        self.progress.lock().unwrap().push(progress);
    }

    fn poisoned(&self, error: &Error) {
        self.poisoned.lock().unwrap().push(error.to_string());
    }
}

#[test]
fn a_failed_sync_ends_acknowledgement_and_nothing_else() {
    for kind in [FaultKind::Sync, FaultKind::Write] {
        let mut ground = Ground::sim(1);
        let told = Arc::new(Told::default());
        ground.config.observer = Some(told.clone());
        let engine = ground.open();
        append(&engine, A, 1..10, 1);
        ground.disk().fail_nth(kind, 1, ErrorKind::Other);
        // A durable write fails as a write or as a sync, whichever it is made of.
        ground.disk().fail_nth(FaultKind::Write, 1, ErrorKind::Other);
        let mut batch = engine.batch();
        batch.append_payload(A, EntryId { index: 10, term: 1 }, b"lost").unwrap();
        let ticket = engine.submit(batch, Durability::Durable).unwrap();
        assert!(matches!(ticket.wait(), Err(Error::Poisoned { .. })));
        assert_eq!(told.poisoned.lock().unwrap().len(), 1);
        assert!(matches!(engine.health().poisoned(), Some(Error::Io { .. })), "{:?}", engine.health());
        assert!(!engine.health().is_good());

        let mut batch = engine.batch();
        batch.put(A, b"k", b"v").unwrap();
        let refused = engine.try_submit(batch, Durability::Durable).unwrap_err();
        let Error::Poisoned { first } = refused.error else { panic!("{refused:?}") };
        assert!(matches!(*first, Error::Io { .. }), "every later error names the first");
        assert_eq!(engine.shard(A).durable(), Some(9));
        assert_eq!(engine.shard(A).entries(1..10, u64::MAX).unwrap().len(), 9, "reads go on");
        assert!(engine.close().is_err());

        let engine = ground.open();
        let last = engine.shard(A).last().unwrap();
        assert!(last == 9 || last == 10);
        assert_eq!(engine.shard(A).durable(), Some(last), "what recovery finds is durable");
        append(&engine, A, last + 1..last + 5, 1);
    }
}

#[test]
fn a_damaged_record_is_an_error_for_its_entries_alone() {
    let mut ground = Ground::sim(2);
    ground.config.cache_bytes = 0;
    let engine = ground.open();
    for index in 0..40 {
        write(&engine, |batch| {
            batch.append_payload(A, EntryId { index, term: 1 }, Bytes::from(vec![index as u8; 20_000])).map(drop)
        });
    }
    let engine = ground.reopen(engine);
    let slot = engine.segments()[0].info.slot;
    ground.disk().damage(&format!("segment-{slot:06}"), 20_000..20_010).unwrap();
    let shard = engine.shard(A);
    let read = |index| shard.entries(index..index + 1, 0).err();
    let failed: Vec<(u64, ReadError)> = (0..40).filter_map(|index| Some((index, read(index)?))).collect();
    let [(index, first)] = &*failed else { panic!("{failed:?}") };
    let broken = [*index];
    for error in [first, &read(broken[0]).unwrap()] {
        match error {
            ReadError::Corrupted { shard: A, range, what } => {
                assert_eq!(*range, broken[0]..broken[0] + 1);
                assert!(what.contains("segment 1 at byte "), "the first read and later ones say where: {what}");
            }
            other => panic!("{other:?}"),
        }
    }
    let lost = broken[0]..broken[0] + 1;
    assert_eq!(
        engine.shard(A).quarantine().unwrap().entries,
        std::slice::from_ref(&lost),
        "what a read has found is known"
    );
    append(&engine, B, 1..5, 1);
    let engine = ground.reopen(engine);
    assert_eq!(engine.shard(A).quarantine().unwrap().entries, std::slice::from_ref(&lost));
    let report = engine.open_report();
    assert!(report.recovery.damages.is_empty(), "no opening has read it");
    assert!(matches!(&*report.quarantined, [(A, quarantine)] if quarantine.entries == [lost]), "{report}");
    assert!(report.to_string().contains(&format!("quarantine   {A}: lost: entry {}\n", broken[0])), "{report}");
    engine.heal(A, [Entry::new(EntryId { index: broken[0], term: 1 }, vec![broken[0] as u8; 20_000])]).unwrap();
    append(&engine, A, 40..45, 1);
}

#[test]
fn a_failed_engine_comes_to_rest() {
    for nth in 1..60 {
        let ground = Ground::sim(nth);
        let engine = ground.open();
        ground.disk().fail_nth(FaultKind::Sync, nth, ErrorKind::Other);
        for index in 0..60 {
            let mut batch = engine.batch();
            batch.append_payload(A, EntryId { index, term: 1 }, Bytes::from(vec![1; 20_000])).unwrap();
            if index > 4 {
                batch.compact_through(A, index - 4).unwrap();
            }
            let written = engine.submit(batch, Durability::Durable);
            engine.drive_once();
            if written.is_err() {
                break;
            }
        }
        drive(&engine);
        ground.pass(&engine, std::time::Duration::from_secs(3));
    }
}

#[test]
fn a_checkpoint_that_fails_is_shown_and_tried_again() {
    let ground = Ground::sim(9);
    let engine = ground.open();
    drive(&engine);
    // More than the slots were made for: the first checkpoint has to make one larger.
    for key in 0..3 {
        write(&engine, |batch| batch.put(B, &[key], &[key; 40_000]).map(drop));
    }
    for nth in 1..=6 {
        ground.disk().fail_nth(FaultKind::Allocate, nth, ErrorKind::StorageFull);
    }
    let mut shown = false;
    for index in 0..60 {
        loop {
            let mut batch = engine.batch();
            batch.append_payload(A, EntryId { index, term: 1 }, Bytes::from(vec![1; 20_000])).unwrap();
            if index > 4 {
                batch.compact_through(A, index - 4).unwrap();
            }
            let failed = |reason: &Reason| matches!(reason, Reason::Background { machine: "checkpoint", .. });
            shown |= engine.health().reasons.iter().any(failed);
            match engine.write(batch) {
                Ok(()) => break,
                Err(Error::Full { .. }) => ground.pass(&engine, std::time::Duration::from_secs(1)),
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(shown);
    // Whatever else failed for want of room has succeeded since, or has nothing left to do.
    ground.until(&engine, "segments are given back", || engine.segments().len() < 6 && engine.health().is_good());
}

#[test]
fn a_power_cut_while_recovering_changes_nothing() {
    for seed in 0..20 {
        let ground = Ground::on(SimDisk::new(seed, SimOptions::default()), seed);
        let engine = ground.open();
        for round in 0..10 {
            append(&engine, A, round * 30..(round + 1) * 30, 1);
            write(&engine, |batch| {
                batch.append_payload(B, EntryId { index: round, term: 1 }, Bytes::from(vec![0; 30_000])).map(drop)
            });
        }
        ground.replace_disk(ground.disk().power_cut());
        drop(engine);
        for fault in [3, 7, 15, 20] {
            // Opening dies at some operation; what it leaves is opened again.
            ground.disk().fail_nth(FaultKind::Write, fault, ErrorKind::Other);
            drop(ground.try_open());
            ground.replace_disk(ground.disk().power_cut());
        }
        let engine = ground.open();
        check(&engine.shard(A), 0..300, 1);
        assert_eq!(engine.shard(B).last(), Some(9));
    }
}

#[test]
fn the_observer_sees_a_long_opening() {
    let mut ground = Ground::sim(3);
    let engine = ground.open();
    for index in 0..60 {
        write(&engine, |batch| {
            batch.append_payload(A, EntryId { index, term: 1 }, Bytes::from(vec![1; 20_000])).map(drop)
        });
    }
    ground.replace_disk(ground.disk().process_crash());
    drop(engine);
    let told = Arc::new(Told::default());
    ground.config.observer = Some(told.clone());
    let engine = ground.open();
    let progress = told.progress.lock().unwrap();
    assert!(!progress.is_empty() && progress.is_sorted_by_key(|progress| progress.bytes_done));
    let last = progress[progress.len() - 1];
    assert_eq!(last.bytes_done, last.bytes_total);
    assert!(format!("{}", engine.open_report()).contains("replayed"));
}
