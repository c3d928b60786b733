//! The start of a segment is damaged, or overwritten by another segment's group: its file still counts as its own, and
//! is not overwritten.

use fastrand::Rng;
use logboom_disk::{Disk, Mode, Pool, SimDisk, SimOptions, Sync};
use logboom_wal::{ManualClock, Options, Runtime, open};

use crate::{
    damage::{Written, account, covered_and_scanned, damage, promise, scanned, write_batch},
    lost_end::{name, seal, sealed},
    support::*,
};

/// A free file that states no life near its beginning may be the newest segment, if that one is missed.
#[test]
fn a_segment_whose_first_half_is_destroyed_is_found() {
    const HALF: u64 = 512 << 10;
    let (disk, clock) = (SimDisk::new(4, SimOptions::default()), ManualClock::new(4));
    let options = Options { segment_bytes: 1 << 20, ..options() };
    let wal = open(disk.clone(), options, Runtime::Manual(clock.clone())).unwrap().start().unwrap();
    let sim = Sim { disk, clock, wal, replayed: Vec::new(), is_damaged: false };
    let (mut rng, mut written) = (Rng::with_seed(4), Written::new());
    while sim.wal.segments().len() < 4 {
        write_batch(&sim.wal, &mut rng, 2, 9000, &mut written);
    }
    let newest = *sim.wal.segments().last().unwrap();
    while sim.wal.segments().last().unwrap().end < 700 << 10 {
        write_batch(&sim.wal, &mut rng, 2, 9000, &mut written);
    }
    seal(&sim.wal);
    promise(&sim);
    let segments = sim.wal.segments();
    let cut = sim.disk.power_cut();
    for info in &segments[1..] {
        let mut disk = cut.fork(1);
        damage(&disk, info.slot, 0..HALF);
        let (found, opening) = scanned(disk.clone());
        let lost = account(&written, &found);
        let is_hit =
            |place: &logboom_wal::Place| place.segment == info.id && u64::from(place.offset) < HALF + (64 << 10);
        assert!(!lost.is_empty() && lost.iter().all(|at| is_hit(&written[at].0)), "{info:?}: {lost:?}");
        assert!(!opening.report().damages.is_empty());
        assert_eq!(opening.segments().last().unwrap().id, newest.id, "{info:?}");
        for _ in 0..3 {
            let sim = Sim::open(disk, sim.clock.clone()).unwrap();
            write_batch(&sim.wal, &mut rng, 1, 100, &mut written);
            seal(&sim.wal);
            disk = sim.disk.power_cut();
            assert_eq!(account(&written, &scanned(disk.clone()).0), lost, "{info:?}");
        }
        written.retain(|_, row| row.0.segment <= newest.id);
    }
}

/// One that states two lives is that one's of which it holds the most.
#[test]
fn a_segment_that_another_one_was_written_to_keeps_its_file() {
    for covered in [false, true] {
        for (nth, (at, len)) in (0..3).flat_map(|nth| [(0, 4096), (4096, 4096), (0, 8192)].map(|part| (nth, part))) {
            let mut written = Written::new();
            let (sim, mut rng, newest) = sealed(4, &mut written);
            if covered {
                (0..2).for_each(|_| sim.wal.write_checkpoint(newest.id, b"").unwrap());
            }
            let info = sim.wal.segments()[nth];
            let mut disk = sim.disk.power_cut();
            copy(&disk, &name(&newest), &name(&info), at, len);
            let what = format!("{len} bytes at {at} of {info:?}, covered: {covered}");
            let lost = account(&written, &covered_and_scanned(&disk).0);
            let is_hit = |place: &logboom_wal::Place| place.segment == info.id && place.offset < 64 << 10;
            assert!(lost.iter().all(|at| is_hit(&written[at].0)), "{what}: {lost:?}");
            for _ in 0..3 {
                let sim = Sim::open(disk, sim.clock.clone()).unwrap();
                write_batch(&sim.wal, &mut rng, 1, 100, &mut written);
                seal(&sim.wal);
                disk = sim.disk.power_cut();
                assert_eq!(account(&written, &covered_and_scanned(&disk).0), lost, "{what}");
            }
        }
    }
}

/// Writes what begins a segment, or its first group, to the same place of another file.
fn copy(disk: &SimDisk, from: &str, to: &str, at: u64, len: usize) {
    let mut region = Pool::new(0).region(len);
    disk.open(from, Mode::Read)
        .unwrap()
        .read_at(&mut region, at.max(4096) - if len > 4096 { 4096 } else { 0 })
        .unwrap();
    disk.open(to, Mode::Write).unwrap().write_at(&[region.freeze()], at, Sync::Data).unwrap();
}
