//! The simulated disk: what is lost, what is kept, and that a seed repeats itself.

use std::{io::ErrorKind, sync::Arc};

use logboom_disk::{Disk, FaultKind, File, Mode, Op, OpKind, Queue, SimDisk, SimOptions, Sync, Wait};

use crate::{assert_filled, filled, prepared, read};

const UNIT: usize = 4096;

#[test]
fn a_power_cut_keeps_what_was_synced() {
    for seed in 0..100 {
        let (disk, file) = with_file(seed, 8);
        file.write_at(&[filled(1, UNIT)], 0, Sync::Data).unwrap();
        file.write_at(&[filled(2, UNIT)], UNIT as u64, Sync::None).unwrap();
        file.sync_data().unwrap();
        file.write_at(&[filled(9, UNIT)], 2 * UNIT as u64, Sync::None).unwrap();
        let file = disk.power_cut().open("a", Mode::Read).unwrap();
        assert_filled(&read(&file, 0, UNIT), 1);
        assert_filled(&read(&file, UNIT, UNIT), 2);
    }
}

#[test]
fn a_power_cut_may_lose_keep_or_tear_what_was_not() {
    let (mut lost, mut kept, mut mixed) = (0, 0, 0);
    for seed in 0..200 {
        let (disk, file) = with_file(seed, 8);
        file.write_at(&[filled(9, 8 * UNIT)], 0, Sync::None).unwrap();
        let file = disk.power_cut().open("a", Mode::Read).unwrap();
        let bytes = read(&file, 0, 8 * UNIT);
        match () {
            () if bytes.iter().all(|byte| *byte == 0) => lost += 1,
            () if bytes.iter().all(|byte| *byte == 9) => kept += 1,
            () => mixed += 1,
        }
    }
    assert!(lost > 10 && kept > 10 && mixed > 50, "{lost} {kept} {mixed}");
}

#[test]
fn a_durable_write_makes_no_other_durable() {
    let lost = (0..50).filter(|seed| {
        let (disk, file) = with_file(*seed, 2);
        file.write_at(&[filled(1, UNIT)], 0, Sync::None).unwrap();
        file.write_at(&[filled(2, UNIT)], UNIT as u64, Sync::Data).unwrap();
        let file = disk.power_cut().open("a", Mode::Read).unwrap();
        assert_filled(&read(&file, UNIT, UNIT), 2);
        read(&file, 0, UNIT).iter().any(|byte| *byte != 1)
    });
    assert!(lost.count() > 10);
}

#[test]
fn names_and_sizes_are_lost_unless_synced() {
    let mut found = [0; 3];
    for seed in 0..100 {
        let disk = SimDisk::new(seed, SimOptions::default());
        prepared(&(disk.clone() as Arc<dyn Disk>), "a", 1);
        let unnamed = disk.open("b", Mode::Create).unwrap();
        unnamed.allocate(UNIT as u64).unwrap();
        unnamed.sync_all().unwrap();
        disk.open("a", Mode::Write).unwrap().allocate(2 * UNIT as u64).unwrap();
        disk.rename("a", "c").unwrap();
        let next = disk.power_cut();
        let names = next.list().unwrap();
        assert!(names.contains(&"a".to_owned()) != names.contains(&"c".to_owned()), "{names:?}");
        found[0] += usize::from(names.contains(&"b".to_owned()));
        found[1] += usize::from(names.contains(&"c".to_owned()));
        let renamed = next.open("a", Mode::Read).or_else(|_| next.open("c", Mode::Read)).unwrap();
        found[2] += usize::from(renamed.size().unwrap() == 2 * UNIT as u64);
    }
    assert!(found.iter().all(|count| (10..90).contains(count)), "{found:?}");
}

#[test]
fn a_rename_is_whole_or_not_at_all() {
    for seed in 0..100 {
        let disk = SimDisk::new(seed, SimOptions::default());
        let any = disk.clone() as Arc<dyn Disk>;
        prepared(&any, "old", 1).write_at(&[filled(1, UNIT)], 0, Sync::Data).unwrap();
        prepared(&any, "new", 1).write_at(&[filled(2, UNIT)], 0, Sync::Data).unwrap();
        disk.rename("new", "old").unwrap();
        let next = disk.power_cut();
        let content = read(&next.open("old", Mode::Read).unwrap(), 0, UNIT)[0];
        assert_eq!(next.open("new", Mode::Read).is_ok(), content == 1);
    }
}

#[test]
fn a_sync_covers_only_what_had_completed_when_it_was_issued() {
    let lost = (0..100).filter(|seed| {
        let (disk, file) = with_file(*seed, 2);
        let mut queue = disk.queue().unwrap();
        queue.submit(write(&file, 1, 1, 0));
        complete(&mut *queue);
        queue.submit(write(&file, 2, 2, UNIT));
        queue.submit(Op { token: 3, file: file.clone(), kind: OpKind::SyncData });
        complete(&mut *queue);
        drop(queue);
        let file = disk.power_cut().open("a", Mode::Read).unwrap();
        assert_filled(&read(&file, 0, UNIT), 1);
        read(&file, UNIT, UNIT).iter().any(|byte| *byte != 2)
    });
    assert!(lost.count() > 20, "the second write was in flight when the sync was issued");
}

