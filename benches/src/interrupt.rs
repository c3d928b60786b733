//! Notes the signals that ask the process to end.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

use crate::Result;

/// From now on the signals that ask a process to end are only noted, so that the run removes its files first. A second
/// signal does not end the process either, since `timeout` and terminals may send the same request twice. `SIGQUIT`
/// ends it.
pub fn watch() -> Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register(signal, noted().clone())?;
    }
    Ok(())
}

/// Returns an error after such a signal.
pub fn check() -> Result<(), Interrupted> {
    if noted().load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
}

/// The user has stopped the run.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

fn noted() -> &'static Arc<AtomicBool> {
    static NOTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    NOTED.get_or_init(Arc::default)
}
