//! Ranges of a file that cannot be read: an opening goes on without them, and reports them.

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
pub(crate) struct UnreadableRanges {
    ranges: Vec<Range<usize>>,
    /// The error of the last of them.
    error: Option<io::Error>,
    /// The device failed to read some of them. Otherwise all lie beyond the end of the file.
    is_device_failure: bool,
}

impl UnreadableRanges {
    /// All of a file, which is not used.
    pub(crate) fn whole_file(error: io::Error) -> Self {
        let mut unreadable = Self::default();
        unreadable.add(0..usize::MAX, error);
        unreadable
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether the device failed to read some of them: all of the device may have failed, not only these bytes.
    pub(crate) fn is_device_failure(&self) -> bool {
        self.is_device_failure
    }

    /// The error of the last of them; `None` if there is none.
    pub(crate) fn into_error(self) -> Option<io::Error> {
        self.error
    }

    pub(crate) fn overlaps(&self, range: &Range<usize>) -> bool {
        self.ranges.iter().any(|one| one.start < range.end && range.start < one.end)
    }

    /// Whether no byte of `range` could be read; ranges may be recorded block by block, or as one.
    pub(crate) fn covers(&self, range: Range<usize>, pad: usize) -> bool {
        range.step_by(pad).all(|at| self.overlaps(&(at..at + pad)))
    }

    /// Describes what could not be read, and why.
    pub(crate) fn description(&self) -> Option<String> {
        let (first, last) =
            (self.ranges.iter().min_by_key(|one| one.start)?, self.ranges.iter().map(|one| one.end).max()?);
        let why = self.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        Some(match self.ranges.len() {
            1 if last == usize::MAX => format!("cannot be read{why}"),
            1 => format!("bytes {} to {} cannot be read{why}", first.start, last - 1),
            _ => format!("some of the bytes {} to {} cannot be read{why}", first.start, last - 1),
        })
    }

    fn add(&mut self, range: Range<usize>, error: io::Error) {
        self.is_device_failure |= error.kind() != io::ErrorKind::UnexpectedEof;
        self.error = Some(error);
        if self.overlaps(&range) {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push(range),
        }
    }
}

/// Reads `range`, whole blocks. Adds the blocks that cannot be read to `unreadable`, and returns zeros in their place.
///
/// Retries a failed read, then halves it, down to the blocks that fail.
///
/// # Errors
/// Errors that are no [media error](is_media_error): a lack of memory, for example.
pub(crate) fn read_or_zeros(
    file: &dyn File,
    pool: &Pool,
    pad: usize,
    range: Range<usize>,
    unreadable: &mut UnreadableRanges,
) -> io::Result<Slice> {
    match read_slice(file, pool, range.start, range.len()) {
        Ok(bytes) => return Ok(bytes),
        Err(error) if is_media_error(&error) => {}
        Err(error) => return Err(error),
    }
    let mut region = pool.region(range.len());
    let bytes = &mut region[..range.len()];
    bytes.fill(0);
    // Skips what lies beyond the end of the file.
    let whole = usize::try_from(file.size()?).map_or(usize::MAX, |size| size / pad * pad).clamp(range.start, range.end);
    read_halves(file, pool, pad, range.start, &mut bytes[..whole - range.start], unreadable)?;
    if whole < range.end {
        unreadable.add(whole..range.end, io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends before"));
    }
    Ok(region.freeze().slice(..range.len()))
}

fn read_halves(
    file: &dyn File,
    pool: &Pool,
    pad: usize,
    at: usize,
    bytes: &mut [u8],
    unreadable: &mut UnreadableRanges,
) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    match read_slice(file, pool, at, bytes.len()) {
        Ok(read) => bytes.copy_from_slice(&read),
        Err(error) if !is_media_error(&error) => return Err(error),
        Err(error) if bytes.len() <= pad => unreadable.add(at..at + bytes.len(), error),
        Err(_) => {
            let half = (bytes.len() / pad).div_ceil(2) * pad;
            let (front, back) = bytes.split_at_mut(half);
            read_halves(file, pool, pad, at, front, unreadable)?;
            read_halves(file, pool, pad, at + half, back, unreadable)?;
        }
    }
    Ok(())
}

/// Repeats a read that succeeded before, to see whether the device still works: of `LOGBOOM` if the log was opened by
/// it, or else of the start of any file of the log.
///
/// # Errors
/// [`Error::Io`] if that fails as well.
pub(crate) fn check_device(medium: &Medium, has_logboom: bool) -> Result<(), Error> {
    let fail = |name: &str, error| Error::io(format!("reading {name} again after other reads failed"), error);
    let names = medium.disk.list().map_err(|error| fail("the directory", error))?;
    let has_logboom = has_logboom && names.iter().any(|name| is_identity(name));
    let is_candidate = |name: &&String| match has_logboom {
        true => is_identity(name),
        false => slot_of(name).is_some() || is_slot(name) || *name == NAME_NEW,
    };
    let mut failure = None;
    for name in names.iter().filter(is_candidate) {
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

/// Whether an error means that these bytes cannot be read, and not that the process lacks a resource.
pub(crate) fn is_media_error(error: &io::Error) -> bool {
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
    fn readable_blocks_around_an_unreadable_one_are_read() {
        let (pool, disk) = (Pool::new(1 << 20), SimDisk::new(1, SimOptions::default()));
        let file = disk.open("file", Mode::Create).unwrap();
        file.allocate(8 * PAD as u64).unwrap();
        file.write_at(&[Slice::copy_from(&pool, &[7; 8 * PAD])], 0, Sync::None).unwrap();
        let bad = Fault::error(FaultKind::Read, io::ErrorKind::Other).within(3 * PAD as u64..4 * PAD as u64);
        disk.inject(bad.sticky());
        let mut unreadable = UnreadableRanges::default();
        let bytes = read_or_zeros(&*file, &pool, PAD, 0..10 * PAD, &mut unreadable).unwrap();
        assert_eq!(unreadable.ranges, [3 * PAD..4 * PAD, 8 * PAD..10 * PAD]);
        assert!(
            unreadable.is_device_failure()
                && unreadable.overlaps(&(0..4 * PAD))
                && !unreadable.overlaps(&(4 * PAD..8 * PAD))
        );
        assert!(unreadable.covers(8 * PAD..10 * PAD, PAD) && !unreadable.covers(3 * PAD..5 * PAD, PAD));
        for (nth, block) in bytes.chunks(PAD).enumerate() {
            let expected = if [3, 8, 9].contains(&nth) { 0 } else { 7 };
            assert!(block.iter().all(|&byte| byte == expected), "block {nth}");
        }
    }

    #[test]
    fn an_error_of_the_process_is_no_media_error() {
        for (errno, is_media) in [(5, true), (61, true), (12, false), (13, false), (23, false), (24, false)] {
            assert_eq!(is_media_error(&io::Error::from_raw_os_error(errno)), is_media, "{errno}");
        }
    }

    #[test]
    fn a_read_that_fails_once_is_repeated() {
        let (pool, disk) = (Pool::new(1 << 20), SimDisk::new(1, SimOptions::default()));
        let file = disk.open("file", Mode::Create).unwrap();
        file.allocate(2 * PAD as u64).unwrap();
        disk.inject(Fault::error(FaultKind::Read, io::ErrorKind::Other));
        let mut unreadable = UnreadableRanges::default();
        read_or_zeros(&*file, &pool, PAD, 0..2 * PAD, &mut unreadable).unwrap();
        assert!(unreadable.is_empty() && disk.pending_faults() == 0);
        disk.inject(Fault::error(FaultKind::Read, io::ErrorKind::OutOfMemory));
        assert!(read_or_zeros(&*file, &pool, PAD, 0..PAD, &mut unreadable).is_err());
    }
}
