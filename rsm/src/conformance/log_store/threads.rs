//! Many threads on one log.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use parking_lot::Mutex;

use super::{
    Subject, Violation,
    bench::{Bench, entry, other},
};
use crate::log_store::LogStore;

const ROUNDS: u64 = 60;
const READERS: usize = 3;

/// Appends, replaces and compacts, as a server does under its lock, while others read.
pub(super) fn check<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let store = bench.subject.store();
    let (done, seen) = (AtomicBool::new(false), Mutex::new(None));
    let written = thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    if let Err(what) = look(&*store) {
                        seen.lock().get_or_insert(what);
                    }
                    thread::yield_now();
                }
            });
        }
        let written = write(bench, &store);
        done.store(true, Ordering::Release);
        written
    });
    written?;
    match seen.into_inner() {
        Some(what) => Err(bench.violation(what)),
        None => Ok(()),
    }
}

fn write<S: Subject>(bench: &Bench<'_, S>, store: &S::Store) -> Result<(), Violation> {
    for round in 0..ROUNDS {
        let first = store.next_slot();
        for index in first..first + 4 {
            let made = if round % 2 == 0 { entry(index) } else { other(index) };
            bench.append(store, index, made)?;
        }
        bench.ok("write_at", store.write_at(first + 2, other(first + 2)))?;
        bench.end(store, first, 3)?;
        if round % 8 == 7 {
            bench.ok("compact", store.compact(first - 10))?;
        }
    }
    Ok(())
}

/// Each entry is one of the two that are ever written at its index, and answers have no holes.
fn look(store: &(impl LogStore + ?Sized)) -> Result<(), String> {
    let failed = |error: crate::log_store::Error| format!("{error:#}");
    let (start, next) = (store.start_index(), store.next_slot());
    if let Some(entries) = store.log_entries(start..next).map_err(failed)? {
        if entries.len() as u64 != next.saturating_sub(start) {
            return Err(format!("{} entries from {start} to {next}", entries.len()));
        }
        for (index, seen) in (start..).zip(&entries) {
            if *seen != entry(index) && *seen != other(index) {
                return Err(format!("entry {index}: {seen:?}"));
            }
        }
    }
    let index = next.saturating_sub(1);
    let (term, last) = (store.term_at(index).map_err(failed)?, store.last_id().map_err(failed)?);
    if ![0, entry(index).term, other(index).term].contains(&term) {
        return Err(format!("term_at({index}): {term}"));
    }
    if last.index > 0 && last.term != entry(last.index).term && last.term != other(last.index).term {
        return Err(format!("last_id: {last:?}"));
    }
    let durable = store.last_durable_index();
    // What is read of it first may be replaced by then, and be behind the one that was read later.
    if durable > store.next_slot().saturating_add(8) {
        return Err(format!("up to {durable} durable, of a log up to {}", store.next_slot()));
    }
    Ok(())
}
