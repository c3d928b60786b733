//! Damage to durable groups: every record is returned unchanged or reported as lost. Torn tails are told apart.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use logboom_disk::{Disk, Fate, Fault, Mode, Pool, SimDisk, SimOptions, Sync, Undecided};
use logboom_wal::{
    Damage, Descriptor, Durability, Listener, Loss, ManualClock, Meta, Opening, Options, Place, Request, Runtime,
    Scanned, SegmentId, Sequence, Wal, open, open_read_only, record_bytes, verify,
};

use crate::support::*;

/// What was written, by sequence.
pub(crate) type Written = BTreeMap<Sequence, (Place, Descriptor, Vec<u8>)>;

/// Writes `count` records in one batch, and waits for it.
pub(crate) fn write_batch(wal: &Wal, rng: &mut Rng, count: u32, len_max: usize, written: &mut Written) {
    let bodies: Vec<Vec<u8>> = (0..count).map(|_| vec![rng.u8(..); rng.usize(16..=len_max)]).collect();
    let bytes = bodies.iter().map(|body| record_bytes(body.len())).sum();
    let request = Request { records: count, bytes, durability: Durability::Durable, frees_space: false };
    let mut reservation = wal.reserve(wal.admit(bytes as u64).unwrap(), &request).unwrap();
    for body in bodies {
        let descriptor =
            Descriptor { owner: rng.u64(..5), first: rng.u64(..), count: rng.u32(..), kind: rng.u8(..100) };
        let Descriptor { owner, first, count, kind } = descriptor;
        let meta = Meta { owner, kind, first, count, attr: 7, prev: Sequence::NONE };
        let at = reservation.record(&meta, body.len(), |writer| writer.put(&body));
        written.insert(at.sequence, (at.place, descriptor, body));
    }
    reservation.finish().wait().unwrap();
}

/// Has everything promised: an idle log says how far it is durable.
pub(crate) fn promise(sim: &Sim) {
    sim.clock.advance(Duration::from_secs(1));
    while sim.wal.drive() {}
}

/// What an opening passes, and whether it reports damage.
pub(crate) fn scanned(disk: Arc<SimDisk>) -> (Vec<Scanned>, Opening) {
    let mut opening = open_read_only(disk, options()).unwrap();
    let mut all = Vec::new();
    opening
        .replay(&mut |scanned| {
            all.push(scanned);
            Ok(())
        })
        .unwrap();
    (all, opening)
}

/// What lies in covered segments, and what is replayed.
pub(crate) fn covered_and_scanned(disk: &Arc<SimDisk>) -> (Vec<Scanned>, Opening) {
    let (replayed, opening) = scanned(disk.clone());
    let mut all = Vec::new();
    for info in opening.segments().into_iter().filter(|info| info.id < opening.replay_from()) {
        opening
            .scan(info.id, &mut |scanned| {
                all.push(scanned);
                Ok(())
            })
            .unwrap();
    }
    all.extend(replayed);
    (all, opening)
}

/// Checks that everything written is given or told of as lost, and returns the sequences of what is lost.
pub(crate) fn account(written: &Written, all: &[Scanned]) -> Vec<Sequence> {
    let (mut given, mut named, mut unknown) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let mut last = Sequence::NONE;
    for scanned in all {
        let sequence = match scanned {
            Scanned::Record(record, place) => {
                given.insert(record.sequence(), (record.body().to_vec(), *place));
                record.sequence()
            }
            Scanned::Lost(Loss::Record { sequence, descriptor, .. }) => {
                named.insert(*sequence, *descriptor);
                *sequence
            }
            Scanned::Lost(Loss::Moved { .. }) => panic!("{scanned:?} is no part of the log"),
            Scanned::Lost(Loss::Unknown { from, until }) => {
                assert!(from < until && *from > last, "{scanned:?} after {last}");
                unknown.push((*from, *until));
                continue;
            }
        };
        assert!(sequence > last, "{sequence} after {last}");
        last = sequence;
    }
    for (sequence, (body, place)) in &given {
        let (at, _, expected) = &written[sequence];
        assert_eq!((body, place), (expected, at));
    }
    let mut lost = Vec::new();
    for (sequence, (_, descriptor, _)) in written.iter().filter(|(sequence, _)| !given.contains_key(*sequence)) {
        let is_unknown = unknown.iter().any(|(from, until)| (from..until).contains(&sequence));
        let name = named.get(sequence);
        assert!(name == Some(descriptor) || (name.is_none() && is_unknown), "{sequence}: {name:?}, {unknown:?}");
        lost.push(*sequence);
    }
    assert!(named.keys().all(|sequence| lost.contains(sequence)), "{named:?}");
    lost
}

