//! Moved records: copies are found again unchanged, after every failure.

use logboom_disk::{Disk, Mode, Pool, SimOptions, Slice, Sync};
use logboom_wal::{Error, Loss, Place, Record, Scanned, SegmentId, open_read_only, verify};

use crate::support::*;

/// Writes records, and moves every third of them in a few batches. Returns the records and where the copies lie.
fn moved(sim: &Sim, count: u64) -> (Vec<Record>, Vec<Place>) {
    let places: Vec<Place> = (0..count).map(|nth| write(&sim.wal, &body(nth, 700)).unwrap()).collect();
    let wanted: Vec<Place> = places.into_iter().step_by(3).collect();
    let mut records = Vec::new();
    sim.wal.read(&wanted, &mut records).unwrap();
    let copies = records.chunks(4).flat_map(|records| sim.wal.move_records(records).unwrap()).collect();
    (records, copies)
}

/// The records in the cold segments, as reading them from one end to the other finds them.
fn cold_records(sim: &Sim) -> Vec<Record> {
    let mut found = Vec::new();
    for info in sim.wal.segments().iter().filter(|info| info.id.is_cold()) {
        sim.wal
            .scan(info.id, &mut |scanned| {
                found.push(record(scanned));
                Ok(())
            })
            .unwrap();
    }
    found
}

fn bytes(records: &[Record]) -> Vec<(u64, Vec<u8>)> {
    records.iter().map(|record| (record.sequence().0, record.body().to_vec())).collect()
}

#[test]
fn moved_records_keep_what_they_are_and_survive_power_loss() {
    for seed in 0..20 {
        let sim = Sim::new(seed);
        let (records, copies) = moved(&sim, 60);
        let mut read = Vec::new();
        sim.wal.read(&copies, &mut read).unwrap();
        assert_eq!(bytes(&read), bytes(&records), "seed {seed}");

        let sim = sim.cut_power().unwrap();
        assert!(!sim.is_damaged);
        assert_eq!(bytes(&cold_records(&sim)), bytes(&records), "seed {seed}");
        assert_eq!(sim.bodies().len(), 60, "the log itself is as it was");
        let mut read = Vec::new();
        sim.wal.read(&copies, &mut read).unwrap();
        assert_eq!(bytes(&read), bytes(&records), "seed {seed}");
        // What is moved from now on goes elsewhere, and both are found again.
        let more = sim.wal.move_records(&records[..2]).unwrap();
        assert_ne!(more[0].segment, copies[0].segment);
        sim.wal.close().unwrap();
        let sim = sim.cut_power().unwrap();
        assert_eq!(cold_records(&sim).len(), records.len() + 2, "seed {seed}");
    }
}

#[test]
fn a_full_cold_segment_is_followed_by_another_and_sealed() {
    let sim = Sim::new(3);
    let (records, _) = moved(&sim, 30);
    let mut copies = 0;
    while sim.wal.segments().iter().filter(|info| info.id.is_cold()).count() < 3 {
        copies += sim.wal.move_records(&records).unwrap().len();
    }
    while let Some(info) = sim.wal.sealable() {
        sim.wal.write_footer(info.id, b"what", b"lies there").unwrap();
    }
    sim.wal.close_cold();
    let count = cold_records(&sim).len();
    assert_eq!(count, records.len() + copies);
    let sim = sim.cut_power().unwrap();
    let cold: Vec<_> = sim.wal.segments().into_iter().filter(|info| info.id.is_cold()).collect();
    assert_eq!(cold.len(), 3);
    let footers: Vec<_> = cold.iter().filter_map(|info| sim.wal.read_footer(info.id).unwrap()).collect();
    assert_eq!(footers.len(), 2);
    for footer in footers {
        assert_eq!((&*footer.head, &*footer.body), (&b"what"[..], &b"lies there"[..]));
    }
    assert_eq!(cold_records(&sim).len(), count);
}

