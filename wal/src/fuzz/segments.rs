//! Opens a directory with arbitrary files: reads it, opens it for writing, writes to it, and opens it again.

use std::sync::Arc;

use logboom_disk::Disk;

use super::{Fixture, Input, MemoryDisk, Meter, edit, fixtures::options};
use crate::{
    format::record::{Meta, Record, record_bytes},
    group_commit::append::{Durability, Request},
    recovery::{
        opening::{Opening, RecoveryReport, TornTail, open, open_read_only},
        verify::verify,
    },
    runtime::worker::{ManualClock, Runtime},
    scan::scanned::{Loss, Scanned},
    segments::segment::SegmentInfo,
    types::{
        error::Error,
        ids::{Place, Sequence},
    },
};

/// Bounds on the cost of opening a directory and reading all of it.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes allocated in total, freed ones included, for each byte of the files.
    pub allocated_per_byte: u64,
    /// Bytes allocated in total, independent of the size of the files.
    pub allocated: u64,
    /// Bytes read for each byte of the files.
    pub read_per_byte: u64,
}

impl Bounds {
    /// The bounds of the log. A segment is read in windows of 1 MiB, once to replay it, once to look behind its end,
    /// once to scan it, and its records once more by place.
    pub const LOG: Self = Self { allocated_per_byte: 8, allocated: 1 << 20, read_per_byte: 8 };

    /// Runs `work`, which reads `disk`, and checks its cost.
    ///
    /// # Panics
    /// If the cost exceeds the bounds.
    pub fn check<T>(&self, disk: &MemoryDisk, meter: Meter<'_>, work: impl FnOnce() -> T) -> T {
        let (bytes, before) = (disk.bytes(), (meter(), disk.read_bytes()));
        let done = work();
        let (allocated, read) = (meter() - before.0, disk.read_bytes() - before.1);
        assert!(allocated <= self.allocated + self.allocated_per_byte * bytes, "{allocated} allocated for {bytes}");
        assert!(read <= self.read_per_byte * bytes, "{read} bytes read of {bytes}");
        done
    }
}

/// Opens a directory that was written by the log and then edited, as `bytes` say.
///
/// Reading, reading again and opening for writing find the same records and losses. Every record that is replayed can
/// be read by its place, and verifies. Without forged checksums the log holds only records that were written, in order,
/// and reports the missing ones as lost. A record that is written after the opening is found by the next one.
pub fn segment_recover(bytes: &[u8], meter: Meter<'_>) {
    let mut input = Input::new(bytes);
    let fixture = Fixture::choose(input.byte());
    let mut image = fixture.now.clone();
    let forged = edit(&mut image, &fixture.older, &mut input);
    check(fixture, &MemoryDisk::new(image), forged, meter);
}

fn check(fixture: &Fixture, disk: &Arc<MemoryDisk>, forged: bool, meter: Meter<'_>) {
    let seen = Bounds::LOG.check(disk, meter, || look(disk));
    assert_eq!(look(disk), seen, "read twice");
    drop(Bounds::LOG.check(disk, meter, || verify(Arc::clone(disk) as _, options(), &mut |_, _| ())));
    let existed = disk.has("LOGBOOM");
    let (written, opening) = reopen(disk);
    // If some files belong to another log, the log's own files can be read, and the log cannot be written.
    let is_refused = written.as_ref().is_err_and(|error| error.starts_with("the log's identity"));
    if existed && !is_refused {
        let mut writer_found = written.clone();
        // Forged headers can make a segment that its predecessor names seem to have been begun since the reader was
        // opened: the reader then does not report the lost end, which a writer reports last.
        if let (true, Ok(writer_found), Ok(seen)) = (forged, &mut writer_found, &seen)
            && writer_found.lost.len() == seen.lost.len() + 1
        {
            writer_found.lost.pop();
        }
        assert_eq!(writer_found, seen, "opened for writing");
    }
    let Ok(found) = written else { return };
    if !forged {
        found.check_records_of(fixture);
    }
    let is_short = opening.as_ref().is_some_and(|opening| !opening.report().odd_files.is_empty());
    let Some(probe) = opening.and_then(|opening| go_on(opening).ok()) else { return };
    let again = look(disk);
    if !forged {
        let mut records: Vec<_> = found.records.iter().map(|found| found.record).collect();
        records.push(probe);
        let again = again.unwrap().records.into_iter().map(|found| found.record);
        // Opening for writing lengthened a short file, so a block that its end cut can be read in part.
        let is_back = |record: &(Sequence, u64, u32)| is_short && found.is_lost(record.0) && !records.contains(record);
        let again: Vec<_> = again.filter(|record| !is_back(record)).collect();
        assert_eq!(again, records, "opened again");
    }
}

/// The results of an opening.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    records: Vec<Found>,
    lost: Vec<Loss>,
    segments: Vec<SegmentInfo>,
    cut: Option<TornTail>,
    closed: bool,
    epoch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Found {
    /// As in [`Fixture::written`].
    record: (Sequence, u64, u32),
    place: Place,
}

