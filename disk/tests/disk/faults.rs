//! The simulated disk's errors and lies, by kind, place and position.

use std::{
    collections::BTreeSet,
    io::{self, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use logboom_disk::{Disk, Fault, FaultKind, File, Mode, Pool, Rot, SimDisk, SimOptions, Sync};

use crate::{assert_filled, filled, prepared, read};

const UNIT: usize = 4096;

/// Every operation fails once in turn, by its position in the history of one seed.
#[test]
fn every_operation_can_be_made_to_fail_by_its_position() {
    let whole = SimDisk::new(5, SimOptions::default());
    script(&whole).unwrap();
    let operations = whole.operations();
    let kinds: BTreeSet<FaultKind> = operations.iter().map(|operation| operation.kind).collect();
    assert_eq!(kinds.len(), FaultKind::ALL.len(), "the script does something of every kind");
    for (at, operation) in operations.iter().enumerate() {
        let before = &operations[..at];
        let alike =
            before.iter().filter(|other| other.kind == operation.kind && other.file.starts_with(&operation.file));
        let disk = SimDisk::new(5, SimOptions::default());
        let fault = Fault::error(operation.kind, ErrorKind::Interrupted);
        disk.inject(fault.nth(alike.count() as u64 + 1).on(&operation.file));
        assert_eq!(script(&disk).unwrap_err().kind(), ErrorKind::Interrupted, "{operation:?}");
        assert_eq!(disk.operations(), operations[..=at]);
        assert!(disk.trace().last().unwrap().contains("fails"));
    }
}

#[test]
fn what_fails_has_done_nothing() {
    let disk = SimDisk::new(1, SimOptions::default());
    prepared(&(disk.clone() as Arc<dyn Disk>), "a", 1);
    for kind in [FaultKind::Create, FaultKind::Open, FaultKind::Rename, FaultKind::Remove, FaultKind::List] {
        disk.inject(Fault::error(kind, ErrorKind::Other).sticky());
    }
    assert!(disk.open("b", Mode::Create).is_err());
    assert!(disk.open("a", Mode::Read).is_err());
    assert!(disk.rename("a", "b").is_err());
    assert!(disk.remove("a").is_err());
    assert!(disk.list().is_err());
    disk.clear_faults();
    assert_eq!(disk.list().unwrap(), ["a"]);
    assert!(disk.undecided().is_empty());
}

#[test]
fn what_panics_has_done_nothing_and_goes_on_behind_it() {
    let disk = SimDisk::new(1, SimOptions::default());
    prepared(&(disk.clone() as Arc<dyn Disk>), "a", 1);
    disk.inject(Fault::panic(FaultKind::Rename));
    let panic = catch_unwind(AssertUnwindSafe(|| disk.rename("a", "b"))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"a planned fault"));
    assert!(disk.trace().last().unwrap().contains("panics"));
    assert_eq!(disk.list().unwrap(), ["a"]);
    assert!(disk.undecided().is_empty());
    disk.rename("a", "b").unwrap();
}

#[test]
fn a_bad_place_stays_bad_over_crashes_until_it_is_cleared() {
    let (disk, file) = with_file(2, 4);
    disk.inject(Fault::error(FaultKind::Read, ErrorKind::Other).on("a").within(4096..4097).sticky());
    let tried = |file: &Arc<dyn File>, at: u64| file.read_at(&mut Pool::new(0).region(UNIT), at * UNIT as u64);
    for _ in 0..3 {
        assert!(tried(&file, 1).is_err());
        tried(&file, 0).and(tried(&file, 2)).unwrap();
    }
    // Errors of one kind that come once are forgotten with the process.
    disk.fail_nth(FaultKind::List, 1, ErrorKind::Other);
    let disk = disk.power_cut().process_crash();
    disk.list().unwrap();
    let file = disk.open("a", Mode::Read).unwrap();
    assert!(tried(&file, 1).is_err());
    disk.clear_faults();
    tried(&file, 1).unwrap();
}

#[test]
fn a_short_write_leaves_its_beginning_and_a_failed_one_anything() {
    let mut left = BTreeSet::new();
    for seed in 0..100 {
        let (disk, file) = with_file(seed, 2);
        disk.inject(Fault::short_write(3, ErrorKind::StorageFull));
        let error = file.write_at(&[filled(1, UNIT)], 0, Sync::Data).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        let bytes = read(&file, 0, UNIT);
        assert_filled(&bytes[..3 * 512], 1);
        assert_filled(&bytes[3 * 512..], 0);
        disk.fail_nth(FaultKind::Write, 1, ErrorKind::Other);
        assert!(file.write_at(&[filled(2, UNIT)], UNIT as u64, Sync::None).is_err());
        left.insert(read(&file, UNIT, UNIT).iter().filter(|byte| **byte == 2).count() / 512);
    }
    assert!(left.contains(&0) && left.contains(&8) && left.len() > 4, "{left:?}");
}

#[test]
fn a_disk_fills_up_and_goes_on_when_there_is_space() {
    let mut partly = 0;
    for seed in 0..50 {
        let (disk, file) = with_file(seed, 2);
        disk.set_capacity(4 * UNIT as u64);
        assert_eq!(file.allocate(8 * UNIT as u64).unwrap_err().kind(), ErrorKind::StorageFull);
        let size = file.size().unwrap();
        assert!(size == 2 * UNIT as u64 || size == 4 * UNIT as u64);
        partly += usize::from(size == 4 * UNIT as u64);
        disk.set_capacity(UNIT as u64);
        file.allocate(UNIT as u64).unwrap();
        file.write_at(&[filled(1, UNIT)], UNIT as u64, Sync::Data).unwrap();
        assert!(file.allocate(5 * UNIT as u64).is_err());
        let disk = disk.power_cut();
        let file = disk.open("a", Mode::Write).unwrap();
        assert!(file.allocate(8 * UNIT as u64).is_err(), "a crash frees nothing");
        disk.set_capacity(8 * UNIT as u64);
        file.allocate(8 * UNIT as u64).unwrap();
    }
    assert!((10..40).contains(&partly), "{partly}");
}

#[test]
fn a_failed_sync_of_the_directory_loses_what_is_unsynced_too() {
    let (disk, file) = with_file(1, 1);
    file.write_at(&[filled(1, UNIT)], 0, Sync::None).unwrap();
    disk.fail_nth(FaultKind::SyncDir, 1, ErrorKind::Other);
    assert!(disk.sync_dir().is_err());
    disk.sync_dir().unwrap();
    assert_filled(&read(&file, 0, UNIT), 0);
}

/// Whoever reads through the cache is told that all is well, and whoever syncs again too.
#[test]
fn a_page_cache_hides_what_a_failed_sync_has_lost() {
    let disk = SimDisk::new(1, SimOptions { direct: false, ..SimOptions::default() });
    let file = prepared(&(disk.clone() as Arc<dyn Disk>), "a", 1);
    assert!(!disk.facts().direct);
    file.write_at(&[filled(1, UNIT)], 0, Sync::None).unwrap();
    disk.fail_nth(FaultKind::Sync, 1, ErrorKind::Other);
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    let disk = disk.process_crash();
    let file = disk.open("a", Mode::Write).unwrap();
    assert_filled(&read(&file, 0, UNIT), 1);
    file.sync_all().unwrap();
    assert!(disk.undecided().is_empty());
    let file = disk.power_cut().open("a", Mode::Read).unwrap();
    assert_filled(&read(&file, 0, UNIT), 0);
}

#[test]
fn a_lost_write_succeeds_and_is_nowhere() {
    let (disk, file) = with_file(1, 1);
    file.write_at(&[filled(1, UNIT)], 0, Sync::Data).unwrap();
    disk.inject(Fault::lost_write());
    file.write_at(&[filled(2, UNIT)], 0, Sync::Data).unwrap();
    file.sync_all().unwrap();
    assert_filled(&read(&file, 0, UNIT), 1);
}

#[test]
fn a_misdirected_write_succeeds_elsewhere() {
    let (disk, a) = with_file(1, 2);
    let b = prepared(&(disk.clone() as Arc<dyn Disk>), "b", 2);
    b.write_at(&[filled(7, 2 * UNIT)], 0, Sync::Data).unwrap();
    disk.inject(Fault::misdirected_write("b", 512).on("a"));
    b.write_at(&[filled(8, UNIT)], UNIT as u64, Sync::Data).unwrap();
    a.write_at(&[filled(1, UNIT)], 0, Sync::Data).unwrap();
    disk.inject(Fault::misdirected_write("b", 2 * UNIT as u64));
    a.write_at(&[filled(2, UNIT)], 0, Sync::Data).unwrap();
    let next = disk.power_cut();
    assert_filled(&read(&next.open("a", Mode::Read).unwrap(), 0, 2 * UNIT), 0);
    let bytes = read(&next.open("b", Mode::Read).unwrap(), 0, 2 * UNIT);
    assert_filled(&bytes[..512], 7);
    assert_filled(&bytes[512..512 + UNIT], 1);
    assert_filled(&bytes[512 + UNIT..], 8);
}

#[test]
fn a_stale_read_gives_what_was_there_earlier() {
    let (disk, file) = with_file(1, 2);
    let stale = |at: usize| {
        disk.inject(Fault::stale_read());
        read(&file, at, UNIT)[0]
    };
    file.write_at(&[filled(1, UNIT)], 0, Sync::Data).unwrap();
    assert_eq!(stale(0), 0);
    file.write_at(&[filled(2, UNIT)], 0, Sync::Data).unwrap();
    assert_eq!(stale(0), 1);
    file.write_at(&[filled(3, UNIT)], 0, Sync::None).unwrap();
    assert_eq!(stale(0), 2);
    assert_eq!(read(&file, 0, UNIT)[0], 3);
    assert_eq!(stale(UNIT), 0);
}

#[test]
fn rot_is_on_the_medium_and_where_it_says() {
    for (rot, len, changed_max) in [(Rot::Bit, 1, 1), (Rot::Sector, 512, 512), (Rot::Block, 4096, 4096)] {
        let (disk, file) = with_file(9, 8);
        assert_eq!(disk.rot("a", rot).unwrap_err().kind(), ErrorKind::UnexpectedEof, "nothing but zeros");
        file.write_at(&[filled(5, 2 * UNIT)], 3 * UNIT as u64, Sync::Data).unwrap();
        let range = disk.rot("a", rot).unwrap();
        assert!(range.start >= 3 * UNIT as u64 && range.end <= 5 * UNIT as u64 && range.end - range.start == len);
        let bytes = read(&file, 0, 8 * UNIT);
        let expected = |at: usize| if (3 * UNIT..5 * UNIT).contains(&at) { 5 } else { 0 };
        let changed: Vec<_> = (0..8 * UNIT).filter(|at| bytes[*at] != expected(*at)).collect();
        assert!(changed.len() > changed_max / 2 && changed.len() <= changed_max);
        assert!(changed.iter().all(|at| range.contains(&(*at as u64))));
    }
}

#[test]
fn damage_makes_nothing_durable() {
    let (disk, file) = with_file(1, 2);
    file.write_at(&[filled(3, UNIT)], UNIT as u64, Sync::None).unwrap();
    disk.damage("a", 0..2 * UNIT as u64).unwrap();
    assert_eq!(disk.undecided().len(), 1);
    assert_filled(&read(&file, 0, UNIT), 0xFF);
    assert_filled(&read(&file, UNIT, UNIT), 3);
}

/// Does something of every kind.
fn script(disk: &Arc<SimDisk>) -> io::Result<()> {
    for name in ["aa", "a", "b"] {
        let file = disk.open(name, Mode::Create)?;
        file.allocate(4 * UNIT as u64)?;
        for at in 0..4 {
            file.write_at(&[filled(at, UNIT)], u64::from(at) * UNIT as u64, Sync::None)?;
        }
        file.sync_data()?;
        file.sync_all()?;
        disk.sync_dir()?;
    }
    disk.rename("b", "c")?;
    disk.remove("aa")?;
    disk.sync_dir()?;
    for name in disk.list()? {
        let mut region = Pool::new(0).region(UNIT);
        disk.open(&name, Mode::Read)?.read_at(&mut region, UNIT as u64)?;
    }
    Ok(())
}

fn with_file(seed: u64, units: u64) -> (Arc<SimDisk>, Arc<dyn File>) {
    let disk = SimDisk::new(seed, SimOptions::default());
    let file = prepared(&(disk.clone() as Arc<dyn Disk>), "a", units);
    (disk, file)
}
