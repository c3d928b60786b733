//! The newest segment of a log is missing: the footer of the segment before names it.

use std::sync::Arc;

use fastrand::Rng;
use logboom_disk::{Disk, Mode, Pool, SimDisk, SimOptions, Slice, Sync};
use logboom_wal::{Durability, SegmentInfo, Wal, open_read_only, verify};

use crate::{
    damage::{Written, account, damage, promise, scanned, write_batch},
    support::*,
};

/// Seals what can be sealed.
pub(crate) fn seal(wal: &Wal) {
    while let Some(info) = wal.sealable() {
        wal.write_footer(info.id, b"head", b"body").unwrap();
    }
}

/// A log of a few segments, all of them sealed but the newest, which holds a few batches; and that one.
pub(crate) fn sealed(seed: u64, written: &mut Written) -> (Sim, Rng, SegmentInfo) {
    let (sim, mut rng) = (Sim::new(seed), Rng::with_seed(seed));
    while sim.wal.segments().len() < 4 {
        write_batch(&sim.wal, &mut rng, 2, 9000, written);
    }
    (0..3).for_each(|_| write_batch(&sim.wal, &mut rng, 2, 9000, written));
    seal(&sim.wal);
    promise(&sim);
    let newest = *sim.wal.segments().last().unwrap();
    (sim, rng, newest)
}

pub(crate) fn name(info: &SegmentInfo) -> String {
    format!("segment-{:06}", info.slot)
}

/// Gives a file another size. What it had up to there it keeps.
pub(crate) fn resize(disk: &SimDisk, name: &str, size: u64) {
    let file = disk.open(name, Mode::Read).unwrap();
    let kept = file.size().unwrap().min(size / 4096 * 4096);
    let mut region = Pool::new(0).region(usize::try_from(kept.max(4096)).unwrap());
    file.read_at(&mut region, 0).unwrap();
    disk.remove(name).unwrap();
    let file = disk.open(name, Mode::Create).unwrap();
    file.allocate(size).unwrap();
    if kept > 0 {
        let bytes: Slice = region.freeze().slice(..usize::try_from(kept).unwrap());
        file.write_at(&[bytes], 0, Sync::Data).unwrap();
    }
    file.sync_all().unwrap();
    disk.sync_dir().unwrap();
}

#[test]
fn a_newest_segment_that_is_gone_is_told_of_by_every_opening() {
    type Harm = fn(&SimDisk, &SegmentInfo);
    let harms: [Harm; 4] = [
        |disk, newest| disk.remove(&name(newest)).unwrap(),
        |disk, newest| resize(disk, &name(newest), 0),
        |disk, newest| resize(disk, &name(newest), 4096),
        |disk, newest| damage(disk, newest.slot, 0..256 << 10),
    ];
    for (nth, harm) in harms.into_iter().enumerate() {
        let mut written = Written::new();
        let (sim, mut rng, newest) = sealed(4, &mut written);
        let mut disk = sim.disk.power_cut();
        harm(&disk, &newest);
        let all: Vec<_> = written.iter().filter(|(_, row)| row.0.segment == newest.id).map(|(at, _)| *at).collect();
        assert!(!all.is_empty());
        let highest = *written.last_key_value().unwrap().0;
        for round in 0..3 {
            let (found, opening) = scanned(disk.clone());
            assert_eq!(account(&written, &found), all, "harm {nth}, round {round}");
            let report = opening.report().clone();
            let words: Vec<&str> = report.damages.iter().map(|damage| &*damage.what).collect();
            assert!(report.damages.iter().any(|damage| damage.unknown), "harm {nth}, round {round}: {words:?}");
            let verified = verify(disk.clone(), options(), &mut |_, _| {}).unwrap();
            assert_eq!(verified.damages.len(), report.damages.len(), "harm {nth}");
            let sim = Sim::open(disk, sim.clock.clone()).unwrap();
            let next = sim.wal.next_sequence();
            assert!(next > highest && sim.wal.active() > newest.id, "harm {nth}: no number is used twice");
            write_batch(&sim.wal, &mut rng, 2, 900, &mut written);
            seal(&sim.wal);
            disk = sim.disk.power_cut();
        }
    }
}

