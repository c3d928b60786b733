//! The supply of prepared segments: made in advance, off the append path, and recycled.

use std::{collections::VecDeque, io, sync::Arc};

use logboom_disk::{Disk, File, Mode, Pool, Slice, Sync};
use parking_lot::Mutex;

use crate::{
    format::options::Options,
    runtime::faults::Faults,
    segments::{
        aside::{Aside, put_aside},
        segment::{Segment, slot_name},
        slots::Failure,
        unreadable::is_media_error,
    },
    types::{
        error::{Capacity, Error},
        marks,
        mutants::{Mutant, unless},
    },
};

/// Prepared segments that appends may not take: one for the next opening and, on a full device, one for moved records
/// and one for records that free space.
pub(crate) const KEPT_BACK: usize = 3;

/// The name of preparing segments, as a machine and in reports of failures.
pub(crate) const PREPARE: &str = "prefill";

/// The name of opening prepared segments, in reports of failures.
const OPEN: &str = "open segments";

/// Zeros are written in pieces of this many bytes, so that preparing never occupies the device for long.
const ZEROS: usize = 256 << 10;

/// The purpose for which a prepared segment is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Append,
    /// For copies of live records, so that their segments can be freed.
    Move,
    /// For batches that allow segments to be freed.
    FreeSpace,
    /// For the record that frees segments. The freed segments become prepared ones when it is durable, so it may take
    /// the last prepared segment, without which the log could not be opened. If a crash comes earlier, that segment is
    /// empty.
    Retire,
}

impl Purpose {
    /// The number of prepared segments that may not be taken for this purpose.
    fn kept_back(self) -> usize {
        match self {
            Purpose::Append => KEPT_BACK,
            Purpose::Move => KEPT_BACK - 1,
            Purpose::FreeSpace => KEPT_BACK - 2,
            Purpose::Retire => 0,
        }
    }
}

/// Why no segment was added.
#[derive(Debug)]
pub(crate) enum NotAdded {
    /// The log has reached its bound of bytes: [`Capacity::Bound`].
    Bound(Capacity),
    /// The file could not be made: see [`Supply::add`].
    Failed(Failure),
}

/// A segment file that is about to be used.
#[derive(Debug)]
pub(crate) struct PreparedSegment {
    pub(crate) slot: u32,
    pub(crate) file: Arc<dyn File>,
}

/// An unused segment file. Few are open: the file descriptors of a process are limited.
#[derive(Debug)]
pub(crate) struct FreeSegment {
    pub(crate) slot: u32,
    pub(crate) file: Option<Arc<dyn File>>,
}

impl FreeSegment {
    pub(crate) fn new(slot: u32) -> Self {
        Self { slot, file: None }
    }

    pub(crate) fn open(self, disk: &dyn Disk) -> io::Result<PreparedSegment> {
        let file = match self.file {
            Some(file) => file,
            None => disk.open(&slot_name(self.slot), Mode::Write)?,
        };
        Ok(PreparedSegment { slot: self.slot, file })
    }
}

impl From<PreparedSegment> for FreeSegment {
    fn from(PreparedSegment { slot, file }: PreparedSegment) -> Self {
        Self { slot, file: Some(file) }
    }
}

/// The segment files that an opening found.
pub(crate) struct FoundSegments {
    pub(crate) free: VecDeque<FreeSegment>,
    /// The number of live segments, the active one included.
    pub(crate) in_use: usize,
    /// The slot of the next new file.
    pub(crate) next_slot: u32,
}

/// The unused segment files.
#[derive(Debug)]
pub(crate) struct Supply {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    /// The most bytes that segment files may take in total.
    bytes_max: u64,
    /// The number of segments to keep prepared.
    target: usize,
    /// Where failures are reported that the supply survives.
    faults: Arc<Faults>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<FreeSegment>,
    /// Files that could not be opened: they are removed.
    unopened: Vec<FreeSegment>,
    next_slot: u32,
    /// The number of all segment files, used and unused.
    files: u64,
    /// The number of segments that were begun.
    begun: u64,
    /// The log is being opened, and no segment is prepared yet: all kept-back segments but the last may be taken, and
    /// the log may exceed its bound by one file.
    is_opening: bool,
    /// Freed segments that wait for the record that frees them to be durable, and for their last reader.
    retiring: Vec<(u64, Arc<Segment>)>,
}