/// The machine stops in every operation of a move in turn: what was moved before is there, and the log as well.
#[test]
fn a_move_that_is_cut_short_loses_nothing() {
    for after in 0..40 {
        let sim = Sim::new(after);
        let (records, _) = moved(&sim, 12);
        sim.disk.halt_after(after);
        let more = (0..4).filter(|_| sim.wal.move_records(&records).is_ok()).count();
        for seed in 0..3 {
            let disk = sim.disk.fork(seed).power_cut();
            let next = Sim::open(disk, sim.clock.clone()).unwrap();
            assert!(!next.is_damaged, "halted after {after}, seed {seed}");
            assert_eq!(next.bodies().len(), 12);
            let found = cold_records(&next).len();
            let told = records.len() * (1 + more);
            assert!((told..=told + records.len()).contains(&found), "{found} of {told}, halted after {after}");
        }
    }
}

/// A process ends between the write of a move and its sync. What the next one finds of it, a checkpoint states: a power
/// cut must not take it away again, which would look like damage.
#[test]
fn copies_that_were_not_synced_are_when_they_are_found() {
    let mut found = 0;
    for after in 1..20 {
        let sim = Sim::with(after, SimOptions { torn_per_mille: 500, ..SimOptions::default() });
        let (records, _) = moved(&sim, 12);
        sim.disk.halt_after(after);
        let told = records.len() * (1 + (0..4).filter(|_| sim.wal.move_records(&records).is_ok()).count());
        let next = Sim::open(sim.disk.process_crash(), sim.clock.clone()).unwrap();
        found += cold_records(&next).len() - told;
        next.wal.write_checkpoint(next.wal.active(), b"").unwrap();
        for seed in 0..8 {
            let disk = next.disk.fork(seed).power_cut();
            let report = verify(disk.clone(), options(), &mut |_, _| ()).unwrap();
            assert!(report.damages.is_empty(), "halted after {after}, seed {seed}: {:?}", report.damages);
            assert!(!Sim::open(disk, sim.clock.clone()).unwrap().is_damaged, "halted after {after}, seed {seed}");
        }
    }
    assert!(found > 0, "no move was found that nobody was told of");
}

#[test]
fn a_freed_cold_segment_does_not_come_back() {
    for checkpoint in [false, true] {
        let sim = Sim::new(5);
        let (_, copies) = moved(&sim, 12);
        let cold = copies[0].segment;
        assert!(matches!(sim.wal.retire(&[cold]), Err(Error::Misuse { .. })), "it is being written");
        sim.wal.close_cold();
        if checkpoint {
            sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap();
        }
        sim.wal.retire(&[cold]).unwrap();
        sim.wal.barrier().wait().unwrap();
        let sim = sim.cut_power().unwrap();
        assert!(sim.wal.segments().iter().all(|info| info.id != cold), "checkpoint: {checkpoint}");
        assert!(!sim.is_damaged);
        // Nor when the record that freed it is not replayed any more.
        sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap();
        sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap();
        let sim = sim.cut_power().unwrap();
        assert!(sim.wal.segments().iter().all(|info| info.id != cold), "checkpoint: {checkpoint}");
    }
}

#[test]
fn a_cold_segment_that_is_missing_is_told_of() {
    let sim = Sim::new(5);
    let (_, copies) = moved(&sim, 12);
    let cold = sim.wal.segments().into_iter().find(|info| info.id == copies[0].segment).unwrap();
    sim.wal.close_cold();
    sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap();
    let disk = sim.disk.power_cut();
    disk.remove(&format!("segment-{:06}", cold.slot)).unwrap();
    disk.sync_dir().unwrap();
    let report = verify(disk.clone(), options(), &mut |_, _| ()).unwrap();
    assert_eq!(report.damages.iter().map(|damage| damage.segment).collect::<Vec<_>>(), [cold.id]);
    let mut opening = open_read_only(disk, options()).unwrap();
    opening.replay(&mut |_| Ok(())).unwrap();
    assert_eq!(opening.report().damages.len(), 1);
}

