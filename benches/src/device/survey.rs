//! The short survey: measures the part of the grid that decides the log's defaults.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use logboom_disk::{Backend, Disk, DiskOptions, Facts, Mode};

use super::{
    patience::Patience,
    shots::{self, Cell, Extent, IoPath, Shot, Shots},
};
use crate::{
    Result, bare,
    place::Place,
    stream::{Method, Preparation},
};

/// The facts and the measurements of a disk.
#[derive(Debug)]
pub struct Survey {
    /// What opening the directory found out about the disk.
    pub facts: Facts,
    /// The measurements of durable writes.
    pub shots: Shots,
    /// The rates of writing and reading a whole file from beginning to end; `None` if not measured.
    pub sequential: Option<Sequential>,
}

/// Rates in megabytes per second.
#[derive(Clone, Copy, Debug)]
pub struct Sequential {
    /// Writing a new file, until it is durable.
    pub write: f64,
    /// Reading the same file.
    pub read: f64,
}

/// The size to which small writes are padded on most disks.
pub const SMALL: usize = 4 << 10;
/// The largest write of the log.
pub const LARGE: usize = 256 << 10;

impl Survey {
    /// Measures the disk of `place`.
    pub fn of(place: &Place, extent: Extent, file_bytes: u64, patience: &mut Patience) -> Result<Self> {
        let disk = logboom_disk::open(place.path(), &DiskOptions::default())?;
        let facts = disk.facts().clone();
        let sequential = Some(sequential(&disk, file_bytes)?);
        drop(disk);
        let shots = shots::measure(place, &cells(&facts), extent, patience)?;
        Ok(Survey { facts, shots, sequential })
    }

    /// The way in which the log's queue writes on this disk.
    pub fn way(&self) -> IoPath {
        way(&self.facts)
    }

    /// A single write of `size` bytes over recycled blocks.
    pub fn lone(&self, way: IoPath, method: Method, size: usize) -> Option<Shot> {
        self.shots.median(Cell { size, way, method, ..LONE })
    }

    /// A small single write in the calling thread, to a file prepared in this way.
    pub fn prepared(&self, preparation: Preparation) -> Option<Shot> {
        self.shots.median(Cell { preparation, ..LONE })
    }

    /// Small writes with `depth` in flight.
    pub fn several(&self, way: IoPath, method: Method, depth: usize) -> Option<Shot> {
        self.shots.median(Cell { way, method, depth, ..LONE })
    }

    /// As many large writes in flight as the log allows, with a rolling sync.
    pub fn bulk(&self, gated: bool) -> Option<Shot> {
        self.shots.median(Cell { way: self.way(), gated, ..BULK })
    }
}

/// A small write in the thread that waits for it.
const LONE: Cell = Cell {
    size: SMALL,
    preparation: Preparation::Recycled,
    way: IoPath::Inline,
    method: Method::Dsync,
    depth: 1,
    gated: true,
};

const BULK: Cell = Cell { size: LARGE, method: Method::Rolling, depth: 16, ..LONE };

/// The sizes of single writes that show the cost of padding.
pub const PADDED: [usize; 4] = [512, SMALL, 8 << 10, 16 << 10];

fn way(facts: &Facts) -> IoPath {
    if facts.backend == Backend::Ring { IoPath::Ring } else { IoPath::Blocking }
}

/// The cells that the methods of [`Survey`] look up.
fn cells(facts: &Facts) -> Vec<Cell> {
    let mut cells = Vec::new();
    for way in [IoPath::Ring, IoPath::Blocking] {
        cells.push(Cell { way, ..LONE });
        for method in [Method::Dsync, Method::Batched, Method::Rolling] {
            cells.extend([4, 16].map(|depth| Cell { way, method, depth, ..LONE }));
        }
        if way == self::way(facts) {
            cells.extend([true, false].map(|gated| Cell { way, gated, ..BULK }));
        }
    }
    let sizes = PADDED.into_iter().filter(|size| *size >= facts.pad_unit);
    cells.extend(sizes.map(|size| Cell { size, ..LONE }));
    // If the pad unit is larger than `SMALL`, small writes are measured too; the disk pads them.
    if facts.pad_unit > SMALL {
        cells.push(LONE);
    }
    cells.push(Cell { method: Method::Plain, ..LONE });
    cells.extend([Preparation::Allocated, Preparation::Zeroed].map(|preparation| Cell { preparation, ..LONE }));
    cells
}

fn sequential(disk: &Arc<dyn Disk>, bytes: u64) -> Result<Sequential> {
    let rate = |since: Instant| bytes as f64 / 1e6 / since.elapsed().max(Duration::from_nanos(1)).as_secs_f64();
    let began = Instant::now();
    bare::write(disk, FILE, bytes)?;
    let write = rate(began);
    let file = disk.open(FILE, Mode::Read)?;
    file.forget_cached()?;
    let began = Instant::now();
    bare::read(disk, file)?;
    let read = rate(began);
    disk.remove(FILE)?;
    Ok(Sequential { write, read })
}

const FILE: &str = "sequential";

#[cfg(test)]
mod tests {
    use logboom_disk::{SimDisk, SimOptions};

    use super::*;

    #[test]
    fn every_name_has_its_cell() {
        for pad_unit in [512, 4096, 8192] {
            let disk = SimDisk::new(1, SimOptions { pad_unit, physical_block: pad_unit, ..SimOptions::default() });
            let facts = disk.facts().clone();
            let mut shots = Shots::default();
            for cell in cells(&facts) {
                shots.add(cell, Shot { writes_per_s: 1.0, p50_us: 1.0, p99_us: 1.0 });
            }
            let survey = Survey { facts, shots, sequential: None };
            for way in [IoPath::Ring, IoPath::Blocking] {
                assert!(survey.lone(way, Method::Dsync, SMALL).is_some());
                assert!(survey.several(way, Method::Rolling, 16).is_some());
            }
            assert!(survey.lone(IoPath::Inline, Method::Plain, SMALL).is_some());
            assert!(survey.lone(IoPath::Inline, Method::Dsync, SMALL).is_some());
            assert_eq!(survey.lone(IoPath::Inline, Method::Dsync, 512).is_some(), pad_unit == 512);
            assert!(
                survey.prepared(Preparation::Allocated).is_some() && survey.prepared(Preparation::Zeroed).is_some()
            );
            assert!(survey.bulk(true).is_some() && survey.bulk(false).is_some());
        }
    }
}
