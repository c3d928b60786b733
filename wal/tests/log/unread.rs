//! Files that cannot be read, in part or at all, that are of a wrong size, or that have each other's names: an opening
//! goes on with what there is, and says what is missing.

use std::{io::ErrorKind, ops::Range, sync::Arc};

use logboom_disk::{Disk, Fault, FaultKind, Mode, SimDisk};
use logboom_wal::{Error, Runtime, SegmentId, SegmentInfo, open, open_read_only, verify};

use crate::{
    damage::{Written, account, covered_and_scanned, promise, scanned, write_batch},
    lost_end::{name, resize, seal, sealed},
    support::*,
};

/// Has reads of a part of a file fail, for ever.
fn unreadable(disk: &SimDisk, name: &str, range: Range<u64>) {
    disk.inject(Fault::error(FaultKind::Read, ErrorKind::Other).on(name).within(range).sticky());
}

/// The blocks to hit: at the beginning of a segment, in the middle of a record, in the last one, in its footer.
fn parts(info: &SegmentInfo, written: &Written) -> [Range<u64>; 5] {
    let places: Vec<_> = written.values().map(|row| row.0).filter(|place| place.segment == info.id).collect();
    let long = places.iter().find(|place| place.len > 4096).unwrap();
    let within = u64::from(long.offset) + 4096;
    let last = u64::from(places[places.len() - 1].offset);
    [0..4096, 0..8192, within..within + 1, last..last + 1, (256 << 10) - 4096..256 << 10]
}

#[test]
fn what_cannot_be_read_of_a_segment_is_lost_and_told_of() {
    for covered in [false, true] {
        for (nth, at) in (0..4).flat_map(|nth| (0..5).map(move |at| (nth, at))) {
            let mut written = Written::new();
            let (sim, mut rng, _) = sealed(4, &mut written);
            if covered {
                (0..2).for_each(|_| sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap());
            }
            let info = sim.wal.segments()[nth];
            let range = parts(&info, &written)[at].clone();
            let what = format!("bytes {range:?} of {info:?}, covered: {covered}");
            let disk = sim.disk.power_cut();
            unreadable(&disk, &name(&info), range.clone());
            let opened = open_read_only(disk.clone(), options()).unwrap();
            let below = opened.segments().into_iter().filter(|info| info.id < opened.replay_from());
            let all = |disk: &Arc<SimDisk>| {
                let (mut all, opening) = scanned(disk.clone());
                let mut before = Vec::new();
                for info in below.clone() {
                    opening.scan(info.id, &mut |scanned| {
                        before.push(scanned);
                        Ok(())
                    })?;
                }
                before.append(&mut all);
                Ok::<_, Error>(before)
            };
            let lost = account(&written, &all(&disk).unwrap());
            // Of the header each group is a copy, of the footer the segment itself.
            let costs_nothing = at == 0 || at == 4;
            // Nothing is in the group that begins an epoch.
            assert_eq!(lost.is_empty(), costs_nothing || (nth, at) == (0, 1), "{what}: {lost:?}");
            assert!(lost.iter().all(|at| written[at].0.segment == info.id), "{what}: {lost:?}");
            let report = verify(disk.clone(), options(), &mut |_, _| {}).unwrap();
            assert_eq!(report.damages.is_empty(), costs_nothing, "{what}: {report:?}");
            assert!(costs_nothing || report.damages.iter().any(|damage| damage.what.contains("cannot be read")));

            // A writable opening goes on, and what it has told of stays lost, whether it can be read again or not.
            let sim = Sim::open(disk, sim.clock).unwrap();
            write_batch(&sim.wal, &mut rng, 1, 100, &mut written);
            let disk = sim.disk.power_cut();
            assert_eq!(account(&written, &all(&disk).unwrap()), lost, "{what}");
        }
    }
}

/// The segment may have been the last one, and nothing else says so.
#[test]
fn a_segment_that_cannot_be_read_at_all_may_have_been_the_end() {
    let mut written = Written::new();
    let (sim, mut rng, newest) = sealed(4, &mut written);
    while sim.wal.active() == newest.id {
        write_batch(&sim.wal, &mut rng, 2, 9000, &mut written);
    }
    write_batch(&sim.wal, &mut rng, 2, 9000, &mut written);
    let newest = *sim.wal.segments().last().unwrap();
    let mut disk = sim.disk.power_cut();
    unreadable(&disk, &name(&newest), 0..256 << 10);
    let lost = account(&written, &scanned(disk.clone()).0);
    assert!(!lost.is_empty());
    for _ in 0..3 {
        let sim = Sim::open(disk.clone(), sim.clock.clone()).unwrap();
        assert!(sim.is_damaged);
        write_batch(&sim.wal, &mut rng, 1, 100, &mut written);
        seal(&sim.wal);
        disk = sim.disk.power_cut();
        assert_eq!(account(&written, &scanned(disk.clone()).0), lost);
        let names = disk.list().unwrap();
        assert!(names.contains(&format!("aside-{:06}", newest.slot)) && !names.contains(&name(&newest)), "{names:?}");
    }
    let report = open_read_only(disk, options()).unwrap().report().clone();
    assert!(report.odd_files.is_empty(), "{:?}", report.odd_files);
}

