//! Files of other logs, a `LOGBOOM` that is lost, replaced or rotten, and creations that were cut short: nothing of
//! another log is written over or taken for this one's, and one rotten file costs nothing.

use std::{collections::BTreeMap, sync::Arc};

use logboom_disk::{Disk, Fault, FaultKind, Mode, Pool, SimDisk, SimOptions, Slice, Sync};
use logboom_wal::{
    Error, IdentityFault, ManualClock, Opening, Options, Runtime, Scanned, open, open_read_only, restore_identity,
    verify,
};

use crate::support::*;

/// The place of a copy of the identity in a file's first block.
const COPY: std::ops::Range<usize> = 64..128;
const RECORDS: u64 = 60;

/// The files of a directory.
type Files = BTreeMap<String, Vec<u8>>;

#[test]
fn a_log_whose_identity_was_replaced_is_neither_opened_nor_called_clean() {
    let replacements = [
        ("another replica's", logged(2, options())),
        ("of another segment size", logged(3, Options { segment_bytes: 512 << 10, ..options() })),
        ("of version 1", version_1(logged(4, options()))),
    ];
    for (which, other) in replacements {
        for (version, log) in [(1, version_1(logged(1, options()))), (2, logged(1, options()))] {
            let good = log["LOGBOOM"].clone();
            let files = with(log, "LOGBOOM", other["LOGBOOM"].clone());
            let fault = refused_unchanged(&files);
            let is_used = |(_, bytes): &(&String, &Vec<u8>)| bytes.iter().any(|&byte| byte != 0);
            let all: Vec<&str> = files.iter().filter(is_used).map(|(name, _)| &**name).collect();
            let all: Vec<&str> = all.into_iter().filter(|name| *name != "LOGBOOM").collect();
            assert_eq!(fault.strangers().collect::<Vec<_>>(), all, "{which} on version {version}");
            assert!(fault.is_total() && fault.to_string().contains(all[0]), "{which} on version {version}: {fault}");
            // Whatever reads it says so.
            assert_eq!(unread(&files), fault, "{which} on version {version}");
            restored(files, &good);
        }
    }
}

#[test]
fn a_segment_of_another_log_is_not_taken_for_a_free_one() {
    for (version, ours, theirs) in [
        (1, version_1(logged(1, options())), version_1(logged(2, options()))),
        (2, logged(1, options()), logged(2, options())),
    ] {
        let files = with(ours, "segment-000099", theirs["segment-000001"].clone());
        let fault = refused_unchanged(&files);
        assert_eq!(fault.strangers().collect::<Vec<_>>(), ["segment-000099"], "version {version}");
        assert!(!fault.is_total() && fault.to_string().contains("segment-000099"), "{fault}");
        // What is there of the log can be read.
        let disk = disk_with(&files);
        assert_eq!(*read(&disk).1.report().identity.clone().unwrap(), fault);
        assert_eq!(read(&disk).0, bodies());
        assert_eq!(*verify(disk, options(), &mut |_, _| {}).unwrap().identity.unwrap(), fault);
    }
}

#[test]
fn a_checkpoint_of_another_log_is_not_written_over() {
    for (version, ours, theirs) in [
        (1, version_1(logged(1, options())), version_1(logged(2, options()))),
        (2, logged(1, options()), logged(2, options())),
    ] {
        let files = with(ours, "checkpoint-1", theirs["checkpoint-1"].clone());
        let fault = refused_unchanged(&files);
        assert_eq!(fault.strangers().collect::<Vec<_>>(), ["checkpoint-1"], "version {version}");
        assert_eq!(read(&disk_with(&files)).0, bodies());
    }
}

/// Such a file may have rotted, or be of another log that states no name: it stays what it is.
#[test]
fn a_file_of_which_no_header_can_be_verified_is_left_alone() {
    for log in [version_1(logged(1, options())), logged(1, options())] {
        let mut stray = log["segment-000001"].clone();
        stray.iter_mut().skip(8).step_by(16).for_each(|byte| *byte ^= 1);
        let files = with(log, "segment-000099", stray.clone());
        let disk = disk_with(&files);
        let found = verify(disk.clone(), options(), &mut |_, _| {}).unwrap().identity.unwrap();
        assert_eq!((found.strangers().collect::<Vec<_>>(), found.is_total()), (vec!["segment-000099"], false));
        let mut sim = Sim::open(disk, ManualClock::new(7)).unwrap();
        assert_eq!(sim.bodies(), bodies());
        for _ in 0..3 {
            (0..60).for_each(|nth| ok(write(&sim.wal, &body(nth, 20_000))));
            sim = sim.cut_power().unwrap();
        }
        assert_eq!(files_of(&sim.disk)["segment-000099"], stray);
    }
}

