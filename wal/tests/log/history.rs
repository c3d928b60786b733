//! Random histories of the log alone, beside a model: batches of several owners, checkpoints, footers, segments that
//! are retired, failures, crashes of both kinds and in the middle of openings. After each opening every record that was
//! ever written is accounted for. `LOGBOOM_SEED` runs one seed, `LOGBOOM_LONG=1` thirty times as many.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use logboom_disk::{FaultKind, SimDisk, SimOptions, SyncMethod};
use logboom_wal::{
    Durability, Error, ManualClock, Meta, Opening, Place, Record, Request, Runtime, Scanned, SegmentId, Sequence, Wal,
    open, record_bytes,
};

use crate::support::options;

const SEEDS: u64 = 100;
const OWNERS: usize = 5;

#[test]
fn every_record_is_accounted_for() {
    let is_long = std::env::var("LOGBOOM_LONG").is_ok_and(|value| value == "1");
    let seeds = match std::env::var("LOGBOOM_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..if is_long { 30 * SEEDS } else { SEEDS }).collect::<Vec<u64>>(),
    };
    let mut total = Counts::default();
    for &seed in &seeds {
        let counts = std::panic::catch_unwind(|| run(seed));
        let Ok(counts) = counts else { panic!("LOGBOOM_SEED={seed} repeats it") };
        total.add(&counts);
    }
    println!("{total:?}");
    let Counts { crashes, recycled, footers, checkpoints, cut, interrupted, .. } = total;
    let all = [crashes, recycled, footers, checkpoints, cut, interrupted];
    assert!(seeds.len() == 1 || all.into_iter().all(|count| count > seeds.len() as u64 / 10), "{total:?}");
}

/// What the histories came to.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    batches: u64,
    crashes: u64,
    /// Openings that were stopped, or that failed.
    interrupted: u64,
    /// Batches that nobody was told of, and that a crash took.
    cut: u64,
    checkpoints: u64,
    footers: u64,
    /// Retired segments that were gone at an opening.
    recycled: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.batches += other.batches;
        self.crashes += other.crashes;
        self.interrupted += other.interrupted;
        self.cut += other.cut;
        self.checkpoints += other.checkpoints;
        self.footers += other.footers;
        self.recycled += other.recycled;
    }
}

/// A record as it was handed in.
#[derive(Debug)]
struct Written {
    sequence: Sequence,
    place: Place,
    meta: Meta,
    body: Vec<u8>,
}

impl Written {
    fn is(&self, record: &Record, place: Place) -> bool {
        let Meta { owner, kind, first, count, attr, prev } = self.meta;
        (record.owner(), record.kind(), record.first(), record.count()) == (owner, kind, first, count)
            && (record.attr(), record.prev(), record.sequence()) == (attr, prev, self.sequence)
            && place == self.place
            && record.body() == self.body
    }
}

/// What there is to be found.
#[derive(Default)]
struct Model {
    /// Those that were not lost, in their order.
    batches: Vec<Vec<Written>>,
    /// The last record of each owner.
    last: [Sequence; OWNERS],
    /// The numbers of the batches that were acknowledged to this life of the log.
    acknowledged: Arc<Mutex<Vec<usize>>>,
    /// Batches before this are durable.
    durable: usize,
    /// Retired segments, and the number of the next batch then: when that is durable they are gone for good.
    retired: BTreeMap<SegmentId, usize>,
    gone: BTreeSet<SegmentId>,
    footers: BTreeMap<SegmentId, Vec<u8>>,
    /// Where each checkpoint is replayed from; the last that is durable, and the last that was tried.
    replayed_from: Vec<SegmentId>,
    checkpoint: usize,
}

struct History {
    rng: Rng,
    clock: Arc<ManualClock>,
    model: Model,
    /// Something is to fail, or the machine to stop.
    is_faulty: bool,
    counts: Counts,
}

