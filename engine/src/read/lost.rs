//! Losses that are found while the log is open put the shard in quarantine, like those that opening finds.
//!
//! A read that fails reads each of its records alone. When a read, a scrub or reclaiming finds damage in a segment, a
//! machine reads every live entry of that segment: see [`crate::maintenance::verifier`]. A checkpoint with the losses
//! is due at once, so that the next opening knows them. Reclaiming moves the intact entries to another segment; the
//! damaged one is freed when its losses are healed or accepted.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use logboom_wal::{Error as WalError, SegmentId, marks};
use parking_lot::Mutex;

use crate::{
    index::log_index::EntryLocation,
    read::{
        query::{LoadedFooters, Query},
        store::Store,
    },
    shard_state::{published::View, state::ShardCell},
    types::{error::read_error::ReadError, ranges::Ranges},
};

/// Segments in which damage was found, and a count of the losses found.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    suspects: Mutex<VecDeque<SegmentId>>,
    /// Former suspects whose losses are known, for reclaiming.
    verified: Mutex<Vec<SegmentId>>,
    found: AtomicU64,
}

impl Losses {
    /// Queues `segment` to be verified.
    pub(crate) fn suspect(&self, segment: SegmentId) {
        let mut suspects = self.suspects.lock();
        if !suspects.contains(&segment) {
            suspects.push_back(segment);
        }
    }

    /// A count that rises with each loss found: a checkpoint that began at a lower count lacks some.
    pub(crate) fn found(&self) -> u64 {
        self.found.load(Ordering::Acquire)
    }

    /// Takes the damaged segments whose losses are known.
    pub(crate) fn take_verified(&self) -> Vec<SegmentId> {
        std::mem::take(&mut *self.verified.lock())
    }

    /// Whether [`Losses::take_verified`] would return any.
    pub(crate) fn has_verified(&self) -> bool {
        !self.verified.lock().is_empty()
    }

    /// The losses of `segment` are known now. Drops suspicions that the verification itself has raised.
    pub(crate) fn verified(&self, segment: SegmentId) {
        self.suspects.lock().retain(|suspect| *suspect != segment);
        let mut verified = self.verified.lock();
        if !verified.contains(&segment) {
            verified.push(segment);
        }
    }

    pub(crate) fn take_suspect(&self) -> Option<SegmentId> {
        self.suspects.lock().pop_front()
    }

    /// Makes a checkpoint due: it spares the next opening from reading damaged segments.
    pub(crate) fn note(&self) {
        self.found.fetch_add(1, Ordering::Release);
    }
}

impl Store {
    /// See [`ShardCell::lose`].
    fn lose(&self, cell: &ShardCell, lost: &[EntryLocation]) -> bool {
        lost.iter().for_each(|location| self.losses.suspect(location.segment));
        if !cell.lose(lost) {
            return false;
        }
        marks::hit("read: lost entries put their shard in quarantine");
        tracing::error!(shard = cell.id.0, "entries are lost: the shard is in quarantine");
        self.shards.expect_quarantined();
        self.losses.note();
        self.source.kick();
        true
    }
}

impl Query {
    /// After a failed read of `locations`: reads each record alone, and puts the shard in quarantine for those that are
    /// lost. Returns whether any is.
    ///
    /// # Errors
    /// [`ReadError::Io`] or [`ReadError::Log`] when the log cannot be read.
    pub(crate) fn quarantine_lost(&self, locations: &[EntryLocation]) -> Result<bool, ReadError> {
        self.store.source.forget_read(locations.iter().map(|location| location.segment));
        // A cached footer may be rebuilt from an incomplete read of its segment, and does not prove a loss.
        locations.iter().for_each(|location| self.store.footers.forget(location.segment));
        let (mut lost, mut loaded) = (Vec::new(), LoadedFooters::new());
        for location in locations {
            match location.place {
                Some(_) => lost.extend(self.is_lost(location)?.then(|| location.clone())),
                None => self.add_lost(location, &mut loaded, &mut lost)?,
            }
        }
        Ok(self.store.lose(&self.cell, &lost))
    }

    /// [`Query::quarantine_lost`] for entries in a sealed segment.
    fn add_lost(
        &self,
        location: &EntryLocation,
        loaded: &mut LoadedFooters,
        lost: &mut Vec<EntryLocation>,
    ) -> Result<(), ReadError> {
        let mut failure = None;
        let Some(footer) = self.footer(location.segment, loaded, &mut failure) else {
            return failure.map_or(Ok(()), |error| Err(self.failed(error)));
        };
        let within = |range| EntryLocation { range, ..location.clone() };
        let gaps = footer.gaps(self.cell.id, &location.range);
        let mut listed: Ranges = std::iter::once(location.range.clone()).collect();
        gaps.iter().for_each(|gap| listed.remove(&gap));
        lost.extend(gaps.iter().map(within));
        for range in listed.iter() {
            let mut records = Vec::new();
            footer.locate(self.cell.id, &within(range), u64::MAX, &mut records);
            for record in records {
                if self.is_lost(&record)? {
                    lost.push(within(record.range));
                }
            }
        }
        Ok(())
    }

    /// Whether the record at the place does not hold the entries.
    fn is_lost(&self, location: &EntryLocation) -> Result<bool, ReadError> {
        let Some(place) = location.place else { return Ok(false) };
        let mut records = Vec::new();
        match self.store.source.read(&[place], &mut records) {
            Ok(()) => {
                let alone = Self { range: location.range.clone(), max_bytes: u64::MAX, ..self.clone() };
                Ok(alone.gather(std::slice::from_ref(location), records).is_err())
            }
            Err(WalError::Corruption(_)) => Ok(true),
            Err(error) => Err(self.failed(error)),
        }
    }
}

impl ShardCell {
    /// Puts the shard in quarantine for the entries of `lost` that the index still locates there: entries that were
    /// moved or overwritten meanwhile are not lost. Returns whether there were any.
    fn lose(&self, lost: &[EntryLocation]) -> bool {
        if lost.is_empty() {
            return false;
        }
        let _writer = self.published.writer();
        let mut state = self.state.lock();
        let view = self.published.load();
        let mut is_any = false;
        for location in lost {
            let Range { start, end } = location.range;
            let range = start.max(view.extent.first)..end.min(view.extent.next);
            if range.is_empty() {
                continue;
            }
            for now in state.log.locate(&view.extent, &range, u64::MAX) {
                let is_same = (now.segment, now.term, now.place) == (location.segment, location.term, location.place);
                if is_same {
                    state.lose_entries(now.range);
                    is_any = true;
                }
            }
        }
        if is_any {
            self.published.store(View { quarantined: true, ..view });
        }
        is_any
    }
}
