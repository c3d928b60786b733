//! `Pipe`: writes a file front to back, with several blocks in flight.

use std::{fmt, io, sync::Arc};

use logboom_disk::{Completion, Disk, File, InlineQueue, Op, OpKind, Queue, Slice, Sync, Wait};

use crate::error::{Error, Result};

/// Enough blocks to keep a device busy; with the open one they bound the memory of a build.
const IN_FLIGHT_MAX: usize = 8;

/// The bytes by which the file grows at a time.
const GROWTH_MIN: u64 = 1 << 20;
const GROWTH_MAX: u64 = 64 << 20;

/// A queue of the disk, or an inline queue if the disk cannot provide one.
pub(crate) fn queue(disk: &dyn Disk) -> Box<dyn Queue> {
    // Without a descriptor or memory for a ring, writes still work inline.
    disk.movable_queue().unwrap_or_else(|_| Box::new(InlineQueue::default()))
}

/// The end of a file that grows.
pub(crate) struct Pipe {
    file: Arc<dyn File>,
    queue: Box<dyn Queue>,
    completions: Vec<Completion>,
    /// Where the next write goes.
    end: u64,
    allocated: u64,
    failed: bool,
}

impl Pipe {
    /// Writes to an empty file, from `start` on.
    pub(crate) fn new(disk: &dyn Disk, file: Arc<dyn File>, start: u64) -> Self {
        Self { file, queue: queue(disk), completions: Vec::new(), end: start, allocated: 0, failed: false }
    }

    /// Where the next write goes.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Reserves the space for a file of `size` bytes.
    pub(crate) fn reserve(&mut self, size: u64) -> Result<()> {
        self.allocate(size).map_err(|error| Error::io("growing a snapshot", error))
    }

    /// Starts a write of whole pad units at the end; waits while the queue is full.
    pub(crate) fn write(&mut self, slice: Slice) -> Result<()> {
        let (offset, len) = (self.end, slice.len() as u64);
        self.grow(offset + len)?;
        while self.queue.in_flight() >= IN_FLIGHT_MAX {
            self.reap(Wait::Forever)?;
        }
        let kind = OpKind::Write { slices: vec![slice], offset, sync: Sync::None };
        self.queue.submit(Op { token: 0, file: Arc::clone(&self.file), kind });
        self.end = offset + len;
        self.reap(Wait::No)
    }

    /// Waits until nothing is in flight.
    pub(crate) fn drain(&mut self) -> Result<()> {
        while self.queue.in_flight() > 0 {
            self.reap(Wait::Forever)?;
        }
        Ok(())
    }

    /// Waits until nothing is in flight, writes the beginning of the file, and frees unused space.
    pub(crate) fn finish(mut self, beginning: Slice) -> Result<()> {
        self.drain()?;
        let wrote = |error| Error::io("writing a snapshot", error);
        self.grow(self.end)?;
        self.file.write_at(&[beginning], 0, Sync::None).map_err(wrote)?;
        if self.allocated > self.end {
            self.file.shrink(self.end).map_err(wrote)?;
        }
        Ok(())
    }

    fn reap(&mut self, wait: Wait) -> Result<()> {
        self.queue.reap(wait, &mut self.completions);
        let failed = self.completions.drain(..).find_map(|completion| completion.result.err());
        match failed {
            Some(error) => {
                self.failed = true;
                Err(Error::io("writing a snapshot", error))
            }
            None if self.failed => Err(Error::io("writing a snapshot", io::Error::other("an earlier write failed"))),
            None => Ok(()),
        }
    }

    /// Grows the file to at least `size` bytes, and somewhat more where there is space.
    fn grow(&mut self, size: u64) -> Result<()> {
        if size <= self.allocated {
            return Ok(());
        }
        let generous = size.saturating_add(self.allocated.clamp(GROWTH_MIN, GROWTH_MAX));
        match self.allocate(generous) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => self.reserve(size),
            grown => grown.map_err(|error| Error::io("growing a snapshot", error)),
        }
    }

    fn allocate(&mut self, size: u64) -> io::Result<()> {
        self.file.allocate(size)?;
        self.allocated = size;
        Ok(())
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe").field("file", &self.file).field("end", &self.end).finish_non_exhaustive()
    }
}
