//! Building a snapshot.
use std::io::{self, Write};

use crate::{Built, Progress, Result};

/// A snapshot that is being built: its files are written one after the other, as streams, into one container.
///
/// It may move between threads. Dropped, or after an error, it leaves nothing.
#[derive(Debug)]
pub struct Builder(());

impl Builder {
    /// Begins the next file and ends the one before. Bytes are in it when they were written; nothing has to be flushed.
    ///
    /// # Errors
    /// [`Error::Name`](crate::Error::Name), [`Error::TooLarge`](crate::Error::TooLarge) for too many files.
    pub fn file(&mut self, name: &str) -> Result<FileWriter<'_>> {
        let _ = name;
        unimplemented!()
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        unimplemented!()
    }

    /// Completes the snapshot: everything of it is durable on return, under its name, and it is nobody's until it is
    /// registered.
    ///
    /// # Errors
    /// The first error of any write; those of the device; [`Error::Stopped`](crate::Error::Stopped).
    pub fn finish(self) -> Result<Built> {
        unimplemented!()
    }
}

/// Writes one file of a snapshot. Its errors have the [`Error`](crate::Error) as their source, and
/// [`Builder::finish`] repeats the first.
#[derive(Debug)]
pub struct FileWriter<'b>(std::marker::PhantomData<&'b mut Builder>);

impl Write for FileWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
