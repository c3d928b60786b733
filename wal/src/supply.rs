//! Prepared segments: made ahead of the log off its append path, and recycled for ever.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Weak},
    time::Duration,
};

use logboom_disk::{Disk, File, Mode, Pool, Slice, Sync};
use parking_lot::Mutex;

use crate::{
    Capacity, Error, Machine, Step, marks,
    mutants::{self, Mutant},
    segment::{Segment, slot_name},
    shared::Shared,
    slots::Failure,
};

/// Kept back from appends: one segment for the next opening, and on a full device one to move live records to, and one
/// for the records that give space back.
pub(crate) const KEPT_BACK: usize = 3;

/// How long a machine that failed waits before it tries again.
const RETRY: Duration = Duration::from_millis(500);

/// Of segments that are prepared beyond need, one is given back to the file system in this time.
const SHRINK: Duration = Duration::from_secs(10);

/// Zeros are written in pieces of this size, so that preparing never holds the device for long.
const ZEROS: usize = 256 << 10;

/// What a prepared segment is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Append,
    /// For live records of segments that can be given back then.
    Move,
    /// For records that let segments be given back.
    Drain,
}

/// A segment file that is not in use.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) slot: u32,
    pub(crate) file: Arc<dyn File>,
}

/// The segment files that are not in use.
#[derive(Debug)]
pub(crate) struct Supply {
    size: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Prepared>,
    next_slot: u32,
    /// All segment files that there are, in use or not.
    files: u64,
    /// Freed, and waiting for the record that says so to be durable, and for the last reader.
    retiring: Vec<(u64, Arc<Segment>)>,
}

impl Supply {
    /// `in_use` segments are not among those that are `ready`.
    pub(crate) fn new(size: u64, ready: VecDeque<Prepared>, in_use: usize, next_slot: u32) -> Self {
        let files = (ready.len() + in_use) as u64;
        Self { size, state: Mutex::new(State { ready, next_slot, files, ..State::default() }) }
    }

    /// A prepared segment, if there is one beyond those that are kept back from this use.
    pub(crate) fn take(&self, for_what: Use) -> Option<Prepared> {
        let floor = match for_what {
            Use::Append => KEPT_BACK,
            Use::Move => KEPT_BACK - 1,
            Use::Drain => KEPT_BACK - 2,
        };
        let mut state = self.state.lock();
        let is_last = state.ready.len() == floor + 1;
        marks::hit_if(is_last && for_what == Use::Drain, "supply: the segment kept for draining is used");
        marks::hit_if(is_last && for_what == Use::Move, "supply: the segment kept for moving is used");
        if state.ready.len() > floor { state.ready.pop_front() } else { None }
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().ready.len()
    }

    /// Adds a segment at once, for a caller that cannot go on without: its blocks are reserved, not written, which
    /// makes its first life slower than a wait for zeros would be long (measured: 19 to 27 % for large groups).
    pub(crate) fn hurry(&self, shared: &Shared) -> Result<(), Error> {
        if !self.claim(shared) {
            marks::hit("supply: the log may not grow");
            return Err(Error::Full(Capacity::Bound { bytes_max: shared.options.space_bytes_max }));
        }
        marks::hit("supply: a segment is made in a hurry");
        let slot = self.next_slot();
        let disk = &*shared.disk;
        let made = begin(disk, slot, self.size).map_err(Failure::Write);
        self.add(shared, slot, made.and_then(|file| finish(disk, slot, &*file)))
    }

    /// Leaves a dead segment to be recycled when `group`, which holds the record of its end, is durable.
    pub(crate) fn retire(&self, group: u64, segment: Arc<Segment>) {
        self.state.lock().retiring.push((group, segment));
    }

    /// Segments whose freeing is not durable while the log is up to `durable`: a crash may bring them back.
    pub(crate) fn undecided(&self, durable: u64) -> Vec<Arc<Segment>> {
        let state = self.state.lock();
        let undecided = state.retiring.iter().filter(|(group, _)| *group > durable);
        undecided.map(|(_, segment)| Arc::clone(segment)).collect()
    }

    /// Whether another segment file would be one too many.
    fn is_at_limit(&self, shared: &Shared) -> bool {
        self.is_too_many(shared, self.state.lock().files + 1)
    }

    /// The right to add a segment file, unless it would be one too many.
    fn claim(&self, shared: &Shared) -> bool {
        let mut state = self.state.lock();
        let may = !self.is_too_many(shared, state.files + 1);
        state.files += u64::from(may);
        may
    }

    fn is_too_many(&self, shared: &Shared, files: u64) -> bool {
        files.saturating_mul(self.size) > shared.options.space_bytes_max
    }

