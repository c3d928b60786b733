//! A shard while it is recovered: what its records say, and what is missing of them.
//!
//! Each record names the one of its shard before it. While these links meet, nothing of the shard is lost in between.
//! Of a lost record there may be a descriptor: what it leaves unsaid is missing, the rest is known. Where a link does
//! not meet, the shard stays as of the last record that is proven, and is in quarantine for what came behind.

use std::collections::{BTreeSet, VecDeque};

use logboom_wal::{
    Place, SegmentId, Sequence, marks,
    mutants::{self, Mutant},
};

use crate::{
    checkpoint::body::Shard,
    encoding::{
        extent::Extent,
        operation::{Change, LostChange},
    },
    index::{
        claims::{Claim, Claims, LOST_SEGMENT, Recency},
        log_index::LogIndex,
        spans::{SegmentTag, Spans},
        terms::{NO_TERM, TermRun, Terms},
        usage::UsageTable,
    },
    shard_state::{
        published::View,
        quarantine::Missing,
        state::{ShardCell, State},
    },
    types::{delta::Amount, ids::ShardId},
};

/// What is known of a shard so far.
#[derive(Default)]
pub(crate) struct Found {
    /// The last record is one that was applied.
    view: View,
    terms: Terms,
    state: State,
    missing: Missing,
    /// What the replayed records claim; whatever else they did not end.
    claims: Claims,
    /// The last record that the checkpoint reflects: a later one in a segment that is not replayed was not accepted.
    past: Sequence,
    /// What the segments that were not replayed claim. Without a past, they speak of an earlier log of the shard.
    older: Vec<(Recency, Claim)>,
    has_past: bool,
    /// Nothing of the shard is lost before this.
    proven: Sequence,
    /// The last record that was passed did not follow the one that is known.
    broken: bool,
}

/// The segments of the log.
#[derive(Default)]
pub(crate) struct Segments {
    pub(crate) live: BTreeSet<SegmentId>,
    /// Those that have footers.
    pub(crate) sealed: BTreeSet<SegmentId>,
    /// Live ones in which something is lost: what lies beside it is to move out. Nothing else tells of them when what
    /// is lost was known to the checkpoint and is healed.
    pub(crate) suspects: BTreeSet<SegmentId>,
}

impl Found {
    pub(crate) fn in_checkpoint(shard: Shard) -> Self {
        let Shard { view, terms, state, missing, .. } = shard;
        Self {
            view,
            terms: Terms::from_runs(terms),
            state,
            missing,
            proven: view.sequence,
            past: view.sequence,
            has_past: true,
            ..Self::default()
        }
    }

    /// A shard that is known to hold nothing, from records before `proven`.
    pub(crate) fn empty(proven: Sequence) -> Self {
        Self { proven, ..Self::default() }
    }

    /// Notes where entries lie that no replayed record holds: those come in any order.
    pub(crate) fn add_older_claim(&mut self, recency: Recency, claim: Claim) {
        if self.has_past {
            self.older.push((recency, claim));
        }
    }

    /// Whether a record in a segment that is not replayed is part of the shard. One behind damage is not, where it did
    /// not follow the last known record.
    pub(crate) fn has_past(&self, sequence: Sequence) -> bool {
        self.has_past && sequence <= self.past
    }

    /// Takes the next record of the shard.
    pub(crate) fn replay(&mut self, change: &Change<'_>, sequence: Sequence, prev: Sequence, place: Place) {
        self.has_past &= !matches!(change, Change::Reset { .. });
        let known = sequence <= self.view.sequence;
        marks::hit_if(known, "recovery: a record that the checkpoint reflects");
        if known && !mutants::is_on(Mutant::ReplayedTwice) {
            return self.claims.follow(change, place);
        }
        // Whatever came before it, it left nothing; and a record without one before it begins a new life.
        let broken = self.broken;
        let begins = prev == Sequence::NONE && self.view.sequence != Sequence::NONE;
        if begins || *change == Change::Destroy {
            *self = Self::empty(sequence);
        }
        if *change == Change::Destroy {
            marks::hit_if(broken, "recovery: a shard whose beginning is gone was destroyed");
            return;
        }
        let follows = prev == self.view.sequence || mutants::is_on(Mutant::LinksIgnored);
        if !follows || self.apply(change, sequence).is_none() {
            self.lose_track();
            return;
        }
        self.broken = false;
        self.claims.follow(change, place);
    }

