//! Coverage marks: places in the code that a simulation must have reached before its success means anything.
//!
//! Without the feature `marks` they compile to nothing.

#[cfg(feature = "marks")]
use std::{cell::RefCell, collections::BTreeMap};

/// Counts a visit of `mark` by this thread.
#[inline(always)]
pub fn hit(mark: &'static str) {
    #[cfg(feature = "marks")]
    HITS.with_borrow_mut(|hits| *hits.entry(mark).or_default() += 1);
    #[cfg(not(feature = "marks"))]
    let _ = mark;
}

/// [`hit`] if `condition` holds; for places that are one expression.
#[inline(always)]
pub fn hit_if(condition: bool, mark: &'static str) {
    if cfg!(feature = "marks") && condition {
        hit(mark);
    }
}

/// Takes the counts of this thread: its visits of each mark since the last call.
#[cfg(feature = "marks")]
pub fn take() -> BTreeMap<&'static str, u64> {
    HITS.take()
}

#[cfg(feature = "marks")]
thread_local! {
    static HITS: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}