fn run(seed: u64) -> Counts {
    let mut rng = Rng::with_seed(seed);
    let unit = if rng.bool() { 4096 } else { 512 };
    let disk = SimDisk::new(
        seed,
        SimOptions {
            pad_unit: unit,
            physical_block: unit,
            direct: rng.u8(..4) > 0,
            sync_method: if rng.bool() { SyncMethod::Rolling } else { SyncMethod::Dsync },
            torn_per_mille: rng.u32(0..300),
            ..SimOptions::default()
        },
    );
    let model = Model { replayed_from: vec![SegmentId(0)], ..Model::default() };
    let clock = ManualClock::new(seed);
    let mut history = History { rng, clock, model, is_faulty: false, counts: Counts::default() };
    let (mut disk, mut wal) = history.reopen(disk);
    for _ in 0..history.rng.usize(2..8) {
        history.live(&disk, &wal);
        if history.rng.u8(..5) == 0 && !history.is_faulty {
            match wal.close() {
                Ok(()) => {
                    history.settle();
                    assert_eq!(history.model.durable, history.model.batches.len(), "closed");
                }
                // It was to stop after so many operations, of which these are the last.
                Err(_) if disk.has_halted() => history.is_faulty = true,
                Err(error) => panic!("{error}"),
            }
        }
        disk = history.crash(&disk);
        drop(wal);
        (disk, wal) = history.reopen(disk);
    }
    history.counts
}

impl History {
    fn live(&mut self, disk: &SimDisk, wal: &Wal) {
        match self.rng.u8(..6) {
            0 => disk.halt_after(self.rng.u64(1..300)),
            1 => {
                let kinds = [FaultKind::Write, FaultKind::Sync, FaultKind::Allocate];
                disk.fail_nth(kinds[self.rng.usize(..3)], self.rng.u64(1..60), ErrorKind::Other);
                self.is_faulty = true;
            }
            _ => {}
        }
        for _ in 0..self.rng.usize(1..200) {
            match self.act(wal) {
                Ok(()) => {}
                Err(_) if disk.has_halted() || self.is_faulty => break,
                Err(error) => panic!("{error}"),
            }
        }
        self.is_faulty |= disk.has_halted();
        self.settle();
    }

    /// One of the things that a caller does.
    fn act(&mut self, wal: &Wal) -> Result<(), Error> {
        match self.rng.u8(..100) {
            // Several writes are in flight then.
            0..5 => (0..self.rng.u8(..20)).try_for_each(|_| self.submit(wal))?,
            5..60 => self.submit(wal)?,
            60..68 => wal.barrier().wait()?,
            68..74 => self.checkpoint(wal)?,
            74..80 => self.retire(wal)?,
            80..86 => self.seal(wal)?,
            86..94 => self.read(wal)?,
            _ => self.clock.advance(Duration::from_millis(self.rng.u64(1..15_000))),
        }
        for _ in 0..self.rng.u8(..4) {
            self.clock.advance(Duration::from_millis(self.rng.u64(..10)));
            wal.drive();
        }
        Ok(())
    }

    fn submit(&mut self, wal: &Wal) -> Result<(), Error> {
        let len_max = [30, 3000, 3000, 11_000][self.rng.usize(..4)];
        let bodies: Vec<Vec<u8>> =
            (0..self.rng.usize(1..5)).map(|_| vec![self.rng.u8(..); self.rng.usize(..len_max)]).collect();
        let bytes = bodies.iter().map(|body| record_bytes(body.len())).sum();
        let durability = if self.rng.u8(..4) == 0 { Durability::Lazy } else { Durability::Durable };
        let records = u32::try_from(bodies.len()).unwrap();
        let permit = wal.admit(bytes as u64)?;
        let mut reservation = wal.reserve(permit, &Request { records, bytes, durability, frees_space: false })?;
        let mut batch = Vec::new();
        for body in bodies {
            let owner = self.rng.usize(..OWNERS);
            let (rng, prev) = (&mut self.rng, self.model.last[owner]);
            let (kind, first, count, attr) = (rng.u8(..128), rng.u64(..), rng.u32(..), rng.u64(..));
            let meta = Meta { owner: owner as u64, kind, first, count, attr, prev };
            let at = reservation.record(&meta, body.len(), |writer| writer.put(&body));
            self.model.last[owner] = at.sequence;
            batch.push(Written { sequence: at.sequence, place: at.place, meta, body });
        }
        let (number, acknowledged) = (self.model.batches.len(), Arc::clone(&self.model.acknowledged));
        self.model.batches.push(batch);
        self.counts.batches += 1;
        reservation.finish().on_complete(move |outcome| {
            if outcome.is_ok() {
                acknowledged.lock().unwrap().push(number);
            }
        });
        Ok(())
    }

