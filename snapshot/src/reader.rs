//! Reading a file of a snapshot.
use std::io::{self, Read, Seek, SeekFrom};

/// One file of a leased snapshot, read as a stream with reading ahead. Every block is verified before any of it is
/// given out; the whole when it is read from its beginning to its end. It holds the lease.
#[derive(Debug)]
pub struct Reader(());

impl Reader {
    /// The file's length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a length of a file, not of a collection")]
    pub fn len(&self) -> u64 {
        unimplemented!()
    }
}

impl Read for Reader {
    fn read(&mut self, _into: &mut [u8]) -> io::Result<usize> {
        unimplemented!()
    }
}

impl Seek for Reader {
    fn seek(&mut self, _to: SeekFrom) -> io::Result<u64> {
        unimplemented!()
    }
}
