//! Operations on shards: chosen so that the engine must accept them, applied to the model, and put into batches.

use std::rc::Rc;

use bytes::Bytes;
use logboom::{Batch, Entry, EntryId, Result, ShardId, snapshot::Built};

use crate::{
    choices::Choices,
    model::{Model, Models, Snapshot, Written},
};

/// One operation on one shard.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// The shard.
    pub(crate) shard: u64,
    /// The action on it.
    pub(crate) kind: Kind,
}

/// The action of an [`Operation`]: one for every method of [`Batch`].
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// [`Batch::append`], for each.
    Append { first: u64, entries: Vec<Written> },
    /// [`Batch::overwrite`].
    Overwrite { first: u64, entries: Vec<Written> },
    /// [`Batch::truncate_after`].
    Truncate { keep: u64 },
    /// [`Batch::compact_through`], or [`Batch::compact_past_leases`].
    Compact { index: u64, past_leases: bool },
    /// [`Batch::reset_to`].
    Reset { boundary: Option<EntryId> },
    /// [`Batch::destroy`].
    Destroy,
    /// [`Batch::hard_state`].
    HardState { state: Vec<u8> },
    /// [`Batch::commit_hint`].
    CommitHint { hint: Vec<u8> },
    /// [`Batch::put`].
    Put { key: Vec<u8>, value: Vec<u8> },
    /// [`Batch::delete`].
    Delete { key: Vec<u8> },
    /// [`Batch::accept_loss`]: the shard has the state that the operations before it produced.
    AcceptLoss,
    /// [`Batch::register_snapshot`], with the number of snapshots that are kept.
    Register { built: Built, snapshot: Snapshot, kept: usize },
    /// [`Batch::forget_snapshot`].
    Forget { id: u64 },
}

/// The shape of entries, and how often each operation is chosen.
#[derive(Clone, Debug)]
pub(crate) struct OpMix {
    /// The number of shards.
    pub(crate) shards: u64,
    /// Payloads are shorter than this.
    pub(crate) payload_max: u64,
    /// Whether all payloads have the same length, so that recycled segments hold similar data at the same places.
    pub(crate) payload_fixed: bool,
    /// Entries of an append.
    pub(crate) entries_max: u64,
    /// Weights of append, compact, put, delete, commit hint; and of what a lazy batch may not hold: hard state,
    /// truncate, overwrite, reset, destroy.
    pub(crate) weights: [u64; 10],
    /// In percent: a compaction drops all entries.
    pub(crate) compacts_all: u64,
    /// The number of shards that are never compacted: their records must be moved.
    pub(crate) laggards: u64,
    /// Whether batches are alike, so that groups lie where a similar one lay in an earlier life of the segment.
    pub(crate) uniform: bool,
    /// Whether, as in raft, no two entries that a shard ever had at an index have the same term.
    pub(crate) unique_terms: bool,
}

/// How many of the weights are of operations that may be lazy.
const LAZY: usize = 5;

impl OpMix {
    /// A random mix.
    pub(crate) fn choose(choices: &mut Choices) -> Self {
        let weights = match choices.below(4) {
            0 => [40, 8, 6, 3, 3, 10, 8, 12, 4, 3],
            1 => [40, 30, 2, 1, 1, 4, 4, 4, 2, 2],
            2 => [20, 2, 20, 8, 8, 20, 2, 2, 1, 1],
            _ => [60, 12, 0, 0, 0, 1, 1, 1, 0, 0],
        };
        Self {
            shards: choices.pick(&[1, 2, 3, 5, 7, 9]),
            payload_max: choices.pick(&[40, 200, 200, 1200, 5500, 30_000, 30_000]),
            payload_fixed: choices.percent(30),
            entries_max: choices.pick(&[2, 6, 6, 20]),
            weights,
            compacts_all: choices.pick(&[10, 40, 90]),
            laggards: choices.pick(&[0, 0, 1, 2]),
            uniform: choices.percent(20),
            unique_terms: false,
        }
    }
}

/// Chooses operations one after the other, and numbers what they write.
#[derive(Debug)]
pub(crate) struct Author {
    /// The mix of operations.
    pub(crate) mix: OpMix,
    last_tag: u64,
}

