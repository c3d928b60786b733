//! Coverage marks: places in the code that a simulation is to have reached before its silence means anything.
//!
//! Without the feature `marks` a mark is nothing at all.

#[cfg(feature = "marks")]
use std::{cell::RefCell, collections::BTreeMap};

/// Notes that this thread came by `mark`.
#[inline(always)]
pub fn hit(mark: &'static str) {
    #[cfg(feature = "marks")]
    HITS.with_borrow_mut(|hits| *hits.entry(mark).or_default() += 1);
    #[cfg(not(feature = "marks"))]
    let _ = mark;
}

/// [`hit`], when something holds; for places that are one expression.
#[inline(always)]
pub fn hit_if(condition: bool, mark: &'static str) {
    if cfg!(feature = "marks") && condition {
        hit(mark);
    }
}

/// How often this thread came by each mark since it last asked.
#[cfg(feature = "marks")]
pub fn take() -> BTreeMap<&'static str, u64> {
    HITS.take()
}

#[cfg(feature = "marks")]
thread_local! {
    static HITS: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}
