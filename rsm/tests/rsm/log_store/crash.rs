//! Random calls of a log on the simulated disk, with power cuts anywhere, beside what the log must be.

use std::{collections::BTreeMap, ops::Range};

use logboom::{Engine, EntryId};
use logboom_rsm::log_store::{Appending, LogEntry, LogStore, Result, ShardLog};

use crate::world::{SHARD, World, settle};

const ROUNDS: u64 = 400;

#[test]
fn a_log_survives_its_histories() {
    let (rounds, first) = match std::env::var("LOGBOOM_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => (1, seed),
        None => (if std::env::var_os("LOGBOOM_LONG").is_some() { 20 * ROUNDS } else { ROUNDS }, 0),
    };
    let mut seen = Seen::default();
    for seed in first..first + rounds {
        for appending in [Appending::Waits, Appending::Parallel] {
            history(appending, seed, &mut seen);
        }
    }
    let Seen { halts, lost, replaced, emptied, packs } = seen;
    let least = halts.min(lost).min(replaced).min(emptied).min(packs);
    assert!(rounds == 1 || least > rounds / 4, "{seen:?}");
}

/// What came about, so that histories in which nothing does are noticed.
#[derive(Debug, Default)]
struct Seen {
    halts: u64,
    /// Openings that found less than had been written.
    lost: u64,
    replaced: u64,
    emptied: u64,
    packs: u64,
}

/// A log, and what it is compared with.
struct Running {
    log: ShardLog,
    engine: Engine,
    /// What the log was since all of it was durable, oldest first, and what it is now: a crash leaves one of these.
    states: Vec<State>,
    /// Which of these the last entries made that were written.
    written_at: usize,
    /// The number that makes each entry another one.
    written: u64,
}

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    /// The entry before the first one.
    boundary: EntryId,
    /// Nothing was ever written: it may begin anywhere, by a pack.
    vacant: bool,
    entries: BTreeMap<u64, LogEntry>,
}

impl State {
    fn start(&self) -> u64 {
        self.boundary.index + 1
    }

    fn next(&self) -> u64 {
        self.start() + self.entries.len() as u64
    }

    fn term(&self, index: u64) -> u64 {
        match self.entries.get(&index) {
            Some(entry) => entry.term,
            None if index == self.boundary.index => self.boundary.term,
            None => 0,
        }
    }

    /// Replaces what is there from `index` on.
    fn write(&mut self, index: u64, entries: impl IntoIterator<Item = LogEntry>) {
        if self.vacant {
            self.boundary.index = index - 1;
        }
        self.entries.split_off(&index);
        self.entries.extend((index..).zip(entries));
        self.vacant = false;
    }

    fn compact(&mut self, at: EntryId) {
        self.entries = self.entries.split_off(&(at.index + 1));
        self.boundary = at;
        self.vacant = false;
    }

    /// What the log says.
    fn of(log: &ShardLog) -> Self {
        let (start, next) = (log.start_index(), log.next_slot());
        let entries = log.log_entries(start..next).unwrap().unwrap();
        let boundary = EntryId { index: start - 1, term: log.term_at(start - 1).unwrap() };
        let vacant = log.shard().next().is_none();
        Self { boundary, vacant, entries: (start..).zip(entries).collect() }
    }
}

fn history(appending: Appending, seed: u64, seen: &mut Seen) {
    let what = format!("{appending:?}; LOGBOOM_SEED={seed} cargo test -p logboom-rsm --test rsm a_log_survives");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = World::new(seed);
    let mut possible = vec![State { vacant: true, ..State::default() }];
    let mut written = 0;
    for _ in 0..random.u8(2..6) {
        let engine = world.open().unwrap_or_else(|error| panic!("{what}: {error}"));
        let log = ShardLog::new(&engine, SHARD, appending);
        let now = State::of(&log);
        assert!(possible.contains(&now), "{what}: found {now:?}, and not one of {possible:?}");
        seen.lost += u64::from(possible.last() != Some(&now));
        let mut running = Running { log, engine, states: vec![now], written_at: 0, written };
        if random.u8(..4) > 0 {
            world.disk.halt_after(random.u64(1..120));
        }
        for _ in 0..random.u8(5..60) {
            match running.step(appending, &mut random, seen).and_then(|()| running.check(&mut random, &what)) {
                _ if world.disk.has_halted() => break,
                Ok(()) => {}
                Err(error) => panic!("{what}: {error}"),
            }
        }
        seen.halts += u64::from(world.disk.has_halted());
        world.power_cut();
        (possible, written) = (running.states, running.written);
    }
}