impl Seen {
    fn new((records, lost): (Vec<Found>, Vec<Loss>), segments: Vec<SegmentInfo>, report: &RecoveryReport) -> Self {
        Self { records, lost, segments, cut: report.cut, closed: report.closed, epoch: report.epoch }
    }

    /// Checks that the records were written in this order, and that the missing ones are reported as lost.
    fn check_records_of(&self, fixture: &Fixture) {
        let Some(first) = self.records.first() else { return };
        let at = fixture.written.iter().position(|written| *written == first.record);
        let at = at.unwrap_or_else(|| panic!("{first:?} was never written"));
        let mut written = fixture.written[at..].iter();
        for found in &self.records {
            let skipped = written.by_ref().take_while(|written| **written != found.record);
            for (sequence, ..) in skipped {
                assert!(self.is_lost(*sequence), "{sequence} is missing, and not among {:?}", self.lost);
            }
        }
    }

    fn is_lost(&self, sequence: Sequence) -> bool {
        self.lost.iter().any(|loss| match loss {
            Loss::Record { sequence: lost, .. } => *lost == sequence,
            Loss::Moved { .. } => false,
            Loss::Unknown { from, until } => (*from..*until).contains(&sequence),
        })
    }
}

/// The log as a reader finds it, with every record read by its place; or the error of the opening.
fn look(disk: &Arc<MemoryDisk>) -> Result<Seen, String> {
    let disk = Arc::clone(disk) as Arc<dyn Disk>;
    let mut opening = open_read_only(disk, options()).map_err(|error| format!("{error:#}"))?;
    let records = replay(&mut opening)?;
    let report = opening.report().clone();
    let live: Vec<_> = opening.segments().iter().map(|info| info.id).collect();
    let reader = opening.into_reader().map_err(|error| format!("{error:#}"))?;
    let seen = Seen::new(records, reader.segments(), &report);
    for segment in live {
        drop(reader.read_footer(segment));
        drop(reader.scan(segment, &mut |_| Ok(())));
    }
    // Records in a segment that a later record freed cannot be read any more.
    let there = |found: &&Found| reader.segments().iter().any(|info| info.id == found.place.segment);
    let found: Vec<&Found> = seen.records.iter().filter(there).collect();
    let places: Vec<Place> = found.iter().map(|found| found.place).collect();
    let mut read = Vec::new();
    match reader.read(&places, &mut read) {
        Ok(()) => {}
        // The walk takes the missing end of a short file for zeros.
        Err(Error::Corruption(_)) if !report.odd_files.is_empty() => return Ok(seen),
        Err(error) => panic!("{error:#}"),
    }
    for (found, record) in found.iter().zip(&read) {
        assert_eq!(found.record, name(record), "replayed, and read by its place");
    }
    Ok(seen)
}

/// The log as a writer finds it, and the opening.
fn reopen(disk: &Arc<MemoryDisk>) -> (Result<Seen, String>, Option<Opening>) {
    let opened = open(Arc::clone(disk) as _, options(), Runtime::Manual(ManualClock::new(9)));
    let mut opening = match opened {
        Ok(opening) => opening,
        Err(error) => return (Err(format!("{error:#}")), None),
    };
    let seen = replay(&mut opening).map(|records| Seen::new(records, opening.segments(), opening.report()));
    (seen, Some(opening))
}

fn replay(opening: &mut Opening) -> Result<(Vec<Found>, Vec<Loss>), String> {
    let (mut found, mut lost) = (Vec::new(), Vec::new());
    let replayed = opening.replay(&mut |scanned| {
        match scanned {
            Scanned::Record(record, place) => found.push(Found { record: name(&record), place }),
            Scanned::Lost(loss) => lost.push(loss),
        }
        Ok(())
    });
    replayed.map(|()| (found, lost)).map_err(|error| format!("{error:#}"))
}

fn name(record: &Record) -> (Sequence, u64, u32) {
    (record.sequence(), record.owner(), crc32fast::hash(record.body()))
}

/// Starts the log and writes a record, durably.
fn go_on(opening: Opening) -> Result<(Sequence, u64, u32), Error> {
    const BODY: &[u8] = b"behind everything";
    let wal = opening.start()?;
    let bytes = record_bytes(BODY.len());
    let permit = wal.admit(bytes as u64)?;
    let request = Request { records: 1, bytes, durability: Durability::Durable, frees_space: false };
    let mut reservation = wal.reserve(permit, &request)?;
    let meta = Meta { owner: 99, kind: 1, first: 0, count: 1, attr: 0, prev: Sequence::NONE };
    let sequence = reservation.record(&meta, BODY.len(), |writer| writer.put(BODY)).sequence;
    reservation.finish().wait()?;
    Ok((sequence, 99, crc32fast::hash(BODY)))
}