/// The end is lost once: a file that cannot be renamed is not taken for it again.
#[test]
fn a_segment_that_cannot_be_put_aside_is_told_of_once() {
    for (kinds, is_marked) in [(&[FaultKind::Rename][..], true), (&[FaultKind::Rename, FaultKind::Create], false)] {
        let mut written = Written::new();
        let (sim, mut rng, newest) = sealed(4, &mut written);
        let free = sim.disk.list().unwrap().into_iter().rfind(|name| name.starts_with("segment-")).unwrap();
        let mut disk = sim.disk.power_cut();
        let (name, aside) = (name(&newest), format!("aside-{:06}", newest.slot));
        assert_ne!(free, name);
        unreadable(&disk, &name, 0..256 << 10);
        unreadable(&disk, &free, 0..256 << 10);
        kinds.iter().for_each(|&kind| {
            let on = if kind == FaultKind::Rename { &name } else { &aside };
            disk.inject(Fault::error(kind, ErrorKind::Other).on(on.as_str()).sticky());
        });
        let mut begun = Vec::new();
        for _ in 0..3 {
            let sim = Sim::open(disk, sim.clock.clone()).unwrap();
            begun.push(sim.wal.active());
            write_batch(&sim.wal, &mut rng, 1, 100, &mut written);
            (0..2).for_each(|_| sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap());
            disk = sim.disk.power_cut();
            let names = disk.list().unwrap();
            assert_eq!((names.contains(&name), names.contains(&free)), (true, false), "the others are: {names:?}");
        }
        let (_, opening) = scanned(disk.clone());
        let (damages, odd) = (opening.report().damages.len(), &opening.report().odd_files);
        assert_eq!((damages, odd.len(), &*odd[0].name), (usize::from(!is_marked), 1, &*name), "{odd:?}");
        assert_eq!(begun[2].0 - begun[0].0 < 1 << 16, is_marked, "{begun:?}");
        disk.clear_faults();
        unreadable(&disk, &name, 0..256 << 10);
        let disk = Sim::open(disk, sim.clock).unwrap().disk.power_cut();
        let names = disk.list().unwrap();
        assert!(names.contains(&aside) && !names.contains(&name), "{names:?}");
        assert!(scanned(disk).1.report().odd_files.is_empty());
    }
}

/// Each of the free files is looked at for all that the checkpoint names and that is not found: once, not for each.
#[test]
fn free_files_are_searched_once_for_all_that_is_missing() {
    let mut written = Written::new();
    let (sim, ..) = sealed(4, &mut written);
    (0..2).for_each(|_| sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap());
    let segments = sim.wal.segments();
    let disk = sim.disk.power_cut();
    let names: Vec<String> = segments.iter().map(name).collect();
    names[..3].iter().for_each(|name| disk.remove(name).unwrap());
    let opening = scanned(disk.clone()).1;
    assert_eq!(opening.report().damages.len(), 3, "{:?}", opening.report().damages);
    let wide =
        |name: &str| disk.operations().iter().filter(|done| done.file == name && done.range.end == 256 << 10).count();
    let free: Vec<String> = disk.list().unwrap().into_iter().filter(|name| name.starts_with("segment-")).collect();
    let searched: Vec<usize> = free.iter().filter(|name| !names.contains(name)).map(|name| wide(name)).collect();
    // Once for what the checkpoint names, and once for what follows.
    assert!(searched.len() > 3 && searched.iter().all(|&count| count == 2), "{searched:?}");
}

#[test]
fn a_read_that_fails_once_costs_nothing() {
    let mut written = Written::new();
    let (sim, ..) = sealed(4, &mut written);
    (0..2).for_each(|_| sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap());
    let disk = sim.disk.power_cut();
    for nth in 1..40 {
        let disk = disk.fork(nth);
        disk.inject(Fault::error(FaultKind::Read, ErrorKind::Other).nth(nth).on("segment"));
        disk.inject(Fault::error(FaultKind::Read, ErrorKind::Other).nth(1 + nth % 4).on("checkpoint"));
        let opening = scanned(disk).1;
        assert_eq!((opening.report().damages.len(), opening.report().checkpoint), (0, Some(2)), "read {nth}");
        assert!(opening.report().odd_files.is_empty(), "read {nth}");
    }
}

