//! Rings for `read_many`, whose callers have no queue.

use std::{io, sync::Arc};

use parking_lot::Mutex;

use super::{driver::Driver, setup::Issuer};
use crate::{
    buffer::Region,
    disk::{File, Op, OpKind, Wait, read_each},
    facts::Geometry,
    stats::Counters,
};

/// A pool of rings: a thread with many reads takes one, and returns it when all reads are done.
#[derive(Default)]
pub(crate) struct Readers {
    idle: Mutex<Vec<Driver>>,
}

impl Readers {
    /// See [`Disk::read_many`](crate::Disk::read_many).
    pub(crate) fn read_many(
        &self,
        reads: Vec<(Arc<dyn File>, Region, u64)>,
        geometry: Geometry,
        counters: &Arc<Counters>,
    ) -> Vec<(Region, io::Result<()>)> {
        let ring = self
            .idle
            .lock()
            .pop()
            .filter(Driver::is_sound)
            .map_or_else(|| Driver::new(DEPTH, Issuer::Anyone, geometry, None, Arc::clone(counters)), Ok);
        // Without memory or a descriptor for another ring, the reads still run one by one.
        let Ok(mut ring) = ring else { return read_each(reads) };
        let regions = drive(&mut ring, reads);
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX && ring.is_sound() {
            idle.push(ring);
        }
        regions
    }
}

/// As many reads as are worth having in flight: beyond, throughput no longer grows (measured).
const DEPTH: u32 = 32;

const IDLE_MAX: usize = 8;

fn drive(ring: &mut Driver, reads: Vec<(Arc<dyn File>, Region, u64)>) -> Vec<(Region, io::Result<()>)> {
    let mut results: Vec<Option<(Region, io::Result<()>)>> = reads.iter().map(|_| None).collect();
    for (token, (file, region, offset)) in (0..).zip(reads) {
        ring.submit(Op { token, file, kind: OpKind::Read { region, offset } });
    }
    while ring.in_flight() > 0 {
        if ring.done().is_empty() {
            ring.enter(Wait::Forever);
        }
        for completion in ring.done().drain(..) {
            if let (Ok(at), Some(region)) = (usize::try_from(completion.token), completion.region) {
                results[at] = Some((region, completion.result));
            }
        }
    }
    results.into_iter().flatten().collect()
}