    /// Takes the next record of the shard, of which only this is known. Without a trace, records were lost up to
    /// `proven_from`: whether it follows the last known one is not known then.
    pub(crate) fn lose(&mut self, lost: &LostChange, sequence: Sequence, proven_from: Sequence) {
        self.has_past &= !matches!(lost, LostChange::Change(Change::Reset { .. }));
        if sequence <= self.view.sequence {
            return self.claims.follow_lost(lost);
        }
        if *lost == LostChange::Change(Change::Destroy) {
            *self = Self::empty(sequence);
            return;
        }
        if self.broken || self.proven < proven_from || self.apply_lost(lost, sequence).is_none() {
            return self.lose_track();
        }
        self.claims.follow_lost(lost);
    }

    /// Whether it is known that nothing came behind the last known record, when others may be lost up to `proven_from`.
    /// It is in quarantine if not.
    pub(crate) fn prove(&mut self, proven_from: Sequence) -> bool {
        let proven = self.proven >= proven_from;
        self.missing.suffix |= !proven && self.is_something();
        proven
    }

    /// Whether it has a history.
    pub(crate) fn is_something(&self) -> bool {
        self.view.sequence != Sequence::NONE || !self.missing.is_nothing()
    }

    /// The shard as it was.
    pub(crate) fn finish(mut self, shard: ShardId, segments: &mut Segments, usage: &UsageTable) -> ShardCell {
        let extent = self.view.extent;
        self.missing.entries.clip(&extent.range());
        if !extent.is_empty() {
            self.state.log = self.log(shard, &extent, segments, usage);
        }
        self.view.quarantined = !self.missing.is_nothing();
        self.state.set_missing(self.missing);
        let mut cell = ShardCell::new(shard);
        cell.published.store(self.view);
        *cell.state.get_mut() = self.state;
        cell
    }

    /// What follows is not known to follow.
    fn lose_track(&mut self) {
        self.broken = true;
        self.missing.suffix = true;
    }

    /// Does what a record says that follows the last known one; `None` if it cannot.
    fn apply(&mut self, change: &Change<'_>, sequence: Sequence) -> Option<()> {
        let after = change.extent_after(self.view.extent).ok()?;
        match *change {
            Change::Append { first, term, .. } => self.terms.push(first, term),
            Change::Heal { first, count, term } => {
                self.terms.set(&(first..first.saturating_add(count)), term, after.next);
            }
            Change::Truncate { .. } | Change::Compact { .. } => {
                self.terms.cut_suffix(after.next);
                self.terms.cut_prefix(after.first);
            }
            Change::Reset { .. } => self.terms = Terms::default(),
            Change::HardState(_)
            | Change::CommitHint(_)
            | Change::Put { .. }
            | Change::Delete { .. }
            | Change::Register { .. }
            | Change::Forget { .. } => self.state.set(change),
            Change::AcceptLoss { .. } | Change::Destroy => {}
        }
        self.missing.follow(change, &after);
        self.view = View { extent: after, sequence, quarantined: false };
        // Entries are handed in again while more may be missing: that proves nothing.
        if !matches!(change, Change::Heal { .. }) {
            self.proven = sequence;
        }
        Some(())
    }

