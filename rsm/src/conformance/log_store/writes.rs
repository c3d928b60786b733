//! Rules for new logs and for writes.

use bytes::Bytes;
use logboom::EntryId;

use super::{
    Row, Rule, Subject, Violation,
    bench::{Bench, entries, entry, other},
};
use crate::log_store::{Error, LogEntry, LogStore};

pub(super) fn rows<'s, S: Subject>() -> [Row<'s, S>; 7] {
    [
        (Rule::NewIsEmpty, new_is_empty),
        (Rule::AppendTakesTheSlot, append_takes_the_slot),
        (Rule::ReadableAtOnce, readable_at_once),
        (Rule::EntriesComeBackWhole, entries_come_back_whole),
        (Rule::WriteAtTruncates, write_at_truncates),
        (Rule::WriteAtTheEndAppends, write_at_the_end_appends),
        (Rule::WriteAtRefusesGaps, write_at_refuses_gaps),
    ]
}

fn new_is_empty<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.subject.store();
    bench.same("next_slot and start_index", (store.next_slot(), store.start_index()), (1, 1))?;
    bench.same("last_durable_index", store.last_durable_index(), 0)?;
    bench.same("last_entry", bench.ok("last_entry", store.last_entry())?, LogEntry::default())?;
    bench.same("last_id", bench.ok("last_id", store.last_id())?, EntryId::default())?;
    for index in [0, 1] {
        bench.same("term_at", bench.ok("term_at", store.term_at(index))?, 0)?;
        bench.same("entry_at", bench.ok("entry_at", store.entry_at(index))?, None)?;
    }
    bench.same("log_entries(1, 1)", bench.ok("log_entries", store.log_entries(1..1))?, Some(Vec::new()))
}

fn append_takes_the_slot<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.subject.store();
    for index in 1..40 {
        bench.same("next_slot", store.next_slot(), index)?;
        bench.append(&store, index, entry(index))?;
        bench.same("next_slot behind an append", store.next_slot(), index + 1)?;
        if index % 7 == 0 {
            bench.end(&store, index - 6, 7)?;
        }
    }
    Ok(())
}

fn readable_at_once<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.subject.store();
    for end in 2..20 {
        bench.append(&store, end - 1, entry(end - 1))?;
        bench.holds(&store, 1, &entries(1..end))?;
    }
    bench.ok("write_at", store.write_at(12, other(12)))?;
    let seen = bench.ok("entry_at", store.entry_at(12))?;
    bench.same("what was written at 12", seen, Some(other(12)))
}

fn entries_come_back_whole<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.subject.store();
    let whole = LogEntry { term: 7, kind: 231, context: Bytes::from_static(b"at noon"), payload: Bytes::new() };
    let mut written = Vec::new();
    for len in [0, 1, 100, 4096, 10_000] {
        let payload: Vec<u8> = std::iter::repeat_with(|| bench.random.u8(..)).take(len).collect();
        written.push(LogEntry { payload: payload.into(), ..whole.clone() });
        written.push(LogEntry { context: Bytes::new(), kind: 0, ..whole.clone() });
    }
    for (index, entry) in (1..).zip(&written) {
        bench.append(&store, index, entry.clone())?;
    }
    bench.holds(&store, 1, &written)?;
    bench.end(&store, 1, written.len() as u64)?;
    bench.holds(&store, 1, &written)
}

fn write_at_truncates<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    for at in [1, 2, 14, 19] {
        let store = bench.log(20)?;
        bench.ok("write_at", store.write_at(at, other(at)))?;
        let mut expected = entries(1..at);
        expected.push(other(at));
        bench.holds(&store, 1, &expected)?;
        bench.append(&store, at + 1, other(at + 1))?;
        expected.push(other(at + 1));
        bench.end(&store, at, 2)?;
        bench.holds(&store, 1, &expected)?;
    }
    // Twice, with nothing durable in between.
    let store = bench.log(20)?;
    bench.ok("write_at", store.write_at(10, other(10)))?;
    bench.append(&store, 11, other(11))?;
    bench.ok("write_at", store.write_at(5, other(5)))?;
    let mut expected = entries(1..5);
    expected.push(other(5));
    bench.holds(&store, 1, &expected)
}

fn write_at_the_end_appends<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.subject.store();
    for index in 1..10 {
        bench.ok("write_at(next_slot)", store.write_at(index, entry(index)))?;
    }
    bench.holds(&store, 1, &entries(1..10))
}

fn write_at_refuses_gaps<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.log(10)?;
    for index in [11, 12, u64::MAX] {
        match store.write_at(index, entry(index % 100)) {
            Err(Error::Gap { next: 10, index: given }) if given == index => {}
            outcome => return Err(bench.violation(format!("write_at({index}), the next slot is 10: {outcome:?}"))),
        }
    }
    bench.holds(&store, 1, &entries(1..10))?;
    match bench.subject.store().write_at(2, entry(2)) {
        Err(Error::Gap { next: 1, index: 2 }) => Ok(()),
        outcome => Err(bench.violation(format!("write_at(2) of a new log: {outcome:?}"))),
    }
}
