//! Snapshots of a group: their manifests go through raft-rs, their bytes beside it.

use logboom::{
    Durability, Ticket,
    snapshot::{Built, Lease, Receiver, Spec, Stop},
};
use raft::eraftpb::Snapshot;

use crate::{Error, Group, Result, state};

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
        let ticket = self.engine.submit(batch, Durability::Durable)?;
        let mut held = self.held.lock();
        held.wanted = held.wanted.filter(|wanted| built.manifest().index < *wanted);
        Ok(ticket)
    }

    /// The least index of the snapshot that a follower waits for, if one does and none is ready.
    pub fn snapshot_wanted(&self) -> Option<u64> {
        self.held.lock().wanted
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
    /// [`logboom::Error::Snapshot`] with `Stale` when the group has this one or a newer one, and the message can be
    /// given to the core at once.
    pub fn receive(&self, snapshot: &Snapshot, stop: &Stop) -> Result<Receiver> {
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
    /// `index` at least.
    pub(crate) fn newest_for(&self, index: u64, to: u64) -> Result<Option<Snapshot>> {
        let needed = index.max(self.range().start - 1);
        let newest = self.engine.snapshots().newest(self.id())?;
        let Some(lease) = newest.filter(|lease| lease.manifest().index >= needed) else {
            let mut held = self.held.lock();
            held.wanted = held.wanted.max(Some(needed));
            return Ok(None);
        };
        let manifest = lease.manifest();
        let conf_state = state::decode_conf(&manifest.membership)
            .ok_or_else(|| state::malformed(&self.shard, "a snapshot whose membership is no ConfState".into()))?;
        let mut snapshot = Snapshot { data: lease.manifest_bytes(), ..Snapshot::default() };
        let metadata = snapshot.mut_metadata();
        (metadata.index, metadata.term) = (manifest.index, manifest.term);
        metadata.set_conf_state(conf_state);
        self.held.lock().sending.insert(to, lease);
        Ok(Some(snapshot))
    }
}
