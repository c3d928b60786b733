//! `Links`: the connections between nodes. Frames to an unreachable or partitioned peer are dropped.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufWriter, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use parking_lot::RwLock;

use crate::wire::write_frame;

/// The most frames that wait for a connection to a peer. Further frames are dropped, as on any network; raft sends
/// again.
const QUEUE: usize = 1024;

/// The pause before the next attempt to connect to an unreachable peer.
const PAUSE: Duration = Duration::from_millis(50);

/// The links to the other nodes. Clones share the connections.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    shared: Arc<Shared>,
    queues: BTreeMap<u64, SyncSender<Vec<u8>>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The addresses of the peers that are known.
    peers: RwLock<BTreeMap<u64, SocketAddr>>,
    /// The peers from which this node is cut off.
    cut: RwLock<BTreeSet<u64>>,
}

impl Links {
    /// Makes links from the node `me` to all other `nodes`; each connects when it is first used.
    pub(crate) fn new(me: u64, nodes: impl IntoIterator<Item = u64>) -> Self {
        let shared = Arc::<Shared>::default();
        let mut queues = BTreeMap::new();
        for peer in nodes.into_iter().filter(|peer| *peer != me) {
            let (sender, frames) = sync_channel(QUEUE);
            let shared = Arc::clone(&shared);
            thread::spawn(move || Link { me, peer, shared, stream: None }.carry(&frames));
            queues.insert(peer, sender);
        }
        Self { shared, queues }
    }

    /// The other nodes.
    pub(crate) fn peers(&self) -> impl Iterator<Item = u64> {
        self.queues.keys().copied()
    }

    /// Queues a frame to be sent. Returns false if it was dropped; a queued frame may still be lost.
    pub(crate) fn send(&self, peer: u64, frame: Vec<u8>) -> bool {
        !self.is_cut(peer) && self.queues.get(&peer).is_some_and(|queue| queue.try_send(frame).is_ok())
    }

    /// Sets the addresses of the nodes.
    pub(crate) fn set_peers(&self, peers: BTreeMap<u64, SocketAddr>) {
        *self.shared.peers.write() = peers;
    }

    /// Cuts this node off from `peers`, and from no others.
    pub(crate) fn cut(&self, peers: BTreeSet<u64>) {
        *self.shared.cut.write() = peers;
    }

    /// Whether this node is cut off from the peer: frames to it are dropped, and frames from it are ignored.
    pub(crate) fn is_cut(&self, peer: u64) -> bool {
        self.shared.cut.read().contains(&peer)
    }
}

/// A link to one peer, with its own thread.
struct Link {
    me: u64,
    peer: u64,
    shared: Arc<Shared>,
    stream: Option<(SocketAddr, BufWriter<TcpStream>)>,
}

impl Link {
    fn carry(mut self, frames: &Receiver<Vec<u8>>) {
        for frame in frames {
            // One call sends all frames that are queued.
            let waiting = std::iter::once(frame).chain(frames.try_iter());
            let written = waiting.take(QUEUE).try_for_each(|frame| self.write(&frame));
            if written.and_then(|()| self.flush()).is_err() {
                self.stream = None;
                thread::sleep(PAUSE);
                // Drops the queued frames: they are outdated by now.
                frames.try_iter().for_each(drop);
            }
        }
    }

    fn write(&mut self, frame: &[u8]) -> std::io::Result<()> {
        let address = self.shared.peers.read().get(&self.peer).copied();
        let Some(address) = address else { return Ok(()) };
        // A restarted peer listens at another address.
        if self.stream.as_ref().is_none_or(|(connected, _)| *connected != address) {
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
            stream.set_nodelay(true)?;
            // A node introduces itself with its number; a client sends 0.
            stream.write_all(&self.me.to_le_bytes())?;
            self.stream = Some((address, BufWriter::with_capacity(256 << 10, stream)));
        }
        match &mut self.stream {
            Some((_, stream)) => write_frame(stream, frame),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.as_mut().map_or(Ok(()), |(_, stream)| stream.flush())
    }
}