pub(crate) fn damage(disk: &SimDisk, slot: u32, range: Range<u64>) {
    disk.damage(&format!("segment-{slot:06}"), range).unwrap();
}

#[test]
fn records_of_a_bad_group_are_kept_or_named() {
    // One record, many in a block, many in many blocks; a byte in a body, in a record's header, in the group's.
    for (count, len, nth) in [(1, 100, 0), (1, 9000, 0), (8, 100, 3), (40, 2000, 20)] {
        for what in [70, 5] {
            let (sim, mut rng, mut written) = (Sim::new(4), Rng::with_seed(1), Written::new());
            for _ in 0..10 {
                write_batch(&sim.wal, &mut rng, count, len, &mut written);
            }
            promise(&sim);
            let at = 4 * count as usize + nth;
            let (sequence, place) = written.iter().map(|(sequence, row)| (*sequence, row.0)).nth(at).unwrap();
            damage(&sim.disk, 0, u64::from(place.offset) + what..u64::from(place.offset) + what + 1);
            let (all, opening) = scanned(sim.disk.power_cut());
            assert_eq!(account(&written, &all), [sequence]);
            let report = opening.report();
            assert_eq!((report.damages.len(), report.damages[0].lost.len(), report.damages[0].unknown), (1, 1, false));
        }
    }
}

#[test]
fn a_lost_header_costs_no_record_that_can_be_read() {
    for (count, len) in [(1, 100), (5, 9000)] {
        let (sim, mut rng, mut written) = (Sim::new(4), Rng::with_seed(1), Written::new());
        for _ in 0..10 {
            write_batch(&sim.wal, &mut rng, count, len, &mut written);
        }
        promise(&sim);
        let place = written.values().nth(4 * count as usize).unwrap().0;
        let block = u64::from(place.offset) / 4096 * 4096;
        damage(&sim.disk, 0, block..block + 64);
        let (all, opening) = scanned(sim.disk.power_cut());
        assert_eq!(account(&written, &all), []);
        assert_eq!(opening.report().damages.len(), 1);
    }
}

#[test]
fn any_damage_below_a_promise_is_accounted_for() {
    let seeds = match std::env::var("LOGBOOM_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..300).collect::<Vec<u64>>(),
    };
    let (mut hit, mut whole) = (0, 0);
    for seed in seeds {
        let mut rng = Rng::with_seed(seed);
        let (sim, mut written) = (Sim::new(seed), Written::new());
        let len_max = [50, 3000, 9000][rng.usize(..3)];
        for _ in 0..rng.u32(5..60) {
            let count = rng.u32(1..6);
            write_batch(&sim.wal, &mut rng, count, len_max, &mut written);
        }
        promise(&sim);
        let segments = sim.wal.segments();
        for _ in 0..rng.u32(1..4) {
            let segment = segments[rng.usize(..segments.len())];
            let sector = rng.u64(..u64::from(segment.end) / 512) * 512;
            // The last block is the promise itself, and nothing promises that.
            let end = u64::from(segment.end) - if segment.active { 4096 } else { 0 };
            let len = [1, 512, 4096, 30_000][rng.usize(..4)];
            let range = sector.min(end)..(sector + len).min(end);
            damage(&sim.disk, segment.slot, range);
        }
        let disk = sim.disk.power_cut();
        println!("seed {seed}: LOGBOOM_SEED={seed} runs it alone");
        let (all, opening) = scanned(disk.clone());
        let lost = account(&written, &all);
        assert!(lost.is_empty() || !opening.report().damages.is_empty(), "seed {seed}");
        hit += usize::from(!lost.is_empty());
        whole += usize::from(lost.is_empty());

        // Opening for writing passes the same, goes on, and passes it once more.
        let sim = Sim::open(disk, sim.clock).unwrap();
        write_batch(&sim.wal, &mut rng, 1, 100, &mut written);
        let (again, opening) = scanned(sim.disk.power_cut());
        assert_eq!(account(&written, &again), lost, "seed {seed}");
        // What was replayed is read in the same way when a checkpoint covers it.
        let mut scanned = Vec::new();
        for info in opening.segments() {
            let mut each = |next| {
                scanned.push(next);
                Ok(())
            };
            opening.scan(info.id, &mut each).unwrap();
        }
        assert_eq!(account(&written, &scanned), lost, "seed {seed}");
    }
    assert!(hit > 50 && whole > 10 || hit + whole == 1, "{hit} {whole}");
}

