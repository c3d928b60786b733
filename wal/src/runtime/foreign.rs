//! Code that is not ours: callbacks, wakers, listeners, machines of the layer above, disks. What it panics with ends
//! with the call.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::runtime::sync::MODELLED;

/// Calls what may panic; the panic's message, if it does.
///
/// # Errors
/// The message. What was called is to be taken as broken, unless it is over with the call.
pub fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, Arc<str>> {
    if MODELLED {
        // A model that has failed panics, and is to.
        return Ok(call());
    }
    catch_unwind(AssertUnwindSafe(call)).map_err(message)
}

/// In an error of a disk: it has panicked, with this message. That says nothing of the bytes that were asked for.
#[derive(Debug, thiserror::Error)]
#[error("the disk has panicked: {0}")]
pub(crate) struct Panicked(pub(crate) Arc<str>);

fn message(panic: Box<dyn Any + Send>) -> Arc<str> {
    match panic.downcast::<String>() {
        Ok(message) => Arc::from(*message),
        Err(panic) => match panic.downcast::<&str>() {
            Ok(message) => Arc::from(*message),
            Err(other) => {
                // To drop it is to call code that is not ours once more.
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
