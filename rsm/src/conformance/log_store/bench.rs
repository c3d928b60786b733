//! Where a log is tried for one rule: what is written, and what is expected of it.

use std::{fmt::Debug, ops::Range, thread, time::Duration, time::Instant};

use logboom::EntryId;

use super::{Rule, Subject, Violation};
use crate::log_store::{LogEntry, LogStore, Result as StoreResult};

/// A subject, a rule, and a source of chance.
pub(super) struct Bench<'s, S> {
    pub(super) subject: &'s S,
    pub(super) random: fastrand::Rng,
    rule: Rule,
    seed: u64,
}

type Checked<T = ()> = Result<T, Violation>;

impl<'s, S: Subject> Bench<'s, S> {
    pub(super) fn new(subject: &'s S, rule: Rule, seed: u64) -> Self {
        Self { subject, random: fastrand::Rng::with_seed(seed), rule, seed }
    }

    pub(super) fn violation(&self, what: impl Into<String>) -> Violation {
        Violation { rule: self.rule, what: what.into(), seed: self.seed }
    }

    /// What a call gave that has no reason to fail.
    pub(super) fn ok<T>(&self, call: &str, outcome: StoreResult<T>) -> Checked<T> {
        outcome.map_err(|error| self.violation(format!("{call}: {error:#}")))
    }

    pub(super) fn same<T: PartialEq + Debug>(&self, what: &str, seen: T, expected: T) -> Checked {
        if seen == expected {
            return Ok(());
        }
        Err(self.violation(format!("{what}: {}, and not {}", shown(&seen), shown(&expected))))
    }

    /// Waits for what must come.
    pub(super) fn until(&self, what: &str, store: &S::Store, condition: impl Fn() -> bool) -> Checked {
        let begun = Instant::now();
        loop {
            self.subject.settle(store);
            if condition() {
                return Ok(());
            }
            if begun.elapsed() > self.subject.patience() {
                return Err(self.violation(format!("waited in vain: {what}")));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Appends an entry, and expects it to take this index.
    pub(super) fn append(&self, store: &S::Store, index: u64, entry: LogEntry) -> Checked {
        let took = self.ok("append", store.append(entry))?;
        self.same("an append's index", took, index)
    }

    /// Appends the [entries](entry) of the range, and leaves their batch open.
    pub(super) fn append_all(&self, store: &S::Store, range: Range<u64>) -> Checked {
        range.into_iter().try_for_each(|index| self.append(store, index, entry(index)))
    }

    /// Ends a batch, and waits until all of the log is durable.
    pub(super) fn end(&self, store: &S::Store, start: u64, count: u64) -> Checked {
        self.ok("end_of_append_batch", store.end_of_append_batch(start, count))?;
        if !self.subject.is_parallel() {
            return Ok(());
        }
        self.until("that a batch is durable", store, || store.last_durable_index() + 1 >= store.next_slot())
    }

    /// A log of the [entries](entry) from 1 up to `end`, half-open, durable.
    pub(super) fn log(&self, end: u64) -> Checked<S::Store> {
        let store = self.subject.store();
        self.append_all(&store, 1..end)?;
        self.end(&store, 1, end - 1)?;
        Ok(store)
    }

    /// [`Bench::log`], compacted to begin with `start`.
    pub(super) fn log_from(&self, start: u64, end: u64) -> Checked<S::Store> {
        let store = self.log(end)?;
        self.ok("compact", store.compact(start - 1))?;
        Ok(store)
    }

    /// Refuses a log that does not begin with `start` and hold exactly these entries.
    pub(super) fn holds(&self, store: &S::Store, start: u64, expected: &[LogEntry]) -> Checked {
        let end = start + expected.len() as u64;
        self.same("start_index and next_slot", (store.start_index(), store.next_slot()), (start, end))?;
        let seen = self.ok("log_entries", store.log_entries(start..end))?;
        self.same("log_entries", seen.as_deref(), Some(expected))?;
        for (index, entry) in (start..).zip(expected) {
            let seen = self.ok("entry_at", store.entry_at(index))?;
            self.same(&format!("entry_at({index})"), seen.as_ref(), Some(entry))?;
            self.same(&format!("term_at({index})"), self.ok("term_at", store.term_at(index))?, entry.term)?;
        }
        if let Some(last) = expected.last() {
            self.same("last_entry", &self.ok("last_entry", store.last_entry())?, last)?;
            let id = EntryId { index: end - 1, term: last.term };
            self.same("last_id", self.ok("last_id", store.last_id())?, id)?;
        }
        self.same("entry_at(next_slot)", self.ok("entry_at", store.entry_at(end))?, None)
    }

    /// All that the log has.
    pub(super) fn entries(&self, store: &S::Store) -> Checked<Vec<LogEntry>> {
        let entries = self.ok("log_entries", store.log_entries(store.start_index()..store.next_slot()))?;
        entries.ok_or_else(|| self.violation("log_entries(start_index, next_slot): none"))
    }
}

/// The entry that is appended at an index: no two are alike.
pub(super) fn entry(index: u64) -> LogEntry {
    let [low, ..] = index.to_le_bytes();
    let payload = match low % 4 {
        0 => Vec::new(),
        _ => index.to_le_bytes().repeat(usize::from(low % 9) + 1),
    };
    LogEntry { kind: low, ..LogEntry::new(1 + index / 10, payload) }
}

/// What another leader wrote at an index.
pub(super) fn other(index: u64) -> LogEntry {
    LogEntry::new(100, format!("other {index}"))
}

pub(super) fn entries(range: Range<u64>) -> Vec<LogEntry> {
    range.map(entry).collect()
}

/// Its beginning: a megabyte says no more.
fn shown(value: &impl Debug) -> String {
    let mut text = format!("{value:?}");
    if let Some((at, _)) = text.char_indices().nth(400) {
        text.truncate(at);
        text.push_str("..");
    }
    text
}
