//! Stage *read*: from *index*, which says where; leads to the caller. Entries without a copy, or a typed miss.
//!
//! A read takes the shard's lock to learn where the entries lie, and looks at records after it has let go. Meanwhile
//! a segment may be reclaimed below it; a read that fails looks again, and fails for good when nothing has moved.

use std::{ops::Range, sync::Arc};

use logboom_wal::{Error as WalError, Place, Record, SegmentId};

use crate::{
    encoding::extent::Extent,
    index::{footer::Footer, log_index::EntryLocation},
    read::{entries::EntryBatch, store::Store},
    shard_state::{
        published::View,
        quarantine::Missing,
        state::{ShardCell, State},
    },
    types::{error::ReadError, ids::ShardId},
};

/// What was asked for.
#[derive(Clone)]
pub(crate) struct Query {
    pub(crate) store: Arc<Store>,
    pub(crate) cell: Arc<ShardCell>,
    pub(crate) id: ShardId,
    pub(crate) range: Range<u64>,
    pub(crate) max_bytes: u64,
}

/// Where to look, unless the bounds alone are the answer.
enum Lookup {
    Answer(Result<EntryBatch, ReadError>),
    Locations(Vec<EntryLocation>),
}

/// Footers that one read needs: held by it, so that a small cache cannot make it load two in turns for ever.
pub(crate) type Held = Vec<(SegmentId, Arc<Footer>)>;

impl Query {
    /// Reads from memory; `None` when the disk is needed, or when the shard is being written to at this moment.
    pub(crate) fn try_read(&self) -> Option<Result<EntryBatch, ReadError>> {
        let view = self.cell.published.load();
        if !view.quarantined
            && let Some(outcome) = self.outcome_of(&view.extent)
        {
            return Some(outcome);
        }
        let lookup = self.lookup(&*self.cell.state.try_lock()?);
        let locations = match lookup {
            Lookup::Answer(answer) => return Some(answer),
            Lookup::Locations(locations) => locations,
        };
        let resolved = match locations.iter().all(|location| location.place.is_some()) {
            true => locations,
            false => self.resolve(&locations, &mut |segment| self.store.footers.get(segment))?,
        };
        let batch = self.gather_recent(&resolved)?;
        self.store.count_read(false);
        Some(batch)
    }

    /// Reads from memory or from the disk.
    pub(crate) fn read(&self) -> Result<EntryBatch, ReadError> {
        let Range { start, end } = self.range;
        let _span = tracing::trace_span!("read", shard = self.id.0, start, end).entered();
        let mut before: Option<Vec<EntryLocation>> = None;
        let mut held = Held::new();
        loop {
            let lookup = self.lookup(&self.cell.state.lock());
            let locations = match lookup {
                Lookup::Answer(answer) => return answer,
                Lookup::Locations(locations) => locations,
            };
            let failure = match self.read_locations(&locations, &mut held) {
                Ok(batch) => return Ok(batch),
                Err(failure) => failure,
            };
            if before.as_ref() == Some(&locations) {
                match failure {
                    // What is lost is left out from now on: the next round has the rest, or says what is lost.
                    ReadError::Corrupted { .. } if self.quarantine_lost(&locations)? => {}
                    failure => return Err(failure),
                }
            }
            // What was read ahead may be of a read that went wrong, and pass for another record of the log.
            self.store.source.forget_read(locations.iter().map(|location| location.segment));
            held.clear();
            before = Some(locations);
        }
    }

    fn lookup(&self, state: &State) -> Lookup {
        let View { extent, quarantined, .. } = self.cell.published.load();
        let missing = if quarantined { state.missing() } else { None };
        let range = match missing {
            Some(missing) => self.known(&extent, missing),
            None => self.outcome_of(&extent).map_or(Ok(self.range.clone()), Err),
        };
        match range {
            Ok(range) => Lookup::Locations(state.log.locate(&extent, &range, self.max_bytes)),
            Err(answer) => Lookup::Answer(answer),
        }
    }

    /// The part of the range that comes before anything that is missing, or the answer if there is none.
    fn known(&self, extent: &Extent, missing: &Missing) -> Result<Range<u64>, Result<EntryBatch, ReadError>> {
        let Range { start, end } = self.range;
        let lost = |range| Err(Err(ReadError::Corrupted { range, what: "lost to damage".into() }));
        let behind = missing.suffix && end > extent.next;
        if behind && start < end && (start >= extent.next || extent.is_vacant()) {
            return lost(if extent.is_vacant() { 0..u64::MAX } else { extent.next..u64::MAX });
        }
        let bounded = Self { range: start..if behind { extent.next } else { end }, ..self.clone() };
        if let Some(answer) = bounded.outcome_of(extent) {
            return Err(answer);
        }
        match missing.entries.from(start) {
            Some(hole) if hole.start <= start => lost(start..hole.end.min(end)),
            Some(hole) => Ok(start..hole.start.min(bounded.range.end)),
            None => Ok(bounded.range),
        }
    }