/// It has lost nothing, as far as anybody knows: nothing is changed then.
#[test]
fn a_device_that_fails_as_a_whole_refuses_the_opening() {
    let mut written = Written::new();
    let (sim, ..) = sealed(4, &mut written);
    let clock = sim.clock.clone();
    let disk = sim.disk.power_cut();
    let reads = {
        let disk = disk.fork(1);
        scanned(disk.clone());
        disk.operations().iter().filter(|operation| operation.kind == FaultKind::Read).count() as u64
    };
    let mut refused = 0;
    for nth in 1..=reads {
        let disk = disk.fork(nth);
        disk.inject(Fault::error(FaultKind::Read, ErrorKind::Other).nth(nth).sticky());
        match open(disk.clone(), options(), Runtime::Manual(clock.clone())).and_then(logboom_wal::Opening::start) {
            Err(Error::Io { .. }) => refused += 1,
            Err(error) => panic!("read {nth}: {error}"),
            Ok(_) => {}
        }
        disk.clear_faults();
        let (found, opening) = scanned(disk.power_cut());
        assert_eq!((account(&written, &found), opening.report().damages.len()), (vec![], 0), "read {nth}");
    }
    assert!(refused > 5, "{refused} of {reads}");
}

#[test]
fn a_checkpoint_that_cannot_be_read_leaves_the_other() {
    let mut written = Written::new();
    let (sim, ..) = sealed(4, &mut written);
    sim.wal.write_checkpoint(sim.wal.active(), b"older").unwrap();
    sim.wal.write_checkpoint(sim.wal.active(), b"newer").unwrap();
    let mut disk = sim.disk.power_cut();
    for (slot, found) in [("checkpoint-1", "older"), ("checkpoint-0", "newer")] {
        let disk = disk.fork(1);
        unreadable(&disk, slot, 0..4096);
        let (_, opening) = scanned(disk.clone());
        assert_eq!(opening.checkpoint(), Some(found.as_bytes()));
        let odd = &opening.report().odd_files;
        assert_eq!((odd.len(), &*odd[0].name), (1, slot), "{odd:?}");
        assert_eq!(verify(disk, options(), &mut |_, _| {}).unwrap().bad_checkpoints.len(), 1);
    }
    unreadable(&disk, "checkpoint-", 0..1 << 20);
    let sim = Sim::open(disk, sim.clock).unwrap();
    sim.disk.clear_faults();
    // While only one was written nothing that the other names is given up.
    assert_eq!(sim.wal.covered(), SegmentId(0));
    (0..2).for_each(|_| sim.wal.write_checkpoint(sim.wal.active(), b"newest").unwrap());
    disk = sim.disk.power_cut();
    assert_eq!(scanned(disk).1.checkpoint(), Some(&b"newest"[..]));
}

#[test]
fn segments_of_a_wrong_size_are_named_and_used_as_far_as_they_go() {
    let sizes = [0, 5000, 100_000, (256 << 10) + 1, 400_000];
    for (nth, size) in (0..4).flat_map(|nth| sizes.map(|size| (nth, size))) {
        let mut written = Written::new();
        let (sim, mut rng, _) = sealed(4, &mut written);
        let info = sim.wal.segments()[nth];
        let mut disk = sim.disk.power_cut();
        resize(&disk, &name(&info), size);
        let what = format!("{size} bytes of {info:?}");
        let (found, opening) = scanned(disk.clone());
        let odd = &opening.report().odd_files;
        assert_eq!((odd.len(), &*odd[0].name), (1, &*name(&info)), "{what}: {odd:?}");
        assert_eq!(verify(disk.clone(), options(), &mut |_, _| {}).unwrap().odd_files, *odd);
        let lost = account(&written, &found);
        let is_there =
            |place: &logboom_wal::Place| u64::from(place.offset + place.len).next_multiple_of(4096) + 8192 < size;
        for (at, (place, ..)) in &written {
            assert!(!lost.contains(at) || place.segment == info.id && !is_there(place), "{what}: {at} at {place:?}");
        }
        assert_eq!(lost.is_empty(), size >= info.end.into(), "{what}: {lost:?}");
        for _ in 0..2 {
            let sim = Sim::open(disk, sim.clock.clone()).unwrap();
            write_batch(&sim.wal, &mut rng, 1, 100, &mut written);
            seal(&sim.wal);
            disk = sim.disk.power_cut();
            assert_eq!(account(&written, &scanned(disk.clone()).0), lost, "{what}");
        }
        // It has its size again, or is gone: it is not in the way for ever.
        let odd = scanned(disk.clone()).1.report().odd_files.clone();
        assert!(odd.is_empty(), "{what}: {odd:?}");
        if size > 256 << 10 {
            assert_eq!(disk.open(&name(&info), Mode::Read).unwrap().size().unwrap(), 256 << 10, "{what}");
        }
    }
}

