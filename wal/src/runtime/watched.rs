//! A disk that records its blocking operations while they last, so that a stall is detected whichever thread is stuck.
//! The disk may be the embedder's, so panics of it become errors.

use std::{
    io,
    os::fd::BorrowedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use logboom_disk::{Disk, DiskStats, Facts, File, Mode, Pool, Queue, Region, Slice, Sync};

use crate::runtime::{
    foreign::{Panicked, guarded},
    notices::Notices,
    park_flag::ParkFlag,
    watched_queue::WatchedQueue,
    worker::{Clock, us},
};

/// The most operations that are recorded at once. If there are more, those that began last are not recorded.
const OPS_MAX: usize = 32;

/// The operations that threads are waiting for.
pub(crate) struct PendingOps {
    clock: Arc<dyn Clock>,
    /// The time at which each operation began (us, 0: the entry is unused).
    begun_us: [AtomicU64; OPS_MAX],
    /// Whether the stall detector is parked.
    pub(crate) stall_detector: ParkFlag,
    notices: Arc<Notices>,
}

impl PendingOps {
    pub(crate) fn new(clock: Arc<dyn Clock>, notices: Arc<Notices>) -> Arc<Self> {
        let begun_us = std::array::from_fn(|_| AtomicU64::new(0));
        Arc::new(Self { clock, begun_us, stall_detector: ParkFlag::default(), notices })
    }

    /// How long the oldest operation has lasted; zero if there is none.
    pub(crate) fn oldest(&self, now: Duration) -> Duration {
        let began = self.begun_us.iter().map(|begun_us| begun_us.load(Ordering::Relaxed)).filter(|&us| us > 0).min();
        began.map_or(Duration::ZERO, |us| now.saturating_sub(Duration::from_micros(us)))
    }

    /// Whether an operation is pending.
    pub(crate) fn is_any(&self) -> bool {
        self.begun_us.iter().any(|begun_us| begun_us.load(Ordering::Relaxed) > 0)
    }

    /// Wakes the stall detector, after an operation was submitted to the device.
    pub(crate) fn wake_stall_detector(&self) {
        if self.stall_detector.wake()
            && let Some(watcher) = self.notices.watcher.get()
        {
            watcher.kick();
        }
    }

    /// Runs an operation of the disk, and records it while it lasts.
    fn call<T>(&self, op: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let _pending = self.begin();
        guarded(op).unwrap_or_else(|panic| Err(io::Error::other(Panicked(panic))))
    }

    /// Records an operation until the returned guard is dropped.
    pub(crate) fn begin(&self) -> PendingGuard<'_> {
        let now_us = us(self.clock.now());
        let is_taken = |slot: &&AtomicU64| {
            let free = slot.load(Ordering::Relaxed) == 0;
            free && slot.compare_exchange(0, now_us, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        let slot = self.begun_us.iter().find(is_taken);
        self.wake_stall_detector();
        PendingGuard(slot)
    }
}

/// Keeps an operation recorded in [`PendingOps`].
pub(crate) struct PendingGuard<'p>(Option<&'p AtomicU64>);

impl Drop for PendingGuard<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.store(0, Ordering::Relaxed);
        }
    }
}

/// Passes operations to the disk, and records them. Owners of queues monitor what is in flight there.
#[derive(Debug)]
pub(crate) struct WatchedDisk {
    disk: Arc<dyn Disk>,
    pending: Arc<PendingOps>,
}

#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn File>,
    pending: Arc<PendingOps>,
}

impl WatchedDisk {
    pub(crate) fn around(disk: Arc<dyn Disk>, pending: Arc<PendingOps>) -> Arc<Self> {
        Arc::new(Self { disk, pending })
    }
}

impl Disk for WatchedDisk {
    fn open(&self, name: &str, mode: Mode) -> io::Result<Arc<dyn File>> {
        let file = self.pending.call(|| self.disk.open(name, mode))?;
        Ok(Arc::new(WatchedFile { file, pending: Arc::clone(&self.pending) }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.pending.call(|| self.disk.list())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.pending.call(|| self.disk.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.pending.call(|| self.disk.remove(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.pending.call(|| self.disk.sync_dir())
    }

    /// Not wrapped: a panic of the committer's queue ends the committer, which alone has writes of the log in flight.
    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        self.pending.call(|| self.disk.queue())
    }

    fn movable_queue(&self) -> io::Result<Box<dyn Queue>> {
        let queue = self.pending.call(|| self.disk.movable_queue().map(WatchedQueue::around))?;
        Ok(Box::new(queue))
    }

    fn still_ours(&self) -> io::Result<()> {
        self.pending.call(|| self.disk.still_ours())
    }

    fn facts(&self) -> &Facts {
        self.disk.facts()
    }

    fn read_many(&self, reads: Vec<(Arc<dyn File>, Region, u64)>) -> Vec<(Region, io::Result<()>)> {
        let lens: Vec<usize> = reads.iter().map(|(_, region, _)| region.len()).collect();
        let answered = self.pending.call(|| Ok(self.disk.read_many(reads)));
        let error = match answered {
            Ok(answers) if answers.len() == lens.len() => return answers,
            Ok(answers) => io::Error::other(format!("the disk has answered {} of {} reads", answers.len(), lens.len())),
            Err(error) => error,
        };
        // The regions were passed to the call that failed.
        let pool = Pool::new(0);
        let failed = |len| (pool.region(len), Err(io::Error::other(error.to_string())));
        lens.into_iter().map(failed).collect()
    }

    fn stats(&self) -> DiskStats {
        self.disk.stats()
    }
}

impl File for WatchedFile {
    fn name(&self) -> &str {
        self.file.name()
    }

    fn size(&self) -> io::Result<u64> {
        self.pending.call(|| self.file.size())
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.pending.call(|| self.file.allocate(size))
    }

    fn shrink(&self, size: u64) -> io::Result<()> {
        self.pending.call(|| self.file.shrink(size))
    }

    fn write_at(&self, slices: &[Slice], offset: u64, sync: Sync) -> io::Result<()> {
        self.pending.call(|| self.file.write_at(slices, offset, sync))
    }

    fn read_at(&self, region: &mut Region, offset: u64) -> io::Result<()> {
        self.pending.call(|| self.file.read_at(region, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.pending.call(|| self.file.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.pending.call(|| self.file.sync_all())
    }

    fn forget_cached(&self) -> io::Result<()> {
        self.pending.call(|| self.file.forget_cached())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.descriptor()
    }

    fn simulated(&self) -> Option<u64> {
        self.file.simulated()
    }
}

impl std::fmt::Debug for PendingOps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingOps").field("oldest", &self.oldest(self.clock.now())).finish_non_exhaustive()
    }
}
