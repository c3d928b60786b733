//! Rules about durability: what survives power loss, and what the store reports.

use std::sync::Arc;

use logboom::EntryId;
use parking_lot::Mutex;

use super::{
    Row, Rule, Subject, Violation,
    bench::{Bench, entries, entry, other},
};
use crate::log_store::{LogEntry, LogStore};

pub(super) fn rows<'s, S: Subject>() -> [Row<'s, S>; 9] {
    [
        (Rule::BatchIsDurable, batch_is_durable),
        (Rule::BatchCountsNothing, batch_counts_nothing),
        (Rule::FlushIsDurable, flush_is_durable),
        (Rule::PackIsDurable, pack_is_durable),
        (Rule::InstallIsDurable, install_is_durable),
        (Rule::CrashLeavesAPrefix, crash_leaves_a_prefix),
        (Rule::ReplacedStaysReplaced, replaced_stays_replaced),
        (Rule::DurableIndexIsTrue, durable_index_is_true),
        (Rule::NoticeForEachBatch, notice_for_each_batch),
    ]
}

fn batch_is_durable<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let mut store = bench.subject.store();
    let mut end = 1;
    for _ in 0..4 {
        let next = end + bench.random.u64(1..12);
        bench.append_all(&store, end..next)?;
        bench.end(&store, end, next - end)?;
        end = next;
        store = bench.subject.crash(store);
        bench.holds(&store, 1, &entries(1..end))?;
        bench.same("last_durable_index behind a crash", store.last_durable_index(), end - 1)?;
    }
    Ok(())
}

fn batch_counts_nothing<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    // What the request was, of which only 10 to 14 were new.
    for (start, count) in [(3, 12), (3, 4), (15, 0), (0, 0)] {
        let store = bench.log(10)?;
        bench.append_all(&store, 10..15)?;
        bench.end(&store, start, count)?;
        let store = bench.subject.crash(store);
        bench.holds(&store, 1, &entries(1..15))?;
        bench.end(&store, start.min(14), count)?;
    }
    Ok(())
}

fn flush_is_durable<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.log(5)?;
    bench.append_all(&store, 5..9)?;
    bench.ok("write_at", store.write_at(7, other(7)))?;
    bench.ok("flush", store.flush())?;
    bench.same("last_durable_index behind a flush", store.last_durable_index(), 7)?;
    let store = bench.subject.crash(store);
    bench.holds(&store, 1, &[entries(1..7), vec![other(7)]].concat())
}

fn pack_is_durable<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let from = bench.log(40)?;
    let pack = bench.ok("pack", from.pack(7, 20))?.ok_or_else(|| bench.violation("pack(7, 20): none"))?;
    let to = bench.subject.store();
    bench.ok("apply_pack", to.apply_pack(7, &pack))?;
    let end = to.next_slot();
    let to = bench.subject.crash(to);
    bench.holds(&to, 7, &entries(7..end))
}

fn install_is_durable<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.log(10)?;
    let at = EntryId { index: 50, term: 9 };
    bench.ok("install", store.install(at))?;
    let store = bench.subject.crash(store);
    bench.holds(&store, 51, &[])?;
    bench.same("last_id behind a crash", bench.ok("last_id", store.last_id())?, at)
}

fn crash_leaves_a_prefix<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    for _ in 0..6 {
        let durable = bench.random.u64(1..10);
        let end = durable + bench.random.u64(1..10);
        let store = bench.log(durable)?;
        bench.append_all(&store, durable..end)?;
        let store = bench.subject.crash(store);
        let left = store.next_slot();
        if left < durable || left > end {
            return Err(bench.violation(format!("durable below {durable}, written below {end}, left below {left}")));
        }
        bench.holds(&store, 1, &entries(1..left))?;
        bench.append_all(&store, left..left + 3)?;
        bench.holds(&store, 1, &entries(1..left + 3))?;
    }
    Ok(())
}

fn replaced_stays_replaced<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    for count in [1, 5] {
        let store = bench.log(20)?;
        bench.ok("write_at", store.write_at(8, other(8)))?;
        for index in 9..8 + count {
            bench.append(&store, index, other(index))?;
        }
        bench.end(&store, 8, count)?;
        let store = bench.subject.crash(store);
        let replaced: Vec<LogEntry> = (8..8 + count).map(other).collect();
        bench.holds(&store, 1, &[entries(1..8), replaced].concat())?;
    }
    Ok(())
}

fn durable_index_is_true<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    for round in 0..8 {
        let store = bench.log(10)?;
        bench.append_all(&store, 10..13)?;
        if round % 2 == 0 {
            bench.ok("write_at", store.write_at(6, other(6)))?;
            bench.append(&store, 7, other(7))?;
        }
        let (durable, before) = (store.last_durable_index(), bench.entries(&store)?);
        if durable > before.len() as u64 {
            return Err(bench.violation(format!("entries up to {}, up to {durable} durable", before.len())));
        }
        let store = bench.subject.crash(store);
        let after = bench.entries(&store)?;
        let mut after = after.iter();
        for (index, before) in (1..=durable).zip(&before) {
            bench.same(&format!("entry {index} of {durable} durable ones"), after.next(), Some(before))?;
        }
    }
    let store = bench.log(10)?;
    bench.append(&store, 10, entry(10))?;
    bench.end(&store, 10, 1)?;
    bench.same("last_durable_index behind a batch", store.last_durable_index(), 10)
}

fn notice_for_each_batch<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    const BATCHES: u64 = 5;
    let store = Arc::new(bench.subject.store());
    let notices = Arc::new(Mutex::new(Vec::new()));
    let (noted, weak) = (Arc::clone(&notices), Arc::downgrade(&store));
    store.on_append_completion(Arc::new(move |outcome| {
        let durable = weak.upgrade().map(|store| store.last_durable_index());
        noted.lock().push(outcome.map(|()| durable).map_err(|error| format!("{error:#}")));
    }));
    for batch in 0..BATCHES {
        bench.append_all(&store, 1 + batch * 3..4 + batch * 3)?;
        bench.end(&store, 1 + batch * 3, 3)?;
    }
    if !bench.subject.is_parallel() {
        bench.subject.settle(&store);
        return bench.same("notices of a log that waits", notices.lock().len(), 0);
    }
    bench.until("a notice for each batch", &store, || notices.lock().len() as u64 >= BATCHES)?;
    bench.subject.settle(&store);
    let notices = notices.lock().clone();
    bench.same("notices", notices.len() as u64, BATCHES)?;
    for (batch, notice) in (1..).zip(notices) {
        match notice {
            Ok(Some(durable)) if durable >= batch * 3 => {}
            other => return Err(bench.violation(format!("the notice of batch {batch}, of 3 entries each: {other:?}"))),
        }
    }
    Ok(())
}
