//! A snapshot on its way from one node to another.

use std::fmt;

use bytes::Bytes;
use logboom::{
    Engine, ShardId, Snapshots,
    snapshot::{Chunk, Chunks, Error as SnapshotError, Lease, Manifest, Position, Receiver, Stop},
};

use crate::error::{Error, Result};

/// What openraft hands around as a snapshot: a handle, never the bytes.
///
/// At the sender it holds a lease: the snapshot's file stays while the handle lives. What the network carries is
/// [`SnapshotData::manifest_bytes`], once, and then the [chunks](SnapshotData::chunks), each of which verifies itself
/// on arrival; at the receiver [`SnapshotData::begin`] and [`SnapshotData::accept`] take them, and say what is wanted
/// next, so that a transfer that was interrupted goes on where it was. Nothing of a snapshot is ever in memory but the
/// chunk that is on its way.
///
/// Sending and receiving read and write the disk in the calling thread.
///
/// Openraft 0.9 without its feature `generic-snapshot-data` sends a snapshot as a file, by offsets, and needs nothing
/// of a network but `install_snapshot`: for that it is tokio's `AsyncRead`, `AsyncWrite` and `AsyncSeek` as well, which
/// do not block, and have one chunk in memory.
///
/// # Example
/// ```
/// # use logboom::{Config, Engine, ShardId, snapshot::{Spec, Stop}};
/// use logboom_openraft::SnapshotData;
///
/// # let dir = tempfile::tempdir()?;
/// # let open = |name: &str| {
/// #     let mut config = Config::new(dir.path().join(name));
/// #     config.segment_bytes = 1 << 20;
/// #     Engine::open(config)
/// # };
/// # let (there, here) = (open("there")?, open("here")?);
/// # let mut builder = there.snapshots().build(Spec::new(1, 7, 1), &Stop::new())?;
/// # std::io::Write::write_all(&mut builder.file("state")?, b"x is set")?;
/// # there.snapshots().register(&builder.finish()?)?;
/// # let sent = SnapshotData::from(there.snapshots().newest(ShardId(1))?.unwrap());
/// let mut received = SnapshotData::receive(&here, ShardId(1));
/// let mut wanted = received.begin(&sent.manifest_bytes().ok_or("nothing to send")?)?; // one message
/// while let Some(at) = wanted {
///     let chunk = sent.chunk(at)?; // one message each
///     wanted = received.accept(&chunk)?;
/// }
/// // `Raft::install_full_snapshot` takes it now, with the meta that came along.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SnapshotData {
    pub(crate) inner: Inner,
    #[cfg(feature = "v0_9")]
    pub(crate) stream: crate::stream::Stream,
    /// A frame that another thread takes.
    #[cfg(feature = "v0_9")]
    pub(crate) taking: Option<crate::stream::Work<(Inner, Result<()>)>>,
}

pub(crate) enum Inner {
    /// One that is there, of this node or another one.
    Held(Lease),
    Receiving {
        snapshots: Snapshots,
        shard: ShardId,
        receiver: Option<Box<Receiver>>,
    },
}

/// What is to be installed.
pub(crate) enum Arrived {
    Held(Lease),
    Received(Box<Receiver>),
}

impl Arrived {
    pub(crate) fn manifest(&self) -> &Manifest {
        match self {
            Self::Held(lease) => lease.manifest(),
            Self::Received(receiver) => receiver.manifest(),
        }
    }
}

impl SnapshotData {
    /// Of which nothing has arrived, for the group on `shard`.
    pub fn receive(engine: &Engine, shard: ShardId) -> Self {
        Self::of(Inner::Receiving { snapshots: engine.snapshots(), shard, receiver: None })
    }

    /// What is sent ahead of the chunks; `None` for one that is being received.
    pub fn manifest_bytes(&self) -> Option<Bytes> {
        self.lease().map(Lease::manifest_bytes)
    }

    /// The lease of one that can be sent or read; `None` for one that is being received.
    pub fn lease(&self) -> Option<&Lease> {
        match &self.inner {
            Inner::Held(lease) => Some(lease),
            Inner::Receiving { .. } => None,
        }
    }

