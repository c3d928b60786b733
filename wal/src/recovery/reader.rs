//! A log that is open for reading only.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    format::record::Record,
    read::{cold_read::ColdReader, read_ahead::ReadAhead},
    scan::{context::LogContext, scanned::Scanned},
    segments::{
        footer::FooterParts,
        segment::{Segment, SegmentInfo, infos},
    },
    types::{
        error::Error,
        ids::{Place, SegmentId},
    },
};

/// A log that was opened for reading: what recovery accepted at that time.
pub struct Reader {
    pub(crate) context: LogContext,
    pub(crate) live: BTreeMap<SegmentId, Arc<Segment>>,
    read_ahead: ReadAhead,
}

impl Reader {
    pub(crate) fn new(context: LogContext, live: BTreeMap<SegmentId, Arc<Segment>>) -> Self {
        let read_ahead = ReadAhead::new(context.options.read_ahead_bytes);
        Self { context, live, read_ahead }
    }

    /// Reads the records at `places`, verified, in that order.
    ///
    /// # Errors
    /// As [`Wal::read`](crate::Wal::read).
    pub fn read(&self, places: &[Place], out: &mut Vec<Record>) -> Result<(), Error> {
        let reader = ColdReader {
            medium: &self.context.medium,
            read_ahead: &self.read_ahead,
            durable: u64::MAX,
            has_logboom: self.context.has_logboom,
        };
        let mut found = vec![None; places.len()];
        reader.read(|id| self.live.get(&id).cloned(), places, &mut found)?;
        out.extend(found.into_iter().flatten());
        Ok(())
    }

    /// Drops cached reads of these segments, so that the next read comes from the device: the cached bytes may be
    /// damaged.
    pub fn forget_read(&self, segments: impl IntoIterator<Item = SegmentId>) {
        segments.into_iter().for_each(|id| self.read_ahead.forget(id));
    }

    /// A segment's footer; `None` if there is none, or it is not intact.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::Io`].
    pub fn read_footer(&self, segment: SegmentId) -> Result<Option<FooterParts>, Error> {
        let segment = self.live.get(&segment).ok_or(Error::Gone(segment))?;
        segment.read_footer(&self.context.medium)
    }

    /// Scans a segment: calls `each` with every record, and with every loss.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::Io`]; errors of `each`.
    pub fn scan(&self, segment: SegmentId, each: &mut dyn FnMut(Scanned) -> Result<(), Error>) -> Result<(), Error> {
        self.context.scan(&self.live, segment, &mut |item| item.give_scanned(each))
    }

    /// The identity of the log.
    pub fn log_id(&self) -> [u64; 2] {
        self.context.identity.log
    }

    /// The segments: the cold ones first, then those of the log, oldest first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        infos(&self.live)
    }

    /// The facts about the device.
    pub fn facts(&self) -> &logboom_disk::Facts {
        self.context.medium.disk.facts()
    }
}
