//! Calls of foreign code: callbacks, wakers, listeners, machines of the layer above, disks. Catches their panics.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::runtime::sync::MODELLED;

/// Runs `call`, and catches its panic.
///
/// # Errors
/// The panic's message. State that the call has changed may be inconsistent.
pub fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, Arc<str>> {
    if MODELLED {
        // In a model, a panic is a failure of the model.
        return Ok(call());
    }
    catch_unwind(AssertUnwindSafe(call)).map_err(message)
}

/// The source of an error of a disk that panicked. It says nothing about the bytes that were to be read.
#[derive(Debug, thiserror::Error)]
#[error("the disk has panicked: {0}")]
pub(crate) struct Panicked(pub(crate) Arc<str>);

fn message(panic: Box<dyn Any + Send>) -> Arc<str> {
    match panic.downcast::<String>() {
        Ok(message) => Arc::from(*message),
        Err(panic) => match panic.downcast::<&str>() {
            Ok(message) => Arc::from(*message),
            Err(other) => {
                // Dropping the payload would run foreign code again.
                std::mem::forget(other);
                Arc::from("a panic without a message")
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[test]
    fn whatever_is_thrown_is_caught_and_told() {
        assert_eq!(guarded(|| 7).unwrap(), 7);
        assert_eq!(&*guarded(|| panic!("plain")).unwrap_err(), "plain");
        let number = 3;
        assert_eq!(&*guarded(|| panic!("number {number}")).unwrap_err(), "number 3");
        assert_eq!(&*guarded(|| std::panic::panic_any(Bomb)).unwrap_err(), "a panic without a message");
    }
}
