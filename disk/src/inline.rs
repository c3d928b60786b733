//! A queue that performs each operation in the submitting thread, before `submit` returns.

use std::sync::Arc;

use crate::disk::{Completion, Op, Queue, Wait, Wake};

/// A [`Queue`] without concurrency, on any disk: an operation has completed when `submit` returns.
///
/// A writer that finds the log idle commits through it in its own thread, with either backend.
#[derive(Debug, Default)]
pub struct InlineQueue {
    done: Vec<Completion>,
}

impl Queue for InlineQueue {
    fn submit(&mut self, op: Op) {
        self.done.push(op.perform());
    }

    fn reap(&mut self, _wait: Wait, completions: &mut Vec<Completion>) {
        completions.append(&mut self.done);
    }

    fn in_flight(&self) -> usize {
        self.done.len()
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::new(NeverWaits)
    }
}

struct NeverWaits;

impl Wake for NeverWaits {
    fn wake(&self) {}
}