    /// The chunk that a receiver wants.
    ///
    /// # Errors
    /// [`Error::Engine`], with `Absent` for a place that none begins at, or in a handle that is receiving.
    pub fn chunk(&self, at: Position) -> Result<Chunk> {
        Ok(self.held()?.chunk(at)?)
    }

    /// The chunks from `at` on, read ahead; from the beginning if that is `None`.
    ///
    /// # Errors
    /// As [`SnapshotData::chunk`].
    pub fn chunks(&self, at: Option<Position>) -> Result<Chunks> {
        Ok(self.held()?.chunks(at)?)
    }

    /// Takes the manifest of what is going to arrive, and says which chunk is wanted first; `None` if none is, since
    /// this node has the snapshot already. Another manifest than before begins anew, the same one goes on.
    ///
    /// # Errors
    /// [`Error::Engine`], with `Stale` when the group has a newer snapshot, with `Foreign` for another shard's.
    pub fn begin(&mut self, manifest: &[u8]) -> Result<Option<Position>> {
        let Inner::Receiving { snapshots, shard, receiver } = &mut self.inner else { return Ok(None) };
        if let Some(receiver) = receiver.as_ref().filter(|receiver| receiver.manifest_bytes() == manifest) {
            return Ok(receiver.position());
        }
        if let Some(held) = snapshots.newest(*shard)?.filter(|held| held.manifest_bytes() == manifest) {
            self.inner = Inner::Held(held);
            return Ok(None);
        }
        let begun = snapshots.receive(*shard, manifest, &Stop::new())?;
        let position = begun.position();
        *receiver = Some(Box::new(begun));
        Ok(position)
    }

    /// Takes a chunk, and says which is wanted next; `None` when everything has arrived. One that has arrived before
    /// is passed over.
    ///
    /// # Errors
    /// [`Error::Engine`], with `OutOfOrder`, `Foreign` or `Damaged` when another chunk is needed: the transfer goes
    /// on with [`SnapshotData::wanted`]. With any other it has ended, and begins anew.
    pub fn accept(&mut self, chunk: &Chunk) -> Result<Option<Position>> {
        let Inner::Receiving { receiver, .. } = &mut self.inner else { return Ok(None) };
        let begun = receiver.as_mut().ok_or_else(nothing)?;
        match begun.accept(chunk) {
            Ok(_) => Ok(begun.position()),
            Err(
                error @ (SnapshotError::OutOfOrder { .. }
                | SnapshotError::Foreign { .. }
                | SnapshotError::Damaged { .. }),
            ) => Err(error.into()),
            Err(error) => {
                *receiver = None;
                Err(error.into())
            }
        }
    }

    /// The chunk that is wanted next; `None` when everything has arrived, or nothing has begun.
    pub fn wanted(&self) -> Option<Position> {
        match &self.inner {
            Inner::Receiving { receiver, .. } => receiver.as_ref().and_then(|receiver| receiver.position()),
            Inner::Held(_) => None,
        }
    }

    pub(crate) fn of(inner: Inner) -> Self {
        Self {
            inner,
            #[cfg(feature = "v0_9")]
            stream: crate::stream::Stream::default(),
            #[cfg(feature = "v0_9")]
            taking: None,
        }
    }

    /// What is to be installed of it; `None` when not all of it has arrived.
    pub(crate) fn arrived(self) -> Option<Arrived> {
        match self.inner {
            Inner::Held(lease) => Some(Arrived::Held(lease)),
            Inner::Receiving { receiver, .. } => {
                receiver.filter(|receiver| receiver.position().is_none()).map(Arrived::Received)
            }
        }
    }

    fn held(&self) -> Result<&Lease> {
        self.lease().ok_or_else(nothing)
    }
}

/// A lease, to be sent.
impl From<Lease> for SnapshotData {
    fn from(lease: Lease) -> Self {
        Self::of(Inner::Held(lease))
    }
}

impl fmt::Debug for SnapshotData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner {
            Inner::Held(lease) => f.debug_tuple("Held").field(lease.manifest()).finish(),
            Inner::Receiving { shard, receiver, .. } => {
                let wanted = receiver.as_ref().and_then(|receiver| receiver.position());
                f.debug_struct("Receiving").field("shard", shard).field("wanted", &wanted).finish()
            }
        }
    }
}

fn nothing() -> Error {
    SnapshotError::Absent { what: "nothing of the snapshot is here".into() }.into()
}
