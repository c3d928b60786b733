//! Random operations against a model in memory, on a real disk, with the log closed and opened again in between.
//!
//! The same with crashes, failures and everything else is `logboom-sim`, which has a model of its own.

use std::collections::BTreeMap;

use bytes::Bytes;
use fastrand::Rng;
use logboom::{Batch, Durability, Engine, Entry, EntryId, ShardId, Ticket};

use crate::support::*;

const SHARDS: u64 = 5;

/// A shard as the rules of the operations make it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    boundary: Option<EntryId>,
    /// Where an empty log continues behind its boundary, or where it begins.
    first: u64,
    entries: Vec<(u64, u8, Vec<u8>, Vec<u8>)>,
    hard_state: Option<Vec<u8>>,
    commit_hint: Option<Vec<u8>>,
    keys: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Model {
    fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn is_vacant(&self) -> bool {
        self.entries.is_empty() && self.boundary.is_none()
    }

    fn term(&self, index: u64) -> u64 {
        self.entries[(index - self.first) as usize].0
    }

    fn truncate(&mut self, next: u64) {
        self.entries.truncate((next - self.first) as usize);
        if self.is_vacant() {
            self.first = 0;
        }
    }
}

pub(crate) type Models = BTreeMap<u64, Model>;

/// One history: the models after each batch, and how far they are acknowledged.
pub(crate) struct History {
    rng: Rng,
    /// The models before the first batch that may be missing, and after each one since.
    states: Vec<Models>,
    tickets: Vec<Ticket>,
    large: bool,
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let large = rng.u32(..4) == 0;
        Self { rng, states: vec![Models::new()], tickets: Vec::new(), large }
    }

    pub(crate) fn models(&self) -> &Models {
        &self.states[self.states.len() - 1]
    }

    /// Submits a batch of a few operations on a few shards.
    pub(crate) fn submit(&mut self, engine: &Engine) {
        let mut models = self.models().clone();
        let mut batch = engine.batch();
        let lazy = self.rng.u32(..4) == 0;
        for _ in 0..self.rng.usize(1..6) {
            let id = self.rng.u64(..SHARDS);
            let model = models.entry(id).or_default();
            // A batch takes a quarter of a segment at most; an operation takes up to 30 KiB.
            if batch.bytes() > 18_000 {
                break;
            }
            operate(&mut self.rng, model, ShardId(id), &mut batch, lazy, self.large);
        }
        if batch.is_empty() {
            return;
        }
        let durability = if lazy { Durability::Lazy } else { Durability::Durable };
        self.tickets.push(engine.submit(batch, durability).unwrap());
        self.states.push(models);
        if self.rng.u32(..3) == 0 {
            let at = self.rng.usize(..self.tickets.len());
            self.acknowledge_through(at);
        }
    }

    /// Waits for a ticket: it stands for all before it.
    fn acknowledge_through(&mut self, at: usize) {
        for ticket in self.tickets.drain(..=at).rev() {
            // The last one is waited for first; then all others must be done.
            ticket.wait().unwrap();
        }
        self.states.drain(..=at);
    }

    /// Finds which of the states the engine has recovered, and goes on from it.
    pub(crate) fn resume(&mut self, engine: &Engine) {
        let found = self.states.iter().position(|models| differences(engine, models).is_empty());
        let Some(found) = found else {
            let last = differences(engine, self.models());
            panic!("no state of the {} possible ones was recovered; against the last:\n{last}", self.states.len());
        };
        let models = self.states.swap_remove(found);
        self.states = vec![models];
        self.tickets.clear();
    }
}

fn append_some(rng: &mut Rng, model: &mut Model, id: ShardId, batch: &mut Batch<'_>, large: bool) {
    let start = if model.is_vacant() { rng.u64(..50) } else { model.next() };
    model.first = if model.is_vacant() { start } else { model.first };
    let term = rng.u64(1..4);
    for index in start..start + rng.u64(1..6) {
        let (kind, context, payload) = random_entry(rng, large);
        model.entries.push((term, kind, context.clone(), payload.clone()));
        let context: &'static [u8] = context.leak();
        batch.append(id, Entry { index, term, kind, context, payload: Bytes::from(payload).into() }).unwrap();
    }
}

fn overwrite_some(rng: &mut Rng, model: &mut Model, id: ShardId, batch: &mut Batch<'_>, large: bool) {
    let start = rng.u64(model.first..=model.next());
    model.entries.truncate((start - model.first) as usize);
    if model.is_vacant() {
        model.first = start;
    }
    let term = rng.u64(4..6);
    let mut entries = Vec::new();
    for index in start..start + rng.u64(1..4) {
        let (kind, _, payload) = random_entry(rng, large);
        model.entries.push((term, kind, Vec::new(), payload.clone()));
        entries.push(Entry { kind, ..Entry::new(EntryId { index, term }, Bytes::from(payload)) });
    }
    batch.overwrite(id, entries).unwrap();
}

