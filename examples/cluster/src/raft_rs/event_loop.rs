//! `EventLoop`: one thread that runs all groups of a node.
//!
//! Each turn takes the pending events, collects a `Ready` from each touched group, writes them as one batch, and sends
//! one frame to each peer. The next turn runs while the batch is being written; messages that wait for it (votes,
//! acknowledgements) are sent when it is durable. Idle groups cost nothing: a turn visits only groups with events. The
//! groups' clocks tick in ten bunches, one after the other, so that heartbeats are spread over the tick and still share
//! frames.

use std::{
    collections::BTreeSet,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use logboom::Engine;
use logboom_raft_rs::{Round, Writer};
use logboom_rsm::Failure;
use raft::{
    Ready, SnapshotStatus,
    eraftpb::{Message, MessageType},
};

use super::{
    Event, SaveJob,
    outbox::{Outbox, Packet},
    replica::Replica,
    snapshot_transfer::SnapshotTransfer,
};
use crate::{
    links::Links,
    node::Answer,
    options::NodeOptions,
    status::Status,
    wire::{Ask, Reply},
};

/// The number of bunches of groups whose clocks tick together.
const BUNCHES: u64 = 10;

/// The most events that one turn takes.
const EVENTS_MAX: usize = 4096;

/// Ticks after which an unconfirmed snapshot is given up, and after which leadership is transferred.
const SNAPSHOT_TICKS: u64 = 100;
const HAND_OVER_TICKS: u64 = 20;

/// The groups of a node, and the thread's state.
pub(crate) struct EventLoop {
    /// By shard; `None` for a failed one, which does not affect the others.
    replicas: Vec<Option<Replica>>,
    /// The shards with events in this turn.
    touched: BTreeSet<u64>,
    writer: Writer,
    outbox: Outbox,
    transfer: SnapshotTransfer,
    saver: Sender<(u64, SaveJob)>,
    status: Status,
    bunch: Duration,
    /// The number of bunches that have ticked so far.
    ticked: u64,
}

impl EventLoop {
    pub(crate) fn new(
        options: &NodeOptions,
        engine: &Engine,
        links: &Links,
        replicas: Vec<Replica>,
        transfer: SnapshotTransfer,
        events: Sender<Event>,
    ) -> Self {
        let saver = start_saver(events.clone());
        let writer = Writer::new(engine, move || events.send(Event::Durable).unwrap_or(()));
        let touched = replicas.iter().map(Replica::shard).collect();
        Self {
            replicas: replicas.into_iter().map(Some).collect(),
            touched,
            writer,
            outbox: Outbox::new(links),
            transfer,
            saver,
            status: Status::default(),
            bunch: Duration::from_millis(options.tick_ms) / u32::try_from(BUNCHES).unwrap_or(1),
            ticked: 0,
        }
    }

    /// Runs until a stop event or a failure.
    pub(crate) fn run(mut self, happened: &Receiver<Event>) -> Result<(), Failure> {
        let mut next = Instant::now();
        loop {
            match happened.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Event::Stop(_)) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Ok(event) => self.take(event)?,
                Err(RecvTimeoutError::Timeout) => {}
            }
            for event in happened.try_iter().take(EVENTS_MAX) {
                match event {
                    Event::Stop(_) => return Ok(()),
                    event => self.take(event)?,
                }
            }
            if next <= Instant::now() {
                self.tick();
                // A delayed node does not catch up on missed ticks.
                next = (next + self.bunch).max(Instant::now());
            }
            self.turn()?;
        }
    }

    fn touch(&mut self, shard: u64) -> Option<&mut Replica> {
        let replica = find(&mut self.replicas, shard)?;
        self.touched.insert(shard);
        Some(replica)
    }

    fn take(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Ask(ask, answer) => self.ask(ask, answer)?,
            Event::Messages(messages) => {
                messages.into_iter().for_each(|(shard, message)| self.take_message(shard, message));
            }
            Event::Arrived(shard, message) => self.take_message(shard, *message),
            Event::Taken { shard, by, is_good } => self.settle(shard, by, is_good),
            Event::Saved(shard, saved) => {
                let is_good = self.touch(shard).is_some_and(|replica| replica.saved(saved));
                self.status.saved += u64::from(is_good);
            }
            // The turn that follows asks the writer what is durable.
            Event::Durable | Event::Stop(_) => {}
        }
        Ok(())
    }

    fn take_message(&mut self, shard: u64, message: Message) {
        if let Some(replica) = self.touch(shard) {
            replica.take(message);
        }
    }

    fn ask(&mut self, ask: Ask, answer: Answer) -> Result<(), Failure> {
        match ask {
            Ask::Get { shard, key } => match self.touch(shard) {
                Some(replica) => replica.read(key, answer),
                None => answer.give(Reply::Elsewhere(None)),
            },
            Ask::Write { shard, command } => match self.touch(shard) {
                Some(replica) => replica.write(&command, answer),
                None => answer.give(Reply::Elsewhere(None)),
            },
            Ask::Status => {
                let (messages, frames) = (self.outbox.messages, self.outbox.sent);
                let mut status = Status { messages, frames, ..self.status };
                self.replicas.iter().flatten().for_each(|replica| replica.count(&mut status));
                answer.give(Reply::Status(Box::new(status)));
            }
            Ask::Dump { shard } => {
                if let Some(replica) = self.touch(shard) {
                    answer.give(replica.dump()?);
                }
            }
        }
        Ok(())
    }

    /// Ticks the clocks of the next bunch of groups.
    fn tick(&mut self) {
        self.ticked += 1;
        let (bunch, tick) = (self.ticked % BUNCHES, self.ticked / BUNCHES);
        let mut late = Vec::new();
        for replica in self.replicas.iter_mut().flatten().filter(|replica| replica.shard() % BUNCHES == bunch) {
            if replica.node.tick() {
                self.touched.insert(replica.shard());
            }
            if tick % HAND_OVER_TICKS == 0 {
                replica.hand_over();
                self.touched.insert(replica.shard());
            }
            let given_up = replica.sending.iter().filter(|(_, until)| **until < tick);
            late.extend(given_up.map(|(peer, _)| (replica.shard(), *peer)));
        }
        late.into_iter().for_each(|(shard, peer)| self.settle(shard, peer, false));
    }

    /// Reports the outcome of a snapshot transfer to the raft core, and releases the snapshot.
    fn settle(&mut self, shard: u64, peer: u64, is_good: bool) {
        let Some(replica) = self.touch(shard) else { return };
        if replica.sending.remove(&peer).is_some() {
            let status = if is_good { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
            replica.node.report_snapshot(peer, status);
            replica.group().sent(peer);
        }
    }

    /// Handles the `Ready`s of touched groups until none is left, and then flushes the outbox.
    fn turn(&mut self) -> Result<(), Failure> {
        self.release()?;
        while !self.touched.is_empty() {
            let readys = self.collect()?;
            self.save(readys)?;
            self.release()?;
        }
        self.outbox.flush();
        Ok(())
    }

    /// Takes the `Ready` of each touched group. Messages that need not wait are sent at once; the rest must be written.
    fn collect(&mut self) -> Result<Vec<(u64, Ready)>, Failure> {
        let mut readys = Vec::new();
        for shard in std::mem::take(&mut self.touched) {
            let Some(replica) = find(&mut self.replicas, shard) else { continue };
            if !replica.node.has_ready() {
                // Earlier commits may have become durable here, or a follower may need a snapshot.
                self.apply(shard, None)?;
                continue;
            }
            let mut ready = replica.node.ready();
            replica.readable(ready.take_read_states());
            if let Some(soft) = ready.ss()
                && replica.is(soft.raft_state)
            {
                self.status.elections += 1;
            }
            let messages = ready.take_messages();
            self.post(shard, messages);
            readys.push((shard, ready));
        }
        Ok(readys)
    }

    /// Submits the changes of all groups as one batch, without waiting for the disk.
    fn save(&mut self, mut readys: Vec<(u64, Ready)>) -> Result<(), Failure> {
        if readys.is_empty() {
            return Ok(());
        }
        let mut committed = Vec::with_capacity(readys.len());
        let mut round = Round::new();
        for (shard, ready) in &mut readys {
            // The driver reads the entries from the log, whose memory they share, so only the last index is needed.
            committed.push(ready.take_committed_entries().last().map(|entry| entry.index));
            if let Some(replica) = find(&mut self.replicas, *shard) {
                round.save(replica.group(), ready);
            }
        }
        let left_out = self.writer.submit(&mut round)?;
        drop(round);
        left_out.shards().iter().for_each(|shard| self.give_up(shard.0));
        self.status.batches += 1;
        for ((shard, ready), committed) in readys.into_iter().zip(committed) {
            let Some(replica) = find(&mut self.replicas, shard) else { continue };
            let has_snapshot = !ready.snapshot().is_empty();
            replica.node.advance_append_async(ready);
            if has_snapshot {
                replica.load()?;
                self.status.installed += 1;
            }
            self.apply(shard, committed)?;
            self.touched.insert(shard);
        }
        Ok(())
    }

    /// Sends the messages that waited for writes that are durable now, and tells the raft cores.
    fn release(&mut self) -> Result<(), Failure> {
        for saved in self.writer.persisted()? {
            let shard = saved.shard.0;
            self.post(shard, saved.messages);
            let Some(replica) = self.touch(shard) else { continue };
            replica.node.on_persist_ready(saved.number);
        }
        Ok(())
    }

    fn apply(&mut self, shard: u64, committed: Option<u64>) -> Result<(), Failure> {
        let Some(replica) = find(&mut self.replicas, shard) else { return Ok(()) };
        let (count, job) = match replica.apply(committed) {
            Err(_) if replica.group().shard().quarantine().is_some() => {
                self.give_up(shard);
                return Ok(());
            }
            outcome => outcome?,
        };
        self.status.applied += count as u64;
        if let Some(job) = job {
            self.saver.send((shard, job)).map_err(|_| "the thread that saves snapshots is gone")?;
        }
        Ok(())
    }

    /// Drops a replica whose shard is in quarantine; its peers go on without it. Its waiting clients get
    /// [`Reply::Unknown`], since their `Answer`s are dropped.
    fn give_up(&mut self, shard: u64) {
        let slot = usize::try_from(shard).ok().and_then(|at| self.replicas.get_mut(at));
        if let Some(replica) = slot.and_then(Option::take) {
            let lost = replica.group().shard().quarantine().map_or_else(String::new, |lost| lost.to_string());
            eprintln!("shard {shard} cannot go on here: {lost}");
        }
    }

    fn post(&mut self, shard: u64, messages: Vec<Message>) {
        for message in messages {
            if message.get_msg_type() == MessageType::MsgSnapshot {
                self.send_snapshot(shard, message);
            } else {
                self.outbox.post(message.to, &Packet::Message(shard, message));
            }
        }
    }

    fn send_snapshot(&mut self, shard: u64, message: Message) {
        let until = self.ticked / BUNCHES + SNAPSHOT_TICKS;
        let Some(replica) = self.touch(shard) else { return };
        let to = message.to;
        replica.sending.insert(to, until);
        match replica.group().sending(to) {
            Some(lease) => {
                self.transfer.send(shard, message, lease);
                self.status.sent += 1;
            }
            None => self.settle(shard, to, false),
        }
    }
}

fn find(replicas: &mut [Option<Replica>], shard: u64) -> Option<&mut Replica> {
    replicas.get_mut(usize::try_from(shard).ok()?)?.as_mut()
}

/// Starts a thread that saves one snapshot after the other.
fn start_saver(events: Sender<Event>) -> Sender<(u64, SaveJob)> {
    let (saver, jobs) = mpsc::channel::<(u64, SaveJob)>();
    thread::spawn(move || {
        for (shard, job) in jobs {
            events.send(Event::Saved(shard, job.run())).unwrap_or(());
        }
    });
    saver
}
