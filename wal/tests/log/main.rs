//! The log through its public surface: on the simulated disk, where every run of a seed repeats, and on a real one.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not find is its failure")]

mod ahead;
mod asked;
mod cold;
mod damage;
mod foreign;
mod history;
mod identity;
mod limits;
mod lost_end;
mod misplaced;
mod panics;
mod slots;
mod supply;
mod support;
mod unread;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, mpsc},
    time::Duration,
};

use logboom_disk::{
    Disk, DiskOptions, Facts, FaultKind, File, InlineQueue, Mode, Pool, Queue, Region, SimDisk, SimOptions, Slice,
    SyncMethod,
};
use logboom_wal::{
    Capacity, Durability, Error, FooterSpace, Listener, ManualClock, Meta, Options, Record, Request, Reservation,
    Runtime, Sequence, Wal, open, open_read_only, record_bytes,
};
use support::*;

#[test]
fn what_was_waited_for_is_replayed_after_a_power_cut() {
    for seed in 0..20 {
        let sim = Sim::new(seed);
        let expected: Vec<_> = (0..100).map(|nth| body(nth, 700)).collect();
        for body in &expected {
            write(&sim.wal, body).unwrap();
        }
        let sim = sim.cut_power().unwrap();
        assert_eq!(sim.bodies(), expected, "seed {seed}");
    }
}

#[test]
fn the_log_goes_on_over_many_segments_and_openings() {
    let mut sim = Sim::new(1);
    let mut expected = Vec::new();
    for opening in 0..5 {
        for nth in 0..60 {
            let body = body(opening * 1000 + nth, 9000);
            write(&sim.wal, &body).unwrap();
            expected.push(body);
        }
        assert!(sim.wal.segments().len() > 2);
        sim = if opening % 2 == 0 {
            sim.cut_power().unwrap()
        } else {
            sim.wal.close().unwrap();
            Sim::open(sim.disk.power_cut(), sim.clock).unwrap()
        };
        assert_eq!(sim.bodies(), expected);
    }
}

#[test]
fn records_are_readable_before_and_after_they_are_durable_and_from_the_device() {
    let sim = Sim::new(2);
    let (ticket, places) = submit(&sim.wal, &[b"one", b"two"], Durability::Durable).unwrap();
    assert_eq!(sim.wal.read_recent(places[1]).unwrap().body(), b"two");
    assert!(!ticket.is_done());
    ticket.wait().unwrap();
    let sim = sim.cut_power().unwrap();
    assert!(sim.wal.read_recent(places[0]).is_none());
    let mut records = Vec::new();
    sim.wal.read(&[places[1], places[0]], &mut records).unwrap();
    assert_eq!(records.iter().map(Record::body).collect::<Vec<_>>(), [b"two", b"one"]);
    assert_eq!((records[0].owner(), records[0].kind(), records[0].first(), records[0].attr()), (7, 1, 1, 3));
}

/// Random batches with crashes of both kinds, in the middle of whatever is in flight, recoveries included: what was
/// acknowledged is there, in order, with nothing between, and a batch is there whole or not at all.
#[test]
fn acknowledged_batches_survive_crashes_whole_and_in_order() {
    for seed in 0..150 {
        crash_run(seed);
    }
}

fn crash_run(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let options = SimOptions {
        sync_method: if rng.bool() { SyncMethod::Rolling } else { SyncMethod::Dsync },
        torn_per_mille: rng.u32(0..300),
        ..SimOptions::default()
    };
    let mut sim = Sim::with(seed, options);
    // Batches that were submitted and not found lost, by number, with the number of their records.
    let mut batches: Vec<(u64, usize)> = Vec::new();
    let mut next = 0;
    for _ in 0..4 {
        let acknowledged = Arc::new(Mutex::new(None));
        for _ in 0..rng.usize(0..60) {
            let records = rng.usize(1..6);
            let bodies: Vec<_> = (0..records).map(|_| body(next, rng.usize(8..6000))).collect();
            let bodies: Vec<&[u8]> = bodies.iter().map(|body| &body[..]).collect();
            let durability = if rng.u8(0..4) == 0 { Durability::Lazy } else { Durability::Durable };
            let (ticket, _) = submit(&sim.wal, &bodies, durability).unwrap();
            batches.push((next, records));
            let (acknowledged, number) = (Arc::clone(&acknowledged), next);
            ticket.on_complete(move |outcome| {
                if outcome.is_ok() {
                    *acknowledged.lock().unwrap() = Some(number);
                }
            });
            next += 1;
            for _ in 0..rng.usize(0..4) {
                sim.clock.advance(Duration::from_millis(rng.u64(0..30)));
                sim.wal.drive();
            }
        }
        let acknowledged = *acknowledged.lock().unwrap();
        let disk = if rng.bool() { sim.disk.power_cut() } else { sim.disk.process_crash() };
        drop(sim.wal);
        sim = reopen_with_crashes(disk, sim.clock, &mut rng, seed);
        check(&sim, &mut batches, acknowledged, seed);
    }
}