    /// Writes a checkpoint of what is durable.
    fn checkpoint(&mut self, wal: &Wal) -> Result<(), Error> {
        wal.barrier().wait()?;
        let before = self.model.replayed_from[self.model.replayed_from.len() - 1];
        let segments = wal.segments();
        let from = if self.rng.bool() { wal.active() } else { segments[self.rng.usize(..segments.len())].id };
        let (number, from) = (self.model.replayed_from.len(), from.max(before));
        self.model.replayed_from.push(from);
        wal.write_checkpoint(from, &(number as u64).to_le_bytes())?;
        self.model.checkpoint = number;
        self.counts.checkpoints += 1;
        Ok(())
    }

    /// Retires some of the segments that may be.
    fn retire(&mut self, wal: &Wal) -> Result<(), Error> {
        let (active, covered) = (wal.active(), wal.covered());
        let mut dead: Vec<SegmentId> = wal.segments().iter().map(|info| info.id).collect();
        dead.retain(|&id| id < active && id < covered && self.rng.u8(..4) > 0);
        if dead.is_empty() {
            return Ok(());
        }
        let next = self.model.batches.len();
        // It may be on its way when this fails.
        self.model.retired.extend(dead.iter().map(|&id| (id, usize::MAX)));
        wal.retire(&dead)?;
        self.model.retired.extend(dead.into_iter().map(|id| (id, next)));
        Ok(())
    }

    fn seal(&mut self, wal: &Wal) -> Result<(), Error> {
        let Some(segment) = wal.sealable() else { return Ok(()) };
        let footer = vec![self.rng.u8(..); self.rng.usize(1..=segment.footer_space as usize)];
        let (head, body) = footer.split_at(self.rng.usize(..=footer.len()));
        wal.write_footer(segment.id, head, body)?;
        self.model.footers.insert(segment.id, footer);
        self.counts.footers += 1;
        Ok(())
    }

    /// Reads a few records, wherever they are.
    fn read(&mut self, wal: &Wal) -> Result<(), Error> {
        let live: BTreeSet<SegmentId> = wal.segments().iter().map(|info| info.id).collect();
        let all: Vec<&Written> = self.model.batches.iter().flatten().collect();
        let some: Vec<&Written> = (0..self.rng.usize(..20)).filter_map(|_| self.rng.choice(&all).copied()).collect();
        let some: Vec<&Written> = some.into_iter().filter(|written| live.contains(&written.place.segment)).collect();
        let places: Vec<Place> = some.iter().map(|written| written.place).collect();
        let mut records = Vec::new();
        wal.read(&places, &mut records)?;
        assert_eq!(records.len(), some.len());
        assert!(some.iter().zip(&records).all(|(written, record)| written.is(record, written.place)));
        Ok(())
    }

    /// Notes what was acknowledged: all batches, in their order.
    fn settle(&mut self) {
        for number in std::mem::take(&mut *self.model.acknowledged.lock().unwrap()) {
            assert_eq!(number, self.model.durable, "acknowledged out of order");
            self.model.durable = number + 1;
        }
    }

    fn crash(&mut self, disk: &SimDisk) -> Arc<SimDisk> {
        self.counts.crashes += 1;
        self.is_faulty = false;
        match self.rng.u8(..5) {
            0 | 1 => disk.process_crash(),
            2 => disk.process_crash().power_cut(),
            _ => disk.power_cut(),
        }
    }

    /// Opens the log, after some openings that were stopped or failed, and checks what is there.
    fn reopen(&mut self, mut disk: Arc<SimDisk>) -> (Arc<SimDisk>, Wal) {
        for _ in 0..self.rng.u8(..3) {
            if self.rng.bool() {
                disk.halt_after(self.rng.u64(1..60));
            } else {
                let kind = FaultKind::ALL[self.rng.usize(..FaultKind::ALL.len())];
                disk.fail_nth(kind, self.rng.u64(1..20), ErrorKind::Other);
            }
            let opened = open(disk.clone(), options(), Runtime::Manual(self.clock.clone()));
            let opened = opened.and_then(Opening::start);
            assert!(opened.is_ok() || disk.has_halted() || disk.pending_faults() == 0, "{:?}", opened.err());
            self.counts.interrupted += u64::from(opened.is_err());
            disk = self.crash(&disk);
        }
        let mut opening = open(disk.clone(), options(), Runtime::Manual(self.clock.clone())).unwrap();
        self.account(&mut opening);
        (disk, opening.start().unwrap())
    }

