//! The snapshots of a log.
use std::sync::Arc;

use logboom_disk::Disk;

use crate::{Builder, Built, Host, Lease, Receiver, Result, Spec, Stop};

/// A registered snapshot, as the log has it: what is recorded, and what is found again at opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Registered {
    /// The last index whose effect is in it. The order of snapshots is by index, then term.
    pub index: u64,
    /// The term of that index.
    pub term: u64,
    /// Tells the snapshot apart from every other, here and elsewhere.
    pub id: u64,
    /// The number in its file's name.
    pub file: u64,
    /// The checksum of its manifest.
    pub manifest_crc: u32,
}

/// The snapshots beside one log.
#[derive(Clone, Debug)]
pub struct Store(Arc<()>);

impl Store {
    /// Takes over the snapshots of a directory. `registered` is what the log says; whatever else is there of the
    /// names of snapshots is removed.
    ///
    /// # Errors
    /// Those of the device. A registered snapshot that is not there is none: [`Store::lease`] says so.
    pub fn open(
        disk: Arc<dyn Disk>,
        log: [u64; 2],
        host: Arc<dyn Host>,
        registered: impl IntoIterator<Item = (u64, Registered)>,
    ) -> Result<Self> {
        let _ = (disk, log, host, registered.into_iter().count());
        unimplemented!()
    }

    /// Begins to build a snapshot.
    ///
    /// # Errors
    /// [`Error::Stale`](crate::Error::Stale) if the shard has a newer one; [`Error::TooLarge`](crate::Error::TooLarge).
    pub fn build(&self, spec: Spec, stop: &Stop) -> Result<Builder> {
        let _ = (spec, stop);
        unimplemented!()
    }

    /// Begins to receive the snapshot of `shard` that `manifest`, a [`Lease::manifest_bytes`], describes.
    ///
    /// # Errors
    /// [`Error::Foreign`](crate::Error::Foreign) if it is of another shard, [`Error::Stale`](crate::Error::Stale) if
    /// the shard has a newer one or the same, [`Error::Malformed`](crate::Error::Malformed).
    pub fn receive(&self, shard: u64, manifest: &[u8], stop: &Stop) -> Result<Receiver> {
        let _ = (shard, manifest, stop);
        unimplemented!()
    }

    /// The registered snapshots of a shard, oldest first.
    pub fn list(&self, shard: u64) -> Vec<Registered> {
        let _ = shard;
        unimplemented!()
    }

    /// A lease of the shard's newest snapshot; `None` if it has none.
    ///
    /// # Errors
    /// [`Error::Missing`](crate::Error::Missing), [`Error::Damaged`](crate::Error::Damaged) for a snapshot that is
    /// registered and not there: an older one is never given in its place.
    pub fn newest(&self, shard: u64) -> Result<Option<Lease>> {
        let _ = shard;
        unimplemented!()
    }

    /// A lease of the shard's snapshot of this id; `None` if it is not registered.
    ///
    /// # Errors
    /// As [`Store::newest`].
    pub fn lease(&self, shard: u64, id: u64) -> Result<Option<Lease>> {
        let _ = (shard, id);
        unimplemented!()
    }

    /// The lowest index of the shard's leased snapshots: the log above it is needed.
    pub fn held(&self, shard: u64) -> Option<u64> {
        let _ = shard;
        unimplemented!()
    }

    /// What a built snapshot is to be registered as.
    pub fn registration(&self, built: &Built) -> Registered {
        let _ = built;
        unimplemented!()
    }
}
