//! `Round`: collects the `Ready`s of one round of a raft loop, and turns them into batches.

use logboom::{Batch, Engine, EntryId, Limit, ShardId};
use raft::{
    LightReady, Ready,
    eraftpb::{ConfState, Entry, HardState, Message, Snapshot},
};

use crate::{
    entry,
    error::{Error, Result},
    group::Group,
    left_out::LeftOut,
    state,
};

/// The `Ready`s of many groups, saved together in one batch with one sync.
///
/// Fill it and pass it to a [`Writer`](crate::Writer). It borrows the `Ready`s, and takes the messages that must not be
/// sent before they are durable; [`Saved`] returns them.
#[derive(Debug, Default)]
pub struct Round<'r> {
    pub(crate) items: Vec<Item<'r>>,
    pub(crate) saves: Vec<Save>,
    left_out: Vec<ShardId>,
}

/// A saved `Ready`: it and every earlier one of its group are durable, or it had nothing to save.
#[derive(Debug)]
#[must_use = "the messages are to be sent, and the node to be told"]
#[non_exhaustive]
pub struct Saved {
    /// The shard of its group.
    pub shard: ShardId,
    /// The number of the `Ready`, for [`on_persist_ready`](raft::RawNode::on_persist_ready) after an
    /// [`advance_append_async`](raft::RawNode::advance_append_async).
    pub number: u64,
    /// The index of its snapshot, if it had one: the application must load it now, and then call
    /// [`advance_apply_to`](raft::RawNode::advance_apply_to). The core panics if that is called sooner, as
    /// `advance_apply` does.
    pub snapshot: Option<u64>,
    /// The messages that waited for it; send them now.
    pub messages: Vec<Message>,
}

/// A `Ready` to save.
#[derive(Debug)]
pub(crate) struct Save {
    pub(crate) saved: Saved,
    pub(crate) must_sync: bool,
}