    /// Checks that what was written is there, each batch whole, up to one that nobody was told of; and nothing else.
    fn account(&mut self, opening: &mut Opening) {
        let model = &mut self.model;
        let mut found: BTreeMap<Sequence, (Record, Place)> = BTreeMap::new();
        let mut take = |scanned| {
            let Scanned::Record(record, place) = scanned else { panic!("{scanned:?}") };
            assert!(found.insert(record.sequence(), (record, place)).is_none(), "a record comes twice");
            Ok(())
        };
        opening.replay(&mut take).unwrap();
        assert!(opening.report().damages.is_empty(), "{:?}", opening.report());
        let covered = opening.segments().into_iter().filter(|info| info.id < opening.replay_from());
        covered.for_each(|info| opening.scan(info.id, &mut take).unwrap());

        let segments = opening.segments();
        let live: BTreeSet<SegmentId> = segments.iter().map(|info| info.id).collect();
        let files: BTreeSet<u32> = segments.iter().map(|info| info.slot).collect();
        assert_eq!(files.len(), segments.len(), "a file is in use twice: {segments:?}");
        for (id, next) in std::mem::take(&mut model.retired) {
            assert!(!live.contains(&id) || next >= model.durable, "{id} was freed, and that was durable");
            if !live.contains(&id) {
                self.counts.recycled += 1;
                model.gone.insert(id);
            }
        }
        assert!(live.is_disjoint(&model.gone), "{live:?} {:?}", model.gone);

        let is_left = |batch: &Vec<Written>| !model.gone.contains(&batch[0].place.segment);
        let is_there = |batch: &Vec<Written>| {
            let is_there =
                |written: &Written| found.get(&written.sequence).map(|(record, place)| written.is(record, *place));
            let there: Vec<Option<bool>> = batch.iter().map(is_there).collect();
            assert!(there.iter().all(|is| *is == there[0] && *is != Some(false)), "{there:?} of {batch:?}");
            there[0].is_some()
        };
        let whole = model.batches.iter().position(|batch| is_left(batch) && !is_there(batch));
        let whole = whole.unwrap_or(model.batches.len());
        assert!(whole >= model.durable, "{whole} batches of {} that were durable", model.durable);
        let expected: usize = model.batches[..whole].iter().filter(|batch| is_left(batch)).map(Vec::len).sum();
        assert_eq!(found.len(), expected, "more is there than was written before the first that is lost");
        self.counts.cut += (model.batches.len() - whole) as u64;
        model.batches.truncate(whole);
        model.go_on(opening, &live);
    }
}

impl Model {
    /// What was found is durable from now on.
    fn go_on(&mut self, opening: &Opening, live: &BTreeSet<SegmentId>) {
        let number = opening.checkpoint().map_or(0, |body| u64::from_le_bytes(body.try_into().unwrap()));
        let number = usize::try_from(number).unwrap();
        assert!((self.checkpoint..self.replayed_from.len()).contains(&number), "checkpoint {number}");
        assert_eq!(opening.replay_from(), self.replayed_from[number]);
        self.replayed_from.truncate(number + 1);
        self.checkpoint = number;

        self.footers.retain(|id, _| live.contains(id));
        let sealed: Vec<SegmentId> = self.footers.keys().copied().collect();
        let heads = opening.read_heads(&sealed).unwrap();
        for ((id, footer), head) in self.footers.iter().zip(heads) {
            let found = opening.read_footer(*id).unwrap().unwrap();
            assert_eq!([&*found.head, &*found.body].concat(), *footer, "footer of {id}");
            assert_eq!(head.unwrap().as_deref(), Some(&*found.head), "footer of {id}");
            opening.accept_footer(*id);
        }
        self.durable = self.batches.len();
        self.acknowledged = Arc::default();
        self.last = [Sequence::NONE; OWNERS];
        for written in self.batches.iter().flatten() {
            self.last[usize::try_from(written.meta.owner).unwrap()] = written.sequence;
        }
    }
}