impl Supply {
    /// For a log with segments of `segment_bytes` bytes.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        segment_bytes: u64,
        options: &Options,
        faults: Arc<Faults>,
        found: FoundSegments,
    ) -> Self {
        let FoundSegments { free, in_use, next_slot } = found;
        let files = (free.len() + in_use) as u64;
        let state = Mutex::new(State { ready: free, next_slot, files, is_opening: true, ..State::default() });
        let target = options.reserve_segments.saturating_add(KEPT_BACK);
        Self { disk, segment_bytes, bytes_max: options.space_bytes_max, target, faults, state }
    }

    /// The number of segments to keep prepared.
    pub(crate) fn target(&self) -> usize {
        self.target
    }

    /// Ends the opening: from now on segments are prepared.
    pub(crate) fn end_opening(&self) {
        self.state.lock().is_opening = false;
    }

    /// Takes a prepared segment, if there are more than those kept back from this purpose. Skips files that cannot be
    /// opened: see [`State::open_next`].
    ///
    /// # Errors
    /// [`Error::Io`] if the process lacks a resource to open one, and none is open already.
    pub(crate) fn take(&self, purpose: Purpose) -> Result<Option<PreparedSegment>, Error> {
        let mut state = self.state.lock();
        // An opening may take kept-back segments but for the last: without that one the next opening fails where no
        // more can be made.
        let floor = if state.is_opening { purpose.kept_back().min(1) } else { purpose.kept_back() };
        let is_last = state.ready.len() == floor + 1;
        marks::hit_if(is_last && purpose == Purpose::FreeSpace, "supply: the segment kept for freeing space is used");
        marks::hit_if(is_last && purpose == Purpose::Move, "supply: the segment kept for moving is used");
        state.open_next(&*self.disk, &self.faults, floor)
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().ready.len()
    }

    /// Allocates a segment file in the caller's thread, for a caller that cannot go on without one. The blocks are not
    /// written, so the first life of the file is slower (measured: 19 to 27 % for large groups); writing zeros would
    /// take longer.
    pub(crate) fn allocate_now(&self) -> Result<(), NotAdded> {
        if !self.reserve_file() {
            marks::hit("supply: the log may not grow");
            return Err(NotAdded::Bound(self.bound()));
        }
        marks::hit("supply: a segment is allocated on the spot");
        let slot = self.next_slot();
        let disk = &*self.disk;
        let made = begin(disk, slot, self.segment_bytes).map_err(Failure::Write);
        self.add(slot, made.and_then(|file| finish(disk, slot, &*file))).map_err(NotAdded::Failed)
    }

    /// The bound, and what is in use of it.
    fn bound(&self) -> Capacity {
        let state = self.state.lock();
        let kept_back = state.ready.len().min(KEPT_BACK) as u64;
        Capacity::Bound {
            bytes_max: self.bytes_max,
            used_bytes: state.files * self.segment_bytes,
            kept_back_bytes: kept_back * self.segment_bytes,
        }
    }

    /// Queues a dead segment for recycling, once `group`, which holds the record that frees it, is durable.
    pub(crate) fn retire(&self, group: u64, segment: Arc<Segment>) {
        self.state.lock().retiring.push((group, segment));
    }

    /// Freed segments whose freeing record is not durable while the log is durable up to `durable`: a crash may bring
    /// them back.
    pub(crate) fn pending_frees(&self, durable: u64) -> Vec<Arc<Segment>> {
        let state = self.state.lock();
        let pending = state.retiring.iter().filter(|(group, _)| *group > durable);
        pending.map(|(_, segment)| Arc::clone(segment)).collect()
    }

    /// The slots of segments that are freed durably and may not be recycled.
    pub(crate) fn odd_freed(&self, durable: u64) -> Vec<u32> {
        let is_freed = |(group, segment): &&(u64, Arc<Segment>)| segment.is_odd() && *group <= durable;
        self.state.lock().retiring.iter().filter(is_freed).map(|(_, freed)| freed.slot).collect()
    }

    /// Removes the files of such segments, or marks them. Without a checkpoint that names it, an opening takes an
    /// unreadable segment for the lost end of the log. So this comes before the first checkpoint that does not name it,
    /// and before [`Supply::forget`], after which checkpoints do not.
    ///
    /// # Errors
    /// The files keep their names, or may after a power cut: the next opening reports them.
    pub(crate) fn remove_odd(&self, freed: &[u32]) -> Result<(), Failure> {
        marks::hit("supply: a freed segment is not used again");
        // Readers that have a file open can go on.
        let aside: Vec<Aside> = freed.iter().map(|&slot| Aside::freed(slot)).collect();
        put_aside(&*self.disk, &aside)
    }

    /// Drops segments that may not be recycled.
    pub(crate) fn forget(&self, freed: &[u32]) {
        let mut state = self.state.lock();
        let before = state.retiring.len();
        state.retiring.retain(|(_, segment)| !freed.contains(&segment.slot));
        state.files -= (before - state.retiring.len()) as u64;
    }

    /// Whether another segment file would exceed the bound.
    pub(crate) fn is_at_limit(&self) -> bool {
        self.is_too_many(self.state.lock().files + 1)
    }

    /// Counts a segment file that the caller is about to add; false if the bound does not allow it.
    pub(crate) fn reserve_file(&self) -> bool {
        let mut state = self.state.lock();
        let may = !self.is_too_many(state.files + u64::from(!state.is_opening));
        state.files += u64::from(may);
        may
    }

    fn is_too_many(&self, files: u64) -> bool {
        files > self.files_max()
    }

    /// The most segment files that the bound allows.
    pub(crate) fn files_max(&self) -> u64 {
        self.bytes_max / self.segment_bytes
    }

    /// The number of all segment files.
    pub(crate) fn files(&self) -> u64 {
        self.state.lock().files
    }

    /// Call when a file of the [surplus](Self::surplus) was deleted.
    pub(crate) fn removed(&self) {
        self.state.lock().files -= 1;
    }

    /// Returns a file of the surplus that could not be deleted.
    pub(crate) fn put_back(&self, slot: u32) {
        self.state.lock().ready.push_back(FreeSegment::new(slot));
    }

    pub(crate) fn next_slot(&self) -> u32 {
        let mut state = self.state.lock();
        state.next_slot += 1;
        state.next_slot - 1
    }

    /// Adds a new segment, which was [counted](Self::reserve_file).
    ///
    /// # Errors
    /// That of `made`. A failed write of a new segment does not affect the log, which goes on with what it has; a
    /// failed sync may have reported a failed write of the log's, and the caller must pass it on to the log.
    pub(crate) fn add(&self, slot: u32, made: Result<(), Failure>) -> Result<(), Failure> {
        match made {
            Ok(()) => {
                // The file is in place; if it cannot be opened now, for want of descriptors, it is opened when it is
                // used.
                let file = self.disk.open(&slot_name(slot), Mode::Write).ok();
                self.state.lock().add(self.target, slot, file);
                self.faults.succeeded(PREPARE);
                Ok(())
            }
            Err(failure) => {
                self.state.lock().files -= 1;
                self.remove_prefill(slot);
                Err(failure)
            }
        }
    }

    /// Removes the file of a failed preparation.
    pub(crate) fn remove_prefill(&self, slot: u32) {
        // If this fails, the next opening removes the file.
        drop(self.disk.remove(&prefill_name(slot)));
    }

    /// Moves freed segments to the ready ones, if their freeing is durable and no reader is left.
    pub(crate) fn recycle(&self, durable: u64) {
        let mut state = self.state.lock();
        let retiring = std::mem::take(&mut state.retiring);
        for (group, segment) in retiring {
            // The supply's own reference is one; every reader holds another.
            let freed = unless(Mutant::FreedReusedAtOnce, || group <= durable, || true);
            marks::hit_if(!freed, "supply: a freed segment waits for its record");
            if freed && !segment.is_odd() && Arc::strong_count(&segment) == 1 {
                marks::hit("supply: a segment is recycled");
                state.add(self.target, segment.slot, Some(Arc::clone(&segment.file)));
            } else {
                state.retiring.push((group, segment));
            }
        }
    }

    /// Takes up to `most` ready segments that are not worth their space: those beyond both the reserve and the number
    /// `begun` lately, so that a log with varying load reuses warm files. Takes files beyond the bound first, and
    /// before those the ones that could not be opened.
    pub(crate) fn surplus(&self, begun: u64, most: usize) -> Vec<FreeSegment> {
        let (mut state, files_max) = (self.state.lock(), self.files_max());
        let begun = if state.files < files_max { usize::try_from(begun).unwrap_or(usize::MAX) } else { 0 };
        let past = usize::try_from(state.files.saturating_sub(files_max)).unwrap_or(usize::MAX);
        let keep = self.target.max(begun).min(state.ready.len().saturating_sub(past).max(KEPT_BACK));
        let count = state.ready.len().saturating_sub(keep).min(most);
        let at = state.ready.len() - count;
        let mut surplus = std::mem::take(&mut state.unopened);
        surplus.extend(state.ready.split_off(at));
        surplus
    }

    pub(crate) fn begun(&self) -> u64 {
        self.state.lock().begun
    }

    pub(crate) fn is_retiring(&self) -> bool {
        !self.state.lock().retiring.is_empty()
    }
}

