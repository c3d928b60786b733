//! Footers of an open log: which segments can be sealed, and writing, reading and removing footers.

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
    /// The oldest segment that is full, durable and without a footer; skips those that stay without one, and `others`.
    /// The first group of the segment after it must be durable as well: the footer names that segment.
    pub fn sealable_except(&self, others: impl Fn(SegmentId) -> bool) -> Option<SegmentInfo> {
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

    /// The oldest segment that is full, durable and without a footer; skips those that stay without one.
    pub fn sealable(&self) -> Option<SegmentInfo> {
        self.sealable_except(|_| false)
    }

    /// Seals a segment that [`Wal::sealable`] returned. Durable on return. False if the footer does not fit: nothing
    /// was written, and the segment stays without one, as after [`Wal::leave_unsealed`].
    ///
    /// # Errors
    /// [`Error::Io`]: the segment has no footer, and is scanned instead; the call may be repeated. A failed sync also
    /// poisons the log. [`Error::Gone`].
    pub fn write_footer(&self, segment: SegmentId, head: &[u8], body: &[u8]) -> Result<bool, Error> {
        let (shared, segment) = (&self.shared, self.segment(segment)?);
        if segment.footer_at(head, body, shared.env.medium.framing.pad).is_none() {
            segment.mark_unsealable();
            return Ok(false);
        }
        let successor = successor(&shared.state.segments.lock(), segment.id, self.durable());
        let written = segment.write_footer((head, body), successor, &shared.env.medium);
        written.map(|()| true).map_err(|failure| shared.side_failure("writing a footer", failure))
    }

    /// Leaves a segment without a footer until the log is opened again: it is not sealable, and is retired as others
    /// are.
    pub fn leave_unsealed(&self, segment: SegmentId) {
        if let Ok(segment) = self.segment(segment) {
            segment.mark_unsealable();
        }
    }

    /// Removes the footer of a full segment, because it lists what is not part of the log. The segment is scanned
    /// instead, and can be sealed again. Durable on return.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::Io`]; a failed sync also poisons the log.
    pub fn remove_footer(&self, segment: SegmentId) -> Result<(), Error> {
        let shared = &self.shared;
        let removed = self.segment(segment)?.remove_footer(&shared.env.medium);
        removed.map_err(|failure| shared.side_failure("removing a footer", failure))
    }

    /// A segment's footer; `None` if there is none, or it is not intact.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::Io`].
    pub fn read_footer(&self, segment: SegmentId) -> Result<Option<FooterParts>, Error> {
        self.segment(segment)?.read_footer(&self.shared.env.medium)
    }

    /// Scans a segment without a footer: calls `each` with every record, and with every loss.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::Io`]; errors of `each`.
    pub fn scan(&self, segment: SegmentId, each: &mut dyn FnMut(Scanned) -> Result<(), Error>) -> Result<(), Error> {
        let (segment, successor) = (self.segment(segment)?, self.segment(segment.next()).ok());
        let unreadable =
            walk(&segment, successor.as_deref(), &self.shared.env.medium, &mut |item| item.give_scanned(each))?;
        match unreadable.description() {
            // A caller of an open log can try again when the device works; an opening goes on without the bytes.
            Some(why) if unreadable.is_device_failure() => {
                Err(Error::io(format!("reading segment {}", segment.id), std::io::Error::other(why)))
            }
            _ => Ok(()),
        }
    }
}

/// The segment that was begun after `segment`, if its first group is durable; `None` for a cold segment.
fn successor(segments: &BTreeMap<SegmentId, Arc<Segment>>, segment: SegmentId, durable: u64) -> Option<Successor> {
    let behind = (segment < SegmentId::COLD).then(|| segments.range(segment.next()..SegmentId::COLD).next())??.1;
    (behind.first_group() <= durable).then(|| Successor::of(&behind.life))
}