#[test]
fn a_missing_segment_is_an_unknown_loss_and_the_rest_is_there() {
    let (sim, mut rng, mut written) = (Sim::new(9), Rng::with_seed(1), Written::new());
    for _ in 0..100 {
        write_batch(&sim.wal, &mut rng, 1, 20_000, &mut written);
    }
    promise(&sim);
    let segment = sim.wal.segments()[1];
    let disk = sim.disk.power_cut();
    disk.remove(&format!("segment-{:06}", segment.slot)).unwrap();
    let (all, opening) = scanned(disk.clone());
    let lost = account(&written, &all);
    assert!(lost.iter().all(|sequence| (segment.first..segment.limit).contains(sequence)), "{lost:?} {segment:?}");
    assert!(!lost.is_empty() && opening.report().damages.iter().any(|damage| damage.unknown));
    let sim = Sim::open(disk, sim.clock).unwrap();
    assert!(sim.is_damaged);
    write_batch(&sim.wal, &mut rng, 1, 100, &mut written);
    assert_eq!(account(&written, &scanned(sim.disk.power_cut()).0), lost);
}

/// Groups without records as well, which promise or begin an epoch: none of them is a loss.
#[test]
fn what_one_block_takes_is_always_named() {
    let (mut sim, mut rng, mut written) = (Sim::new(4), Rng::with_seed(1), Written::new());
    for (count, len_max) in [(1, 50), (6, 50), (3, 9000), (9, 3000)] {
        for _ in 0..12 {
            write_batch(&sim.wal, &mut rng, count, len_max, &mut written);
            if rng.bool() {
                promise(&sim);
            }
        }
        sim = Sim::open(sim.disk.power_cut(), sim.clock).unwrap();
    }
    write_batch(&sim.wal, &mut rng, 1, 50, &mut written);
    promise(&sim);
    let segments = sim.wal.segments();
    assert!(segments.len() > 5);
    let disk = sim.disk.power_cut();
    for segment in segments {
        // The last block is the promise itself, and nothing promises that.
        for block in (0..u64::from(segment.end) - if segment.active { 4096 } else { 0 }).step_by(4096) {
            let hit = disk.fork(block);
            damage(&hit, segment.slot, block..block + 4096);
            let (all, opening) = scanned(hit);
            let what = format!("block at {block} of {segment:?}: {:?}", opening.report());
            assert!(opening.report().damages.iter().all(|damage| !damage.unknown), "{what}");
            let lost = account(&written, &all);
            assert!(lost.is_empty() || !opening.report().damages.is_empty(), "{what}");
        }
    }
}

