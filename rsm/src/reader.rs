//! `SnapshotReader`: the snapshot that a machine recovers from.

use std::{
    fmt,
    io::{self, Read},
};

use logboom::snapshot::{Lease, Stop};

use crate::error::{Error, Result};

/// The snapshot's file for the machine's state.
pub(crate) const STATE: &str = "state";
/// The prefix of the files that the machine added.
pub(crate) const ADDED: &str = "files/";

/// A saved snapshot: reading it yields the machine's state, in pieces of any size; added files are opened by name.
///
/// Every byte is verified before it is returned. Reading fails once the stop signal was given.
pub struct SnapshotReader<'s> {
    index: u64,
    term: u64,
    source: &'s dyn Source,
    state: Box<dyn Read + 's>,
    stop: Stop,
    /// A read has failed.
    failed: bool,
}

/// Access to a snapshot's files.
pub(crate) trait Source {
    /// Their names and lengths in bytes.
    fn files(&self) -> Vec<(String, u64)>;

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + '_>>;
}

impl<'s> SnapshotReader<'s> {
    pub(crate) fn new(index: u64, term: u64, source: &'s dyn Source, stop: &Stop) -> io::Result<Self> {
        let state = source.open(STATE)?;
        Ok(Self { index, term, source, state, stop: stop.clone(), failed: false })
    }

    /// Fails if a read failed or the stop signal was given, even if the machine reported success.
    pub(crate) fn check(&self) -> Result<()> {
        self.stop.check()?;
        match self.failed {
            true => Err(Error::machine("recover_from_snapshot", "reading failed, and the machine went on".into())),
            false => Ok(()),
        }
    }

    /// The last index that the snapshot includes.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The term of that index.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The names of the files that were added, and their lengths in bytes, in the order in which they were added.
    pub fn files(&self) -> Vec<(String, u64)> {
        let added = |(name, len): (String, u64)| Some((name.strip_prefix(ADDED)?.to_owned(), len));
        self.source.files().into_iter().filter_map(added).collect()
    }

    /// Opens a file that was added, to be read from its beginning.
    ///
    /// # Errors
    /// `NotFound`, and those of the device.
    pub fn open(&self, name: &str) -> io::Result<impl Read + use<'s>> {
        let file = self.source.open(&format!("{ADDED}{name}"))?;
        Ok(Stoppable { inner: file, stop: self.stop.clone() })
    }
}

impl Read for SnapshotReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.stop.check().map_err(io::Error::from).and_then(|()| self.state.read(into));
        self.failed |= read.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
        read
    }
}

impl fmt::Debug for SnapshotReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotReader").field("index", &self.index).field("term", &self.term).finish_non_exhaustive()
    }
}

impl Source for Lease {
    fn files(&self) -> Vec<(String, u64)> {
        self.manifest().files.iter().map(|file| (file.name.clone(), file.len)).collect()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(Lease::open(self, name)?))
    }
}

/// A stream that fails when it is to stop.
pub(crate) struct Stoppable<T> {
    pub(crate) inner: T,
    pub(crate) stop: Stop,
}

impl<R: Read> Read for Stoppable<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stop.check()?;
        self.inner.read(into)
    }
}

impl<W: io::Write> io::Write for Stoppable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stop.check()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
