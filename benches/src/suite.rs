//! Runs workloads round by round, on one system after the other.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    Result, interrupt,
    machine::Machine,
    place::Place,
    report::{self, Comparison, Contender},
    system::System,
    tail,
    workload::{self, Round, Workload},
};

/// The workloads and systems to run, and how.
#[derive(Debug)]
pub struct Plan {
    /// The workloads, in order.
    pub workloads: Vec<&'static Workload>,
    /// The workloads of the log tail, which run after the others.
    pub tails: Vec<&'static tail::Workload>,
    /// The systems, in order.
    pub systems: Vec<System>,
    /// The duration of each round's measurement, in seconds.
    pub seconds: f64,
    /// The number of rounds of each system.
    pub rounds: u32,
    /// The directory for the logs; beside the build if `None`.
    pub dir: Option<PathBuf>,
    /// Whether to print JSON instead of a table.
    pub json: bool,
    /// The file for the latencies.
    pub hist: Option<PathBuf>,
    /// Operations per second, over all blocking writers.
    pub rate: Option<u32>,
    /// The size of workloads that have one, in bytes.
    pub bytes: Option<u64>,
    /// The rows of workloads of the log tail that have some before they begin.
    pub rows: Option<u64>,
}

impl Plan {
    /// The standard suite: about three minutes.
    pub fn standard() -> Self {
        let names = ["sync-1x1k", "sync-64x1k", "store-1024x256", "recover-1g", "read-hot"];
        Plan {
            workloads: names.into_iter().filter_map(workload::find).collect(),
            tails: Vec::new(),
            systems: vec![System::Logboom, System::RaftEngine, System::Floor],
            seconds: 1.5,
            rounds: 3,
            dir: None,
            json: false,
            hist: None,
            rate: None,
            bytes: None,
            rows: None,
        }
    }

    fn check(&self) -> Result<()> {
        self.check_tails()?;
        let refuses = |takes: fn(&Workload) -> bool| self.workloads.iter().find(|workload| !takes(workload));
        match (refuses(Workload::takes_rate), refuses(Workload::takes_size)) {
            (Some(workload), _) if self.rate.is_some() => Err(format!("{} takes no --rate", workload.name).into()),
            (_, Some(workload)) if self.bytes.is_some() => Err(format!("{} takes no --gib", workload.name).into()),
            _ if self.tails.is_empty()
                && self.workloads.iter().all(|workload| self.systems_of(workload).is_empty()) =>
            {
                Err(format!("nothing is left to run. {}", self.left_out().join(" ")).into())
            }
            _ => Ok(()),
        }
    }

    /// Whether the workloads of the log tail are in this build, and take the options.
    fn check_tails(&self) -> Result<()> {
        let given = [(self.rate.is_some(), "--rate"), (self.bytes.is_some(), "--gib"), (self.hist.is_some(), "--hist")];
        let refused = given.into_iter().find(|(given, _)| *given);
        match (self.tails.first(), self.workloads.first(), refused) {
            (Some(tail), ..) if !tail::IS_BUILT => Err(tail.missing().into()),
            (Some(tail), _, Some((_, option))) => Err(format!("{} takes no {option}", tail.name).into()),
            (_, Some(workload), _) if self.rows.is_some() => Err(format!("{} takes no --rows", workload.name).into()),
            _ => Ok(()),
        }
    }

    /// The combinations that cannot run, as lines that state the reason.
    fn left_out(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for workload in &self.workloads {
            for system in self.systems.iter().filter(|system| !workload.runs_on(**system)) {
                lines.push(format!("{} is not run on {system}, which {}.", workload.name, system.reach().reason()));
            }
        }
        lines
    }

    fn systems_of(&self, workload: &Workload) -> Vec<System> {
        self.systems.iter().copied().filter(|system| workload.runs_on(*system)).collect()
    }
}

