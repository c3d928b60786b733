//! Snapshots between nodes: sent and received beside the groups, which do not wait for the disk.
//!
//! The core's `MsgSnapshot` has the manifest; the chunks go beside it. The receiver gives the message to its core when
//! all chunks are here, verified and synced, and only then tells the sender that it has them.

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
    mail::{Letter, Mail},
};
use crate::links::Links;

/// Two threads, one for each direction.
#[derive(Clone, Debug)]
pub(crate) struct Courier {
    out: Sender<Parcel>,
    back: Sender<(u64, Letter)>,
}

/// A snapshot to be sent: the core's message, and the lease that keeps the file.
#[derive(Debug)]
struct Parcel {
    shard: u64,
    message: Message,
    lease: Lease,
}

impl Courier {
    pub(crate) fn start(links: &Links, groups: HashMap<u64, Group>, events: Sender<Event>) -> Self {
        let (out, parcels) = mpsc::channel();
        let (back, letters) = mpsc::channel();
        let (mail, happens) = (Mail::new(links), events.clone());
        thread::spawn(move || send_out(&parcels, mail, &happens));
        let desk = Desk { groups, coming: HashMap::new(), mail: Mail::new(links), events };
        thread::spawn(move || desk.take_in(&letters));
        Self { out, back }
    }

    /// Sends the snapshot of a `MsgSnapshot`. What becomes of it is an event.
    pub(crate) fn send(&self, shard: u64, message: Message, lease: Lease) {
        self.out.send(Parcel { shard, message, lease }).unwrap_or(());
    }

    /// Takes a letter about a snapshot.
    pub(crate) fn take_in(&self, from: u64, letter: Letter) {
        self.back.send((from, letter)).unwrap_or(());
    }
}

fn send_out(parcels: &Orders<Parcel>, mut mail: Mail, events: &Sender<Event>) {
    for Parcel { shard, message, lease } in parcels {
        let to = message.to;
        if let Err(error) = send(shard, message, &lease, &mut mail) {
            eprintln!("the snapshot of shard {shard} does not reach node {to}: {error}");
            events.send(Event::Taken { shard, by: to, is_good: false }).unwrap_or(());
        }
    }
}

fn send(shard: u64, message: Message, lease: &Lease, mail: &mut Mail) -> Result<(), Failure> {
    let to = message.to;
    let mut arrives = mail.post(to, &Letter::Snapshot(shard, message));
    for chunk in lease.chunks(None)? {
        arrives &= mail.post(to, &Letter::Chunk(shard, chunk?));
    }
    arrives &= mail.post(to, &Letter::End(shard));
    if mail.flush() && arrives { Ok(()) } else { Err("the connection is gone".into()) }
}

/// Where snapshots arrive.
struct Desk {
    groups: HashMap<u64, Group>,
    /// What has begun, by shard and sender. It ends with the last chunk, or when another one begins.
    coming: HashMap<(u64, u64), (Message, Receiver)>,
    mail: Mail,
    events: Sender<Event>,
}

impl Desk {
    fn take_in(mut self, letters: &Orders<(u64, Letter)>) {
        for (from, letter) in letters {
            let shard = match &letter {
                Letter::Snapshot(shard, _) | Letter::Chunk(shard, _) | Letter::End(shard) => *shard,
                Letter::Message(..) | Letter::Taken { .. } => continue,
            };
            if let Err(error) = self.take(from, letter) {
                eprintln!("the snapshot of shard {shard} from node {from} comes to nothing: {error}");
                self.coming.remove(&(shard, from));
                self.answer(shard, from, false);
            }
        }
    }

    fn take(&mut self, from: u64, letter: Letter) -> Result<(), Failure> {
        match letter {
            Letter::Snapshot(shard, message) => self.begin(from, shard, message)?,
            Letter::Chunk(shard, chunk) => {
                if let Some((_, receiver)) = self.coming.get_mut(&(shard, from)) {
                    receiver.accept(&chunk)?;
                }
            }
            Letter::End(shard) => {
                if let Some((message, receiver)) = self.coming.remove(&(shard, from)) {
                    let group = self.groups.get(&shard).ok_or("there is no such group")?;
                    group.received(receiver.finish()?);
                    self.arrived(shard, from, message);
                }
            }
            Letter::Message(..) | Letter::Taken { .. } => {}
        }
        Ok(())
    }

    fn begin(&mut self, from: u64, shard: u64, message: Message) -> Result<(), Failure> {
        let group = self.groups.get(&shard).ok_or("there is no such group")?;
        match group.receive(message.get_snapshot(), &Stop::new()) {
            Ok(receiver) => drop(self.coming.insert((shard, from), (message, receiver))),
            // This node has it, or a newer one: the core knows what to answer.
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

    /// An answer that is lost is made up for by the sender's patience.
    fn answer(&mut self, shard: u64, to: u64, is_good: bool) {
        self.mail.post(to, &Letter::Taken { shard, is_good });
        self.mail.flush();
    }
}
