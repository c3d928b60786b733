//! Looks at a log that a writer may have in use.

use std::{thread, time::Duration};

/// How often a log is looked at, at most, until two looks in a row have found the same.
const LOOKS_MAX: u32 = 8;

/// The first pause between two looks. Each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(4);

/// Looks until all is well, or as it was found just before; `None` when no two looks in a row have found the same.
/// `wrong` says what a look has found, as far as two can be compared by it; `None` if all is well.
///
/// A look takes time, and a writer may go on meanwhile: it frees segments and uses them again, so that one is gone that
/// was named by what was read before. Such damage is of no one moment, and the next look does not find it again. What
/// is damaged stays so: of a log at rest the second look confirms the first. Where a look takes longer than the writer
/// needs to go round, no look is right.
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
