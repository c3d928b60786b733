//! Reading around unreadable blocks: an opening goes on without them, and reports them.

use std::{io, ops::Range};

use logboom_disk::{File, Mode, Pool, Slice, lacks_files};

use crate::{
    runtime::foreign::Panicked,
    segments::{
        identity::{NAME_NEW, is_identity},
        medium::Medium,
        segment::{read_slice, slot_of},
        slots::is_slot,
    },
    types::error::Error,
};

/// The byte ranges of a file that could not be read.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    ranges: Vec<Range<usize>>,
    /// The error of the last of them.
    error: Option<io::Error>,
    /// The device failed to read some: they do not merely lie beyond the end of the file.
    is_failure: bool,
}

impl Holes {
    /// For a file that is not used at all.
    pub(crate) fn whole(error: io::Error) -> Self {
        let mut holes = Self::default();
        holes.add(0..usize::MAX, error);
        holes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether the device failed: that may concern all of it, not only these bytes.
    pub(crate) fn is_failure(&self) -> bool {
        self.is_failure
    }

    /// The error of the last of them; `None` if there is none.
    pub(crate) fn into_error(self) -> Option<io::Error> {
        self.error
    }

    pub(crate) fn touch(&self, range: &Range<usize>) -> bool {
        self.ranges.iter().any(|hole| hole.start < range.end && range.start < hole.end)
    }

    /// Whether no byte of `range` could be read; ranges may be recorded block by block, or as one.
    pub(crate) fn cover(&self, range: Range<usize>, pad: usize) -> bool {
        range.step_by(pad).all(|at| self.touch(&(at..at + pad)))
    }

    /// Describes what could not be read, and why.
    pub(crate) fn why(&self) -> Option<String> {
        let (first, last) =
            (self.ranges.iter().min_by_key(|hole| hole.start)?, self.ranges.iter().map(|hole| hole.end).max()?);
        let why = self.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        Some(match self.ranges.len() {
            1 if last == usize::MAX => format!("cannot be read{why}"),
            1 => format!("bytes {} to {} cannot be read{why}", first.start, last - 1),
            _ => format!("some of the bytes {} to {} cannot be read{why}", first.start, last - 1),
        })
    }

    fn add(&mut self, range: Range<usize>, error: io::Error) {
        self.is_failure |= error.kind() != io::ErrorKind::UnexpectedEof;
        self.error = Some(error);
        if self.touch(&range) {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push(range),
        }
    }
}

/// Reads `range`, whole blocks; adds those that cannot be read to `holes`, and returns zeros in their place.
///
/// Retries a failed read, then halves it, down to the blocks that fail.
///
/// # Errors
/// Errors that say nothing about the bytes: a lack of memory, for example.
pub(crate) fn read_around(
    file: &dyn File,
    pool: &Pool,
    pad: usize,
    range: Range<usize>,
    holes: &mut Holes,
) -> io::Result<Slice> {
    match read_slice(file, pool, range.start, range.len()) {
        Ok(bytes) => return Ok(bytes),
        Err(error) if is_of_the_bytes(&error) => {}
        Err(error) => return Err(error),
    }
    let mut region = pool.region(range.len());
    let bytes = &mut region[..range.len()];
    bytes.fill(0);
    // Skips what lies beyond the end of the file.
    let whole = usize::try_from(file.size()?).map_or(usize::MAX, |size| size / pad * pad).clamp(range.start, range.end);
    read_parts(file, pool, pad, range.start, &mut bytes[..whole - range.start], holes)?;
    if whole < range.end {
        holes.add(whole..range.end, io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends before"));
    }
    Ok(region.freeze().slice(..range.len()))
}

fn read_parts(
    file: &dyn File,
    pool: &Pool,
    pad: usize,
    at: usize,
    bytes: &mut [u8],
    holes: &mut Holes,
) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    match read_slice(file, pool, at, bytes.len()) {
        Ok(read) => bytes.copy_from_slice(&read),
        Err(error) if !is_of_the_bytes(&error) => return Err(error),
        Err(error) if bytes.len() <= pad => holes.add(at..at + bytes.len(), error),
        Err(_) => {
            let half = (bytes.len() / pad).div_ceil(2) * pad;
            let (front, back) = bytes.split_at_mut(half);
            read_parts(file, pool, pad, at, front, holes)?;
            read_parts(file, pool, pad, at + half, back, holes)?;
        }
    }
    Ok(())
}

/// Repeats a read that succeeded before, to see whether the device still works: of `LOGBOOM` if the log was opened by
/// it, or else of the start of any file of the log.
///
/// # Errors
/// [`Error::Io`] if that fails as well.
pub(crate) fn require_device(medium: &Medium, is_named: bool) -> Result<(), Error> {
    let fail = |name: &str, error| Error::io(format!("reading {name} again after other reads failed"), error);
    let names = medium.disk.list().map_err(|error| fail("the directory", error))?;
    let is_named = is_named && names.iter().any(|name| is_identity(name));
    let is_asked = |name: &&String| match is_named {
        true => is_identity(name),
        false => slot_of(name).is_some() || is_slot(name) || *name == NAME_NEW,
    };
    let mut failure = None;
    for name in names.iter().filter(is_asked) {
        match read_again(medium, name) {
            Ok(()) => return Ok(()),
            Err(error) => failure = Some(fail(name, error)),
        }
    }
    failure.map_or(Ok(()), Err)
}

fn read_again(medium: &Medium, name: &str) -> io::Result<()> {
    let file = medium.disk.open(name, Mode::Read)?;
    // The page cache would serve reads of a device that is gone.
    file.forget_cached()?;
    read_slice(&*file, &medium.pool, 0, medium.framing.pad).map(drop)
}

/// Whether an error means that the bytes cannot be read, and not that the process lacks a resource.
pub(crate) fn is_of_the_bytes(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, InvalidInput, OutOfMemory, PermissionDenied, Unsupported, WouldBlock};
    let is_panic = error.get_ref().is_some_and(|inner| inner.is::<Panicked>());
    !is_panic
        && !lacks_files(error)
        && !matches!(
            error.kind(),
            Interrupted | InvalidInput | OutOfMemory | PermissionDenied | Unsupported | WouldBlock
        )
}