fn operate(rng: &mut Rng, model: &mut Model, id: ShardId, batch: &mut Batch<'_>, lazy: bool, large: bool) {
    let (first, next, vacant) = (model.first, model.next(), model.is_vacant());
    match rng.u32(..if lazy { 60 } else { 100 }) {
        0..40 => append_some(rng, model, id, batch, large),
        40..48 if next > first => {
            let index = rng.u64(first..next);
            model.boundary = Some(EntryId { index, term: model.term(index) });
            model.entries.drain(..=(index - first) as usize);
            model.first = index + 1;
            batch.compact_through(id, index).unwrap();
        }
        48..54 => {
            let (key, value) = (vec![rng.u8(..8)], vec![rng.u8(..); rng.usize(..50)]);
            batch.put(id, &key, &value).unwrap();
            model.keys.insert(key, value);
        }
        54..57 => {
            let key = vec![rng.u8(..8)];
            batch.delete(id, &key).unwrap();
            model.keys.remove(&key);
        }
        57..60 => {
            let hint = vec![rng.u8(..); rng.usize(..65)];
            batch.commit_hint(id, &hint).unwrap();
            model.commit_hint = Some(hint);
        }
        60..70 => {
            let state = vec![rng.u8(..); rng.usize(..65)];
            batch.hard_state(id, &state).unwrap();
            model.hard_state = Some(state);
        }
        70..78 if !vacant && (next > first || model.boundary.is_some()) => {
            let keep_from = if first == 0 { 0 } else { first - 1 };
            if keep_from < next {
                let keep = rng.u64(keep_from..next);
                model.truncate(keep + 1);
                batch.truncate_after(id, keep).unwrap();
            }
        }
        78..90 if !vacant => overwrite_some(rng, model, id, batch, large),
        90..94 => {
            let boundary = rng.bool().then(|| EntryId { index: rng.u64(..100), term: 7 });
            model.boundary = boundary;
            model.first = boundary.map_or(0, |boundary| boundary.index + 1);
            model.entries.clear();
            batch.reset_to(id, boundary).unwrap();
        }
        94..97 => {
            *model = Model::default();
            batch.destroy(id).unwrap();
        }
        _ => {}
    }
}

fn random_entry(rng: &mut Rng, large: bool) -> (u8, Vec<u8>, Vec<u8>) {
    let len = if large { rng.usize(..5500) } else { rng.usize(..200) };
    let context = vec![rng.u8(..); if rng.u32(..5) == 0 { rng.usize(..40) } else { 0 }];
    (rng.u8(..), context, vec![rng.u8(..); len])
}

/// What the engine shows that the models do not say; nothing if they agree.
pub(crate) fn differences(engine: &Engine, models: &Models) -> String {
    let nothing = Model::default();
    let mut found = String::new();
    for id in 0..SHARDS {
        let (shard, model) = (engine.shard(ShardId(id)), models.get(&id).unwrap_or(&nothing));
        let first = (!model.entries.is_empty()).then_some(model.first);
        let bounds = shard.bounds();
        let mut differ = |what: &str, theirs: String, ours: String| {
            if theirs != ours {
                found += &format!("shard {id}: {what}: {theirs} instead of {ours}\n");
            }
        };
        let expected = first.map(|_| model.next() - 1);
        differ("bounds", format!("{bounds:?}"), format!("{:?}", logboom_bounds(first, expected, model.boundary)));
        differ(
            "hard state",
            format!("{:?}", shard.hard_state().unwrap().map(Vec::from)),
            format!("{:?}", model.hard_state),
        );
        differ(
            "commit hint",
            format!("{:?}", shard.commit_hint().unwrap().map(Vec::from)),
            format!("{:?}", model.commit_hint),
        );
        let keys: BTreeMap<Vec<u8>, Vec<u8>> =
            shard.scan(..).unwrap().into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        differ("keys", format!("{keys:?}"), format!("{:?}", model.keys));
        if found.is_empty() && first.is_some() {
            found += &entry_differences(&shard, model);
        }
    }
    found
}

fn logboom_bounds(first: Option<u64>, last: Option<u64>, boundary: Option<EntryId>) -> impl std::fmt::Debug {
    #[derive(Debug)]
    #[expect(dead_code, reason = "shown")]
    struct Bounds {
        first: Option<u64>,
        last: Option<u64>,
        boundary: Option<EntryId>,
    }
    Bounds { first, last, boundary }
}

fn entry_differences(shard: &logboom::Shard, model: &Model) -> String {
    let mut next = model.first;
    while next < model.next() {
        let entries = match shard.entries(next..model.next(), 5000) {
            Ok(entries) => entries,
            Err(error) => return format!("{:?}: entries from {next} on: {error}\n", shard.id()),
        };
        for entry in &entries {
            let (term, kind, context, payload) = &model.entries[(entry.index - model.first) as usize];
            let same = entry.index == next
                && (entry.term, entry.kind, entry.context, entry.payload) == (*term, *kind, context, payload);
            if !same || shard.term(next).ok() != Some(*term) {
                return format!("{:?}: entry {next} differs: {entry:?}\n", shard.id());
            }
            next += 1;
        }
    }
    String::new()
}

#[test]
fn a_history_on_a_real_disk() {
    let ground = Ground::real();
    let mut history = History::new(11);
    let mut engine = ground.open();
    for _ in 0..6 {
        for _ in 0..40 {
            history.submit(&engine);
        }
        assert_eq!(differences(&engine, history.models()), "");
        let last = history.tickets.len() - 1;
        history.acknowledge_through(last);
        engine = ground.reopen(engine);
        history.resume(&engine);
    }
    engine.close().unwrap();
}
