//! Opening: from the checkpoint, the footers and the records behind them to the shards as they were.
//!
//! The checkpoint has each shard as of some record of its own; footers say which older segments hold its entries;
//! replay brings what came later. Records that a shard's row reflects already change nothing but where entries lie.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use logboom_wal::{
    Error as WalError, Opening, Passed, Place, Record, SegmentId, Sequence, marks,
    mutants::{self, Mutant},
};

use crate::{
    Error, Result, ShardId,
    checkpoint::Checkpoint,
    extent::Extent,
    footer::{Footer, Rescue},
    log::{Log, Row},
    operation::Change,
    places::Places,
    published::View,
    shard_map::ShardMap,
    spans::{Home, Spans},
    state::{ShardCell, State},
    tally::Tallies,
    terms::Terms,
};

/// What opening found.
pub(crate) struct Recovered {
    pub(crate) shards: ShardMap,
    pub(crate) tallies: Tallies,
    pub(crate) places: Places,
    /// The size of the checkpoint, 0 for none.
    pub(crate) checkpoint_bytes: u64,
}

/// Recovers the shards; the log itself is left to be started, or read.
pub(crate) fn recover(opening: &mut Opening, index_bytes: u64) -> Result<Recovered> {
    let _span = tracing::info_span!("index", recovering = opening.segments().len()).entered();
    let mut recovery = Recovery { shards: HashMap::new(), sealed: BTreeSet::new(), places: Places::new(index_bytes) };
    let checkpoint = opening.checkpoint().unwrap_or_default();
    let checkpoint_bytes = checkpoint.len() as u64;
    if !checkpoint.is_empty() {
        recovery.take_checkpoint(checkpoint)?;
    }
    recovery.take_footers(opening)?;
    recovery.replay(opening)?;
    recovery.find_sealed(opening)?;
    if let Some(cut) = opening.report().cut {
        tracing::warn!(%cut, "an unpromised tail was cut");
    }
    let live = opening.segments().iter().map(|info| info.id).collect();
    let (shards, tallies) = (ShardMap::default(), Tallies::default());
    for (shard, found) in recovery.shards {
        if let Some(cell) = found.finish(shard, &live, &recovery.sealed, &tallies)? {
            shards.insert(cell);
        }
    }
    Ok(Recovered { shards, tallies, places: recovery.places, checkpoint_bytes })
}

struct Recovery {
    shards: HashMap<ShardId, Found>,
    /// Segments that have footers.
    sealed: BTreeSet<SegmentId>,
    places: Places,
}

/// What is known of a shard so far.
#[derive(Default)]
struct Found {
    view: View,
    terms: Terms,
    state: State,
    /// Where entries lie, by index: possibly some that are not in the log any more, never one that lies elsewhere.
    pieces: Vec<Piece>,
    /// Its history began before what is replayed, and no checkpoint has it: it was destroyed later, or is damaged.
    headless: bool,
}

/// Contiguous entries in one segment.
struct Piece {
    first: u64,
    end: u64,
    segment: SegmentId,
    rows: Vec<Row>,
}

impl Recovery {
    fn take_checkpoint(&mut self, bytes: &[u8]) -> Result<()> {
        Checkpoint::decode(bytes, |shard| {
            let terms = Terms::from_runs(shard.terms);
            let found = Found { view: shard.view, terms, state: shard.state, ..Found::default() };
            self.shards.insert(shard.id, found);
        })
    }

    /// What lies in the segments that are not replayed.
    fn take_footers(&mut self, opening: &Opening) -> Result<()> {
        let replay_from = opening.replay_from();
        for info in opening.segments().iter().filter(|info| info.id < replay_from) {
            let footer = self.footer(opening, info.id)?;
            for entries in footer.shards() {
                let Some(found) = self.shards.get_mut(&entries.shard) else { continue };
                let rows = if self.sealed.contains(&info.id) { Vec::new() } else { footer.rows(entries).collect() };
                let end = entries.first.saturating_add(u64::from(entries.count));
                found.place(Piece { first: entries.first, end, segment: info.id, rows });
            }
            if self.sealed.contains(&info.id) {
                self.places.keep(info.id, Arc::new(footer));
            }
        }
        Ok(())
    }

