//! Reads blocks in order, with several in flight.

use std::{collections::VecDeque, fmt, io, ops::Range, sync::Arc};

use logboom_disk::{Completion, Op, OpKind, Queue, Region, Wait};

use crate::{
    block::Block,
    error::{Error, Result},
    lease::Lease,
    pipe::queue,
};

/// Enough blocks to keep a device busy; they bound the memory of a reader.
const IN_FLIGHT_MAX: usize = 8;

/// An iterator over blocks of a snapshot, read ahead and verified.
pub(crate) struct Fetch {
    lease: Lease,
    queue: Option<Box<dyn Queue>>,
    completions: Vec<Completion>,
    /// The next block to return, and the completions of those requested from it on.
    next: usize,
    window: VecDeque<Option<Completion>>,
    /// How many blocks are in flight: few at first, so that short reads do not wait for blocks they do not need.
    ahead: usize,
    end: usize,
}

impl Fetch {
    pub(crate) fn new(lease: Lease, blocks: Range<usize>) -> Self {
        let (next, end) = (blocks.start, blocks.end);
        Self { lease, queue: None, completions: Vec::new(), next, window: VecDeque::new(), ahead: 1, end }
    }

    /// The next block; `None` after the last one and after an error.
    pub(crate) fn next(&mut self) -> Option<Result<Block>> {
        if self.next >= self.end {
            return None;
        }
        let block = self.take();
        match &block {
            Ok(_) => self.next += 1,
            Err(_) => self.end = self.next,
        }
        Some(block)
    }

    fn take(&mut self) -> Result<Block> {
        let ahead = self.ahead;
        self.ahead = IN_FLIGHT_MAX.min(2 * ahead);
        if ahead == 1 || (self.queue.is_none() && self.end - self.next == 1) {
            // A single block does not need a queue.
            return read_block(&self.lease, self.next);
        }
        self.read_ahead()?;
        loop {
            if let Some(Some(completion)) = self.window.front_mut().map(Option::take) {
                self.window.pop_front();
                return finish(&self.lease, self.next, completion.region, completion.result);
            }
            self.reap(Wait::Forever)?;
        }
    }

    /// Starts as many reads as may be in flight.
    fn read_ahead(&mut self) -> Result<()> {
        let shared = &self.lease.shared;
        let queue = self.queue.get_or_insert_with(|| queue(&*shared.medium.disk));
        while self.window.len() < self.ahead && self.next + self.window.len() < self.end {
            let block = self.next + self.window.len();
            let (offset, _, padded) = place(&self.lease, block)?;
            let kind = OpKind::Read { region: shared.medium.pool.region(padded), offset };
            queue.submit(Op { token: block as u64, file: Arc::clone(&self.lease.opened.file), kind });
            self.window.push_back(None);
        }
        self.reap(Wait::No)
    }

    fn reap(&mut self, wait: Wait) -> Result<()> {
        let Some(queue) = &mut self.queue else { return Ok(()) };
        if queue.in_flight() > 0 {
            queue.reap(wait, &mut self.completions);
        } else if wait == Wait::Forever {
            return Err(Error::io("reading a snapshot", io::Error::other("a read was lost")));
        }
        for completion in self.completions.drain(..) {
            let at = usize::try_from(completion.token).ok().and_then(|block| block.checked_sub(self.next));
            if let Some(slot) = at.and_then(|at| self.window.get_mut(at)) {
                *slot = Some(completion);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").field("next", &self.next).field("end", &self.end).finish_non_exhaustive()
    }
}

/// Reads one block and verifies it.
pub(crate) fn read_block(lease: &Lease, block: usize) -> Result<Block> {
    let (offset, _, padded) = place(lease, block)?;
    let mut region = lease.shared.medium.pool.region(padded);
    let read = lease.opened.file.read_at(&mut region, offset);
    finish(lease, block, Some(region), read)
}

fn place(lease: &Lease, block: usize) -> Result<(u64, usize, usize)> {
    lease.opened.place(block).ok_or_else(|| Error::Absent { what: format!("block {block}").into() })
}

fn finish(lease: &Lease, block: usize, region: Option<Region>, read: io::Result<()>) -> Result<Block> {
    let opened = &lease.opened;
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(opened.damaged(format!("block {block}: the file ends before it")));
        }
        read => read.map_err(|error| Error::io("reading a snapshot", error))?,
    }
    let region = region.ok_or_else(|| Error::io("reading a snapshot", io::Error::other("no bytes came back")))?;
    let header = opened.check(block, &region)?;
    let (_, len, _) = place(lease, block)?;
    Ok(Block { header, bytes: region.freeze().slice(..len).into_bytes() })
}
