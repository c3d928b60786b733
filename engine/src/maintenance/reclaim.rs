//! Reclaiming: what is still live in segments that are mostly dead moves to cold ones, so that the rest comes back.
//!
//! A record is moved as it is. Where it lay is given back by *compact*, as if the entries had been dropped there: the
//! copy is durable before the index knows of it, and no reader is sent to the old place from then on.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use logboom_disk::LINE;
use logboom_wal::{Error as WalError, Listed, NEAR, Place, Record, SegmentId, Step, marks};

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

/// About how many bytes one step moves.
const STEP_BYTES: usize = 512 << 10;
/// And at most how many records.
const STEP_RECORDS: usize = 4096;
/// And at most how many that do not lie beside the one before, each of which is a read of the device.
const STEP_READS: usize = 96;
/// And how many of those are asked of the device at once: what the log writes waits behind them.
const READS_AT_ONCE: usize = 8;
/// How soon to look whether anything is due.
const IDLE: Duration = Duration::from_millis(100);
/// How long a segment is left alone that could not be emptied for something that may pass.
const ASIDE: Duration = Duration::from_secs(30);

/// Empties one segment at a time.
#[derive(Default)]
pub(crate) struct Reclaimer {
    work: Option<Emptying>,
    pace: Pace,
    /// When to look for work again.
    look_at: Duration,
    /// Segments in which something is damaged: what can be read of them stays where it is.
    spoiled: BTreeSet<SegmentId>,
    /// Damaged segments whose losses are known: what is intact in them moves out, however much it is.
    damaged: BTreeSet<SegmentId>,
    /// Segments that are left alone until then: others come first.
    aside: BTreeMap<SegmentId, Duration>,
    /// What the disk did not answer for, of those that were put aside.
    unanswered: Option<Error>,
    has_ended: bool,
}

/// A segment that is being emptied.
struct Emptying {
    segment: SegmentId,
    /// Of one that stays without, nothing: the shards have their places themselves.
    footer: Arc<Footer>,
    /// Those with entries in it, and which of them comes next.
    shards: Vec<ShardId>,
    next: usize,
    /// Of the shards before: what was live when they were looked at.
    items: VecDeque<Item>,
    copied: Option<Copied>,
}

/// Items with what their places hold.
struct Read {
    items: Vec<Item>,
    /// In the order of the items, each place once.
    records: Vec<(Place, Record)>,
}

/// Records that have copies, which nobody is sent to yet.
struct Copied {
    items: Vec<Item>,
    /// From where each record lies to where its copy does, in the order of the items.
    copies: Vec<(Place, Place)>,
}

/// Live entries of one record.
struct Item {
    shard: ShardId,
    entries: EntryLocation,
    place: Place,
}