impl State {
    /// Opens the first ready segment that can be opened. If the file is at fault, it is no longer ready, another is
    /// prepared in its place, and it goes with the next surplus. If the process lacks a resource, an open one further
    /// on may serve.
    fn open_next(&mut self, disk: &dyn Disk, faults: &Faults, floor: usize) -> Result<Option<PreparedSegment>, Error> {
        let (mut later, mut taken, mut failure) = (Vec::new(), None, None);
        while self.ready.len() + later.len() > floor
            && let Some(free) = self.ready.pop_front()
        {
            let slot = free.slot;
            match free.open(disk) {
                Ok(prepared) => {
                    taken = Some(prepared);
                    break;
                }
                Err(error) => {
                    marks::hit("supply: a prepared segment cannot be opened");
                    let is_media_error = is_media_error(&error);
                    let error = Error::io(format!("opening {}, a prepared segment", slot_name(slot)), error);
                    faults.failed(OPEN, &error);
                    if is_media_error {
                        self.unopened.push(FreeSegment::new(slot));
                    } else {
                        later.push(FreeSegment::new(slot));
                        failure.get_or_insert(error);
                    }
                }
            }
        }
        let is_over = later.is_empty() && self.unopened.is_empty();
        self.ready.extend(later);
        match (taken, failure) {
            (Some(prepared), _) => {
                self.begun += 1;
                if is_over {
                    faults.succeeded(OPEN);
                }
                Ok(Some(prepared))
            }
            (None, Some(error)) => Err(error),
            (None, None) => Ok(None),
        }
    }