#[test]
fn a_slot_that_rotted_is_written_over() {
    for mut log in [version_1(logged(1, options())), logged(1, options())] {
        log.get_mut("checkpoint-1").unwrap().iter_mut().skip(8).step_by(16).for_each(|byte| *byte ^= 1);
        let disk = disk_with(&log);
        let found = verify(disk.clone(), options(), &mut |_, _| {}).unwrap();
        assert_eq!((found.identity, found.bad_checkpoints), (None, vec![1]));
        let sim = Sim::open(disk, ManualClock::new(7)).unwrap();
        sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap();
        let found = verify(sim.disk.power_cut(), options(), &mut |_, _| {}).unwrap();
        assert_eq!(found.bad_checkpoints, [] as [u8; 0]);
    }
}

#[test]
fn a_log_none_of_whose_headers_can_be_verified_is_not_begun_anew() {
    let mut files = version_1(logged(1, options()));
    for (_, bytes) in files.iter_mut().filter(|(name, _)| *name != "LOGBOOM") {
        bytes.iter_mut().skip(8).step_by(16).for_each(|byte| *byte ^= 1);
    }
    let fault = refused_unchanged(&files);
    assert!(fault.is_total() && fault.strangers().count() >= 4, "{fault}");
    assert_eq!(unread(&files), fault);
}

#[test]
fn a_byte_of_the_identity_that_rots_costs_nothing() {
    for log in [version_1(logged(1, options())), logged(1, options())] {
        let good = log["LOGBOOM"].clone();
        for at in 0..64 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            restored(with(log.clone(), "LOGBOOM", bytes), &good);
        }
    }
}

#[test]
fn an_identity_that_is_gone_or_cut_off_costs_nothing() {
    for log in [version_1(logged(1, options())), logged(1, options())] {
        let good = log["LOGBOOM"].clone();
        restored(with(log.clone(), "LOGBOOM", vec![0; 4096]), &good);
        let mut without = log.clone();
        without.remove("LOGBOOM");
        restored(without.clone(), &good);
        // A restoring that was cut short is ended by the next opening.
        let sim = Sim::open(disk_with(&with(without, "LOGBOOM.new", good.clone())), ManualClock::new(7)).unwrap();
        assert_eq!((sim.bodies(), &files_of(&sim.disk)["LOGBOOM"]), (bodies(), &good));
    }
}

#[test]
fn an_identity_is_not_guessed_from_files_of_several_logs() {
    let (ours, theirs) = (logged(1, options()), logged(2, options()));
    let mut files = with(ours, "segment-000099", theirs["segment-000001"].clone());
    files.remove("LOGBOOM");
    let fault = refused_unchanged(&files);
    assert!(fault.logboom.is_some() && fault.strangers().any(|name| name == "segment-000099"), "{fault}");
    assert!(matches!(restore_identity(disk_with(&files)), Err(Error::Identity(_))));
    let intact = disk_with(&logged(1, options()));
    assert!(matches!(restore_identity(intact), Err(Error::Misuse { .. })));
}

#[test]
fn an_identity_alone_is_a_loss() {
    let log = logged(1, options());
    let alone: Files = [("LOGBOOM".to_owned(), log["LOGBOOM"].clone())].into();
    let fault = refused_unchanged(&alone);
    assert_eq!((fault.is_total(), fault.strangers().count()), (true, 0));
    assert_eq!(unread(&alone), fault);
    // Files that nothing was written to are not the log either.
    let empty = with(alone.clone(), "segment-000000", vec![0; 256 << 10]);
    assert_eq!(refused_unchanged(&empty), fault);

    // Version 1 named a log before anything else of it was there.
    let sim = Sim::open(disk_with(&version_1(alone)), ManualClock::new(1)).unwrap();
    write(&sim.wal, b"the first").unwrap();
    assert_eq!(sim.cut_power().unwrap().bodies(), [b"the first"]);
}

