//! `Job`: one round of one system, in a child process.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Signal, set_parent_process_death_signal},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Result, interrupt,
    latency::Latencies,
    load::Measured,
    system::System,
    usage,
    workload::{Shape, laggards, memory, read, recover, snapshot, store, sync},
};

/// The job of a child process.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Job {
    /// The system to run.
    pub system: System,
    /// The directory of its log.
    pub dir: PathBuf,
    /// The duration of the measurement, in seconds.
    pub seconds: f64,
    /// Operations per second, over all writers.
    pub rate: Option<u32>,
    /// What to do.
    pub task: Task,
}

/// The task of a child process.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Task {
    /// See [`sync`].
    Sync(sync::Load),
    /// See [`store`].
    Store(store::Load),
    /// See [`laggards`].
    Laggards(laggards::Load),
    /// See [`snapshot`].
    Snapshot(snapshot::Load),
    /// Writes a log of this shape and reports; then closes it, or goes on writing until the child is killed.
    Fill {
        /// The content to write.
        shape: Shape,
        /// Whether to go on writing until the child is killed.
        linger: bool,
    },
    /// See [`recover`].
    Reopen(Shape),
    /// See [`read::hot`].
    ReadHot(Shape),
    /// See [`read::cold`].
    ReadCold(Shape),
    /// See [`memory`].
    Weigh(Shape),
}

impl Job {
    /// Runs the job in a child process and returns what it measured.
    pub fn run(&self) -> Result<Outcome> {
        let mut child = self.start()?;
        let outcome = child.outcome()?;
        child.finish()?;
        Ok(outcome)
    }

    /// Starts the job in a child process.
    pub fn start(&self) -> Result<Running> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("child").arg(serde_json::to_string(self)?).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or("the child has no output")?;
        Ok(Running { child, stdout: BufReader::new(stdout) })
    }

    fn measure(&self) -> Result<Outcome> {
        match &self.task {
            Task::Sync(load) => sync::measure(self, load),
            Task::Store(load) => store::measure(self, load),
            Task::Laggards(load) => laggards::measure(self, load),
            Task::Snapshot(load) => snapshot::measure(self, load),
            Task::Fill { shape, linger } => shape.fill(self, *linger),
            Task::Reopen(shape) => recover::measure(self, shape),
            Task::ReadHot(shape) => read::hot(self, shape),
            Task::ReadCold(shape) => read::cold(self, shape),
            Task::Weigh(shape) => memory::measure(self, shape),
        }
    }
}

/// A job in a child process, which is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    /// Waits for the outcome of the job.
    ///
    /// # Errors
    /// If the child ends without an outcome; [`interrupt::Interrupted`] when the user stops the run.
    pub fn outcome(&mut self) -> Result<Outcome> {
        while !self.has_spoken() {
            interrupt::check()?;
        }
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            return Err(format!("the child ended without a result: {}", self.child.wait()?).into());
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// Kills the child as `kill -9` does, and waits until it has ended.
    ///
    /// # Errors
    /// If the child had already ended by itself: then it was not killed in the middle of its work.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        match self.child.wait()? {
            status if status.signal() == Some(Signal::KILL.as_raw()) => Ok(()),
            status => Err(format!("the child had ended before it was killed: {status}").into()),
        }
    }

    /// Waits a while, and returns whether the child has printed something or ended.
    fn has_spoken(&self) -> bool {
        let mut stdout = [PollFd::new(self.stdout.get_ref(), PollFlags::IN)];
        // An interrupted wait counts as one without output.
        poll(&mut stdout, Some(&LOOK)).is_ok_and(|ready| ready > 0)
    }

    fn finish(mut self) -> Result<()> {
        match self.child.wait()? {
            status if status.success() => Ok(()),
            status => Err(format!("the child failed: {status}").into()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that the child has already ended, and after the kill no output is needed.
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}

/// The interval at which a stop by the user is noticed.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// The measurements of one round.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Outcome {
    /// The number of operations.
    pub ops: u64,
    /// The bytes of payload that they moved.
    pub bytes: u64,
    /// The time of all operations together.
    pub elapsed: Duration,
    /// The processor time that they used.
    pub cpu: Duration,
    /// The peak resident memory, in bytes.
    pub peak_rss_bytes: u64,
    /// The latency of each operation.
    pub latencies: Latencies,
    /// The workload's own figures, which are compared between systems.
    pub figures: Map<String, Value>,
    /// The circumstances of the figures, which are reported and not compared.
    pub notes: Map<String, Value>,
}

impl Outcome {
    /// The outcome of `measured` operations that moved `payload` bytes each.
    ///
    /// # Errors
    /// If there were no operations: zeros would be reported as if something had taken no time.
    pub fn of(measured: Measured, payload: u64) -> Result<Self> {
        let Measured { tally, elapsed, cpu } = measured;
        if tally.ops == 0 {
            return Err(format!("no operation was completed within the {elapsed:.1?} that were measured").into());
        }
        let (ops, bytes) = (tally.ops, tally.ops * payload);
        Ok(Outcome { ops, bytes, elapsed, cpu, latencies: tally.latencies, ..Outcome::default() })
    }

    /// Operations per second.
    pub fn ops_per_s(&self) -> f64 {
        self.ops as f64 / self.elapsed.as_secs_f64()
    }

    /// Adds one of the workload's own figures.
    pub fn figure(&mut self, name: &str, value: f64) {
        self.figures.insert(name.to_owned(), Value::from(round(value)));
    }

    /// Adds a circumstance.
    pub fn note(&mut self, name: &str, value: impl Into<Value>) {
        self.notes.insert(name.to_owned(), value.into());
    }
}

/// Rounds to three decimals, which is more than the precision of any measurement here.
pub fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Performs a job in this process: the child's side of [`Job::start`].
pub fn serve(job: &str) -> Result<()> {
    // The child of a killed parent must not go on writing.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let job: Job = serde_json::from_str(job)?;
    report(job.measure()?)
}

/// Prints an outcome for the parent.
pub fn report(mut outcome: Outcome) -> Result<()> {
    outcome.peak_rss_bytes = usage::peak_rss_bytes();
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(&outcome)?)?;
    Ok(stdout.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Tally;

    #[test]
    fn a_window_without_an_operation_gives_no_figures() {
        let measured = |tally| Measured { tally, elapsed: Duration::from_secs(3), cpu: Duration::ZERO };
        let error = Outcome::of(measured(Tally::default()), 10).unwrap_err();
        assert!(error.to_string().contains("no operation"), "{error}");
        let one = Tally { ops: 1, ..Tally::default() };
        assert_eq!(Outcome::of(measured(one), 10).unwrap().bytes, 10);
    }

    #[test]
    fn a_child_that_had_ended_was_not_killed() {
        let start = |command: &str| {
            let mut child = Command::new("sh").args(["-c", command]).stdout(Stdio::piped()).spawn().unwrap();
            let stdout = BufReader::new(child.stdout.take().unwrap());
            Running { child, stdout }
        };
        start("echo {}; sleep 100").kill().unwrap();
        let mut ended = start("exit 3");
        ended.child.wait().unwrap();
        assert!(ended.kill().unwrap_err().to_string().contains("exit status: 3"));
    }
}