/// Runs the plan and prints a report to standard output; progress goes to the terminal, if there is one.
///
/// # Errors
/// [`interrupt::Interrupted`] when the user stopped the run. The files are removed in any case.
pub fn run(plan: Plan) -> Result<()> {
    plan.check()?;
    interrupt::watch()?;
    let place = Place::new(plan.dir.as_deref())?;
    // Created before the rounds, so that a wrong path fails at once, and not after minutes of measuring.
    let mut hist = plan.hist.as_deref().map(create).transpose()?;
    let progress = progress(&plan)?;
    let mut comparisons = Vec::new();
    for workload in &plan.workloads {
        let comparison = compare(&plan, workload, &place, &progress)?;
        if plan.json {
            progress.suspend(|| comparison.print_json(&mut std::io::stdout().lock()))?;
        }
        comparisons.push(comparison);
    }
    let reports = run_tails(&plan, &place, &progress)?;
    progress.finish_and_clear();
    if let Some(hist) = &mut hist {
        report::write_histograms(&comparisons, hist)?;
    }
    if !plan.json {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{}", Machine::of(place.path()))?;
        if !comparisons.is_empty() {
            writeln!(stdout, "\n{}", report::table(&comparisons))?;
        }
        reports.iter().try_for_each(|report| report.print(&mut stdout))?;
        if let Some(caveat) = report::caveat(&comparisons) {
            writeln!(stdout, "\n{caveat}")?;
        }
        plan.left_out().iter().try_for_each(|line| writeln!(stdout, "\n{line}"))?;
    } else {
        plan.left_out().iter().for_each(|line| eprintln!("{line}"));
    }
    Ok(())
}

/// Runs the workloads of the log tail, each with all of its rounds in this process.
fn run_tails(plan: &Plan, place: &Place, progress: &ProgressBar) -> Result<Vec<tail::Report>> {
    let mut reports = Vec::new();
    for workload in &plan.tails {
        progress.set_message(workload.name);
        let Plan { seconds, rounds, rows, .. } = *plan;
        let report = workload.run(&tail::Request { place, seconds, rounds, rows });
        interrupt::check()?;
        let report = report.map_err(|error| format!("{}: {error:#}", workload.name))?;
        if plan.json {
            progress.suspend(|| report.print_json(&mut std::io::stdout().lock()))?;
        }
        reports.push(report);
    }
    Ok(reports)
}

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(|error| format!("{}: {error:#}", path.display()).into())
}

/// Runs all rounds of a workload. The systems take turns, so that a disk that slows down slows all of them.
fn compare(plan: &Plan, workload: &Workload, place: &Place, progress: &ProgressBar) -> Result<Comparison> {
    let mut contenders: Vec<_> = plan.systems_of(workload).into_iter().map(Contender::new).collect();
    for number in 1..=plan.rounds {
        for contender in &mut contenders {
            let system = contender.system;
            progress.set_message(format!("{} {system}, round {number} of {}", workload.name, plan.rounds));
            let Plan { seconds, rate, bytes, .. } = *plan;
            let round = Round { system, place, seconds, rate, bytes, number };
            let outcome = workload.round(&round);
            interrupt::check()?;
            contender.rounds.push(outcome.map_err(|error| format!("{} on {system}: {error:#}", workload.name))?);
            progress.inc(1);
        }
    }
    Ok(Comparison::new(workload.name, contenders))
}

fn progress(plan: &Plan) -> Result<ProgressBar> {
    let contenders: usize = plan.workloads.iter().map(|workload| plan.systems_of(workload).len()).sum();
    let bar = ProgressBar::new(contenders as u64 * u64::from(plan.rounds));
    bar.set_style(ProgressStyle::with_template("{bar:32} {pos}/{len} {elapsed} {msg}")?);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_system_cannot_do_is_said() {
        let workloads = ["sync-1x1k", "read-hot", "snapshot-4g"].into_iter().filter_map(workload::find).collect();
        let left_out = Plan { workloads, ..Plan::standard() }.left_out();
        assert_eq!(left_out.len(), 3, "{left_out:?}");
        for (line, part) in
            left_out.iter().zip(["read-hot is not run on floor", "raft-engine, which has no snap", "floor"])
        {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
}
