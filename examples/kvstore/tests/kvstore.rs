//! Three processes, a fourth that joins, and one that is removed; each of them killed (SIGKILL) and started again.

#![expect(clippy::unwrap_used, reason = "a test states what it expects by unwrapping")]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use logboom::{Config, Engine, ShardId};
use protobuf::Message as _;
use raft::eraftpb::ConfState;

/// How long anything may take: an election takes tenths of a second.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn nothing_that_was_answered_is_lost() {
    let mut cluster = Cluster::new();
    (1..=3).for_each(|id| cluster.start(id));
    cluster.put(60);
    cluster.check();

    for id in 1..=3 {
        cluster.kill(id);
        cluster.put(15);
        cluster.start(id);
        cluster.check_on(id);
    }
    (1..=3).for_each(|id| cluster.kill(id));
    (1..=3).for_each(|id| cluster.start(id));
    cluster.check();
}

#[test]
fn members_come_and_go() {
    let mut cluster = Cluster::new();
    (1..=3).for_each(|id| cluster.start(id));
    cluster.put(40);

    let url = cluster.url(4);
    cluster.ask(1, "joins", &|client| minreq::post(format!("{client}/4")).with_body(url.clone()), 204);
    cluster.start(4);
    cluster.check_on(4);
    cluster.kill(4);
    cluster.put(10);
    cluster.start(4);
    cluster.check_on(4);
    assert_eq!(cluster.members_in_snapshot(4), [1, 2, 3, 4]);

    cluster.ask(2, "leaves", &|client| minreq::delete(format!("{client}/1")), 204);
    cluster.ends(1);
    cluster.put(40);
    // Two of three: two of the four that there were would not be enough.
    cluster.kill(2);
    cluster.put(10);
    cluster.kill(3);
    cluster.kill(4);
    (2..=4).for_each(|id| cluster.start(id));
    cluster.check();
    assert_eq!(cluster.members_in_snapshot(3), [2, 3, 4]);
}

/// The processes, and what was answered.
struct Cluster {
    dir: tempfile::TempDir,
    /// Where the nodes listen for each other, and for clients.
    ports: Vec<(u16, u16)>,
    nodes: BTreeMap<u64, Child>,
    values: BTreeMap<String, String>,
    count: u64,
}

impl Cluster {
    fn new() -> Self {
        // All are held at once, so that they differ.
        let free: Vec<_> = (0..8).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let port = |at: usize| free[at].local_addr().unwrap().port();
        let ports = (0..4).map(|at| (port(2 * at), port(2 * at + 1))).collect();
        let dir = tempfile::tempdir().unwrap();
        Self { dir, ports, nodes: BTreeMap::new(), values: BTreeMap::new(), count: 0 }
    }

    fn url(&self, id: u64) -> String {
        format!("http://127.0.0.1:{}", self.ports[usize::try_from(id).unwrap() - 1].0)
    }

    fn client(&self, id: u64) -> String {
        format!("http://127.0.0.1:{}", self.ports[usize::try_from(id).unwrap() - 1].1)
    }

    fn dir(&self, id: u64) -> PathBuf {
        self.dir.path().join(format!("node-{id}"))
    }

    /// Starts a node, in whatever state its directory is. The fourth is one that joins.
    fn start(&mut self, id: u64) {
        let cluster: Vec<String> = (1..=id.max(3)).map(|id| self.url(id)).collect();
        let port = self.client(id).rsplit(':').next().unwrap().to_owned();
        let mut child = Command::new(env!("CARGO_BIN_EXE_logboom-kvstore"))
            .args(["--id", &id.to_string(), "--cluster", &cluster.join(","), "--port", &port, "--dir"])
            .arg(self.dir(id))
            .args(["--tick-ms", "20", "--snapshot-entries", "20", "--keep-entries", "5"])
            .args((id > 3).then_some("--join"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains("serves clients"), "node {id}: {said:?}, {:?}", child.wait());
        self.nodes.insert(id, child);
    }

    /// Kills a node (SIGKILL), which until then had not ended by itself.
    fn kill(&mut self, id: u64) {
        let mut child = self.nodes.remove(&id).unwrap();
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "node {id} had ended by itself: {status}");
    }

    /// Waits until a node ends by itself, as one that was removed.
    fn ends(&mut self, id: u64) {
        let (child, begun) = (self.nodes.get_mut(&id).unwrap(), Instant::now());
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(begun.elapsed() < PATIENCE, "node {id} goes on"),
            }
            thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success(), "node {id}: {status}");
        self.nodes.remove(&id);
    }

    /// Asks a node until it gives the answer: one of which it is not known what became is asked again.
    fn ask(&self, id: u64, what: &str, request: &dyn Fn(&str) -> minreq::Request, status: i32) -> String {
        let begun = Instant::now();
        loop {
            let answer = request(&self.client(id)).with_timeout(10).send().unwrap();
            let said = answer.as_str().unwrap().to_owned();
            match i32::from(answer.status_code) {
                code if code == status => return said,
                503 if begun.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(20)),
                code => panic!("node {id}, {what}: {code} {said}"),
            }
        }
    }

    /// Gives keys new values, each on another node, one that leads or one that follows.
    fn put(&mut self, count: u64) {
        for _ in 0..count {
            self.count += 1;
            let (key, value) = (format!("key-{}", self.count % 25), format!("value {}", self.count));
            let running: Vec<u64> = self.nodes.keys().copied().collect();
            let id = running[usize::try_from(self.count).unwrap() % running.len()];
            self.ask(id, &key, &|client| minreq::put(format!("{client}/{key}")).with_body(value.clone()), 204);
            self.values.insert(key, value);
        }
    }

    /// Every node that runs answers with what was last put, wherever that was.
    fn check(&self) {
        self.nodes.keys().for_each(|id| self.check_on(*id));
    }

    fn check_on(&self, id: u64) {
        assert!(!self.values.is_empty());
        for (key, value) in &self.values {
            let found = self.ask(id, key, &|client| minreq::get(format!("{client}/{key}")), 200);
            assert_eq!(&found, value, "{key} on node {id}");
        }
        self.ask(id, "no key", &|client| minreq::get(format!("{client}/no-key")), 404);
    }

    /// The members that the newest snapshot of a node states; the node is killed for that, and started again.
    fn members_in_snapshot(&mut self, id: u64) -> Vec<u64> {
        self.kill(id);
        let engine = Engine::open(Config::new(self.dir(id))).unwrap();
        let lease = engine.snapshots().newest(ShardId(1)).unwrap().unwrap();
        let mut members = ConfState::parse_from_bytes(&lease.manifest().membership).unwrap().voters;
        drop(lease);
        engine.close().unwrap();
        self.start(id);
        members.sort_unstable();
        members
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.nodes.values_mut() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
