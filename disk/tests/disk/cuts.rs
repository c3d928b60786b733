//! The simulated disk's crashes, chosen one by one: every outcome of a power cut, and any moment for it.

use std::{collections::BTreeSet, io::ErrorKind, sync::Arc};

use logboom_disk::{Disk, Fate, Fault, File, Mode, Op, OpKind, SimDisk, SimOptions, Sync, Undecided, Unsynced, Wait};

use crate::{assert_filled, filled, prepared, read};

const SECTOR: usize = SimDisk::SECTOR;

#[test]
fn every_outcome_of_a_power_cut_can_be_had() {
    let (disk, file) = with_file(small(), 4);
    let bytes = [1, 2, 3];
    bytes.into_iter().enumerate().for_each(|(at, byte)| write(&file, at, 1, byte, Sync::None));
    disk.rename("a", "b").unwrap();
    let undecided = disk.undecided();
    assert_eq!(undecided.iter().map(|one| one.fates().len()).collect::<Vec<_>>(), [3, 3, 3, 2]);
    let mut outcomes = BTreeSet::new();
    for fates in product(&undecided) {
        let found = disk.fork(1).power_cut_with(&fates);
        let name = if fates[3] == Fate::New { "b" } else { "a" };
        assert_eq!(found.list().unwrap(), [name]);
        let content = read(&found.open(name, Mode::Read).unwrap(), 0, 3 * SECTOR);
        for ((sector, byte), fate) in content.chunks(SECTOR).zip(bytes).zip(&fates) {
            match fate {
                Fate::Old => assert_filled(sector, 0),
                Fate::New => assert_filled(sector, byte),
                _ => assert!(sector.iter().collect::<BTreeSet<_>>().len() > 100, "garbage"),
            }
        }
        outcomes.insert((name, content.to_vec()));
    }
    assert_eq!(outcomes.len(), 54);
    // None of them has touched the disk that they are futures of.
    assert_eq!(disk.undecided(), undecided);
    assert_filled(&read(&file, 2 * SECTOR, SECTOR), 3);
}

#[test]
fn what_is_undecided_is_what_is_not_synced() {
    let (disk, file) = with_file(small(), 8);
    assert!(disk.undecided().is_empty());
    write(&file, 0, 4, 1, Sync::None);
    write(&file, 1, 2, 2, Sync::Data);
    let mut queue = disk.queue().unwrap();
    queue.submit(op(&file, 6, 2, 3));
    file.allocate(10 * SECTOR as u64).unwrap();
    disk.open("b", Mode::Create).unwrap();
    let unit = |what, file: &str, from, to| Undecided { what, file: file.into(), range: at(from)..at(to) };
    let (size, name) = (unit(Unsynced::Size, "a", 8, 10), unit(Unsynced::Name, "b", 0, 0));
    // What the durable write has left of the first one is still one write.
    let writes = [unit(Unsynced::Write, "a", 0, 4), unit(Unsynced::InFlight, "a", 6, 8)];
    assert_eq!(disk.undecided(), [&writes[..], &[size.clone(), name.clone()]].concat());
    queue.reap(Wait::Forever, &mut Vec::new());
    file.sync_data().unwrap();
    assert_eq!(disk.undecided(), [size, name.clone()]);
    file.sync_all().unwrap();
    assert_eq!(disk.undecided(), [name]);
    disk.sync_dir().unwrap();
    assert!(disk.undecided().is_empty());
}

#[test]
fn sectors_can_be_chosen_one_by_one() {
    let (disk, file) = with_file(SimOptions::default(), 8);
    write(&file, 0, 8, 7, Sync::None);
    for bits in 0..256 {
        let found = disk.fork(bits).power_cut_with(&[Fate::Sectors(bits)]);
        let bytes = read(&found.open("a", Mode::Read).unwrap(), 0, 8 * SECTOR);
        for (at, sector) in bytes.chunks(SECTOR).enumerate() {
            assert_filled(sector, if bits >> at & 1 == 1 { 7 } else { 0 });
        }
    }
}

#[test]
fn of_two_writes_to_one_sector_the_later_one_that_survives_is_found() {
    let (disk, file) = with_file(small(), 1);
    write(&file, 0, 1, 1, Sync::None);
    write(&file, 0, 1, 2, Sync::None);
    let found = |first, second| {
        let found = disk.fork(1).power_cut_with(&[first, second]);
        read(&found.open("a", Mode::Read).unwrap(), 0, SECTOR)[0]
    };
    assert_eq!(found(Fate::Old, Fate::Old), 0);
    assert_eq!(found(Fate::New, Fate::Old), 1);
    assert_eq!(found(Fate::Old, Fate::New), 2);
    assert_eq!(found(Fate::New, Fate::New), 2);
}