#[test]
fn a_log_of_version_1_stays_one_and_gets_copies() {
    let log = version_1(logged(1, options()));
    let mut sim = Sim::open(disk_with(&log), ManualClock::new(7)).unwrap();
    for _ in 0..2 {
        (0..60).for_each(|nth| ok(write(&sim.wal, &body(nth, 20_000))));
        (0..2).for_each(|_| sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap());
        sim = sim.cut_power().unwrap();
    }
    let files = files_of(&sim.disk);
    assert_eq!(files["LOGBOOM"], log["LOGBOOM"]);
    let copied = |name: &str| files[name][COPY] == log["LOGBOOM"][..64];
    let active = format!("segment-{:06}", sim.wal.segments().pop().unwrap().slot);
    assert!(copied(&active) && copied("checkpoint-0") && copied("checkpoint-1"));
}

#[test]
fn a_creation_that_is_cut_short_anywhere_begins_again() {
    for direct in [true, false] {
        let options = SimOptions { direct, torn_per_mille: 500, ..SimOptions::default() };
        let whole = Sim::with(1, options.clone());
        let operations = whole.disk.operations().len() as u64;
        let (mut anew, mut named) = (0, 0);
        for n in 1..=operations {
            for seed in 0..4 {
                let disk = SimDisk::new(seed, options.clone());
                disk.halt_after(n);
                drop(Sim::open(disk.clone(), ManualClock::new(seed)));
                let found = disk.power_cut();
                let is_named = found.list().unwrap().iter().any(|name| name == "LOGBOOM");
                // Where it is named all is there, and no opening takes less for a log.
                let read = open_read_only(found.clone(), crate::support::options());
                assert_eq!(read.is_ok(), is_named, "direct {direct}, operation {n}, seed {seed}");
                (anew, named) = (anew + usize::from(!is_named), named + usize::from(is_named));
                let sim = Sim::open(found, ManualClock::new(seed + 7)).unwrap();
                assert!(sim.replayed.is_empty() && !sim.is_damaged);
                write(&sim.wal, b"the first").unwrap();
                let sim = sim.cut_power().unwrap();
                assert_eq!(sim.bodies(), [b"the first"]);
                assert!(!files_of(&sim.disk).contains_key("LOGBOOM.new"));
            }
        }
        assert!(anew > 20 && named > 0, "{anew} {named}");
    }
}

/// The second begins by removing what the first has left of its identity.
#[test]
fn a_creation_that_is_cut_short_twice_begins_again() {
    let mut prepared_alone = 0;
    for first in 1..40 {
        for second in 1..12 {
            let mut disk = SimDisk::new(first, SimOptions::default());
            for n in [first, second] {
                disk.halt_after(n);
                drop(Sim::open(disk.clone(), ManualClock::new(n)));
                disk = disk.process_crash();
            }
            let names = disk.list().unwrap();
            prepared_alone += usize::from(names.iter().all(|name| name.starts_with("prefill-")) && !names.is_empty());
            let sim = Sim::open(disk, ManualClock::new(9)).unwrap_or_else(|error| panic!("{names:?}: {error}"));
            write(&sim.wal, b"the first").unwrap();
        }
    }
    assert!(prepared_alone > 0);
}

/// Of a file of somebody else that is called as such files are nothing is known.
#[test]
fn a_strange_file_is_not_what_a_creation_left() {
    let files: Files = [("prefill-notes".to_owned(), vec![7; 4096])].into();
    let disk = disk_with(&files);
    assert!(matches!(Sim::open(disk.clone(), ManualClock::new(1)), Err(Error::Foreign(_))));
    assert_eq!(files_of(&disk), files);
}