#[cfg(test)]
mod tests {
    use logboom_disk::{Disk, Fault, FaultKind, SimDisk, SimOptions, Sync};

    use super::*;

    const PAD: usize = 4096;

    #[test]
    fn what_can_be_read_is_read() {
        let (pool, disk) = (Pool::new(1 << 20), SimDisk::new(1, SimOptions::default()));
        let file = disk.open("file", Mode::Create).unwrap();
        file.allocate(8 * PAD as u64).unwrap();
        file.write_at(&[Slice::copy_from(&pool, &[7; 8 * PAD])], 0, Sync::None).unwrap();
        let bad = Fault::error(FaultKind::Read, io::ErrorKind::Other).within(3 * PAD as u64..4 * PAD as u64);
        disk.inject(bad.sticky());
        let mut holes = Holes::default();
        let bytes = read_around(&*file, &pool, PAD, 0..10 * PAD, &mut holes).unwrap();
        assert_eq!(holes.ranges, [3 * PAD..4 * PAD, 8 * PAD..10 * PAD]);
        assert!(holes.is_failure() && holes.touch(&(0..4 * PAD)) && !holes.touch(&(4 * PAD..8 * PAD)));
        assert!(holes.cover(8 * PAD..10 * PAD, PAD) && !holes.cover(3 * PAD..5 * PAD, PAD));
        for (nth, block) in bytes.chunks(PAD).enumerate() {
            let expected = if [3, 8, 9].contains(&nth) { 0 } else { 7 };
            assert!(block.iter().all(|&byte| byte == expected), "block {nth}");
        }
    }

    #[test]
    fn what_the_one_who_asks_lacks_says_nothing_of_the_bytes() {
        for (errno, of_the_bytes) in [(5, true), (61, true), (12, false), (13, false), (23, false), (24, false)] {
            assert_eq!(is_of_the_bytes(&io::Error::from_raw_os_error(errno)), of_the_bytes, "{errno}");
        }
    }

    #[test]
    fn what_fails_once_is_read_all_the_same() {
        let (pool, disk) = (Pool::new(1 << 20), SimDisk::new(1, SimOptions::default()));
        let file = disk.open("file", Mode::Create).unwrap();
        file.allocate(2 * PAD as u64).unwrap();
        disk.inject(Fault::error(FaultKind::Read, io::ErrorKind::Other));
        let mut holes = Holes::default();
        read_around(&*file, &pool, PAD, 0..2 * PAD, &mut holes).unwrap();
        assert!(holes.is_empty() && disk.pending_faults() == 0);
        disk.inject(Fault::error(FaultKind::Read, io::ErrorKind::OutOfMemory));
        assert!(read_around(&*file, &pool, PAD, 0..PAD, &mut holes).is_err());
    }
}