/// The next epoch repeats nothing of it either: that must not be taken for there having been nothing.
#[test]
fn a_loss_at_the_end_is_told_of_by_every_opening() {
    let (sim, mut rng, mut written) = (Sim::new(4), Rng::with_seed(1), Written::new());
    (0..6).for_each(|_| write_batch(&sim.wal, &mut rng, 1, 50, &mut written));
    let [.., (lost, (place, ..)), (cut, (last, ..))] = written.iter().collect::<Vec<_>>()[..] else { panic!() };
    let (lost, cut, block) = (*lost, *cut, u64::from(last.offset) / 4096 * 4096);
    // Of the last group its header is left, and the promise in it: what it repeats is lost, and it is cut.
    damage(&sim.disk, 0, u64::from(place.offset) / 4096 * 4096..block);
    damage(&sim.disk, 0, block + 128..block + 4096);
    written.remove(&cut);
    let mut sim = sim.cut_power().unwrap();
    for _ in 0..3 {
        assert!(sim.is_damaged);
        write_batch(&sim.wal, &mut rng, 1, 50, &mut written);
        promise(&sim);
        let disk = sim.disk.power_cut();
        assert_eq!(account(&written, &scanned(disk.clone()).0), [lost]);
        sim = Sim::open(disk, sim.clock).unwrap();
    }
}

#[test]
fn a_group_that_was_written_to_a_free_file_is_all_that_is_lost() {
    for offset in [0, 4096, 200_704] {
        let (sim, mut rng, mut written) = (Sim::new(9), Rng::with_seed(1), Written::new());
        while sim.wal.drive() {}
        // The newest file: of two with one life it would count.
        let free = sim.disk.list().unwrap().into_iter().rfind(|name| name.starts_with("segment-")).unwrap();
        for nth in 0..20 {
            if nth == 7 {
                sim.disk.inject(Fault::misdirected_write(&free, offset));
            }
            write_batch(&sim.wal, &mut rng, 3, 2000, &mut written);
        }
        promise(&sim);
        assert_eq!((sim.wal.segments().len(), sim.disk.pending_faults()), (1, 0));
        let disk = sim.disk.power_cut();
        let lost = account(&written, &scanned(disk.clone()).0);
        assert_eq!(lost.len(), 3, "at {offset}: {lost:?}");
        let sim = Sim::open(disk, sim.clock).unwrap();
        write_batch(&sim.wal, &mut rng, 1, 100, &mut written);
        assert_eq!(account(&written, &scanned(sim.disk.power_cut()).0), lost, "at {offset}");
    }
}

/// Groups of a lost write stand further on, behind the end of the log: the walk must not end with them.
#[test]
fn a_write_that_went_further_on_costs_no_later_group() {
    for (seed, is_head_there) in [(1, true), (2, false), (3, true), (4, false)] {
        let (sim, mut rng, mut written) = (Sim::new(seed), Rng::with_seed(seed), Written::new());
        let mut block = || {
            write_batch(&sim.wal, &mut rng, 3, 2000, &mut written);
            let (place, ..) = written.values().nth_back(2).unwrap();
            u64::from(place.offset) / 4096 * 4096
        };
        let starts: Vec<u64> = (0..12).map(|_| block()).collect();
        promise(&sim);
        let (gone, to) = (starts[3]..starts[8], 160 << 10);
        let hit = written.iter().filter(|(_, row)| gone.contains(&row.0.offset.into())).map(|(at, _)| *at);
        let hit: Vec<Sequence> = hit.collect();
        let file = sim.disk.open("segment-000000", Mode::Write).unwrap();
        let mut region = Pool::new(0).region(usize::try_from(gone.end - gone.start).unwrap());
        file.read_at(&mut region, gone.start).unwrap();
        file.write_at(&[region.freeze()], to, Sync::Data).unwrap();
        damage(&sim.disk, 0, gone);
        if !is_head_there {
            // Written over by what came later.
            damage(&sim.disk, 0, to..to + starts[4] - starts[3]);
        }
        let (mut lost, mut disk) = (Vec::new(), sim.disk.power_cut());
        for nth in 0..3 {
            let (mut all, opening) = scanned(disk.clone());
            assert!(!opening.report().damages.is_empty());
            for scanned in &mut all {
                // What is as it was written may be given from wherever it is.
                if let Scanned::Record(record, place) = scanned {
                    *place = written[&record.sequence()].0;
                }
            }
            let told = account(&written, &all);
            assert!(nth == 0 || lost == told, "seed {seed}: {told:?} after {lost:?}");
            lost = told;
            let sim = Sim::open(disk, sim.clock.clone()).unwrap();
            write_batch(&sim.wal, &mut rng, 3, 2000, &mut written);
            disk = sim.disk.power_cut();
        }
        match is_head_there {
            true => assert_eq!(lost, hit, "seed {seed}"),
            false => assert!(lost.contains(&hit[0]), "seed {seed}: {lost:?}"),
        }
    }
}