/// An item to write.
#[derive(Debug)]
pub(crate) enum Item<'r> {
    Ready(Group, &'r Ready),
    Commit(Group, u64),
    Conf(Group, u64, &'r ConfState),
}

impl<'r> Round<'r> {
    /// An empty round.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a `Ready`: its snapshot, entries and hard state, and the messages that wait for these. A group has at most
    /// one `Ready` in a round.
    ///
    /// The entries are read when the round is [submitted](crate::Writer::submit), and copied once, into the memory
    /// that the disk reads from.
    pub fn save(&mut self, group: &Group, ready: &'r mut Ready) -> &mut Self {
        let messages = ready.take_persisted_messages();
        let snapshot = Some(ready.snapshot().get_metadata().index).filter(|_| !ready.snapshot().is_empty());
        let saved = Saved { shard: group.id(), number: ready.number(), snapshot, messages };
        self.saves.push(Save { saved, must_sync: ready.must_sync() });
        self.items.push(Item::Ready(group.clone(), ready));
        self
    }

    /// Adds the commit index of a `LightReady`, if it has one. It is written with the next group, without a sync of its
    /// own: after a crash the leader sends it again.
    pub fn commit(&mut self, group: &Group, light: &LightReady) -> &mut Self {
        if let Some(index) = light.commit_index() {
            self.items.push(Item::Commit(group.clone(), index));
        }
        self
    }

    /// Adds the configuration that [`apply_conf_change`](raft::RawNode::apply_conf_change) returned for the entry at
    /// `index`. It is written durably: it must be durable before the application's record that `index` is applied.
    pub fn conf_state(&mut self, group: &Group, index: u64, state: &'r ConfState) -> &mut Self {
        self.items.push(Item::Conf(group.clone(), index, state));
        self
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.saves.is_empty()
    }

    /// Whether anything waits for the round to be durable.
    pub(crate) fn is_durable(&self) -> bool {
        self.saves.iter().any(|save| save.must_sync) || self.items.iter().any(|item| matches!(item, Item::Conf(..)))
    }

    /// The batches of the round, in order: one, unless that would be too large.
    pub(crate) fn batches(&self, engine: &Engine) -> Result<Vec<Batch<'r>>> {
        let mut batches = Batches::new(engine);
        for item in &self.items {
            batches.add(item)?;
        }
        Ok(batches.full())
    }

    /// Writes the round with `put`, leaving out groups whose shards are in quarantine: one damaged group must not stop
    /// the others.
    ///
    /// A shard can go into quarantine at any moment, so only the log's refusal tells. A round of several batches then
    /// starts over, as it does when the log was full: batches that are written already are written again.
    pub(crate) fn put<T>(&mut self, mut put: impl FnMut(&Self) -> Result<T>) -> Result<T> {
        let failed: Vec<ShardId> =
            self.items.iter().map(Item::group).filter(|group| group.shared.is_left_out()).map(Group::id).collect();
        for shard in failed {
            self.leave_out(shard);
        }
        loop {
            match put(self) {
                Err(Error::Engine(logboom::Error::Quarantined { shard })) if self.leave_out(shard) => {}
                outcome => return outcome,
            }
        }
    }

    /// Drops the items of a group, and marks it as failed. Returns whether there were any.
    fn leave_out(&mut self, shard: ShardId) -> bool {
        let Some(group) = self.items.iter().map(Item::group).find(|group| group.id() == shard) else { return false };
        group.shared.leave_out();
        group.fail(logboom::Error::Quarantined { shard }.into());
        self.items.retain(|item| item.group().id() != shard);
        self.saves.retain(|save| save.saved.shard != shard);
        self.left_out.push(shard);
        true
    }

    /// The groups that were left out.
    pub(crate) fn take_left_out(&mut self) -> LeftOut {
        LeftOut(std::mem::take(&mut self.left_out))
    }

    /// Clears the round after the write: drops received snapshots that are registered now, and those of removed
    /// members.
    pub(crate) fn take_saves(&mut self) -> Vec<Save> {
        for item in self.items.drain(..) {
            match item {
                Item::Ready(group, ready) if !ready.snapshot().is_empty() => {
                    group.shared.lock().applied_to(ready.snapshot().get_metadata().index);
                }
                Item::Conf(group, _, conf_state) => group.shared.lock().configured(conf_state),
                Item::Ready(..) | Item::Commit(..) => {}
            }
        }
        std::mem::take(&mut self.saves)
    }
}

/// Batches that are being filled.
pub(crate) struct Batches<'e, 'r> {
    engine: &'e Engine,
    full: Vec<Batch<'r>>,
    batch: Batch<'r>,
}

impl<'e, 'r> Batches<'e, 'r> {
    pub(crate) fn new(engine: &'e Engine) -> Self {
        Self { engine, full: Vec::new(), batch: engine.batch() }
    }

    /// All that are not empty, in order.
    pub(crate) fn full(mut self) -> Vec<Batch<'r>> {
        self.full.push(self.batch);
        self.full.retain(|batch| !batch.is_empty());
        self.full
    }

    /// Adds an item, as a whole unless it is too large for any batch.
    fn add(&mut self, item: &Item<'r>) -> Result<()> {
        match self.fit(|batch| item.add_to(batch)) {
            Err(error) if is_full(&error) => match item {
                Item::Ready(group, ready) => self.add_in_parts(group, ready),
                _ => Err(error),
            },
            outcome => outcome,
        }
    }

    /// Splits a `Ready` that is too large for a batch. Any prefix that a crash leaves must be one that smaller messages
    /// could have produced: no entry without its term, and no commit index without its entry.
    fn add_in_parts(&mut self, group: &Group, ready: &'r Ready) -> Result<()> {
        let snapshot = ready.snapshot();
        if let Some(hard_state) = ready.hs() {
            let known = state::hard_state(&group.shard)?.commit;
            let early = HardState { commit: known.max(snapshot.get_metadata().index), ..hard_state.clone() };
            self.fit(|batch| {
                add_snapshot(batch, group, snapshot)?;
                batch.hard_state(group.id(), &state::encode(&early))?;
                Ok(())
            })?;
        } else {
            self.fit(|batch| add_snapshot(batch, group, snapshot))?;
        }
        let mut next = next_of(group, snapshot);
        for one in ready.entries().chunks(1) {
            self.fit(|batch| add_entries(batch, group, next, one))?;
            next = one.last().map(|entry| entry.index + 1);
        }
        self.fit(|batch| add_hard_state(batch, group, ready))
    }

    /// Calls `add` with the current batch, or with the next one if it does not fit.
    pub(crate) fn fit(&mut self, mut add: impl FnMut(&mut Batch<'r>) -> Result<()>) -> Result<()> {
        let savepoint = self.batch.savepoint();
        match add(&mut self.batch) {
            Err(error) if is_full(&error) => self.batch.rewind(&savepoint),
            outcome => return outcome,
        }
        self.full.push(std::mem::replace(&mut self.batch, self.engine.batch()));
        let savepoint = self.batch.savepoint();
        add(&mut self.batch).inspect_err(|_| self.batch.rewind(&savepoint))
    }
}

