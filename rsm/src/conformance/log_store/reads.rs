//! How a log is read.

use std::ops::Range;

use super::{
    Row, Rule, Subject, Violation,
    bench::{Bench, entries, entry},
};
use crate::log_store::{LogEntry, LogStore};

pub(super) fn rows<'s, S: Subject>() -> [Row<'s, S>; 6] {
    [
        (Rule::RangesAreHalfOpen, ranges_are_half_open),
        (Rule::MissingIsNone, missing_is_none),
        (Rule::HintIsATarget, hint_is_a_target),
        (Rule::HintZeroIsNoLimit, hint_zero_is_no_limit),
        (Rule::NegativeHintSendsNone, negative_hint_sends_none),
        (Rule::TermOutsideIsZero, term_outside_is_zero),
    ]
}

fn ranges_are_half_open<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.log(30)?;
    for _ in 0..50 {
        let start = bench.random.u64(1..30);
        let end = bench.random.u64(start..=30);
        let seen = bench.ok("log_entries", store.log_entries(start..end))?;
        bench.same(&format!("log_entries({start}, {end})"), seen, Some(entries(start..end)))?;
    }
    let [start, end] = [9, 4];
    bench.same("log_entries(9, 4)", bench.ok("log_entries", store.log_entries(start..end))?, Some(Vec::new()))
}

fn missing_is_none<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.log_from(5, 10)?;
    for (start, end) in [(4, 6), (1, 10), (5, 11), (9, 12), (10, 11), (1, 3), (40, 50)] {
        for hint in [0, 1, 1000] {
            let seen = bench.ok("log_entries_ext", store.log_entries_ext(start..end, hint))?;
            bench.same(&format!("log_entries_ext({start}, {end}, {hint}) of 5 to 9"), seen, None)?;
        }
        let packed = bench.ok("pack", store.pack(start, end - start))?;
        bench.same(&format!("pack({start}, {}) of 5 to 9", end - start), packed, None)?;
    }
    for index in [0, 1, 4, 10, 11, u64::MAX] {
        let seen = bench.ok("entry_at", store.entry_at(index))?;
        bench.same(&format!("entry_at({index}) of 5 to 9"), seen, None)?;
    }
    Ok(())
}

/// Reads with a hint, and refuses what is no beginning of the range.
fn hinted<S: Subject>(
    bench: &Bench<'_, S>,
    store: &S::Store,
    range: Range<u64>,
    hint: i64,
) -> Result<Vec<LogEntry>, Violation> {
    let what = format!("log_entries_ext({}, {}, {hint})", range.start, range.end);
    let seen = bench.ok(&what, store.log_entries_ext(range.clone(), hint))?;
    let seen = seen.ok_or_else(|| bench.violation(format!("{what}: none")))?;
    let end = range.start + seen.len() as u64;
    if end > range.end {
        return Err(bench.violation(format!("{what}: {} entries", seen.len())));
    }
    bench.same(&what, &seen, &entries(range.start..end))?;
    Ok(seen)
}

fn hint_is_a_target<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.log(60)?;
    for _ in 0..100 {
        let start = bench.random.u64(1..60);
        let hint = bench.random.i64(1..400);
        let seen = hinted(bench, &store, start..60, hint)?;
        let Some((_, before)) = seen.split_last() else {
            return Err(bench.violation(format!("nothing from {start} on for a hint of {hint}")));
        };
        let bytes: u64 = before.iter().map(LogEntry::bytes).sum();
        if bytes > hint.unsigned_abs() {
            let what = format!("{} entries from {start} on for a hint of {hint}, {bytes} bytes and one", seen.len());
            return Err(bench.violation(what));
        }
    }
    Ok(())
}

fn hint_zero_is_no_limit<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.log(60)?;
    let seen = hinted(bench, &store, 1..60, 0)?;
    bench.same("the entries for a hint of 0", seen.len(), 59)
}

fn negative_hint_sends_none<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.log(10)?;
    for hint in [-1, i64::MIN] {
        let seen = bench.ok("log_entries_ext", store.log_entries_ext(1..10, hint))?;
        bench.same(&format!("log_entries_ext(1, 10, {hint})"), seen, Some(Vec::new()))?;
    }
    Ok(())
}

fn term_outside_is_zero<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.log_from(15, 30)?;
    // Index 14 is the boundary, whose term is another rule's.
    for index in [0, 1, 13, 30, 31, u64::MAX] {
        bench.same(&format!("term_at({index}) of 15 to 29"), bench.ok("term_at", store.term_at(index))?, 0)?;
    }
    for index in 15..30 {
        bench.same("term_at", bench.ok("term_at", store.term_at(index))?, entry(index).term)?;
    }
    Ok(())
}
