//! The handle to the snapshots beside the log: builds, receives, registers, lists and leases them.

use std::{fmt, sync::Arc};

use logboom_snapshot::{Builder, Built, EntryId, Lease, Receiver, Registered, Spec, Stop, Store};

use crate::{
    append::{
        admit,
        batch::{self, Batch},
    },
    maintenance::{core::Core, snapshot_files::may_lack},
    types::{
        error::{Error, Result},
        ids::ShardId,
    },
};

/// The snapshots of an engine: see [`Engine::snapshots`](crate::Engine::snapshots).
///
/// A snapshot is built or received in a file beside the log, in any time and without locks. The shard has it from
/// [`Batch::register_snapshot`](crate::Batch::register_snapshot) on: in one batch with the compaction, or the reset and
/// the hard state, that belong to it. A crash leaves either the old snapshot or the new one.
///
/// While a snapshot is leased, its file stays, and the shard's log above its index is kept:
/// [`Batch::compact_through`](crate::Batch::compact_through) above it fails with [`Error::Leased`].
#[derive(Clone)]
pub struct Snapshots(Arc<Core>);

impl Snapshots {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self(core)
    }

    /// Begins to build a snapshot of the shard in `spec`. `stop` cancels it from any thread.
    ///
    /// # Errors
    /// [`Error::Snapshot`] with `Stale` if the shard has a newer one, `TooLarge`, `Full` or `Io`; [`Error::TooLarge`]
    /// for an index that no entry has; [`Error::Closed`], [`Error::Poisoned`].
    pub fn build(&self, spec: Spec, stop: &Stop) -> Result<Builder> {
        self.check_usable()?;
        batch::check_index(ShardId(spec.shard), spec.index)?;
        Ok(self.store().build(spec, stop)?)
    }

    /// Begins to receive a snapshot of `shard`; `manifest` has the [`Lease::manifest_bytes`] of the sending engine.
    ///
    /// # Errors
    /// [`Error::Snapshot`] with `Foreign` for another shard's, `Stale` if the shard has a newer one or this one,
    /// `Malformed`, `Full` or `Io`; [`Error::TooLarge`] for an index that no entry has; [`Error::Closed`],
    /// [`Error::Poisoned`].
    pub fn receive(&self, shard: ShardId, manifest: &[u8], stop: &Stop) -> Result<Receiver> {
        self.check_usable()?;
        let receiver = self.store().receive(shard.0, manifest, stop)?;
        batch::check_index(shard, receiver.manifest().index)?;
        Ok(receiver)
    }

    /// The registered snapshots of a shard, oldest first: by index, then term.
    pub fn list(&self, shard: ShardId) -> Vec<Registered> {
        self.store().list(shard.0)
    }

    /// The lowest index of the shard's leased snapshots; `None` if none is leased. The log above it is kept.
    pub fn held(&self, shard: ShardId) -> Option<u64> {
        self.store().held(shard.0)
    }

    /// A lease of the shard's newest snapshot; `None` if it has none.
    ///
    /// # Errors
    /// [`Error::Snapshot`] with `Missing` or `Damaged` when the newest one's file is: an older one is never returned
    /// instead. [`Error::Quarantined`] when a registration of the shard is or may be lost.
    pub fn newest(&self, shard: ShardId) -> Result<Option<Lease>> {
        // A lease in a forked child would not keep the file.
        self.0.wal.check_process()?;
        if may_lack(&self.0.store.shards, shard) {
            return Err(Error::Quarantined { shard });
        }
        Ok(self.store().newest(shard.0)?)
    }

    /// A lease of the shard's snapshot of this id; `None` if it is not registered.
    ///
    /// # Errors
    /// [`Error::Snapshot`] with `Missing` or `Damaged` when its file is.
    pub fn lease(&self, shard: ShardId, id: u64) -> Result<Option<Lease>> {
        self.0.wal.check_process()?;
        Ok(self.store().lease(shard.0, id)?)
    }

    /// The registered snapshots whose files are missing, which no crash causes. Leasing one fails; their shards are
    /// served otherwise.
    ///
    /// # Errors
    /// [`Error::Snapshot`] when the directory cannot be listed.
    pub fn missing(&self) -> Result<Vec<(ShardId, Registered)>> {
        Ok(self.store().missing()?.into_iter().map(|(shard, registered)| (ShardId(shard), registered)).collect())
    }

    /// Registers a snapshot, in a batch of its own. Durable on return. The log is unchanged, even if the snapshot lies
    /// past its end: see [`Batch::register_snapshot`](crate::Batch::register_snapshot).
    ///
    /// # Errors
    /// Those of [`Batch::register_snapshot`](crate::Batch::register_snapshot) and of
    /// [`Engine::write`](crate::Engine::write).
    pub fn register(&self, built: &Built) -> Result<()> {
        let mut batch = self.batch();
        batch.register_snapshot(ShardId(built.manifest().shard), built)?;
        self.write(batch)
    }

    /// Installs a received snapshot, by one batch that resets the shard's log to the snapshot's index and term,
    /// registers the snapshot, and sets `hard_state` if given. Durable on return.
    ///
    /// # Errors
    /// Those of [`Batch::register_snapshot`](crate::Batch::register_snapshot) and of
    /// [`Engine::write`](crate::Engine::write).
    pub fn install(&self, built: &Built, hard_state: Option<&[u8]>) -> Result<()> {
        let manifest = built.manifest();
        let shard = ShardId(manifest.shard);
        let mut batch = self.batch();
        batch.reset_to(shard, Some(EntryId { index: manifest.index, term: manifest.term }))?;
        batch.register_snapshot(shard, built)?;
        if let Some(hard_state) = hard_state {
            batch.hard_state(shard, hard_state)?;
        }
        self.write(batch)
    }

    fn batch(&self) -> Batch<'static> {
        admit::batch(&self.0)
    }

    fn write(&self, batch: Batch<'_>) -> Result<()> {
        admit::write(&self.0, batch)
    }

    fn store(&self) -> &Store {
        &self.0.snapshots.store
    }

    fn check_usable(&self) -> Result<()> {
        self.0.check_open()?;
        match self.0.wal.poisoned() {
            Some(first) => Err(Error::Poisoned { first: Error::from(first).into() }),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshots").finish_non_exhaustive()
    }
}
