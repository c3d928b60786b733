//! `SnapshotData`: a snapshot that is sent from one node to another.

use std::fmt;

use bytes::Bytes;
use logboom::{
    Engine, ShardId, Snapshots,
    snapshot::{Chunk, Chunks, Error as SnapshotError, Lease, Manifest, Position, Receiver, Stop},
};

use crate::error::{Error, Result};

/// Openraft's snapshot type: a handle, without the bytes.
///
/// At the sender it holds a lease: the snapshot's file stays while the handle lives. The network sends
/// [`SnapshotData::manifest_bytes`] once, and then the [chunks](SnapshotData::chunks). At the receiver
/// [`SnapshotData::begin`] and [`SnapshotData::accept`] verify and take them, and return the position that is wanted
/// next, so that an interrupted transfer continues where it was. Only one chunk of a snapshot is in memory at a time.
///
/// Sending and receiving access the disk in the calling thread.
///
/// Openraft 0.9 without its feature `generic-snapshot-data` sends a snapshot as a file, by offsets, and needs only
/// `install_snapshot` of a network: for that it implements tokio's `AsyncRead`, `AsyncWrite` and `AsyncSeek`, which do
/// not block, and keep one chunk in memory.
///
/// # Example
/// ```
/// # use logboom::{Config, Engine, EntryId, ShardId, snapshot::{Spec, Stop}};
/// use logboom_openraft::SnapshotData;
///
/// # let dir = tempfile::tempdir()?;
/// # let open = |name: &str| {
/// #     let mut config = Config::new(dir.path().join(name));
/// #     config.segment_bytes = 1 << 20;
/// #     Engine::open(config)
/// # };
/// # let (there, here) = (open("there")?, open("here")?);
/// # let mut builder = there.snapshots().build(Spec::new(1, EntryId { index: 7, term: 1 }), &Stop::new())?;
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
    /// A complete snapshot, of this node or another one.
    Held(Lease),
    Receiving {
        snapshots: Snapshots,
        shard: ShardId,
        receiver: Option<Box<Receiver>>,
    },
}

/// A complete snapshot to install.
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
    /// An empty handle, to receive a snapshot for the group on `shard`.
    pub fn receive(engine: &Engine, shard: ShardId) -> Self {
        Self::of(Inner::Receiving { snapshots: engine.snapshots(), shard, receiver: None })
    }

    /// The manifest, which is sent before the chunks; `None` while receiving.
    pub fn manifest_bytes(&self) -> Option<Bytes> {
        self.lease().map(Lease::manifest_bytes)
    }

    /// The lease, to send or read the snapshot; `None` while receiving.
    pub fn lease(&self) -> Option<&Lease> {
        match &self.inner {
            Inner::Held(lease) => Some(lease),
            Inner::Receiving { .. } => None,
        }
    }

    /// The chunk at a receiver's wanted position.
    ///
    /// # Errors
    /// [`Error::Engine`], with `Absent` if no chunk begins there, or while receiving.
    pub fn chunk(&self, at: Position) -> Result<Chunk> {
        Ok(self.held()?.chunk(at)?)
    }

    /// The chunks from `at` on, read ahead; `None` starts at the beginning.
    ///
    /// # Errors
    /// As [`SnapshotData::chunk`].
    pub fn chunks(&self, at: Option<Position>) -> Result<Chunks> {
        Ok(self.held()?.chunks(at)?)
    }

    /// Takes the manifest of a snapshot to receive, and returns the position of the first wanted chunk; `None` if this
    /// node has the snapshot already. A different manifest restarts the transfer, the same one continues it.
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

    /// Takes a chunk, and returns the position wanted next; `None` when everything has arrived. Skips a chunk that
    /// arrived before.
    ///
    /// # Errors
    /// [`Error::Engine`], with `OutOfOrder`, `Foreign` or `Damaged` when another chunk is needed: continue with
    /// [`SnapshotData::wanted`]. Any other error ends the transfer, which has to restart.
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

    /// The complete snapshot; `None` while chunks are missing.
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

/// A snapshot to send.
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
