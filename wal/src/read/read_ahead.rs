//! What is brought without being waited for: reads on their way to [`Ahead`].

use std::{collections::BTreeMap, io, sync::Arc};

use logboom_disk::{Completion, Disk, File, Op, OpKind, Queue, Wait};
use parking_lot::Mutex;

use crate::{
    read::chunk_cache::{Ahead, Part},
    segments::medium::Medium,
};

/// A queue of reads, which whoever reads starts, and collects.
#[derive(Default)]
pub(crate) struct Prefetch {
    lane: Mutex<Lane>,
}

#[derive(Default)]
struct Lane {
    /// `None` before something is to be brought, and when nothing is any more.
    queue: Option<Box<dyn Queue>>,
    parts: BTreeMap<u64, Part>,
    tokens: u64,
    completions: Vec<Completion>,
    is_closed: bool,
}

impl Prefetch {
    /// Starts reading. What cannot be started is not on its way any more.
    pub(crate) fn start(&self, medium: &Medium, ahead: &Ahead, parts: impl Iterator<Item = (Part, Arc<dyn File>)>) {
        let mut lane = self.lane.lock();
        let made = lane.make(&*medium.disk);
        for (part, file) in parts {
            match (&made, &mut *lane) {
                (Ok(()), Lane { queue: Some(queue), parts, tokens, .. }) => {
                    *tokens += 1;
                    parts.insert(*tokens, part);
                    let region = medium.pool.region((part.end - part.at) as usize);
                    queue.submit(Op { token: *tokens, file, kind: OpKind::Read { region, offset: part.at.into() } });
                }
                _ => ahead.bring(part, None),
            }
        }
        lane.collect(ahead, Wait::No);
    }

    /// Takes in what has come, unless somebody else does.
    pub(crate) fn collect(&self, ahead: &Ahead) {
        if let Some(mut lane) = self.lane.try_lock() {
            lane.collect(ahead, Wait::No);
        }
    }

    /// Waits until `is_over`, or nothing is on its way any more.
    pub(crate) fn wait(&self, ahead: &Ahead, mut is_over: impl FnMut() -> bool) {
        loop {
            // Whoever has the lane takes in what comes for all.
            let mut lane = self.lane.lock();
            if is_over() || lane.parts.is_empty() {
                return;
            }
            lane.collect(ahead, Wait::Forever);
        }
    }

    /// Waits for what is on its way; nothing is brought from now on.
    pub(crate) fn close(&self) {
        let mut lane = self.lane.lock();
        *lane = Lane { is_closed: true, ..Lane::default() };
    }
}

impl Lane {
    fn make(&mut self, disk: &dyn Disk) -> io::Result<()> {
        if self.queue.is_none() && !self.is_closed {
            self.queue = Some(disk.movable_queue()?);
        }
        Ok(())
    }

    fn collect(&mut self, ahead: &Ahead, wait: Wait) {
        let Some(queue) = &mut self.queue else { return };
        if self.parts.is_empty() {
            return;
        }
        queue.reap(wait, &mut self.completions);
        for Completion { token, result, region } in self.completions.drain(..) {
            if let Some(part) = self.parts.remove(&token) {
                // What could not be read is read again by whoever wants it.
                ahead.bring(part, result.ok().and(region).map(|region| region.freeze()));
            }
        }
    }
}
