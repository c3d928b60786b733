//! `Stream`: a bare loop of durable writes to one file, which measures the limit of the disk.

use std::{fmt, mem, sync::Arc, thread, time::Instant};

use logboom_disk::{Completion, Disk, File, InlineQueue, Mode, Op, OpKind, Pool, Queue, Slice, Sync, Wait};

use crate::{
    Result,
    load::{Gate, Pacer, Tally, Worker},
};

/// How writes are made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Writes are not made durable: this is the cost of a write alone.
    Plain,
    /// Each write is durable by itself.
    Dsync,
    /// One sync follows a batch of plain writes, and the next writes wait for it.
    Batched,
    /// A sync covers the plain writes that had completed when it began; writes go on meanwhile.
    Rolling,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Plain => "no sync",
            Method::Dsync => "dsync",
            Method::Batched => "batched sync",
            Method::Rolling => "rolling sync",
        })
    }
}

/// How the loop writes.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Whether the loop's own thread performs the operations, one at a time, in place of the disk's queue.
    pub inline: bool,
    /// How writes are made durable.
    pub method: Method,
    /// The most writes in flight.
    pub depth: usize,
    /// The most operations in one write.
    pub coalesced: usize,
    /// Whether new writes wait after a certain number of bytes during a pending sync.
    pub gated: bool,
}

/// The source of operations.
#[derive(Debug)]
pub enum Source {
    /// The next operation is always available.
    Endless,
    /// A fixed number of operations is outstanding, except that the pacer may delay the start of one.
    Closed {
        /// The number of operations that may start now.
        free: usize,
        /// Paces all operations.
        pacer: Pacer,
    },
}

/// A file that is written from beginning to end.
#[derive(Clone, Debug)]
pub struct Track {
    /// The file's disk.
    pub disk: Arc<dyn Disk>,
    /// The file.
    pub file: Arc<dyn File>,
    /// Its size in bytes.
    pub size: u64,
    /// Whether writing continues at the beginning after the end; otherwise the loop ends there.
    pub cyclic: bool,
}

/// The state of a file's blocks before the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preparation {
    /// Allocated, and marked as unwritten by the file system.
    Allocated,
    /// Zero-filled.
    Zeroed,
    /// Written over before.
    Recycled,
}

impl fmt::Display for Preparation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Preparation::Allocated => "fallocated",
            Preparation::Zeroed => "zero-filled",
            Preparation::Recycled => "recycled",
        })
    }
}

impl Track {
    /// Makes the file `name`, replacing an old one; the file and its blocks are durable on return.
    pub fn prepare(
        disk: &Arc<dyn Disk>,
        name: &str,
        size: u64,
        preparation: Preparation,
        cyclic: bool,
    ) -> Result<Self> {
        if disk.list()?.iter().any(|found| found == name) {
            disk.remove(name)?;
        }
        let file = disk.open(name, Mode::Create)?;
        file.allocate(size)?;
        if preparation != Preparation::Allocated {
            fill(&*file, size, &Slice::copy_from(&Pool::new(0), &[0; FILL_BYTES]))?;
        }
        if preparation == Preparation::Recycled {
            fill(&*file, size, &random(FILL_BYTES))?;
        }
        file.sync_all()?;
        disk.sync_dir()?;
        Ok(Track { disk: Arc::clone(disk), file, size, cyclic })
    }
}

/// The loop, as a thread of load.
#[derive(Debug)]
pub struct Stream {
    track: Track,
    manner: Manner,
    source: Source,
    payload: usize,
    bytes: Slice,
}

impl Stream {
    /// A loop of operations of `payload` bytes each.
    pub fn new(track: Track, manner: Manner, source: Source, payload: usize) -> Self {
        Stream { track, manner, source, payload, bytes: random(SOURCE_BYTES) }
    }

    fn queue(&self) -> Result<Box<dyn Queue>> {
        Ok(if self.manner.inline { Box::new(InlineQueue::default()) } else { self.track.disk.queue()? })
    }
}

