//! Footers of an open log: which segments are to get one, and how they are written, read and taken away.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    scan::{scanned::Scanned, walk::walk},
    segments::{
        footer::{FooterParts, Successor},
        segment::{Segment, SegmentInfo},
    },
    types::{
        error::Error,
        ids::SegmentId,
        mutants::{Mutant, unless},
    },
    wal::Wal,
};

impl Wal {
    /// The oldest segment that is full, durable, and without a footer, besides those that stay without and `others`.
    /// The one that was begun behind it must be durable in part, as its footer says that the log went on there.
    pub fn sealable_but(&self, others: impl Fn(SegmentId) -> bool) -> Option<SegmentInfo> {
        let durable = self.durable();
        let segments = self.shared.state.segments.lock();
        let went_on = |id: SegmentId| id.is_cold() || successor(&segments, id, durable).is_some();
        let is_durable = |segment: &Segment| segment.last() <= durable && went_on(segment.id);
        let ripe = |segment: &&Arc<Segment>| {
            let is_durable = || is_durable(segment);
            segment.wants_footer() && unless(Mutant::FooterEarly, is_durable, || true) && !others(segment.id)
        };
        segments.values().find(ripe).map(|segment| segment.info())
    }

    /// The oldest segment that is full, durable, and without a footer, besides those that stay without.
    pub fn sealable(&self) -> Option<SegmentInfo> {
        self.sealable_but(|_| false)
    }

    /// Seals a segment that [`Wal::sealable`] named. Durable on return. False when there is no room for such a footer:
    /// nothing was written then, and the segment stays without, as [`Wal::leave_unsealed`] says.
    ///
    /// # Errors
    /// [`Error::Io`]: the footer is missing then, and the segment is read in its place; it may be written again. A
    /// failed sync poisons the log besides. [`Error::Gone`].
    pub fn write_footer(&self, segment: SegmentId, head: &[u8], body: &[u8]) -> Result<bool, Error> {
        let (shared, segment) = (&self.shared, self.segment(segment)?);
        if segment.footer_at(head, body, shared.env.medium.framing.pad).is_none() {
            segment.mark_unsealable();
            return Ok(false);
        }
        let successor = successor(&shared.state.segments.lock(), segment.id, self.durable());
        let written = segment.write_footer((head, body), successor, &shared.env.medium);
        written.map(|()| true).map_err(|failure| shared.beside_the_log("writing a footer", failure))
    }

    /// Has a segment stay without a footer until the log is opened again: it is not sealable, and is retired as others
    /// are.
    pub fn leave_unsealed(&self, segment: SegmentId) {
        if let Ok(segment) = self.segment(segment) {
            segment.mark_unsealable();
        }
    }

    /// Takes the footer of a full segment away, which lists what is not part of the log: the segment is read in its
    /// place, and can be sealed anew. Durable on return.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::Io`]; a failed sync poisons the log besides.
    pub fn remove_footer(&self, segment: SegmentId) -> Result<(), Error> {
        let shared = &self.shared;
        let removed = self.segment(segment)?.remove_footer(&shared.env.medium);
        removed.map_err(|failure| shared.beside_the_log("removing a footer", failure))
    }

    /// A segment's footer; `None` when there is none, or it is not intact.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::Io`].
    pub fn read_footer(&self, segment: SegmentId) -> Result<Option<FooterParts>, Error> {
        self.segment(segment)?.read_footer(&self.shared.env.medium)
    }

    /// Reads all records of a segment whose footer is missing, and what is lost of them.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::Io`]; what `each` returns.
    pub fn scan(&self, segment: SegmentId, each: &mut dyn FnMut(Scanned) -> Result<(), Error>) -> Result<(), Error> {
        let (segment, successor) = (self.segment(segment)?, self.segment(segment.next()).ok());
        let holes = walk(&segment, successor.as_deref(), &self.shared.env.medium, &mut |part| part.give(each))?;
        match holes.why() {
            // A caller of the open log waits for a device that gives it; an opening goes on without.
            Some(why) if holes.is_failure() => {
                Err(Error::io(format!("reading segment {}", segment.id), std::io::Error::other(why)))
            }
            _ => Ok(()),
        }
    }
}

/// The segment that was begun behind `segment`, if its first group is durable. One of a cold segment there is not.
fn successor(segments: &BTreeMap<SegmentId, Arc<Segment>>, segment: SegmentId, durable: u64) -> Option<Successor> {
    let behind = (segment < SegmentId::COLD).then(|| segments.range(segment.next()..SegmentId::COLD).next())??.1;
    (behind.first_group() <= durable).then(|| Successor::of(&behind.life))
}