/// A segment that was begun behind the missing one, and of which nothing but its header came to be, is void; that the
/// other is missing is not.
#[test]
fn a_missing_segment_is_missed_behind_a_void_one() {
    let (sim, mut rng, mut written) = (Sim::new(9), Rng::with_seed(1), Written::new());
    (0..40).for_each(|_| write_batch(&sim.wal, &mut rng, 1, 20_000, &mut written));
    promise(&sim);
    let newest = *sim.wal.segments().last().unwrap();
    let disk = sim.disk.process_crash();
    // The power is cut while the next process begins its segment.
    let void = (1..).find_map(|n| {
        let cut = disk.fork(n);
        cut.halt_after(n);
        drop(Sim::open(cut.clone(), sim.clock.clone()));
        let undecided = cut.undecided();
        let begins = |what: &Undecided| what.file.starts_with("segment") && what.range == (0..8192);
        let fates: Vec<Fate> =
            undecided.iter().map(|what| if begins(what) { Fate::Sectors(1) } else { Fate::New }).collect();
        fates.contains(&Fate::Sectors(1)).then(|| cut.power_cut_with(&fates))
    });
    let mut disk = void.unwrap();
    disk.remove(&format!("segment-{:06}", newest.slot)).unwrap();
    let lost = account(&written, &scanned(disk.clone()).0);
    assert!(!lost.is_empty() && lost.iter().all(|sequence| (newest.first..newest.limit).contains(sequence)));
    for _ in 0..3 {
        let sim = Sim::open(disk, sim.clock.clone()).unwrap();
        assert!(sim.is_damaged);
        write_batch(&sim.wal, &mut rng, 1, 50, &mut written);
        disk = sim.disk.power_cut();
        assert_eq!(account(&written, &scanned(disk.clone()).0), lost);
    }
}

#[test]
fn an_end_that_a_checkpoint_vouches_for_is_told_of_by_every_opening() {
    let (sim, mut rng, mut written) = (Sim::new(9), Rng::with_seed(1), Written::new());
    (0..4).for_each(|_| write_batch(&sim.wal, &mut rng, 1, 50, &mut written));
    let durable = sim.wal.durable();
    let open = |disk| open(disk, options(), Runtime::Manual(sim.clock.clone())).unwrap();
    let mut disk = sim.disk.process_crash();
    let mut opening = open(disk.clone());
    opening.replay(&mut |_| Ok(())).unwrap();
    assert_eq!((opening.declare_durable(durable), opening.report().damages.len()), (None, 0));
    let unknown = Loss::Unknown { from: Sequence((durable + 1) << 16), until: Sequence((durable + 701) << 16) };
    assert_eq!((opening.declare_durable(durable + 700), opening.report().damages.len()), (Some(unknown.clone()), 1));
    let mut wal = opening.start().unwrap();
    for _ in 0..3 {
        write_batch(&wal, &mut rng, 1, 50, &mut written);
        disk = disk.power_cut();
        drop(wal);
        let (all, opening) = scanned(disk.clone());
        assert!(written.last_key_value().unwrap().0.group() > durable + 700, "no sequence is used twice");
        assert_eq!((account(&written, &all), opening.report().damages.len()), (vec![], 1), "{:?}", opening.report());
        assert!(all.iter().any(|scanned| matches!(scanned, Scanned::Lost(loss) if *loss == unknown)), "{all:?}");
        wal = open(disk.clone()).start().unwrap();
    }
}

