//! Reclaiming: copies the live records of mostly dead segments to cold segments, so that the old ones can be freed.
//!
//! Records are copied byte for byte. The index refers to a copy only when the copy is durable; from then on no reader
//! is sent to the old place, and *compact* frees the old segment.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use logboom_disk::LINE;
use logboom_wal::{Error as WalError, FooterBound, NEAR, Place, Record, SegmentId, Step, marks};

use crate::{
    index::{footer::Footer, log_index::EntryLocation},
    maintenance::{
        core::{Core, RECLAIM},
        pace::Pace,
        victim::{self, Urgency},
    },
    types::{
        delta::Delta,
        error::{Error, Result},
        ids::ShardId,
        ranges::Ranges,
    },
};

/// The bytes that one step moves, about.
const STEP_BYTES: usize = 512 << 10;
/// The most records that one step moves.
const STEP_RECORDS: usize = 4096;
/// The most device reads of one step: records that lie close together are read as one.
const STEP_READS: usize = 96;
/// The most device reads in flight: writes of the log wait behind them.
const READS_AT_ONCE: usize = 8;
/// How often an idle reclaimer looks for work.
const IDLE: Duration = Duration::from_millis(100);
/// How long a segment is deferred after a failure that may be transient.
const DEFERRED_FOR: Duration = Duration::from_secs(30);

/// Empties one segment at a time.
#[derive(Default)]
pub(crate) struct Reclaimer {
    work: Option<Emptying>,
    pace: Pace,
    /// When to look for work next.
    look_at: Duration,
    /// Segments that could not be emptied because of damage whose extent is not known yet.
    unmovable: BTreeSet<SegmentId>,
    /// Damaged segments whose losses are known: all their intact records are moved out.
    damaged: BTreeSet<SegmentId>,
    /// Segments that are not tried again before the given time.
    deferred: BTreeMap<SegmentId, Duration>,
    /// The first failure to read a segment since [`Reclaimer::take_failure`].
    failure: Option<Error>,
    has_ended: bool,
}

/// A segment that is being emptied.
struct Emptying {
    segment: SegmentId,
    /// Empty if the segment has none: the shards have its places in memory then.
    footer: Arc<Footer>,
    /// The shards with entries in it, and the position of the next one to list.
    shards: Vec<ShardId>,
    next: usize,
    /// The live records of the listed shards, as of when they were listed.
    items: VecDeque<LiveRecord>,
    copied: Option<CopiedRecords>,
}

/// Live records, read from their places.
struct ReadRecords {
    items: Vec<LiveRecord>,
    /// By place, each once, in the order of the items.
    records: Vec<(Place, Record)>,
}

/// Live records with durable copies, to which the index does not refer yet.
struct CopiedRecords {
    items: Vec<LiveRecord>,
    /// The place of each record and of its copy, in the order of the items.
    copies: Vec<(Place, Place)>,
}

/// Live entries of one record.
struct LiveRecord {
    shard: ShardId,
    entries: EntryLocation,
    place: Place,
}

impl Reclaimer {
    /// Does a bounded amount of work, if any is due.
    pub(crate) fn step(&mut self, core: &Core, now: Duration) -> Result<Step> {
        if self.work.as_ref().is_some_and(|work| work.copied.is_some()) {
            self.advance(core)?;
            return Ok(Step::Again);
        }
        let due = if self.work.is_some() { self.pace.due() } else { self.look_at };
        if now < due {
            return Ok(Step::At(due));
        }
        if self.work.is_none() && !self.begin(core, Urgency::Due) {
            self.take_failure()?;
            if self.deferred.is_empty() {
                core.recovered(RECLAIM);
            }
            self.look_at = now.saturating_add(IDLE);
            return Ok(Step::At(self.look_at));
        }
        self.pace.begin(core.wal.answers());
        let advanced = self.advance(core);
        self.pace.end(now, core.wal.now(), core.wal.answers(), victim::is_short(core));
        advanced?;
        self.take_failure().map(|()| Step::Again)
    }

    /// Empties all segments that are worth it, now.
    ///
    /// # Errors
    /// Also if only some segments could not be read: all others were emptied.
    pub(crate) fn finish(&mut self, core: &Core) -> Result<()> {
        // The caller wants each segment tried once.
        self.deferred.clear();
        while self.work.is_some() || self.begin(core, Urgency::Asked) {
            self.advance(core)?;
        }
        self.take_failure()
    }

