//! `Peers`: sends raft messages and snapshots to the other nodes, over HTTP.

use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, Sender, SyncSender, sync_channel},
    thread,
};

use bytes::{Buf, BufMut, Bytes};
use logboom::snapshot::{Chunk, Lease};
use logboom_rsm::Failure;
use protobuf::Message as _;
use raft::{SnapshotStatus, eraftpb::Message};

use crate::node::Event;

/// Messages that wait for a connection. What comes then is lost, as on any network: raft sends it again.
const QUEUE: usize = 1024;

/// How long a node may take to answer.
const PATIENCE_SECONDS: u64 = 5;

/// Status codes of the answers to parts of a snapshot: more of it is wanted, or all of it is there.
pub(crate) const MORE: u16 = 202;
pub(crate) const COMPLETE: u16 = 204;

/// The other nodes, each with a thread that sends.
#[derive(Debug)]
pub(crate) struct Peers {
    me: u64,
    events: Sender<Event>,
    queues: BTreeMap<u64, PeerQueue>,
}

#[derive(Debug)]
struct PeerQueue {
    address: String,
    queue: SyncSender<Message>,
}

impl Peers {
    pub(crate) fn new(me: u64, events: &Sender<Event>) -> Self {
        Self { me, events: events.clone(), queues: BTreeMap::new() }
    }

    /// Sets the members and their addresses. The queue to a removed member ends when it is empty.
    pub(crate) fn set(&mut self, members: &BTreeMap<u64, String>) {
        self.queues.retain(|id, way| members.get(id) == Some(&way.address));
        for (id, address) in members.iter().filter(|(id, _)| **id != self.me) {
            if !self.queues.contains_key(id) {
                let (queue, messages) = sync_channel(QUEUE);
                let (to, url, events) = (*id, format!("{address}/raft"), self.events.clone());
                thread::spawn(move || carry(to, &url, &messages, &events));
                self.queues.insert(to, PeerQueue { address: address.clone(), queue });
            }
        }
    }

    /// Hands a message over to be sent; it may get lost.
    pub(crate) fn send(&self, message: Message) {
        if let Some(way) = self.queues.get(&message.to) {
            way.queue.try_send(message).unwrap_or(());
        }
    }

    /// Sends a snapshot: the message that announces it, and its chunks. What becomes of it is an event.
    pub(crate) fn send_snapshot(&self, message: Message, lease: Lease) {
        let (to, events) = (message.to, self.events.clone());
        let Some(address) = self.queues.get(&to).map(|way| way.address.clone()) else {
            return events.send(Event::Shipped(to, SnapshotStatus::Failure)).unwrap_or(());
        };
        thread::spawn(move || {
            let outcome = ship(&address, &message, &lease);
            let status = if outcome.is_ok() { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
            outcome.unwrap_or_else(|error| eprintln!("the snapshot for node {to}: {error:#}"));
            events.send(Event::Shipped(to, status)).unwrap_or(());
        });
    }
}

/// Posts what waits, all of it at once.
fn carry(to: u64, url: &str, messages: &Receiver<Message>, events: &Sender<Event>) {
    for first in messages {
        let mut body = Vec::new();
        std::iter::once(first).chain(messages.try_iter()).for_each(|message| put_message(&message, &mut body));
        if post(url, body).is_err() {
            events.send(Event::Unreachable(to)).unwrap_or(());
        }
    }
}

fn ship(address: &str, message: &Message, lease: &Lease) -> Result<(), Failure> {
    let mut body = Vec::new();
    put_message(message, &mut body);
    if post(&format!("{address}/snapshot/{}", message.from), body)? == COMPLETE {
        return Ok(());
    }
    for chunk in lease.chunks(None)? {
        if post(&format!("{address}/chunk/{}", message.from), encode_chunk(&chunk?))? == COMPLETE {
            return Ok(());
        }
    }
    Err("all of it was sent, and more is wanted".into())
}

fn post(url: &str, body: Vec<u8>) -> Result<u16, Failure> {
    let answer = minreq::post(url).with_body(body).with_timeout(PATIENCE_SECONDS).send()?;
    match answer.status_code {
        status @ (MORE | COMPLETE) => Ok(status),
        status => Err(format!("{url}: {status} {}", answer.as_str().unwrap_or_default()).into()),
    }
}

fn put_message(message: &Message, to: &mut Vec<u8>) {
    to.put_u64_le(u64::from(message.compute_size()));
    message.write_to_vec(to).expect("memory takes everything, and no field of a message is required");
}

/// The messages of a body.
pub(crate) fn take_messages(mut from: Bytes) -> Result<Vec<Message>, Failure> {
    let mut messages = Vec::new();
    while !from.is_empty() {
        let length = usize::try_from(from.try_get_u64_le()?)?;
        if length > from.len() {
            return Err("a message ends too early".into());
        }
        messages.push(Message::parse_from_carllerche_bytes(&from.split_to(length))?);
    }
    Ok(messages)
}

fn encode_chunk(chunk: &Chunk) -> Vec<u8> {
    let mut body = Vec::with_capacity(12 + chunk.bytes.len());
    body.put_u32_le(chunk.file);
    body.put_u64_le(chunk.offset);
    body.put_slice(&chunk.bytes);
    body
}

/// The chunk of a body.
pub(crate) fn decode_chunk(mut from: Bytes) -> Result<Chunk, Failure> {
    Ok(Chunk { file: from.try_get_u32_le()?, offset: from.try_get_u64_le()?, bytes: from })
}
