//! Measures how figures grow along an axis while all else stays the same, and prints or plots the curves.
//!
//! [`axis`] defines the axes, their points and what is measured at each; [`curve`] holds the results; [`plot`] draws
//! them. [`bars`] draws a run of workloads.

pub mod axis;
pub mod curve;
pub mod bars;
pub mod plot;

use std::{io::Write, path::PathBuf, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use self::{
    axis::Axis,
    curve::{Curves, Point},
};
use crate::{Result, cli, interrupt, machine::Machine, place::Place, system::System, workload::Round};

/// The measurements to take.
#[derive(Args, Debug)]
pub struct Request {
    /// The axis to measure [default: each in turn]
    #[arg(long, value_delimiter = ',')]
    pub axis: Vec<Axis>,

    /// The systems to run.
    #[arg(long, value_delimiter = ',', default_value = "logboom,raft-engine")]
    pub system: Vec<System>,

    /// Leaves out the points of an axis above this, but for its first.
    #[arg(long, value_name = "POINT", default_value_t = u64::MAX, hide_default_value = true)]
    pub most: u64,

    /// How long each round is measured, where it does not end by itself; a warm-up comes before it.
    #[arg(long, default_value = "2", value_parser = cli::seconds)]
    pub seconds: f64,

    /// How often each system runs at each point; the median of each figure is reported.
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,

    /// Where the logs are written, in a directory of their own that is removed afterwards [default: beside the build]
    #[arg(long)]
    pub dir: Option<PathBuf>,

    /// Prints one JSON object a line instead of tables; `logboom-bench plot` draws them.
    #[arg(long)]
    pub json: bool,
}

/// Measures, and prints a report to standard output; progress goes to the terminal, if there is one.
///
/// # Errors
/// The error of a round; [`interrupt::Interrupted`] when the user stopped the run.
pub fn run(request: &Request) -> Result<()> {
    interrupt::watch()?;
    let place = Place::new(request.dir.as_deref())?;
    let axes = if request.axis.is_empty() { Axis::ALL.to_vec() } else { request.axis.clone() };
    if axes.iter().all(|axis| systems(request, *axis).next().is_none()) {
        return Err("none of the systems can be measured along any of the axes".into());
    }
    let progress = progress(request, &axes)?;
    let mut curves = Curves::new(Machine::of(place.path()).to_string());
    for axis in axes {
        for at in axis.points(request.most) {
            for point in measure(request, &place, axis, at, &progress)? {
                if request.json {
                    progress.suspend(|| curves.print(&point, &mut std::io::stdout().lock()))?;
                }
                curves.add(point);
            }
        }
    }
    progress.finish_and_clear();
    if !request.json {
        writeln!(std::io::stdout().lock(), "{}", curves.tables())?;
    }
    Ok(())
}

/// Measures all rounds at one point. The systems take turns, so that a disk that slows down slows all of them.
fn measure(request: &Request, place: &Place, axis: Axis, at: u64, progress: &ProgressBar) -> Result<Vec<Point>> {
    let mut rounds: Vec<(System, Vec<_>)> = systems(request, axis).map(|system| (system, Vec::new())).collect();
    for number in 1..=request.rounds {
        for (system, figures) in &mut rounds {
            progress.set_message(format!("{at} {axis}, {system}, round {number} of {}", request.rounds));
            let (system, seconds) = (*system, request.seconds);
            let round = Round { system, place, seconds, rate: None, bytes: None, number };
            let measured = axis.measure(&round, at);
            interrupt::check()?;
            figures.push(measured.map_err(|error| format!("{at} {axis} on {system}: {error:#}"))?);
            progress.inc(1);
        }
    }
    Ok(rounds.into_iter().filter_map(|(system, rounds)| Point::median(axis, at, system, rounds)).collect())
}

fn systems(request: &Request, axis: Axis) -> impl Iterator<Item = System> {
    request.system.iter().copied().filter(move |system| axis.runs_on(*system))
}

fn progress(request: &Request, axes: &[Axis]) -> Result<ProgressBar> {
    let points = |axis: &Axis| axis.points(request.most).count() * systems(request, *axis).count();
    let bar = ProgressBar::new(axes.iter().map(points).sum::<usize>() as u64 * u64::from(request.rounds));
    bar.set_style(ProgressStyle::with_template("{bar:32} {pos}/{len} {elapsed} {msg}")?);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}
