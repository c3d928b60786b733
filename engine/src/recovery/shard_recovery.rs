//! The recovery of one shard: its state so far, and what is missing of it.
//!
//! Each record links to the previous record of its shard. An unbroken chain proves that nothing of the shard is lost in
//! between. If the descriptor of a lost record is left, recovery applies it, and what the descriptor does not tell is
//! missing. Behind a broken link the shard stays as of the last proven record, and is in quarantine for later ones.

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

/// A shard that is being recovered.
#[derive(Default)]
pub(crate) struct ShardRecovery {
    /// Bounds and sequence as of the last applied record.
    view: View,
    terms: Terms,
    state: State,
    missing: Missing,
    /// The claims of the replayed records.
    claims: Claims,
    /// The last record that the checkpoint reflects. Recovery dropped any later one in a segment that is not replayed.
    past: Sequence,
    /// The claims of the segments that are not replayed.
    older: Vec<(Recency, Claim)>,
    /// Whether those claims count. Without a row in the checkpoint, or after a reset or a destruction in the replay,
    /// they are for an earlier log of the shard.
    has_past: bool,
    /// No record of the shard before this is lost unnoticed.
    proven: Sequence,
    /// The last record did not link to the last known one.
    broken: bool,
}

/// The segments of the log.
#[derive(Default)]
pub(crate) struct Segments {
    pub(crate) live: BTreeSet<SegmentId>,
    /// Those that have footers.
    pub(crate) sealed: BTreeSet<SegmentId>,
    /// Live segments with lost records: reclaiming moves the intact ones out. Losses that the checkpoint knows and that
    /// are healed show up nowhere else.
    pub(crate) suspects: BTreeSet<SegmentId>,
}

impl ShardRecovery {
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

    /// A shard that is known to be empty after the records before `proven`.
    pub(crate) fn empty(proven: Sequence) -> Self {
        Self { proven, ..Self::default() }
    }

    /// Adds a claim of a segment that is not replayed. They may come in any order.
    pub(crate) fn add_older_claim(&mut self, recency: Recency, claim: Claim) {
        if self.has_past {
            self.older.push((recency, claim));
        }
    }

    /// Whether a record in a segment that is not replayed is part of the shard. One behind damage is not, if recovery
    /// dropped it for a broken link.
    pub(crate) fn has_past(&self, sequence: Sequence) -> bool {
        self.has_past && sequence <= self.past
    }

    /// Applies the next record of the shard.
    pub(crate) fn replay(&mut self, change: &Change<'_>, sequence: Sequence, prev: Sequence, place: Place) {
        self.has_past &= !matches!(change, Change::Reset { .. });
        let known = sequence <= self.view.sequence;
        marks::hit_if(known, "recovery: a record that the checkpoint reflects");
        if known && !mutants::is_on(Mutant::ReplayedTwice) {
            return self.claims.follow(change, place);
        }
        // A destruction ends the shard whatever came before, and a record that links to none begins it anew.
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

    /// Applies the next record of the shard, of which only the descriptor is left. Records before `proven_from` may be
    /// lost without a descriptor: it is unknown then whether it follows the last known one.
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

    /// Whether the last known record is proven to be the last one, given that records before `proven_from` may be lost
    /// without a descriptor. If not, the shard goes into quarantine.
    pub(crate) fn prove(&mut self, proven_from: Sequence) -> bool {
        let proven = self.proven >= proven_from;
        self.missing.suffix |= !proven && self.is_something();
        proven
    }

    /// Whether any record of the shard is known, or lost.
    pub(crate) fn is_something(&self) -> bool {
        self.view.sequence != Sequence::NONE || !self.missing.is_nothing()
    }

    /// The recovered shard.
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

    /// Marks the chain as broken: later records of the shard are lost.
    fn lose_track(&mut self) {
        self.broken = true;
        self.missing.suffix = true;
    }

    /// Applies a record that follows the last known one; `None` if it does not fit.
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
        // A heal proves nothing: entries are healed while more may be missing.
        if !matches!(change, Change::Heal { .. }) {
            self.proven = sequence;
        }
        Some(())
    }

    /// [`ShardRecovery::apply`] for a lost record; `None` if too little of it is known for later records to be applied.
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

    /// Builds the index. Entries that no live segment holds are missing.
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

    /// Adds the live segments with claims for missing entries to the suspects.
    fn suspect_holders(&self, segments: &mut Segments) {
        let is_lost =
            |claim: &&Claim| self.missing.entries.from(claim.first).is_some_and(|lost| lost.start < claim.end);
        let holders = self.claims.as_slice().iter().filter(is_lost).map(|claim| claim.segment);
        segments.suspects.extend(holders.filter(|id| segments.live.contains(id)));
    }

    /// Adds the entries without a claim or a term to the missing ones, and claims all missing entries as lost.
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