/// Opens, crashing a few times on the way: an opening that was cut short changes nothing.
fn reopen_with_crashes(mut disk: Arc<SimDisk>, clock: Arc<ManualClock>, rng: &mut fastrand::Rng, seed: u64) -> Sim {
    for _ in 0..rng.usize(0..3) {
        disk.fail_nth(FaultKind::Write, rng.u64(1..4), std::io::ErrorKind::Other);
        drop(Sim::open(disk.clone(), clock.clone()));
        disk = if rng.bool() { disk.power_cut() } else { disk.process_crash() };
    }
    Sim::open(disk, clock).unwrap_or_else(|error| panic!("seed {seed}: {error}"))
}

fn check(sim: &Sim, batches: &mut Vec<(u64, usize)>, acknowledged: Option<u64>, seed: u64) {
    let mut found: Vec<(u64, usize)> = Vec::new();
    for (record, _) in &sim.replayed {
        let number = u64::from_le_bytes(record.body()[..8].try_into().unwrap());
        match found.last_mut() {
            Some((last, records)) if *last == number => *records += 1,
            _ => found.push((number, 1)),
        }
    }
    assert!(found.len() <= batches.len(), "seed {seed}: more than was written");
    assert_eq!(found, batches[..found.len()], "seed {seed}: a hole, a partial batch, or a lost one come back");
    if let Some(acknowledged) = acknowledged {
        assert!(
            found.iter().any(|&(number, _)| number == acknowledged),
            "seed {seed}: {acknowledged} was acknowledged"
        );
    }
    batches.truncate(found.len());
}

