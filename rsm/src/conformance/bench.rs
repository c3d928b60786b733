//! Where a subject is tried: its histories, and what two machines have in common.

use std::{fmt::Debug, ops::Range};

use super::{Rule, Subject, Violation, log::Log};
use crate::{error::Failure, machine::StateMachine};

/// The longest history, in entries.
const ENTRIES_MAX: u64 = 300;

/// A subject, a history, and a source of chance.
pub(super) struct Bench<'s, S: Subject> {
    pub(super) subject: &'s S,
    pub(super) random: fastrand::Rng,
    pub(super) log: Log,
    open: Opener<'s, S::Machine>,
    seed: u64,
}

type Opener<'s, M> = &'s dyn Fn(&mut M) -> Result<Option<u64>, Failure>;

impl<'s, S: Subject> Bench<'s, S> {
    pub(super) fn new(subject: &'s S, seed: u64) -> Result<Self, Violation> {
        Self::new_opening(subject, seed, &|_| Ok(None))
    }

    /// A bench whose machines are opened before they are used.
    pub(super) fn new_opening(subject: &'s S, seed: u64, open: Opener<'s, S::Machine>) -> Result<Self, Violation> {
        let broken =
            |failure: Failure| Violation { rule: Rule::NoFailure, what: format!("the log: {failure:#}"), seed };
        let log = Log::new(seed).map_err(broken)?;
        let mut bench = Self { subject, random: fastrand::Rng::with_seed(seed), log, open, seed };
        for _ in 0..ENTRIES_MAX {
            // A raft core writes an entry without payload when a term begins.
            let payload = match bench.random.u8(..) {
                0..20 => Vec::new(),
                _ => subject.payload(bench.random.u64(..)),
            };
            let term = bench.log.end() / 50 + 1;
            bench.log.append(term, payload).map_err(broken)?;
        }
        Ok(bench)
    }

    pub(super) fn violation(&self, rule: Rule, what: impl Into<String>) -> Violation {
        Violation { rule, what: what.into(), seed: self.seed }
    }

    /// What a method gave that has no reason to fail.
    pub(super) fn unfailing<T>(&self, call: &str, result: Result<T, Failure>) -> Result<T, Violation> {
        result.map_err(|failure| self.violation(Rule::NoFailure, format!("{call}: {failure:#}")))
    }

    /// A machine that nothing was applied to.
    pub(super) fn machine(&self) -> Result<S::Machine, Violation> {
        let mut machine = self.subject.machine();
        match self.open(&mut machine)? {
            None => Ok(machine),
            Some(index) => {
                Err(self.violation(Rule::OpensAtItsIndex, format!("a new machine says that it is at {index}")))
            }
        }
    }

    pub(super) fn open(&self, machine: &mut S::Machine) -> Result<Option<u64>, Violation> {
        let opened = (self.open)(machine);
        self.unfailing("open", opened)
    }

    /// A machine that the entries below `end` were applied to, in one update.
    pub(super) fn machine_at(&self, end: u64) -> Result<S::Machine, Violation> {
        let mut machine = self.machine()?;
        self.update(&mut machine, 1..end)?;
        Ok(machine)
    }

    /// An end of a history, the longest one at times.
    pub(super) fn end(&mut self) -> u64 {
        let end = self.log.end();
        if self.random.u8(..10) == 0 { end } else { self.random.u64(2..=end) }
    }

    /// Applies the entries of a range in one update. Gives the outputs as text.
    pub(super) fn update(&self, machine: &mut S::Machine, range: Range<u64>) -> Result<Vec<String>, Violation> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let read = self.log.entries(range.clone());
        let entries = self.unfailing("the log", read)?;
        let updated = machine.update(&entries);
        let outputs = self.unfailing("update", updated)?;
        if outputs.len() != entries.len() {
            let what = format!("{} outputs of {} entries, {range:?}", outputs.len(), entries.len());
            return Err(self.violation(Rule::OneOutputEach, what));
        }
        Ok(outputs.iter().map(text).collect())
    }

    /// Applies the entries of a range in updates of any size.
    pub(super) fn update_in_pieces(
        &mut self,
        machine: &mut S::Machine,
        range: Range<u64>,
    ) -> Result<Vec<String>, Violation> {
        let mut outputs = Vec::new();
        let mut next = range.start;
        while next < range.end {
            let end = range.end.min(next + self.random.u64(1..20));
            outputs.extend(self.update(machine, next..end)?);
            next = end;
        }
        Ok(outputs)
    }

    /// Asks the machine something. Gives the answer as text.
    pub(super) fn lookup(&self, machine: &S::Machine, random: u64) -> String {
        match machine.lookup(&self.subject.query(random)) {
            Ok(answer) => text(&answer),
            Err(failure) => format!("failed: {failure:#}"),
        }
    }

    /// Refuses two machines that differ in state or in answers.
    pub(super) fn same(
        &mut self,
        rule: Rule,
        what: &str,
        one: &S::Machine,
        other: &S::Machine,
    ) -> Result<(), Violation> {
        if self.subject.state(one) != self.subject.state(other) {
            return Err(self.violation(rule, format!("{what}: the states differ")));
        }
        for _ in 0..5 {
            let random = self.random.u64(..);
            let (one, other) = (self.lookup(one, random), self.lookup(other, random));
            if one != other {
                return Err(self.violation(rule, format!("{what}: one answers {one}, the other {other}")));
            }
        }
        Ok(())
    }

    /// Refuses two machines that differ in what further entries make of them: in what no query shows yet.
    pub(super) fn same_from(
        &mut self,
        rule: Rule,
        what: &str,
        one: &mut S::Machine,
        other: &mut S::Machine,
        from: u64,
    ) -> Result<(), Violation> {
        self.same(rule, what, one, other)?;
        let end = self.log.end();
        let outputs = (self.update(one, from..end)?, self.update_in_pieces(other, from..end)?);
        if outputs.0 != outputs.1 {
            return Err(self.violation(rule, format!("{what}: later outputs differ")));
        }
        self.same(rule, &format!("{what}, after later entries"), one, other)
    }
}

fn text(value: &impl Debug) -> String {
    format!("{value:?}")
}