    /// For an opening: empties segments that are nearly empty, until about a quarter of a segment was moved.
    pub(crate) fn move_sparse(&mut self, core: &Core) -> Result<()> {
        let moved = || core.wal.metrics().moved_bytes;
        let limit = moved() + core.wal.segment_bytes() / 4;
        while self.work.is_some() || moved() < limit && self.begin(core, Urgency::Opening) {
            self.advance(core)?;
        }
        self.take_failure()
    }

    /// Publishes the last copies, moves nothing more, and closes the cold segment so that it can be sealed: a footer
    /// must list all entries that are read from its segment.
    pub(crate) fn end(&mut self, core: &Core) {
        if let Some(Emptying { segment, copied: Some(copied), .. }) = self.work.take() {
            copied.publish(core, segment);
        }
        self.has_ended = true;
        core.wal.close_cold();
    }

    /// The damaged segments that still hold live entries.
    pub(crate) fn damaged(&self, core: &Core) -> Vec<SegmentId> {
        let is_live = |id: &&SegmentId| !core.usage.is_free(**id);
        self.unmovable.union(&self.damaged).filter(is_live).copied().collect()
    }

    fn begin(&mut self, core: &Core, urgency: Urgency) -> bool {
        if self.has_ended {
            return false;
        }
        for segment in core.store.losses.take_verified() {
            self.unmovable.remove(&segment);
            self.damaged.insert(segment);
        }
        let now = core.wal.now();
        self.deferred.retain(|_, until| now < *until);
        while let Some(segment) = self.choose(core, urgency) {
            match Emptying::begin(core, segment) {
                Ok(work) => {
                    self.work = Some(work);
                    return true;
                }
                Err(error) => self.give_up(core, segment, error),
            }
        }
        false
    }

    fn choose(&self, core: &Core, urgency: Urgency) -> Option<SegmentId> {
        let left: BTreeSet<SegmentId> = self.unmovable.iter().chain(self.deferred.keys()).copied().collect();
        let damaged = || victim::choose_damaged(core, &self.damaged, &left);
        let ordinary = || victim::choose(core, &left, urgency);
        // Emptying a damaged segment can cost a whole segment. Close to the log's limit, the one that frees most is
        // first.
        match self.damaged.is_empty() || victim::is_tight(core) {
            true => ordinary().or_else(damaged),
            false => damaged().or_else(ordinary),
        }
    }

