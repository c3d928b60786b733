//! Checking a log: every checksum of every group, in constant memory, without changing anything.

use std::sync::Arc;

use logboom_disk::Disk;

use crate::{Cut, Damage, Error, Options, Record, SegmentId, open_read_only};

/// What [`verify`] found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Segments, groups' records and bytes that were read.
    pub segments: u64,
    /// See `segments`.
    pub records: u64,
    /// See `segments`.
    pub bytes: u64,
    /// Footers that are missing or not intact: their segments are read in their place.
    pub without_footer: Vec<SegmentId>,
    /// The unpromised tail that a writable opening would cut.
    pub cut: Option<Cut>,
    /// Durable groups that are not intact, the first of each segment.
    pub damages: Vec<Arc<Damage>>,
}

/// Reads everything that recovery would accept, and says what is wrong with it.
///
/// `progress` is told the bytes done and the bytes in all. A log that a writer has open can be verified too; its
/// newest groups may then look torn.
///
/// # Errors
/// What keeps the log from being checked: [`Error::Foreign`], [`Error::NewerFormat`], [`Error::Io`]. Damage is not an
/// error, but part of the report.
pub fn verify(
    disk: Arc<dyn Disk>,
    options: Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<VerifyReport, Error> {
    let mut report = VerifyReport::default();
    let mut opening = open_read_only(disk, options)?;
    let replay_from = opening.replay_from();
    let replayed = opening.replay(&mut |record: Record, _| {
        report.records += 1;
        report.bytes += record.body().len() as u64;
        Ok(())
    });
    report.note(replayed)?;
    report.cut = opening.report().cut;
    let segments = opening.segments();
    let total = segments.iter().map(|segment| u64::from(segment.end)).sum();
    let mut done = 0;
    for segment in segments {
        report.segments += 1;
        if segment.id < replay_from {
            let scanned = opening.scan(segment.id, &mut |record, _| {
                report.records += 1;
                report.bytes += record.body().len() as u64;
                Ok(())
            });
            report.note(scanned)?;
            if opening.read_footer(segment.id)?.is_none() {
                report.without_footer.push(segment.id);
            }
        }
        done += u64::from(segment.end);
        progress(done, total);
    }
    Ok(report)
}

impl VerifyReport {
    fn note(&mut self, outcome: Result<(), Error>) -> Result<(), Error> {
        match outcome {
            Err(Error::Corruption(damage)) => self.damages.push(damage),
            other => return other,
        }
        Ok(())
    }
}