#[test]
fn a_torn_sector_takes_its_physical_block_along_and_no_more() {
    let options = SimOptions { pad_unit: SECTOR, physical_block: 4096, ..SimOptions::default() };
    let (disk, file) = with_file(options, 24);
    (0..24).for_each(|at| write(&file, at, 1, 1, Sync::Data));
    write(&file, 9, 1, 2, Sync::None);
    let mut hit = BTreeSet::new();
    for seed in 0..50 {
        let found = disk.fork(seed).power_cut_with(&[Fate::Torn]);
        let bytes = read(&found.open("a", Mode::Read).unwrap(), 0, 24 * SECTOR);
        let damaged = (0..24).filter(|at| bytes[at * SECTOR..(at + 1) * SECTOR].iter().any(|byte| *byte != 1));
        let damaged: BTreeSet<usize> = damaged.collect();
        assert!(damaged.contains(&9));
        hit.extend(damaged);
    }
    assert_eq!(hit, (8..16).collect());
}

#[test]
fn forks_go_their_own_ways_and_repeat_themselves() {
    let (disk, file) = with_file(small(), 64);
    write(&file, 0, 64, 1, Sync::None);
    let mut queue = disk.queue().unwrap();
    queue.submit(op(&file, 0, 64, 2));
    let past = disk.trace();
    let one = disk.fork(5).power_cut();
    let same = disk.fork(5).power_cut();
    assert_eq!((one.trace(), one.trace_hash()), (same.trace(), same.trace_hash()));
    let seen = |disk: &Arc<SimDisk>| read(&disk.open("a", Mode::Read).unwrap(), 0, 64 * SECTOR).to_vec();
    assert_eq!(seen(&one), seen(&same));
    let different = (0..20).map(|seed| seen(&disk.fork(seed).power_cut())).collect::<BTreeSet<_>>();
    assert!(different.len() > 5);
    write(&one.open("a", Mode::Write).unwrap(), 0, 64, 9, Sync::Data);
    assert_filled(&read(&file, 0, 64 * SECTOR), 1);
    queue.reap(Wait::Forever, &mut Vec::new());
    assert_filled(&read(&file, 0, 64 * SECTOR), 2);
    assert_eq!(same.trace()[..past.len()], past);
}

#[test]
fn a_machine_halts_in_the_middle_of_any_operation() {
    let script = |disk: &Arc<SimDisk>| -> std::io::Result<()> {
        let file = disk.open("a", Mode::Create)?;
        file.allocate(64 * SECTOR as u64)?;
        file.sync_all()?;
        disk.sync_dir()?;
        file.write_at(&[filled(1, 64 * SECTOR)], 0, Sync::Data)?;
        disk.rename("a", "b")?;
        disk.sync_dir()
    };
    let whole = SimDisk::new(1, small());
    script(&whole).unwrap();
    let mut parts = BTreeSet::new();
    for n in 1..=whole.operations().len() as u64 {
        let disk = SimDisk::new(1, small());
        disk.halt_after(n);
        assert!(script(&disk).is_err(), "operation {n}");
        assert!(disk.has_halted() && disk.list().is_err());
        assert_eq!(disk.operations(), whole.operations()[..usize::try_from(n).unwrap()]);
        for seed in 0..40 {
            let found = disk.fork(seed).power_cut();
            let names = found.list().unwrap();
            assert!(names.len() <= 1 && (n <= 4 || names.len() == 1), "{names:?}");
            if n == 5 {
                let bytes = read(&found.open("a", Mode::Read).unwrap(), 0, 64 * SECTOR);
                parts.insert(bytes.chunks(SECTOR).filter(|sector| sector[0] == 1).count());
            }
        }
    }
    assert!(parts.contains(&0) && parts.contains(&64) && parts.len() > 5, "a write that blocks is cut too: {parts:?}");
    let disk = SimDisk::new(1, small());
    disk.halt_after(whole.operations().len() as u64 + 1);
    script(&disk).unwrap();
    assert!(!disk.has_halted());
}

#[test]
fn power_can_fail_while_writes_of_a_killed_process_are_on_their_way() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let disk = SimDisk::new(seed, SimOptions { late_ops_max: 1000, ..small() });
        let file = prepared(&(disk.clone() as Arc<dyn Disk>), "a", 64);
        disk.halt_after(1);
        assert!(file.write_at(&[filled(9, 64 * SECTOR)], 0, Sync::Data).is_err());
        let next = disk.process_crash();
        let late = next.undecided().iter().any(|one| one.what == Unsynced::InFlight);
        let next = next.power_cut();
        let file = next.open("a", Mode::Read).unwrap();
        let count = || read(&file, 0, 64 * SECTOR).iter().filter(|byte| **byte == 9).count() / SECTOR;
        let first = count();
        seen.insert((late, first));
        (0..1000).for_each(|_| drop(next.list().unwrap()));
        assert_eq!(count(), first, "nothing lands after the power was cut");
    }
    assert!(seen.contains(&(true, 0)) && seen.contains(&(true, 64)) && seen.len() > 5, "{seen:?}");
}

