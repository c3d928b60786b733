//! Snapshots of a group: their manifests go through raft-rs, their bytes beside it.

use logboom::{
    Durability, Ticket,
    snapshot::{Built, Lease, Manifest, Receiver, Spec, Stop},
};
use raft::eraftpb::{ConfState, Snapshot};

use crate::{
    error::{Error, Result},
    group::Group,
    state,
};

impl Group {
    /// What a snapshot as of `index` is to be [built](logboom::Snapshots::build) with: the index, its term, and the
    /// configuration of that index.
    ///
    /// # Errors
    /// [`Error::Applied`] when the log does not know the term of `index`; [`Error::Engine`], [`Error::Malformed`].
    pub fn snapshot_spec(&self, index: u64) -> Result<Spec> {
        let range = self.range();
        let unknown = Error::Applied { shard: self.id(), applied: index, first: range.start, last: range.end - 1 };
        let term = self.term_of(index).map_err(|_| unknown)?;
        let mut spec = Spec::new(self.id().0, index, term);
        spec.membership = state::encode_conf(&self.shard, &self.conf_state(index)?)?;
        Ok(spec)
    }

    /// Makes a snapshot that was built here the group's newest, which followers are sent from now on. The ticket says
    /// when that is durable. What lies behind it can be [compacted](Group::compact) at once.
    ///
    /// # Errors
    /// [`Error::Engine`]: with [`logboom::Error::Snapshot`] if there is a newer one.
    pub fn register(&self, built: &Built) -> Result<Ticket> {
        let mut batch = self.engine.batch();
        batch.register_snapshot(self.id(), built)?;
        Ok(self.engine.submit(batch, Durability::Durable)?)
    }

    /// The least index of the snapshot that a follower waits for, if one does and none is ready: the one that the log
    /// goes on from, that the core asked for, and that the follower is a member in. A core refuses a snapshot whose
    /// configuration it is not part of; so a member that joins behind the newest snapshot waits for one of the index
    /// that added it. Who is in no current configuration waits for nothing.
    ///
    /// It is to be saved as of this index or any later one, so once that is applied. Whether it was registered here, by
    /// a driver or in a batch of the application is the same.
    pub fn snapshot_wanted(&self) -> Option<u64> {
        if self.held.lock().waiting.is_empty() {
            return None;
        }
        match self.engine.snapshots().newest(self.id()) {
            Ok(Some(lease)) => self.end_waits(lease.manifest()),
            Ok(None) => {}
            Err(error) => drop(self.fail(error.into())),
        }
        let waiting = self.held.lock().waiting.clone();
        let behind = self.range().start - 1;
        let least = |(to, asked): (u64, u64)| {
            let since = state::member_since(&self.shard, to).map_err(|error| self.fail(error)).ok().flatten()?;
            Some(since.max(asked).max(behind))
        };
        waiting.into_iter().filter_map(least).max()
    }

    /// The snapshot that the follower `to` is being sent: the one of the last `MsgSnapshot` to it. Its
    /// [chunks](Lease::chunks) are what is to be shipped beside the message.
    ///
    /// It stays, with the log behind it, until [`Group::sent`] says that it is not needed any more.
    pub fn sending(&self, to: u64) -> Option<Lease> {
        self.held.lock().sending.get(&to).cloned()
    }

    /// Lets go of the snapshot that the follower `to` was sent: to be called wherever
    /// [`report_snapshot`](raft::RawNode::report_snapshot) is, whatever has become of it.
    pub fn sent(&self, to: u64) {
        self.held.lock().sending.remove(&to);
    }

    /// Begins to receive the snapshot of a `MsgSnapshot`, before the core is given the message. `stop` ends it from
    /// any thread.
    ///
    /// # Errors
    /// [`Error::Malformed`] when its data is not the manifest of this snapshot. [`Error::Engine`]:
    /// [`logboom::Error::Snapshot`] with `Stale` when the group has this one or a newer one, or it was
    /// [received](Group::received) already and the core had no use for it: nothing is to be fetched then, and the
    /// message can be given to the core at once.
    pub fn receive(&self, snapshot: &Snapshot, stop: &Stop) -> Result<Receiver> {
        let (index, term) = (snapshot.get_metadata().index, snapshot.get_metadata().term);
        if self.received_as(index, term).is_some() {
            let shard = self.id().0;
            return Err(logboom::Error::from(logboom::snapshot::Error::Stale { shard, index, term }).into());
        }
        let receiver = self.engine.snapshots().receive(self.id(), &snapshot.data, stop)?;
        let (manifest, metadata) = (receiver.manifest(), snapshot.get_metadata());
        if (manifest.index, manifest.term) != (metadata.index, metadata.term) {
            let what = format!("a snapshot of {} with the manifest of {}", metadata.index, manifest.index);
            return Err(state::malformed(&self.shard, what));
        }
        Ok(receiver)
    }

    /// Takes over a snapshot that is complete. Now the core can be given its message; if a `Ready` comes with the
    /// snapshot, that makes it the group's.
    pub fn received(&self, built: Built) {
        let order = (built.manifest().index, built.manifest().term);
        self.held.lock().received.insert(order, built);
    }

    /// The received snapshot of this index and term.
    pub(crate) fn received_as(&self, index: u64, term: u64) -> Option<Built> {
        self.held.lock().received.get(&(index, term)).cloned()
    }

    /// The newest snapshot as a message, leased for `to`; `None` if there is none that the log goes on from, of
    /// `index` at least, and that `to` is a member in.
    pub(crate) fn newest_for(&self, index: u64, to: u64) -> Result<Option<Snapshot>> {
        if let Some(lease) = self.engine.snapshots().newest(self.id())?
            && let Some(conf_state) = self.serves(lease.manifest(), index, to)?
        {
            return Ok(Some(self.sent_to(to, lease, conf_state)));
        }
        self.held.lock().waiting.insert(to, index);
        Ok(None)
    }

    /// The configuration of a snapshot, if that serves `to`, for which `least` is asked: the log goes on from it, it is
    /// of that index at least, and `to` is a member in it.
    fn serves(&self, manifest: &Manifest, least: u64, to: u64) -> Result<Option<ConfState>> {
        if manifest.index < least.max(self.range().start - 1) {
            return Ok(None);
        }
        let conf_state = state::decode_conf(&manifest.membership)
            .ok_or_else(|| state::malformed(&self.shard, "a snapshot whose membership is no ConfState".into()))?;
        Ok(Some(conf_state).filter(|conf_state| state::is_member(conf_state, to)))
    }

    /// The followers that the snapshot serves wait no more: they get it when the core asks again.
    fn end_waits(&self, newest: &Manifest) {
        let is_served = |to: u64, least: u64| matches!(self.serves(newest, least, to), Ok(Some(_)));
        self.held.lock().waiting.retain(|to, least| !is_served(*to, *least));
    }

    /// The message of a snapshot. Its configuration is that of its index, whatever the current one is: the entries
    /// behind it bring the changes.
    fn sent_to(&self, to: u64, lease: Lease, conf_state: ConfState) -> Snapshot {
        let mut snapshot = Snapshot { data: lease.manifest_bytes(), ..Snapshot::default() };
        let metadata = snapshot.mut_metadata();
        (metadata.index, metadata.term) = (lease.manifest().index, lease.manifest().term);
        metadata.set_conf_state(conf_state);
        let mut held = self.held.lock();
        held.waiting.remove(&to);
        held.sending.insert(to, lease);
        snapshot
    }
}