#[test]
fn the_same_seed_makes_the_same_history() {
    let run = |seed| {
        let sim = Sim::new(seed);
        for nth in 0..50 {
            drop(submit(&sim.wal, &[&body(nth, 3000)], Durability::Durable).unwrap());
            sim.clock.advance(Duration::from_millis(3));
            sim.wal.drive();
        }
        let disk = sim.disk.clone();
        let sim = sim.cut_power().unwrap();
        write(&sim.wal, b"after").unwrap();
        (disk.trace(), sim.disk.trace())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn after_a_failed_write_or_sync_nothing_is_acknowledged_and_reads_go_on() {
    for (kind, method) in [(FaultKind::Write, SyncMethod::Dsync), (FaultKind::Sync, SyncMethod::Rolling)] {
        let sim = Sim::with(3, SimOptions { sync_method: method, ..SimOptions::default() });
        let durable = write(&sim.wal, b"durable").unwrap();
        while sim.wal.drive() {}
        sim.disk.fail_nth(kind, 1, std::io::ErrorKind::Other);
        let big = body(1, 40_000);
        let tickets: Vec<_> = (0..6).map(|_| submit(&sim.wal, &[&big], Durability::Durable).unwrap().0).collect();
        // With several in flight: a writer that waits would commit all of them in one write of its own.
        while sim.wal.drive() {}
        for ticket in tickets {
            assert!(matches!(ticket.wait(), Err(Error::Poisoned { .. })), "{kind:?}");
        }
        assert!(matches!(submit(&sim.wal, &[b"later"], Durability::Durable), Err(Error::Poisoned { .. })));
        assert_eq!(sim.wal.read_recent(durable).unwrap().body(), b"durable");
        assert!(sim.wal.health().poisoned.is_some());
        let sim = sim.cut_power().unwrap();
        assert_eq!(sim.bodies()[0], b"durable");
    }
}

#[test]
fn lazy_batches_ride_along_or_are_written_when_they_are_old() {
    let sim = Sim::new(10);
    let (lazy, _) = submit(&sim.wal, &[b"lazy"], Durability::Lazy).unwrap();
    for _ in 0..10 {
        sim.wal.drive();
    }
    assert!(!lazy.is_done(), "written alone");
    write(&sim.wal, b"durable").unwrap();
    assert!(lazy.is_done());
    let (lazy, _) = submit(&sim.wal, &[b"lazy"], Durability::Lazy).unwrap();
    for _ in 0..10 {
        sim.clock.advance(Duration::from_millis(10));
        sim.wal.drive();
    }
    while sim.wal.drive() {}
    assert!(lazy.is_done(), "not written when old");
}

#[test]
fn retired_segments_are_used_again_and_forgotten_ones_stay_forgotten() {
    let mut sim = Sim::new(11);
    for round in 0..30_u64 {
        (0..40).for_each(|nth| ok(write(&sim.wal, &body(round * 100 + nth, 9000))));
        let active = sim.wal.active();
        // Twice: a segment may go only when both slots cover it.
        for _ in 0..2 {
            sim.wal.write_checkpoint(active, &round.to_le_bytes()).unwrap();
        }
        let dead: Vec<_> = sim.wal.segments().iter().map(|segment| segment.id).filter(|&id| id < active).collect();
        sim.wal.retire(&dead).unwrap();
        write(&sim.wal, b"carries the record of it").unwrap();
        while sim.wal.drive() {}
        if round % 7 == 6 {
            sim = sim.cut_power().unwrap();
            let first = sim.replayed.first().unwrap().1.segment;
            assert!(first >= active, "round {round}: segment {first} came back");
        }
    }
    let files = sim.disk.list().unwrap().into_iter().filter(|name| name.starts_with("segment-")).count();
    assert!(files <= 16, "{files} files");
}

#[test]
fn a_segment_that_only_one_checkpoint_covers_is_not_retired() {
    let sim = Sim::new(12);
    (0..100).for_each(|nth| ok(write(&sim.wal, &body(nth, 9000))));
    let oldest = sim.wal.segments()[0].id;
    assert!(sim.wal.retire(&[oldest]).is_err());
    sim.wal.write_checkpoint(sim.wal.active(), b"one").unwrap();
    assert!(sim.wal.retire(&[oldest]).is_err());
    sim.wal.write_checkpoint(sim.wal.active(), b"two").unwrap();
    sim.wal.retire(&[oldest]).unwrap();
}

#[test]
fn a_log_that_lost_both_checkpoints_opens_as_often_as_it_opened_once() {
    let sim = Sim::new(14);
    (0..60).for_each(|nth| ok(write(&sim.wal, &body(nth, 9000))));
    (0..2).for_each(|_| sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap());
    sim.wal.retire(&[sim.wal.segments()[0].id]).unwrap();
    ok(write(&sim.wal, b"carries the record of it"));
    let disk = sim.disk.process_crash();
    ["checkpoint-0", "checkpoint-1"].iter().for_each(|name| disk.remove(name).unwrap());
    // The retired segment is still there, and all that leads from the log's beginning to the others.
    let mut sim = Sim::open(disk, sim.clock).unwrap();
    let found = sim.bodies();
    assert_eq!(found.len(), 61);
    // Each opening begins a segment, until those that lay prepared are used up.
    for _ in 0..10 {
        sim = Sim::open(sim.disk.process_crash(), sim.clock).unwrap();
        assert_eq!(sim.bodies(), found);
    }
}

#[test]
fn of_two_files_with_one_segment_it_is_always_the_same_that_counts() {
    let sim = Sim::new(15);
    (0..60).for_each(|nth| ok(write(&sim.wal, &body(nth, 9000))));
    (0..2).for_each(|_| sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap());
    sim.wal.retire(&[sim.wal.segments()[0].id]).unwrap();
    ok(write(&sim.wal, b"carries the record of it"));
    // A third does not know the retired segment any more.
    sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap();
    let active = sim.wal.segments().pop().unwrap().slot;
    let disk = sim.disk.process_crash();
    copy(&disk, &format!("segment-{active:06}"), "segment-000099");
    disk.damage("segment-000099", 9000..9001).unwrap();
    // The first opening begins its segment in the file of the retired one, which stands before both.
    let sim = Sim::open(disk, sim.clock).unwrap();
    let found = sim.bodies();
    assert_eq!(Sim::open(sim.disk.process_crash(), sim.clock).unwrap().bodies(), found);
}

fn copy(disk: &SimDisk, from: &str, to: &str) {
    let pool = Pool::new(0);
    let from = disk.open(from, Mode::Read).unwrap();
    let mut bytes = pool.region(usize::try_from(from.size().unwrap()).unwrap());
    from.read_at(&mut bytes, 0).unwrap();
    let to = disk.open(to, Mode::Create).unwrap();
    to.allocate(bytes.len() as u64).unwrap();
    to.write_at(&[bytes.freeze()], 0, logboom_disk::Sync::Data).unwrap();
    to.sync_all().unwrap();
    disk.sync_dir().unwrap();
}

#[test]
fn checkpoints_alternate_and_the_older_one_serves_when_the_newer_is_bad() {
    let sim = Sim::new(13);
    (0..50).for_each(|nth| ok(write(&sim.wal, &body(nth, 9000))));
    let early = sim.wal.active();
    sim.wal.write_checkpoint(early, b"early").unwrap();
    (0..50).for_each(|nth| ok(write(&sim.wal, &body(nth, 9000))));
    sim.wal.write_checkpoint(sim.wal.active(), b"late").unwrap();
    let disk = sim.disk.power_cut();
    assert_eq!(open_read_only(disk.clone(), options()).unwrap().checkpoint(), Some(&b"late"[..]));
    disk.damage("checkpoint-1", 4096..4097).unwrap();
    let mut opening = open_read_only(disk, options()).unwrap();
    assert_eq!((opening.checkpoint(), opening.replay_from()), (Some(&b"early"[..]), early));
    opening.replay(&mut |_| Ok(())).unwrap();
}

#[test]
fn footers_read_back_until_they_are_damaged() {
    let sim = Sim::new(14);
    (0..100).for_each(|nth| ok(write(&sim.wal, &body(nth, 9000))));
    let segment = sim.wal.sealable().unwrap();
    assert!(sim.wal.read_footer(segment.id).unwrap().is_none());
    let (head, rows) = (body(5, 20), body(6, 80));
    assert!(segment.footer_space as usize >= head.len() + rows.len());
    sim.wal.write_footer(segment.id, &head, &rows).unwrap();
    let footer = sim.wal.read_footer(segment.id).unwrap().unwrap();
    assert_eq!((&*footer.head, &*footer.body), (&*head, &*rows));
    assert_ne!(sim.wal.sealable().unwrap().id, segment.id);
    // One that is taken away leaves a segment that can be sealed.
    sim.wal.remove_footer(segment.id).unwrap();
    assert!(sim.wal.read_footer(segment.id).unwrap().is_none());
    assert_eq!(sim.wal.sealable().unwrap().id, segment.id);
    sim.wal.write_footer(segment.id, &head, &rows).unwrap();

    let read_head = || {
        let mut opening = open_read_only(sim.disk.clone(), options()).unwrap();
        opening.replay(&mut |_| Ok(())).unwrap();
        opening.read_heads(&[segment.id]).unwrap().next().unwrap().unwrap()
    };
    let damage = |at| sim.disk.damage(&format!("segment-{:06}", segment.slot), at..at + 1).unwrap();
    damage((256 << 10) - 2 * 4096);
    assert!(sim.wal.read_footer(segment.id).unwrap().is_none(), "its body is not intact");
    assert_eq!(read_head().as_deref(), Some(&*head));
    damage((256 << 10) - 4096);
    assert_eq!(read_head().as_deref(), None);
    let mut records = 0;
    sim.wal
        .scan(segment.id, &mut |_| {
            records += 1;
            Ok(())
        })
        .unwrap();
    assert!(records > 10);
}

/// Heads that are longer than what is read for them at first, between some that are not.
#[test]
fn long_heads_are_read_whole() {
    let (disk, clock) = (SimDisk::new(3, SimOptions::default()), ManualClock::new(3));
    let options = Options { footer: FooterSpace { fixed: 100_000, per_record: 0, per_range: 0 }, ..options() };
    let begin = || {
        let mut opening = open(disk.clone(), options.clone(), Runtime::Manual(clock.clone())).unwrap();
        opening.replay(&mut |_| Ok(())).unwrap();
        opening
    };
    let wal = begin().start().unwrap();
    (0..100).for_each(|nth| ok(write(&wal, &body(nth, 9000))));
    let mut heads = BTreeMap::new();
    while let Some(segment) = wal.sealable() {
        let head = body(segment.id.0, [90_000, 20, 65_536 - 64, 65_537 - 64][heads.len() % 4]);
        wal.write_footer(segment.id, &head, b"body").unwrap();
        heads.insert(segment.id, head);
    }
    assert!(heads.len() > 4);
    wal.close().unwrap();
    let opening = begin();
    let segments: Vec<_> = heads.keys().copied().collect();
    let found = opening.read_heads(&segments).unwrap().map(|head| head.unwrap().unwrap().to_vec());
    assert!(found.eq(heads.into_values()));
}

#[test]
fn a_full_device_is_an_error_that_passes_and_draining_goes_on() {
    let capacity = 12 * (256 << 10);
    let sim = Sim::with(16, SimOptions { capacity, ..SimOptions::default() });
    let big = body(1, 40_000);
    let full = (0..1000).map(|_| write(&sim.wal, &big)).find_map(Result::err);
    assert!(matches!(full, Some(Error::Full { capacity: Capacity::Device, .. })), "{full:?}");
    assert!(sim.wal.poisoned().is_none());
    let drain = |wal: &Wal| {
        let request = Request { records: 1, bytes: 40_064, durability: Durability::Durable, frees_space: true };
        let mut reservation = wal.reserve(wal.admit(40_064)?, &request)?;
        let meta = Meta { owner: 7, kind: 3, first: 1, count: 0, attr: 0, prev: Sequence::NONE };
        reservation.record(&meta, 40_000, |writer| writer.put(&big));
        reservation.finish().wait()
    };
    (0..4).for_each(|_| drain(&sim.wal).unwrap());
    let active = sim.wal.active();
    (0..2).for_each(|_| sim.wal.write_checkpoint(active, b"").unwrap());
    let dead: Vec<_> = sim.wal.segments().iter().map(|segment| segment.id).filter(|&id| id < active).collect();
    sim.wal.retire(&dead).unwrap();
    drain(&sim.wal).unwrap();
    while sim.wal.drive() {}
    (0..20).for_each(|_| ok(write(&sim.wal, &big)));
    // And a full device still opens.
    drop(sim.cut_power().unwrap());
}

/// A disk whose writes wait while it is told to.
#[derive(Debug)]
struct Stuck {
    disk: Arc<SimDisk>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

#[derive(Debug)]
struct StuckFile(Arc<dyn File>, Arc<(Mutex<bool>, Condvar)>);

impl Disk for Stuck {
    fn open(&self, name: &str, mode: Mode) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(StuckFile(self.disk.open(name, mode)?, Arc::clone(&self.gate))))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        Ok(Box::new(InlineQueue::default()))
    }
    fn facts(&self) -> &Facts {
        self.disk.facts()
    }
}

impl File for StuckFile {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
    fn allocate(&self, size: u64) -> io::Result<()> {
        self.0.allocate(size)
    }
    fn write_at(&self, slices: &[Slice], offset: u64, sync: logboom_disk::Sync) -> io::Result<()> {
        let (stuck, changed) = &*self.1;
        drop(changed.wait_while(stuck.lock().unwrap(), |stuck| *stuck).unwrap());
        self.0.write_at(slices, offset, sync)
    }
    fn read_at(&self, region: &mut Region, offset: u64) -> io::Result<()> {
        self.0.read_at(region, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

#[derive(Debug)]
struct Stalls(mpsc::Sender<Duration>);

impl Listener for Stalls {
    fn stalled(&self, waiting: Duration) {
        self.0.send(waiting).unwrap_or_default();
    }
}

#[test]
fn a_disk_that_stops_answering_is_reported_and_so_is_that_it_answers_again() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let disk = Arc::new(Stuck { disk: SimDisk::new(1, SimOptions::default()), gate: Arc::clone(&gate) });
    let (stalls, reported) = mpsc::channel();
    let options = Options {
        // More than are filled before the disk is stuck, so that who fills them is stuck as well.
        reserve_segments: 64,
        stall_after: Duration::from_millis(20),
        listener: Arc::new(Stalls(stalls)),
        ..options()
    };
    let wal = open(disk, options, Runtime::Threads).unwrap().start().unwrap();
    *gate.0.lock().unwrap() = true;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&wal, b"stuck"));
        assert!(reported.recv().unwrap() >= Duration::from_millis(20));
        assert!(wal.health().stalled >= Some(Duration::from_millis(20)));
        *gate.0.lock().unwrap() = false;
        gate.1.notify_all();
        writer.join().unwrap().unwrap();
    });
    while !reported.recv().unwrap().is_zero() {}
}