    /// Adds a ready segment. Only the first `open_max` stay open.
    fn add(&mut self, open_max: usize, slot: u32, file: Option<Arc<dyn File>>) {
        let file = file.filter(|_| self.ready.len() < open_max);
        self.ready.push_back(FreeSegment { slot, file });
    }
}

/// The name of a file in preparation: a crash must not leave a file that is taken for a segment.
pub(crate) fn prefill_name(slot: u32) -> String {
    format!("prefill-{slot:06}")
}

pub(crate) fn is_prefill(name: &str) -> bool {
    let slot = name.strip_prefix("prefill-").and_then(|slot| slot.parse().ok());
    slot.is_some_and(|slot| prefill_name(slot) == name)
}

/// Removes files that an earlier process was preparing when it ended.
pub(crate) fn remove_unfinished(disk: &dyn Disk) -> Result<(), Error> {
    for name in disk.list().map_err(|error| Error::io("listing the directory", error))? {
        if is_prefill(&name) {
            marks::hit("recovery: an unfinished segment is removed");
            disk.remove(&name).map_err(|error| Error::io(format!("removing {name}"), error))?;
        }
    }
    Ok(())
}

/// Makes a whole segment in the caller's thread, zeros included: for a new log.
pub(crate) fn prepare_now(disk: &dyn Disk, pool: &Pool, slot: u32, size: u64) -> io::Result<PreparedSegment> {
    let file = begin(disk, slot, size)?;
    let zeros = zeros(pool, size);
    let mut at = 0;
    while at < size {
        at += write_zeros(&*file, &zeros, at, size)?;
    }
    finish(disk, slot, &*file).map_err(Failure::into_error)?;
    Ok(PreparedSegment { slot, file: disk.open(&slot_name(slot), Mode::Write)? })
}

pub(crate) fn begin(disk: &dyn Disk, slot: u32, size: u64) -> io::Result<Arc<dyn File>> {
    let file = disk.open(&prefill_name(slot), Mode::Create)?;
    file.allocate(size)?;
    Ok(file)
}

pub(crate) fn finish(disk: &dyn Disk, slot: u32, file: &dyn File) -> Result<(), Failure> {
    file.sync_all().map_err(Failure::Sync)?;
    disk.rename(&prefill_name(slot), &slot_name(slot)).map_err(Failure::Write)?;
    unless(Mutant::NameNotSynced, || disk.sync_dir(), || Ok(())).map_err(Failure::Sync)
}

pub(crate) fn zeros(pool: &Pool, size: u64) -> Slice {
    let len = usize::try_from(size).unwrap_or(ZEROS).min(ZEROS);
    let mut region = pool.region(len);
    region.fill(0);
    region.freeze().slice(0..len)
}

pub(crate) fn write_zeros(file: &dyn File, zeros: &Slice, at: u64, size: u64) -> io::Result<u64> {
    let len = (size - at).min(zeros.len() as u64);
    let piece = zeros.slice(0..usize::try_from(len).unwrap_or(zeros.len()));
    file.write_at(&[piece], at, Sync::None)?;
    Ok(len)
}
