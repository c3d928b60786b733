//! What reading a log needs, and what its files state by themselves.

use std::{collections::BTreeMap, sync::Arc};

use logboom_disk::{Disk, Mode, Pool};

use crate::{
    Clock, Error, Options, Runtime, SegmentId,
    group::{GroupHeader, Life},
    group_commit::IN_FLIGHT_BYTES,
    identity::Identity,
    marks,
    notices::Notices,
    recovery::FoundFile,
    scan::{Part, walk},
    segment::{Segment, read_slice, verify_header},
    slots::SegmentRow,
    watched::Pending,
};

/// How far into a segment file that seems to be free a life of it is looked for, in bytes.
const PROBE: usize = 256 << 10;

/// What reading a log needs.
pub(crate) struct Base {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) pool: Pool,
    pub(crate) options: Options,
    pub(crate) runtime: Runtime,
    pub(crate) clock: Arc<dyn Clock>,
    /// What threads wait for, and what is to be told, of the log that is to be opened.
    pub(crate) pending: Arc<Pending>,
    pub(crate) notices: Arc<Notices>,
    pub(crate) identity: Identity,
    pub(crate) seed: u32,
    pub(crate) mode: Mode,
}

impl Base {
    pub(crate) fn segment_size(&self) -> u32 {
        u32::try_from(self.identity.segment_bytes).unwrap_or(u32::MAX)
    }

    /// How far behind the last intact group something that was submitted can lie.
    pub(crate) fn lookahead(&self) -> usize {
        IN_FLIGHT_BYTES + self.segment_size() as usize / 4 + self.identity.pad
    }

    /// The life that a segment file states in its header, or in its first group: each stands for the other.
    pub(crate) fn life(&self, file: &dyn logboom_disk::File) -> std::io::Result<Option<Life>> {
        self.newest_life(file, 2 * self.identity.pad)
    }

    /// The life that a segment file states anywhere near its beginning. For one that seems to be free: it may have
    /// lost what it was begun with.
    pub(crate) fn probe(&self, file: &dyn logboom_disk::File) -> Result<Option<Life>, Error> {
        let len = PROBE.min(self.segment_size() as usize);
        self.newest_life(file, len).map_err(|error| Error::io(format!("reading {}", file.name()), error))
    }

    /// Whether a file still holds the segment that a checkpoint names. If it was used again it states a later life; one
    /// that states an earlier life has lost what the segment was begun with, and that alone.
    pub(crate) fn is_still(&self, file: &FoundFile, row: &SegmentRow) -> Result<bool, Error> {
        let Some(life) = file.life else { return Ok(true) };
        if life.segment == row.id || !row.id.is_cold() && life.begun() < row.id {
            return Ok(true);
        }
        Ok(self.probe(&*file.open(self)?)?.is_some_and(|life| life.segment == row.id))
    }

    fn newest_life(&self, file: &dyn logboom_disk::File, len: usize) -> std::io::Result<Option<Life>> {
        let pad = self.identity.pad;
        let bytes = read_slice(file, &self.pool, 0, len)?;
        let groups = bytes.chunks_exact(pad).filter_map(|block| GroupHeader::verify(block, self.seed, pad));
        // All files of a log are of one size.
        let is_possible = |life: &Life| life.origin.end <= self.segment_size();
        let header = verify_header(&bytes, self.seed, pad).filter(is_possible);
        let groups = groups.map(|(header, _)| header.life).filter(is_possible);
        let group = groups.max_by_key(|life| (life.begun(), life.epoch));
        marks::hit_if(header.is_none() && group.is_some(), "recovery: a first group stands for its segment's header");
        Ok(group.into_iter().chain(header).max_by_key(|life| (life.begun(), life.epoch)))
    }

    /// Walks the segment with this id among those that are live.
    pub(crate) fn scan(
        &self,
        live: &BTreeMap<SegmentId, Arc<Segment>>,
        id: SegmentId,
        each: &mut dyn FnMut(Part) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let segment = live.get(&id).ok_or(Error::Gone(id))?;
        let successor = live.get(&id.next()).map(|successor| &**successor);
        walk(segment, successor, (&*self.disk, &self.pool), (self.identity.pad, self.seed), each)
    }
}
