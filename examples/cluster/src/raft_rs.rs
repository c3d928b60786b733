//! A node on raft-rs: one thread runs all groups, and writes all their changes as one batch at a time.

use std::{
    sync::mpsc::{self, Sender},
    thread,
};

use bytes::Bytes;
use logboom::Engine;
use logboom_rsm::{Failure, Saved};
use raft::eraftpb::Message;

use crate::{
    kv::Kv,
    links::Links,
    node::{Answer, Core},
    options::NodeOptions,
    wire::Ask,
};

mod snapshot_transfer;
mod outbox;
mod replica;
mod event_loop;

use event_loop::EventLoop;
use outbox::Packet;
use snapshot_transfer::SnapshotTransfer;

/// An event for the thread that runs the groups.
pub(crate) enum Event {
    /// A request of a client.
    Ask(Ask, Answer),
    /// The messages in a frame from a peer, in order.
    Messages(Vec<(u64, Message)>),
    /// The snapshot that this message refers to has arrived.
    Arrived(u64, Box<Message>),
    /// Whether a peer has taken the snapshot of a shard that was sent to it.
    Taken { shard: u64, by: u64, is_good: bool },
    /// The saving of a snapshot of a shard has ended, in success or failure.
    Saved(u64, Saved),
    /// A write has become durable.
    Durable,
    /// Stops the thread; dropping the sender tells the caller that it has stopped.
    Stop(#[expect(dead_code, reason = "its drop is the message")] Sender<()>),
}

/// The groups of a node, as its connections use them.
#[derive(Debug)]
pub(crate) struct RaftRs {
    events: Sender<Event>,
    transfer: SnapshotTransfer,
}

impl RaftRs {
    /// Recovers or creates all groups, and starts the thread that runs them.
    pub(crate) fn start(options: &NodeOptions, engine: &Engine, links: &Links) -> Result<Self, Failure> {
        let (events, happened) = mpsc::channel();
        let replicas = replica::open(options, engine)?;
        let groups = replicas.iter().map(|replica| (replica.shard(), replica.group().clone())).collect();
        let transfer = SnapshotTransfer::start(links, groups, events.clone());
        let event_loop = EventLoop::new(options, engine, links, replicas, transfer.clone(), events.clone());
        thread::Builder::new().name("groups".into()).spawn(move || {
            // The node cannot trust its log any more, so the process ends.
            if let Err(error) = event_loop.run(&happened) {
                eprintln!("the groups cannot go on: {error:#}");
                std::process::exit(1);
            }
        })?;
        Ok(Self { events, transfer })
    }

    fn happens(&self, event: Event) {
        // The send fails only when the event loop has ended, and then the process ends too.
        self.events.send(event).unwrap_or(());
    }
}

impl Core for RaftRs {
    fn ask(&self, ask: Ask, answer: Answer) {
        self.happens(Event::Ask(ask, answer));
    }

    fn receive(&self, from: u64, frame: Bytes) {
        let mut messages = Vec::new();
        for packet in outbox::open(frame) {
            match packet {
                Packet::Message(shard, message) => messages.push((shard, message)),
                Packet::Taken { shard, is_good } => self.happens(Event::Taken { shard, by: from, is_good }),
                snapshot => self.transfer.take_in(from, snapshot),
            }
        }
        if !messages.is_empty() {
            self.happens(Event::Messages(messages));
        }
    }

    fn stop(&self) {
        let (ending, ended) = mpsc::channel();
        self.happens(Event::Stop(ending));
        // Nothing is ever sent: the sender is dropped when the event loop has stopped.
        ended.recv().unwrap_or(());
    }
}

/// A job that saves a snapshot of the state machine.
pub(crate) type SaveJob = logboom_rsm::SaveJob<Kv>;
