//! The two HTTP servers of a node: for clients, and for the other nodes.
//!
//! | clients | |
//! |---|---|
//! | `PUT /key` | gives the key the value that is the body: 204 when that is applied |
//! | `GET /key` | 200 and the value, as new as the moment of asking; 404 |
//! | `POST /4` | node 4 becomes a member, and listens for the others at the URL that is the body: 204 |
//! | `DELETE /4` | it is none any more: 204 |
//! | | 503 when it cannot be said whether that was done, or will be |

use std::{
    collections::HashMap,
    io::Read,
    sync::{
        Arc,
        mpsc::{Sender, sync_channel},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use logboom::snapshot::{Error as SnapshotError, Receiver, Stop};
use logboom_raft_rs::{Error, Group};
use logboom_rsm::Failure;
use parking_lot::Mutex;
use raft::eraftpb::{ConfChange, ConfChangeType, Message};
use tiny_http::{Method, Request, Response, Server};

use crate::{
    node::{Answer, Event, Reply, Wish},
    peers::{COMPLETE, MORE, decode_chunk, take_messages},
};

/// How long a client waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The longest body: many messages of raft, or a chunk of a snapshot.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// Serves clients at a port of this machine, from now on, in threads of its own.
pub(crate) fn serve_clients(port: u16, events: &Sender<Event>) -> Result<(), Failure> {
    let events = events.clone();
    serve(&format!("127.0.0.1:{port}"), move |request| {
        let Some(wish) = wish(request)? else { return Ok((405, "GET, PUT, POST or DELETE".into())) };
        let (reply, replied) = sync_channel(1);
        // A node that has ended drops it, and with it the answer.
        events.send(Event::Wish(wish, Answer::new(reply))).unwrap_or(());
        Ok(match replied.recv_timeout(PATIENCE) {
            Ok(Reply::Done) => (204, String::new()),
            Ok(Reply::Value(Some(value))) => (200, value),
            Ok(Reply::Value(None)) => (404, "no such key".into()),
            Err(_) => (503, "there is no leader, or it has changed: it may have been done, and may still be".into()),
        })
    })
}

/// What a client wants.
fn wish(request: &mut Request) -> Result<Option<Wish>, Failure> {
    let key = request.url().trim_start_matches('/').to_owned();
    let change = |change_type, id: u64, address: String| {
        let mut change = ConfChange { change_type, node_id: id, ..ConfChange::default() };
        change.context = address.into_bytes().into();
        Some(Wish::Change(change))
    };
    Ok(match request.method() {
        Method::Get => Some(Wish::Get(key)),
        Method::Put => Some(Wish::Put(key, text(request)?)),
        Method::Post => change(ConfChangeType::AddNode, key.parse()?, text(request)?),
        Method::Delete => change(ConfChangeType::RemoveNode, key.parse()?, String::new()),
        _ => None,
    })
}

/// Serves the other nodes at this node's address, from now on.
pub(crate) fn serve_peers(address: &str, group: &Group, events: &Sender<Event>) -> Result<(), Failure> {
    let address = address.strip_prefix("http://").ok_or("the addresses of nodes are http://HOST:PORT")?;
    let requests = PeerRequests { group: group.clone(), events: events.clone(), coming: Mutex::default() };
    serve(address, move |request| {
        let path = request.url().trim_start_matches('/').to_owned();
        let body = body(request)?;
        match path.split_once('/') {
            None if path == "raft" => requests.take(body),
            Some(("snapshot", from)) => requests.begin(from.parse()?, body),
            Some(("chunk", from)) => requests.accept(from.parse()?, body),
            _ => Ok((404, String::new())),
        }
    })
}

/// Requests of other nodes.
struct PeerRequests {
    group: Group,
    events: Sender<Event>,
    /// Snapshots of which a part is there, by sender.
    coming: Mutex<HashMap<u64, (Message, Receiver)>>,
}

impl PeerRequests {
    fn take(&self, body: Bytes) -> Result<(u16, String), Failure> {
        for message in take_messages(body)? {
            self.events.send(Event::Message(Box::new(message)))?;
        }
        Ok((COMPLETE, String::new()))
    }

    /// The core gets the message of a snapshot when all of the snapshot has arrived, verified and synced.
    fn begin(&self, from: u64, body: Bytes) -> Result<(u16, String), Failure> {
        let message = take_messages(body)?.pop().ok_or("no message")?;
        match self.group.receive(message.get_snapshot(), &Stop::new()) {
            Ok(receiver) => self.go_on(from, message, receiver),
            // This node has it, or a newer one: the core knows what to answer.
            Err(Error::Engine(logboom::Error::Snapshot(SnapshotError::Stale { .. }))) => {
                self.events.send(Event::Message(Box::new(message)))?;
                Ok((COMPLETE, String::new()))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn accept(&self, from: u64, body: Bytes) -> Result<(u16, String), Failure> {
        let (message, mut receiver) = self.coming.lock().remove(&from).ok_or("no snapshot has begun")?;
        receiver.accept(&decode_chunk(body)?)?;
        self.go_on(from, message, receiver)
    }

    fn go_on(&self, from: u64, message: Message, receiver: Receiver) -> Result<(u16, String), Failure> {
        if receiver.position().is_some() {
            self.coming.lock().insert(from, (message, receiver));
            return Ok((MORE, String::new()));
        }
        self.group.received(receiver.finish()?);
        self.events.send(Event::Message(Box::new(message)))?;
        Ok((COMPLETE, String::new()))
    }
}

/// Serves requests, each in a thread of its own, as most of them wait for something.
fn serve(
    address: &str,
    handle: impl Fn(&mut Request) -> Result<(u16, String), Failure> + Send + Sync + 'static,
) -> Result<(), Failure> {
    let server = Server::http(address).map_err(|error| format!("{address}: {error:#}"))?;
    let handle = Arc::new(handle);
    thread::spawn(move || {
        for mut request in server.incoming_requests() {
            let handle = Arc::clone(&handle);
            thread::spawn(move || {
                let (status, said) = handle(&mut request).unwrap_or_else(|error| (400, format!("{error:#}")));
                // One that has gone needs no answer.
                request.respond(Response::from_string(said).with_status_code(status)).unwrap_or(());
            });
        }
    });
    Ok(())
}

fn text(request: &mut Request) -> Result<String, Failure> {
    Ok(String::from_utf8(body(request)?.into())?)
}

fn body(request: &mut Request) -> Result<Bytes, Failure> {
    let mut body = Vec::new();
    if request.as_reader().take(BODY_BYTES_MAX + 1).read_to_end(&mut body)? as u64 > BODY_BYTES_MAX {
        return Err("the body is too long".into());
    }
    Ok(body.into())
}
