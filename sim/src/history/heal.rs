//! Heals damage as an embedder does: hands lost entries in again, resets shards, ends quarantines.

use logboom::{Engine, EntryId, Error, ReadError, Shard, ShardId, Ticket};
use logboom_wal::marks;

use super::{History, live_damage::LiveDamage};
use crate::{
    check::{Check, Failure},
    model::Model,
    operation::{Kind, Operation, numbered},
};

impl History {
    /// Checks that shards in quarantine accept only writes that end it.
    pub(super) fn live_with_it(&mut self, engine: &Engine) -> Result<(), Failure> {
        for (id, _) in engine.quarantined() {
            let mut batch = engine.batch();
            let put = batch.put(id, b"key", b"value").map(drop);
            match put.and_then(|()| engine.write(batch)) {
                Err(Error::Quarantined { shard }) if shard == id => {}
                outcome => {
                    let what = format!("{id:?} is in quarantine, and a write of it comes to {outcome:?}");
                    return Err(Failure::new(Check::DamageShows, what));
                }
            }
        }
        Ok(())
    }

    /// Restores missing data, as an embedder does: from other replicas, entry by entry or as a snapshot.
    pub(super) fn heal_all(&mut self, engine: &Engine) -> Result<(), Failure> {
        if !self.make_good(engine)? {
            return Ok(());
        }
        self.live_damage = self.live_damage.take().and_then(LiveDamage::healed);
        self.compare(engine)
    }

    /// [`History::heal_all`] while more may be wrong. Returns false if the device failed.
    pub(super) fn make_good(&mut self, engine: &Engine) -> Result<bool, Failure> {
        self.live_damage.iter_mut().for_each(LiveDamage::expect_less);
        let mut accepted = Vec::new();
        for id in 0..self.shards() {
            let shard = engine.shard(ShardId(id));
            let model = self.models().get(&id).map_or_else(Model::default, |model| (**model).clone());
            let missing = shard.quarantine();
            let heals = missing.is_none() || self.choices.percent(70);
            if missing.is_none_or(|missing| !missing.suffix) && heals && !self.heal(engine, &shard, &model)? {
                return Ok(false);
            }
            let Some(missing) = shard.quarantine() else { continue };
            let is_anew = missing.suffix || missing.snapshot || !missing.entries.is_empty() || self.choices.percent(30);
            accepted.extend(accept_loss(id, &model, is_anew));
        }
        // At once: which of the possible states the others would be in is not known if the machine fails in between.
        if !accepted.is_empty() {
            self.hand_in(engine, &accepted)?;
        }
        if engine.has_unknown_losses()
            && let Err(error) = engine.accept_unknown_losses()
        {
            return self.tolerate(error).map(|()| false);
        }
        self.wait(engine)?;
        self.settle(engine)?;
        let left = engine.quarantined();
        if self.world.is_faulty || self.poisoned {
            return Ok(false);
        }
        if !left.is_empty() || engine.has_unknown_losses() {
            return Err(Failure::new(Check::DamageShows, format!("all is mended, and in quarantine are {left:?}")));
        }
        marks::hit("damage: all is mended");
        Ok(true)
    }

    /// Hands unreadable entries in again. Returns false if the device failed.
    fn heal(&mut self, engine: &Engine, shard: &Shard, model: &Model) -> Result<bool, Failure> {
        let is_lost =
            |index: &u64| matches!(shard.entries(*index..*index + 1, u64::MAX), Err(ReadError::Corrupted { .. }));
        let lost: Vec<u64> = (model.first..model.next()).filter(is_lost).collect();
        let entries = lost.iter().filter_map(|&index| Some(numbered(index, &[*model.entry(index)?]))).flatten();
        if let Err(error) = engine.heal(shard.id(), entries) {
            return self.tolerate(error).map(|()| false);
        }
        marks::hit_if(!lost.is_empty(), "damage: entries are healed");
        Ok(true)
    }

    /// Waits until everything is durable, as far as the device lets it.
    pub(super) fn wait(&mut self, engine: &Engine) -> Result<(), Failure> {
        engine.barrier().and_then(Ticket::wait).or_else(|error| self.tolerate(error))
    }

    fn tolerate(&self, error: Error) -> Result<(), Failure> {
        match error {
            Error::Poisoned { .. } | Error::Io { .. } | Error::Full { .. } if self.world.is_faulty => Ok(()),
            error => Err(Failure::new(Check::Accepted, format!("in spite of damage: {error:#}"))),
        }
    }
}

/// Operations that restore a damaged shard to the model's state, or reset it behind its last entry.
fn accept_loss(shard: u64, model: &Model, is_anew: bool) -> Vec<Operation> {
    let mut kinds = Vec::new();
    if is_anew || model.hard_state.is_none() {
        kinds.push(Kind::Destroy);
        let last = model.entries.last().map(|entry| EntryId { index: model.next() - 1, term: entry.term });
        kinds.push(Kind::Reset { boundary: last.or(model.boundary) });
    }
    let state = model.hard_state.iter().map(|state| Kind::HardState { state: state.clone() });
    let hint = model.commit_hint.iter().map(|hint| Kind::CommitHint { hint: hint.clone() });
    kinds.extend(state.chain(hint));
    kinds.extend((0..8).map(|key| match model.keys.get(&[key][..]) {
        Some(value) => Kind::Put { key: vec![key], value: value.clone() },
        None => Kind::Delete { key: vec![key] },
    }));
    kinds.push(Kind::AcceptLoss);
    kinds.into_iter().map(|kind| Operation { shard, kind }).collect()
}
