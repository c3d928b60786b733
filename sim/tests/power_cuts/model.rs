//! The shards of one writer as the rules of the operations make them, and as an engine shows them.

use std::collections::BTreeMap;

use bytes::Bytes;
use fastrand::Rng;
use logboom::{Batch, Engine, Entry, EntryId, Shard, ShardId};

use crate::Failure;

/// Every shard of one writer that holds anything.
pub(crate) type State = BTreeMap<u64, ShardState>;

/// A shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShardState {
    /// The first entry, or where an empty log continues behind its boundary; 0 where neither is.
    pub(crate) first: u64,
    pub(crate) boundary: Option<EntryId>,
    pub(crate) entries: Vec<Row>,
    hard_state: Option<Vec<u8>>,
    commit_hint: Option<Vec<u8>>,
    keys: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// An entry: its payload follows from its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) term: u64,
    pub(crate) tag: u64,
}

/// An operation on a shard.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Append { first: u64, rows: Vec<Row> },
    Overwrite { first: u64, rows: Vec<Row> },
    Truncate { keep: u64 },
    Compact { index: u64 },
    Reset { boundary: Option<EntryId> },
    Destroy,
    HardState(Vec<u8>),
    CommitHint(Vec<u8>),
    Put { key: Vec<u8>, value: Vec<u8> },
    Delete { key: Vec<u8> },
}

impl ShardState {
    pub(crate) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(crate) fn is_vacant(&self) -> bool {
        self.entries.is_empty() && self.boundary.is_none()
    }

    /// What the engine shows of a shard; an error where it cannot be what anybody wrote.
    fn observed(shard: &Shard) -> Result<Self, Failure> {
        let bounds = shard.bounds();
        let mut state = Self {
            first: bounds.first.or(bounds.boundary.map(|boundary| boundary.index + 1)).unwrap_or(0),
            boundary: bounds.boundary,
            entries: Vec::new(),
            hard_state: shard.hard_state().unwrap_or_default().map(Vec::from),
            commit_hint: shard.commit_hint().unwrap_or_default().map(Vec::from),
            keys: shard
                .scan(..)
                .unwrap_or_default()
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        };
        let end = bounds.last.map_or(state.first, |last| last + 1);
        while state.next() < end {
            let batch = shard.entries(state.next()..end, 100_000)?;
            for entry in &batch {
                let tag = entry.payload.first_chunk().map_or(0, |tag| u64::from_le_bytes(*tag));
                if entry.index != state.next() || entry.payload != payload(tag) {
                    return Err(format!("{}: entry {} is none that was written", shard.id(), state.next()).into());
                }
                state.entries.push(Row { term: entry.term, tag });
            }
        }
        Ok(state)
    }
}

/// A state in a few words.
pub(crate) fn outline(state: &State) -> String {
    let shard = |(id, shard): (&u64, &ShardState)| {
        let ShardState { first, boundary, hard_state, commit_hint, keys, .. } = shard;
        let (next, boundary) = (shard.next(), boundary.map(|boundary| boundary.index));
        format!("\n  shard {id}: {first}..{next} behind {boundary:?}, {hard_state:?}, {commit_hint:?}, {keys:?}")
    };
    state.iter().map(shard).collect()
}

/// What an engine shows of some shards.
pub(crate) fn observe(engine: &Engine, shards: impl Iterator<Item = u64>) -> Result<State, Failure> {
    let mut state = State::new();
    for id in shards {
        let shard = ShardState::observed(&engine.shard(ShardId(id)))?;
        if shard != ShardState::default() {
            state.insert(id, shard);
        }
    }
    Ok(state)
}

impl Operation {
    pub(crate) fn apply(&self, state: &mut State, id: u64) {
        let shard = state.entry(id).or_default();
        match self {
            Operation::Append { first, rows } => {
                shard.first = if shard.is_vacant() { *first } else { shard.first };
                shard.entries.extend(rows);
            }
            Operation::Overwrite { first, rows } => {
                shard.entries.truncate((first - shard.first) as usize);
                shard.first = if shard.is_vacant() { *first } else { shard.first };
                shard.entries.extend(rows);
            }
            Operation::Truncate { keep } => {
                shard.entries.truncate((keep + 1 - shard.first) as usize);
                shard.first = if shard.is_vacant() { 0 } else { shard.first };
            }
            Operation::Compact { index } => {
                let gone = shard.entries.drain(..=(index - shard.first) as usize).next_back();
                shard.boundary = gone.map(|row| EntryId { index: *index, term: row.term });
                shard.first = index + 1;
            }
            Operation::Reset { boundary } => {
                shard.boundary = *boundary;
                shard.first = boundary.map_or(0, |boundary| boundary.index + 1);
                shard.entries.clear();
            }
            Operation::Destroy => *shard = ShardState::default(),
            Operation::HardState(bytes) => shard.hard_state = Some(bytes.clone()),
            Operation::CommitHint(bytes) => shard.commit_hint = Some(bytes.clone()),
            Operation::Put { key, value } => drop(shard.keys.insert(key.clone(), value.clone())),
            Operation::Delete { key } => drop(shard.keys.remove(key)),
        }
        if *shard == ShardState::default() {
            state.remove(&id);
        }
    }

    /// The entries that it brings.
    pub(crate) fn rows(&self) -> &[Row] {
        match self {
            Operation::Append { rows, .. } | Operation::Overwrite { rows, .. } => rows,
            _ => &[],
        }
    }

    pub(crate) fn add_to(&self, batch: &mut Batch<'static>, id: u64) -> logboom::Result<()> {
        let id = ShardId(id);
        let added = match self {
            Operation::Append { first, rows } => {
                for entry in entries(*first, rows) {
                    batch.append(id, entry)?;
                }
                return Ok(());
            }
            Operation::Overwrite { first, rows } => batch.overwrite(id, entries(*first, rows)),
            Operation::Truncate { keep } => batch.truncate_after(id, *keep),
            Operation::Compact { index } => batch.compact_through(id, *index),
            Operation::Reset { boundary } => batch.reset_to(id, *boundary),
            Operation::Destroy => batch.destroy(id),
            Operation::HardState(bytes) => batch.hard_state(id, bytes),
            Operation::CommitHint(bytes) => batch.commit_hint(id, bytes),
            Operation::Put { key, value } => batch.put(id, key, value),
            Operation::Delete { key } => batch.delete(id, key),
        };
        added.map(drop)
    }
}

fn entries(first: u64, rows: &[Row]) -> impl Iterator<Item = Entry<'static>> {
    (first..).zip(rows).map(|(index, row)| Entry::new(EntryId { index, term: row.term }, Bytes::from(payload(row.tag))))
}

/// The payload of an entry: its tag, then bytes that nothing else has.
fn payload(tag: u64) -> Vec<u8> {
    let mut payload = vec![0; payload_bytes(tag)];
    Rng::with_seed(tag).fill(&mut payload);
    payload[..8].copy_from_slice(&tag.to_le_bytes());
    payload
}

/// The length of a payload, [`PAYLOAD_BYTES_MAX`] at most.
pub(crate) fn payload_bytes(tag: u64) -> usize {
    let mut rng = Rng::with_seed(!tag);
    if rng.u32(..4) == 0 { rng.usize(8..=PAYLOAD_BYTES_MAX) } else { rng.usize(8..1500) }
}

/// Six of them, and what is around them, fit a batch.
const PAYLOAD_BYTES_MAX: usize = 9000;
