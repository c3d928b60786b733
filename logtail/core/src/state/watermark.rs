//! `Watermark`: up to which timestamp readers see all, and what it may not pass.

use std::sync::atomic::Ordering;

#[cfg(all(loom, test))]
use loom::sync::atomic::AtomicI64;
#[cfg(not(all(loom, test)))]
use std::sync::atomic::AtomicI64;

use crate::{
    mutants::{self, Mutant},
    timestamp::Timestamp,
};

/// Up to which timestamp readers see all transactions. Any thread raises it to a transaction of rows and deletes that
/// is committed, as is all before it; over a *change* (of the catalog, a flush or a load) one thread alone, the
/// applier's, which makes the change visible first.
#[derive(Debug)]
pub(crate) struct Watermark {
    at: AtomicI64,
    /// The timestamp of the first change that is placed and not published; the greatest value where there is none.
    unpublished: AtomicI64,
}

impl Watermark {
    pub(crate) fn new() -> Self {
        Self { at: AtomicI64::new(0), unpublished: AtomicI64::new(i64::MAX) }
    }

    /// The watermark. What was published up to it is seen by the caller.
    pub(crate) fn get(&self) -> Timestamp {
        // Acquire: with the timestamp comes what was published below it.
        Timestamp::from_i64(self.at.load(Ordering::Acquire)).unwrap_or_default()
    }

    /// Raises it to a transaction that was placed before this call, unless a change is before that. Returns whether
    /// readers see the transaction.
    pub(crate) fn raise(&self, timestamp: Timestamp) -> bool {
        // A change with a lower timestamp was placed before the transaction, and so before this call: it is read here,
        // unless it is published by now. Acquire: what its publishing made is there then, and the raise hands it on.
        if timestamp.to_i64() < self.unpublished.load(Ordering::Acquire) || mutants::is_on(Mutant::ChangePassed) {
            self.raise_to(timestamp);
        }
        self.get() >= timestamp
    }

    /// Of the changes that are placed and not published, this is now the first. To be told before a transaction behind
    /// it is placed.
    pub(crate) fn hold(&self, change: Option<Timestamp>) {
        // Release: who finds no change before a transaction finds those published that there were.
        self.unpublished.store(change.map_or(i64::MAX, Timestamp::to_i64), Ordering::Release);
    }

    /// Raises it over changes up to `timestamp`, which `show` makes visible. It returns the first of the others.
    pub(crate) fn publish(&self, timestamp: Timestamp, show: impl FnOnce() -> Option<Timestamp>) {
        if mutants::is_on(Mutant::ChangeLetGoEarly) {
            self.hold(None);
        }
        let next = show();
        self.raise_to(timestamp);
        self.hold(next);
    }

    /// It never goes back, though threads raise it in any order.
    fn raise_to(&self, timestamp: Timestamp) {
        let at = timestamp.to_i64();
        if mutants::is_on(Mutant::WatermarkSetBack) {
            if self.at.load(Ordering::Acquire) < at {
                self.at.store(at, Ordering::Release);
            }
            return;
        }
        // Release: who reads the timestamp finds what is below it. Acquire: others have published some of that.
        self.at.fetch_max(at, Ordering::AcqRel);
    }
}
