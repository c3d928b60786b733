//! Read-ahead of scans: reads return what was written, with fewer reads of the device.

use std::{ops::Range, sync::Arc};

use logboom_disk::{Disk, Fault, SimDisk, SimOptions};
use logboom_wal::{Durability, Error, ManualClock, Options, Place, Record, Runtime, SegmentId, Wal, open};

use crate::support::*;

/// Records of so many owners lie in turns.
const OWNERS: usize = 20;

/// A log whose records lie on the device, and what it is read with.
struct Log {
    disk: Arc<SimDisk>,
    clock: Arc<ManualClock>,
    wal: Wal,
    read_ahead_bytes: u64,
    /// In the order in which they lie, with their bodies.
    written: Vec<(Place, Vec<u8>)>,
}

impl Log {
    fn new(read_ahead_bytes: u64) -> Self {
        let (disk, clock) = (SimDisk::new(1, SimOptions::default()), ManualClock::new(1));
        let wal = start(&disk, &clock, read_ahead_bytes);
        let mut log = Self { disk, clock, wal, read_ahead_bytes, written: Vec::new() };
        log.write(600);
        log
    }

    /// The same log, read with more or less memory, by the next process.
    fn reopen(self, read_ahead_bytes: u64) -> Self {
        drop(self.wal);
        let disk = self.disk.power_cut();
        let wal = start(&disk, &self.clock, read_ahead_bytes);
        Self { disk, wal, read_ahead_bytes, ..self }
    }

    fn write(&mut self, records: u64) {
        for nth in self.written.len() as u64..self.written.len() as u64 + records {
            let body = body(nth, 1000 + usize::try_from(nth * 37 % 1500).unwrap());
            let (ticket, places) = submit(&self.wal, &[&body], Durability::Durable).unwrap();
            ticket.wait().unwrap();
            self.written.push((places[0], body));
        }
    }

    /// The records of one owner among the first `until`, as far as they are there, compared with what was written.
    fn scan(&self, owner: usize, until: usize) -> Result<(), Error> {
        let live: Vec<SegmentId> = self.wal.segments().iter().map(|info| info.id).collect();
        let of_it = self.written[..until].iter().skip(owner).step_by(OWNERS);
        let wanted: Vec<_> = of_it.filter(|(place, _)| live.contains(&place.segment)).collect();
        let places: Vec<Place> = wanted.iter().map(|(place, _)| *place).collect();
        let mut records = Vec::new();
        self.wal.read(&places, &mut records)?;
        let bodies = wanted.iter().map(|(_, body)| &body[..]);
        assert!(records.iter().map(Record::body).eq(bodies), "{} bytes ahead", self.read_ahead_bytes);
        Ok(())
    }

    /// Scans every owner, one after the other; returns how often the device was read.
    fn scan_all(&self) -> u64 {
        let before = self.disk.stats().reads;
        (0..OWNERS).for_each(|owner| self.scan(owner, self.written.len()).unwrap());
        assert!(self.wal.metrics().ahead_bytes <= self.read_ahead_bytes);
        self.disk.stats().reads - before
    }

    /// The blocks of the record that this owner has `nth`.
    fn blocks(&self, owner: usize, nth: usize) -> (String, Range<u64>) {
        let place = self.written[nth * OWNERS + owner].0;
        let slot = self.wal.segments().iter().find(|info| info.id == place.segment).unwrap().slot;
        (format!("segment-{slot:06}"), u64::from(place.offset)..u64::from(place.offset + place.len))
    }
}

fn start(disk: &Arc<SimDisk>, clock: &Arc<ManualClock>, read_ahead_bytes: u64) -> Wal {
    let options = Options { read_ahead_bytes, cache_bytes: 0, ..options() };
    let mut opening = open(disk.clone(), options, Runtime::Manual(clock.clone())).unwrap();
    opening.replay(&mut |_| Ok(())).unwrap();
    opening.start().unwrap()
}

#[test]
fn scans_read_what_was_written_and_ask_the_device_less_often() {
    let mut log = Log::new(0).reopen(0);
    let alone = log.scan_all();
    for read_ahead_bytes in [1, 64 << 10, 256 << 10, 64 << 20] {
        log = log.reopen(read_ahead_bytes);
        let reads = log.scan_all();
        let most = if read_ahead_bytes >= 64 << 20 { alone / 4 } else { alone };
        assert!(reads <= most, "{reads} of {alone} reads, {read_ahead_bytes} bytes");
        let metrics = log.wal.metrics();
        assert_eq!(metrics.reads_spared > 0, reads < alone);
        assert_eq!(metrics.read_ahead_bytes > 0, read_ahead_bytes >= 64 << 10);
    }
}

#[test]
fn scans_beside_writes_see_all_that_is_written() {
    for read_ahead_bytes in [64 << 10, 64 << 20] {
        let mut log = Log::new(read_ahead_bytes);
        for round in 0..200 {
            log.scan(round % OWNERS, log.written.len()).unwrap();
            log.write(3);
            // What was just written lies in the blocks behind what was just read.
            (0..2).for_each(|back| log.scan((log.written.len() - 1 - back) % OWNERS, log.written.len()).unwrap());
        }
    }
}

#[test]
fn what_is_reclaimed_leaves_no_chunk_behind() {
    let mut log = Log::new(64 << 20);
    for round in 0..8 {
        log.scan_all();
        assert!(log.wal.metrics().ahead_bytes > 0);
        let active = log.wal.active();
        (0..2).for_each(|_| log.wal.write_checkpoint(active, b"").unwrap());
        let dead: Vec<_> = log.wal.segments().iter().map(|info| info.id).filter(|&id| id < active).collect();
        log.wal.retire(&dead).unwrap();
        assert_eq!(log.wal.metrics().ahead_bytes, 0);
        let gone = log.wal.read(&[log.written[0].0], &mut Vec::new());
        assert!(matches!(gone, Err(Error::Gone(_))), "{gone:?}");
        log.write(300);
        while log.wal.drive() {}
        if round == 4 {
            log = log.reopen(64 << 20);
        }
    }
}

/// Has the second owner's scan bring chunks while `fault` is about, and returns the log.
fn scanned_during(fault: impl Fn(&Log, (String, Range<u64>))) -> Log {
    let log = Log::new(0).reopen(64 << 20);
    log.scan(0, log.written.len()).unwrap();
    // A few records on in the chunk that the next scan brings.
    fault(&log, log.blocks(6, 4));
    log.scan(1, log.written.len()).unwrap();
    log
}

#[test]
fn rot_in_what_was_read_ahead_is_found_by_the_record_that_it_hits() {
    let log = scanned_during(|log, (file, range)| log.disk.damage(&file, range.start + 40..range.start + 41).unwrap());
    (2..6).for_each(|owner| log.scan(owner, log.written.len()).unwrap());
    assert!(matches!(log.scan(6, log.written.len()), Err(Error::Corruption(_))));
    (7..OWNERS).for_each(|owner| log.scan(owner, log.written.len()).unwrap());
    assert!(matches!(log.scan(6, log.written.len()), Err(Error::Corruption(_))));
}

#[test]
fn a_read_that_went_wrong_is_made_good_by_another() {
    // What was there before the segment was written: zeros.
    let log = scanned_during(|log, (file, range)| log.disk.inject(Fault::stale_read().on(&file).within(range)));
    let before = log.wal.metrics().reads_spared;
    (2..OWNERS).for_each(|owner| log.scan(owner, log.written.len()).unwrap());
    assert!(log.wal.metrics().reads_spared > before);
}