#[test]
fn lost_checkpoints_leave_what_can_be_replayed() {
    let (sim, mut rng, mut written) = (Sim::new(3), Rng::with_seed(1), Written::new());
    for nth in 1..400 {
        write_batch(&sim.wal, &mut rng, 1, 20_000, &mut written);
        if nth % 100 == 0 {
            (0..2).for_each(|_| sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap());
            let active = sim.wal.active();
            let dead: Vec<_> = sim.wal.segments().iter().map(|info| info.id).filter(|&id| id < active).collect();
            sim.wal.retire(&dead).unwrap();
            while sim.wal.drive() {}
        }
    }
    promise(&sim);
    let disk = sim.disk.power_cut();
    for slot in 0..2 {
        disk.damage(&format!("checkpoint-{slot}"), 0..64).unwrap();
    }
    let (all, opening) = scanned(disk);
    let lost = account(&written, &all);
    assert!(!lost.is_empty() && lost.len() < written.len(), "{} of {}", lost.len(), written.len());
    assert!(opening.report().damages[0].unknown, "{:?}", opening.report());
}

#[test]
fn a_group_above_every_promise_that_is_bad_is_cut_and_reported() {
    let sim = Sim::new(4);
    write(&sim.wal, b"first").unwrap();
    let last = write(&sim.wal, b"last").unwrap();
    sim.disk.damage("segment-000000", u64::from(last.offset) + 66..u64::from(last.offset) + 67).unwrap();
    let disk = sim.disk.power_cut();
    let mut opening = open_read_only(disk.clone(), options()).unwrap();
    let mut bodies = Vec::new();
    opening
        .replay(&mut |scanned| {
            bodies.push(record(scanned).body().to_vec());
            Ok(())
        })
        .unwrap();
    assert_eq!(bodies, [b"first"]);
    let cut = opening.report().cut.unwrap();
    assert_eq!((cut.segment, cut.bytes), (last.segment, 4096));
    // The same bytes below the promise of an idle log are damage.
    let sim = Sim::new(4);
    write(&sim.wal, b"first").unwrap();
    let last = write(&sim.wal, b"last").unwrap();
    sim.clock.advance(Duration::from_secs(1));
    while sim.wal.drive() {}
    sim.disk.damage("segment-000000", u64::from(last.offset) + 66..u64::from(last.offset) + 67).unwrap();
    assert!(sim.cut_power().unwrap().is_damaged);
}

#[test]
fn a_bad_block_at_the_beginning_of_a_segment_costs_nothing() {
    let sim = Sim::new(8);
    let expected: Vec<_> = (0..100).map(|nth| body(nth, 9000)).collect();
    expected.iter().for_each(|body| ok(write(&sim.wal, body)));
    for slot in 0..2 {
        sim.disk.damage(&format!("segment-{slot:06}"), 0..64).unwrap();
    }
    let sim = sim.cut_power().unwrap();
    assert_eq!(sim.bodies(), expected);
}

#[test]
fn verify_says_what_recovery_would_do() {
    let sim = Sim::new(15);
    let places: Vec<_> = (0..100).map(|nth| write(&sim.wal, &body(nth, 9000)).unwrap()).collect();
    sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap();
    sim.wal.close().unwrap();
    let disk = sim.disk.power_cut();
    let report = verify(disk.clone(), options(), &mut |_, _| {}).unwrap();
    assert_eq!((report.records, report.damages.len(), report.cut), (100, 0, None));
    // The table of a group that spans blocks begins the last of them.
    let table = u64::from(places[5].offset).next_multiple_of(4096) + 8192;
    disk.damage("segment-000000", table + 8..table + 9).unwrap();
    disk.damage("checkpoint-0", 100..101).unwrap();
    let report = verify(disk.clone(), options(), &mut |_, _| {}).unwrap();
    assert_eq!((report.damages.len(), report.records, &report.bad_checkpoints[..]), (1, 100, &[][..]));
    disk.damage("checkpoint-0", 10..11).unwrap();
    disk.damage("segment-000000", u64::from(places[3].offset) + 64..u64::from(places[3].offset) + 65).unwrap();
    let report = verify(disk, options(), &mut |_, _| {}).unwrap();
    assert_eq!((report.damages[0].segment, &report.bad_checkpoints[..]), (SegmentId(1), &[0][..]));
}

