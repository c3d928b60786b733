//! Read-ahead: the cache of chunks, and the reads that fill it in the background.

use std::{collections::BTreeMap, io, sync::Arc};

use logboom_disk::{Completion, Disk, File, Op, OpKind, Queue, Slice, Wait};
use parking_lot::Mutex;

use crate::{
    read::chunk_cache::{Access, Buffer, ChunkCache, Fill, Lookup},
    segments::medium::Medium,
    types::{ids::SegmentId, marks},
};

/// See the module. Reading threads start the fills and collect them. Lock order: `in_flight`, then the cache's lock.
pub(crate) struct ReadAhead {
    cache: ChunkCache,
    in_flight: Mutex<InFlight>,
}

#[derive(Default)]
struct InFlight {
    /// `None` before the first fill, and after closing.
    queue: Option<Box<dyn Queue>>,
    fills: BTreeMap<u64, Fill>,
    tokens: u64,
    completions: Vec<Completion>,
    is_closed: bool,
}

impl ReadAhead {
    /// With `bytes_max` 0 nothing is read ahead.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { cache: ChunkCache::new(bytes_max), in_flight: Mutex::default() }
    }

    /// The source of each access's bytes, in their order, and the fills for the caller to [start](Self::start).
    pub(crate) fn look_up(&self, accesses: impl Iterator<Item = Access>) -> (Vec<Lookup>, Vec<Fill>) {
        if let Some(mut in_flight) = self.in_flight.try_lock() {
            in_flight.collect(&self.cache, Wait::No);
        }
        self.cache.look_up(accesses)
    }

    /// Starts the fills. Removes those that cannot be started from the cache.
    pub(crate) fn start(&self, medium: &Medium, fills: impl Iterator<Item = (Fill, Arc<dyn File>)>) {
        let mut in_flight = self.in_flight.lock();
        let made = in_flight.make_queue(&*medium.disk);
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

    /// Caches the bytes that were read for `fill`, unless it was dropped meanwhile. `None` if the read failed.
    pub(crate) fn fill(&self, fill: Fill, bytes: Option<Slice>) {
        self.cache.fill(fill, bytes);
    }

    /// Waits for the bytes of an access that is in flight; `None` if they were not read.
    pub(crate) fn wait(&self, access: &Access) -> Option<Buffer> {
        let mut lookup = self.cache.look_up_again(access);
        if matches!(lookup, Lookup::InFlight) {
            marks::hit("read: what is read ahead is waited for");
        }
        while matches!(lookup, Lookup::InFlight) {
            // The holder of the lock collects the completions for all waiters.
            let mut in_flight = self.in_flight.lock();
            lookup = self.cache.look_up_again(access);
            if !matches!(lookup, Lookup::InFlight) || in_flight.fills.is_empty() {
                break;
            }
            in_flight.collect(&self.cache, Wait::Forever);
        }
        if let Lookup::Hit(buffer) = lookup { Some(buffer) } else { None }
    }

    /// Drops the cached bytes of a segment: the segment was freed, or the bytes are damaged.
    pub(crate) fn forget(&self, segment: SegmentId) {
        self.cache.forget(segment);
    }

    /// The bytes that are cached or in flight.
    pub(crate) fn bytes(&self) -> u64 {
        self.cache.bytes()
    }

    /// Waits for the fills in flight; starts none after that.
    pub(crate) fn close(&self) {
        *self.in_flight.lock() = InFlight { is_closed: true, ..InFlight::default() };
    }
}

impl InFlight {
    /// Makes the queue, unless it exists or read-ahead is closed.
    fn make_queue(&mut self, disk: &dyn Disk) -> io::Result<()> {
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
                // If the read failed, the caller that needs the bytes reads them itself.
                cache.fill(fill, result.ok().and(region).map(|region| region.freeze()));
            }
        }
    }
}
