//! The ways in which a machine ends, and what the next one finds.

use std::{mem, slice};

use fastrand::Rng;

use super::{
    SimOptions,
    content::{Content, SECTOR, rows},
    machine::{Machine, State},
    trace::Event,
    undecided::{Fate, Unit},
};
use crate::stats::Counters;

impl Machine {
    /// Ends this machine. The next one finds what was durable, and of what was not what the fates say, one for each
    /// undecided thing; without fates, what the seed says of every sector.
    pub(super) fn power_cut(&mut self, fates: Option<&[Fate]>) -> Machine {
        let mut next = self.succeed(Event::PowerCut);
        let mut judge = Judge::new(next.rng.fork(), &next.options, fates);
        let mut victims = Vec::new();
        for unit in next.undecided_writes() {
            let Some(inode) = next.inodes.get_mut(&unit.inode) else { continue };
            victims.extend(judge.land(&unit, &mut inode.content).into_iter().map(|sector| (unit.inode, sector)));
        }
        // What is torn stays so, whatever else lands.
        for (inode, sector) in victims {
            if let Some(inode) = next.inodes.get_mut(&inode) {
                judge.tear(sector, &mut inode.content);
            }
        }
        for number in next.undecided_sizes() {
            if judge.keeps() {
                next.sync_size(number);
            }
        }
        next.directory.power_cut(|| judge.keeps());
        next.inodes.values_mut().for_each(|inode| inode.content.end_power_cut());
        next.in_flight.clear();
        next.late.clear();
        next.forget_files();
        next
    }

    /// Ends this machine's process. The next one finds all that was written; what was in flight lands later.
    pub(super) fn process_crash(&mut self) -> Machine {
        let mut next = self.succeed(Event::ProcessCrash);
        for write in mem::take(&mut next.in_flight).into_values() {
            let remaining = next.rng.u32(..=next.options.late_ops_max);
            next.late.push((remaining, write));
        }
        next
    }

    /// A copy of everything, that goes on with chances of its own.
    pub(super) fn fork(&self, seed: u64) -> Machine {
        let mut copy = Machine::new(seed, self.options.clone());
        copy.state = self.state;
        copy.trace = self.trace.clone();
        copy.trace.push(Event::Fork { seed });
        copy.faults = self.faults.clone();
        copy.halts_in = self.halts_in;
        copy.directory = self.directory.clone();
        copy.inodes = self.inodes.iter().map(|(number, inode)| (*number, inode.copy())).collect();
        copy.last_number = self.last_number;
        copy.order = self.order;
        copy.in_flight = self.in_flight.clone();
        copy.late = self.late.clone();
        copy
    }

    /// Moves everything to a new machine, but the counters and the faults that end with a crash, and ends this one.
    ///
    /// # Panics
    /// If it has ended before.
    fn succeed(&mut self, how: Event) -> Machine {
        assert!(self.state != State::Ended, "this disk has ended; what became of it is another disk");
        let mut next = Machine::new(self.rng.u64(..), self.options.clone());
        self.state = State::Ended;
        next.trace = mem::take(&mut self.trace);
        next.trace.push(how);
        next.faults = mem::take(&mut self.faults).after_crash();
        next.directory = mem::take(&mut self.directory);
        let inodes = mem::take(&mut self.inodes).into_iter();
        next.inodes = inodes.map(|(number, inode)| (number, inode.closed())).collect();
        next.in_flight = mem::take(&mut self.in_flight);
        next.late = mem::take(&mut self.late);
        next.last_number = self.last_number;
        next.order = self.order;
        next.counters = Counters::default();
        next
    }
}

/// Decides what is found after a power cut: as it was told, or by chance.
///
/// By chance, each cut has its own bias, from losing all to keeping all; every other tears nothing; and of the writes
/// some are decided on as a whole. With even odds for each of a thousand sectors, the interesting extremes would never
/// come.
struct Judge<'a> {
    rng: Rng,
    fates: Option<slice::Iter<'a, Fate>>,
    kept_percent: u32,
    torn_per_mille: u32,
    sectors_per_block: u64,
}

impl<'a> Judge<'a> {
    fn new(mut rng: Rng, options: &SimOptions, fates: Option<&'a [Fate]>) -> Self {
        let kept_percent = [0, 10, 50, 90, 100][rng.usize(..5)];
        let torn_per_mille = if rng.bool() { options.torn_per_mille } else { 0 };
        let sectors_per_block = (options.physical_block / SECTOR) as u64;
        Judge { rng, fates: fates.map(<[Fate]>::iter), kept_percent, torn_per_mille, sectors_per_block }
    }

    /// Whether a change of a size or of a name is found done.
    fn keeps(&mut self) -> bool {
        match &mut self.fates {
            Some(fates) => fates.next().is_some_and(|fate| fate.keeps()),
            None => self.rng.u32(..100) < self.kept_percent,
        }
    }

    /// Makes durable what is found of a write, and names those of its sectors that are torn.
    fn land(&mut self, unit: &Unit, content: &mut Content) -> Vec<u64> {
        match &mut self.fates {
            None => self.land_by_chance(unit, content),
            Some(fates) => match fates.next().copied().unwrap_or(Fate::Old) {
                Fate::Torn => {
                    land(unit, content, |_| self.rng.bool());
                    self.rng.choice(sectors_of(unit)).into_iter().collect()
                }
                fate => {
                    land(unit, content, |sector| fate.keeps_sector(unit.number(sector)));
                    Vec::new()
                }
            },
        }
    }

    fn land_by_chance(&mut self, unit: &Unit, content: &mut Content) -> Vec<u64> {
        let as_a_whole = self.rng.u32(..3) == 0;
        let percent = if !as_a_whole {
            self.kept_percent
        } else if self.keeps() {
            100
        } else {
            0
        };
        land(unit, content, |_| self.rng.u32(..100) < percent);
        if self.torn_per_mille == 0 {
            return Vec::new();
        }
        let mut victims: Vec<u64> = sectors_of(unit);
        self.rng.shuffle(&mut victims);
        victims.sort_by_key(|sector| sector / self.sectors_per_block);
        victims.dedup_by_key(|sector| *sector / self.sectors_per_block);
        victims.retain(|_| self.rng.u32(..1000) < self.torn_per_mille);
        victims
    }

    /// Damages the physical block of a sector: that one is garbage, and each other one is what it was, or garbage.
    fn tear(&mut self, victim: u64, content: &mut Content) {
        let first = victim / self.sectors_per_block * self.sectors_per_block;
        for sector in first..first + self.sectors_per_block {
            let offset = sector * SECTOR as u64;
            if offset < content.size() && (sector == victim || self.rng.bool()) {
                let mut garbage = [0; SECTOR];
                self.rng.fill(&mut garbage);
                content.durable.write(offset, &garbage);
            }
        }
    }
}

/// Makes durable those sectors of a write that `lands` lets through, by their number in the file.
fn land(unit: &Unit, content: &mut Content, mut lands: impl FnMut(u64) -> bool) {
    for part in &unit.parts {
        let first = part.offset / SECTOR as u64;
        for row in rows(part.bytes.len(), |sector| lands(first + sector as u64)) {
            content.durable.write(part.offset + row.start as u64, &part.bytes[row]);
        }
    }
}

fn sectors_of(unit: &Unit) -> Vec<u64> {
    let sector = SECTOR as u64;
    unit.parts.iter().flat_map(|part| part.offset / sector..part.range().end.div_ceil(sector)).collect()
}