    /// The footer of a segment, or what reading the segment tells.
    fn footer(&mut self, opening: &Opening, segment: SegmentId) -> Result<Footer> {
        let read = opening.read_footer(segment)?;
        if let Some(footer) = read.and_then(|bytes| Footer::decode(&bytes).ok()) {
            self.sealed.insert(segment);
            return Ok(footer);
        }
        marks::hit("recovery: a segment is read in place of its footer");
        let mut rescue = Rescue::default();
        opening.scan(segment, &mut |passed| {
            rescue.add(&passed);
            Ok(())
        })?;
        rescue.finish()
    }

    fn replay(&mut self, opening: &mut Opening) -> Result<()> {
        let mut failure = None;
        let replayed = opening.replay(&mut |passed| {
            let done = match passed {
                Passed::Record(record, place) => self.replay_record(&record, place),
                Passed::Lost(loss) => Err(Error::malformed(format!("records are lost: {loss:?}"))),
            };
            done.map_err(|error| {
                failure = Some(error);
                WalError::Closed
            })
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(replayed?),
        }
    }

    fn replay_record(&mut self, record: &Record, place: Place) -> Result<()> {
        let shard = ShardId(record.owner());
        let Some(change) = Change::decode(record) else {
            return Err(Error::corruption(shard, format_args!("record {} is of no known form", record.sequence())));
        };
        let begun = || Found { headless: record.prev() != Sequence::NONE, ..Found::default() };
        let found = self.shards.entry(shard).or_insert_with(begun);
        found.replay(&change, record, place).map_err(|what| Error::corruption(shard, what))
    }

    /// Which of the replayed segments were sealed before.
    fn find_sealed(&mut self, opening: &Opening) -> Result<()> {
        let replay_from = opening.replay_from();
        for info in opening.segments().iter().filter(|info| info.id >= replay_from) {
            let footer = opening.read_footer(info.id)?;
            if let Some(footer) = footer.and_then(|bytes| Footer::decode(&bytes).ok()) {
                self.sealed.insert(info.id);
                self.places.keep(info.id, Arc::new(footer));
            }
        }
        Ok(())
    }
}

impl Found {
    fn replay(&mut self, change: &Change<'_>, record: &Record, place: Place) -> Result<(), String> {
        if let Change::Append { first, count, .. } = *change {
            let end = first.saturating_add(count);
            self.place(Piece { first, end, segment: place.segment, rows: vec![Row::new(first, place)] });
        }
        let known = record.sequence() <= self.view.sequence;
        marks::hit_if(known, "recovery: a record that the checkpoint reflects");
        if known && !mutants::is_on(Mutant::ReplayedTwice) {
            return Ok(());
        }
        if self.headless {
            if *change == Change::Destroy {
                marks::hit("recovery: a shard whose beginning is gone was destroyed");
                *self = Self::default();
            }
            return Ok(());
        }
        if record.prev() != self.view.sequence {
            return Err(format!(
                "record {} follows {}, but {} was found last: records are missing",
                record.sequence(),
                record.prev(),
                self.view.sequence
            ));
        }
        self.apply(change, record.sequence())
    }

    fn apply(&mut self, change: &Change<'_>, sequence: Sequence) -> Result<(), String> {
        let extent = self.view.extent;
        let after = change
            .extent_after(extent)
            .map_err(|refusal| format!("record {sequence} does not fit the log: {refusal:?}"))?;
        match *change {
            Change::Append { first, term, .. } => self.terms.push(first, term),
            Change::Truncate { .. } | Change::Compact { .. } => self.clip_terms(&after),
            Change::Reset { .. } => self.terms = Terms::default(),
            Change::Destroy => {
                *self = Self::default();
                return Ok(());
            }
            Change::HardState(_) | Change::CommitHint(_) | Change::Put { .. } | Change::Delete { .. } => {
                self.state.set(change);
            }
        }
        self.view = View { extent: after, sequence };
        Ok(())
    }

