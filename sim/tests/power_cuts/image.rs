//! What a power cut leaves of a disk: all that a flush covered, and anything of the rest.

use std::{collections::BTreeMap, fmt, fs::File, io, os::unix::fs::FileExt, path::Path};

use fastrand::Rng;

use crate::write_log::{Data, Event, WriteLog};

/// What an image is written by; what is zero is left out.
const BLOCK: usize = 64 << 10;

/// A disk at a moment of its log, which only moves on.
pub(crate) struct Platter<'l> {
    log: &'l WriteLog,
    /// The events before this one have happened.
    at: usize,
    /// What survives a power cut at this moment for certain.
    durable: Vec<u8>,
    volatile: Vec<Volatile>,
    /// When the flushes arrived that are not answered.
    flushes: BTreeMap<u64, usize>,
}

/// A write that no flush covered yet.
#[derive(Clone, Copy, Debug)]
struct Volatile {
    /// Its event, and that of its answer.
    arrived: usize,
    done: Option<usize>,
    id: u64,
}

/// What becomes of the writes that no flush covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    AllLost,
    AllKept,
    OneLost,
    OneKept,
    /// Each is kept or lost.
    Subset,
    /// Each is kept, lost or torn.
    Torn,
}

/// Tearing is what the most can go wrong with.
const MODES: [Mode; 8] =
    [Mode::AllLost, Mode::AllKept, Mode::OneLost, Mode::OneKept, Mode::Subset, Mode::Torn, Mode::Torn, Mode::Torn];

/// A power cut.
pub(crate) struct Cut {
    mode: Mode,
    /// What is kept or lost as a whole, in bytes.
    sector: usize,
    /// Of each write that no flush covered, in the order of their answers, the sectors that are kept.
    fates: Vec<(usize, Vec<bool>)>,
}

impl<'l> Platter<'l> {
    /// The disk before its log begins.
    pub(crate) fn new(log: &'l WriteLog, content: Vec<u8>) -> Self {
        Self { log, at: 0, durable: content, volatile: Vec::new(), flushes: BTreeMap::new() }
    }

    /// Lets everything happen that is logged before an event.
    pub(crate) fn advance(&mut self, to: usize) {
        while self.at < to {
            match self.log.events[self.at] {
                Event::Write { id, .. } => self.volatile.push(Volatile { arrived: self.at, done: None, id }),
                Event::Flush { id } => drop(self.flushes.insert(id, self.at)),
                Event::Done { id } => match self.flushes.remove(&id) {
                    Some(arrived) => self.flush(arrived),
                    None => self.done(id),
                },
                Event::Mark(_) => {}
            }
            self.at += 1;
        }
    }

    fn done(&mut self, id: u64) {
        let at = self.at;
        self.volatile.iter_mut().filter(|write| write.id == id).for_each(|write| write.done = Some(at));
        // In the order in which they may meet the medium.
        self.volatile.sort_by_key(|write| write.done.unwrap_or(usize::MAX));
    }

    /// A flush that arrived at an event covers what was answered before.
    fn flush(&mut self, arrived: usize) {
        let covered = self.volatile.iter().take_while(|write| write.done.is_some_and(|done| done < arrived)).count();
        for write in self.volatile.drain(..covered) {
            if let Event::Write { offset, data, .. } = &self.log.events[write.arrived] {
                let start = *offset as usize;
                let place = &mut self.durable[start..start + data.len()];
                match self.log.bytes(data) {
                    Some(bytes) => place.copy_from_slice(bytes),
                    None => place.fill(0),
                }
            }
        }
    }

    /// Cuts the power at this moment, which tears writes between sectors of some bytes.
    pub(crate) fn cut(&self, sector: usize, rng: &mut Rng) -> Cut {
        let mode = MODES[rng.usize(..MODES.len())];
        let chosen = rng.usize(..self.volatile.len().max(1));
        let mut fates = Vec::new();
        for (at, write) in self.volatile.iter().enumerate() {
            let Event::Write { data, .. } = &self.log.events[write.arrived] else { continue };
            let all = |kept| vec![kept; data.len().div_ceil(sector)];
            let fate = match mode {
                Mode::AllLost => all(false),
                Mode::AllKept => all(true),
                Mode::OneLost => all(at != chosen),
                Mode::OneKept => all(at == chosen),
                Mode::Subset => all(rng.bool()),
                Mode::Torn => match rng.u32(..5) {
                    0 => all(rng.bool()),
                    1 | 2 => all(true).into_iter().map(|_| rng.bool()).collect(),
                    _ => {
                        let sectors = data.len().div_ceil(sector);
                        let kept = rng.usize(..=sectors);
                        (0..sectors).map(|at| at < kept).collect()
                    }
                },
            };
            fates.push((write.arrived, fate));
        }
        Cut { mode, sector, fates }
    }

    /// Writes the image that a cut at this moment leaves.
    pub(crate) fn write(&self, cut: &Cut, path: &Path) -> io::Result<()> {
        // A new file, whatever still refers to one of that name.
        drop(std::fs::remove_file(path));
        let file = File::create_new(path)?;
        file.set_len(self.durable.len() as u64)?;
        for (at, block) in self.durable.chunks(BLOCK).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                file.write_all_at(block, (at * BLOCK) as u64)?;
            }
        }
        for (arrived, fate) in &cut.fates {
            if let Event::Write { offset, data, .. } = &self.log.events[*arrived] {
                self.write_sectors(&file, *offset, data, cut.sector, fate)?;
            }
        }
        Ok(())
    }

    fn write_sectors(&self, file: &File, offset: u64, data: &Data, sector: usize, fate: &[bool]) -> io::Result<()> {
        let zeros = vec![0; if self.log.bytes(data).is_none() { data.len() } else { 0 }];
        let bytes = self.log.bytes(data).unwrap_or(&zeros);
        for (at, piece) in bytes.chunks(sector).enumerate().filter(|(at, _)| fate[*at]) {
            file.write_all_at(piece, offset + (at * sector) as u64)?;
        }
        Ok(())
    }
}

impl Cut {
    /// The writes that were kept whole, lost whole, and torn.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let mut counts = [0; 3];
        for (_, fate) in &self.fates {
            let kept = fate.iter().filter(|kept| **kept).count();
            counts[if kept == fate.len() { 0 } else { 1 + usize::from(kept > 0) }] += 1;
        }
        counts
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kept, lost, torn] = self.counts();
        write!(f, "{:?}: {kept} unflushed writes kept, {lost} lost, {torn} torn", self.mode)
    }
}
