//! Snapshots beside the log: how they are built, received, registered, found and leased.

use std::{fmt, sync::Arc};

use logboom_snapshot::{Builder, Built, Lease, Receiver, Registered, Spec, Stop};

use crate::{Result, ShardId, core::Core};

/// The snapshots of an engine: see [`Engine::snapshots`](crate::Engine::snapshots).
///
/// A snapshot is built or received beside the log, which takes any time and disturbs nobody, and becomes the shard's by
/// [`Batch::register_snapshot`](crate::Batch::register_snapshot): in one batch with the compaction, or the reset and
/// the hard state, that go with it. A crash anywhere leaves either the old or the new.
///
/// While a snapshot is leased its file stays, whatever replaces it, and the shard's log above its index is kept:
/// [`Batch::compact_to`](crate::Batch::compact_to) beyond it is refused with
/// [`Error::Leased`](crate::Error::Leased).
#[derive(Clone)]
pub struct Snapshots(Arc<Core>);

impl Snapshots {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self(core)
    }

    /// Begins to build a snapshot of the shard that `spec` names. `stop` ends it from any thread.
    ///
    /// # Errors
    /// [`Error::Snapshot`](crate::Error::Snapshot) with `Stale` if the shard has a newer one, or `TooLarge`;
    /// [`Error::Closed`](crate::Error::Closed).
    pub fn build(&self, spec: Spec, stop: &Stop) -> Result<Builder> {
        let _ = (spec, stop, &self.0);
        unimplemented!()
    }

    /// Begins to receive a snapshot of `shard`, of which another engine's [`Lease::manifest_bytes`] were sent ahead.
    ///
    /// # Errors
    /// [`Error::Snapshot`](crate::Error::Snapshot) with `Foreign` for another shard's, `Stale` if the shard has a newer
    /// one or this one, `Malformed`; [`Error::Closed`](crate::Error::Closed).
    pub fn receive(&self, shard: ShardId, manifest: &[u8], stop: &Stop) -> Result<Receiver> {
        let _ = (shard, manifest, stop);
        unimplemented!()
    }

    /// The registered snapshots of a shard, oldest first: by index, then term.
    pub fn list(&self, shard: ShardId) -> Vec<Registered> {
        let _ = shard;
        unimplemented!()
    }

    /// A lease of the shard's newest snapshot; `None` if it has none.
    ///
    /// # Errors
    /// [`Error::Snapshot`](crate::Error::Snapshot) with `Missing` or `Damaged` when it is registered and not there: an
    /// older one is never given in its place. [`Error::Quarantined`](crate::Error::Quarantined) when a registration of
    /// the shard is lost.
    pub fn newest(&self, shard: ShardId) -> Result<Option<Lease>> {
        let _ = shard;
        unimplemented!()
    }

    /// A lease of the shard's snapshot of this id; `None` if it is not registered.
    ///
    /// # Errors
    /// As [`Snapshots::newest`].
    pub fn lease(&self, shard: ShardId, id: u64) -> Result<Option<Lease>> {
        let _ = (shard, id);
        unimplemented!()
    }

    /// Makes what was received the shard's: one batch that resets its log to the snapshot's index and term, registers
    /// the snapshot, and sets the hard state if one is given. Durable on return.
    ///
    /// # Errors
    /// Those of [`Engine::write`](crate::Engine::write).
    pub fn install(&self, built: &Built, hard_state: Option<&[u8]>) -> Result<()> {
        let _ = (built, hard_state);
        unimplemented!()
    }
}

impl fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshots")
    }
}
