//! The handle of an open log, for the layer above.

use std::sync::{Arc, atomic::Ordering};

use logboom_disk::{Disk, Facts};

use crate::{
    format::{
        footer_bound::{FooterBound, RangeCounts},
        record::{KIND_FREED, Record},
    },
    group_commit::{
        admission::Permit,
        append::{Request, Reservation, SpaceRequest},
        cold,
        delivery::{EventDispatcher, Notifier},
        health::WalHealth,
        log::Shared,
        metrics::WalMetrics,
        rows::rows,
        scheduler::Caller,
        ticket::Ticket,
        wakers::Wakers,
    },
    maintenance::{
        guard::Guard,
        housekeeping::{Housekeeping, StallDetector},
        prefill::{Prefill, trim},
        scrub::Scrub,
    },
    runtime::worker::{EndedMachine, Worker},
    segments::{
        segment::{Segment, SegmentInfo, infos},
        slots::Failure,
        supply::{KEPT_BACK, Purpose},
    },
    start::Start,
    types::{
        error::Error,
        ids::{Place, SegmentId, Sequence},
        marks,
    },
};

/// An open log. Clones are handles to the same log; dropping the last one closes it.
///
/// All methods may be called from any thread at any time, unless they say otherwise.
#[derive(Clone)]
pub struct Wal {
    pub(crate) shared: Arc<Shared>,
    /// Held by handles only: tickets and machines do not keep a log open.
    _life: Arc<Closer>,
}

impl Wal {
    // ---- append ----

    /// Waits until `bytes` more bytes may be accepted that are not durable yet. Call it before taking a lock that a
    /// committing thread or a machine of the layer above may need.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Poisoned`], [`Error::Forked`].
    pub fn admit(&self, bytes: u64) -> Result<Permit, Error> {
        self.shared.env.check_process()?;
        if !self.shared.env.manual {
            return self.refused(self.shared.state.admission.admit(bytes, || self.write_what_waits()));
        }
        loop {
            match self.try_admit(bytes) {
                Err(Error::Busy) => {
                    marks::hit("admission: a batch waits");
                    self.shared.scheduler.request_write(self.last_group());
                    self.shared.drive();
                }
                other => return other,
            }
        }
    }

    /// [`Wal::admit`] without waiting.
    ///
    /// # Errors
    /// [`Error::Busy`] if it would have to wait; those of [`Wal::admit`] otherwise.
    pub fn try_admit(&self, bytes: u64) -> Result<Permit, Error> {
        self.refused(self.shared.state.admission.try_admit(bytes))
    }

    /// The asynchronous [`Wal::admit`]; the future needs no particular runtime.
    ///
    /// # Errors
    /// As [`Wal::admit`].
    pub async fn admit_async(&self, bytes: u64) -> Result<Permit, Error> {
        self.shared.env.check_process()?;
        self.refused(self.shared.state.admission.admit_async(bytes, || self.write_what_waits()).await)
    }

    /// Reserves room for the records of one batch in one group. The order of these calls is the order of the log.
    ///
    /// Takes a lock for a short time, and makes a segment itself if none is prepared; never waits for other callers.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::TooMany`], [`Error::Full`], [`Error::Closed`], [`Error::Poisoned`],
    /// [`Error::Forked`], and [`Error::Io`] if a segment cannot be made; nothing was written.
    pub fn reserve(&self, permit: Permit, request: &Request) -> Result<Reservation, Error> {
        self.reserve_with_ranges(permit, request, &RangeCounts::any(request.records))
    }

    /// [`Wal::reserve`] for a layer that knows how much of the segment's footer its records will take.
    ///
    /// # Errors
    /// As [`Wal::reserve`].
    pub fn reserve_with_ranges(
        &self,
        permit: Permit,
        request: &Request,
        ranges: &RangeCounts,
    ) -> Result<Reservation, Error> {
        let purpose = if request.frees_space { Purpose::FreeSpace } else { Purpose::Append };
        self.shared.reserve(permit.keep(), SpaceRequest { batch: request, ranges, purpose })
    }

    /// The lowest sequence that a record in the active segment can have; records in older segments have lower ones.
    pub fn active_since(&self) -> Sequence {
        Sequence::new(self.shared.state.active_since.load(Ordering::Relaxed), 0)
    }