#[test]
fn operations_complete_late_and_out_of_order() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let (disk, file) = with_file(seed, 4);
        let mut queue = disk.queue().unwrap();
        (0..4).for_each(|at| queue.submit(write(&file, at as u64, 1, at * UNIT)));
        let mut completions = Vec::new();
        while queue.in_flight() > 0 {
            queue.reap(Wait::No, &mut completions);
        }
        orders.insert(completions.iter().map(|completion| completion.token).collect::<Vec<_>>());
    }
    assert!(orders.len() > 10, "{orders:?}");
}

#[test]
fn what_was_in_flight_may_survive_a_power_cut() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let (disk, file) = with_file(seed, 2);
        let mut queue = disk.queue().unwrap();
        queue.submit(write(&file, 1, 9, 0));
        let next = disk.power_cut();
        seen.insert(read(&next.open("a", Mode::Read).unwrap(), 0, UNIT).iter().filter(|byte| **byte == 9).count());
        let mut completions = Vec::new();
        queue.reap(Wait::Forever, &mut completions);
        assert!(completions[0].result.is_err());
    }
    assert!(seen.contains(&0) && seen.contains(&UNIT) && seen.len() > 5, "{seen:?}");
}

#[test]
fn the_dead_machine_does_nothing_more() {
    let (disk, file) = with_file(1, 2);
    let next = disk.power_cut();
    assert!(file.write_at(&[filled(1, UNIT)], 0, Sync::Data).is_err());
    assert!(file.sync_data().is_err());
    assert!(disk.list().is_err());
    assert!(disk.open("a", Mode::Read).is_err());
    assert!(disk.queue().is_err());
    let mut queue = next.queue().unwrap();
    queue.submit(write(&file, 1, 1, 0));
    let mut completions = Vec::new();
    queue.reap(Wait::Forever, &mut completions);
    assert_eq!(completions[0].result.as_ref().unwrap_err().kind(), ErrorKind::Unsupported);
    assert_filled(&read(&next.open("a", Mode::Read).unwrap(), 0, UNIT), 0);
}

#[test]
fn a_process_crash_keeps_what_was_written_and_late_writes_land() {
    let mut late = 0;
    for seed in 0..50 {
        let (disk, file) = with_file(seed, 2);
        file.write_at(&[filled(1, UNIT)], 0, Sync::None).unwrap();
        let mut queue = disk.queue().unwrap();
        queue.submit(write(&file, 1, 9, UNIT));
        let next = disk.process_crash();
        let file = next.open("a", Mode::Read).unwrap();
        assert_filled(&read(&file, 0, UNIT), 1);
        late += usize::from(read(&file, UNIT, UNIT)[0] == 0);
        for _ in 0..SimOptions::default().late_ops_max {
            next.list().unwrap();
        }
        assert_filled(&read(&file, UNIT, UNIT), 9);
        // What survived the process was never synced, and power can still fail.
        let file = next.power_cut().open("a", Mode::Read).unwrap();
        assert_eq!(file.size().unwrap(), 2 * UNIT as u64);
    }
    assert!(late > 10, "{late}");
}

#[test]
fn a_failed_sync_loses_everything_unsynced_and_the_next_succeeds() {
    let disk = SimDisk::new(1, SimOptions::default());
    let any = disk.clone() as Arc<dyn Disk>;
    let (a, b) = (prepared(&any, "a", 1), prepared(&any, "b", 1));
    a.write_at(&[filled(1, UNIT)], 0, Sync::None).unwrap();
    b.write_at(&[filled(2, UNIT)], 0, Sync::None).unwrap();
    disk.fail_nth(FaultKind::Sync, 1, ErrorKind::Other);
    assert!(b.sync_data().is_err());
    a.sync_data().unwrap();
    b.sync_data().unwrap();
    assert_filled(&read(&a, 0, UNIT), 0);
    assert_filled(&read(&b, 0, UNIT), 0);
}