    /// What the bounds alone say to the question, if they do.
    fn outcome_of(&self, extent: &Extent) -> Option<Result<EntryBatch, ReadError>> {
        let Range { start, end } = self.range;
        if start >= end {
            return Some(Ok(EntryBatch::default()));
        }
        if start < extent.first && !extent.is_vacant() {
            return Some(Err(ReadError::Compacted { first: extent.first }));
        }
        (end > extent.next || extent.is_vacant()).then(|| Err(ReadError::Unavailable { last: extent.last() }))
    }

    fn read_locations(&self, locations: &[EntryLocation], held: &mut Held) -> Result<EntryBatch, ReadError> {
        let mut failure = None;
        let resolved = self.resolve(locations, &mut |segment| self.footer(segment, held, &mut failure));
        let Some(resolved) = resolved else {
            return Err(failure
                .map_or_else(|| self.corrupted("a footer does not know the entries"), |error| self.failed(error)));
        };
        if let Some(batch) = self.gather_recent(&resolved) {
            self.store.count_read(false);
            return batch;
        }
        let places: Vec<Place> = resolved.iter().filter_map(|location| location.place).collect();
        let mut records = Vec::with_capacity(places.len());
        self.store.source.read(&places, &mut records).map_err(|error| self.failed(error))?;
        self.store.count_read(true);
        self.gather(&resolved, records)
    }

    /// The records of stretches in sealed segments; `None` when a footer is not to be had.
    fn resolve(
        &self,
        locations: &[EntryLocation],
        footer: &mut dyn FnMut(SegmentId) -> Option<Arc<Footer>>,
    ) -> Option<Vec<EntryLocation>> {
        let mut resolved = Vec::with_capacity(locations.len());
        for location in locations {
            let before = resolved.len();
            match location.place {
                Some(_) => resolved.push(location.clone()),
                None => {
                    let footer = footer(location.segment)?;
                    if !footer.locate(self.id, location, self.max_bytes, &mut resolved) {
                        return None;
                    }
                }
            }
            // A footer that named only a part had enough: what follows would leave a hole.
            let reached = resolved.get(before..).and_then(<[EntryLocation]>::last).map(|last| last.range.end);
            if reached != Some(location.range.end) {
                break;
            }
        }
        Some(resolved)
    }

    pub(crate) fn footer(
        &self,
        segment: SegmentId,
        held: &mut Held,
        failure: &mut Option<WalError>,
    ) -> Option<Arc<Footer>> {
        if let Some((_, footer)) = held.iter().find(|(other, _)| *other == segment) {
            return Some(Arc::clone(footer));
        }
        match self.store.footer(segment) {
            Ok(footer) => {
                held.push((segment, Arc::clone(&footer)));
                Some(footer)
            }
            Err(error) => {
                *failure = Some(error);
                None
            }
        }
    }

    /// The entries of records that are all in memory; `None` if one is not.
    fn gather_recent(&self, resolved: &[EntryLocation]) -> Option<Result<EntryBatch, ReadError>> {
        let source = &self.store.source;
        if let [EntryLocation { place: Some(place), .. }] = resolved {
            // Nothing is gained by asking first, and no list is made.
            return Some(self.gather(resolved, [source.read_recent(*place)?]));
        }
        let records = source.read_all_recent(resolved.iter().filter_map(|location| location.place))?;
        Some(self.gather(resolved, records))
    }

    pub(crate) fn gather(
        &self,
        resolved: &[EntryLocation],
        records: impl IntoIterator<Item = Record>,
    ) -> Result<EntryBatch, ReadError> {
        let mut batch = EntryBatch::with_capacity(resolved.len());
        let mut expected = self.range.start;
        for (location, record) in resolved.iter().zip(records) {
            let belongs = record.owner() == self.id.0 && location.range.start == expected;
            match batch.push(location, record, self.max_bytes) {
                Ok(_) if !belongs => return Err(self.corrupted("a record of something else")),
                Ok(true) => expected = location.range.end,
                Ok(false) => break,
                Err(_) => {
                    let what = "a record that does not hold what the index says".into();
                    return Err(ReadError::Corrupted { range: location.range.clone(), what });
                }
            }
        }
        Ok(batch)
    }

    pub(crate) fn failed(&self, error: WalError) -> ReadError {
        match error {
            WalError::Corruption(_) => self.corrupted(&error.to_string()),
            other => ReadError::Io(other.into()),
        }
    }

    fn corrupted(&self, what: &str) -> ReadError {
        ReadError::Corrupted { range: self.range.clone(), what: what.into() }
    }
}
