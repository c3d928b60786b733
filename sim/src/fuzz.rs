//! Histories whose decisions are a fuzzer's: the bodies of the targets `engine_ops` and `engine_crash`.

use crate::{Choices, Scope, run};

/// The most bytes of an input: a longer history finds nothing that a shorter one does not.
const BYTES_MAX: usize = 4 << 10;

/// Runs a history of operations and openings, and compares the engine with the model.
///
/// # Panics
/// If an invariant does not hold.
pub fn engine_ops(bytes: &[u8]) {
    history(bytes, Scope::Operations);
}

/// Runs a history with crashes in the middle of operations and of recoveries.
///
/// # Panics
/// If an invariant does not hold.
pub fn engine_crash(bytes: &[u8]) {
    history(bytes, Scope::Crashes);
}

fn history(bytes: &[u8], scope: Scope) {
    let bytes = &bytes[..bytes.len().min(BYTES_MAX)];
    if let Err(failure) = run(Choices::from_bytes(bytes), scope) {
        panic!("{failure:#}");
    }
}
