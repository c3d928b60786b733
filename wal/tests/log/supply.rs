//! Segment files that cannot be opened or removed: each still counts, and is used when that becomes possible.

use std::{io::ErrorKind, sync::Arc, time::Duration};

use logboom_disk::{Disk, Fault, FaultKind, SimDisk, SimOptions};
use logboom_wal::{Error, ManualClock, Options, Runtime, SegmentInfo, Wal, open};

use crate::support::*;

/// The segment files that there are.
fn files(disk: &SimDisk) -> usize {
    disk.list().unwrap().iter().filter(|name| name.starts_with("segment-")).count()
}

/// Those that the log knows of.
fn counted(wal: &Wal) -> usize {
    wal.segments().len() + usize::try_from(wal.metrics().prepared_segments).unwrap()
}

fn pass(wal: &Wal, clock: &ManualClock, seconds: u64) {
    for _ in 0..seconds * 4 {
        clock.advance(Duration::from_millis(250));
        while wal.drive() {}
    }
}

fn opened(disk: &Arc<SimDisk>, clock: &Arc<ManualClock>, reserve_segments: usize) -> Wal {
    let options = Options { reserve_segments, ..options() };
    open(disk.clone(), options, Runtime::Manual(clock.clone())).unwrap().start().unwrap()
}

/// The disk of a closed log that has prepared its reserve, and its clock.
fn closed(reserve_segments: usize) -> (Arc<SimDisk>, Arc<ManualClock>) {
    let (disk, clock) = (SimDisk::new(1, SimOptions::default()), ManualClock::new(1));
    let wal = opened(&disk, &clock, reserve_segments);
    pass(&wal, &clock, 1);
    wal.close().unwrap();
    (disk, clock)
}

/// The segment files that are not in use, the next one first.
fn free(disk: &SimDisk, wal: &Wal) -> Vec<String> {
    let used: Vec<String> = wal.segments().iter().map(SegmentInfo::file_name).collect();
    let names = disk.list().unwrap().into_iter();
    names.filter(|name| name.starts_with("segment-") && !used.contains(name)).collect()
}

fn failing(wal: &Wal) -> Vec<&'static str> {
    wal.health().failing.iter().map(|(machine, _)| *machine).collect()
}

/// As where the process has as many files open as it may when a segment has just got its name.
#[test]
fn a_segment_that_cannot_be_opened_yet_is_ready_all_the_same() {
    let (disk, clock) = (SimDisk::new(1, SimOptions::default()), ManualClock::new(1));
    let wal = opened(&disk, &clock, 2);
    disk.inject(Fault::error(FaultKind::Open, ErrorKind::Other).on("segment-").sticky());
    pass(&wal, &clock, 10);
    assert_eq!((files(&disk), counted(&wal)), (1 + 2 + 3, 1 + 2 + 3));
    disk.clear_faults();
    (0..60).for_each(|nth| ok(write(&wal, &body(nth, 40_000))));
    pass(&wal, &clock, 1);
    assert_eq!(files(&disk), counted(&wal));
    wal.close().unwrap();
}

#[test]
fn a_segment_that_cannot_be_removed_stays_ready_and_that_is_told() {
    let (disk, clock) = closed(10);
    let all = files(&disk);
    assert!(all > 12, "{all}");

    let wal = opened(&disk, &clock, 2);
    disk.inject(Fault::error(FaultKind::Remove, ErrorKind::Other).on("segment-").sticky());
    pass(&wal, &clock, 30);
    assert_eq!((files(&disk), counted(&wal)), (all, all));
    assert_eq!(failing(&wal), ["give back segments"]);
    disk.clear_faults();
    pass(&wal, &clock, 120);
    assert!(files(&disk) < all && wal.health().failing.is_empty());
    assert_eq!(files(&disk), counted(&wal));
    wal.close().unwrap();
}

/// Another is taken; those that cannot be opened are replaced, and removed.
#[test]
fn a_segment_that_cannot_be_opened_holds_up_no_other() {
    let (disk, clock) = closed(5);

    let wal = opened(&disk, &clock, 5);
    let bad = free(&disk, &wal)[..2].to_vec();
    bad.iter().for_each(|name| disk.inject(Fault::error(FaultKind::Open, ErrorKind::Other).on(name.as_str()).sticky()));
    let first = wal.active();
    (0..10).for_each(|nth| ok(write(&wal, &body(nth, 60_000))));
    assert!(wal.active().0 >= first.0 + 2, "{first} {}", wal.active());
    assert_eq!((failing(&wal), counted(&wal)), (vec!["open segments"], files(&disk) - bad.len()));
    pass(&wal, &clock, 30);
    let names = disk.list().unwrap();
    assert!(bad.iter().all(|name| !names.contains(name)), "{names:?}");
    assert_eq!(files(&disk), counted(&wal));
    (0..10).for_each(|nth| ok(write(&wal, &body(nth, 60_000))));
    assert_eq!(failing(&wal), Vec::<&str>::new());
    wal.close().unwrap();
}

/// It is the process that lacks something: nothing is given up for that, and what is open is used.
#[test]
fn segments_that_the_process_may_not_open_stay_ready() {
    let (disk, clock) = closed(5);

    let wal = opened(&disk, &clock, 5);
    disk.inject(Fault::error(FaultKind::Open, ErrorKind::OutOfMemory).on("segment-").sticky());
    let failed = (0..20).find_map(|nth| write(&wal, &body(nth, 60_000)).err());
    assert!(matches!(failed, Some(Error::Io { .. })), "{failed:?}");
    assert_eq!((failing(&wal), counted(&wal)), (vec!["open segments"], files(&disk)));
    disk.clear_faults();
    (0..20).for_each(|nth| ok(write(&wal, &body(nth, 60_000))));
    assert_eq!(failing(&wal), Vec::<&str>::new());
    wal.close().unwrap();
}
