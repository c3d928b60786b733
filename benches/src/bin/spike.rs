//! `logboom-spike`: what the disk below a directory gives, by backend, sync method, depth and preparation.
//!
//! The defaults of the log follow from its tables; those of the machines they were chosen on are in `record/`.

#![forbid(unsafe_code)]

use std::{collections::BTreeMap, io::Write, path::PathBuf, process::ExitCode, sync::Arc, thread, time::Duration};

use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use logboom_bench::{
    Result, interrupt,
    load::{Window, drive},
    machine::Machine,
    place::Place,
    stream::{Manner, Method, Preparation, Source, Stream, Track},
    usage,
};
use logboom_disk::{BackendChoice, Disk, DiskOptions};

/// Measures durable writes: backend x sync method x depth x size x preparation of the file.
///
/// Takes two to three minutes and 300 MB, which are removed.
#[derive(Debug, Parser)]
#[command(name = "logboom-spike", version)]
struct Cli {
    /// Where to write, in a directory of its own that is removed afterwards.
    dir: PathBuf,

    /// Prints Markdown, to be recorded.
    #[arg(long)]
    markdown: bool,

    /// For how many seconds to wait, in all, for moments when other processes leave the machine alone.
    #[arg(long, default_value = "0")]
    patience: u64,

    /// Only shows that everything runs; the figures mean little.
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    interrupt::watch()?;
    let place = Place::new(Some(&cli.dir))?;
    let extent = if cli.quick { Extent::QUICK } else { Extent::FULL };
    let mut spike = Spike::new(&place, extent, Patience::new(Duration::from_secs(cli.patience)))?;
    for _ in 0..extent.passes {
        spike.pass()?;
    }
    spike.progress.finish_and_clear();
    spike.print(cli.markdown, &mut std::io::stdout().lock())
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Extent {
    passes: u32,
    time: Duration,
    sizes: &'static [usize],
    depths: &'static [usize],
}

impl Extent {
    /// The median of passes that lie far apart, since other load comes and goes.
    const FULL: Extent = Extent {
        passes: 3,
        time: Duration::from_millis(120),
        sizes: &[4 << 10, 64 << 10, 256 << 10],
        depths: &[1, 2, 4, 8, 16],
    };
    const QUICK: Extent =
        Extent { passes: 1, time: Duration::from_millis(15), sizes: &[4 << 10, 64 << 10], depths: &[1, 4] };
}

/// What is varied, in the order in which the tables show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    size: usize,
    preparation: usize,
    backend: usize,
    method: usize,
    depth: usize,
}

const PREPARATIONS: [Preparation; 3] = [Preparation::Allocated, Preparation::Zeroed, Preparation::Recycled];
const BACKENDS: [(&str, Option<BackendChoice>); 3] =
    [("ring", Some(BackendChoice::Ring)), ("blocking", Some(BackendChoice::Blocking)), ("inline", None)];
const METHODS: [Method; 3] = [Method::Dsync, Method::Batched, Method::Rolling];

/// The result of one pass over one cell.
#[derive(Clone, Copy, Debug)]
struct Shot {
    writes_per_s: f64,
    p50_us: f64,
    p99_us: f64,
}

struct Spike<'a> {
    place: &'a Place,
    extent: Extent,
    facts: String,
    patience: Patience,
    shots: BTreeMap<Cell, Vec<Shot>>,
    progress: ProgressBar,
}

impl<'a> Spike<'a> {
    fn new(place: &'a Place, extent: Extent, patience: Patience) -> Result<Self> {
        let facts = logboom_disk::open(place.path(), &DiskOptions::default())?.facts().to_string();
        let total = extent.passes as usize * BACKENDS.len() * extent.sizes.len() * PREPARATIONS.len();
        let progress = ProgressBar::new(total as u64);
        progress.set_style(ProgressStyle::with_template("{bar:32} {pos}/{len} {elapsed} {msg}")?);
        Ok(Spike { place, extent, facts, patience, shots: BTreeMap::new(), progress })
    }

    fn pass(&mut self) -> Result<()> {
        for (backend, (name, choice)) in BACKENDS.into_iter().enumerate() {
            let options = DiskOptions { backend: choice.unwrap_or(BackendChoice::Blocking), ..DiskOptions::default() };
            self.progress.set_message(name);
            match logboom_disk::open(self.place.path(), &options) {
                Ok(disk) => self.all_of_backend(backend, &disk)?,
                Err(error) => self.progress.suspend(|| eprintln!("{name} is left out: {error}")),
            }
        }
        Ok(())
    }

    fn all_of_backend(&mut self, backend: usize, disk: &Arc<dyn Disk>) -> Result<()> {
        for size in self.extent.sizes {
            for (preparation, kind) in PREPARATIONS.into_iter().enumerate() {
                let mut tracks = Tracks { disk, size: *size, kind, recycled: None };
                for method in 0..METHODS.len() {
                    for depth in self.extent.depths {
                        let cell = Cell { size: *size, preparation, backend, method, depth: *depth };
                        self.shoot(cell, &mut tracks)?;
                    }
                }
                self.progress.inc(1);
            }
        }
        Ok(())
    }

