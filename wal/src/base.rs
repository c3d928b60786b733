//! What reading a log needs, and what its files state by themselves.

use std::{collections::BTreeMap, sync::Arc};

use logboom_disk::{Disk, File, Mode, Pool, Slice};

use crate::{
    Clock, Error, Options, Runtime, SegmentId,
    claim::Claim,
    group::{GroupHeader, Life},
    group_commit::IN_FLIGHT_BYTES,
    holes::{Holes, read_around, require_device},
    identity::Identity,
    marks,
    notices::Notices,
    scan::{Part, walk},
    segment::{Segment, verify_header},
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

    /// The life that a segment file states in its header, or in its first group: each stands for the other. And whose
    /// log these say that it is of.
    pub(crate) fn life(&self, file: &dyn File, holes: &mut Holes) -> Result<(Option<Life>, Claim), Error> {
        let bytes = self.beginning(file, 2 * self.identity.pad, holes)?;
        let life = self.newest_life(&bytes);
        Ok((life, Claim::of_segment(&bytes, &self.identity, life.is_some())))
    }

    /// The life that a segment file states anywhere near its beginning. For one that seems to be free: it may have
    /// lost what it was begun with.
    pub(crate) fn probe(&self, file: &dyn File, holes: &mut Holes) -> Result<Option<Life>, Error> {
        let bytes = self.beginning(file, PROBE.min(self.segment_size() as usize), holes)?;
        Ok(self.newest_life(&bytes))
    }

    fn beginning(&self, file: &dyn File, len: usize, holes: &mut Holes) -> Result<Slice, Error> {
        let bytes = read_around(file, &self.pool, self.identity.pad, 0..len, holes);
        bytes.map_err(|error| Error::io(format!("reading {}", file.name()), error))
    }

    fn newest_life(&self, bytes: &[u8]) -> Option<Life> {
        let pad = self.identity.pad;
        let groups = bytes.chunks_exact(pad).filter_map(|block| GroupHeader::verify(block, self.seed, pad));
        // All files of a log are of one size.
        let is_possible = |life: &Life| life.origin.end <= self.segment_size();
        let header = verify_header(bytes, self.seed, pad).filter(is_possible);
        let groups = groups.map(|(header, _)| header.life).filter(is_possible);
        let group = groups.max_by_key(|life| (life.begun(), life.epoch));
        marks::hit_if(header.is_none() && group.is_some(), "recovery: a first group stands for its segment's header");
        group.into_iter().chain(header).max_by_key(|life| (life.begun(), life.epoch))
    }

    /// Asks the device once more for something that it has given before, when it has failed to give something else:
    /// one that has failed as a whole has lost nothing, and the opening is refused.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub(crate) fn require_device(&self, holes: &Holes) -> Result<(), Error> {
        if holes.is_failure() { require_device(&*self.disk, &self.pool, self.identity.pad) } else { Ok(()) }
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
        let holes = walk(segment, successor, (&*self.disk, &self.pool), (self.identity.pad, self.seed), each)?;
        self.require_device(&holes)
    }
}