/// Remembers what it was told of.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<Damage>>);

impl Listener for Told {
    fn damaged(&self, damage: &Damage) {
        self.0.lock().unwrap().push(damage.clone());
    }
}

#[test]
fn rot_in_full_segments_is_found_in_the_background() {
    let (disk, clock) = (SimDisk::new(3, SimOptions::default()), ManualClock::new(3));
    let told = Arc::new(Told::default());
    let period = Duration::from_secs(10);
    let options = Options { scrub_period: Some(period), listener: told.clone(), ..options() };
    let wal = open(disk.clone(), options, Runtime::Manual(clock.clone())).unwrap().start().unwrap();
    let (mut rng, mut written) = (Rng::with_seed(1), Written::new());
    while wal.segments().len() < 5 {
        write_batch(&wal, &mut rng, 3, 9000, &mut written);
    }
    let pass = |time: Duration| {
        for _ in 0..100 {
            clock.advance(time / 100);
            while wal.drive() {}
        }
    };
    pass(2 * period);
    let scrubbed = wal.metrics().scrubbed_bytes;
    assert!(told.0.lock().unwrap().is_empty() && scrubbed >= 4 * (200 << 10), "{scrubbed}");

    let segment = wal.segments()[2];
    let place = written.values().map(|row| row.0).find(|place| place.segment == segment.id).unwrap();
    damage(&disk, segment.slot, u64::from(place.offset) + 70..u64::from(place.offset) + 71);
    pass(2 * period);
    let told = told.0.lock().unwrap();
    assert!((1..=3).contains(&told.len()), "{} {scrubbed} {}", told.len(), wal.metrics().scrubbed_bytes);
    assert_eq!((told[0].segment, told[0].lost.len(), told[0].unknown), (segment.id, 1, false));
    assert_eq!(wal.metrics().scrub_damages, told.len() as u64);
    assert!(wal.metrics().scrubbed_bytes < 8 * scrubbed, "at an even pace");
}

/// A segment loses what it was begun with, and its file states an earlier life. It is the segment all the same, when it
/// is read from its beginning and when a checkpoint names it.
#[test]
fn a_segment_that_states_an_earlier_life_is_not_given_up() {
    let sim = Sim::new(3);
    // Every file has had a life.
    let fill = |sim: &Sim, active: SegmentId| {
        (0..).take_while(|&nth| sim.wal.active() == active && write(&sim.wal, &body(nth, 20_000)).is_ok()).count()
    };
    for _ in 0..12 {
        fill(&sim, sim.wal.active());
        promise(&sim);
        let old: Vec<SegmentId> = sim.wal.segments().iter().map(|info| info.id).collect();
        sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap();
        sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap();
        sim.wal.retire(&old[..old.len() - 1]).unwrap();
        promise(&sim);
    }
    fill(&sim, sim.wal.active());
    let active = sim.wal.active();
    sim.disk.inject(Fault::lost_write().on("segment").within(0..4096));
    let records = 1 + fill(&sim, active);
    assert_eq!(sim.disk.pending_faults(), 0, "the segment was begun with a write that is lost");
    let lost = sim.wal.segments().into_iter().rev().find(|info| !info.active).unwrap();
    promise(&sim);

    let sim = sim.cut_power().unwrap();
    assert!(sim.is_damaged);
    let replayed = sim.replayed.iter().filter(|(_, place)| place.segment == lost.id).count();
    assert!(replayed > 3 && replayed + 2 >= records, "{replayed} of {records}");
    sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap();
    promise(&sim);
    let sim = sim.cut_power().unwrap();
    assert!(!sim.is_damaged, "all that is missing was told of");
    let mut found = 0;
    sim.wal
        .scan(lost.id, &mut |scanned| {
            found += usize::from(matches!(scanned, Scanned::Record(..)));
            Ok(())
        })
        .unwrap();
    assert_eq!(found, replayed);
}