    /// The most bytes that the records of one batch may have in total, headers included: a quarter of a segment.
    pub fn batch_bytes_max(&self) -> usize {
        self.shared.env.batch_bytes_max()
    }

    /// The lowest sequence that a record can have that is reserved from now on.
    pub fn next_sequence(&self) -> Sequence {
        self.shared.state.staging.lock().next_sequence()
    }

    // ---- group_commit ----

    /// The highest group that survives power loss, as do all groups before it.
    pub fn durable(&self) -> u64 {
        self.shared.state.watermark.durable()
    }

    fn ticket(&self, group: u64) -> Ticket {
        Ticket::new(Arc::clone(&self.shared), group)
    }

    /// Requests a write of everything that was accepted so far; the ticket completes when it is durable.
    pub fn barrier(&self) -> Ticket {
        let group = self.last_group();
        self.shared.scheduler.request_write(group);
        self.shared.scheduler.kick();
        self.ticket(group)
    }

    fn last_group(&self) -> u64 {
        self.shared.state.staging.lock().last_group()
    }

    // ---- read ----

    /// The record at `place` if it is in memory. Takes a lock for a short time, and never reads from the device.
    pub fn read_recent(&self, place: Place) -> Option<Record> {
        self.shared.state.recent.read(place)
    }

    /// The records at `places`, in their order, if all of them are in memory: [`Wal::read_recent`].
    pub fn read_all_recent(&self, places: impl Iterator<Item = Place>) -> Option<Vec<Record>> {
        self.shared.state.recent.read_all(places)
    }

    /// Appends the records at `places` to `out`, in that order. Blocks while it reads those that are not in memory.
    ///
    /// # Errors
    /// [`Error::Corruption`] if a record's checksum does not match, or the device fails to read its blocks but reads
    /// others; [`Error::Gone`] if a segment was retired meanwhile; [`Error::Io`]. On error `out` is unchanged.
    pub fn read(&self, places: &[Place], out: &mut Vec<Record>) -> Result<(), Error> {
        self.shared.read(places, out)
    }

    /// Drops cached reads of these segments, so that the next read comes from the device: the cached bytes may be
    /// damaged.
    pub fn forget_read(&self, segments: impl IntoIterator<Item = SegmentId>) {
        segments.into_iter().for_each(|id| self.shared.state.read_ahead.forget(id));
    }

    // ---- segments, footers, checkpoints: for the machines of the layer above ----

