//! `Process`: a process of the cluster, which the parent starts, orders, and kills.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use logboom_rsm::Failure;

use crate::{
    options::NODES,
    wire::{Ask, Reply, read_frame, write_frame},
};

/// The number of `SIGKILL`, which a process cannot catch.
const SIGKILL: i32 = 9;

/// A node's process, which is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    orders: ChildStdin,
    said: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

/// How nodes are started: they differ only in number and directory.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) arguments: Vec<String>,
    pub(crate) dir: PathBuf,
}

impl Recipe {
    /// Starts a node on its directory, in any state, and waits until it listens.
    pub(crate) fn start(&self, id: u64) -> Result<Process, Failure> {
        let log = File::options().create(true).append(true).open(self.log(id))?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["node", "--id", &id.to_string(), "--dir"])
            .arg(self.dir.join(format!("node-{id}")))
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let orders = child.stdin.take().ok_or("no standard input")?;
        let mut said = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening ");
        let address = address.ok_or_else(|| format!("node {id} does not start: see {}", self.log(id).display()))?;
        Ok(Process { orders, said, address: address.parse()?, child })
    }

    /// Adds the node and its log file to an error.
    pub(crate) fn told(&self, id: u64, error: &Failure) -> Failure {
        format!("node {id}: {error:#}; see {}", self.log(id).display()).into()
    }

    /// The file for the node's standard error output.
    pub(crate) fn log(&self, id: u64) -> PathBuf {
        Path::join(&self.dir, format!("node-{id}.log"))
    }
}

impl Process {
    /// Sends `SIGKILL`: data in the memory of the process is not written any more.
    ///
    /// # Errors
    /// If the process had ended for another reason before: that is a fault to be reported.
    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill()?;
        let status = self.child.wait()?;
        if status.signal() == Some(SIGKILL) { Ok(()) } else { Err(format!("it had ended with {status}").into()) }
    }

    /// Sends an order, and waits until the node has followed it.
    ///
    /// # Errors
    /// If the process is gone, or answers something else.
    pub(crate) fn order(&mut self, order: &str) -> Result<(), Failure> {
        self.tell(order, "done").map_err(|error| format!("the order {order:?}: {error:#}").into())
    }

    fn tell(&mut self, order: &str, answer: &str) -> Result<(), Failure> {
        writeln!(self.orders, "{order}")?;
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        if line.trim() == answer { Ok(()) } else { Err(format!("it says {:?}", line.trim()).into()) }
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Tells the node to close its engine, and waits for the process to end.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        self.tell("stop", "stopped")?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("it ended with {status}").into()) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The order that tells a node the addresses of all nodes.
pub(crate) fn peers(processes: &BTreeMap<u64, Process>) -> String {
    let at = |(id, process): (&u64, &Process)| format!(" {id}={}", process.address);
    format!("peers{}", processes.iter().map(at).collect::<String>())
}

/// The order that cuts a node off from `others`.
pub(crate) fn cut(others: &[u64]) -> String {
    format!("cut{}", others.iter().map(|id| format!(" {id}")).collect::<String>())
}

/// All nodes but this one.
pub(crate) fn others(id: u64) -> Vec<u64> {
    (1..=NODES).filter(|other| *other != id).collect()
}

/// A client's connection to a node, with one request at a time.
#[derive(Debug)]
pub(crate) struct Connection(TcpStream);

impl Connection {
    /// Connects. The connection and each answer may take at most `patience`.
    pub(crate) fn open(address: SocketAddr, patience: Duration) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(&0_u64.to_le_bytes())?;
        Ok(Self(stream))
    }

    /// Sends a request, and waits for the answer. After an error the outcome of the request is unknown, and the
    /// connection must not be used again, since the late answer may still arrive.
    pub(crate) fn ask(&mut self, ask: &Ask) -> Result<Reply, Failure> {
        write_frame(&mut self.0, &ask.encode())?;
        Reply::decode(read_frame(&mut self.0)?.ok_or("the node is gone")?)
    }
}