impl<'r> Item<'r> {
    fn group(&self) -> &Group {
        match self {
            Self::Ready(group, _) | Self::Commit(group, _) | Self::Conf(group, ..) => group,
        }
    }

    fn add_to(&self, batch: &mut Batch<'r>) -> Result<()> {
        match self {
            Self::Ready(group, ready) => {
                add_snapshot(batch, group, ready.snapshot())?;
                add_entries(batch, group, next_of(group, ready.snapshot()), ready.entries())?;
                add_hard_state(batch, group, ready)
            }
            Self::Commit(group, index) => {
                batch.commit_hint(group.id(), &index.to_le_bytes())?;
                Ok(())
            }
            Self::Conf(group, index, conf_state) => state::put_conf(batch, &group.shard, *index, conf_state),
        }
    }
}

/// Registers the snapshot with its configuration, and resets the log to begin behind it.
fn add_snapshot(batch: &mut Batch<'_>, group: &Group, snapshot: &Snapshot) -> Result<()> {
    if snapshot.is_empty() {
        return Ok(());
    }
    let (shard, metadata) = (group.id(), snapshot.get_metadata());
    let (index, term) = (metadata.index, metadata.term);
    let built = group.received_as(index, term).ok_or(Error::NoSnapshot { shard, index, term })?;
    batch.reset_to(shard, Some(EntryId { index, term }))?.register_snapshot(shard, &built)?;
    state::drop_confs(batch, &group.shard)?;
    state::put_conf(batch, &group.shard, index, metadata.get_conf_state())
}

/// The index that continues the log once the snapshot is in it.
fn next_of(group: &Group, snapshot: &Snapshot) -> Option<u64> {
    if snapshot.is_empty() { group.shard.next() } else { Some(snapshot.get_metadata().index + 1) }
}

/// Appends entries at `next`, or replaces the log from the first of them on.
fn add_entries<'r>(batch: &mut Batch<'r>, group: &Group, next: Option<u64>, entries: &'r [Entry]) -> Result<()> {
    let Some(first) = entries.first() else { return Ok(()) };
    if next.is_none() {
        batch.reset_to(group.id(), Some(EntryId { index: 0, term: 0 }))?;
    }
    let mut entries = entries.iter().map(entry::to_engine);
    match next.unwrap_or(1) == first.index {
        true => entries.try_for_each(|entry| batch.append(group.id(), entry).map(drop))?,
        false => {
            batch.overwrite(group.id(), entries)?;
        }
    }
    Ok(())
}

/// A commit index that has moved alone needs no sync.
fn add_hard_state(batch: &mut Batch<'_>, group: &Group, ready: &Ready) -> Result<()> {
    let Some(state) = ready.hs() else { return Ok(()) };
    match ready.must_sync() {
        true => batch.hard_state(group.id(), &state::encode(state))?,
        false => batch.commit_hint(group.id(), &state.commit.to_le_bytes())?,
    };
    Ok(())
}

fn is_full(error: &Error) -> bool {
    use logboom::Error::TooLarge;
    matches!(error, Error::Engine(TooLarge { what: Limit::Batch | Limit::Records, .. }))
}