// ---- on a real file system ----

/// A directory beside the build, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("wal-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&dir));
        Self(dir)
    }

    fn open(&self) -> (Wal, Arc<dyn Disk>, BTreeMap<u64, usize>) {
        let disk = logboom_disk::open(&self.0, &DiskOptions::default()).unwrap();
        let mut opening = open(disk.clone(), options(), Runtime::Threads).unwrap();
        let mut replayed = BTreeMap::new();
        opening
            .replay(&mut |scanned| {
                let number = u64::from_le_bytes(record(scanned).body()[..8].try_into().unwrap());
                *replayed.entry(number).or_default() += 1;
                Ok(())
            })
            .unwrap();
        (opening.start().unwrap(), disk, replayed)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn many_threads_write_and_all_is_there_after_reopening() {
    let dir = Dir::new("threads");
    let (wal, ..) = dir.open();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let wal = &wal;
            scope.spawn(move || {
                for nth in 0..200 {
                    write(wal, &body(thread * 1000 + nth, 300)).unwrap();
                }
            });
        }
    });
    drop(wal);
    let (_wal, _, replayed) = dir.open();
    assert_eq!(replayed.len(), 1600);
}

#[test]
fn writers_that_commit_themselves_and_tickets_of_every_form_end_together() {
    let dir = Dir::new("mixed");
    let (wal, ..) = dir.open();
    let called = Arc::new(Mutex::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (wal, called) = (&wal, Arc::clone(&called));
            scope.spawn(move || {
                for nth in 0..200 {
                    let body = body(thread * 1000 + nth, if nth % 10 == 0 { 40_000 } else { 200 });
                    let bytes = record_bytes(body.len());
                    let request = Request { records: 1, bytes, durability: Durability::Durable, frees_space: false };
                    let mut reservation = wal.reserve(wal.admit(bytes as u64).unwrap(), &request).unwrap();
                    let meta = Meta { owner: thread, kind: 1, first: nth, count: 1, attr: 0, prev: Sequence::NONE };
                    reservation.record(&meta, body.len(), |writer| writer.put(&body));
                    match thread {
                        0 => reservation.finish_for_waiter().wait().unwrap(),
                        1 => reservation.finish().wait().unwrap(),
                        2 => {
                            let called = Arc::clone(&called);
                            reservation.finish().on_complete(move |outcome| {
                                outcome.unwrap();
                                *called.lock().unwrap() += 1;
                            });
                        }
                        _ => block_on(reservation.finish()).unwrap(),
                    }
                }
            });
        }
    });
    wal.close().unwrap();
    assert_eq!(*called.lock().unwrap(), 200);
    drop(wal);
    let (_wal, _, replayed) = dir.open();
    assert_eq!(replayed.len(), 800);
}