impl Author {
    /// An author with this mix.
    pub(crate) fn new(mix: OpMix) -> Self {
        Self { mix, last_tag: 0 }
    }

    /// An operation that the shards accept in their present state; `None` if the chosen one does not fit.
    pub(crate) fn choose(&mut self, choices: &mut Choices, models: &Models, lazy: bool) -> Option<Operation> {
        let shard = choices.below(self.mix.shards);
        let vacant = Model::default();
        let model = models.get(&shard).map_or(&vacant, |model| &**model);
        let weights = self.mix.weights;
        let which = choices.weighted(if lazy { &weights[..LAZY] } else { &weights });
        let kind = match which {
            0 => self.append(choices, model),
            1 if shard < self.mix.laggards => return None,
            1 => self.compact(choices, model)?,
            2 => {
                let value = vec![choices.byte(); choices.size(60)];
                Kind::Put { key: vec![choices.byte() % 8], value }
            }
            3 => Kind::Delete { key: vec![choices.byte() % 8] },
            4 => Kind::CommitHint { hint: vec![choices.byte(); choices.size(65)] },
            5 => Kind::HardState { state: vec![choices.byte(); choices.size(65)] },
            6 => truncate(choices, model)?,
            7 => self.overwrite(choices, model)?,
            8 => {
                let boundary = choices.percent(60).then(|| EntryId { index: choices.below(100), term: 7 });
                Kind::Reset { boundary }
            }
            _ => Kind::Destroy,
        };
        Some(Operation { shard, kind })
    }

    /// A number that nothing was written with before.
    pub(crate) fn tag(&mut self) -> u64 {
        self.last_tag += 1;
        self.last_tag
    }

    /// Operations whose records fill a quarter of a sector each.
    pub(crate) fn uniform(&mut self, choices: &mut Choices) -> Vec<Operation> {
        let shards = self.mix.shards;
        let mut hard_state =
            |nth| Operation { shard: nth % shards, kind: Kind::HardState { state: vec![choices.byte(); 64] } };
        (0..40).map(&mut hard_state).collect()
    }

    /// Operations that leave no entry in any shard.
    pub(crate) fn release(&mut self, models: &Models) -> Vec<Operation> {
        let full = models.iter().filter(|(_, model)| !model.entries.is_empty());
        full.map(|(&shard, model)| Operation { shard, kind: compact_all(model) }).collect()
    }

    fn append(&mut self, choices: &mut Choices, model: &Model) -> Kind {
        let first = if model.is_vacant() { choices.below(50) } else { model.next() };
        let (count, term) = (choices.range(1..self.mix.entries_max), choices.range(1..4));
        let term = self.term(term);
        Kind::Append { first, entries: self.entries(choices, count, term) }
    }

    fn overwrite(&mut self, choices: &mut Choices, model: &Model) -> Option<Kind> {
        if model.is_vacant() {
            return None;
        }
        let first = choices.range(model.first..model.next() + 1);
        let (count, term) = (choices.range(1..4), choices.range(4..6));
        let term = self.term(term);
        Some(Kind::Overwrite { first, entries: self.entries(choices, count, term) })
    }

    fn compact(&self, choices: &mut Choices, model: &Model) -> Option<Kind> {
        if model.entries.is_empty() {
            return None;
        }
        let all = choices.percent(self.mix.compacts_all);
        let index = if all { model.next() - 1 } else { choices.range(model.first..model.next()) };
        Some(Kind::Compact { index, past_leases: choices.percent(30) })
    }

    fn term(&self, chosen: u64) -> u64 {
        if self.mix.unique_terms { self.last_tag + 1 } else { chosen }
    }