/// An opening that found the end lost has begun a segment: if that one is gone as well, the log still does not end
/// with what was there before.
#[test]
fn an_end_that_is_lost_twice_is_told_of_twice() {
    let mut written = Written::new();
    let (sim, mut rng, newest) = sealed(4, &mut written);
    let mut disk = sim.disk.power_cut();
    disk.remove(&name(&newest)).unwrap();
    let before = account(&written, &scanned(disk.clone()).0);
    for _ in 0..2 {
        let sim = Sim::open(disk, sim.clock.clone()).unwrap();
        assert!(sim.is_damaged);
        write_batch(&sim.wal, &mut rng, 2, 900, &mut Written::new());
        let begun = *sim.wal.segments().last().unwrap();
        disk = sim.disk.power_cut();
        disk.remove(&name(&begun)).unwrap();
        let (found, opening) = scanned(disk.clone());
        assert_eq!(account(&written, &found), before);
        assert!(opening.report().damages.iter().any(|damage| damage.unknown));
    }
}

/// The footer is written when the next segment is durable in part, and not before: wherever the power is cut, nothing
/// is missed.
#[test]
fn a_segment_that_was_only_begun_is_not_missed() {
    let mut cuts = 0;
    for n in 1.. {
        let sim = Sim::new(n);
        let clock = sim.clock.clone();
        sim.disk.halt_after(n);
        let mut is_over = true;
        for nth in 0..26 {
            if write(&sim.wal, &body(nth, 20_000)).is_err() {
                is_over = false;
                break;
            }
            let sealable = sim.wal.sealable();
            if sealable.is_some_and(|info| sim.wal.write_footer(info.id, b"head", b"body").is_err()) {
                is_over = false;
                break;
            }
        }
        let mut disk = sim.disk.power_cut();
        for _ in 0..3 {
            let sim = Sim::open(disk, clock.clone()).unwrap();
            assert!(!sim.is_damaged, "stopped at {n}: {:?}", scanned(sim.disk.power_cut()).1.report());
            seal(&sim.wal);
            disk = sim.disk.power_cut();
        }
        cuts += 1;
        if is_over {
            break;
        }
    }
    assert!(cuts > 40, "{cuts}");
}

#[test]
fn a_footer_waits_for_the_segment_that_it_names() {
    let sim = Sim::new(4);
    let first = sim.wal.active();
    let begun = loop {
        sim.wal.barrier().wait().unwrap();
        let (ticket, _) = submit(&sim.wal, &[&body(0, 20_000)], Durability::Lazy).unwrap();
        if sim.wal.active() != first {
            break ticket;
        }
    };
    assert!(sim.wal.sealable().is_none(), "all of the first segment is durable, and nothing of the second");
    begun.wait().unwrap();
    assert_eq!(sim.wal.sealable().map(|info| info.id), Some(first));
    seal(&sim.wal);
    let segments = sim.wal.segments();
    assert!(segments.iter().all(|info| info.footer != info.active), "{segments:?}");
}

#[test]
fn a_copy_misses_nothing_until_its_own_newest_segment_is_gone() {
    let mut written = Written::new();
    let (sim, mut rng, _) = sealed(4, &mut written);
    let target = SimDisk::new(7, SimOptions::default());
    let copying = sim.wal.copy_to(target.clone()).unwrap();
    let known = written.clone();
    // The log goes on, and seals what the copy has as the newest.
    while sim.wal.segments().len() < 8 {
        write_batch(&sim.wal, &mut rng, 2, 9000, &mut written);
    }
    seal(&sim.wal);
    copying.finish().unwrap();
    let (found, opening) = scanned(target.clone());
    assert_eq!((account(&known, &found), opening.report().damages.len()), (vec![], 0));
    let newest = *opening.segments().last().unwrap();
    drop(opening);
    target.remove(&name(&newest)).unwrap();
    let (found, opening) = scanned(target);
    account(&known, &found);
    assert_eq!(opening.report().damages.len(), 1);
}