#[test]
fn a_late_write_keeps_its_promise_and_fails_as_it_was_to() {
    let after = |fault: Option<Fault>| {
        let disk = SimDisk::new(1, small());
        let file = prepared(&(disk.clone() as Arc<dyn Disk>), "a", 8);
        fault.into_iter().for_each(|fault| disk.inject(fault));
        disk.halt_after(1);
        assert!(file.write_at(&[filled(9, 8 * SECTOR)], 0, Sync::Data).is_err());
        let next = disk.process_crash();
        (0..=SimOptions::default().late_ops_max).for_each(|_| drop(next.list().unwrap()));
        next.undecided()
    };
    assert!(after(None).is_empty(), "it has landed, and is durable");
    let short = after(Some(Fault::short_write(3, ErrorKind::Other)));
    assert_eq!(short, [Undecided { what: Unsynced::Write, file: "a".into(), range: 0..at(3) }]);
}

#[test]
fn after_a_power_cut_nothing_is_undecided_and_what_was_lost_is_zero() {
    let (disk, file) = with_file(small(), 4);
    file.allocate(at(16)).unwrap();
    write(&file, 0, 16, 5, Sync::None);
    file.sync_data().unwrap();
    write(&file, 0, 1, 6, Sync::None);
    let mut queue = disk.queue().unwrap();
    queue.submit(op(&file, 1, 1, 7));
    let found = disk.power_cut_with(&[Fate::New, Fate::New, Fate::Old]);
    assert!(found.undecided().is_empty());
    let file = found.open("a", Mode::Write).unwrap();
    assert_eq!(file.size().unwrap(), at(4));
    file.allocate(at(16)).unwrap();
    let bytes = read(&file, 0, 16 * SECTOR);
    let sectors: Vec<u8> = bytes.chunks(SECTOR).map(|sector| sector[0]).collect();
    assert_eq!(sectors, [6, 7, 5, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_crash_takes_the_files_along_that_only_the_dead_process_had() {
    let disk = SimDisk::new(1, SimOptions { capacity: 8 * SECTOR as u64, ..small() });
    let any = disk.clone() as Arc<dyn Disk>;
    let _open = prepared(&any, "a", 8);
    disk.remove("a").unwrap();
    disk.sync_dir().unwrap();
    let other = disk.open("b", Mode::Create).unwrap();
    assert!(other.allocate(8 * SECTOR as u64).is_err(), "it is open, and takes its space");
    let next = disk.process_crash();
    next.open("b", Mode::Write).unwrap().allocate(8 * SECTOR as u64).unwrap();
}

#[test]
#[should_panic(expected = "has ended")]
fn a_disk_crashes_once() {
    let disk = SimDisk::new(1, small());
    drop(disk.power_cut());
    drop(disk.process_crash());
}

/// Every combination of the fates of what is undecided.
fn product(undecided: &[Undecided]) -> Vec<Vec<Fate>> {
    let mut combinations = vec![Vec::new()];
    for one in undecided {
        let longer = |fates: Vec<Fate>| one.fates().iter().map(move |fate| [&fates[..], &[*fate]].concat());
        combinations = combinations.into_iter().flat_map(longer).collect();
    }
    combinations
}

/// A sector is all that lies close together.
fn small() -> SimOptions {
    SimOptions { pad_unit: SECTOR, physical_block: SECTOR, ..SimOptions::default() }
}

fn with_file(options: SimOptions, sectors: usize) -> (Arc<SimDisk>, Arc<dyn File>) {
    let disk = SimDisk::new(3, options);
    let file = disk.open("a", Mode::Create).unwrap();
    file.allocate(at(sectors)).unwrap();
    file.sync_all().unwrap();
    disk.sync_dir().unwrap();
    (disk, file)
}

fn write(file: &Arc<dyn File>, sector: usize, sectors: usize, byte: u8, sync: Sync) {
    file.write_at(&[filled(byte, sectors * SECTOR)], at(sector), sync).unwrap();
}

fn op(file: &Arc<dyn File>, sector: usize, sectors: usize, byte: u8) -> Op {
    let slices = vec![filled(byte, sectors * SECTOR)];
    Op { token: 1, file: file.clone(), kind: OpKind::Write { slices, offset: at(sector), sync: Sync::None } }
}

fn at(sector: usize) -> u64 {
    (sector * SECTOR) as u64
}