/// Its end is told from one that was never written by the file's size alone: that is given back when what says that
/// the end is lost is durable.
#[test]
fn a_newest_segment_that_was_cut_is_told_of_wherever_an_opening_halts() {
    let mut written = Written::new();
    let (sim, _, newest) = sealed(4, &mut written);
    let last = written.values().next_back().unwrap().0;
    assert_eq!(last.segment, newest.id);
    let disk = sim.disk.power_cut();
    resize(&disk, &name(&newest), u64::from(last.offset) / 4096 * 4096);
    let lost = account(&written, &scanned(disk.clone()).0);
    assert!(!lost.is_empty());
    let mut halts = 0;
    for n in 1.. {
        let disk = disk.fork(n);
        disk.halt_after(n);
        let done = Sim::open(disk.clone(), sim.clock.clone()).is_ok();
        let (found, opening) = scanned(disk.power_cut());
        assert_eq!(account(&written, &found), lost, "halted after {n} operations");
        assert!(opening.report().damages.iter().any(|damage| damage.unknown), "halted after {n} operations");
        if done && !disk.has_halted() {
            break;
        }
        halts = n;
    }
    assert!(halts > 10, "{halts}");
}

/// An opening for which there is no room is refused, and tells the next one nothing else.
#[test]
fn a_newest_segment_that_was_cut_is_told_of_when_an_opening_fails() {
    let mut written = Written::new();
    let (sim, _, newest) = sealed(4, &mut written);
    let last = written.values().next_back().unwrap().0;
    let disk = sim.disk.power_cut();
    resize(&disk, &name(&newest), u64::from(last.offset) / 4096 * 4096);
    let lost = account(&written, &scanned(disk.clone()).0);
    let mut refused = 0;
    for kind in [FaultKind::Allocate, FaultKind::Write, FaultKind::Sync, FaultKind::SyncDir] {
        for nth in 1..8 {
            let disk = disk.fork(nth);
            disk.inject(Fault::error(kind, ErrorKind::StorageFull).nth(nth).sticky());
            refused += u64::from(Sim::open(disk.clone(), sim.clock.clone()).is_err());
            disk.clear_faults();
            assert_eq!(account(&written, &scanned(disk.power_cut()).0), lost, "{kind:?} {nth}");
        }
    }
    assert!(refused > 5, "{refused}");
}

#[test]
fn a_free_file_of_a_wrong_size_is_not_used() {
    let mut written = Written::new();
    let (sim, mut rng, _) = sealed(4, &mut written);
    let used: Vec<String> = sim.wal.segments().iter().map(name).collect();
    let disk = sim.disk.power_cut();
    let is_free = |name: &String| name.starts_with("segment-") && !used.contains(name);
    let free: Vec<String> = disk.list().unwrap().into_iter().filter(is_free).collect();
    assert!(!free.is_empty());
    resize(&disk, &free[0], 8192);
    assert_eq!(account(&written, &scanned(disk.clone()).0), []);
    let sim = Sim::open(disk, sim.clock).unwrap();
    write_batch(&sim.wal, &mut rng, 1, 100, &mut written);
    assert!(sim.wal.segments().iter().all(|info| name(info) != free[0]));
}

#[test]
fn segments_that_have_each_others_names_are_found() {
    for (one, other) in [(0, 1), (0, 2), (1, 3), (2, 3), (0, 9), (3, 9)] {
        for covered in [false, true] {
            let mut written = Written::new();
            let (sim, mut rng, newest) = sealed(4, &mut written);
            if covered {
                // What was freed before states an earlier life.
                (0..2).for_each(|_| sim.wal.write_checkpoint(newest.id, b"").unwrap());
            }
            promise(&sim);
            let segments = sim.wal.segments();
            let mut disk = sim.disk.power_cut();
            let free = disk.list().unwrap().into_iter().rfind(|name| name.starts_with("segment-")).unwrap();
            let names = [one, other].map(|nth| segments.get(nth).map_or_else(|| free.clone(), name));
            disk.rename(&names[0], "between").unwrap();
            disk.rename(&names[1], &names[0]).unwrap();
            disk.rename("between", &names[1]).unwrap();
            disk.sync_dir().unwrap();
            for round in 0..3 {
                let what = format!("{names:?} exchanged, covered: {covered}, round {round}");
                let (all, opening) = covered_and_scanned(&disk);
                assert_eq!(opening.report().damages.len(), 0, "{what}: {:?}", opening.report().damages);
                assert_eq!(account(&written, &all), [], "{what}");
                let sim = Sim::open(disk, sim.clock.clone()).unwrap();
                write_batch(&sim.wal, &mut rng, 1, 100, &mut written);
                if round == 1 {
                    sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap();
                }
                disk = sim.disk.power_cut();
            }
        }
    }
}
