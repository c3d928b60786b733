//! `SnapshotTransfer`: sends and receives snapshots on separate threads, so that groups do not wait for the disk.
//!
//! The core's `MsgSnapshot` has the manifest; the chunks are sent separately. The receiver passes the message to its
//! core when all chunks are verified and synced, and only then tells the sender that it has the snapshot.

use std::{
    collections::HashMap,
    sync::mpsc::{self, Receiver as Orders, Sender},
    thread,
};

use logboom::snapshot::{Error as SnapshotError, Lease, Receiver, Stop};
use logboom_raft_rs::{Error, Group};
use logboom_rsm::Failure;
use raft::eraftpb::Message;

use super::{
    Event,
    outbox::{Outbox, Packet},
};
use crate::links::Links;

/// The queues of two threads, one for each direction.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotTransfer {
    out: Sender<Outgoing>,
    back: Sender<(u64, Packet)>,
}

/// A snapshot to send: the core's message, and the lease that keeps the file.
#[derive(Debug)]
struct Outgoing {
    shard: u64,
    message: Message,
    lease: Lease,
}

impl SnapshotTransfer {
    pub(crate) fn start(links: &Links, groups: HashMap<u64, Group>, events: Sender<Event>) -> Self {
        let (out, outgoing) = mpsc::channel();
        let (back, packets) = mpsc::channel();
        let (outbox, happens) = (Outbox::new(links), events.clone());
        thread::spawn(move || send_out(&outgoing, outbox, &happens));
        let incoming = SnapshotReceiver { groups, coming: HashMap::new(), outbox: Outbox::new(links), events };
        thread::spawn(move || incoming.take_in(&packets));
        Self { out, back }
    }

    /// Sends the snapshot of a `MsgSnapshot`. The outcome is an [`Event`].
    pub(crate) fn send(&self, shard: u64, message: Message, lease: Lease) {
        self.out.send(Outgoing { shard, message, lease }).unwrap_or(());
    }

    /// Takes a packet about a snapshot.
    pub(crate) fn take_in(&self, from: u64, packet: Packet) {
        self.back.send((from, packet)).unwrap_or(());
    }
}

fn send_out(outgoing: &Orders<Outgoing>, mut outbox: Outbox, events: &Sender<Event>) {
    for Outgoing { shard, message, lease } in outgoing {
        let to = message.to;
        if let Err(error) = send(shard, message, &lease, &mut outbox) {
            eprintln!("the snapshot of shard {shard} does not reach node {to}: {error:#}");
            events.send(Event::Taken { shard, by: to, is_good: false }).unwrap_or(());
        }
    }
}

fn send(shard: u64, message: Message, lease: &Lease, outbox: &mut Outbox) -> Result<(), Failure> {
    let to = message.to;
    let mut arrives = outbox.post(to, &Packet::Snapshot(shard, message));
    for chunk in lease.chunks(None)? {
        arrives &= outbox.post(to, &Packet::Chunk(shard, chunk?));
    }
    arrives &= outbox.post(to, &Packet::End(shard));
    if outbox.flush() && arrives { Ok(()) } else { Err("the connection is gone".into()) }
}

/// The receiving side.
struct SnapshotReceiver {
    groups: HashMap<u64, Group>,
    /// The running transfers, by shard and sender. Each ends with the last chunk, or when another one begins.
    coming: HashMap<(u64, u64), (Message, Receiver)>,
    outbox: Outbox,
    events: Sender<Event>,
}

impl SnapshotReceiver {
    fn take_in(mut self, packets: &Orders<(u64, Packet)>) {
        for (from, packet) in packets {
            let shard = match &packet {
                Packet::Snapshot(shard, _) | Packet::Chunk(shard, _) | Packet::End(shard) => *shard,
                Packet::Message(..) | Packet::Taken { .. } => continue,
            };
            if let Err(error) = self.take(from, packet) {
                eprintln!("the snapshot of shard {shard} from node {from} comes to nothing: {error:#}");
                self.coming.remove(&(shard, from));
                self.answer(shard, from, false);
            }
        }
    }

    fn take(&mut self, from: u64, packet: Packet) -> Result<(), Failure> {
        match packet {
            Packet::Snapshot(shard, message) => self.begin(from, shard, message)?,
            Packet::Chunk(shard, chunk) => {
                if let Some((_, receiver)) = self.coming.get_mut(&(shard, from)) {
                    receiver.accept(&chunk)?;
                }
            }
            Packet::End(shard) => {
                if let Some((message, receiver)) = self.coming.remove(&(shard, from)) {
                    let group = self.groups.get(&shard).ok_or("there is no such group")?;
                    group.received(receiver.finish()?);
                    self.arrived(shard, from, message);
                }
            }
            Packet::Message(..) | Packet::Taken { .. } => {}
        }
        Ok(())
    }

    fn begin(&mut self, from: u64, shard: u64, message: Message) -> Result<(), Failure> {
        let group = self.groups.get(&shard).ok_or("there is no such group")?;
        match group.receive(message.get_snapshot(), &Stop::new()) {
            Ok(receiver) => drop(self.coming.insert((shard, from), (message, receiver))),
            // This node already has this snapshot, or a newer one, and the core answers accordingly.
            Err(Error::Engine(logboom::Error::Snapshot(SnapshotError::Stale { .. }))) => {
                self.arrived(shard, from, message);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn arrived(&mut self, shard: u64, from: u64, message: Message) {
        self.events.send(Event::Arrived(shard, Box::new(message))).unwrap_or(());
        self.answer(shard, from, true);
    }

    /// Answers the sender. If the answer is lost, the sender times out.
    fn answer(&mut self, shard: u64, to: u64, is_good: bool) {
        self.outbox.post(to, &Packet::Taken { shard, is_good });
        self.outbox.flush();
    }
}
