//! What a writer submits: it follows from the seed, so that the test knows every state without having been there.

use fastrand::Rng;
use logboom::EntryId;

use crate::model::{Operation, Row, ShardState, State, payload_bytes};

/// Writers, each with shards of its own. The batches of one writer are submitted in order.
pub(crate) const LANES: u64 = 3;
/// Shards of a writer.
const SHARDS: u64 = 4;
/// Batches that one writer submits from one opening to the next, at most.
pub(crate) const BATCHES: usize = 300;
/// A batch may take a quarter of a segment; one operation has three payloads at most.
const PAYLOAD_BYTES_ENOUGH: usize = 25_000;

/// A batch of operations, with the shard of each.
pub(crate) struct Plan {
    pub(crate) operations: Vec<(u64, Operation)>,
    /// Holds nothing that a lazy batch must not hold.
    pub(crate) lazy: bool,
}

impl Plan {
    fn payload_bytes(&self) -> usize {
        let rows = self.operations.iter().flat_map(|(_, operation)| operation.rows());
        rows.map(|row| payload_bytes(row.tag)).sum()
    }
}

/// The batches of one writer from one opening to the next.
pub(crate) struct Script {
    rng: Rng,
    lane: u64,
}

impl Script {
    pub(crate) fn new(seed: u64, session: usize, lane: u64) -> Self {
        let mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add((session as u64) << 8 | lane);
        Self { rng: Rng::with_seed(mixed), lane }
    }

    /// Plans the next batch, and makes `state` what it will be after it.
    pub(crate) fn next(&mut self, state: &mut State) -> Plan {
        let mut plan = Plan { operations: Vec::new(), lazy: self.rng.u32(..4) == 0 };
        let count = self.rng.usize(1..5);
        while plan.operations.len() < count && plan.payload_bytes() < PAYLOAD_BYTES_ENOUGH {
            let id = shards(self.lane).start + self.rng.u64(..SHARDS);
            let shard = state.get(&id).cloned().unwrap_or_default();
            if let Some(operation) = self.operation(&shard, plan.lazy) {
                operation.apply(state, id);
                plan.operations.push((id, operation));
            }
        }
        plan
    }

    /// An operation that fits the shard, or nothing.
    fn operation(&mut self, shard: &ShardState, lazy: bool) -> Option<Operation> {
        let rng = &mut self.rng;
        let (first, next, vacant) = (shard.first, shard.next(), shard.is_vacant());
        let operation = match rng.u32(..if lazy { 70 } else { 100 }) {
            0..40 => Operation::Append { first: if vacant { rng.u64(..50) } else { next }, rows: rows(rng, 1..4) },
            40..56 if next > first + 8 => Operation::Compact { index: rng.u64(next - 4..next) },
            56..62 => Operation::Put { key: vec![rng.u8(..8)], value: vec![rng.u8(..); rng.usize(..50)] },
            62..65 => Operation::Delete { key: vec![rng.u8(..8)] },
            65..70 => Operation::CommitHint(vec![rng.u8(..); rng.usize(..65)]),
            70..80 => Operation::HardState(vec![rng.u8(..); rng.usize(..65)]),
            80..88 if next > first => Operation::Truncate { keep: rng.u64(first..next) },
            88..97 if !vacant => Operation::Overwrite { first: rng.u64(first..=next), rows: rows(rng, 4..6) },
            97..99 => {
                let boundary = rng.bool().then(|| EntryId { index: rng.u64(..100), term: 7 });
                Operation::Reset { boundary }
            }
            99 => Operation::Destroy,
            _ => return None,
        };
        Some(operation)
    }
}

/// The shards of a writer.
pub(crate) fn shards(lane: u64) -> std::ops::Range<u64> {
    lane * SHARDS..(lane + 1) * SHARDS
}

/// The states of a writer that began with `start`: before its first batch, and after each.
pub(crate) fn states(seed: u64, session: usize, lane: u64, start: State) -> Vec<State> {
    let mut script = Script::new(seed, session, lane);
    let mut states = vec![start];
    for at in 0..BATCHES {
        let mut state = states[at].clone();
        script.next(&mut state);
        states.push(state);
    }
    states
}

/// A few entries of one term.
fn rows(rng: &mut Rng, terms: std::ops::Range<u64>) -> Vec<Row> {
    let term = rng.u64(terms);
    (0..rng.u32(1..4)).map(|_| Row { term, tag: rng.u64(..) }).collect()
}
