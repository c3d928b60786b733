//! `logboom-bench device`: measures a disk for a log.
//!
//! [`survey`] measures within a minute what decides the log's defaults, and [`advice`] compares the defaults that the
//! log takes on this disk with it; [`grid`] measures every combination, for a record.

pub mod shots;
pub mod survey;
pub mod advice;
pub mod grid;
pub mod patience;

use std::{io::Write, path::PathBuf, time::Duration};

use clap::Args;

use self::{advice::Row, grid::Grid, patience::Patience, shots::Extent, survey::Survey};
use crate::{Result, interrupt, machine::Machine, place::Place};

/// The measurements to take, and how to print them.
#[derive(Args, Debug)]
pub struct Request {
    /// Where to write up to 300 MB, in a directory of its own that is removed afterwards.
    pub dir: PathBuf,

    /// Measures backend x sync method x depth x size x preparation of the file, two to three minutes, without advice.
    #[arg(long)]
    pub grid: bool,

    /// Prints Markdown, to be recorded.
    #[arg(long)]
    pub markdown: bool,

    /// For how many seconds to wait, in all, for moments when other processes leave the machine alone.
    #[arg(long, default_value = "0")]
    pub patience: u64,

    /// Only shows that everything runs; the figures mean little.
    #[arg(long)]
    pub quick: bool,
}

/// Measures and reports to the standard output; progress goes to the terminal, if there is one.
///
/// # Errors
/// If the directory cannot be written to, or is in memory; [`interrupt::Interrupted`] when the user stopped the run.
pub fn run(request: &Request) -> Result<()> {
    interrupt::watch()?;
    let place = Place::new(Some(&request.dir))?;
    let mut patience = Patience::new(Duration::from_secs(request.patience));
    if request.grid { run_grid(request, &place, &mut patience) } else { run_survey(request, &place, &mut patience) }
}

const QUICK: Extent = Extent { passes: 1, time: Duration::from_millis(15) };
const MINUTE: Extent = Extent { passes: 3, time: Duration::from_millis(300) };
const GRID: Extent = Extent { passes: 3, time: Duration::from_millis(120) };

/// The size of the file for the sequential write and read.
const FILE_BYTES: u64 = 256 << 20;
const QUICK_FILE_BYTES: u64 = 8 << 20;

fn run_survey(request: &Request, place: &Place, patience: &mut Patience) -> Result<()> {
    let (extent, bytes) = if request.quick { (QUICK, QUICK_FILE_BYTES) } else { (MINUTE, FILE_BYTES) };
    let survey = Survey::of(place, extent, bytes, patience)?;
    let rows = advice::rows(&survey);
    let mut out = std::io::stdout().lock();
    head(request, place, &survey.facts, &mut out)?;
    writeln!(out, "{}\n", advice::table(&rows))?;
    disturbance(patience, survey.shots.count(), &mut out)?;
    objections(&rows, &mut out)
}

fn run_grid(request: &Request, place: &Place, patience: &mut Patience) -> Result<()> {
    let facts = logboom_disk::open(place.path(), &logboom_disk::DiskOptions::default())?.facts().clone();
    let (grid, extent) = if request.quick { (Grid::QUICK, QUICK) } else { (Grid::FULL, GRID) };
    let shots = shots::measure(place, &grid.cells(), extent, patience)?;
    let mut out = std::io::stdout().lock();
    head(request, place, &facts, &mut out)?;
    writeln!(out, "Cells: writes per second, bandwidth, p50/p99 of a durable write in microseconds.\n")?;
    disturbance(patience, shots.count(), &mut out)?;
    let heading = if request.markdown { "## " } else { "" };
    for size in grid.sizes {
        let table = grid.table(*size, &shots);
        writeln!(out, "{heading}{} KiB a write, by writes in flight\n\n{table}\n", size >> 10)?;
    }
    Ok(())
}

fn head(request: &Request, place: &Place, facts: &logboom_disk::Facts, out: &mut impl Write) -> Result<()> {
    let fence = if request.markdown { "```\n" } else { "" };
    Ok(writeln!(out, "{}\n\n{fence}{facts}\n{fence}", Machine::of(place.path()))?)
}

fn disturbance(patience: &Patience, total: usize, out: &mut impl Write) -> Result<()> {
    match patience.disturbed() {
        0 => Ok(()),
        some => Ok(writeln!(out, "Other processes disturbed {some} of {total} measurements.\n")?),
    }
}

fn objections(rows: &[Row], out: &mut impl Write) -> Result<()> {
    let objections: Vec<_> = rows.iter().filter_map(|row| Some((row.default, row.objection.as_ref()?))).collect();
    if objections.is_empty() {
        return Ok(writeln!(out, "Nothing that was measured speaks against a default.")?);
    }
    for (default, objection) in objections {
        writeln!(out, "Worth a look: {default}: {objection}.")?;
    }
    Ok(())
}