#[test]
fn an_identity_that_cannot_be_read_is_a_lost_one() {
    let files = logged(1, options());
    let unreadable = |name: &str| Fault::error(FaultKind::Read, std::io::ErrorKind::Other).on(name).sticky();
    // A part of a file that says the same may be unreadable too.
    for beside in [None, Some("segment-000000")] {
        let disk = disk_with(&files);
        disk.inject(unreadable("LOGBOOM"));
        beside.into_iter().for_each(|name| disk.inject(unreadable(name).within(64 << 10..128 << 10)));
        let fault = match Sim::open(disk.clone(), ManualClock::new(7)).map(drop) {
            Err(Error::Identity(fault)) => fault,
            other => panic!("{beside:?}: {other:?}"),
        };
        let what = fault.logboom.clone().unwrap();
        assert!(fault.is_restorable() && what.starts_with("LOGBOOM cannot be read: "), "{fault}");
        let (found, opening) = read(&disk);
        assert_eq!((found, opening.report().identity.as_ref()), (bodies(), Some(&fault)), "{beside:?}");
        assert_eq!(restore_identity(disk.clone()).unwrap(), fault);
        disk.clear_faults();
        assert_eq!((&files_of(&disk)["LOGBOOM"], read(&disk).0), (&files["LOGBOOM"], bodies()));
    }
    // Where nothing else says it, it is an error of the device, and no word on what the directory is.
    let alone = disk_with(&[("LOGBOOM".to_owned(), files["LOGBOOM"].clone())].into());
    alone.inject(unreadable("LOGBOOM"));
    assert!(matches!(Sim::open(alone, ManualClock::new(7)), Err(Error::Io { .. })));
}

#[test]
fn a_creation_that_had_no_room_does_not_fix_the_sizes() {
    let disk = SimDisk::new(1, SimOptions { capacity: 512 << 10, ..SimOptions::default() });
    let large = Options { segment_bytes: 1 << 20, ..options() };
    let clock = ManualClock::new(1);
    let refused = open(disk.clone(), large, Runtime::Manual(clock.clone())).unwrap().start();
    assert!(matches!(refused, Err(Error::Full { .. })));
    assert_eq!(Sim::open(disk, clock).unwrap().wal.segment_bytes(), 256 << 10);
}

#[test]
fn a_restoring_that_is_cut_short_anywhere_can_be_done_again() {
    let log = logged(1, options());
    let good = log["LOGBOOM"].clone();
    for gone in [true, false] {
        let mut files = with(log.clone(), "LOGBOOM", vec![7; 4096]);
        if gone {
            files.remove("LOGBOOM");
        }
        for n in 1.. {
            let disk = disk_with(&files);
            disk.halt_after(n);
            let is_done = restore_identity(disk.clone()).is_ok();
            let found = disk.power_cut();
            // Readers have it all the while, and it is no log that is being made.
            assert_eq!(read(&found).0, bodies(), "operation {n}");
            match restore_identity(found.clone()) {
                Ok(_) => {}
                Err(Error::Misuse { what }) => assert!(is_done || n > 5, "{what}"),
                Err(error) => panic!("operation {n}: {error}"),
            }
            let sim = Sim::open(found, ManualClock::new(7)).unwrap();
            assert_eq!((sim.bodies(), &files_of(&sim.disk)["LOGBOOM"]), (bodies(), &good), "operation {n}");
            if is_done {
                assert!(n > 5);
                break;
            }
        }
    }
}

#[test]
fn a_copy_that_is_cut_short_is_not_made_a_log() {
    let sim = Sim::open(disk_with(&logged(1, options())), ManualClock::new(7)).unwrap();
    let device = Some("other".to_owned());
    for n in 1.. {
        let target = SimDisk::new(n, SimOptions { device: device.clone(), ..SimOptions::default() });
        let copying = sim.wal.copy_to(target.clone()).unwrap();
        target.halt_after(n);
        let is_done = copying.finish().is_ok();
        let found = target.power_cut();
        if open_read_only(found.clone(), options()).is_err() {
            assert!(!is_done, "a copy that was finished is gone");
            let refused = restore_identity(found);
            assert!(matches!(refused, Err(Error::Foreign(_))), "operation {n}: {refused:?}");
        }
        if is_done {
            assert!(n > 20, "{n}");
            break;
        }
    }
}

/// The files of a closed log with some segments, two checkpoints, and records behind them.
fn logged(seed: u64, options: Options) -> Files {
    let (disk, clock) = (SimDisk::new(seed, SimOptions::default()), ManualClock::new(seed));
    let wal = open(disk.clone(), options, Runtime::Manual(clock)).unwrap().start().unwrap();
    (0..20).for_each(|nth| ok(write(&wal, &body(nth, 20_000))));
    (0..2).for_each(|_| wal.write_checkpoint(wal.active(), b"").unwrap());
    (0..RECORDS).for_each(|nth| ok(write(&wal, &body(nth, 9000))));
    wal.close().unwrap();
    files_of(&disk)
}

/// What the log of seed 1 gives when it is replayed.
fn bodies() -> Vec<Vec<u8>> {
    let found = read(&disk_with(&logged(1, options()))).0;
    assert!(found.len() as u64 >= RECORDS);
    found
}

