//! How the beginning of a log goes.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use logboom::EntryId;

use super::{
    Row, Rule, Subject, Violation,
    bench::{Bench, entries, entry, other},
};
use crate::log_store::{Error, LogEntry, LogStore};

pub(super) fn rows<'s, S: Subject>() -> [Row<'s, S>; 8] {
    [
        (Rule::CompactIsInclusive, compact_is_inclusive),
        (Rule::WriteAtRefusesCompacted, write_at_refuses_compacted),
        (Rule::CompactPastTheEnd, compact_past_the_end),
        (Rule::CompactBelowIsNothing, compact_below_is_nothing),
        (Rule::LastIdSurvivesCompaction, last_id_survives_compaction),
        (Rule::CompactAsyncMovesAtOnce, compact_async_moves_at_once),
        (Rule::InstallKeepsWhatGoesOn, install_keeps_what_goes_on),
        (Rule::InstallReplacesOthers, install_replaces_others),
    ]
}

fn compact_is_inclusive<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.log(20)?;
    for index in [1, 2, 9] {
        bench.ok("compact", store.compact(index))?;
        bench.holds(&store, index + 1, &entries(index + 1..20))?;
    }
    bench.append(&store, 20, entry(20))?;
    bench.holds(&store, 10, &entries(10..21))
}

fn compact_past_the_end<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    for store in [bench.log(10)?, bench.subject.store()] {
        bench.ok("compact", store.compact(50))?;
        bench.holds(&store, 51, &[])?;
        let last = bench.ok("last_id", store.last_id())?;
        bench.same("the last index behind compact(50)", last.index, 50)?;
        bench.append(&store, 51, entry(51))?;
        bench.end(&store, 51, 1)?;
        bench.holds(&store, 51, &entries(51..52))?;
    }
    Ok(())
}

fn compact_below_is_nothing<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.log_from(8, 20)?;
    for index in [0, 1, 6, 7] {
        bench.ok("compact", store.compact(index))?;
        bench.holds(&store, 8, &entries(8..20))?;
    }
    Ok(())
}

/// eBay/NuRaft#668: a server that takes the term of the dummy for that of the log grants wrong votes.
fn last_id_survives_compaction<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.log(26)?;
    bench.ok("compact", store.compact(25))?;
    bench.same("last_entry", bench.ok("last_entry", store.last_entry())?, LogEntry::default())?;
    let last = EntryId { index: 25, term: entry(25).term };
    bench.same("last_id behind a full compaction", bench.ok("last_id", store.last_id())?, last)?;
    bench.same("term_at(25)", bench.ok("term_at", store.term_at(25))?, last.term)?;
    bench.append(&store, 26, entry(26))?;
    bench.same("term_at(25)", bench.ok("term_at", store.term_at(25))?, last.term)?;
    bench.ok("flush", store.flush())?;
    let store = bench.subject.crash(store);
    let index = store.start_index() - 1;
    let expected = if index == 0 { 0 } else { entry(index).term };
    bench.same("the boundary's term behind a crash", bench.ok("term_at", store.term_at(index))?, expected)
}

fn compact_async_moves_at_once<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.log(20)?;
    let calls = Arc::new(AtomicU32::new(0));
    for (calls_before, (index, start)) in [(5, 6), (3, 6), (19, 20), (30, 31)].into_iter().enumerate() {
        let counted = Arc::clone(&calls);
        let count = move |outcome: Result<(), Error>| {
            counted.fetch_add(if outcome.is_ok() { 1 } else { 100 }, Ordering::AcqRel);
        };
        store.compact_async(index, Box::new(count));
        bench.same(&format!("start_index behind compact_async({index})"), store.start_index(), start)?;
        bench.until("a compaction calls back", &store, || calls.load(Ordering::Acquire) as usize > calls_before)?;
    }
    bench.same("calls back of four compactions", calls.load(Ordering::Acquire), 4)
}

fn install_keeps_what_goes_on<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.log(30)?;
    let at = |index| EntryId { index, term: entry(index).term };
    bench.ok("install", store.install(at(12)))?;
    bench.holds(&store, 13, &entries(13..30))?;
    for old in [1, 5, 12] {
        bench.ok("install", store.install(at(old)))?;
        bench.holds(&store, 13, &entries(13..30))?;
    }
    bench.ok("install", store.install(at(29)))?;
    bench.holds(&store, 30, &[])?;
    bench.same("last_id", bench.ok("last_id", store.last_id())?, at(29))
}

fn install_replaces_others<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    for index in [4, 19, 20, 40] {
        let store = bench.log(20)?;
        let at = EntryId { index, term: 100 };
        bench.ok("install", store.install(at))?;
        bench.holds(&store, index + 1, &[])?;
        bench.same("last_id", bench.ok("last_id", store.last_id())?, at)?;
        bench.same("term_at", bench.ok("term_at", store.term_at(index))?, 100)?;
        bench.append(&store, index + 1, other(index + 1))?;
        bench.holds(&store, index + 1, &[other(index + 1)])?;
    }
    Ok(())
}

fn write_at_refuses_compacted<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.log_from(5, 10)?;
    for index in [0, 1, 4] {
        match store.write_at(index, entry(index)) {
            Err(Error::Compacted { start: 5 }) => {}
            outcome => return Err(bench.violation(format!("write_at({index}), the log begins at 5: {outcome:?}"))),
        }
    }
    bench.holds(&store, 5, &entries(5..10))
}