#[test]
fn faults_come_through_files_and_queues() {
    let (disk, file) = with_file(3, 2);
    disk.fail_nth(FaultKind::Write, 2, ErrorKind::StorageFull);
    disk.fail_nth(FaultKind::Read, 1, ErrorKind::Other);
    disk.fail_nth(FaultKind::Allocate, 1, ErrorKind::StorageFull);
    let mut queue = disk.queue().unwrap();
    queue.submit(write(&file, 1, 1, 0));
    assert!(complete(&mut *queue)[0].1);
    queue.submit(write(&file, 2, 1, 0));
    assert!(!complete(&mut *queue)[0].1);
    queue.submit(write(&file, 3, 1, 0));
    assert!(complete(&mut *queue)[0].1);
    let mut region = logboom_disk::Pool::new(0).region(UNIT);
    assert!(file.read_at(&mut region, 0).is_err());
    file.read_at(&mut region, 0).unwrap();
    assert_eq!(file.allocate(1 << 20).unwrap_err().kind(), ErrorKind::StorageFull);
    file.allocate(1 << 20).unwrap();
}

#[test]
fn a_full_disk_refuses_to_grow() {
    let disk = SimDisk::new(1, SimOptions { capacity: 3 * UNIT as u64, ..SimOptions::default() });
    let any = disk.clone() as Arc<dyn Disk>;
    prepared(&any, "a", 2);
    let file = disk.open("b", Mode::Create).unwrap();
    assert_eq!(file.allocate(2 * UNIT as u64).unwrap_err().kind(), ErrorKind::StorageFull);
    disk.remove("a").unwrap();
    disk.sync_dir().unwrap();
    file.allocate(2 * UNIT as u64).unwrap();
}

#[test]
fn damage_is_found_where_it_was_done() {
    let (disk, file) = with_file(1, 2);
    disk.damage("a", 10..12).unwrap();
    let bytes = read(&file, 0, UNIT);
    assert_eq!(bytes[9..13], [0, 0xFF, 0xFF, 0]);
    assert_eq!(disk.damage("b", 0..1).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.damage("a", 0..1 << 20).unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

/// The reason for the pad unit: with groups padded to less than a physical block, a torn write takes durable
/// neighbours with it.
#[test]
fn a_pad_unit_below_the_physical_block_loses_what_was_durable() {
    let damaged = |pad_unit: usize| {
        (0..200).any(|seed| {
            let options = SimOptions { pad_unit, torn_per_mille: 300, ..SimOptions::default() };
            let disk = SimDisk::new(seed, options);
            let file = disk.open("a", Mode::Create).unwrap();
            file.allocate(2 * UNIT as u64).unwrap();
            file.sync_all().unwrap();
            disk.sync_dir().unwrap();
            file.write_at(&[filled(1, pad_unit)], 0, Sync::Data).unwrap();
            file.write_at(&[filled(2, pad_unit)], pad_unit as u64, Sync::None).unwrap();
            let file = disk.power_cut().open("a", Mode::Read).unwrap();
            read(&file, 0, pad_unit).iter().any(|byte| *byte != 1)
        })
    };
    assert!(damaged(512));
    assert!(!damaged(4096));
}

#[test]
fn a_seed_repeats_its_history() {
    let first = history(42);
    assert_eq!(first, history(42));
    assert_ne!(first, history(43));
}

/// A run with everything in it, and its trace.
fn history(seed: u64) -> (u64, Vec<String>) {
    let mut disk = SimDisk::new(seed, SimOptions::default());
    prepared(&(disk.clone() as Arc<dyn Disk>), "a", 64);
    for round in 0..6_usize {
        let file = disk.open("a", Mode::Write).unwrap();
        let mut queue = disk.queue().unwrap();
        for at in 0..64 {
            queue.submit(write(&file, at as u64, u8::try_from(round + at).unwrap(), at * UNIT));
            if at % 5 == 0 {
                queue.submit(Op { token: 1000, file: file.clone(), kind: OpKind::SyncData });
            }
            queue.reap(Wait::No, &mut Vec::new());
        }
        disk.open(&format!("b{round}"), Mode::Create).unwrap();
        disk = if round % 2 == 0 { disk.power_cut() } else { disk.process_crash() };
        read(&disk.open("a", Mode::Read).unwrap(), 0, 64 * UNIT);
        for name in disk.list().unwrap() {
            disk.open(&name, Mode::Read).unwrap();
        }
    }
    (disk.trace_hash(), disk.trace())
}

fn with_file(seed: u64, units: u64) -> (Arc<SimDisk>, Arc<dyn File>) {
    let disk = SimDisk::new(seed, SimOptions::default());
    let file = prepared(&(disk.clone() as Arc<dyn Disk>), "a", units);
    (disk, file)
}

fn write(file: &Arc<dyn File>, token: u64, byte: u8, offset: usize) -> Op {
    let kind = OpKind::Write { slices: vec![filled(byte, UNIT)], offset: offset as u64, sync: Sync::None };
    Op { token, file: file.clone(), kind }
}

/// Reaps all that is in flight; which operations succeeded.
fn complete(queue: &mut dyn Queue) -> Vec<(u64, bool)> {
    let mut completions = Vec::new();
    while queue.in_flight() > 0 {
        queue.reap(Wait::No, &mut completions);
    }
    completions.iter().map(|completion| (completion.token, completion.result.is_ok())).collect()
}