/// The same log as the first version would have left it.
fn version_1(mut files: Files) -> Files {
    for (name, bytes) in &mut files {
        match &**name {
            "LOGBOOM" => {
                bytes[8..12].copy_from_slice(&1_u32.to_le_bytes());
                let crc = crc32fast::hash(&bytes[..60]);
                bytes[60..64].copy_from_slice(&crc.to_le_bytes());
            }
            _ => bytes[COPY].fill(0),
        }
    }
    files
}

fn with(mut files: Files, name: &str, bytes: Vec<u8>) -> Files {
    files.insert(name.to_owned(), bytes);
    files
}

fn files_of(disk: &SimDisk) -> Files {
    let read = |name: String| {
        let file = disk.open(&name, Mode::Read).unwrap();
        let len = usize::try_from(file.size().unwrap()).unwrap();
        let mut region = Pool::new(0).region(len);
        file.read_at(&mut region, 0).unwrap();
        (name, region.to_vec())
    };
    disk.list().unwrap().into_iter().map(read).collect()
}

/// A disk with these files, all of them durable.
fn disk_with(files: &Files) -> Arc<SimDisk> {
    let (disk, pool) = (SimDisk::new(0, SimOptions::default()), Pool::new(0));
    for (name, bytes) in files {
        let file = disk.open(name, Mode::Create).unwrap();
        file.allocate(bytes.len() as u64).unwrap();
        file.write_at(&[Slice::padded_copy(&pool, bytes, 4096)], 0, Sync::Data).unwrap();
        file.sync_all().unwrap();
    }
    disk.sync_dir().unwrap();
    disk
}

/// Opens a log for reading, and replays it.
fn read(disk: &Arc<SimDisk>) -> (Vec<Vec<u8>>, Opening) {
    let mut opening = open_read_only(disk.clone(), options()).unwrap();
    let mut found = Vec::new();
    opening
        .replay(&mut |scanned| {
            if let Scanned::Record(record, _) = scanned {
                found.push(record.body().to_vec());
            }
            Ok(())
        })
        .unwrap();
    (found, opening)
}

/// Opens a log for writing, which must refuse it and change nothing.
fn refused_unchanged(files: &Files) -> IdentityFault {
    let disk = disk_with(files);
    let refused = Sim::open(disk.clone(), ManualClock::new(7));
    assert!(files_of(&disk) == *files, "the directory was changed");
    match refused {
        Err(Error::Identity(fault)) => (*fault).clone(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it opens"),
    }
}

/// Opens and verifies a log for reading, where nothing can be.
fn unread(files: &Files) -> IdentityFault {
    let Err(Error::Identity(fault)) = open_read_only(disk_with(files), options()) else { panic!("it is read") };
    let checked = verify(disk_with(files), options(), &mut |_, _| {});
    assert!(matches!(checked, Err(Error::Identity(same)) if same == fault));
    (*fault).clone()
}

/// Checks that a log whose `LOGBOOM` is lost is refused for writing, can be read if that is not another log's, and is
/// whole when it is restored.
fn restored(files: Files, good: &[u8]) {
    let fault = refused_unchanged(&files);
    assert!(fault.is_restorable() && fault.to_string().contains("repair --identity"), "{fault}");
    let disk = disk_with(&files);
    if !fault.is_total() {
        let (found, opening) = read(&disk);
        assert_eq!((found, &**opening.report().identity.as_ref().unwrap()), (bodies(), &fault));
        assert_eq!(*verify(disk.clone(), options(), &mut |_, _| {}).unwrap().identity.unwrap(), fault);
    }

    assert_eq!(*restore_identity(disk.clone()).unwrap(), fault);
    let disk = disk.power_cut();
    let again = verify(disk.clone(), options(), &mut |_, _| {}).unwrap();
    assert!(again.identity.is_none() && again.damages.is_empty());
    let sim = Sim::open(disk, ManualClock::new(7)).unwrap();
    assert_eq!(sim.bodies(), bodies());
    let now = &files_of(&sim.disk)["LOGBOOM"];
    if good[8] > 1 {
        assert_eq!(now, good);
    } else {
        // Another name for the same checksums.
        assert_eq!((&now[..24], crc32fast::hash(&now[24..40])), (&good[..24], crc32fast::hash(&good[24..40])));
    }
}
