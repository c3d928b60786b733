//! Read-ahead: the cache of chunks, and the reads that fill it in the background.

use std::{collections::BTreeMap, io, sync::Arc};

use logboom_disk::{Completion, Disk, File, Op, OpKind, Queue, Slice, Wait};
use parking_lot::Mutex;

use crate::{
    read::chunk_cache::{Access, Buffer, ChunkCache, Fill, Lookup},
    segments::medium::Medium,
    types::{ids::SegmentId, marks},
};

/// See the module. Threads that read start the fills, and collect them. The lock of what is in flight comes before the
/// cache's.
pub(crate) struct ReadAhead {
    cache: ChunkCache,
    in_flight: Mutex<InFlight>,
}

#[derive(Default)]
struct InFlight {
    /// `None` before the first fill, and when there are no more.
    queue: Option<Box<dyn Queue>>,
    fills: BTreeMap<u64, Fill>,
    tokens: u64,
    completions: Vec<Completion>,
    is_closed: bool,
}

impl ReadAhead {
    /// With no bytes to keep nothing is read ahead.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { cache: ChunkCache::new(bytes_max), in_flight: Mutex::default() }
    }

    /// Where the bytes of each access come from, in their order, and what is to be [started](Self::start) besides.
    pub(crate) fn look_up(&self, accesses: impl Iterator<Item = Access>) -> (Vec<Lookup>, Vec<Fill>) {
        if let Some(mut in_flight) = self.in_flight.try_lock() {
            in_flight.collect(&self.cache, Wait::No);
        }
        self.cache.look_up(accesses)
    }

    /// Starts reading. What cannot be started is not in flight any more.
    pub(crate) fn start(&self, medium: &Medium, fills: impl Iterator<Item = (Fill, Arc<dyn File>)>) {
        let mut in_flight = self.in_flight.lock();
        let made = in_flight.make(&*medium.disk);
        for (fill, file) in fills {
            match (&made, &mut *in_flight) {
                (Ok(()), InFlight { queue: Some(queue), fills, tokens, .. }) => {
                    *tokens += 1;
                    fills.insert(*tokens, fill);
                    let region = medium.pool.region((fill.end - fill.at) as usize);
                    queue.submit(Op { token: *tokens, file, kind: OpKind::Read { region, offset: fill.at.into() } });
                }
                _ => self.fill(fill, None),
            }
        }
        in_flight.collect(&self.cache, Wait::No);
    }

    /// Keeps what was read for `fill`, if there is still room for it; without bytes, it is not in flight any more.
    pub(crate) fn fill(&self, fill: Fill, bytes: Option<Slice>) {
        self.cache.fill(fill, bytes);
    }

    /// The bytes of an access that was in flight, when they have come; `None` if they have not.
    pub(crate) fn wait(&self, access: &Access) -> Option<Buffer> {
        let mut lookup = self.cache.look_up_again(access);
        if matches!(lookup, Lookup::InFlight) {
            marks::hit("read: what is read ahead is waited for");
        }
        while matches!(lookup, Lookup::InFlight) {
            // Its holder takes in what comes for all.
            let mut in_flight = self.in_flight.lock();
            lookup = self.cache.look_up_again(access);
            if !matches!(lookup, Lookup::InFlight) || in_flight.fills.is_empty() {
                break;
            }
            in_flight.collect(&self.cache, Wait::Forever);
        }
        if let Lookup::Hit(buffer) = lookup { Some(buffer) } else { None }
    }

    /// Drops what is kept of a segment: it is no more, or it does not hold what it should.
    pub(crate) fn forget(&self, segment: SegmentId) {
        self.cache.forget(segment);
    }

    /// The bytes that are kept or in flight.
    pub(crate) fn bytes(&self) -> u64 {
        self.cache.bytes()
    }

    /// Waits for what is in flight; nothing is started from now on.
    pub(crate) fn close(&self) {
        *self.in_flight.lock() = InFlight { is_closed: true, ..InFlight::default() };
    }
}

impl InFlight {
    fn make(&mut self, disk: &dyn Disk) -> io::Result<()> {
        if self.queue.is_none() && !self.is_closed {
            self.queue = Some(disk.movable_queue()?);
        }
        Ok(())
    }

    fn collect(&mut self, cache: &ChunkCache, wait: Wait) {
        let Some(queue) = &mut self.queue else { return };
        if self.fills.is_empty() {
            return;
        }
        queue.reap(wait, &mut self.completions);
        for Completion { token, result, region } in self.completions.drain(..) {
            if let Some(fill) = self.fills.remove(&token) {
                // What could not be read is read again by the one that wants it.
                cache.fill(fill, result.ok().and(region).map(|region| region.freeze()));
            }
        }
    }
}