    fn shoot(&mut self, cell: Cell, tracks: &mut Tracks<'_>) -> Result<()> {
        let inline = BACKENDS[cell.backend].1.is_none();
        if inline && (cell.depth > 1 || METHODS[cell.method] == Method::Rolling) {
            return Ok(());
        }
        let manner = Manner { inline, method: METHODS[cell.method], depth: cell.depth, coalesced: 1 };
        let measured = loop {
            interrupt::check()?;
            let track = tracks.next()?;
            self.patience.wait();
            let stream = Stream::new(track, manner, Source::Endless, cell.size);
            let before = usage::user_of_all();
            let measured = drive(&mut [stream], Window { warmup: Duration::ZERO, measured: self.extent.time })?;
            if self.patience.accepts(usage::user_of_all() - before, measured.elapsed) {
                break measured;
            }
        };
        let latencies = &measured.tally.latencies;
        let (p50_us, p99_us) = (latencies.quantile_us(0.5), latencies.quantile_us(0.99));
        self.shots.entry(cell).or_default().push(Shot { writes_per_s: measured.rate(), p50_us, p99_us });
        Ok(())
    }

    fn print(&self, markdown: bool, out: &mut impl Write) -> Result<()> {
        let (heading, fence) = if markdown { ("## ", "```\n") } else { ("", "") };
        writeln!(out, "{}\n\n{fence}{}\n{fence}", Machine::of(self.place.path()), self.facts)?;
        writeln!(out, "Cells: writes per second, bandwidth, p50/p99 of a durable write in microseconds.\n")?;
        if self.patience.disturbed > 0 {
            let total: usize = self.shots.values().map(Vec::len).sum();
            writeln!(out, "Other processes disturbed {} of {total} measurements.\n", self.patience.disturbed)?;
        }
        for size in self.extent.sizes {
            writeln!(out, "{heading}{} KiB a write, by writes in flight\n\n{}\n", size >> 10, self.table(*size))?;
        }
        Ok(())
    }

    fn table(&self, size: usize) -> Table {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        let depths = self.extent.depths.iter().map(ToString::to_string);
        table.set_header(["segment", "backend", "sync"].map(str::to_owned).into_iter().chain(depths));
        for (preparation, kind) in PREPARATIONS.into_iter().enumerate() {
            for (backend, (name, _)) in BACKENDS.into_iter().enumerate() {
                for (method, by) in METHODS.into_iter().enumerate() {
                    let cell = |depth: &usize| self.text(Cell { size, preparation, backend, method, depth: *depth });
                    let cells: Vec<_> = self.extent.depths.iter().map(cell).collect();
                    if cells.iter().any(|cell| !cell.is_empty()) {
                        table.add_row([kind.to_string(), name.to_owned(), by.to_string()].into_iter().chain(cells));
                    }
                }
            }
        }
        table.column_iter_mut().skip(3).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        table
    }

    /// The median pass of a cell.
    fn text(&self, cell: Cell) -> String {
        let mut shots = self.shots.get(&cell).cloned().unwrap_or_default();
        shots.sort_by(|one, other| one.writes_per_s.total_cmp(&other.writes_per_s));
        shots.get(shots.len() / 2).map_or_else(String::new, |shot| {
            let megabytes = shot.writes_per_s * cell.size as f64 / 1e6;
            let (thousands, p50, p99) = (shot.writes_per_s / 1e3, shot.p50_us, shot.p99_us);
            format!("{thousands:.1}k {megabytes:.0} MB/s {p50:.0}/{p99:.0}")
        })
    }
}

/// Waits for quiet, as long as there is time for it. Other processes that use the processors delay completions by
/// whole ticks, which says nothing about the disk.
struct Patience {
    left: Duration,
    disturbed: usize,
}

impl Patience {
    fn new(left: Duration) -> Self {
        Patience { left, disturbed: 0 }
    }

    /// Waits until a moment passes in which the processors were mostly idle.
    fn wait(&mut self) {
        while !self.left.is_zero() {
            let before = usage::user_of_all();
            thread::sleep(MOMENT);
            if usage::user_of_all() - before <= MOMENT / 4 {
                return;
            }
            self.left = self.left.saturating_sub(MOMENT);
        }
    }

    /// Whether a measurement counts, during which all processes, this one included, used so much time.
    fn accepts(&mut self, used: Duration, elapsed: Duration) -> bool {
        let quiet = used <= elapsed / 2;
        if !quiet && self.left > elapsed {
            self.left -= elapsed;
            return false;
        }
        self.disturbed += usize::from(!quiet);
        true
    }
}

const MOMENT: Duration = Duration::from_millis(40);

/// The files of one size and preparation.
struct Tracks<'a> {
    disk: &'a Arc<dyn Disk>,
    size: usize,
    kind: Preparation,
    recycled: Option<Track>,
}

impl Tracks<'_> {
    /// A fresh file, since only the first write to a place finds it as it was prepared; a recycled one stays.
    fn next(&mut self) -> Result<Track> {
        if let Some(track) = &self.recycled {
            return Ok(track.clone());
        }
        let recycled = self.kind == Preparation::Recycled;
        let bytes = (self.size as u64 * WRITES).clamp(TRACK_MIN, TRACK_MAX);
        let track = Track::prepare(self.disk, TRACK, bytes, self.kind, recycled)?;
        self.recycled = recycled.then(|| track.clone());
        Ok(track)
    }
}

const TRACK: &str = "track";
const WRITES: u64 = 2048;
const TRACK_MIN: u64 = 64 << 20;
const TRACK_MAX: u64 = 256 << 20;
