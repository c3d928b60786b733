//! Reads a log that another process may be writing.

use std::{thread, time::Duration};

/// The most looks until two in a row find the same.
const LOOKS_MAX: u32 = 8;

/// The first pause between two looks. Each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(4);

/// Calls `look` until a look finds no fault, or the same fault as the look before. Returns that look, or `None` if no
/// two in a row agree after 8. `wrong` describes the fault that a look found, or returns `None`.
///
/// A writer may free and reuse segments during a look, so that a segment is gone that was named by what the look read
/// before. The next look does not find such a fault again, but finds real damage again. If a look takes longer than the
/// writer needs to reuse its segments, no two looks agree. Sleeps between looks, at most about half a second in all.
pub fn steady<T>(look: impl Fn() -> T, wrong: impl Fn(&T) -> Option<String>) -> Option<T> {
    let mut before = None;
    for nth in 0..LOOKS_MAX {
        let found = look();
        let said = wrong(&found);
        if said.is_none() || said == before {
            return Some(found);
        }
        before = said;
        if nth + 1 < LOOKS_MAX {
            thread::sleep(PAUSE * (1 << nth));
        }
    }
    None
}
