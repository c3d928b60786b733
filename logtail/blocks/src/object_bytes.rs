//! `ObjectBytes`: the bytes of an object that is being written.

use std::io::{self, Write};

use bytes::Bytes;

/// What may wait in the buffer before the object.
const BUFFER: usize = 16 << 10;

/// An object of up to so many bytes takes the memory for all of them once it has more than one row group.
const WHOLE_MAX: u64 = 64 << 20;

/// The bytes of an object in one piece. They grow by what is known to come: growing copies them at times, into memory
/// that the system has to clear first, and of memory that grows by doubling up to a half is not used.
#[derive(Debug, Default)]
pub(crate) struct ObjectBytes(Vec<u8>);

impl ObjectBytes {
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The memory that is taken.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.0.capacity()
    }

    /// A row group of `more` bytes comes, of an object that will be full with `full` bytes. A footer will follow.
    pub(crate) fn reserve(&mut self, more: usize, full: u64) {
        let len = self.0.len();
        let more = more + more / 16 + BUFFER;
        if len + more <= self.0.capacity() {
            return;
        }
        let left = usize::try_from(full).unwrap_or(usize::MAX).saturating_sub(len);
        let more = match len {
            0 => more,
            _ if full <= WHOLE_MAX => more.saturating_add(left),
            _ => more.max(len / 3),
        };
        self.0.reserve_exact(more);
    }

    /// The object.
    pub(crate) fn finish(mut self) -> Bytes {
        self.0.shrink_to_fit();
        self.0.into()
    }
}

impl Write for ObjectBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.capacity() - self.0.len() < bytes.len() {
            self.0.reserve_exact(bytes.len().max(self.0.len() / 16));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
