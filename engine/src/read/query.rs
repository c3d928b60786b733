//! Stage *read*: locates entries in the index, reads their records, and returns the entries without a copy.
//!
//! A read holds the shard's lock only while it locates the entries. A segment may be freed before the records are read;
//! so a read that fails locates the entries again, and returns the error only if nothing has moved.

use std::{ops::Range, sync::Arc};

use logboom_wal::{Error as WalError, Place, Record, SegmentId};

use crate::{
    encoding::extent::Extent,
    index::{
        claims::LOST_SEGMENT,
        footer::Footer,
        log_index::{EntryLocation, ROW_UNIT, payload_bytes_min},
    },
    read::{entries::EntryBatch, store::Store},
    shard_state::{
        published::View,
        quarantine::Missing,
        state::{ShardCell, State},
    },
    types::{error::read_error::ReadError, ids::ShardId},
};

/// A read of a range of entries.
#[derive(Clone)]
pub(crate) struct Query {
    pub(crate) store: Arc<Store>,
    pub(crate) cell: Arc<ShardCell>,
    pub(crate) id: ShardId,
    pub(crate) range: Range<u64>,
    pub(crate) max_bytes: u64,
}

/// Where the entries lie, or the answer if the bounds alone give it.
enum Lookup {
    Answer(Result<EntryBatch, ReadError>),
    Locations(Vec<EntryLocation>),
}

/// The footers that one read has loaded. It keeps them: with a small cache it could evict and load two in turns
/// forever.
pub(crate) type LoadedFooters = Vec<(SegmentId, Arc<Footer>)>;

