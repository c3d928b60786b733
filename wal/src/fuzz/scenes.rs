//! Directories that the log itself has written, for edits to begin with. The same in every process.

use std::sync::{Arc, OnceLock};

use logboom_disk::SimDisk;

use super::Image;
use crate::{
    format::{
        options::{FooterSpace, Options},
        record::{Meta, record_bytes},
    },
    group_commit::{
        append::{Durability, Request},
        ticket::Ticket,
    },
    recovery::opening::open,
    runtime::worker::{ManualClock, Runtime},
    scan::scanned::Scanned,
    types::ids::Sequence,
    wal::Wal,
};

/// A directory at two times, and what was written to it.
#[derive(Debug)]
pub struct Scene {
    /// As the last process left it.
    pub now: Image,
    /// As it was before.
    pub older: Image,
    /// The records that the log holds, and held before they were retired, in its order: sequence, owner and checksum
    /// of the body. None that a crash cut away.
    pub(super) written: Vec<(Sequence, u64, u32)>,
}

pub(super) fn options() -> Options {
    Options {
        segment_bytes: 256 << 10,
        reserve_segments: 0,
        footer: FooterSpace { fixed: 64, per_record: 16, per_range: 0 },
        ..Options::default()
    }
}

impl Scene {
    /// A directory at two times; what was written to it is for the caller to know.
    pub fn new(now: Image, older: Image) -> Self {
        Self { now, older, written: Vec::new() }
    }

    /// One of the scenes of the log by itself.
    pub(super) fn choose(choice: u8) -> &'static Self {
        const MAKE: [fn() -> Scene; 4] = [closed, crashed, torn, recycled];
        static SCENES: [OnceLock<Scene>; 4] = [const { OnceLock::new() }; 4];
        let nth = usize::from(choice) % MAKE.len();
        SCENES[nth].get_or_init(MAKE[nth])
    }
}

/// One short log, closed.
fn closed() -> Scene {
    let mut author = Author::new(1);
    author.write(&[10, 0, 300], Durability::Durable);
    let older = author.image();
    author.write(&[100], Durability::Durable);
    author.write(&[3000, 64], Durability::Durable);
    author.write(&[1; 70], Durability::Durable);
    author.wal.close().unwrap();
    author.scene(older)
}

/// Three epochs over several segments, each ended by a killed process.
fn crashed() -> Scene {
    let mut author = Author::new(2);
    let mut older = author.image();
    for _ in 0..3 {
        (0..6).for_each(|nth| author.write(&[nth * 150, 40_000], Durability::Durable));
        older = author.image();
        author = author.reopen(|disk| disk.process_crash());
    }
    author.write(&[5], Durability::Durable);
    author.scene(older)
}

/// A log with batches in flight when the power went.
fn torn() -> Scene {
    let mut author = Author::new(3);
    (0..5).for_each(|nth| author.write(&[nth * 300, 20], Durability::Durable));
    let older = author.image();
    for nth in 0..20 {
        drop(author.begin(&[nth * 90, 500], Durability::Lazy));
        author.wal.drive();
    }
    author = author.reopen(|disk| disk.power_cut());
    (0..4).for_each(|nth| author.write(&[nth * 200], Durability::Durable));
    author.scene(older)
}

/// A log with checkpoints and footers, some segments of which were used again.
fn recycled() -> Scene {
    let mut author = Author::new(4);
    let mut older = author.image();
    for round in 0..3_u64 {
        (0..8).for_each(|_| author.write(&[40_000, 40], Durability::Durable));
        while let Some(segment) = author.wal.sealable() {
            author.wal.write_footer(segment.id, &[6; 40], &[7; 60]).unwrap();
        }
        let active = author.wal.active();
        (0..2).for_each(|_| author.wal.write_checkpoint(active, &round.to_le_bytes()).unwrap());
        let segments = author.wal.segments();
        let dead: Vec<_> = segments.iter().map(|info| info.id).filter(|&id| id < active).collect();
        author.wal.retire(&dead[..dead.len() - 1]).unwrap();
        author.wal.barrier().wait().unwrap();
        while author.wal.drive() {}
        if round == 1 {
            older = author.image();
        }
    }
    author.write(&[77], Durability::Durable);
    author.scene(older)
}

/// Writes a log on a simulated disk, and remembers what.
struct Author {
    disk: Arc<SimDisk>,
    clock: Arc<ManualClock>,
    wal: Wal,
    written: Vec<(Sequence, u64, u32)>,
}

impl Author {
    fn new(seed: u64) -> Self {
        Self::open(SimDisk::new(seed, Image::options()), ManualClock::new(seed), Vec::new())
    }

    fn open(disk: Arc<SimDisk>, clock: Arc<ManualClock>, mut written: Vec<(Sequence, u64, u32)>) -> Self {
        let mut opening = open(Arc::clone(&disk) as _, options(), Runtime::Manual(Arc::clone(&clock) as _)).unwrap();
        let mut found = Vec::new();
        opening
            .replay(&mut |scanned| {
                if let Scanned::Record(record, _) = scanned {
                    found.push((record.sequence(), record.owner(), crc32fast::hash(record.body())));
                }
                Ok(())
            })
            .unwrap();
        // What came after the last record found was cut away.
        let last = found.last().map_or(Sequence::NONE, |(sequence, ..)| *sequence);
        written.retain(|(sequence, ..)| *sequence <= last);
        Self { disk, clock, wal: opening.start().unwrap(), written }
    }

    fn reopen(self, end: impl FnOnce(&SimDisk) -> Arc<SimDisk>) -> Self {
        Self::open(end(&self.disk), self.clock, self.written)
    }

    fn image(&self) -> Image {
        Image::of(&*self.disk)
    }

    fn scene(self, older: Image) -> Scene {
        Scene { now: self.image(), older, written: self.written }
    }

    fn write(&mut self, bodies: &[usize], durability: Durability) {
        self.begin(bodies, durability).wait().unwrap();
    }

    fn begin(&mut self, bodies: &[usize], durability: Durability) -> Ticket {
        let bytes = bodies.iter().map(|&len| record_bytes(len)).sum();
        let permit = self.wal.admit(bytes as u64).unwrap();
        let request = Request { records: bodies.len() as u32, bytes, durability, frees_space: false };
        let mut reservation = self.wal.reserve(permit, &request).unwrap();
        for &len in bodies {
            let nth = self.written.len();
            let owner = nth as u64 % 3;
            let prev = self.written.iter().rev().find(|written| written.1 == owner);
            let prev = prev.map_or(Sequence::NONE, |(sequence, ..)| *sequence);
            let meta = Meta { owner, kind: 1, first: nth as u64, count: 1, attr: 3, prev };
            let body = vec![nth as u8; len];
            let sequence = reservation.record(&meta, len, |writer| writer.put(&body)).sequence;
            self.written.push((sequence, owner, crc32fast::hash(&body)));
        }
        reservation.finish()
    }
}