/// Whatever block of a cold segment rots, the records in the others are given, and verifying tells of it.
#[test]
fn damage_to_a_cold_segment_costs_what_it_hits() {
    let sim = Sim::new(9);
    let (records, copies) = moved(&sim, 36);
    let cold = sim.wal.segments().into_iter().find(|info| info.id == copies[0].segment).unwrap();
    sim.wal.close_cold();
    sim.wal.write_footer(cold.id, b"x", b"y").unwrap();
    let pad = u64::try_from(sim.disk.facts().pad_unit).unwrap();
    let disk = sim.disk.power_cut();
    let mut named = 0;
    for block in 0..u64::from(cold.end) / pad {
        let disk = disk.fork(block);
        disk.damage(&format!("segment-{:06}", cold.slot), block * pad..(block + 1) * pad).unwrap();
        let sim = Sim::open(disk.clone(), sim.clock.clone()).unwrap();
        let (mut found, mut lost) = (Vec::new(), Vec::new());
        sim.wal
            .scan(cold.id, &mut |scanned| {
                match scanned {
                    Scanned::Record(record, _) => found.push(record),
                    Scanned::Lost(Loss::Record { descriptor, .. } | Loss::Moved { descriptor, .. }) => {
                        lost.push(descriptor);
                    }
                    Scanned::Lost(Loss::Unknown { .. }) => {}
                }
                Ok(())
            })
            .unwrap();
        let mut missed = 0;
        let hit = |place: &Place| {
            let (at, end) = (u64::from(place.offset), u64::from(place.offset + place.len));
            at < (block + 1) * pad && end > block * pad
        };
        for (record, place) in records.iter().zip(&copies) {
            let is_there = found.iter().any(|other| other.sequence() == record.sequence());
            assert_eq!(is_there, !hit(place), "block {block}, record {}", record.sequence());
            missed += usize::from(!is_there);
        }
        let report = verify(disk, options(), &mut |_, _| ()).unwrap();
        let is_told = report.damages.iter().any(|damage| damage.segment == cold.id);
        // What is lost is named by what describes its group once more, or said not to be.
        let is_unknown = report.damages.iter().any(|damage| damage.segment == cold.id && damage.unknown);
        assert!(lost.len() == missed || is_unknown, "block {block}: {} of {missed}", lost.len());
        named += lost.len();
        // The header is repeated by every group.
        assert_eq!(is_told, block > 0, "block {block}");
    }
    assert!(named > 0, "{named}");
}

/// The first groups of a cold segment were written elsewhere in its file, one after the other. None is in its place,
/// and a walk cannot resume at any of them: the search for the segment's end terminates.
#[test]
fn groups_that_went_elsewhere_do_not_keep_an_opening_from_its_end() {
    let sim = Sim::new(9);
    let (_, copies) = moved(&sim, 24);
    let cold = sim.wal.segments().into_iter().find(|info| info.id == copies[0].segment).unwrap();
    let (disk, clock) = (sim.disk.power_cut(), sim.clock.clone());
    let (begin, end) = (disk.facts().pad_unit, usize::try_from(cold.end).unwrap());
    let file = disk.open(&format!("segment-{:06}", cold.slot), Mode::Write).unwrap();
    let pool = Pool::new(0);
    let mut groups = pool.region(end - begin);
    file.read_at(&mut groups, begin as u64).unwrap();
    file.write_at(&[Slice::copy_from(&pool, &groups)], 2 * end as u64, Sync::Data).unwrap();
    file.write_at(&[Slice::copy_from(&pool, &vec![0; end - begin])], begin as u64, Sync::Data).unwrap();
    let sim = Sim::open(disk, clock).unwrap();
    assert_eq!(sim.bodies().len(), 24, "the log itself is as it was");
}

#[test]
fn ids_of_cold_segments_are_above_all_others() {
    let sim = Sim::new(1);
    let (_, copies) = moved(&sim, 3);
    let segments = sim.wal.segments();
    assert_eq!(segments.first().map(|info| info.id), Some(copies[0].segment));
    assert!(segments.last().is_some_and(|info| info.active && !info.id.is_cold()));
    assert!(copies[0].segment > SegmentId(1 << 46) && copies[0].segment.to_string().starts_with('c'));
}
