//! `Client`: performs one operation after the other, on registers that other clients use at the same time.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes};
use parking_lot::RwLock;

use crate::{
    history::{Answer, Call, Operation, Watch},
    kv::{Action, Command, Outcome},
    options::NODES,
    process::Connection,
    wire::{Ask, Reply},
};

/// The number of registers of a shard.
const KEYS: u32 = 4;

/// Half of the operations go to this many shards, so that clients compete for registers and the log grows fast.
const HOT_SHARDS: u64 = 4;

/// The most bytes of a value after its number.
const PADDING_MAX: usize = 200;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long a client tries to send an operation before it gives the operation up.
const SEARCH: Duration = Duration::from_secs(10);

/// The state that all clients share.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) shards: u64,
    pub(crate) watch: Watch,
    /// Where the nodes listen.
    pub(crate) addresses: Arc<RwLock<BTreeMap<u64, SocketAddr>>>,
    /// Set when the run ends.
    pub(crate) stop: Arc<AtomicBool>,
}

/// A client and its state.
#[derive(Debug)]
pub(crate) struct Client {
    id: u32,
    common: Common,
    chance: fastrand::Rng,
    connections: BTreeMap<u64, Connection>,
    /// The leader of each shard, as nodes reported it.
    leaders: BTreeMap<u64, u64>,
    /// The number of writes sent to each shard.
    numbers: BTreeMap<u64, u64>,
    /// The last value seen in each register.
    seen: BTreeMap<(u64, u32), Option<u64>>,
    /// The number of values generated.
    values: u64,
    history: Vec<Operation>,
}

/// The outcome of a request to a node.
enum Sent {
    Answered(Reply),
    /// The request was not sent.
    Not,
    /// The request was sent, and no answer arrived.
    Lost,
}

impl Client {
    pub(crate) fn new(id: u32, common: Common, seed: u64) -> Self {
        Self {
            id,
            common,
            chance: fastrand::Rng::with_seed(seed),
            connections: BTreeMap::new(),
            leaders: BTreeMap::new(),
            numbers: BTreeMap::new(),
            seen: BTreeMap::new(),
            values: 0,
            history: Vec::new(),
        }
    }

    /// Performs one operation after the other until the run ends; returns those that may have had an effect.
    pub(crate) fn run(mut self) -> Vec<Operation> {
        while !self.is_over() {
            let (shard, key) = self.pick();
            let operation = self.think(shard, key);
            self.perform(operation);
        }
        self.history
    }

    fn is_over(&self) -> bool {
        self.common.stop.load(Ordering::Relaxed)
    }

    fn pick(&mut self) -> (u64, u32) {
        let among = if self.chance.bool() { HOT_SHARDS.min(self.common.shards) } else { self.common.shards };
        (self.chance.u64(0..among), self.chance.u32(0..KEYS))
    }

    fn think(&mut self, shard: u64, key: u32) -> Operation {
        let call = match self.chance.u8(0..10) {
            0..4 => Call::Get,
            kind => {
                self.values += 1;
                let value = u64::from(self.id) << 40 | self.values;
                let expected = self.seen.get(&(shard, key)).copied().flatten();
                if kind < 8 { Call::Put(value) } else { Call::Swap { expected, value } }
            }
        };
        let number = if call == Call::Get { 0 } else { self.numbers.get(&shard).copied().unwrap_or(0) + 1 };
        let invoked = self.common.watch.now();
        Operation { client: self.id, shard, key, call, number, invoked, answered: None }
    }

    /// Sends the operation to nodes until one performs it. It is sent again if it was certainly not performed; a write
    /// whose outcome is unknown is not sent again.
    fn perform(&mut self, mut operation: Operation) {
        let ask = self.ask(&operation);
        let (begun, mut tries) = (Instant::now(), 0);
        while begun.elapsed() < SEARCH && !self.is_over() {
            let node = self.target(operation.shard);
            match self.send(node, &ask) {
                Sent::Answered(Reply::Value(value)) => {
                    return self.keep(operation, Some(Answer::Value(value)));
                }
                Sent::Answered(Reply::Done(Outcome::Written)) => {
                    return self.keep(operation, Some(Answer::Written));
                }
                Sent::Answered(Reply::Done(Outcome::Kept(found))) => {
                    return self.keep(operation, Some(Answer::Kept(found)));
                }
                Sent::Answered(Reply::Elsewhere(Some(leader))) if leader != node => {
                    self.leaders.insert(operation.shard, leader);
                }
                Sent::Answered(Reply::Elsewhere(_)) | Sent::Not => self.look_elsewhere(operation.shard, node),
                // A read has no effect, so it may be sent again.
                _ if operation.call == Call::Get => {
                    self.look_elsewhere(operation.shard, node);
                    operation.invoked = self.common.watch.now();
                }
                _ => {
                    self.look_elsewhere(operation.shard, node);
                    return self.keep(operation, None);
                }
            }
            tries += 1;
            thread::sleep(Duration::from_millis(tries.min(20)));
        }
    }

    /// The reported leader of the shard. At times a random node, to find a leader that is not known yet, and to test a
    /// deposed leader that does not know that it was deposed.
    fn target(&mut self, shard: u64) -> u64 {
        if self.chance.u8(0..8) == 0 {
            return self.chance.u64(1..=NODES);
        }
        self.leaders.get(&shard).copied().unwrap_or(1 + shard % NODES)
    }

    fn ask(&mut self, operation: &Operation) -> Ask {
        let (value, action) = match operation.call {
            Call::Get => return Ask::Get { shard: operation.shard, key: operation.key },
            Call::Put(value) => (value, Action::Put),
            Call::Swap { expected, value } => (value, Action::Swap { expected }),
        };
        let mut bytes = Vec::with_capacity(8 + PADDING_MAX);
        bytes.put_u64_le(value);
        bytes.resize(8 + self.chance.usize(0..=PADDING_MAX), self.chance.u8(..));
        let Operation { client, number, key, .. } = *operation;
        let command = Command { client, number, key, action, value: Bytes::from(bytes) };
        Ask::Write { shard: operation.shard, command: command.encode().into() }
    }

    fn send(&mut self, node: u64, ask: &Ask) -> Sent {
        if !self.connections.contains_key(&node) {
            let address = self.common.addresses.read().get(&node).copied();
            match address.ok_or(()).and_then(|address| Connection::open(address, PATIENCE).map_err(drop)) {
                Ok(connection) => drop(self.connections.insert(node, connection)),
                Err(()) => return Sent::Not,
            }
        }
        match self.connections.get_mut(&node).map(|connection| connection.ask(ask)) {
            Some(Ok(reply)) => Sent::Answered(reply),
            _ => {
                self.connections.remove(&node);
                Sent::Lost
            }
        }
    }

    fn look_elsewhere(&mut self, shard: u64, node: u64) {
        self.leaders.insert(shard, 1 + node % NODES);
    }

    fn keep(&mut self, mut operation: Operation, answer: Option<Answer>) {
        let register = (operation.shard, operation.key);
        match (operation.call, answer) {
            (_, Some(Answer::Value(found) | Answer::Kept(found))) => drop(self.seen.insert(register, found)),
            (Call::Put(value) | Call::Swap { value, .. }, _) => drop(self.seen.insert(register, Some(value))),
            (Call::Get, _) => {}
        }
        if operation.number > 0 {
            self.numbers.insert(operation.shard, operation.number);
        }
        operation.answered = answer.map(|answer| (self.common.watch.now(), answer));
        self.history.push(operation);
    }
}