    fn clip_terms(&mut self, extent: &Extent) {
        self.terms.cut_suffix(extent.next);
        self.terms.cut_prefix(extent.first);
    }

    /// Notes where entries lie. Whatever older segments have from there on was truncated before.
    fn place(&mut self, mut piece: Piece) {
        while self.pieces.last().is_some_and(|last| last.first >= piece.first) {
            self.pieces.pop();
        }
        if let Some(last) = self.pieces.last_mut() {
            last.end = last.end.min(piece.first);
            last.rows.truncate(last.rows.partition_point(|row| row.first < piece.first));
            if last.segment == piece.segment && last.end == piece.first {
                last.end = piece.end;
                last.rows.append(&mut piece.rows);
                return;
            }
        }
        self.pieces.push(piece);
    }

    /// The shard as it was; `None` if it has no history.
    fn finish(
        mut self,
        shard: ShardId,
        live: &BTreeSet<SegmentId>,
        sealed: &BTreeSet<SegmentId>,
        tallies: &Tallies,
    ) -> Result<Option<ShardCell>> {
        if self.headless {
            return Err(Error::corruption(shard, "its first records are missing"));
        }
        if self.view.sequence == Sequence::NONE {
            return Ok(None);
        }
        let extent = self.view.extent;
        if !extent.is_empty() {
            self.state.log = self.log(sealed, tallies, shard, live).map_err(|what| Error::corruption(shard, what))?;
        }
        let mut cell = ShardCell::new(shard);
        cell.published.store(self.view);
        *cell.state.get_mut() = self.state;
        Ok(Some(cell))
    }

    fn log(
        &mut self,
        sealed: &BTreeSet<SegmentId>,
        tallies: &Tallies,
        shard: ShardId,
        live: &BTreeSet<SegmentId>,
    ) -> Result<Log, String> {
        let extent = self.view.extent;
        let runs = std::mem::take(&mut self.terms).into_runs();
        if runs.first().is_none_or(|run| run.first != extent.first) {
            return Err(format!("the term of entry {} is unknown", extent.first));
        }
        let (mut spans, mut recent) = (Spans::default(), VecDeque::new());
        let mut expected = extent.first;
        for piece in &mut self.pieces {
            let (first, end) = (piece.first.max(extent.first), piece.end.min(extent.next));
            if first >= end {
                continue;
            }
            if first != expected || !live.contains(&piece.segment) {
                break;
            }
            let is_sealed = sealed.contains(&piece.segment);
            let home = if is_sealed { Home::sealed(piece.segment) } else { Home::recent(piece.segment) };
            spans.push(first, home);
            if !is_sealed {
                recent.extend(piece.live_rows(first, end));
            }
            tallies.found(piece.segment, end - first, (!is_sealed).then_some(shard));
            expected = end;
        }
        if expected != extent.next {
            return Err(format!("entries from {expected} on are missing, the log ends at {}", extent.next - 1));
        }
        Ok(Log::recovered(&extent, runs, spans, recent))
    }
}

impl Piece {
    /// The rows of the entries `first..end`, the first of them beginning at `first`.
    fn live_rows(&self, first: u64, end: u64) -> impl Iterator<Item = Row> {
        let begin = self.rows.partition_point(|row| row.first <= first).saturating_sub(1);
        let rows = self.rows.get(begin..).unwrap_or_default();
        rows.iter().take_while(move |row| row.first < end).map(move |row| Row { first: row.first.max(first), ..*row })
    }
}
