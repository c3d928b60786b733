//! Bare loops over whole files: the throughput of a disk without any work per byte.

use std::{collections::VecDeque, sync::Arc};

use logboom_disk::{Completion, Disk, File, Mode, Op, OpKind, Pool, Queue, Region, Slice, Sync, Wait};

use crate::{Result, payload::Payloads};

/// Bytes per read or write.
pub const BLOCK: usize = 512 << 10;

/// The number of reads, and of writes, in flight.
const DEPTH: usize = 8;

/// Bytes by which the written file grows at a time.
const GROWTH: u64 = 64 << 20;

/// Writes a new file of `size` bytes, and makes it durable.
pub fn write(disk: &Arc<dyn Disk>, name: &str, size: u64) -> Result<()> {
    let pool = Pool::new(2 * DEPTH * BLOCK);
    let mut payloads = Payloads::new(BLOCK, 1);
    let blocks: Vec<Slice> = (0..DEPTH).map(|_| Slice::padded_copy(&pool, payloads.next(), BLOCK)).collect();
    let mut sink = Sink::new(disk, name)?;
    for block in blocks.iter().cycle().take(count(size)) {
        sink.write(block.clone())?;
    }
    sink.finish(disk)
}

/// Reads a file up to its last whole block.
pub fn read(disk: &Arc<dyn Disk>, file: Arc<dyn File>) -> Result<()> {
    let mut source = Source::new(disk, file)?;
    while source.next()?.is_some() {}
    Ok(())
}

/// Copies a file up to its last whole block to a new one, and makes it durable.
pub fn copy(disk: &Arc<dyn Disk>, file: Arc<dyn File>, name: &str) -> Result<()> {
    let (mut source, mut sink) = (Source::new(disk, file)?, Sink::new(disk, name)?);
    while let Some(region) = source.next()? {
        sink.write(region.freeze().slice(0..BLOCK))?;
    }
    sink.finish(disk)
}

fn count(size: u64) -> usize {
    usize::try_from(size / BLOCK as u64).unwrap_or(usize::MAX)
}

struct Sink {
    file: Arc<dyn File>,
    queue: Box<dyn Queue>,
    completions: Vec<Completion>,
    end: u64,
    allocated: u64,
}

impl Sink {
    fn new(disk: &Arc<dyn Disk>, name: &str) -> Result<Self> {
        let file = disk.open(name, Mode::Create)?;
        Ok(Sink { file, queue: disk.queue()?, completions: Vec::new(), end: 0, allocated: 0 })
    }

    fn write(&mut self, block: Slice) -> Result<()> {
        if self.end + block.len() as u64 > self.allocated {
            self.allocated += GROWTH;
            self.file.allocate(self.allocated)?;
        }
        self.wait(DEPTH - 1)?;
        let (offset, len) = (self.end, block.len() as u64);
        let kind = OpKind::Write { slices: vec![block], offset, sync: Sync::None };
        self.queue.submit(Op { token: 0, file: Arc::clone(&self.file), kind });
        self.end += len;
        Ok(())
    }

    /// Waits until at most `in_flight` writes are in flight.
    fn wait(&mut self, in_flight: usize) -> Result<()> {
        while self.queue.in_flight() > in_flight {
            self.queue.reap(Wait::Forever, &mut self.completions);
            self.completions.drain(..).try_for_each(|completion| completion.result)?;
        }
        self.queue.reap(Wait::No, &mut self.completions);
        Ok(self.completions.drain(..).try_for_each(|completion| completion.result)?)
    }

    fn finish(mut self, disk: &Arc<dyn Disk>) -> Result<()> {
        self.wait(0)?;
        self.file.sync_all()?;
        Ok(disk.sync_dir()?)
    }
}

struct Source {
    file: Arc<dyn File>,
    queue: Box<dyn Queue>,
    pool: Pool,
    completions: Vec<Completion>,
    /// The blocks that were requested and not yet returned, in order; `None` until a block has arrived.
    window: VecDeque<Option<Region>>,
    /// The number of the first block in `window`, and of the next block to request.
    first: usize,
    next: usize,
    end: usize,
}

impl Source {
    fn new(disk: &Arc<dyn Disk>, file: Arc<dyn File>) -> Result<Self> {
        let (end, queue) = (count(file.size()?), disk.queue()?);
        let pool = Pool::new(2 * DEPTH * BLOCK);
        let (completions, window) = (Vec::new(), VecDeque::new());
        Ok(Source { file, queue, pool, completions, window, first: 0, next: 0, end })
    }

    /// Returns the next block of the file.
    fn next(&mut self) -> Result<Option<Region>> {
        while self.next < self.end && self.window.len() < DEPTH {
            let kind = OpKind::Read { region: self.pool.region(BLOCK), offset: (self.next * BLOCK) as u64 };
            self.queue.submit(Op { token: self.next as u64, file: Arc::clone(&self.file), kind });
            self.window.push_back(None);
            self.next += 1;
        }
        while self.window.front().is_some_and(Option::is_none) {
            self.queue.reap(Wait::Forever, &mut self.completions);
            for completion in self.completions.drain(..) {
                completion.result?;
                let at = usize::try_from(completion.token)? - self.first;
                if let Some(place) = self.window.get_mut(at) {
                    *place = completion.region;
                }
            }
        }
        self.first += 1;
        Ok(self.window.pop_front().flatten())
    }
}

#[cfg(test)]
mod tests {
    use logboom_disk::DiskOptions;

    use super::*;

    #[test]
    fn what_is_copied_is_what_was_written() {
        let dir = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
        let disk = logboom_disk::open(dir.path(), &DiskOptions::default()).unwrap();
        write(&disk, "one", 40 * BLOCK as u64).unwrap();
        let one = disk.open("one", Mode::Read).unwrap();
        read(&disk, Arc::clone(&one)).unwrap();
        copy(&disk, one, "two").unwrap();
        let bytes = |name| std::fs::read(dir.path().join(name)).unwrap();
        assert!(bytes("one")[..40 * BLOCK].iter().any(|&byte| byte != 0));
        assert!(bytes("one")[..40 * BLOCK] == bytes("two")[..40 * BLOCK]);
    }
}
