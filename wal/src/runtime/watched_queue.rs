//! A queue whose code may panic: operations in flight fail then, and all later ones.

use std::{collections::VecDeque, io, sync::Arc};

use logboom_disk::{Completion, Op, OpKind, Pool, Queue, Wait, Wake};

use crate::runtime::foreign::{Panicked, guarded};

/// The queue, and the operations in flight.
pub(crate) struct WatchedQueue {
    queue: Box<dyn Queue>,
    waker: Arc<dyn Wake>,
    /// The token of each operation in flight, and the length if it is a read.
    waiting: VecDeque<(u64, Option<usize>)>,
    panic: Option<Arc<str>>,
}

impl WatchedQueue {
    pub(crate) fn around(queue: Box<dyn Queue>) -> Self {
        let waker = queue.waker();
        Self { queue, waker, waiting: VecDeque::new(), panic: None }
    }
}

impl Queue for WatchedQueue {
    fn submit(&mut self, op: Op) {
        let reads = if let OpKind::Read { region, .. } = &op.kind { Some(region.len()) } else { None };
        self.waiting.push_back((op.token, reads));
        if self.panic.is_none() {
            self.panic = guarded(|| self.queue.submit(op)).err();
        }
    }

    fn reap(&mut self, wait: Wait, completions: &mut Vec<Completion>) {
        let before = completions.len();
        if self.panic.is_none() {
            self.panic = guarded(|| self.queue.reap(wait, completions)).err();
        }
        for Completion { token, .. } in &completions[before..] {
            if let Some(at) = self.waiting.iter().position(|(waiting, _)| waiting == token) {
                self.waiting.remove(at);
            }
        }
        let Some(panic) = &self.panic else { return };
        // The queue keeps the buffers: it may still read into them.
        let pool = Pool::new(0);
        completions.extend(self.waiting.drain(..).map(|(token, reads)| Completion {
            token,
            result: Err(io::Error::other(Panicked(Arc::clone(panic)))),
            region: reads.map(|len| pool.region(len)),
        }));
    }

    fn in_flight(&self) -> usize {
        self.waiting.len()
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.waker)
    }
}
