//! Deliberate bugs, so that a simulation can be shown to miss the rule: those of `logboom_wal::mutants` that are this
//! crate's, by name. Without the feature `mutants` they are not compiled.

#[cfg(feature = "mutants")]
static ON: parking_lot::Mutex<&str> = parking_lot::Mutex::new("");

/// Whether the one that is switched on has this name.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub(crate) const fn is_on(name: &str) -> bool {
    let _ = name;
    false
}

/// Whether the one that is switched on has this name.
#[cfg(feature = "mutants")]
pub(crate) fn is_on(name: &str) -> bool {
    *ON.lock() == name
}

/// Switches the one of this name on, if there is one, and the others off.
#[cfg(feature = "mutants")]
pub fn switch_on(name: &'static str) {
    *ON.lock() = name;
}