    fn next_slot(&self) -> u32 {
        let mut state = self.state.lock();
        state.next_slot += 1;
        state.next_slot - 1
    }

    /// Adds what was [claimed](Self::claim).
    fn add(&self, shared: &Shared, slot: u32, made: Result<(), Failure>) -> Result<(), Error> {
        let open = |()| shared.disk.open(&slot_name(slot), Mode::Write).map_err(Failure::Write);
        match made.and_then(open) {
            Ok(file) => {
                let mut state = self.state.lock();
                state.ready.push_back(Prepared { slot, file });
                Ok(())
            }
            Err(failure) => {
                self.state.lock().files -= 1;
                Err(self.give_up(shared, slot, failure))
            }
        }
    }

    /// Takes back what a failed preparation left. A failed write of it never touched the log, which goes on with what
    /// it has; a failed sync may have hidden the failure of the log's own writes.
    fn give_up(&self, shared: &Shared, slot: u32, failure: Failure) -> Error {
        // Whatever cannot be removed now is removed when the log is opened.
        drop(shared.disk.remove(&prefill_name(slot)));
        shared.beside_the_log("preparing a segment", failure)
    }

    /// Moves what was freed, durably, and is read by nobody to the ready ones.
    pub(crate) fn recycle(&self, durable: u64) {
        let mut state = self.state.lock();
        let retiring = std::mem::take(&mut state.retiring);
        for (group, segment) in retiring {
            // The segment's own handle is one; every reader holds another.
            let freed = group <= durable || mutants::is_on(Mutant::FreedReusedAtOnce);
            marks::hit_if(!freed, "supply: a freed segment waits for its record");
            if freed && Arc::strong_count(&segment) == 1 {
                marks::hit("supply: a segment is recycled");
                state.ready.push_back(Prepared { slot: segment.slot, file: Arc::clone(&segment.file) });
            } else {
                state.retiring.push((group, segment));
            }
        }
    }

    /// A ready segment beyond the first `keep`.
    fn surplus(&self, keep: usize) -> Option<Prepared> {
        let mut state = self.state.lock();
        if state.ready.len() > keep { state.ready.pop_back() } else { None }
    }

    fn is_retiring(&self) -> bool {
        !self.state.lock().retiring.is_empty()
    }
}

/// Files in preparation are named apart, so that a crash leaves nothing that could be taken for a segment.
pub(crate) fn prefill_name(slot: u32) -> String {
    format!("prefill-{slot:06}")
}

pub(crate) fn is_prefill(name: &str) -> bool {
    name.starts_with("prefill-")
}

/// Makes a whole segment in the caller's thread, zeros and all: for a log that has none yet.
pub(crate) fn prepare_now(disk: &dyn Disk, pool: &Pool, slot: u32, size: u64) -> io::Result<Prepared> {
    let file = begin(disk, slot, size)?;
    let zeros = zeros(pool, size);
    let mut at = 0;
    while at < size {
        at += write_zeros(&*file, &zeros, at, size)?;
    }
    finish(disk, slot, &*file).map_err(Failure::into_error)?;
    Ok(Prepared { slot, file: disk.open(&slot_name(slot), Mode::Write)? })
}

fn begin(disk: &dyn Disk, slot: u32, size: u64) -> io::Result<Arc<dyn File>> {
    let file = disk.open(&prefill_name(slot), Mode::Create)?;
    file.allocate(size)?;
    Ok(file)
}

fn finish(disk: &dyn Disk, slot: u32, file: &dyn File) -> Result<(), Failure> {
    file.sync_all().map_err(Failure::Sync)?;
    disk.rename(&prefill_name(slot), &slot_name(slot)).map_err(Failure::Write)?;
    if mutants::is_on(Mutant::NameNotSynced) {
        return Ok(());
    }
    disk.sync_dir().map_err(Failure::Sync)
}

fn zeros(pool: &Pool, size: u64) -> Slice {
    let len = usize::try_from(size).unwrap_or(ZEROS).min(ZEROS);
    let mut region = pool.region(len);
    region.fill(0);
    region.freeze().slice(0..len)
}

fn write_zeros(file: &dyn File, zeros: &Slice, at: u64, size: u64) -> io::Result<u64> {
    let len = (size - at).min(zeros.len() as u64);
    let piece = zeros.slice(0..usize::try_from(len).unwrap_or(zeros.len()));
    file.write_at(&[piece], at, Sync::None)?;
    Ok(len)
}

