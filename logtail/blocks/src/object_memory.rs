//! `ObjectMemory`: memory for the bytes of objects, which one leaves to the next.

use std::sync::{Arc, Mutex, PoisonError};

/// Memory that is kept between objects, at most.
const KEPT_MAX: usize = 3;

/// Memory for the bytes of objects that are written one after the other, by any thread. An object that is
/// [dropped](crate::WrittenObject) leaves its memory to one that comes: memory that is given back to the system and
/// taken again has to be cleared and mapped page by page, which was more than a third of the time that encoding took.
#[derive(Clone, Debug, Default)]
pub struct ObjectMemory(Arc<Mutex<Vec<Vec<u8>>>>);

/// The bytes of an object, which go back to the memory that they are from.
pub(crate) struct Lent {
    bytes: Vec<u8>,
    memory: ObjectMemory,
}

impl ObjectMemory {
    /// Gives back to the system what no object uses.
    pub fn release(&self) {
        self.with(Vec::clear);
    }

    /// An empty buffer.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.with(Vec::pop).unwrap_or_default()
    }

    /// Bytes that leave their memory to others once they are dropped.
    pub(crate) fn lend(self, bytes: Vec<u8>) -> Lent {
        Lent { bytes, memory: self }
    }

    fn with<R>(&self, change: impl FnOnce(&mut Vec<Vec<u8>>) -> R) -> R {
        // Nothing panics under the lock but allocation, after which any buffers are as good.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        self.memory.with(|kept| {
            if kept.len() < KEPT_MAX {
                kept.push(bytes);
            }
        });
    }
}
