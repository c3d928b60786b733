//! The places that a run is to reach: see `logboom_wal::marks`.

use std::collections::BTreeMap;

/// Every mark that a minute of histories reaches.
pub const ALL: &[&str] = &[];

/// Those of [`ALL`] that were not reached, and those that were reached and are not in it.
pub fn missing_and_unknown(reached: &BTreeMap<&'static str, u64>) -> (Vec<&'static str>, Vec<&'static str>) {
    let missing = ALL.iter().copied().filter(|mark| !reached.contains_key(mark)).collect();
    let unknown = reached.keys().copied().filter(|mark| !ALL.contains(mark)).collect();
    (missing, unknown)
}
