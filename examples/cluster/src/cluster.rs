//! `Cluster`: the processes of the cluster, as seen from the parent process.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use logboom_rsm::Failure;
use parking_lot::RwLock;

use crate::{
    options::NODES,
    process::{Connection, Process, Recipe, cut, others, peers},
    status::Status,
    wire::{Ask, Reply},
};

/// The longest that the cluster may take to recover from any fault.
const RECOVERY_MAX: Duration = Duration::from_secs(120);

/// The interval between two polls of a recovering cluster.
const POLL: Duration = Duration::from_millis(50);

/// The longest that a node may take to report its status.
const PATIENCE: Duration = Duration::from_secs(10);

/// The three processes, and the statuses that they reported.
#[derive(Debug)]
pub(crate) struct Cluster {
    recipe: Recipe,
    shards: u64,
    processes: BTreeMap<u64, Process>,
    /// Where the nodes listen, for clients.
    pub(crate) addresses: Arc<RwLock<BTreeMap<u64, SocketAddr>>>,
    connections: BTreeMap<u64, Connection>,
    /// The last status of each living node.
    latest: BTreeMap<u64, Status>,
    /// The last statuses of killed nodes.
    past: Status,
}

impl Cluster {
    /// Starts all nodes.
    pub(crate) fn start(recipe: Recipe, shards: u64) -> Result<Self, Failure> {
        let mut cluster = Self {
            recipe,
            shards,
            processes: BTreeMap::new(),
            addresses: Arc::default(),
            connections: BTreeMap::new(),
            latest: BTreeMap::new(),
            past: Status::default(),
        };
        for id in 1..=NODES {
            cluster.processes.insert(id, cluster.recipe.start(id)?);
        }
        cluster.introduce()?;
        Ok(cluster)
    }

    /// Sends all nodes and clients the addresses of the nodes.
    fn introduce(&mut self) -> Result<(), Failure> {
        let order = peers(&self.processes);
        self.order(&|_| Some(order.clone()))?;
        *self.addresses.write() = self.processes.iter().map(|(id, process)| (*id, process.address)).collect();
        Ok(())
    }

    /// Sends each node its order, if `order_for` returns one.
    fn order(&mut self, order_for: &dyn Fn(u64) -> Option<String>) -> Result<(), Failure> {
        for (id, process) in &mut self.processes {
            if let Some(order) = order_for(*id) {
                process.order(&order).map_err(|error| self.recipe.told(*id, &error))?;
            }
        }
        Ok(())
    }

    /// Kills a node's process.
    ///
    /// # Errors
    /// If the process had already ended by itself.
    pub(crate) fn kill(&mut self, id: u64) -> Result<(), Failure> {
        let mut process = self.processes.remove(&id).ok_or("the node is not there")?;
        process.kill().map_err(|error| self.recipe.told(id, &error))?;
        self.connections.remove(&id);
        self.past.add(self.latest.remove(&id).unwrap_or_default());
        Ok(())
    }

    /// Restarts a killed node.
    pub(crate) fn restart(&mut self, id: u64) -> Result<(), Failure> {
        let process = self.recipe.start(id)?;
        self.processes.insert(id, process);
        self.introduce()
    }

    /// Cuts a node off from all others, in both directions.
    pub(crate) fn isolate(&mut self, id: u64) -> Result<(), Failure> {
        self.order(&|other| Some(if other == id { cut(&others(id)) } else { cut(&[id]) }))
    }

    /// Cuts two nodes off from each other; the third node reaches both.
    pub(crate) fn part(&mut self, one: u64, two: u64) -> Result<(), Failure> {
        let from = BTreeMap::from([(one, two), (two, one)]);
        self.order(&|id| from.get(&id).map(|other| cut(&[*other])))
    }

    /// Ends all partitions.
    pub(crate) fn heal(&mut self) -> Result<(), Failure> {
        self.order(&|_| Some(cut(&[])))
    }

    /// Waits until every shard has a leader whose followers have caught up, and returns how long that took.
    ///
    /// # Errors
    /// If a node has ended by itself, or the cluster does not recover in time.
    pub(crate) fn recover(&mut self) -> Result<Duration, Failure> {
        let begun = Instant::now();
        loop {
            let answered = self.poll()?;
            let settled: u64 = self.latest.values().map(|status| status.settled).sum();
            let known = self.latest.values().map(|status| status.known).min().unwrap_or(0);
            if answered == NODES && settled >= self.shards && known >= self.shards {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > RECOVERY_MAX {
                return Err(format!("after {RECOVERY_MAX:?}, {settled} of {} shards are settled", self.shards).into());
            }
            thread::sleep(POLL);
        }
    }

    /// Polls the status of all nodes, and returns how many answered. Of the other nodes the last status stays.
    pub(crate) fn poll(&mut self) -> Result<u64, Failure> {
        let mut answered = 0;
        for id in self.processes.keys().copied().collect::<Vec<_>>() {
            if self.processes.get_mut(&id).is_some_and(Process::has_ended) {
                return Err(self.recipe.told(id, &"it has ended by itself".into()));
            }
            if let Ok(Reply::Status(status)) = self.ask(id, &Ask::Status) {
                self.latest.insert(id, *status);
                answered += 1;
            }
        }
        Ok(answered)
    }

    /// Sends a request to one node.
    pub(crate) fn ask(&mut self, id: u64, ask: &Ask) -> Result<Reply, Failure> {
        let mut connection = match self.connections.remove(&id) {
            Some(connection) => connection,
            None => {
                let process = self.processes.get(&id).ok_or("the node is not there")?;
                Connection::open(process.address, PATIENCE)?
            }
        };
        let reply = connection.ask(ask)?;
        self.connections.insert(id, connection);
        Ok(reply)
    }

    /// The number of shards that a node leads, by its last status.
    pub(crate) fn led(&self, id: u64) -> u64 {
        self.latest.get(&id).map_or(0, |status| status.led)
    }

    /// The totals of all nodes; a lower bound, since the work of a killed node after its last status is not counted.
    pub(crate) fn total(&self) -> Status {
        let mut total = self.past;
        self.latest.values().for_each(|status| total.add(*status));
        total
    }

    /// Stops all nodes cleanly.
    pub(crate) fn stop(self) -> Result<(), Failure> {
        for (id, process) in self.processes {
            process.stop().map_err(|error| self.recipe.told(id, &error))?;
        }
        Ok(())
    }
}