impl Worker for Stream {
    fn work(&mut self, gate: &Gate, tally: &mut Tally) -> Result<()> {
        let mut queue = self.queue()?;
        let mut flow = Flow::default();
        let mut completions = Vec::new();
        loop {
            if !gate.is_over() {
                self.write(&mut flow, &mut *queue);
            }
            self.sync(&mut flow, &mut *queue);
            if queue.in_flight() > 0 {
                queue.reap(self.patience(&flow), &mut completions);
            } else if gate.is_over() || flow.at_end {
                return Ok(());
            } else {
                thread::sleep(self.due().unwrap_or_else(Instant::now).saturating_duration_since(Instant::now()));
            }
            for completion in completions.drain(..) {
                self.complete(completion, &mut flow, gate, tally)?;
            }
        }
    }
}

/// The size of the writes that fill the file.
const FILL_BYTES: usize = 1 << 20;

/// The size of the random content that writes take their bytes from.
const SOURCE_BYTES: usize = 8 << 20;

/// The most bytes that a gated loop writes during a pending sync. The device would write them before the sync returns,
/// and acknowledgements would starve. By measurement, this costs no bandwidth.
const GATE_BYTES: usize = 1 << 20;

/// The token of the sync; only one is in flight.
const SYNC: u64 = u64::MAX;

/// The state of the loop: the operations that are in progress.
#[derive(Debug, Default)]
struct Flow {
    offset: u64,
    at_end: bool,
    writes: usize,
    /// The operations of each write in flight, by its token.
    in_flight: Vec<Vec<Instant>>,
    idle_tokens: Vec<usize>,
    written: Vec<Instant>,
    syncing: Vec<Instant>,
    sync_pending: bool,
    bytes_since_sync: usize,
}

impl Stream {
    /// Starts as many writes as depth, source and gate allow.
    fn write(&mut self, flow: &mut Flow, queue: &mut dyn Queue) {
        while self.may_write(flow) {
            let began = self.take();
            if began.is_empty() {
                return;
            }
            let unit = self.track.disk.facts().pad_unit;
            let len = (began.len() * self.payload).next_multiple_of(unit);
            let op = OpKind::Write {
                slices: vec![self.content(flow.offset, len)],
                offset: flow.offset,
                sync: if self.manner.method == Method::Dsync { Sync::Data } else { Sync::None },
            };
            self.advance(flow, len);
            let token = flow.idle_tokens.pop().unwrap_or_else(|| {
                flow.in_flight.push(Vec::new());
                flow.in_flight.len() - 1
            });
            flow.in_flight[token] = began;
            flow.writes += 1;
            flow.bytes_since_sync += len;
            queue.submit(Op { token: token as u64, file: Arc::clone(&self.track.file), kind: op });
        }
    }

    fn may_write(&self, flow: &Flow) -> bool {
        let room = flow.writes < self.manner.depth && !flow.at_end;
        room && match self.manner.method {
            Method::Plain | Method::Dsync => true,
            Method::Batched => !flow.sync_pending && flow.written.is_empty(),
            Method::Rolling => !flow.sync_pending || !self.manner.gated || flow.bytes_since_sync < GATE_BYTES,
        }
    }

    /// Takes the operations of the next write, and returns the time at which each began.
    fn take(&mut self) -> Vec<Instant> {
        match &mut self.source {
            Source::Endless => vec![Instant::now(); self.manner.coalesced],
            Source::Closed { free, pacer } => {
                let mut began = Vec::new();
                while *free > 0 && began.len() < self.manner.coalesced && pacer.due() <= Instant::now() {
                    *free -= 1;
                    began.push(pacer.wait());
                }
                began
            }
        }
    }

    /// Starts a sync, if there are writes to sync and the method allows it.
    fn sync(&self, flow: &mut Flow, queue: &mut dyn Queue) {
        let due = match self.manner.method {
            Method::Plain | Method::Dsync => false,
            Method::Batched => flow.writes == 0,
            Method::Rolling => true,
        };
        if due && !flow.sync_pending && !flow.written.is_empty() {
            flow.syncing = mem::take(&mut flow.written);
            flow.sync_pending = true;
            flow.bytes_since_sync = 0;
            queue.submit(Op { token: SYNC, file: Arc::clone(&self.track.file), kind: OpKind::SyncData });
        }
    }

