//! `Shots`: measurements of durable writes, for each way of writing.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use logboom_disk::{BackendChoice, Disk, DiskOptions};

use super::patience::Patience;
use crate::{
    Result, interrupt,
    load::{Window, drive},
    place::Place,
    stream::{Manner, Method, Preparation, Source, Stream, Track},
    usage,
};

/// One way of writing. The order is that of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The bytes of a write.
    pub size: usize,
    /// How the file was prepared.
    pub preparation: Preparation,
    /// How writes reach the device.
    pub way: IoPath,
    /// How writes are made durable.
    pub method: Method,
    /// The number of writes in flight.
    pub depth: usize,
    /// See [`Manner::gated`].
    pub gated: bool,
}

/// How writes reach the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IoPath {
    /// Through io_uring.
    Ring,
    /// Through the threads of the blocking queue.
    Blocking,
    /// Directly in the thread that writes.
    Inline,
}

impl IoPath {
    /// All ways.
    pub const ALL: [IoPath; 3] = [IoPath::Ring, IoPath::Blocking, IoPath::Inline];

    fn options(self) -> DiskOptions {
        let backend = if self == IoPath::Ring { BackendChoice::Ring } else { BackendChoice::Blocking };
        {
            let mut options = DiskOptions::default();
            options.backend = backend;
            options
        }
    }
}

impl fmt::Display for IoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IoPath::Ring => "ring",
            IoPath::Blocking => "blocking",
            IoPath::Inline => "inline",
        })
    }
}

/// The result of one measurement.
#[derive(Clone, Copy, Debug)]
pub struct Shot {
    /// Writes per second.
    pub writes_per_s: f64,
    /// The median time from the start of a write until it is durable, in microseconds.
    pub p50_us: f64,
    /// The 99th percentile of the latency, in microseconds.
    pub p99_us: f64,
}

/// All measurements, by cell.
#[derive(Clone, Debug, Default)]
pub struct Shots(BTreeMap<Cell, Vec<Shot>>);

impl Shots {
    /// Adds a measurement.
    pub fn add(&mut self, cell: Cell, shot: Shot) {
        self.0.entry(cell).or_default().push(shot);
    }

    /// The measurement of a cell with the median throughput.
    pub fn median(&self, cell: Cell) -> Option<Shot> {
        let mut shots = self.0.get(&cell)?.clone();
        shots.sort_by(|one, other| one.writes_per_s.total_cmp(&other.writes_per_s));
        shots.get(shots.len() / 2).copied()
    }

    /// The number of measurements.
    pub fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

/// The extent of the measurements.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// The number of passes over all cells. The passes of a cell lie far apart, since load from other processes varies.
    pub passes: u32,
    /// The duration of one measurement.
    pub time: Duration,
}

/// Measures all cells.
pub fn measure(place: &Place, cells: &[Cell], extent: Extent, patience: &mut Patience) -> Result<Shots> {
    let progress = ProgressBar::new(cells.len() as u64 * u64::from(extent.passes));
    progress.set_style(ProgressStyle::with_template("{bar:32} {pos}/{len} {elapsed} {msg}")?);
    let mut shooter = Shooter { place, time: extent.time, patience, shots: Shots::default(), progress };
    for _ in 0..extent.passes {
        for cells in cells.chunk_by(|one, other| one.way == other.way) {
            shooter.pass(cells)?;
        }
    }
    shooter.progress.finish_and_clear();
    Ok(shooter.shots)
}

struct Shooter<'a> {
    place: &'a Place,
    time: Duration,
    patience: &'a mut Patience,
    shots: Shots,
    progress: ProgressBar,
}

impl Shooter<'_> {
    /// Measures cells of the same `way`; a way that is not available here is skipped.
    fn pass(&mut self, cells: &[Cell]) -> Result<()> {
        let Some(way) = cells.first().map(|cell| cell.way) else { return Ok(()) };
        self.progress.set_message(way.to_string());
        let disk = match logboom_disk::open(self.place.path(), &way.options()) {
            Ok(disk) => disk,
            Err(error) => {
                self.progress.suspend(|| eprintln!("{way} is left out: {error}"));
                return Ok(());
            }
        };
        for cells in cells.chunk_by(|one, other| (one.size, one.preparation) == (other.size, other.preparation)) {
            let mut tracks = Tracks { disk: &disk, size: cells[0].size, kind: cells[0].preparation, recycled: None };
            for cell in cells {
                self.shoot(*cell, &mut tracks)?;
                self.progress.inc(1);
            }
        }
        Ok(())
    }

    fn shoot(&mut self, cell: Cell, tracks: &mut Tracks<'_>) -> Result<()> {
        let Cell { way, method, depth, gated, .. } = cell;
        let manner = Manner { inline: way == IoPath::Inline, method, depth, coalesced: 1, gated };
        let mut time = self.time;
        let measured = loop {
            interrupt::check()?;
            let track = tracks.next()?;
            self.patience.wait();
            let stream = Stream::new(track, manner, Source::Endless, cell.size);
            let before = usage::user_of_all();
            let measured = drive(&mut [stream], Window { warmup: Duration::ZERO, measured: time })?;
            // A stall lasted for the whole window.
            if measured.tally.ops == 0 {
                time *= 2;
                continue;
            }
            if self.patience.accepts(usage::user_of_all() - before, measured.elapsed) {
                break measured;
            }
        };
        let latencies = &measured.tally.latencies;
        let (p50_us, p99_us) = (latencies.quantile_us(0.5), latencies.quantile_us(0.99));
        self.shots.add(cell, Shot { writes_per_s: measured.rate(), p50_us, p99_us });
        Ok(())
    }
}

/// Files of one size and preparation.
struct Tracks<'a> {
    disk: &'a Arc<dyn Disk>,
    size: usize,
    kind: Preparation,
    recycled: Option<Track>,
}

impl Tracks<'_> {
    /// Returns a fresh file, since only the first write to a block finds it as prepared; a recycled file is reused.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_a_cell_is_a_shot_of_it() {
        let cell = Cell {
            size: 4096,
            preparation: Preparation::Zeroed,
            way: IoPath::Ring,
            method: Method::Dsync,
            depth: 1,
            gated: true,
        };
        let mut shots = Shots::default();
        for writes_per_s in [3.0, 1.0, 2.0] {
            shots.add(cell, Shot { writes_per_s, p50_us: 10.0 * writes_per_s, p99_us: 0.0 });
        }
        assert_eq!(shots.median(cell).map(|shot| shot.p50_us), Some(20.0));
        assert_eq!(shots.count(), 3);
        assert!(shots.median(Cell { depth: 2, ..cell }).is_none());
    }
}