/// A writer that commits takes a group along whose own writer still copies, and leaves when its own group is durable.
#[test]
fn a_group_that_was_taken_and_not_written_is_committed_by_another() {
    let dir = Dir::new("behind");
    let disk = logboom_disk::open(&dir.0, &DiskOptions::default()).unwrap();
    let options = Options { segment_bytes: 16 << 20, idle_promise: Duration::from_secs(600), ..options() };
    let wal = open(disk, options, Runtime::Threads).unwrap().start().unwrap();
    let reserve = |body: &[u8]| {
        let bytes = record_bytes(body.len());
        let request = Request { records: 1, bytes, durability: Durability::Durable, frees_space: false };
        let mut reservation = wal.reserve(wal.admit(bytes as u64).unwrap(), &request).unwrap();
        let meta = Meta { owner: 1, kind: 1, first: 0, count: 1, attr: 0, prev: Sequence::NONE };
        reservation.record(&meta, body.len(), |writer| writer.put(body));
        reservation
    };
    let first = reserve(&[1; 100]).finish_for_waiter();
    // Too large for the chunk of the first: a group of its own.
    let second = reserve(&[2; 300_000]);
    first.wait().unwrap();
    let second = second.finish();
    assert!(second.wait_timeout(Duration::from_secs(20)).is_ok_and(|outcome| outcome.is_ok()), "nobody commits it");
}

