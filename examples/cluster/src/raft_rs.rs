//! A node on raft-rs: all groups on one thread, and one batch of the log for whatever they have to write at a time.

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
    /// A client asks.
    Ask(Ask, Answer),
    /// Messages of a peer, in their order.
    Messages(Vec<(u64, Message)>),
    /// The snapshot of this message is here.
    Arrived(u64, Box<Message>),
    /// What became of the snapshot of a shard that a peer was sent.
    Taken { shard: u64, by: u64, is_good: bool },
    /// A snapshot of a shard was saved, or could not be.
    Saved(u64, Saved),
    /// Something that was written is durable.
    Durable,
    /// Stops everything; dropping this tells the waiter.
    Stop(#[expect(dead_code, reason = "its drop is the message")] Sender<()>),
}

/// A node's groups, as its connections know them.
#[derive(Debug)]
pub(crate) struct RaftRs {
    events: Sender<Event>,
    transfer: SnapshotTransfer,
}

impl RaftRs {
    /// Recovers all groups, or creates them, and begins to run them.
    pub(crate) fn start(options: &NodeOptions, engine: &Engine, links: &Links) -> Result<Self, Failure> {
        let (events, happened) = mpsc::channel();
        let replicas = replica::open(options, engine)?;
        let groups = replicas.iter().map(|replica| (replica.shard(), replica.group().clone())).collect();
        let transfer = SnapshotTransfer::start(links, groups, events.clone());
        let event_loop = EventLoop::new(options, engine, links, replicas, transfer.clone(), events.clone());
        thread::Builder::new().name("groups".into()).spawn(move || {
            // A node that cannot trust its log is not a node any more.
            if let Err(error) = event_loop.run(&happened) {
                eprintln!("the groups cannot go on: {error:#}");
                std::process::exit(1);
            }
        })?;
        Ok(Self { events, transfer })
    }

    fn happens(&self, event: Event) {
        // When the groups have ended the process does too.
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
        // It is never sent anything: that it is gone is the answer.
        ended.recv().unwrap_or(());
    }
}

/// The machine's snapshots.
pub(crate) type SaveJob = logboom_rsm::SaveJob<Kv>;