impl Query {
    /// Reads from memory; `None` when the disk is needed, or the shard is locked at this moment.
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
        let mut loaded = LoadedFooters::new();
        let mut found: Option<Arc<str>> = None;
        loop {
            let lookup = self.lookup(&self.cell.state.lock());
            let locations = match lookup {
                Lookup::Answer(answer) => return answer.map_err(|error| described(error, found)),
                Lookup::Locations(locations) => locations,
            };
            let failure = match self.read_locations(&locations, &mut loaded) {
                Ok(batch) => return Ok(batch),
                Err(failure) => failure,
            };
            if before.as_ref() == Some(&locations) {
                match failure {
                    // The next round returns the entries before the lost ones, or an error that names those.
                    ReadError::Corrupted { what, .. } if self.quarantine_lost(&locations)? => found = Some(what),
                    failure => return Err(failure),
                }
            }
            // Bytes that were read ahead may be wrong or stale: read from the device next time.
            self.store.source.forget_read(locations.iter().map(|location| location.segment));
            loaded.clear();
            before = Some(locations);
        }
    }

    fn lookup(&self, state: &State) -> Lookup {
        let View { extent, quarantined, .. } = self.cell.published.load();
        let missing = if quarantined { state.missing() } else { None };
        let range = match missing {
            Some(missing) => self.known(state, &extent, missing),
            None => self.outcome_of(&extent).map_or(Ok(self.range.clone()), Err),
        };
        match range {
            Ok(range) => Lookup::Locations(state.log.locate(&extent, &range, self.max_bytes)),
            Err(answer) => Lookup::Answer(answer),
        }
    }

    /// The part of the range before the first missing entry, or the answer if that part is empty.
    fn known(
        &self,
        state: &State,
        extent: &Extent,
        missing: &Missing,
    ) -> Result<Range<u64>, Result<EntryBatch, ReadError>> {
        let Range { start, end } = self.range;
        let lost = |range| Err(Err(lost(&self.store, self.id, state, extent, range)));
        let behind = missing.suffix && end > extent.next;
        if behind && start < end && (start >= extent.next || extent.is_vacant()) {
            return lost(extent.beyond());
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

    /// The answer, if the bounds alone give it.
    fn outcome_of(&self, extent: &Extent) -> Option<Result<EntryBatch, ReadError>> {
        let Range { start, end } = self.range;
        if start >= end {
            return Some(Ok(EntryBatch::default()));
        }
        if start < extent.first && !extent.is_vacant() {
            return Some(Err(ReadError::Compacted { shard: self.id, index: start, first: extent.first }));
        }
        (end > extent.next || extent.is_vacant()).then(|| {
            let index = if extent.is_vacant() { start } else { start.max(extent.next) };
            Err(ReadError::Unavailable { shard: self.id, index, last: extent.last() })
        })
    }

    fn read_locations(&self, locations: &[EntryLocation], loaded: &mut LoadedFooters) -> Result<EntryBatch, ReadError> {
        let mut failure = None;
        let resolved = self.resolve(locations, &mut |segment| self.footer(segment, loaded, &mut failure));
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

    /// Finds the places of entries in sealed segments, of as many as may be wanted for `max_bytes`; `None` if a footer
    /// is not available, or does not list them.
    fn resolve(
        &self,
        locations: &[EntryLocation],
        footer: &mut dyn FnMut(SegmentId) -> Option<Arc<Footer>>,
    ) -> Option<Vec<EntryLocation>> {
        let mut resolved = Vec::with_capacity(locations.len());
        let mut bytes_min: u64 = 0;
        for location in locations {
            let (before, left) = (resolved.len(), self.max_bytes.saturating_sub(bytes_min));
            match location.place {
                Some(_) => resolved.push(location.clone()),
                None => {
                    let footer = footer(location.segment)?;
                    if !footer.locate(self.id, location, left, &mut resolved) {
                        return None;
                    }
                }
            }
            // Of the first record a part may be wanted.
            bytes_min += resolved.iter().skip(before.max(1)).map(bytes_min_of).sum::<u64>();
            // The footer stopped for `max_bytes`: later locations would leave a gap.
            let reached = resolved.get(before..).and_then(<[EntryLocation]>::last).map(|last| last.range.end);
            if reached != Some(location.range.end) || bytes_min > self.max_bytes {
                break;
            }
        }
        Some(resolved)
    }

    pub(crate) fn footer(
        &self,
        segment: SegmentId,
        loaded: &mut LoadedFooters,
        failure: &mut Option<WalError>,
    ) -> Option<Arc<Footer>> {
        if let Some((_, footer)) = loaded.iter().find(|(other, _)| *other == segment) {
            return Some(Arc::clone(footer));
        }
        match self.store.footer(segment) {
            Ok(footer) => {
                loaded.push((segment, Arc::clone(&footer)));
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
            // One record needs no list.
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
                    return Err(ReadError::Corrupted { shard: self.id, range: location.range.clone(), what });
                }
            }
        }
        Ok(batch)
    }

    pub(crate) fn failed(&self, error: WalError) -> ReadError {
        match error {
            WalError::Corruption(_) => self.corrupted(&error.to_string()),
            other => ReadError::log(self.id, other),
        }
    }

    fn corrupted(&self, what: &str) -> ReadError {
        ReadError::Corrupted { shard: self.id, range: self.range.clone(), what: what.into() }
    }
}

/// The fewest bytes of payload and context that the record of a location can hold.
fn bytes_min_of(location: &EntryLocation) -> u64 {
    let count = location.range.end.saturating_sub(location.range.start);
    location.place.map_or(0, |place| payload_bytes_min(place.len / ROW_UNIT, count))
}

/// The error for lost entries of a shard: it says where they were, as far as that is in memory.
#[cold]
pub(crate) fn lost(store: &Store, shard: ShardId, state: &State, extent: &Extent, range: Range<u64>) -> ReadError {
    let first = range.start..range.start.saturating_add(1).min(extent.next);
    let located = if first.is_empty() { Vec::new() } else { state.log.locate(extent, &first, u64::MAX) };
    let what = match located.first() {
        Some(location) if location.segment != LOST_SEGMENT => match place_of(store, shard, location) {
            Some(place) => format!("lost to damage in segment {} at byte {}", place.segment, place.offset),
            None => format!("lost to damage in segment {}", location.segment),
        },
        _ => "lost to damage".to_owned(),
    };
    ReadError::Corrupted { shard, range, what: what.into() }
}

fn place_of(store: &Store, shard: ShardId, location: &EntryLocation) -> Option<Place> {
    if location.place.is_some() {
        return location.place;
    }
    let mut records = Vec::new();
    store.footers.get(location.segment)?.locate(shard, location, u64::MAX, &mut records);
    records.first()?.place
}

/// `error` with what was found before the entries were known to be lost: it has the place of the damage.
fn described(error: ReadError, found: Option<Arc<str>>) -> ReadError {
    match (error, found) {
        (ReadError::Corrupted { shard, range, .. }, Some(what)) => ReadError::Corrupted { shard, range, what },
        (error, _) => error,
    }
}