    /// The live segments: the cold ones first, then those of the log, oldest first; the last is the active one.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        infos(&self.shared.state.segments.lock())
    }

    /// The active segment: the next group goes to it, or to the segment after it.
    pub fn active(&self) -> SegmentId {
        self.shared.state.staging.lock().segment().id
    }

    /// Writes a checkpoint that reflects every record in the segments below `replay_from`. Durable on return.
    ///
    /// Everything that the body reflects must be durable before the call: a crash could leave the checkpoint ahead of
    /// the log otherwise.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Full`]: the previous checkpoint stands. A failed sync poisons the log as well.
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
        written.map_err(|failure| shared.side_failure("writing a checkpoint", failure))
    }

    /// The first segment that is not covered: both checkpoints reflect every record in the segments below it, so losing
    /// one checkpoint loses nothing.
    pub fn covered(&self) -> SegmentId {
        self.shared.state.slots.lock().covered()
    }

    /// Frees segments without live entries whose other records both checkpoints reflect.
    ///
    /// A segment is recycled once the record that frees it is durable and no reader holds it. A cold segment holds
    /// only entries: checkpoints need not cover it.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a segment that is still written, or is not [`Wal::covered`]; those of [`Wal::reserve`].
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

    /// Copies records, which must be durable, to the active cold segment; returns the places of the copies, in the
    /// order of the records. On return the copies survive power loss, and the next opening finds them.
    ///
    /// Call it from one thread at a time. It waits for the device, and for nothing else of the log.
    ///
    /// # Errors
    /// [`Error::TooLarge`] or [`Error::TooMany`] beyond the limits of a batch, [`Error::Full`], [`Error::Io`]: the
    /// records were not moved, and the caller may try again. A failed sync poisons the log. [`Error::Poisoned`],
    /// [`Error::Closed`], [`Error::Forked`].
    pub fn move_records(&self, records: &[Record]) -> Result<Vec<Place>, Error> {
        self.move_with_bound(records, FooterBound { records: records.len(), ranges: cold::count_ranges(records) })
    }

    /// [`Wal::move_records`] for a layer that lists parts of the records in the footer, at most as many as `bound`.
    ///
    /// # Errors
    /// As [`Wal::move_records`].
    pub fn move_with_bound(&self, records: &[Record], bound: FooterBound) -> Result<Vec<Place>, Error> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        self.shared.check_open()?;
        self.shared.state.cold.lock().append(&self.shared, records, bound)
    }

    /// Closes the active cold segment, so that it can be sealed; the next move begins another.
    pub fn close_cold(&self) {
        self.shared.state.cold.lock().close(&self.shared);
    }

    /// Makes segments available now that were freed durably and have no readers.
    pub fn recycle(&self) {
        self.shared.recycle();
    }

    /// Whether the log exceeds its bound, or is so close to it that hardly a segment is left for moved records.
    pub fn is_tight(&self) -> bool {
        let in_use = self.shared.state.segments.lock().len() as u64;
        let supply = &self.shared.state.supply;
        let files_max = supply.files_max();
        supply.files() > files_max || in_use + KEPT_BACK as u64 + 1 > files_max
    }

    /// Ends the opening: from now on the log prepares segments in advance, and deletes unused ones beyond its bound.
    /// Until this call it frees segments and moves records with the segments it has.
    pub fn prepare_ahead(&self) {
        trim(&self.shared);
        self.shared.state.supply.end_opening();
        self.worker().add(Box::new(Prefill::new(&self.shared)));
    }

    /// Whether the log can begin another segment without making a file.
    pub fn has_room(&self) -> bool {
        self.shared.state.supply.len() > KEPT_BACK
    }

    /// Whether fewer segments are prepared than the log keeps back from appends: openings have used them. If no more
    /// can be made, only so many more openings succeed.
    pub fn is_short(&self) -> bool {
        self.shared.state.supply.len() < KEPT_BACK
    }

    // ---- health and close ----

    /// The failure that poisoned the log: since then nothing is acknowledged.
    pub fn poisoned(&self) -> Option<Error> {
        self.shared.state.watermark.failure().cloned()
    }

    /// The identity of the log: random, fixed when it was created.
    pub fn log_id(&self) -> [u64; 2] {
        self.shared.env.identity.log
    }

    /// A number that is unique with high probability, over calls, processes and machines; with
    /// [`crate::Runtime::Manual`] from the clock.
    pub fn nonce(&self) -> u64 {
        self.shared.env.clock.nonce()
    }

    /// Poisons the log after a failed sync of another file in its directory: the kernel reports a failed write once,
    /// and may have reported one of the log's in that sync.
    pub fn sync_failed(&self, what: &str, error: std::io::Error) {
        drop(self.shared.side_failure(what, Failure::Sync(error)));
    }

    /// The log's counters.
    pub fn metrics(&self) -> WalMetrics {
        self.shared.metrics_now()
    }

    /// The health of the log: failures, stalls and damage.
    pub fn health(&self) -> WalHealth {
        self.shared.health_now()
    }

    /// The number of writes of the log that the device has completed, and their total duration.
    pub fn answers(&self) -> (u64, std::time::Duration) {
        self.shared.watch.answers()
    }

    /// Wakes `wakers` soon, on the thread that calls callbacks; safe to call with locks held.
    pub fn wake(&self, wakers: &Wakers) {
        self.shared.notices.wake(wakers.take(|_| true));
    }

    /// The log's disk. [`Wal::health`] also reports stalls of operations through it.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.shared.env.medium.disk)
    }

    /// The current time of the log's clock.
    pub fn now(&self) -> std::time::Duration {
        self.shared.env.clock.now()
    }

    /// The facts about the device.
    pub fn facts(&self) -> &Facts {
        self.shared.env.medium.disk.facts()
    }

    /// The most bytes that segment files may take in total.
    pub fn space_bytes_max(&self) -> u64 {
        self.shared.env.options.space_bytes_max
    }

    /// The size of a segment file in bytes.
    pub fn segment_bytes(&self) -> u64 {
        self.shared.env.identity.segment_bytes
    }

    /// The worker that steps the background machines; the layer above adds its own.
    pub fn worker(&self) -> &Worker {
        self.shared.worker.get().expect("set before the log is handed out")
    }

    /// With [`crate::Runtime::Manual`]: steps everything once, in the caller's thread; false if there was nothing to
    /// do.
    pub fn drive(&self) -> bool {
        self.check_process().is_ok() && self.shared.drive()
    }

    /// Writes everything that was accepted, appends a last group which says that nothing follows, and ends the threads.
    ///
    /// # Errors
    /// [`Error::Poisoned`] if some of what was accepted is not durable. [`Error::Forked`] in a forked child, where
    /// nothing is done.
    pub fn close(&self) -> Result<(), Error> {
        self.check_process()?;
        self.shared.close()
    }

    /// Checks that this is the process that opened the log.
    ///
    /// # Errors
    /// [`Error::Forked`] in a child that was forked from the process that opened the log.
    pub fn check_process(&self) -> Result<(), Error> {
        self.shared.env.check_process()
    }

    pub(crate) fn start(start: Start) -> Result<Self, Error> {
        let runtime = start.context.runtime.clone();
        let shared = start.into_shared()?;
        let wal = Self { _life: Arc::new(Closer(Arc::clone(&shared))), shared };
        wal.spawn(&runtime)?;
        let epoch = wal.shared.add_empty(0)?;
        wal.shared.wait(epoch, Caller::Locked)?;
        wal.worker().add(Box::new(Housekeeping::new(&wal.shared)));
        wal.shared.guard.get().into_iter().for_each(|worker| worker.add(Box::new(Guard::new(&wal.shared))));
        if let Some(period) = wal.shared.env.options.scrub_period {
            wal.worker().add(Box::new(Scrub::new(&wal.shared, period)));
        }
        Ok(wal)
    }

    fn spawn(&self, runtime: &crate::runtime::worker::Runtime) -> Result<(), Error> {
        let shared = &self.shared;
        let fail = |error| Error::io("starting a thread", error);
        let start = |name| {
            let theirs = Arc::downgrade(shared);
            let report =
                move |ended| theirs.upgrade().into_iter().for_each(|shared| shared.ended(EndedMachine::clone(&ended)));
            Worker::new(name, runtime, Arc::clone(&shared.env.clock), report).map_err(fail)
        };
        let (worker, guard) = (start("logboom-work")?, start("logboom-guard")?);
        let (notifier, watcher) = (start("logboom-notify")?, start("logboom-watch")?);
        notifier.add(Box::new(Notifier::new(shared)));
        watcher.add(Box::new(StallDetector::new(shared)));
        watcher.add(Box::new(EventDispatcher::new(shared)));
        drop(shared.worker.set(worker));
        drop(shared.guard.set(guard));
        drop(shared.notices.notifier.set(notifier));
        drop(shared.notices.watcher.set(watcher));
        if shared.env.manual { Ok(()) } else { shared.start_committer() }
    }

    pub(crate) fn segment(&self, id: SegmentId) -> Result<Arc<Segment>, Error> {
        self.shared.state.segments.lock().get(&id).cloned().ok_or(Error::Gone(id))
    }

    /// Replaces the error of a closed admission by the reason: the log is poisoned or closed.
    /// Has batches written that are left to their waiters: the one that holds their tickets may be the caller, who is
    /// going to wait for the room that they take.
    fn write_what_waits(&self) {
        if self.shared.scheduler.has_untaken_requests() {
            self.shared.scheduler.kick();
        }
    }

    fn refused<T>(&self, admitted: Result<T, Error>) -> Result<T, Error> {
        match (admitted, self.shared.state.watermark.failure()) {
            (Err(Error::Closed), Some(first)) => Err(crate::group_commit::watermark::poisoned(first)),
            (other, _) => other,
        }
    }
}

/// Closes the log when the last handle is dropped.
struct Closer(Arc<Shared>);

impl Drop for Closer {
    fn drop(&mut self) {
        if self.0.env.check_process().is_err() {
            // A forked child has no threads to end, and locks that they held stay locked there: nothing is touched.
            std::mem::forget(Arc::clone(&self.0));
            return;
        }
        // Callers that want the outcome call `close`.
        drop(self.0.close());
    }
}
