//! Entries that are found to be lost while the log is open: from then on their shard is in quarantine, as if opening
//! had found it.
//!
//! A read that fails looks at each of its records alone. When a read, a scrub or reclaiming meets damage in a segment,
//! a machine reads every live entry of that segment: see [`crate::maintenance::verifier`]. What is found lost is part
//! of a checkpoint that is due at once: the next opening knows it too, and in which segments it lay. What is intact
//! moves to another segment, so that the damaged one is given back once its losses are healed or given up.

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
        query::{Held, Query},
        store::Store,
    },
    shard_state::{published::View, state::ShardCell},
    types::{error::ReadError, ranges::Ranges},
};

/// Segments in which something damaged was met, and how often entries were found to be lost.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    suspects: Mutex<VecDeque<SegmentId>>,
    /// Suspects of which it is known by now what is lost, for reclaiming to take.
    verified: Mutex<Vec<SegmentId>>,
    found: AtomicU64,
}

impl Losses {
    /// Has the live entries of `segment` read.
    pub(crate) fn suspect(&self, segment: SegmentId) {
        let mut suspects = self.suspects.lock();
        if !suspects.contains(&segment) {
            suspects.push_back(segment);
        }
    }

    /// How much was found so far: a checkpoint that was begun at a lower number does not have all of it.
    pub(crate) fn found(&self) -> u64 {
        self.found.load(Ordering::Acquire)
    }

    /// Damaged segments whose losses are known, each once.
    pub(crate) fn take_verified(&self) -> Vec<SegmentId> {
        std::mem::take(&mut *self.verified.lock())
    }

    /// Whether there are damaged segments that reclaiming has not taken.
    pub(crate) fn has_verified(&self) -> bool {
        !self.verified.lock().is_empty()
    }

    /// Notes that it is known what of a suspect is lost: what the reading itself has met among it.
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

    /// Has the next checkpoint made soon: there is something that an opening is to know without reading it.
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
    /// Looks at each record alone that a read of `stretches` found wrong, and puts the shard in quarantine for those
    /// that are lost. Returns whether any is.
    ///
    /// # Errors
    /// [`ReadError::Io`] when the disk does not tell.
    pub(crate) fn quarantine_lost(&self, locations: &[EntryLocation]) -> Result<bool, ReadError> {
        self.store.source.forget_read(locations.iter().map(|location| location.segment));
        // One that was put together from what could be read of a segment, once, does not prove that something is lost.
        locations.iter().for_each(|location| self.store.footers.forget(location.segment));
        let (mut lost, mut held) = (Vec::new(), Held::new());
        for location in locations {
            match location.place {
                Some(_) => lost.extend(self.is_lost(location)?.then(|| location.clone())),
                None => self.add_lost(location, &mut held, &mut lost)?,
            }
        }
        Ok(self.store.lose(&self.cell, &lost))
    }

    /// [`Query::quarantine_lost`] for entries in a sealed segment.
    fn add_lost(
        &self,
        location: &EntryLocation,
        held: &mut Held,
        lost: &mut Vec<EntryLocation>,
    ) -> Result<(), ReadError> {
        let mut failure = None;
        let Some(footer) = self.footer(location.segment, held, &mut failure) else {
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

    /// Whether the record that should hold the entries does not.
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
    /// Puts the shard in quarantine for entries that cannot be read where `lost` says that they lie. Those that lie
    /// elsewhere by now are left as they are. Returns whether there were others.
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