/// A wake-up that is missed is a wait without end, as no bound is ever reached.
#[test]
fn who_waits_with_a_bound_is_woken_among_many() {
    let dir = Dir::new("bounded");
    let (wal, _, _) = dir.open();
    let wal = Arc::new(wal);
    let (done, is_done) = std::sync::mpsc::channel();
    for writer in 0..8 {
        let (wal, done) = (Arc::clone(&wal), done.clone());
        std::thread::spawn(move || {
            for nth in 0..100_u64 {
                let bytes = record_bytes(8);
                let request = Request { records: 1, bytes, durability: Durability::Durable, frees_space: false };
                let mut reservation = wal.reserve(wal.admit(bytes as u64).unwrap(), &request).unwrap();
                let meta = Meta { owner: writer, kind: 1, first: nth, count: 1, attr: 0, prev: Sequence::NONE };
                reservation.record(&meta, 8, |body| body.put(&nth.to_le_bytes()));
                // Some commit in their own threads beside those who wait.
                match (writer + nth) % 3 {
                    0 => reservation.finish_for_waiter().wait().unwrap(),
                    _ => reservation.finish().wait_timeout(Duration::MAX).unwrap().unwrap(),
                }
            }
            done.send(()).unwrap_or_default();
        });
    }
    for _ in 0..8 {
        is_done.recv_timeout(Duration::from_secs(120)).expect("a writer waits for ever");
    }
}

