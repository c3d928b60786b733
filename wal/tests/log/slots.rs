//! Numbers of files: of segments, which checkpoints name, and of checkpoints.

use std::time::Duration;

use logboom_disk::{Disk, Fate, Fault, SimDisk};
use logboom_wal::{SegmentInfo, open_read_only, verify};

use crate::support::*;

/// Writes until `count` more segments were begun.
fn fill(sim: &Sim, count: usize) {
    let begun = |sim: &Sim| sim.wal.active().0;
    let until = begun(sim) + count as u64;
    while begun(sim) < until {
        ok(write(&sim.wal, &body(1, 20_000)));
        while sim.wal.drive() {}
    }
}

/// Has both checkpoints cover all but the active segment, and retires the others, the highest file last.
fn retire_all(sim: &Sim) -> Vec<SegmentInfo> {
    let active = sim.wal.active();
    (0..2).for_each(|_| sim.wal.write_checkpoint(active, b"").unwrap());
    let mut dead: Vec<SegmentInfo> = sim.wal.segments().into_iter().filter(|info| info.id < active).collect();
    dead.sort_by_key(|info| info.slot);
    let ids: Vec<_> = dead.iter().map(|info| info.id).collect();
    sim.wal.retire(&ids).unwrap();
    ok(write(&sim.wal, b"carries the record of it"));
    while sim.wal.drive() {}
    dead
}

fn highest(disk: &SimDisk) -> String {
    disk.list().unwrap().into_iter().rfind(|name| name.starts_with("segment-")).unwrap()
}

/// A file that came back under a number that a checkpoint names would be read as the segment that it held.
#[test]
fn the_number_of_a_file_that_was_given_back_is_not_used_while_a_checkpoint_names_it() {
    let sim = Sim::new(1);
    fill(&sim, 12);
    retire_all(&sim);
    // The files that lay prepared have the highest numbers: they are used now, named, freed, and given back first.
    let is_in_the_highest = |sim: &Sim| {
        let active = sim.wal.segments().pop().unwrap();
        highest(&sim.disk) == format!("segment-{:06}", active.slot)
    };
    while !is_in_the_highest(&sim) {
        fill(&sim, 1);
    }
    fill(&sim, 1);
    let named = retire_all(&sim).pop().unwrap();
    assert_eq!(highest(&sim.disk), format!("segment-{:06}", named.slot));
    while highest(&sim.disk) == format!("segment-{:06}", named.slot) {
        sim.clock.advance(Duration::from_secs(1));
        while sim.wal.drive() {}
    }
    let sim = sim.cut_power().unwrap();
    // The last of what is left is used up, and a new file is made.
    let before = highest(&sim.disk);
    while highest(&sim.disk) <= before {
        fill(&sim, 1);
    }
    assert!(highest(&sim.disk) > format!("segment-{:06}", named.slot), "{named:?}: {:?}", sim.disk.list());
    let disk = sim.disk.power_cut();
    let opening = open_read_only(disk.clone(), options()).unwrap();
    assert!(opening.segments().iter().all(|info| info.id != named.id), "{named:?}: {:?}", opening.segments());
    assert!(verify(disk, options(), &mut |_, _| {}).unwrap().damages.is_empty());
}

/// What the log goes on from must not go back: segments that only the newer checkpoint covers are used again.
#[test]
fn a_checkpoint_that_was_read_from_the_cache_survives_power_loss() {
    let sim = Sim::new(2);
    fill(&sim, 3);
    sim.wal.write_checkpoint(sim.wal.active(), b"early").unwrap();
    fill(&sim, 3);
    // Its header is written, and a process that could not sync it dies.
    sim.disk.inject(Fault::short_write(8, std::io::ErrorKind::Other).on("checkpoint").nth(2));
    assert!(sim.wal.write_checkpoint(sim.wal.active(), b"late").is_err());
    let disk = sim.disk.process_crash();
    assert_eq!(open_read_only(disk.clone(), options()).unwrap().checkpoint(), Some(&b"late"[..]));

    let sim = Sim::open(disk, sim.clock).unwrap();
    let lost: Vec<Fate> = sim.disk.undecided().iter().map(|_| Fate::Old).collect();
    let disk = sim.disk.power_cut_with(&lost);
    assert_eq!(open_read_only(disk, options()).unwrap().checkpoint(), Some(&b"late"[..]));
}

/// The record that frees a segment may go with the power. A checkpoint that had left the segment out would have its
/// file used again, and the older one, which stands in when the newer one rots, would miss it.
#[test]
fn a_checkpoint_names_what_is_not_durably_freed() {
    let sim = Sim::new(3);
    fill(&sim, 4);
    let active = sim.wal.active();
    (0..2).for_each(|_| sim.wal.write_checkpoint(active, b"").unwrap());
    let first = sim.wal.segments()[0].id;
    sim.wal.retire(&[first]).unwrap();
    sim.wal.write_checkpoint(active, b"").unwrap();
    let sim = sim.cut_power().unwrap();
    fill(&sim, 6);
    for name in ["checkpoint-0", "checkpoint-1"] {
        let disk = sim.disk.fork(1);
        disk.damage(name, 0..8).unwrap();
        let report = verify(disk, options(), &mut |_, _| {}).unwrap();
        assert!(report.damages.iter().all(|damage| !damage.unknown), "{name}: {:?}", report.damages);
    }
}
