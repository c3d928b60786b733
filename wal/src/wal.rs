//! The handle by which the layer above uses an open log.

use std::sync::{Arc, atomic::Ordering};

use logboom_disk::{Disk, Facts};

use crate::{
    format::{
        listed::{Listed, Stretches},
        record::{KIND_FREED, Record},
    },
    group_commit::{
        admission::Permit,
        append::{Request, Reservation},
        cold,
        health::WalHealth,
        log::Shared,
        metrics::WalMetrics,
        rows::rows,
        tail::Caller,
        telling::{Notifier, Teller},
        ticket::Ticket,
        wakers::Wakers,
    },
    maintenance::{
        guard::Guard,
        housekeeping::{Housekeeping, Stalls},
        prefill::{Prefill, trim},
        scrub::Scrub,
    },
    runtime::worker::{Ended, Worker},
    segments::{
        segment::{Segment, SegmentInfo, infos},
        slots::Failure,
        supply::{KEPT_BACK, Use},
    },
    start::Start,
    types::{
        error::Error,
        ids::{Place, SegmentId, Sequence},
        marks,
    },
};

/// An open log. Clones are handles to the same log; the last one's drop closes it.
///
/// All methods may be called from any thread at any time, unless they say otherwise.
#[derive(Clone)]
pub struct Wal {
    pub(crate) shared: Arc<Shared>,
    /// Shared by the handles alone: tickets and machines do not keep a log open.
    _life: Arc<Closer>,
}

impl Wal {
    // ---- append ----

    /// Waits until `bytes` more may be accepted and not yet durable. To be called before any lock that a committing
    /// thread or a machine of the layer above may need.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Poisoned`], [`Error::Forked`].
    pub fn admit(&self, bytes: u64) -> Result<Permit, Error> {
        self.shared.env.check_process()?;
        if !self.shared.env.manual {
            return self.refused(self.shared.state.admission.admit(bytes));
        }
        loop {
            match self.try_admit(bytes) {
                Err(Error::Busy) => {
                    marks::hit("admission: a batch waits");
                    self.shared.tail.want(self.last_group());
                    self.shared.drive();
                }
                other => return other,
            }
        }
    }

    /// [`Wal::admit`] without waiting.
    ///
    /// # Errors
    /// [`Error::Busy`] when waiting would be needed.
    pub fn try_admit(&self, bytes: u64) -> Result<Permit, Error> {
        self.refused(self.shared.state.admission.try_admit(bytes))
    }

    /// [`Wal::admit`], awaited; a future of no particular runtime.
    ///
    /// # Errors
    /// As [`Wal::admit`].
    pub async fn admit_async(&self, bytes: u64) -> Result<Permit, Error> {
        self.shared.env.check_process()?;
        self.refused(self.shared.state.admission.admit_async(bytes).await)
    }

    /// Room for the records of one batch in one group. The order of these calls is the order of the log.
    ///
    /// Takes a short lock, and makes a segment itself when none is prepared; never waits for other callers.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::TooMany`], [`Error::Full`], [`Error::Closed`], [`Error::Poisoned`],
    /// [`Error::Forked`], and [`Error::Io`] where a segment cannot be made; nothing was written.
    pub fn reserve(&self, permit: Permit, request: &Request) -> Result<Reservation, Error> {
        self.reserve_listed(permit, request, &Stretches::any(request.records))
    }

    /// [`Wal::reserve`] by a layer that knows how much of the segment's footer its records will take.
    ///
    /// # Errors
    /// As [`Wal::reserve`].
    pub fn reserve_listed(
        &self,
        permit: Permit,
        request: &Request,
        stretches: &Stretches,
    ) -> Result<Reservation, Error> {
        let for_what = if request.drains { Use::Drain } else { Use::Append };
        self.shared.reserve(permit.keep(), (request, stretches, for_what))
    }

    /// Records in the segment that is written have this sequence or a higher one, those in all before it lower ones.
    pub fn active_since(&self) -> Sequence {
        Sequence::new(self.shared.state.active_since.load(Ordering::Relaxed), 0)
    }

    /// The most bytes that the records of one batch may have in all, headers included: a quarter of a segment.
    pub fn batch_bytes_max(&self) -> usize {
        self.shared.env.batch_bytes_max()
    }

    /// Every record from now on has this sequence or a higher one.
    pub fn next_sequence(&self) -> Sequence {
        self.shared.state.staging.lock().next_sequence()
    }