/// Callbacks run on a thread of their own, which a bounded wait does not need: it may be in one of them.
#[test]
fn a_callback_may_wait_with_a_bound() {
    let disk = SimDisk::new(7, SimOptions::default());
    let wal = open(disk, options(), Runtime::Threads).unwrap().start().unwrap();
    let (outcome, waited) = mpsc::channel();
    let (first, _) = submit(&wal, &[&[7; 8]], Durability::Durable).unwrap();
    let (second, _) = submit(&wal, &[&[8; 8]], Durability::Lazy).unwrap();
    first.on_complete(move |_| {
        outcome.send(second.wait_timeout(Duration::MAX).map_err(drop)).unwrap();
    });
    waited.recv_timeout(Duration::from_secs(120)).expect("it waits for ever").unwrap().unwrap();
    wal.close().unwrap();
}

#[test]
fn a_log_that_is_driven_by_hand_gives_the_ticket_back_when_another_thread_is_waited_for() {
    let disk = SimDisk::new(7, SimOptions::default());
    let clock = ManualClock::new(1);
    let wal = open(disk, options(), Runtime::Manual(clock)).unwrap().start().unwrap();
    let reserve = || {
        let bytes = record_bytes(8);
        let request = Request { records: 1, bytes, durability: Durability::Durable, frees_space: false };
        wal.reserve(wal.admit(bytes as u64).unwrap(), &request).unwrap()
    };
    let fill = |reservation: &mut Reservation| {
        let meta = Meta { owner: 1, kind: 1, first: 0, count: 1, attr: 0, prev: Sequence::NONE };
        reservation.record(&meta, 8, |body| body.put(&[7; 8]));
    };
    let (mut first, mut second) = (reserve(), reserve());
    fill(&mut second);
    let ticket = second.finish().wait_timeout(Duration::MAX).expect_err("the first is not filled yet");
    fill(&mut first);
    drop(first.finish());
    ticket.wait_timeout(Duration::MAX).expect("there is no bound").unwrap();
    wal.close().unwrap();
}

fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn between_rotations_a_group_is_one_write_and_at_most_one_sync() {
    let dir = Dir::new("shape");
    let disk = logboom_disk::open(&dir.0, &DiskOptions::default()).unwrap();
    let options = Options { segment_bytes: 16 << 20, idle_promise: Duration::from_secs(600), ..options() };
    let mut opening = open(disk.clone(), options, Runtime::Threads).unwrap();
    opening.replay(&mut |_| Ok(())).unwrap();
    let wal = opening.start().unwrap();
    // Until the reserve is prepared.
    while wal.metrics().prepared_segments < 5 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let (disk_before, before) = (disk.stats(), wal.metrics());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let wal = &wal;
            scope.spawn(move || (0..100).for_each(|nth| ok(write(wal, &body(thread * 1000 + nth, 1000)))));
        }
    });
    let (disk_after, after) = (disk.stats(), wal.metrics());
    let groups = after.groups - before.groups;
    assert!(groups <= 400);
    assert!(disk_after.writes - disk_before.writes <= groups, "{disk_before:?} {disk_after:?} {groups} groups");
    assert!(disk_after.syncs - disk_before.syncs <= groups);
    assert_eq!((disk_after.allocates, disk_after.renames), (disk_before.allocates, disk_before.renames));
    assert_eq!((disk_after.creates, disk_after.removes), (disk_before.creates, disk_before.removes));
}