impl Running {
    /// Calls something. What fails is in the list of what a crash may leave all the same.
    fn step(&mut self, appending: Appending, random: &mut fastrand::Rng, seen: &mut Seen) -> Result<()> {
        let (start, next) = (self.now().start(), self.now().next());
        match random.u8(..24) {
            0..8 => {
                let entry = self.entry(random);
                self.write(next, vec![entry.clone()], |log, _| log.append(entry.clone()).map(drop))?;
            }
            8..11 => {
                let (index, entry) = (random.u64(start..=next), self.entry(random));
                seen.replaced += u64::from(index < next);
                if self.now().vacant {
                    return Ok(());
                }
                self.write(index, vec![entry.clone()], |log, index| log.write_at(index, entry.clone()))?;
            }
            11..16 => {
                let (from, count) = (random.u64(start.saturating_sub(3)..=next), random.u64(0..9));
                self.log.end_of_append_batch(from, count)?;
                // Or there are entries, of which the last is said to be durable.
                let said = !self.now().entries.is_empty() && self.log.last_durable_index() + 1 >= next;
                if appending == Appending::Waits || said {
                    self.states.drain(..self.written_at);
                    self.written_at = 0;
                }
            }
            16 => self.make_durable()?,
            17 => self.apply_pack(random, seen)?,
            18 => self.compact(random.u64(start.saturating_sub(5)..next + 2), seen)?,
            19 => self.install(random, seen)?,
            _ => settle(&self.engine),
        }
        Ok(())
    }

    fn entry(&mut self, random: &mut fastrand::Rng) -> LogEntry {
        self.written += 1;
        let text = format!("{} ", self.written).repeat(random.usize(0..300));
        LogEntry { kind: random.u8(..), ..LogEntry::new(self.written / 10 + 1, text) }
    }

    fn now(&self) -> &State {
        &self.states[self.states.len() - 1]
    }

    /// Changes the entries. What they are to be is noted first: a call that fails may have been done.
    fn write(
        &mut self,
        index: u64,
        entries: Vec<LogEntry>,
        call: impl FnOnce(&ShardLog, u64) -> Result<()>,
    ) -> Result<()> {
        let mut state = self.now().clone();
        state.write(index, entries);
        self.states.push(state);
        self.written_at = self.states.len() - 1;
        call(&self.log, index)
    }

    /// Compactions too, which the end of a batch does not wait for.
    fn make_durable(&mut self) -> Result<()> {
        self.log.flush()?;
        self.is_durable();
        Ok(())
    }

    fn is_durable(&mut self) {
        self.states.drain(..self.states.len() - 1);
        self.written_at = 0;
    }

    fn apply_pack(&mut self, random: &mut fastrand::Rng, seen: &mut Seen) -> Result<()> {
        let peer = World::new(1).open().unwrap();
        let from = ShardLog::new(&peer, SHARD, Appending::Waits);
        let (start, next) = (self.now().start(), self.now().next());
        let index = if self.now().vacant { random.u64(1..30) } else { random.u64(start..=next) };
        from.compact(index - 1)?;
        let entries: Vec<_> = (0..random.u64(1..20)).map(|_| self.entry(random)).collect();
        entries.iter().try_for_each(|entry| from.append(entry.clone()).map(drop))?;
        let pack = from.pack(index, entries.len() as u64)?.unwrap();
        // A pack is one batch here, or several, of which a crash may leave the first ones.
        for count in 1..entries.len() {
            let mut part = self.now().clone();
            part.write(index, entries[..count].to_vec());
            self.states.push(part);
        }
        self.write(index, entries, |log, index| log.apply_pack(index, &pack))?;
        seen.packs += 1;
        self.is_durable();
        Ok(())
    }

    fn compact(&mut self, index: u64, seen: &mut Seen) -> Result<()> {
        let mut state = self.now().clone();
        if index >= state.start() {
            seen.emptied += u64::from(index >= state.next());
            state.compact(EntryId { index, term: state.term(index) });
        }
        self.states.push(state);
        self.log.compact(index)
    }

    fn install(&mut self, random: &mut fastrand::Rng, seen: &mut Seen) -> Result<()> {
        let index = random.u64(self.now().start().saturating_sub(3)..self.now().next() + 10);
        let term = if random.bool() { self.now().term(index) } else { self.written / 10 + 2 };
        let mut state = self.now().clone();
        if index >= state.start() {
            if state.term(index) != term {
                state.entries.clear();
                seen.emptied += 1;
            }
            state.compact(EntryId { index, term });
        } else {
            // What the log begins behind is not installed again; with another term it is another log's.
            return Ok(());
        }
        self.states.push(state);
        self.log.install(EntryId { index, term })?;
        self.is_durable();
        Ok(())
    }

    /// The log is what it must be.
    fn check(&self, random: &mut fastrand::Rng, what: &str) -> Result<()> {
        let (start, next) = (self.now().start(), self.now().next());
        let next = if self.now().vacant { 1 } else { next };
        assert_eq!((self.log.start_index(), self.log.next_slot()), (start, next), "{what}");
        let Range { start: from, end } = random.u64(start..=next)..next;
        let read = self.log.log_entries(from..end)?.unwrap();
        assert!(read.iter().eq(self.now().entries.range(from..).map(|(_, entry)| entry)), "{what}: from {from} on");
        let last = EntryId { index: next - 1, term: self.now().term(next - 1) };
        assert_eq!(self.log.last_id().unwrap(), last, "{what}");
        assert_eq!(self.log.term_at(from).unwrap(), self.now().term(from), "{what}");
        let durable = self.log.last_durable_index();
        assert!(durable < next, "{what}: {durable} durable of {next}");
        Ok(())
    }
}
