//! Runs a node: one process of the cluster, on either raft core.
//!
//! The node prints the address that it listens at, takes orders from standard input, and exits when standard input is
//! closed, so that no node outlives its parent.
//!
//! | order | |
//! |---|---|
//! | `peers 1=127.0.0.1:4001 2=..` | where the nodes listen |
//! | `cut 2 3`, `cut` | the peers from which it is cut off from now on |
//! | `stop` | close the engine, and end |
//!
//! The node prints `done` after each order, and `stopped` before it ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    panic, process,
    sync::{Arc, mpsc},
    thread,
};

use bytes::Bytes;
use logboom::{Config, Engine};
use logboom_rsm::Failure;

use crate::{
    links::Links,
    options::NodeOptions,
    wire::{Ask, Reply, read_frame, write_frame},
};

/// Requests to a node's raft core, from any thread.
pub(crate) trait Core: Send + Sync + 'static {
    /// Takes a request of a client. An answer that is dropped counts as [`Reply::Unknown`].
    fn ask(&self, ask: Ask, answer: Answer);

    /// Takes a frame from another node.
    fn receive(&self, from: u64, frame: Bytes);

    /// Stops all threads and tasks that use the engine.
    fn stop(&self);
}

/// Answers a client, once.
#[derive(Debug)]
pub(crate) struct Answer(mpsc::SyncSender<Reply>);

impl Answer {
    pub(crate) fn give(self, reply: Reply) {
        // The client may have disconnected.
        self.0.try_send(reply).unwrap_or(());
    }
}

/// Runs a node until it is told to stop.
pub(crate) fn run(options: &NodeOptions) -> Result<(), Failure> {
    end_with_any_panic();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut config = Config::new(&options.dir);
    config.segment_bytes = options.segment_bytes;
    let engine = Engine::open(config)?;
    let links = Links::new(options.id, 1..=crate::options::NODES);
    let core = options.core.start(options, &engine, &links)?;
    say(&format!("listening {}", listener.local_addr()?))?;
    thread::spawn({
        let (core, links) = (Arc::clone(&core), links.clone());
        move || accept(&listener, &core, &links)
    });
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        match words.next() {
            Some("peers") => links.set_peers(words.filter_map(peer).collect::<BTreeMap<_, _>>()),
            Some("cut") => links.cut(words.filter_map(|id| id.parse().ok()).collect::<BTreeSet<_>>()),
            Some("stop") => {
                core.stop();
                engine.close()?;
                return say("stopped");
            }
            _ => return Err(format!("{line:?} is no order").into()),
        }
        say("done")?;
    }
    Err("the parent is gone".into())
}

/// Ends the process when any thread panics: raft-rs panics when an invariant is broken, and a node without one of its
/// threads would only look idle.
fn end_with_any_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        report(panic);
        process::abort();
    }));
}

fn say(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn peer(word: &str) -> Option<(u64, SocketAddr)> {
    let (id, address) = word.split_once('=')?;
    Some((id.parse().ok()?, address.parse().ok()?))
}

/// Serves clients and peers, with one thread for each connection, since there are few.
fn accept(listener: &TcpListener, core: &Arc<dyn Core>, links: &Links) {
    for stream in listener.incoming().flatten() {
        let (core, links) = (Arc::clone(core), links.clone());
        // The other side opened the connection, and reconnects when it breaks.
        thread::spawn(move || drop(serve(stream, &*core, &links)));
    }
}

fn serve(mut stream: TcpStream, core: &dyn Core, links: &Links) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let mut from = [0; 8];
    stream.read_exact(&mut from)?;
    let from = u64::from_le_bytes(from);
    let mut reader = BufReader::with_capacity(256 << 10, stream.try_clone()?);
    while let Some(frame) = read_frame(&mut reader)? {
        if from != 0 {
            if !links.is_cut(from) {
                core.receive(from, frame);
            }
            continue;
        }
        let (answer, answered) = mpsc::sync_channel(1);
        core.ask(Ask::decode(frame)?, Answer(answer));
        let reply = answered.recv().unwrap_or(Reply::Unknown);
        write_frame(&mut stream, &reply.encode())?;
    }
    Ok(())
}