#[test]
fn what_is_not_a_log_is_refused_and_left_alone() {
    let disk = SimDisk::new(0, SimOptions::default());
    disk.open("precious", Mode::Create).unwrap();
    let clock = ManualClock::new(0);
    let refused = open(disk.clone(), options(), Runtime::Manual(clock.clone()));
    assert!(matches!(refused, Err(Error::Foreign(_))));
    assert_eq!(disk.list().unwrap(), ["precious"]);
    let empty = SimDisk::new(0, SimOptions::default());
    assert!(matches!(open_read_only(empty.clone(), options()), Err(Error::Foreign(_))));
    let bad = Options { segment_bytes: 100_000, ..options() };
    assert!(matches!(open(empty.clone(), bad, Runtime::Manual(clock)), Err(Error::Unsupported(_))));
    assert!(empty.list().unwrap().is_empty());
}

#[test]
fn an_opening_that_is_cut_short_changes_nothing() {
    for direct in [true, false] {
        let options = SimOptions { direct, torn_per_mille: 500, ..SimOptions::default() };
        let sim = Sim::with(5, options);
        let expected: Vec<_> = (0..40).map(|nth| body(nth, 9000)).collect();
        expected.iter().for_each(|body| ok(write(&sim.wal, body)));
        let (disk, clock) = (sim.disk.fork(1).power_cut(), sim.clock);
        let whole = disk.fork(2);
        drop(Sim::open(whole.clone(), clock.clone()).unwrap());
        let operations = whole.operations().len() - disk.operations().len();
        assert!(operations > 10);
        for n in 1..operations as u64 {
            for seed in 0..4 {
                let cut = disk.fork(seed);
                cut.halt_after(n);
                drop(Sim::open(cut.clone(), clock.clone()));
                let sim = Sim::open(cut.power_cut(), clock.clone()).unwrap();
                assert_eq!(sim.bodies(), expected, "direct {direct}, cut at operation {n}, seed {seed}");
                assert!(!sim.is_damaged);
            }
        }
    }
}

#[test]
fn a_segment_that_a_crash_left_without_its_beginning_is_void() {
    let big = body(1, 40_000);
    for seed in 0..300 {
        let sim = Sim::with(seed, SimOptions { sync_method: SyncMethod::Rolling, ..SimOptions::default() });
        // Until segments are used again: what a crash leaves of their earlier lives can be read.
        for _ in 0..4 {
            (0..10).for_each(|_| ok(write(&sim.wal, &big)));
            let active = sim.wal.active();
            (0..2).for_each(|_| sim.wal.write_checkpoint(active, b"").unwrap());
            let dead: Vec<_> = sim.wal.segments().iter().map(|info| info.id).filter(|&id| id < active).collect();
            sim.wal.retire(&dead).unwrap();
            write(&sim.wal, b"durable").unwrap();
            while sim.wal.drive() {}
        }
        // Several writes in flight, over a rotation or two, when the power fails.
        (0..12).for_each(|_| drop(submit(&sim.wal, &[&big], Durability::Durable).unwrap()));
        for _ in 0..seed % 40 {
            sim.wal.drive();
        }
        let mut sim = sim.cut_power().unwrap();
        // What the opening kept, a checkpoint names; the next one must find it.
        for _ in 0..2 {
            let found = sim.bodies().len();
            sim.wal.write_checkpoint(sim.wal.active(), b"").unwrap();
            write(&sim.wal, b"more").unwrap();
            sim = sim.cut_power().unwrap();
            assert!(!sim.is_damaged, "seed {seed}");
            assert!(found > 0 && sim.bodies().ends_with(&[b"more".to_vec()]), "seed {seed}");
        }
    }
}