/// Everything behind the checkpoint is gone: how far the log went cannot be known, and it goes on all the same.
#[test]
fn a_checkpoint_alone_is_gone_on_from() {
    for freed in [false, true] {
        let mut written = Written::new();
        let (sim, mut rng, newest) = sealed(4, &mut written);
        (0..2).for_each(|_| sim.wal.write_checkpoint(sim.wal.active(), b"state").unwrap());
        if freed {
            let old: Vec<_> = sim.wal.segments().iter().map(|info| info.id).filter(|&id| id < newest.id).collect();
            sim.wal.retire(&old).unwrap();
            promise(&sim);
            (0..2).for_each(|_| sim.wal.write_checkpoint(sim.wal.active(), b"state").unwrap());
        }
        (0..3).for_each(|_| write_batch(&sim.wal, &mut rng, 2, 900, &mut written));
        let highest = *written.last_key_value().unwrap().0;
        let mut disk = sim.disk.power_cut();
        disk.remove(&name(&newest)).unwrap();
        for round in 0..3 {
            let (_, opening) = scanned(disk.clone());
            assert_eq!(opening.checkpoint(), Some(&b"state"[..]));
            let words: Vec<_> = opening.report().damages.iter().map(|damage| damage.what.clone()).collect();
            assert!(opening.report().damages.iter().any(|damage| damage.unknown), "round {round}: {words:?}");
            let sim = Sim::open(disk, sim.clock.clone()).unwrap();
            assert!(sim.wal.next_sequence() > highest && sim.wal.active() > newest.id, "freed: {freed}");
            let place = write(&sim.wal, b"behind").unwrap();
            disk = sim.disk.power_cut();
            let again = scanned(disk.clone()).0;
            let is_it =
                |scanned: &logboom_wal::Scanned| matches!(scanned, logboom_wal::Scanned::Record(_, at) if *at == place);
            assert!(again.iter().any(is_it), "what was written behind it is there");
        }
    }
}

/// A read-only look finds what a writable opening would.
#[test]
fn looking_changes_nothing() {
    let mut written = Written::new();
    let (sim, _, newest) = sealed(4, &mut written);
    let disk = sim.disk.power_cut();
    resize(&disk, &name(&newest), 0);
    let before = disk.list().unwrap();
    for _ in 0..2 {
        let opening = open_read_only(Arc::clone(&disk) as Arc<dyn Disk>, options()).unwrap();
        let odd: Vec<String> = opening.report().odd_files.iter().map(ToString::to_string).collect();
        assert_eq!(odd, [format!("{} has 0 bytes instead of 262144", name(&newest))]);
        opening.into_reader().unwrap();
        assert_eq!(disk.list().unwrap(), before);
    }
}

/// It finds the log as it was when it looked at the files: a writer that goes on has lost nothing.
#[test]
fn a_view_of_a_log_in_use_misses_nothing_that_comes_later() {
    let mut written = Written::new();
    let (sim, mut rng, newest) = sealed(4, &mut written);
    for rounds in 1..4 {
        let seen = open_read_only(Arc::clone(&sim.disk) as Arc<dyn Disk>, options()).unwrap();
        let active = sim.wal.active();
        while sim.wal.active().0 < active.0 + rounds {
            write_batch(&sim.wal, &mut rng, 2, 9000, &mut written);
        }
        promise(&sim);
        seal(&sim.wal);
        let mut opening = seen;
        opening.replay(&mut |_| Ok(())).unwrap();
        assert_eq!(opening.report().damages.len(), 0, "{rounds}: {:?}", opening.report().damages);
        assert!(opening.segments().last().unwrap().id >= newest.id);
    }
    // What is gone is missed, in use or not.
    let newest = *sim.wal.segments().last().unwrap();
    let mut opening = {
        let disk = sim.disk.fork(1);
        disk.remove(&name(&newest)).unwrap();
        open_read_only(disk, options()).unwrap()
    };
    opening.replay(&mut |_| Ok(())).unwrap();
    assert_eq!(opening.report().damages.len(), 1);
}
