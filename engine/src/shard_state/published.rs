//! A shard's bounds, which readers load without a lock: a seqlock over atomics.

use std::sync::atomic::Ordering;
#[cfg(not(all(loom, test)))]
use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, fence},
};

use logboom_wal::Sequence;
#[cfg(all(loom, test))]
use loom::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, fence},
};
use parking_lot::{Mutex, MutexGuard};

use crate::encoding::extent::Extent;

/// Bounds and last record of a shard: one writer publishes them, any thread reads them.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// A writer of the shard holds it from validation until the new bounds are published. It fills padding here: an
    /// idle shard must stay small.
    writer: Mutex<()>,
    /// Odd while a publication is in progress.
    version: AtomicU32,
    has_boundary: AtomicBool,
    quarantined: AtomicBool,
    first: AtomicU64,
    next: AtomicU64,
    boundary_term: AtomicU64,
    sequence: AtomicU64,
}

/// One consistent view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) extent: Extent,
    /// The shard's last record; [`Sequence::NONE`] before the first one and after it was destroyed.
    pub(crate) sequence: Sequence,
    /// Something of the shard is lost: see [`State::missing`](crate::shard_state::state::State::missing).
    pub(crate) quarantined: bool,
}

impl Published {
    /// The last published view. Takes no lock; spins while a publication is in progress.
    pub(crate) fn load(&self) -> View {
        loop {
            let before = self.version.load(Ordering::Acquire);
            let view = self.load_any();
            // Pairs with the release fence of `store`: a reader that saw a field of a newer view sees its odd version.
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && before == self.version.load(Ordering::Relaxed) {
                return view;
            }
            spin_loop();
        }
    }

    /// Locks the shard for writing; blocks while another thread has it.
    pub(crate) fn writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock()
    }

    /// Publishes `view`. The caller holds [`Published::writer`], or has not shared the shard yet.
    pub(crate) fn store(&self, view: View) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.first.store(view.extent.first, Ordering::Relaxed);
        self.next.store(view.extent.next, Ordering::Relaxed);
        self.has_boundary.store(view.extent.boundary_term.is_some(), Ordering::Relaxed);
        self.boundary_term.store(view.extent.boundary_term.unwrap_or(0), Ordering::Relaxed);
        self.sequence.store(view.sequence.0, Ordering::Relaxed);
        self.quarantined.store(view.quarantined, Ordering::Relaxed);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    fn load_any(&self) -> View {
        let has_boundary = self.has_boundary.load(Ordering::Relaxed);
        let boundary_term = self.boundary_term.load(Ordering::Relaxed);
        View {
            extent: Extent {
                first: self.first.load(Ordering::Relaxed),
                next: self.next.load(Ordering::Relaxed),
                boundary_term: has_boundary.then_some(boundary_term),
            },
            sequence: Sequence(self.sequence.load(Ordering::Relaxed)),
            quarantined: self.quarantined.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
fn view(n: u64) -> View {
    let boundary_term = n.is_multiple_of(2).then_some(n);
    let extent = Extent { first: n, next: n + 1, boundary_term };
    View { extent, sequence: Sequence(n), quarantined: n.is_multiple_of(3) }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn no_reader_sees_half_a_publication() {
        let published = Published::default();
        published.store(view(1));
        thread::scope(|scope| {
            scope.spawn(|| (1..20_000).for_each(|n| published.store(view(n))));
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0;
                    while last < 19_999 {
                        let seen = published.load();
                        assert_eq!(seen, view(seen.sequence.0));
                        assert!(seen.sequence.0 >= last);
                        last = seen.sequence.0;
                    }
                });
            }
        });
    }
}

/// Under loom: `RUSTFLAGS="--cfg loom" cargo test --release -p logboom --lib models`.
#[cfg(all(loom, test))]
mod models {
    use std::sync::Arc;

    use loom::thread;

    use super::*;

    #[test]
    fn no_view_is_torn() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound.get_or_insert(2);
        builder.check(|| {
            let published = Arc::new(Published::default());
            published.store(view(1));
            let writer = Arc::clone(&published);
            let writer = thread::spawn(move || (2..=3).for_each(|n| writer.store(view(n))));
            let seen = published.load();
            assert_eq!(seen, view(seen.sequence.0));
            writer.join().unwrap();
            assert_eq!(published.load(), view(3));
        });
    }
}
