//! Snapshots of a group: raft-rs carries their manifests, the embedder sends their chunks.

use logboom::{
    Durability, EntryId, Ticket,
    snapshot::{Built, Lease, Manifest, Receiver, Spec, Stop},
};
use raft::eraftpb::{ConfState, Snapshot};

use crate::{
    error::{Error, Result},
    group::Group,
    state,
};

impl Group {
    /// The spec to [build](logboom::Snapshots::build) a snapshot of `index` with: the index, its term and its
    /// configuration.
    ///
    /// # Errors
    /// [`Error::Applied`] when the log does not know the term of `index`; [`Error::Engine`], [`Error::Malformed`].
    pub fn snapshot_spec(&self, index: u64) -> Result<Spec> {
        let range = self.range();
        let unknown = Error::Applied { shard: self.id(), applied: index, first: range.start, last: range.end - 1 };
        let term = self.term_of(index).map_err(|_| unknown)?;
        let membership = state::encode_conf(&self.shard, &self.conf_state(index)?)?;
        Ok(Spec { membership, ..Spec::new(self.id().0, EntryId { index, term }) })
    }

    /// Registers a built snapshot as the group's newest, which followers are sent from now on. The ticket completes
    /// when that is durable. The entries that it covers can be [compacted](Group::compact_through) at once.
    ///
    /// # Errors
    /// [`Error::Engine`]: with [`logboom::Error::Snapshot`] if there is a newer one.
    pub fn register(&self, built: &Built) -> Result<Ticket> {
        let mut batch = self.engine.batch();
        batch.register_snapshot(self.id(), built)?;
        Ok(self.engine.submit(batch, Durability::Durable)?)
    }

    /// The least index of a snapshot that a follower waits for, if none is ready: the log continues from it, the core
    /// requested it, and the follower is a member in it. A core rejects a snapshot whose configuration does not contain
    /// it, so a member that joins after the newest snapshot waits for one of the index that added it. Nodes outside the
    /// current configuration wait for nothing.
    ///
    /// Save it once this index or a later one is applied. It may be registered here, by a driver or in a batch of the
    /// application.
    pub fn snapshot_wanted(&self) -> Option<u64> {
        if self.shared.lock().waiting.is_empty() {
            return None;
        }
        match self.engine.snapshots().newest(self.id()) {
            Ok(Some(lease)) => self.end_waits(lease.manifest()),
            Ok(None) => {}
            Err(error) => drop(self.fail(error.into())),
        }
        let waiting = self.shared.lock().waiting.clone();
        let behind = self.range().start.saturating_sub(1);
        let least = |(to, asked): (u64, u64)| {
            let since = state::member_since(&self.shard, to).map_err(|error| self.fail(error)).ok().flatten()?;
            Some(since.max(asked).max(behind))
        };
        waiting.into_iter().filter_map(least).max()
    }

    /// The snapshot of the last `MsgSnapshot` to the follower `to`. Send its [chunks](Lease::chunks) beside the
    /// message.
    ///
    /// The snapshot and the log behind it stay until [`Group::sent`] is called.
    pub fn sending(&self, to: u64) -> Option<Lease> {
        self.shared.lock().sending.get(&to).cloned()
    }

    /// Releases the snapshot for the follower `to`. Call it wherever
    /// [`report_snapshot`](raft::RawNode::report_snapshot) is called, whether the transfer succeeded or not.
    pub fn sent(&self, to: u64) {
        self.shared.lock().sending.remove(&to);
    }

    /// Begins to receive the snapshot of a `MsgSnapshot`, before the core gets the message. `stop` cancels it from any
    /// thread.
    ///
    /// # Errors
    /// [`Error::Malformed`] when its data is not the manifest of this snapshot. [`Error::Engine`]:
    /// [`logboom::Error::Snapshot`] with `Stale` when the group has this one or a newer one, or it was
    /// [received](Group::received) already and the core did not use it: fetch nothing then, and give the core the
    /// message at once.
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

    /// Takes a complete snapshot. Now give the core its message; if a `Ready` contains the snapshot, saving that
    /// registers it.
    pub fn received(&self, built: Built) {
        let order = (built.manifest().index, built.manifest().term);
        self.shared.lock().received.insert(order, built);
    }

    /// The received snapshot of this index and term.
    pub(crate) fn received_as(&self, index: u64, term: u64) -> Option<Built> {
        self.shared.lock().received.get(&(index, term)).cloned()
    }

    /// The newest snapshot as a message, leased for `to`; `None` unless the log continues from it, it is of `index` at
    /// least, and `to` is a member in it.
    pub(crate) fn newest_for(&self, index: u64, to: u64) -> Result<Option<Snapshot>> {
        if let Some(lease) = self.engine.snapshots().newest(self.id())?
            && let Some(conf_state) = self.serves(lease.manifest(), index, to)?
        {
            return Ok(Some(self.sent_to(to, lease, conf_state)));
        }
        self.shared.lock().waiting.insert(to, index);
        Ok(None)
    }

    /// The configuration of a snapshot that serves `to`: the log continues from it, it is of index `least` at least,
    /// and `to` is a member in it.
    fn serves(&self, manifest: &Manifest, least: u64, to: u64) -> Result<Option<ConfState>> {
        if manifest.index < least.max(self.range().start.saturating_sub(1)) {
            return Ok(None);
        }
        let conf_state = state::decode_conf(&manifest.membership)
            .ok_or_else(|| state::malformed(&self.shard, "a snapshot whose membership is no ConfState".into()))?;
        Ok(Some(conf_state).filter(|conf_state| state::is_member(conf_state, to)))
    }

    /// Removes waiting followers that the snapshot serves: they get it when the core asks again.
    fn end_waits(&self, newest: &Manifest) {
        let is_served = |to: u64, least: u64| matches!(self.serves(newest, least, to), Ok(Some(_)));
        self.shared.lock().waiting.retain(|to, least| !is_served(*to, *least));
    }

    /// The message of a snapshot. Its configuration is that of its index, whatever the current one is: the entries
    /// behind it bring the changes.
    fn sent_to(&self, to: u64, lease: Lease, conf_state: ConfState) -> Snapshot {
        let mut snapshot = Snapshot { data: lease.manifest_bytes(), ..Snapshot::default() };
        let metadata = snapshot.mut_metadata();
        (metadata.index, metadata.term) = (lease.manifest().index, lease.manifest().term);
        metadata.set_conf_state(conf_state);
        let mut state = self.shared.lock();
        state.waiting.remove(&to);
        state.sending.insert(to, lease);
        snapshot
    }
}