/// Gives the space of a segment back to the file system. If it stays, the next opening takes it for prepared.
fn remove(shared: &Shared, surplus: Prepared) {
    marks::hit("supply: a segment is given back");
    let removed = shared.disk.remove(&slot_name(surplus.slot)).is_ok();
    drop(surplus);
    shared.supply.state.lock().files -= u64::from(removed);
    if removed && let Err(error) = shared.disk.sync_dir() {
        shared.beside_the_log("removing a segment", Failure::Sync(error));
    }
}

/// Keeps as many segments prepared as the log is to have in reserve.
pub(crate) struct Prefill {
    shared: Weak<Shared>,
    filling: Option<Filling>,
    retry_at: Duration,
    shrink_at: Duration,
}

/// A file whose blocks are being written for the first time.
struct Filling {
    slot: u32,
    file: Arc<dyn File>,
    at: u64,
    zeros: Slice,
}

impl Prefill {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::downgrade(shared), filling: None, retry_at: Duration::ZERO, shrink_at: SHRINK }
    }

    /// Gives space back slowly: what a log has used once it is likely to use again, and making a segment anew costs
    /// as much as writing it.
    fn shrink(&mut self, shared: &Shared, now: Duration, wanted: usize) {
        if now < self.shrink_at {
            return;
        }
        self.shrink_at = now + SHRINK;
        if let Some(surplus) = shared.supply.surplus(wanted.max(shared.segments.lock().len())) {
            remove(shared, surplus);
        }
    }

    fn fill(&mut self, shared: &Shared, now: Duration) -> Step {
        let Some(filling) = self.filling.take() else {
            return self.begin(shared, now);
        };
        let size = shared.segment_bytes;
        match filling.step(size) {
            Ok(filling) if filling.at < size => {
                self.filling = Some(filling);
                if shared.watch.is_waiting() && shared.supply.len() > KEPT_BACK {
                    // The log writes, and nobody waits for this segment: half of the time is enough.
                    let ended = shared.clock.now();
                    return Step::At(ended + ended.saturating_sub(now));
                }
                Step::Again
            }
            Ok(filling) if !shared.supply.claim(shared) => {
                // Somebody was in a hurry, and was first.
                marks::hit("supply: a prepared segment would be one too many");
                drop(shared.disk.remove(&prefill_name(filling.slot)));
                Step::Again
            }
            Ok(filling) => {
                let made = finish(&*shared.disk, filling.slot, &*filling.file);
                self.note(shared.supply.add(shared, filling.slot, made), now)
            }
            Err((slot, error)) => {
                let error = shared.supply.give_up(shared, slot, Failure::Write(error));
                self.note(Err(error), now)
            }
        }
    }

    fn begin(&mut self, shared: &Shared, now: Duration) -> Step {
        let slot = shared.supply.next_slot();
        match begin(&*shared.disk, slot, shared.segment_bytes) {
            Ok(file) => {
                self.filling = Some(Filling { slot, file, at: 0, zeros: zeros(&shared.pool, shared.segment_bytes) });
                Step::Again
            }
            Err(error) => {
                let error = shared.supply.give_up(shared, slot, Failure::Write(error));
                self.note(Err(error), now)
            }
        }
    }

    fn note(&mut self, outcome: Result<(), Error>, now: Duration) -> Step {
        match outcome {
            Ok(()) => Step::Again,
            Err(_) => {
                self.retry_at = now + RETRY;
                Step::At(self.retry_at)
            }
        }
    }
}

impl Filling {
    fn step(mut self, size: u64) -> Result<Self, (u32, io::Error)> {
        match write_zeros(&*self.file, &self.zeros, self.at, size) {
            Ok(len) => {
                self.at += len;
                Ok(self)
            }
            Err(error) => Err((self.slot, error)),
        }
    }
}

impl Machine for Prefill {
    fn name(&self) -> &'static str {
        "prefill"
    }

    fn step(&mut self, now: Duration) -> Step {
        let Some(shared) = self.shared.upgrade() else { return Step::Done };
        let wanted = shared.options.reserve_segments + KEPT_BACK;
        shared.supply.recycle(shared.watermark.durable());
        self.shrink(&shared, now, wanted);
        let lacks = || shared.supply.len() < wanted && !shared.supply.is_at_limit(&shared);
        if now >= self.retry_at && (self.filling.is_some() || lacks()) {
            return self.fill(&shared, now);
        }
        match () {
            () if now < self.retry_at => Step::At(self.retry_at),
            () if shared.supply.is_retiring() => Step::At(now + Duration::from_millis(10)),
            () if shared.supply.len() > wanted => Step::At(self.shrink_at),
            () => Step::Parked,
        }
    }
}
