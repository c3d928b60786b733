//! A run: clients send operations while nodes are killed and partitioned, one fault after the other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use logboom_rsm::Failure;

use crate::{
    client::{Client, Common},
    cluster::Cluster,
    history::{Operation, Watch},
    options::{NODES, RunOptions},
    process::Recipe,
    report::Report,
    verdict::Verdict,
};

/// Segments are small, so that they fill and are recycled within a run.
const SEGMENT_BYTES: u64 = 4 << 20;

/// The random choices of a run, and its progress.
struct Run<'o> {
    options: &'o RunOptions,
    chance: fastrand::Rng,
    cluster: Cluster,
    begun: Instant,
    report: Report,
}

/// Runs a cluster with these options. Returns false if a check failed.
pub(crate) fn run(options: &RunOptions) -> Result<bool, Failure> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    let shards = options.shards();
    say(&format!("{} shards on {:?}, seed {seed}", shards, options.core));
    let temporary = tempfile::Builder::new().prefix("logboom-cluster-").tempdir()?;
    let dir = options.dir.clone().unwrap_or_else(|| temporary.path().to_path_buf());
    std::fs::create_dir_all(&dir)?;

    let begun = Instant::now();
    let recipe = Recipe { arguments: node_arguments(options), dir };
    let mut run = Run {
        options,
        chance: fastrand::Rng::with_seed(seed),
        cluster: Cluster::start(recipe, shards)?,
        begun,
        report: Report::default(),
    };
    run.cluster.recover()?;
    run.event("every shard has a leader");
    let outcome = run.under_load(seed);
    if !matches!(outcome, Ok(true)) {
        say(&format!("the logs stay in {}", temporary.keep().display()));
    }
    outcome
}

fn node_arguments(options: &RunOptions) -> Vec<String> {
    let core = clap::ValueEnum::to_possible_value(&options.core).map(|value| value.get_name().to_owned());
    [
        ("--core", core.unwrap_or_default()),
        ("--shards", options.shards().to_string()),
        ("--tick-ms", options.tick_ms().to_string()),
        ("--segment-bytes", SEGMENT_BYTES.to_string()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .collect()
}

impl Run<'_> {
    fn under_load(mut self, seed: u64) -> Result<bool, Failure> {
        let watch = Watch::start();
        let stop = Arc::new(AtomicBool::new(false));
        let addresses = Arc::clone(&self.cluster.addresses);
        let common = Common { shards: self.options.shards(), watch, addresses, stop: Arc::clone(&stop) };
        let clients = (1..=self.options.clients).map(|id| {
            let client = Client::new(id, common.clone(), seed ^ u64::from(id) << 32);
            (id, thread::spawn(|| client.run()))
        });
        let clients = clients.collect();
        let trouble = self.trouble();
        self.report.seconds = watch.now() as f64 / 1e9;
        stop.store(true, Ordering::Relaxed);
        let history = join(clients);
        trouble?;
        let mut history = history?;
        self.cluster.recover()?;
        self.event("nobody writes any more");

        self.report.count(&history);
        let mut verdict = Verdict::reach(&mut self.cluster, self.options.shards(), &mut history, watch.now())?;
        verdict.weigh(self.options.clients, &history);
        self.cluster.poll()?;
        self.report.nodes = self.cluster.total();
        self.cluster.stop()?;
        say(&format!("\n{}\n{verdict}", self.report));
        Ok(verdict.is_good())
    }

    /// Injects faults until the run is long enough and has enough kills; the cluster recovers before the next fault.
    fn trouble(&mut self) -> Result<(), Failure> {
        let least = Duration::from_secs(self.options.seconds);
        while self.report.kills < self.options.kills || self.begun.elapsed() < least {
            let is_kill = self.report.kills < self.options.kills;
            match self.chance.u8(0..4) {
                0 => self.partition()?,
                _ if is_kill => self.kill()?,
                // All kills are done, and time is left: the clients run without faults.
                _ => thread::sleep(Duration::from_millis(500)),
            }
            self.cluster.poll()?;
        }
        Ok(())
    }

    /// Kills a process, and restarts it at once or after a while in which the others go on without it.
    fn kill(&mut self) -> Result<(), Failure> {
        let node = self.chance.u64(1..=NODES);
        let led = self.cluster.led(node);
        // At once, before the others notice, or when they have gone on without it.
        let ticks = match self.chance.u8(0..3) {
            0 => 0,
            1 => self.chance.u64(1..20),
            _ => self.chance.u64(20..80),
        };
        let down = ticks * self.options.tick_ms();
        let begun = Instant::now();
        self.cluster.kill(node)?;
        self.report.kills += 1;
        thread::sleep(Duration::from_millis(down));
        self.cluster.restart(node)?;
        let from_restart = self.cluster.recover()?;
        let from_kill = begun.elapsed();
        self.report.recoveries.push(from_kill);
        let what = format!(
            "kill {:>3}: node {node}, which led {led}; down {:.1} s, recovered {:.1} s after its restart",
            self.report.kills,
            (from_kill - from_restart).as_secs_f64(),
            from_restart.as_secs_f64()
        );
        self.event(&what);
        Ok(())
    }

    /// Cuts a node off from both others or from one, and at times kills a node meanwhile.
    fn partition(&mut self) -> Result<(), Failure> {
        let node = self.chance.u64(1..=NODES);
        let other = 1 + node % NODES;
        let what = if self.chance.bool() {
            self.cluster.isolate(node)?;
            format!("partition: node {node} was alone")
        } else {
            self.cluster.part(node, other)?;
            format!("partition: nodes {node} and {other} did not hear each other")
        };
        self.report.partitions += 1;
        let tick = Duration::from_millis(self.options.tick_ms());
        thread::sleep(tick * self.chance.u32(10..50));
        let mut killed = String::new();
        if self.report.kills < self.options.kills && self.chance.u8(0..3) == 0 {
            self.cluster.kill(other)?;
            self.report.kills += 1;
            self.cluster.restart(other)?;
            killed = format!(", node {other} was killed (kill {})", self.report.kills);
        }
        self.cluster.heal()?;
        let recovered = self.cluster.recover()?;
        self.event(&format!("{what}{killed}; recovered {:.1} s after its end", recovered.as_secs_f64()));
        Ok(())
    }

    fn event(&self, what: &str) {
        say(&format!("{:7.1} s  {what}", self.begun.elapsed().as_secs_f64()));
    }
}

/// Waits for the clients, and returns their histories, each in the order of its client's operations.
///
/// # Errors
/// If a client has panicked: its history is lost, and the answers of the others cannot be checked without it.
fn join(clients: Vec<(u32, JoinHandle<Vec<Operation>>)>) -> Result<Vec<Operation>, Failure> {
    let mut history = Vec::new();
    // Join all clients, even if the first has panicked.
    let outcomes: Vec<_> = clients.into_iter().map(|(id, client)| (id, client.join())).collect();
    for (id, outcome) in outcomes {
        history.extend(outcome.map_err(|_| format!("client {id} has panicked"))?);
    }
    Ok(history)
}

#[expect(clippy::print_stdout, reason = "the command tells what it does")]
fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_panics_is_no_client_without_a_history() {
        let fine = || (1, thread::spawn(Vec::new));
        let panics = (2, thread::spawn(|| panic!("a test's")));
        assert_eq!(join(vec![fine(), panics]).unwrap_err().to_string(), "client 2 has panicked");
        assert_eq!(join(vec![fine()]).unwrap(), []);
    }
}