    /// Copies a few records, or publishes the last copies; ends the work when no records are left.
    fn advance(&mut self, core: &Core) -> Result<()> {
        let Some(work) = &mut self.work else { return Ok(()) };
        if let Some(copied) = work.copied.take() {
            copied.publish(core, work.segment);
            if self.deferred.is_empty() {
                core.recovered(RECLAIM);
            }
            return Ok(());
        }
        let items = work.take(core);
        let segment = work.segment;
        if items.is_empty() {
            self.work = None;
            self.has_emptied(core, segment);
            return Ok(());
        }
        let read = match ReadRecords::of(core, items) {
            Ok(read) => read,
            Err(error) => {
                self.work = None;
                self.give_up(core, segment, error);
                return Ok(());
            }
        };
        match read.copy(core) {
            Ok(copied) => work.copied = Some(copied),
            Err(WalError::Full { .. }) if self.damaged.contains(&segment) => {
                // There is no space to copy all of a damaged segment: first empty segments that free more than they
                // cost.
                marks::hit("reclaim: there is no room for what lies beside damage");
                self.work = None;
                self.defer(core, segment);
            }
            Err(error) => {
                self.work = None;
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn has_emptied(&mut self, core: &Core, segment: SegmentId) {
        marks::hit("reclaim: a segment was emptied");
        if !core.usage.is_free(segment) {
            // Its footer does not list entries that count as live, or a read returned another record. Without this it
            // would be chosen again forever.
            self.unmovable.insert(segment);
            if !self.damaged.contains(&segment) {
                core.store.losses.suspect(segment);
            }
        }
        core.counts.emptied.fetch_add(1, Ordering::Relaxed);
        core.kick();
    }

    /// Ends the work on a segment after a failed read. Damaged records cannot be moved: the verifier finds the shards
    /// that lost them. Other failures may be transient, and the segment is deferred.
    fn give_up(&mut self, core: &Core, segment: SegmentId, error: WalError) {
        match error {
            WalError::Corruption(_) => {
                marks::hit("reclaim: a segment has something damaged in it");
                self.unmovable.insert(segment);
            }
            // The segment was freed.
            WalError::Gone(_) => return,
            other => {
                marks::hit("reclaim: a segment cannot be read");
                self.defer(core, segment);
                self.failure.get_or_insert(other.into());
            }
        }
        core.store.losses.suspect(segment);
        core.kick();
    }

    fn defer(&mut self, core: &Core, segment: SegmentId) {
        self.deferred.insert(segment, core.wal.now().saturating_add(DEFERRED_FOR));
    }

    /// The first failure to read a segment since the last call.
    fn take_failure(&mut self) -> Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }
}

impl Emptying {
    fn begin(core: &Core, segment: SegmentId) -> std::result::Result<Self, WalError> {
        let (footer, shards) = match core.usage.is_sealed(segment) {
            true => {
                let footer = core.store.footer(segment)?;
                let mut shards: Vec<ShardId> = footer.head.claims(segment).map(|(shard, _)| shard).collect();
                shards.dedup();
                (footer, shards)
            }
            false => (Arc::default(), core.usage.touched(segment)),
        };
        Ok(Self { segment, footer, shards, next: 0, items: VecDeque::new(), copied: None })
    }

    /// The next records to move.
    fn take(&mut self, core: &Core) -> Vec<LiveRecord> {
        let limit = STEP_BYTES.min(core.wal.batch_bytes_max());
        let (mut items, mut bytes): (Vec<LiveRecord>, _) = (Vec::new(), 0);
        let mut reads = 0;
        while items.len() < STEP_RECORDS {
            let Some(item) = self.items.front() else {
                if self.list(core) {
                    continue;
                }
                break;
            };
            // Rounded up as the last record of its batch, which it may be.
            bytes += (item.place.len as usize).next_multiple_of(LINE);
            reads += usize::from(items.last().is_none_or(|last| !is_beside(last.place, item.place)));
            if (bytes > limit || reads > STEP_READS) && !items.is_empty() {
                break;
            }
            items.extend(self.items.pop_front());
        }
        items
    }

    /// Lists the live records of the next shard; false if there is no next shard.
    fn list(&mut self, core: &Core) -> bool {
        let Some(&shard) = self.shards.get(self.next) else { return false };
        self.next += 1;
        let Some(cell) = core.store.shards.get(shard) else { return true };
        let held: Vec<EntryLocation> = {
            let (state, mut held) = (cell.state.lock(), Vec::new());
            let extent = cell.published.load().extent;
            let mut intact: Ranges = state.log.held_in(&extent, self.segment, 0).collect();
            state
                .missing()
                .into_iter()
                .flat_map(|missing| missing.entries.iter())
                .for_each(|lost| intact.remove(&lost));
            for range in intact.iter() {
                held.extend(state.log.locate(&extent, &range, u64::MAX));
            }
            held
        };
        let mut found = Vec::new();
        for location in held {
            if location.place.is_some() {
                found.push(location);
            } else {
                self.footer.locate(shard, &location, u64::MAX, &mut found);
            }
        }
        let item = |entries: EntryLocation| entries.place.map(|place| LiveRecord { shard, entries, place });
        self.items.extend(found.into_iter().filter_map(item));
        true
    }
}

impl LiveRecord {
    /// Whether `record` is the one that held the entries when they were listed.
    fn is_in(&self, record: &Record) -> bool {
        let is_in = record.owner() == self.shard.0 && self.entries.is_in(record);
        marks::hit_if(!is_in, "reclaim: entries are not where they were");
        is_in
    }
}

impl ReadRecords {
    fn of(core: &Core, items: Vec<LiveRecord>) -> std::result::Result<Self, WalError> {
        let mut places: Vec<Place> = items.iter().map(|item| item.place).collect();
        places.dedup();
        let mut records: Vec<Record> = Vec::with_capacity(places.len());
        for round in rounds(&places) {
            core.wal.read(round, &mut records)?;
        }
        Ok(Self { items, records: places.into_iter().zip(records).collect() })
    }

    /// Copies the records. Drops items whose place holds another record: the device may return an older one, which
    /// passes its checksum. Those entries, and their segment, stay.
    fn copy(self, core: &Core) -> std::result::Result<CopiedRecords, WalError> {
        let Self { mut items, records } = self;
        let _span = tracing::debug_span!("reclaim", records = items.len()).entered();
        let mut found = records.into_iter().peekable();
        let (mut places, mut records): (Vec<Place>, Vec<Record>) = (Vec::new(), Vec::new());
        items.retain(|item| {
            while found.next_if(|(place, _)| *place != item.place).is_some() {}
            let Some((place, record)) = found.peek().filter(|(_, record)| item.is_in(record)) else {
                return false;
            };
            if places.last() != Some(place) {
                places.push(*place);
                records.push(record.clone());
            }
            true
        });
        let bound = FooterBound { records: items.len(), ranges: range_count(&items) };
        let copies = if records.is_empty() { Vec::new() } else { core.wal.move_with_bound(&records, bound)? };
        Ok(CopiedRecords { items, copies: places.into_iter().zip(copies).collect() })
    }
}

impl CopiedRecords {
    /// Points the index at the copies, for entries that were not dropped or overwritten meanwhile.
    fn publish(self, core: &Core, from: SegmentId) {
        let mut copies = self.copies.into_iter().peekable();
        let mut delta = Delta::default();
        for of_shard in self.items.chunk_by(|one, next| one.shard == next.shard) {
            let Some(cell) = of_shard.first().and_then(|item| core.store.shards.get(item.shard)) else { continue };
            let mut state = cell.state.lock();
            let extent = cell.published.load().extent;
            let mut moved = Vec::with_capacity(of_shard.len());
            for LiveRecord { entries, place, .. } in of_shard {
                while copies.next_if(|(original, _)| original != place).is_some() {}
                let Some((_, copy)) = copies.peek() else { break };
                moved.push((entries.range.clone(), *copy));
            }
            let live = state.log.relocate(&extent, from, &moved, &mut delta);
            marks::hit_if(live < moved.len(), "reclaim: entries were dropped while they were moved");
            if live > 0 {
                delta.touch(cell.id);
            }
            if let Some((_, copy)) = copies.peek() {
                // With the shard locked: an operation that frees the entries next must find them counted.
                core.usage.apply(copy.segment, 0, &delta);
            }
            delta.clear();
        }
    }
}

/// The number of contiguous ranges of entries.
fn range_count(items: &[LiveRecord]) -> usize {
    let follows = |one: &LiveRecord, next: &LiveRecord| {
        one.shard == next.shard && one.entries.range.end == next.entries.range.start
    };
    items.chunk_by(follows).count()
}

/// Splits `places` into parts of at most [`READS_AT_ONCE`] device reads.
fn rounds(mut places: &[Place]) -> impl Iterator<Item = &[Place]> {
    std::iter::from_fn(move || {
        let apart = |pair: &[Place]| matches!(pair, [one, next] if !is_beside(*one, *next));
        let mut ends = places.windows(2).enumerate().filter(|(_, pair)| apart(pair)).map(|(at, _)| at + 1);
        let end = ends.nth(READS_AT_ONCE - 1).unwrap_or(places.len());
        let (round, rest) = places.split_at(end);
        places = rest;
        (!round.is_empty()).then_some(round)
    })
}

/// Whether one device read covers both records.
fn is_beside(before: Place, next: Place) -> bool {
    let end = before.offset.saturating_add(before.len);
    before.segment == next.segment && (before.offset..=end.saturating_add(NEAR)).contains(&next.offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_few_reads_and_all_rounds_have_all_places() {
        let place = |offset| Place { segment: SegmentId(3), offset, len: 64 };
        // Each tenth lies far behind the one before, and one begins again, as the next shard's do.
        let mut places: Vec<Place> = (0..300).map(|nth| place(nth * 64 + nth / 10 * 2 * NEAR)).collect();
        places.extend((0..5).map(|nth| place(nth * 64)));
        let parts: Vec<&[Place]> = rounds(&places).collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [80, 80, 80, 65]);
        assert_eq!(parts.concat(), places);
        assert_eq!(rounds(&[]).count(), 0);
    }
}
