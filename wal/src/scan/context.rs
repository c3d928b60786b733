//! The context of reading a log's files: disk, identity and options; and the lives that the files state.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use logboom_disk::{File, Mode, Slice};

use crate::{
    format::{
        group::{GroupHeader, IN_FLIGHT_BYTES, Life},
        options::Options,
    },
    runtime::{
        notices::Notices,
        watched::PendingOps,
        worker::{Clock, Runtime},
    },
    scan::walk::{WalkItem, walk},
    segments::{
        identity::Identity,
        log_match::LogMatch,
        medium::Medium,
        segment::{Segment, verify_header},
        unreadable::{UnreadableRanges, check_device, read_or_zeros},
    },
    types::{error::Error, ids::SegmentId, marks},
};

/// How far into a segment file that seems free to look for the header of a life, in bytes.
const PROBE: usize = 256 << 10;

/// The disk, the identity and the options of a log, for reading its files.
pub(crate) struct LogContext {
    pub(crate) medium: Medium,
    pub(crate) options: Options,
    pub(crate) runtime: Runtime,
    pub(crate) clock: Arc<dyn Clock>,
    /// The pending operations and notifications of the log that is being opened.
    pub(crate) pending: Arc<PendingOps>,
    pub(crate) notices: Arc<Notices>,
    pub(crate) identity: Identity,
    /// Whether the log was opened by its `LOGBOOM`.
    pub(crate) has_logboom: bool,
    pub(crate) mode: Mode,
}

impl LogContext {
    pub(crate) fn segment_size(&self) -> u32 {
        u32::try_from(self.identity.segment_bytes).unwrap_or(u32::MAX)
    }

    /// How far after the last intact group a submitted group can lie, in bytes.
    pub(crate) fn lookahead(&self) -> usize {
        IN_FLIGHT_BYTES + self.segment_size() as usize / 4 + self.identity.pad
    }

    /// The lives that the header and the first group of a segment file state, newest first: if one of the two is
    /// damaged, the other replaces it. Also whether the file belongs to this log.
    pub(crate) fn lives(
        &self,
        file: &dyn File,
        unreadable: &mut UnreadableRanges,
    ) -> Result<(Vec<Life>, LogMatch), Error> {
        let bytes = self.read(file, 0..2 * self.identity.pad, unreadable)?;
        let lives = self.lives_in(&bytes);
        let log_match = LogMatch::of_segment(&bytes, &self.identity, !lives.is_empty());
        Ok((lives, log_match))
    }

    /// The life that a segment file states anywhere near its start. For a file that seems free: its start may be
    /// damaged.
    pub(crate) fn probe(&self, file: &dyn File, unreadable: &mut UnreadableRanges) -> Result<Option<Life>, Error> {
        let bytes = self.read(file, 0..PROBE.min(self.segment_size() as usize), unreadable)?;
        Ok(self.lives_in(&bytes).into_iter().next())
    }

    /// All lives that a segment file states anywhere, newest first. For when a segment is missing.
    pub(crate) fn probe_whole(&self, file: &dyn File, unreadable: &mut UnreadableRanges) -> Result<Vec<Life>, Error> {
        let mut lives = Vec::new();
        let size = self.segment_size() as usize;
        for at in (0..size).step_by(PROBE) {
            let bytes = self.read(file, at..(at + PROBE).min(size), unreadable)?;
            lives.append(&mut self.lives_in(&bytes));
        }
        Ok(newest_first(lives))
    }

    fn read(&self, file: &dyn File, range: Range<usize>, unreadable: &mut UnreadableRanges) -> Result<Slice, Error> {
        let bytes = read_or_zeros(file, &self.medium.pool, self.identity.pad, range, unreadable);
        bytes.map_err(|error| Error::io(format!("reading {}", file.name()), error))
    }

    /// The lives that blocks of a segment file state, newest first.
    fn lives_in(&self, bytes: &[u8]) -> Vec<Life> {
        let framing = self.medium.framing;
        let groups = bytes.chunks_exact(framing.pad).filter_map(|block| GroupHeader::verify(block, framing));
        // All files of a log have one size.
        let is_possible = |life: &Life| life.origin.end <= self.segment_size();
        let header = verify_header(bytes, framing).filter(is_possible);
        let groups: Vec<Life> = groups.map(|(header, _)| header.life).filter(is_possible).collect();
        marks::hit_if(
            header.is_none() && !groups.is_empty(),
            "recovery: a first group stands for its segment's header",
        );
        newest_first(header.into_iter().chain(groups).collect())
    }

    /// Repeats a read that succeeded before, if another read failed: if the whole device has failed nothing is lost,
    /// and the opening fails.
    ///
    /// # Errors
    /// [`Error::Io`] if that read fails.
    pub(crate) fn check_device(&self, unreadable: &UnreadableRanges) -> Result<(), Error> {
        if !unreadable.is_device_failure() {
            return Ok(());
        }
        check_device(&self.medium, self.has_logboom)
    }

    /// Walks the live segment with this id.
    pub(crate) fn scan(
        &self,
        live: &BTreeMap<SegmentId, Arc<Segment>>,
        id: SegmentId,
        each: &mut dyn FnMut(WalkItem) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let segment = live.get(&id).ok_or(Error::Gone(id))?;
        let successor = live.get(&id.next()).map(|successor| &**successor);
        let unreadable = walk(segment, successor, &self.medium, each)?;
        self.check_device(&unreadable)
    }
}

fn newest_first(mut lives: Vec<Life>) -> Vec<Life> {
    lives.sort_by_key(|life| std::cmp::Reverse((life.begun_at(), life.epoch, life.segment)));
    lives.dedup_by(|one, other| one.is(other));
    lives
}