impl Reclaimer {
    /// Does a bounded amount of work, when some is due.
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
            self.answered()?;
            if self.aside.is_empty() {
                core.recovered(RECLAIM);
            }
            self.look_at = now.saturating_add(IDLE);
            return Ok(Step::At(self.look_at));
        }
        self.pace.begin(core.wal.answers());
        let advanced = self.advance(core);
        self.pace.end(now, core.wal.now(), core.wal.answers(), victim::is_short(core));
        advanced?;
        self.answered().map(|()| Step::Again)
    }

    /// Moves whatever is worth it, at once.
    ///
    /// # Errors
    /// Also when only some of it could not be read: all else was moved.
    pub(crate) fn finish(&mut self, core: &Core) -> Result<()> {
        // The caller wants each to be tried, once.
        self.aside.clear();
        while self.work.is_some() || self.begin(core, Urgency::Asked) {
            self.advance(core)?;
        }
        self.answered()
    }

    /// Moves what is in segments that are nearly empty, and no more than a quarter of a segment: for an opening.
    pub(crate) fn gather(&mut self, core: &Core) -> Result<()> {
        let moved = || core.wal.metrics().moved_bytes;
        let limit = moved() + core.wal.segment_bytes() / 4;
        while self.work.is_some() || moved() < limit && self.begin(core, Urgency::Opening) {
            self.advance(core)?;
        }
        self.answered()
    }

    /// Publishes what is copied, moves nothing more, and ends the cold segment, which can be sealed then: a footer must
    /// list all that is read from its segment.
    pub(crate) fn end(&mut self, core: &Core) {
        if let Some(Emptying { segment, copied: Some(copied), .. }) = self.work.take() {
            copied.publish(core, segment);
        }
        self.has_ended = true;
        core.wal.close_cold();
    }

    /// Live segments in which something is damaged.
    pub(crate) fn damaged(&self, core: &Core) -> Vec<SegmentId> {
        let is_live = |id: &&SegmentId| !core.usage.is_free(**id);
        self.spoiled.union(&self.damaged).filter(is_live).copied().collect()
    }

    fn begin(&mut self, core: &Core, urgency: Urgency) -> bool {
        if self.has_ended {
            return false;
        }
        for segment in core.store.losses.take_verified() {
            self.spoiled.remove(&segment);
            self.damaged.insert(segment);
        }
        let now = core.wal.now();
        self.aside.retain(|_, until| now < *until);
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
        let left: BTreeSet<SegmentId> = self.spoiled.iter().chain(self.aside.keys()).copied().collect();
        let damaged = || victim::choose_damaged(core, &self.damaged, &left);
        let ordinary = || victim::choose(core, &left, urgency);
        // A damaged one costs whatever is live in it: close to the log's bound, what gives the most room comes first.
        match self.damaged.is_empty() || victim::is_tight(core) {
            true => ordinary().or_else(damaged),
            false => damaged().or_else(ordinary),
        }
    }

    /// Copies a few records, or has their entries read from the copies; ends the work when none are left.
    fn advance(&mut self, core: &Core) -> Result<()> {
        let Some(work) = &mut self.work else { return Ok(()) };
        if let Some(copied) = work.copied.take() {
            copied.publish(core, work.segment);
            if self.aside.is_empty() {
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
        let read = match Read::of(core, items) {
            Ok(read) => read,
            Err(error) => {
                self.work = None;
                self.give_up(core, segment, error);
                return Ok(());
            }
        };
        match read.copy(core) {
            Ok(copied) => work.copied = Some(copied),
            Err(WalError::Full(_)) if self.damaged.contains(&segment) => {
                // It was to go whatever that costs, and there is not so much: what is worth it goes first.
                marks::hit("reclaim: there is no room for what lies beside damage");
                self.work = None;
                self.put_aside(core, segment);
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
            // Its footer knows nothing of what is counted there, or a read gave something else than that: it would be
            // tried for ever.
            self.spoiled.insert(segment);
            if !self.damaged.contains(&segment) {
                core.store.losses.suspect(segment);
            }
        }
        core.counts.emptied.fetch_add(1, Ordering::Relaxed);
        core.kick();
    }

    /// What is damaged cannot be moved: the shards that lost it are found. The other failures may pass, and hold up
    /// no other segment meanwhile.
    fn give_up(&mut self, core: &Core, segment: SegmentId, error: WalError) {
        match error {
            WalError::Corruption(_) => {
                marks::hit("reclaim: a segment has something damaged in it");
                self.spoiled.insert(segment);
            }
            // It is not among those that are chosen from any more.
            WalError::Gone(_) => return,
            other => {
                marks::hit("reclaim: a segment cannot be read");
                self.put_aside(core, segment);
                self.unanswered.get_or_insert(other.into());
            }
        }
        core.store.losses.suspect(segment);
        core.kick();
    }

    fn put_aside(&mut self, core: &Core, segment: SegmentId) {
        self.aside.insert(segment, core.wal.now().saturating_add(ASIDE));
    }

    /// What the disk did not answer for since this was last asked.
    fn answered(&mut self) -> Result<()> {
        self.unanswered.take().map_or(Ok(()), Err)
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
    fn take(&mut self, core: &Core) -> Vec<Item> {
        let limit = STEP_BYTES.min(core.wal.batch_bytes_max());
        let (mut items, mut bytes): (Vec<Item>, _) = (Vec::new(), 0);
        let mut reads = 0;
        while items.len() < STEP_RECORDS {
            let Some(item) = self.items.front() else {
                if self.list(core) {
                    continue;
                }
                break;
            };
            // Rounded as the last of its batch, which it may be.
            bytes += (item.place.len as usize).next_multiple_of(LINE);
            reads += usize::from(items.last().is_none_or(|last| !is_beside(last.place, item.place)));
            if (bytes > limit || reads > STEP_READS) && !items.is_empty() {
                break;
            }
            items.extend(self.items.pop_front());
        }
        items
    }

    /// Lists what the next shard has here; false if there is none.
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
        let item = |entries: EntryLocation| entries.place.map(|place| Item { shard, entries, place });
        self.items.extend(found.into_iter().filter_map(item));
        true
    }
}

impl Item {
    /// Whether the record is the one that held the entries when they were listed.
    fn is_in(&self, record: &Record) -> bool {
        let is_in = record.owner() == self.shard.0 && self.entries.is_in(record);
        marks::hit_if(!is_in, "reclaim: entries are not where they were");
        is_in
    }
}

impl Read {
    fn of(core: &Core, items: Vec<Item>) -> std::result::Result<Self, WalError> {
        let mut places: Vec<Place> = items.iter().map(|item| item.place).collect();
        places.dedup();
        let mut records: Vec<Record> = Vec::with_capacity(places.len());
        for round in rounds(&places) {
            core.wal.read(round, &mut records)?;
        }
        Ok(Self { items, records: places.into_iter().zip(records).collect() })
    }

    /// Copies what the items' places hold, but where a read gives something else. That passes its checksum when it was
    /// there earlier: those items stay where they are, and with them their segment.
    fn copy(self, core: &Core) -> std::result::Result<Copied, WalError> {
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
        let listed = Listed { records: items.len(), stretches: stretches(&items) };
        let copies = if records.is_empty() { Vec::new() } else { core.wal.move_listed(&records, listed)? };
        Ok(Copied { items, copies: places.into_iter().zip(copies).collect() })
    }
}

impl Copied {
    /// From here on the entries are read from the copies, but those that were dropped or written over meanwhile.
    fn publish(self, core: &Core, from: SegmentId) {
        let mut copies = self.copies.into_iter().peekable();
        let mut delta = Delta::default();
        for of_shard in self.items.chunk_by(|one, next| one.shard == next.shard) {
            let Some(cell) = of_shard.first().and_then(|item| core.store.shards.get(item.shard)) else { continue };
            let mut state = cell.state.lock();
            let extent = cell.published.load().extent;
            let mut is_any = false;
            for Item { entries, place, .. } in of_shard {
                while copies.next_if(|(original, _)| original != place).is_some() {}
                let Some((_, copy)) = copies.peek() else { break };
                let is_live = state.log.relocate(&extent, from, &entries.range, *copy, &mut delta);
                marks::hit_if(!is_live, "reclaim: entries were dropped while they were moved");
                is_any |= is_live;
            }
            if is_any {
                delta.touch(cell.id);
            }
            if let Some((_, copy)) = copies.peek() {
                // With the shard locked: whoever frees the entries next finds them counted.
                core.usage.apply(copy.segment, 0, &delta);
            }
            delta.clear();
        }
    }
}

/// How many stretches without a gap the entries make.
fn stretches(items: &[Item]) -> usize {
    let follows =
        |one: &Item, next: &Item| one.shard == next.shard && one.entries.range.end == next.entries.range.start;
    items.chunk_by(follows).count()
}

/// Parts of which each takes few reads of the device.
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

/// Whether a record is read with the one before it.
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
