//! What happens to a cluster, whatever version it runs on.

use std::{
    collections::BTreeMap,
    future::Future,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use logboom::{Config, Engine, ShardId};
use logboom_openraft::{Data, Failure, SnapshotData, SnapshotView, StateMachine};
use parking_lot::Mutex;

/// The group.
pub(crate) const GROUP: ShardId = ShardId(7);

/// The nodes that can be reached, by their ids.
pub(crate) type Peers<R> = Arc<Mutex<BTreeMap<u64, R>>>;

/// A node, in whatever version.
pub(crate) trait Node: Sized {
    const CORE: &'static str;
    type Raft: Clone;

    /// Starts a node on an engine, and has its peers reach it.
    fn start(id: u64, engine: &Engine, peers: &Peers<Self::Raft>) -> impl Future<Output = Self>;

    /// Founds the cluster, of the nodes 1 to 3.
    fn found(&self) -> impl Future<Output = ()>;

    /// Whether the entry was committed by this node as the leader.
    fn write(&self, data: Data) -> impl Future<Output = bool>;

    /// Whether this node, as the leader, made `id` one of the members 1 to `id`.
    fn join(&self, id: u64) -> impl Future<Output = bool>;

    /// Asks for a snapshot, and has the log purged up to it.
    fn compact(&self) -> impl Future<Output = ()>;

    /// The state.
    fn texts(&self) -> Texts;

    fn stop(self) -> impl Future<Output = ()>;
}

/// Runs the scenario to its end.
pub(crate) fn run<N: Node>() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Cluster::<N>::new(dir.path()).await.scenario().await;
    });
}

struct Cluster<N: Node> {
    dir: PathBuf,
    peers: Peers<N::Raft>,
    nodes: BTreeMap<u64, (N, Engine)>,
    written: Texts,
}

impl<N: Node> Cluster<N> {
    async fn new(dir: &Path) -> Self {
        let mut cluster =
            Self { dir: dir.into(), peers: Peers::default(), nodes: BTreeMap::new(), written: Texts::default() };
        for id in 1..=3 {
            cluster.start(id).await;
        }
        cluster.nodes[&1].0.found().await;
        cluster
    }

    async fn scenario(mut self) {
        self.write(50).await;
        self.agree().await;

        // What a node misses is purged from everyone else's log: it gets a snapshot, by chunks.
        self.stop(3).await;
        self.write(50).await;
        self.agree().await;
        self.compact().await;
        self.write(5).await;
        self.start(3).await;
        self.agree().await;
        self.has_snapshot(3);

        // A node that joins gets one as well, though it is no member in it: its membership lies behind.
        self.start(4).await;
        self.join(4).await;
        self.write(5).await;
        self.agree().await;
        self.has_snapshot(4);

        // A restart finds the snapshot and the entries behind it, and what was committed of them is applied again.
        for id in 1..=4 {
            self.stop(id).await;
            self.start(id).await;
            self.write(5).await;
        }
        self.agree().await;
        println!("{}: four nodes agree on {} entries", N::CORE, self.written.0.len());
        for id in 1..=4 {
            self.stop(id).await;
        }
    }

    fn has_snapshot(&self, id: u64) {
        let (_, engine) = &self.nodes[&id];
        assert_eq!(engine.snapshots().list(GROUP).len(), 1, "{id} has caught up by entries");
        assert!(engine.shard(GROUP).boundary().is_some_and(|boundary| boundary.index >= 100));
    }

    async fn join(&self, id: u64) {
        let begun = Instant::now();
        'joined: loop {
            for (node, _) in self.nodes.values() {
                if node.join(id).await {
                    break 'joined;
                }
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{id} does not join");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn start(&mut self, id: u64) {
        let mut config = Config::new(self.dir.join(id.to_string()));
        config.segment_bytes = 256 << 10;
        config.reserve_segments = 1;
        config.disk.lock_wait = Duration::from_secs(10);
        let engine = Engine::open(config).unwrap();
        let node = N::start(id, &engine, &self.peers).await;
        self.nodes.insert(id, (node, engine));
    }

    async fn stop(&mut self, id: u64) {
        self.peers.lock().remove(&id);
        let (node, engine) = self.nodes.remove(&id).unwrap();
        node.stop().await;
        engine.close().unwrap();
    }

    async fn write(&mut self, count: usize) {
        let begun = Instant::now();
        for _ in 0..count {
            let text = format!("entry {}", self.written.0.len());
            'written: loop {
                for (node, _) in self.nodes.values() {
                    if node.write(Data(text.clone().into())).await {
                        break 'written;
                    }
                }
                assert!(begun.elapsed() < Duration::from_secs(60), "there is no leader");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            self.written.0.push(text);
        }
    }

    /// Waits until every node that runs has everything that was written.
    async fn agree(&self) {
        let begun = Instant::now();
        while let Some((id, texts)) = self.nodes.iter().find_map(|(id, (node, _))| {
            let texts = node.texts();
            (texts.once() != self.written).then_some((*id, texts))
        }) {
            assert!(begun.elapsed() < Duration::from_secs(60), "node {id} is at {:?}", texts.0.last());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn compact(&self) {
        let begun = Instant::now();
        for (node, engine) in self.nodes.values() {
            while engine.shard(GROUP).boundary().is_none_or(|boundary| boundary.index < 90) {
                node.compact().await;
                assert!(begun.elapsed() < Duration::from_secs(60), "nothing is purged");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// A machine that remembers what it was given.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Texts(pub(crate) Vec<String>);

impl Texts {
    /// A write that was not seen to be committed was repeated, and may be there twice, at once.
    fn once(&self) -> Self {
        let mut texts = self.0.clone();
        texts.dedup();
        Self(texts)
    }
}

impl StateMachine for Texts {
    type Data = Data;
    type Reply = u64;
    type View = Self;

    fn apply(&mut self, index: u64, data: Data) -> Result<u64, Failure> {
        self.0.push(String::from_utf8(data.0.to_vec())?);
        Ok(index)
    }

    fn view(&self) -> Result<Self, Failure> {
        Ok(self.clone())
    }

    fn recover(&mut self, from: &mut dyn Read) -> Result<(), Failure> {
        let mut text = String::new();
        from.read_to_string(&mut text)?;
        self.0 = text.lines().map(str::to_owned).collect();
        Ok(())
    }
}

impl SnapshotView for Texts {
    fn save(self, to: &mut dyn Write) -> Result<(), Failure> {
        self.0.iter().try_for_each(|text| writeln!(to, "{text}"))?;
        Ok(())
    }
}

/// What a network does with a snapshot: the manifest, and then chunk by chunk.
pub(crate) fn ship(from: &SnapshotData, to: &mut SnapshotData) -> logboom_openraft::Result<()> {
    let mut wanted = to.begin(&from.manifest_bytes().unwrap())?;
    while let Some(at) = wanted {
        wanted = to.accept(&from.chunk(at)?)?;
    }
    Ok(())
}
