//! Fixtures: directories that the log has written, which the fuzz targets edit. The same in every process.

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

/// A directory at two times, and the records that were written to it.
#[derive(Debug)]
pub struct Fixture {
    /// The directory as the last process left it.
    pub now: Image,
    /// The directory at an earlier time.
    pub older: Image,
    /// The records of the log, retired ones included, in its order: sequence, owner and checksum of the body. Without
    /// the records that a crash cut.
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

impl Fixture {
    /// A directory at two times, without a list of its records.
    pub fn new(now: Image, older: Image) -> Self {
        Self { now, older, written: Vec::new() }
    }

    /// One of the log's own fixtures.
    pub(super) fn choose(choice: u8) -> &'static Self {
        const MAKE: [fn() -> Fixture; 4] = [closed, crashed, torn, recycled];
        static FIXTURES: [OnceLock<Fixture>; 4] = [const { OnceLock::new() }; 4];
        let nth = usize::from(choice) % MAKE.len();
        FIXTURES[nth].get_or_init(MAKE[nth])
    }
}

/// One short log, closed.
fn closed() -> Fixture {
    let mut writer = LogWriter::new(1);
    writer.write(&[10, 0, 300], Durability::Durable);
    let older = writer.image();
    writer.write(&[100], Durability::Durable);
    writer.write(&[3000, 64], Durability::Durable);
    writer.write(&[1; 70], Durability::Durable);
    writer.wal.close().unwrap();
    writer.fixture(older)
}

/// Three epochs over several segments, each ended by a killed process.
fn crashed() -> Fixture {
    let mut writer = LogWriter::new(2);
    let mut older = writer.image();
    for _ in 0..3 {
        (0..6).for_each(|nth| writer.write(&[nth * 150, 40_000], Durability::Durable));
        older = writer.image();
        writer = writer.reopen(|disk| disk.process_crash());
    }
    writer.write(&[5], Durability::Durable);
    writer.fixture(older)
}

/// A log with batches in flight when the power failed.
fn torn() -> Fixture {
    let mut writer = LogWriter::new(3);
    (0..5).for_each(|nth| writer.write(&[nth * 300, 20], Durability::Durable));
    let older = writer.image();
    for nth in 0..20 {
        drop(writer.begin(&[nth * 90, 500], Durability::Lazy));
        writer.wal.drive();
    }
    writer = writer.reopen(|disk| disk.power_cut());
    (0..4).for_each(|nth| writer.write(&[nth * 200], Durability::Durable));
    writer.fixture(older)
}

/// A log with checkpoints and footers, and with some recycled segments.
fn recycled() -> Fixture {
    let mut writer = LogWriter::new(4);
    let mut older = writer.image();
    for round in 0..3_u64 {
        (0..8).for_each(|_| writer.write(&[40_000, 40], Durability::Durable));
        while let Some(segment) = writer.wal.sealable() {
            writer.wal.write_footer(segment.id, &[6; 40], &[7; 60]).unwrap();
        }
        let active = writer.wal.active();
        (0..2).for_each(|_| writer.wal.write_checkpoint(active, &round.to_le_bytes()).unwrap());
        let segments = writer.wal.segments();
        let dead: Vec<_> = segments.iter().map(|info| info.id).filter(|&id| id < active).collect();
        writer.wal.retire(&dead[..dead.len() - 1]).unwrap();
        writer.wal.barrier().wait().unwrap();
        while writer.wal.drive() {}
        if round == 1 {
            older = writer.image();
        }
    }
    writer.write(&[77], Durability::Durable);
    writer.fixture(older)
}

/// Writes a log on a simulated disk, and keeps a list of the records.
struct LogWriter {
    disk: Arc<SimDisk>,
    clock: Arc<ManualClock>,
    wal: Wal,
    written: Vec<(Sequence, u64, u32)>,
}

impl LogWriter {
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
        // The records after the last one found were cut.
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

    fn fixture(self, older: Image) -> Fixture {
        Fixture { now: self.image(), older, written: self.written }
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
            let sequence = reservation.record(&meta, len, |put| put.put(&body)).sequence;
            self.written.push((sequence, owner, crc32fast::hash(&body)));
        }
        reservation.finish()
    }
}
