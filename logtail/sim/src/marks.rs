//! The places that a run must reach: see `logboom_wal::marks`.

use std::collections::BTreeMap;

/// Every mark of this crate that some thousands of histories reach.
pub const ALL: &[&str] = &[
    "change: a column is added",
    "change: a column is dropped",
    "change: a column is renamed",
    "change: a column is widened",
    "change: a database is dropped",
    "change: a database is made",
    "change: a database is renamed",
    "change: a table is dropped",
    "change: a table is renamed",
    "change: a table with a key is made",
    "change: a table without a key is made",
    "change: refused",
    "checkpoint: beside a change that is not published",
    "checkpoint: written",
    "clock: set back",
    "clock: set forward",
    "clock: stands still",
    "clock: timestamps are ahead of it",
    "commit: begun at an older timestamp",
    "commit: its end is not known",
    "commit: not waited for",
    "commit: nothing to write",
    "commit: refused, a key is there",
    "commit: refused, another one wrote the row",
    "commit: refused, another writer has taken over",
    "commit: refused, the schema has changed",
    "commit: refused, the snapshot is older than a flush",
    "commit: refused, the snapshot is older than a load",
    "commit: refused, the tail has stopped",
    "commit: refused, there is no such row",
    "commit: refused, too long for an entry",
    "commit: the clock's bound is reached",
    "crash: a load is committed, and not acknowledged",
    "crash: in the middle of a load",
    "crash: in the middle of an operation",
    "crash: in the second round of a flush's tombstones",
    "ending: closed",
    "flush: done",
    "flush: given up",
    "flush: given up, with objects in the store",
    "flush: of several objects",
    "flush: tombstones of a round are in several objects",
    "flush: tombstones of several rounds",
    "flush: tombstones of several rounds are of a block",
    "get: some keys are there",
    "load: done",
    "load: given up",
    "load: of a row that no entry takes",
    "load: of several objects",
    "load: other transactions wait for the disk",
    "load: refused, a key is there",
    "load: refused, another one wrote a key",
    "load: refused, the schema has changed",
    "load: refused, two of its rows have a key",
    "load: without rows",
    "opening: a read of the store is given up",
    "opening: again and again",
    "opening: another writer takes over",
    "opening: cut short, and begun again",
    "opening: from a checkpoint",
    "opening: the horizon was raised",
    "operation: refused, it does not fit the table",
    "operation: refused, the transaction has the key",
    "recovery: a change of the catalog is gone",
    "recovery: a change of the catalog is there, though not acknowledged",
    "recovery: a load is gone that was not acknowledged",
    "recovery: a load is there, though not acknowledged",
    "recovery: transactions are gone that were not acknowledged",
    "recovery: transactions are there, though not acknowledged",
    "retry: the first is found",
    "retry: the first is lost",
    "retry: the first is on its way",
    "scan: a filter chooses some rows",
    "scan: a block has deletes in memory and tombstones",
    "scan: at a timestamp before a flush",
    "scan: deleted rows have tombstones",
    "scan: rows are in objects and in memory",
    "scan: rows in memory are in a checkpoint",
    "scan: rows in memory are of several schemas",
    "store: a read is given up",
    "store: cut off",
    "store: requests are on their way at a crash",
    "watch: transactions wait for the disk",
];

/// Marks that are reached now and then.
pub const SELDOM: &[&str] =
    &["commit: refused, a read of the store is given up", "load: refused, a read of the store is given up"];

/// Those of [`ALL`] that were not reached.
pub fn missing(reached: &BTreeMap<&'static str, u64>) -> Vec<&'static str> {
    ALL.iter().copied().filter(|mark| !reached.contains_key(mark)).collect()
}

/// Whether a mark is one of this crate, rather than of the engine below.
pub fn is_own(mark: &str) -> bool {
    ALL.contains(&mark) || SELDOM.contains(&mark)
}
