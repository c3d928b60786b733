//! Both servers as processes: many connections, many requests in flight, a kill in the middle, a clean stop, and what
//! is in the log afterwards.

#![expect(clippy::unwrap_used, reason = "a test states what it expects by unwrapping")]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
};

use bytes::Bytes;
use logboom::{Config, Engine, ShardId};
use logboom_serve::{Answer, Client, PAYLOAD_BYTES_MAX};
use rustix::process::{Pid, Signal, kill_process};

const CONNECTIONS: u64 = 16;
const SHARDS: u64 = 40;
const SEGMENT_BYTES: u64 = 1 << 20;

/// The status with which a server says that there is no io_uring here.
const UNAVAILABLE: i32 = 69;

#[test]
fn tokio_loses_nothing_that_it_acknowledged() {
    check(env!("CARGO_BIN_EXE_serve-tokio"));
}

#[test]
fn tokio_uring_loses_nothing_that_it_acknowledged() {
    check(env!("CARGO_BIN_EXE_serve-tokio-uring"));
}

/// What was acknowledged: the payload by shard and index.
type Acknowledged = BTreeMap<(u64, u64), Bytes>;

fn check(server: &str) {
    let dir = tempfile::tempdir().unwrap();
    let Some(first) = Server::start(server, dir.path()) else { return };
    let mut acknowledged = killed_in_the_middle(first);
    let before = acknowledged.len();
    assert!(before >= 1000, "the server was killed behind a thousand answers, {before} were counted");

    let second = Server::start(server, dir.path()).expect("it ran before");
    refuses_what_is_no_request(second.address);
    acknowledged.extend(stopped_in_the_middle(second));
    assert!(acknowledged.len() > before, "and the one that was stopped answered as well");

    let mut config = Config::new(dir.path());
    config.create = false;
    let engine = Engine::open(config).unwrap();
    for ((shard, index), payload) in &acknowledged {
        let entries = engine.shard(ShardId(*shard)).entries(*index..index + 1, u64::MAX);
        let entries = entries.unwrap_or_else(|error| panic!("entry {index} of shard {shard}: {error:#}"));
        assert_eq!(entries.get(*index).unwrap().payload, payload, "entry {index} of shard {shard}");
    }
    eprintln!("{} acknowledged entries, {before} of them before the kill: all there", acknowledged.len());
}

/// Appends from many connections, and kills the server (SIGKILL) while all of them do.
fn killed_in_the_middle(mut server: Server) -> Acknowledged {
    let (counted, count) = std::sync::mpsc::channel();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|client| {
            let (connection, counted) = (Client::connect(server.address).unwrap(), counted.clone());
            thread::spawn(move || append_until_gone(connection, client, || counted.send(()).unwrap_or(())).0)
        })
        .collect();
    count.iter().take(1000).for_each(drop);
    server.child.kill().unwrap();
    let status = server.child.wait().unwrap();
    assert_eq!(status.signal(), Some(9), "the server had ended by itself: {status}");
    join(clients)
}

/// Appends from many connections, and asks the server to stop (SIGTERM) while all of them do.
fn stopped_in_the_middle(mut server: Server) -> Acknowledged {
    let (counted, count) = std::sync::mpsc::channel();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|client| {
            let (connection, counted) = (Client::connect(server.address).unwrap(), counted.clone());
            thread::spawn(move || {
                let (acknowledged, refused) =
                    append_until_gone(connection, 100 + client, || counted.send(()).unwrap_or(()));
                assert_eq!(refused, 0, "a healthy log takes everything");
                acknowledged
            })
        })
        .collect();
    count.iter().take(1000).for_each(drop);
    let pid = Pid::from_child(&server.child);
    kill_process(pid, Signal::TERM).unwrap();
    let status = server.child.wait().unwrap();
    assert!(status.success(), "a clean stop ends with {status}");
    join(clients)
}

fn join(clients: Vec<thread::JoinHandle<Acknowledged>>) -> Acknowledged {
    clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
}

/// Sends requests without waiting for answers, as many as the server takes, until it is gone. The answers come in the
/// order of the requests; gives those that say durable, and the number of the others.
fn append_until_gone(mut receiving: Client, client: u64, mut answered: impl FnMut()) -> (Acknowledged, usize) {
    let mut sending = receiving.try_clone().unwrap();
    let sender = thread::spawn(move || {
        let mut number = 0;
        while sending.send(shard_of(client, number), payload_of(client, number)).is_ok() {
            number += 1;
        }
    });
    let (mut acknowledged, mut others) = (Acknowledged::new(), 0);
    let mut last = BTreeMap::new();
    for number in 0.. {
        let Ok(answer) = receiving.answer() else { break };
        answered();
        let shard = shard_of(client, number);
        match answer {
            Answer::Durable { index } => {
                let before = last.insert(shard, index);
                assert!(before < Some(index), "{index} of {shard:?} was answered behind {before:?}");
                acknowledged.insert((shard.0, index), payload_of(client, number));
            }
            Answer::Refused | Answer::Unknown { .. } => others += 1,
        }
    }
    sender.join().unwrap();
    (acknowledged, others)
}

fn shard_of(client: u64, number: u64) -> ShardId {
    ShardId((client * 7 + number) % SHARDS)
}

/// What nobody else sends, of some 100 to 4000 bytes.
fn payload_of(client: u64, number: u64) -> Bytes {
    let mut chance = fastrand::Rng::with_seed(client << 32 | number);
    let mut payload = format!("request {number} of client {client} ").into_bytes();
    payload.resize(chance.usize(100..4000), chance.u8(..));
    payload.into()
}

/// A length beyond the limit costs its sender the connection, and nobody else anything.
fn refuses_what_is_no_request(server: SocketAddr) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(server).unwrap();
    let length = u32::try_from(PAYLOAD_BYTES_MAX + 9).unwrap();
    stream.write_all(&length.to_le_bytes()).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "nothing is answered to what is no request");

    // This one is a request, but more than a batch of a log with so small segments can hold.
    let mut client = Client::connect(server).unwrap();
    client.send(ShardId(SHARDS), vec![1; PAYLOAD_BYTES_MAX].into()).unwrap();
    client.send(ShardId(SHARDS), vec![2; 10].into()).unwrap();
    assert_eq!(client.answer().unwrap(), Answer::Refused);
    assert_eq!(client.answer().unwrap(), Answer::Durable { index: 1 });
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts a server on a port that is free; `None`, and a line that says so, where it cannot run.
    fn start(server: &str, dir: &Path) -> Option<Self> {
        let mut child = Command::new(server)
            .args(["--listen", "127.0.0.1:0", "--segment-bytes", &SEGMENT_BYTES.to_string(), "--dir"])
            .arg(dir)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
        if let Some(address) = said.trim().strip_prefix("listening on ") {
            return Some(Self { address: address.parse().unwrap(), child });
        }
        let status: ExitStatus = child.wait().unwrap();
        assert_eq!(status.code(), Some(UNAVAILABLE), "{server} did not start: {said}");
        eprintln!("skipped: {}", said.trim());
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
