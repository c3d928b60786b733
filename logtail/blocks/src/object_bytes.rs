//! `ObjectBytes`: the bytes of an object that is being written.

use std::io::{self, Write};

use bytes::Bytes;

use crate::object_memory::ObjectMemory;

/// What may wait in the buffer before the object.
const BUFFER: usize = 16 << 10;

/// An object of up to so many bytes takes the memory for all of them once it has more than one row group.
const WHOLE_MAX: u64 = 64 << 20;

/// The bytes of an object in one piece. They grow by what is known to come: growing copies them at times, into memory
/// that the system has to clear first, and of memory that grows by doubling up to a half is not used.
#[derive(Debug, Default)]
pub(crate) struct ObjectBytes {
    bytes: Vec<u8>,
    /// Where the memory is from, and goes to.
    memory: Option<ObjectMemory>,
}

impl ObjectBytes {
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// The memory that is taken.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// A row group of `more` bytes comes, of an object that will be full with `full` bytes. A footer will follow.
    pub(crate) fn reserve(&mut self, more: usize, full: u64) {
        let len = self.bytes.len();
        let more = more + more / 16 + BUFFER;
        if len + more <= self.bytes.capacity() {
            return;
        }
        let left = usize::try_from(full).unwrap_or(usize::MAX).saturating_sub(len);
        let more = match len {
            0 => more,
            _ if full <= WHOLE_MAX => more.saturating_add(left),
            _ => more.max(len / 3),
        };
        self.bytes.reserve_exact(more);
    }

    /// Goes on in memory that others have used.
    pub(crate) fn reuse(&mut self, memory: &ObjectMemory) {
        let mut bytes = memory.take();
        bytes.extend_from_slice(&self.bytes);
        *self = Self { bytes, memory: Some(memory.clone()) };
    }

    /// The object.
    pub(crate) fn finish(mut self) -> Bytes {
        match self.memory.take() {
            Some(memory) => Bytes::from_owner(memory.lend(self.bytes)),
            None => {
                self.bytes.shrink_to_fit();
                self.bytes.into()
            }
        }
    }
}

impl Write for ObjectBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.capacity() - self.bytes.len() < bytes.len() {
            self.bytes.reserve_exact(bytes.len().max(self.bytes.len() / 16));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