    fn entries(&mut self, choices: &mut Choices, count: u64, term: u64) -> Vec<Written> {
        let OpMix { payload_max, payload_fixed, .. } = self.mix;
        let mut entry = || {
            let len = if payload_fixed { payload_max } else { choices.below(payload_max) };
            let context_len = if choices.percent(20) { choices.byte() / 4 } else { 0 };
            self.last_tag += 1;
            let len = u32::try_from(len).unwrap_or_default();
            Written { term, kind: choices.byte(), context_len, len, tag: self.last_tag }
        };
        // Batches take what fits a quarter of a segment; an operation is to be a part of that.
        let mut entries = Vec::new();
        let mut bytes = 0;
        while bytes == 0 || entries.len() < usize::try_from(count).unwrap_or(usize::MAX) && bytes < 12_000 {
            let written = entry();
            bytes += u64::from(written.len) + 1;
            entries.push(written);
        }
        entries
    }
}

/// Frees the space even of leased snapshots.
fn compact_all(model: &Model) -> Kind {
    Kind::Compact { index: model.next() - 1, past_leases: true }
}

fn truncate(choices: &mut Choices, model: &Model) -> Option<Kind> {
    let lowest = if model.boundary.is_some() { model.first.saturating_sub(1) } else { model.first };
    if model.is_vacant() || lowest >= model.next() {
        return None;
    }
    Some(Kind::Truncate { keep: choices.range(lowest..model.next()) })
}

impl Operation {
    /// Applies it to the model.
    pub(crate) fn apply(&self, models: &mut Models) {
        let model = Rc::make_mut(models.entry(self.shard).or_default());
        match &self.kind {
            Kind::Append { first, entries } => model.append(*first, entries),
            Kind::Overwrite { first, entries } => {
                model.truncate(*first);
                model.append(*first, entries);
            }
            Kind::Truncate { keep } => model.truncate(keep + 1),
            Kind::Compact { index, .. } => model.compact(*index),
            Kind::Reset { boundary } => model.reset(*boundary),
            Kind::Destroy => *model = Model::default(),
            Kind::HardState { state } => model.hard_state = Some(state.clone()),
            Kind::CommitHint { hint } => model.commit_hint = Some(hint.clone()),
            Kind::Put { key, value } => drop(model.keys.insert(key.clone(), value.clone())),
            Kind::Delete { key } => drop(model.keys.remove(key)),
            Kind::AcceptLoss => {}
            Kind::Register { snapshot, kept, .. } => model.register(*snapshot, *kept),
            Kind::Forget { id } => model.snapshots.retain(|snapshot| snapshot.id != *id),
        }
    }

    /// Puts it into a batch.
    ///
    /// # Errors
    /// The refusal of the batch; none of these operations is refused.
    pub(crate) fn add(&self, batch: &mut Batch<'_>) -> Result<()> {
        let shard = ShardId(self.shard);
        match &self.kind {
            Kind::Append { first, entries } => {
                for entry in numbered(*first, entries) {
                    batch.append(shard, entry)?;
                }
            }
            Kind::Overwrite { first, entries } => drop(batch.overwrite(shard, numbered(*first, entries))?),
            Kind::Truncate { keep } => drop(batch.truncate_after(shard, *keep)?),
            Kind::Compact { index, past_leases: false } => drop(batch.compact_through(shard, *index)?),
            Kind::Compact { index, past_leases: true } => drop(batch.compact_past_leases(shard, *index)?),
            Kind::Reset { boundary } => drop(batch.reset_to(shard, *boundary)?),
            Kind::Destroy => drop(batch.destroy(shard)?),
            Kind::HardState { state } => drop(batch.hard_state(shard, state)?),
            Kind::CommitHint { hint } => drop(batch.commit_hint(shard, hint)?),
            Kind::Put { key, value } => drop(batch.put(shard, key, value)?),
            Kind::Delete { key } => drop(batch.delete(shard, key)?),
            Kind::AcceptLoss => drop(batch.accept_loss(shard)?),
            Kind::Register { built, .. } => drop(batch.register_snapshot(shard, built)?),
            Kind::Forget { id } => drop(batch.forget_snapshot(shard, *id)?),
        }
        Ok(())
    }
}

pub(crate) fn numbered(first: u64, entries: &[Written]) -> Vec<Entry<'static>> {
    let entry = |(index, written): (u64, &Written)| Entry {
        index,
        term: written.term,
        kind: written.kind,
        context: written.context(),
        payload: Bytes::from(written.payload()).into(),
    };
    (first..).zip(entries).map(entry).collect()
}