    /// [`Found::apply`] for what is known of a lost record; `None` if that is too little to go on from.
    fn apply_lost(&mut self, lost: &LostChange, sequence: Sequence) -> Option<()> {
        match *lost {
            LostChange::Change(change) => return self.apply(&change, sequence),
            LostChange::Entries { first, count, appended: true } => {
                self.apply(&Change::Append { first, count, term: NO_TERM }, sequence)?;
                self.missing.entries.insert(first..first.saturating_add(count));
            }
            LostChange::Entries { first, count, appended: false } => {
                self.view.extent.heal(first, count).ok()?;
                self.missing.entries.insert(first..first.saturating_add(count));
                self.view.sequence = sequence;
            }
            LostChange::Compact { index } => {
                let known = if self.missing.entries.contains(index) { None } else { self.terms.at(index) };
                let term = if index < self.view.extent.first { NO_TERM } else { known? };
                return self.apply(&Change::Compact { index, term }, sequence);
            }
            LostChange::HardState => self.missing.hard_state = Some(sequence),
            LostChange::CommitHint => self.state.forget_commit_hint(),
            LostChange::Key => self.missing.keys = self.missing.keys.saturating_add(1),
            LostChange::Snapshot => {
                self.state.forget_snapshots();
                self.missing.snapshot = Some(sequence);
            }
            LostChange::Unknown => return None,
        }
        self.view.sequence = sequence;
        if !matches!(lost, LostChange::Entries { appended: false, .. }) {
            self.proven = sequence;
        }
        Some(())
    }

    /// The index. What no live segment holds is missing.
    fn log(&mut self, shard: ShardId, extent: &Extent, segments: &mut Segments, usage: &UsageTable) -> LogIndex {
        self.older.sort_by_key(|(recency, _)| std::cmp::Reverse(*recency));
        self.older.drain(..).for_each(|(_, claim)| self.claims.insert_older(claim));
        self.suspect_holders(segments);
        self.claim_missing(extent);
        let (mut spans, mut unsealed) = (Spans::default(), VecDeque::new());
        let claims = std::mem::take(&mut self.claims).into_vec().into_iter();
        for mut claim in claims.filter_map(|claim| claim.clipped(extent.first, extent.next)) {
            let amount = Amount::new(claim.end - claim.first, claim.bytes);
            if !segments.live.contains(&claim.segment) {
                self.missing.entries.insert(claim.first..claim.end);
                spans.push(claim.first, SegmentTag::sealed(LOST_SEGMENT), claim.bytes);
                usage.add_recovered(LOST_SEGMENT, amount, None);
                continue;
            }
            let is_sealed = segments.sealed.contains(&claim.segment);
            let tag = if is_sealed { SegmentTag::sealed(claim.segment) } else { SegmentTag::unsealed(claim.segment) };
            spans.push(claim.first, tag, claim.bytes);
            usage.add_recovered(claim.segment, amount, (!is_sealed).then_some(shard));
            if !is_sealed && unsealed.is_empty() {
                claim.rows.shrink_to_fit();
                unsealed = claim.rows.into();
            } else if !is_sealed {
                unsealed.extend(claim.rows);
            }
        }
        LogIndex::recovered(extent, std::mem::take(&mut self.terms).into_runs(), spans, unsealed)
    }

    /// Notes which live segments should hold what is known to be missing.
    fn suspect_holders(&self, segments: &mut Segments) {
        let is_lost =
            |claim: &&Claim| self.missing.entries.from(claim.first).is_some_and(|lost| lost.start < claim.end);
        let holders = self.claims.as_slice().iter().filter(is_lost).map(|claim| claim.segment);
        segments.suspects.extend(holders.filter(|id| segments.live.contains(id)));
    }

    /// Claims for nowhere what is missing, and what nothing else claims or has a term.
    fn claim_missing(&mut self, extent: &Extent) {
        let known_from = self.terms.runs().first().map_or(extent.next, |run| run.first);
        if known_from > extent.first {
            let mut runs = vec![TermRun { first: extent.first, term: NO_TERM }];
            runs.extend(self.terms.runs());
            self.terms = Terms::from_runs(runs);
            self.missing.entries.insert(extent.first..known_from.min(extent.next));
        }
        let mut at = extent.first;
        let is_inside = |claim: &&Claim| claim.first < extent.next && extent.first < claim.end;
        for claim in self.claims.as_slice().iter().filter(is_inside) {
            self.missing.entries.insert(at..claim.first);
            at = claim.end.min(extent.next);
        }
        self.missing.entries.insert(at..extent.next);
        for range in self.missing.entries.iter().collect::<Vec<_>>() {
            self.claims.insert(Claim::lost(range.start, range.end));
        }
    }
}
