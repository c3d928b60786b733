//! The buffers that batches are collected in, pooled so that submitting rarely allocates.

use std::{fmt, sync::Arc};

use logboom_snapshot::Built;
use logboom_wal::Place;
use parking_lot::Mutex;

use crate::{
    encoding::operation::Operation,
    types::{
        delta::{Delta, bytes_of},
        ids::ShardId,
        payload::Payload,
    },
};

/// The most buffers in the pool.
const KEPT: usize = 64;
/// Buffers larger than this do not return to the pool, in bytes.
const KEPT_BYTES: usize = 4 << 20;

/// The contents of a batch.
#[derive(Debug, Default)]
pub(crate) struct Buffers<'a> {
    pub(crate) operations: Vec<(ShardId, Operation)>,
    /// The entries of all runs, one after the other.
    pub(crate) items: Vec<BatchEntry<'a>>,
    /// Copies of hard states, commit hints, keys and values. Operations refer to them by [`BufferRange`].
    pub(crate) arena: Vec<u8>,
    /// The snapshots that are registered, in the order of their operations.
    pub(crate) built: Vec<Built>,
    /// Filled when the batch is submitted: the shards that it touches, sorted.
    pub(crate) shards: Vec<ShardId>,
    /// Filled when the batch is submitted: its records, in order.
    pub(crate) plan: Vec<Planned>,
    /// Filled when the batch is submitted: what it changes in the segment usage table.
    pub(crate) delta: Delta,
}

/// A record that a batch writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    /// The position of its shard in [`Buffers::shards`].
    pub(crate) slot: usize,
    pub(crate) operation: Operation,
    /// Where it was written.
    pub(crate) place: Place,
}

/// One entry of a batch; its [`EntryRun`](crate::encoding::operation::EntryRun) has index and term.
#[derive(Debug)]
pub(crate) struct BatchEntry<'a> {
    pub(crate) kind: u8,
    pub(crate) context: &'a [u8],
    pub(crate) payload: Payload<'a>,
}

/// A range of one of the buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BufferRange {
    pub(crate) at: u32,
    pub(crate) len: u32,
}

/// A pool of buffers.
#[derive(Default)]
pub(crate) struct BufferPool {
    free: Mutex<Vec<Buffers<'static>>>,
}

impl Buffers<'_> {
    /// The bytes in a range of the arena.
    pub(crate) fn bytes(&self, part: BufferRange) -> &[u8] {
        self.arena.get(part.range()).unwrap_or_default()
    }

    /// The entries of a run.
    pub(crate) fn items(&self, part: BufferRange) -> &[BatchEntry<'_>] {
        self.items.get(part.range()).unwrap_or_default()
    }

    fn capacity_bytes(&self) -> usize {
        let Self { operations, items, arena, built, shards, plan, delta } = self;
        let bytes = [
            bytes_of(operations),
            bytes_of(items),
            bytes_of(arena),
            bytes_of(built),
            bytes_of(shards),
            bytes_of(plan),
            delta.capacity_bytes(),
        ];
        bytes.into_iter().sum()
    }

    fn emptied(mut self) -> Buffers<'static> {
        self.operations.clear();
        self.arena.clear();
        self.shards.clear();
        self.plan.clear();
        self.delta.clear();
        self.items.clear();
        self.built.clear();
        let Self { operations, items, arena, built, shards, plan, delta } = self;
        // Collected in place: the same allocation, now without anything borrowed.
        let items = items.into_iter().map_while(|_| None).collect();
        Buffers { operations, items, arena, built, shards, plan, delta }
    }
}

impl BufferRange {
    fn range(self) -> std::ops::Range<usize> {
        let at = self.at as usize;
        at..at + self.len as usize
    }
}

impl BufferPool {
    /// Empty buffers, from the pool if it has any.
    pub(crate) fn take<'a>(self: &Arc<Self>) -> Buffers<'a> {
        self.free.lock().pop().unwrap_or_default()
    }

    /// Empties buffers and returns them to the pool, unless they are large or the pool is full.
    pub(crate) fn give(&self, buffers: Buffers<'_>) {
        if buffers.capacity_bytes() > KEPT_BYTES {
            return;
        }
        let buffers = buffers.emptied();
        let mut free = self.free.lock();
        if free.len() < KEPT {
            free.push(buffers);
        }
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_are_not_kept() {
        let pool = Arc::new(BufferPool::default());
        let mut buffers = pool.take();
        buffers.shards.reserve(KEPT_BYTES / size_of::<ShardId>() + 1);
        pool.give(buffers);
        assert_eq!(pool.take().shards.capacity(), 0);
    }

    #[test]
    fn buffers_keep_their_memory() {
        let pool = Arc::new(BufferPool::default());
        let mut buffers = pool.take();
        let text = String::from("borrowed");
        buffers.items.push(BatchEntry {
            kind: 0,
            context: text.as_bytes(),
            payload: Payload::Borrowed(text.as_bytes()),
        });
        buffers.arena.extend_from_slice(b"abc");
        let (items, arena) = (buffers.items.as_ptr() as usize, buffers.arena.as_ptr());
        pool.give(buffers);
        drop(text);
        let again = pool.take();
        assert!(again.items.is_empty() && again.arena.is_empty());
        assert_eq!(again.arena.as_ptr(), arena);
        assert_eq!(again.items.as_ptr() as usize, items, "collecting in place reuses the allocation");
    }
}