    // ---- group_commit ----

    /// The highest group that survives power loss, with every one before it.
    pub fn durable(&self) -> u64 {
        self.shared.state.watermark.durable()
    }

    fn ticket(&self, group: u64) -> Ticket {
        Ticket::new(Arc::clone(&self.shared), group)
    }

    /// Has everything that was accepted so far written, and completes when it is durable.
    pub fn barrier(&self) -> Ticket {
        let group = self.last_group();
        self.shared.tail.want(group);
        self.shared.tail.kick();
        self.ticket(group)
    }

    fn last_group(&self) -> u64 {
        self.shared.state.staging.lock().last_group()
    }

    // ---- read ----

    /// The record at `place` if it is in memory; never blocks for long, and never touches the device.
    pub fn read_recent(&self, place: Place) -> Option<Record> {
        self.shared.state.recent.read(place)
    }

    /// The records at `places`, in their order, if all of them are in memory: [`Wal::read_recent`].
    pub fn read_all_recent(&self, places: impl Iterator<Item = Place>) -> Option<Vec<Record>> {
        self.shared.state.recent.read_all(places)
    }

    /// Appends the records at `places` to `out`, in that order. Blocks for what is not in memory.
    ///
    /// # Errors
    /// [`Error::Corruption`] when a record's checksum does not match, or the device does not give its blocks and gives
    /// others; [`Error::Gone`] when a segment was retired meanwhile, [`Error::Io`]. `out` is unchanged then.
    pub fn read(&self, places: &[Place], out: &mut Vec<Record>) -> Result<(), Error> {
        self.shared.read(places, out)
    }

    /// Has the next read of these segments come from the device: something is wrong with what was read of them.
    pub fn forget_read(&self, segments: impl IntoIterator<Item = SegmentId>) {
        segments.into_iter().for_each(|id| self.shared.state.read_ahead.forget(id));
    }

    // ---- segments, footers, checkpoints: for the layer above's machines ----