    fn complete(&mut self, completion: Completion, flow: &mut Flow, gate: &Gate, tally: &mut Tally) -> Result<()> {
        completion.result?;
        let done = if completion.token == SYNC {
            flow.sync_pending = false;
            mem::take(&mut flow.syncing)
        } else {
            let token = usize::try_from(completion.token)?;
            flow.writes -= 1;
            flow.idle_tokens.push(token);
            mem::take(&mut flow.in_flight[token])
        };
        if completion.token != SYNC && matches!(self.manner.method, Method::Batched | Method::Rolling) {
            flow.written.extend(done);
            return Ok(());
        }
        let now = Instant::now();
        for began in &done {
            tally.add(gate, now - *began, 1);
        }
        if let Source::Closed { free, .. } = &mut self.source {
            *free += done.len();
        }
        Ok(())
    }

    /// How long to wait for a completion: at most until the next operation that can start is due.
    fn patience(&self, flow: &Flow) -> Wait {
        match self.due().filter(|_| self.may_write(flow)) {
            Some(due) => Wait::For(due.saturating_duration_since(Instant::now())),
            None => Wait::Forever,
        }
    }

    fn due(&self) -> Option<Instant> {
        match &self.source {
            Source::Closed { free, pacer } if *free > 0 => Some(pacer.due()),
            _ => None,
        }
    }

    /// The content of a write, which differs by offset and is aligned for direct IO.
    fn content(&self, offset: u64, len: usize) -> Slice {
        let unit = self.track.disk.facts().pad_unit as u64;
        let places = (self.bytes.len() - len) as u64 / unit + 1;
        let start = usize::try_from(offset / unit * 7 % places * unit).unwrap_or(0);
        self.bytes.slice(start..start + len)
    }

    fn advance(&self, flow: &mut Flow, len: usize) {
        flow.offset += len as u64;
        let len_max = (self.manner.coalesced * self.payload).next_multiple_of(self.track.disk.facts().pad_unit);
        if flow.offset + len_max as u64 > self.track.size {
            flow.offset = 0;
            flow.at_end = !self.track.cyclic;
        }
    }
}

fn fill(file: &dyn File, size: u64, content: &Slice) -> Result<()> {
    for offset in (0..size).step_by(content.len()) {
        file.write_at(std::slice::from_ref(content), offset, Sync::None)?;
    }
    Ok(())
}

fn random(len: usize) -> Slice {
    let mut region = Pool::new(0).region(len);
    fastrand::Rng::with_seed(5).fill(&mut region);
    region.freeze()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use logboom_disk::DiskOptions;

    use super::*;
    use crate::load::{Window, drive};

    #[test]
    fn every_manner_counts_what_it_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let disk = logboom_disk::open(dir.path(), &DiskOptions::default()).unwrap();
        let track = Track::prepare(&disk, "track", 4 << 20, Preparation::Zeroed, true).unwrap();
        for method in [Method::Plain, Method::Dsync, Method::Batched, Method::Rolling] {
            for (inline, depth) in [(true, 1), (false, 1), (false, 4)] {
                let manner = Manner { inline, method, depth, coalesced: 8, gated: depth > 1 };
                let run = |measured| {
                    let source = Source::Closed { free: 16, pacer: Pacer::new(None, 0, 1) };
                    let stream = Stream::new(track.clone(), manner, source, 512);
                    drive(&mut [stream], Window { warmup: Duration::ZERO, measured }).unwrap()
                };
                // A busy disk may complete no write in a short window.
                let windows = [30, 300, 3_000, 30_000].map(Duration::from_millis);
                let measured = windows.into_iter().map(run).find(|measured| measured.tally.ops > 0);
                let measured = measured.unwrap_or_else(|| panic!("{manner:?}"));
                assert_eq!(measured.tally.ops, measured.tally.latencies.count());
            }
        }
    }

    #[test]
    fn a_track_that_is_no_cycle_ends() {
        let dir = tempfile::tempdir().unwrap();
        let disk = logboom_disk::open(dir.path(), &DiskOptions::default()).unwrap();
        let track = Track::prepare(&disk, "track", 1 << 20, Preparation::Allocated, false).unwrap();
        let manner = Manner { inline: false, method: Method::Rolling, depth: 2, coalesced: 1, gated: true };
        let stream = Stream::new(track, manner, Source::Endless, 64 << 10);
        let window = Window { warmup: Duration::ZERO, measured: Duration::from_secs(60) };
        assert!(drive(&mut [stream], window).unwrap().elapsed < Duration::from_secs(30));
    }
}