    /// The live segments: the cold ones, and then those of the log, oldest first; the last is the active one.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        infos(&self.shared.state.segments.lock())
    }

    /// The segment that the next group goes to, or the one after it.
    pub fn active(&self) -> SegmentId {
        self.shared.state.staging.lock().segment().id
    }

    /// Writes a checkpoint that reflects every record in the segments below `replay_from`. Durable on return.
    ///
    /// Whatever the body reflects must be durable before: it must not be known from the checkpoint alone.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Full`]: the previous checkpoint stands; a failed sync poisons the log besides.
    pub fn write_checkpoint(&self, replay_from: SegmentId, body: &[u8]) -> Result<(), Error> {
        let shared = &self.shared;
        let rows = rows(shared, replay_from);
        let mut slots = shared.state.slots.lock();
        let written = slots.write(
            &*shared.env.medium.disk,
            &shared.env.medium.pool,
            &shared.env.identity,
            replay_from,
            &rows,
            body,
        );
        drop(slots);
        written.map_err(|failure| shared.beside_the_log("writing a checkpoint", failure))
    }

    /// Every record in the segments below this is in both checkpoints: losing one of them loses nothing.
    pub fn covered(&self) -> SegmentId {
        self.shared.state.slots.lock().covered()
    }

    /// Frees segments that hold nothing any more: no live entry, and no state that both checkpoints do not hold.
    ///
    /// They are recycled when a record that says so is durable and nobody reads them any more. A cold segment holds
    /// entries and nothing else: no checkpoint need cover it.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a segment that is written, or one that is not [`Wal::covered`]; those of
    /// [`Wal::reserve`].
    pub fn retire(&self, segments: &[SegmentId]) -> Result<(), Error> {
        self.shared.env.check_process()?;
        let (active, covered) = (self.active(), self.covered());
        let is_written = |id: SegmentId| self.segment(id).is_ok_and(|segment| !segment.is_closed());
        let may_not = |id: SegmentId| if id.is_cold() { is_written(id) } else { id >= active || id >= covered };
        if let Some(id) = segments.iter().find(|&&id| may_not(id)) {
            return Err(Error::Misuse { what: format!("segment {id} may not be retired yet") });
        }
        let count = u32::try_from(segments.len()).unwrap_or(u32::MAX);
        let body: Vec<u8> = segments.iter().flat_map(|id| id.0.to_le_bytes()).collect();
        let group = self.shared.write_own(KIND_FREED, count, &body)?;
        self.shared.retire(group, segments);
        segments.iter().for_each(|&id| self.shared.state.read_ahead.forget(id));
        self.shared.worker_kick();
        Ok(())
    }

    /// Copies records, which must be durable, to the cold stream; returns where they lie there, in their order. The
    /// copies survive power loss on return, and are found at the next opening.
    ///
    /// Called by one thread at a time; waits for the device, and for nothing else of the log.
    ///
    /// # Errors
    /// [`Error::TooLarge`] or [`Error::TooMany`] for what a batch could not be, [`Error::Full`], [`Error::Io`]: they
    /// are not moved then, and can be moved again. A failed sync poisons the log. [`Error::Poisoned`],
    /// [`Error::Closed`], [`Error::Forked`].
    pub fn move_records(&self, records: &[Record]) -> Result<Vec<Place>, Error> {
        self.move_listed(records, Listed { records: records.len(), stretches: cold::stretches(records) })
    }

    /// [`Wal::move_records`] by a layer that lists parts of them, and no more than `listed`, in the footer.
    ///
    /// # Errors
    /// As [`Wal::move_records`].
    pub fn move_listed(&self, records: &[Record], listed: Listed) -> Result<Vec<Place>, Error> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        self.shared.check_open()?;
        self.shared.state.cold.lock().append(&self.shared, records, listed)
    }

    /// Ends the cold segment that is written, so that it can be sealed; the next move begins another.
    pub fn close_cold(&self) {
        self.shared.state.cold.lock().close(&self.shared);
    }

    /// Makes what was freed durably, and is read by nobody, ready to be used again now.
    pub fn recycle(&self) {
        self.shared.recycle();
    }

    /// Whether the log is larger than it may be, or so large that little is left to move records to.
    pub fn is_tight(&self) -> bool {
        let in_use = self.shared.state.segments.lock().len() as u64;
        let supply = &self.shared.state.supply;
        let files_max = supply.files_max();
        supply.files() > files_max || in_use + KEPT_BACK as u64 + 1 > files_max
    }

    /// Ends the opening: from here on segments are prepared ahead, and what is not in use and past the bound is given
    /// back. Until it is called a log gives back and moves with what it has.
    pub fn prepare_ahead(&self) {
        trim(&self.shared);
        self.shared.state.supply.end_opening();
        self.worker().add(Box::new(Prefill::new(&self.shared)));
    }

    /// Whether another segment can be begun without making one.
    pub fn has_room(&self) -> bool {
        self.shared.state.supply.len() > KEPT_BACK
    }

    /// Whether fewer segments are prepared than are to be kept back from appends: openings have used them, and where no
    /// more can be made the log can be opened only so often.
    pub fn is_short(&self) -> bool {
        self.shared.state.supply.len() < KEPT_BACK
    }

    // ---- life ----

    /// The failure after which nothing is acknowledged any more.
    pub fn poisoned(&self) -> Option<Error> {
        self.shared.state.watermark.failure().cloned()
    }

    /// The identity of the log: random, and for ever the same.
    pub fn log_id(&self) -> [u64; 2] {
        self.shared.env.identity.log
    }

    /// A number that no other call, process or machine is likely to get; with [`crate::Runtime::Manual`] the clock's.
    pub fn nonce(&self) -> u64 {
        self.shared.env.clock.nonce()
    }

    /// Poisons the log after a failed sync of something else in its directory: what the kernel knew of failed writes
    /// of the log's own is gone with it.
    pub fn sync_failed(&self, what: &str, error: std::io::Error) {
        drop(self.shared.beside_the_log(what, Failure::Sync(error)));
    }

    /// The log's counters.
    pub fn metrics(&self) -> WalMetrics {
        self.shared.metrics_now()
    }

    /// Whether the log is well.
    pub fn health(&self) -> WalHealth {
        self.shared.health_now()
    }

    /// How often the device has answered the log's own writes, and how long that took in all.
    pub fn answers(&self) -> (u64, std::time::Duration) {
        self.shared.watch.answers()
    }

    /// Wakes those who wait, soon, on the thread that calls callbacks: the caller may have something locked.
    pub fn wake(&self, wakers: &Wakers) {
        self.shared.notices.wake(wakers.take(|_| true));
    }

    /// The disk that the log is on, with what is asked of it seen by [`Wal::health`].
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.shared.env.medium.disk)
    }

    /// The time of the log's clock.
    pub fn now(&self) -> std::time::Duration {
        self.shared.env.clock.now()
    }

    /// What is known of the device.
    pub fn facts(&self) -> &Facts {
        self.shared.env.medium.disk.facts()
    }

    /// The most bytes that segment files may take in all.
    pub fn space_bytes_max(&self) -> u64 {
        self.shared.env.options.space_bytes_max
    }

    /// The size of a segment file in bytes.
    pub fn segment_bytes(&self) -> u64 {
        self.shared.env.identity.segment_bytes
    }

    /// Who steps the background machines; the layer above adds its own.
    pub fn worker(&self) -> &Worker {
        self.shared.worker.get().expect("set before the log is handed out")
    }

    /// With [`crate::Runtime::Manual`]: one step of everything, in the caller's thread; false when nothing was to do.
    pub fn drive(&self) -> bool {
        self.check_process().is_ok() && self.shared.drive()
    }

    /// Has everything written, says in a last group that nothing follows, and ends the threads.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when not everything that was accepted is durable. [`Error::Forked`] in a child, where
    /// nothing is done.
    pub fn close(&self) -> Result<(), Error> {
        self.check_process()?;
        self.shared.close()
    }

    /// # Errors
    /// [`Error::Forked`] in a child that was forked from the process that opened the log.
    pub fn check_process(&self) -> Result<(), Error> {
        self.shared.env.check_process()
    }

    pub(crate) fn start(start: Start) -> Result<Self, Error> {
        let runtime = start.base.runtime.clone();
        let shared = start.into_shared()?;
        let wal = Self { _life: Arc::new(Closer(Arc::clone(&shared))), shared };
        wal.spawn(&runtime)?;
        let epoch = wal.shared.add_empty(0)?;
        wal.shared.wait(epoch, Caller::Locked)?;
        wal.worker().add(Box::new(Housekeeping::new(&wal.shared)));
        wal.shared.guard.get().into_iter().for_each(|worker| worker.add(Box::new(Guard::new(&wal.shared))));
        let period = wal.shared.env.options.scrub_period;
        if !period.is_zero() {
            wal.worker().add(Box::new(Scrub::new(&wal.shared, period)));
        }
        Ok(wal)
    }

    fn spawn(&self, runtime: &crate::runtime::worker::Runtime) -> Result<(), Error> {
        let shared = &self.shared;
        let fail = |error| Error::io("starting a thread", error);
        let start = |name| {
            let theirs = Arc::downgrade(shared);
            let tell = move |ended| theirs.upgrade().into_iter().for_each(|shared| shared.ended(Ended::clone(&ended)));
            Worker::new(name, runtime, Arc::clone(&shared.env.clock), tell).map_err(fail)
        };
        let (worker, guard) = (start("logboom-work")?, start("logboom-guard")?);
        let (notifier, watcher) = (start("logboom-notify")?, start("logboom-watch")?);
        notifier.add(Box::new(Notifier::new(shared)));
        watcher.add(Box::new(Stalls::new(shared)));
        watcher.add(Box::new(Teller::new(shared)));
        drop(shared.worker.set(worker));
        drop(shared.guard.set(guard));
        drop(shared.notices.notifier.set(notifier));
        drop(shared.notices.watcher.set(watcher));
        if shared.env.manual { Ok(()) } else { shared.start_committer() }
    }

    pub(crate) fn segment(&self, id: SegmentId) -> Result<Arc<Segment>, Error> {
        self.shared.state.segments.lock().get(&id).cloned().ok_or(Error::Gone(id))
    }

    /// Why admission ended: it is shut by closing and by poison alike.
    fn refused<T>(&self, admitted: Result<T, Error>) -> Result<T, Error> {
        match (admitted, self.shared.state.watermark.failure()) {
            (Err(Error::Closed), Some(first)) => Err(crate::group_commit::watermark::poisoned(first)),
            (other, _) => other,
        }
    }
}

/// Closes the log when the last handle goes.
struct Closer(Arc<Shared>);

impl Drop for Closer {
    fn drop(&mut self) {
        if self.0.env.check_process().is_err() {
            // A forked child has no threads to end, and what those had locked stays locked there: nothing is touched.
            std::mem::forget(Arc::clone(&self.0));
            return;
        }
        // Whoever wants to know calls `close`.
        drop(self.0.close());
    }
}
