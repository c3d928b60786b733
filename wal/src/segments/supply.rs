//! Prepared segments: made ahead of the log off its append path, and recycled for ever.

use std::{collections::VecDeque, io, sync::Arc};

use logboom_disk::{Disk, File, Mode, Pool, Slice, Sync};
use parking_lot::Mutex;

use crate::{
    format::options::Options,
    runtime::faults::Faults,
    segments::{
        aside::{Aside, put_aside},
        holes::is_of_the_bytes,
        segment::{Segment, slot_name},
        slots::Failure,
    },
    types::{
        error::Error,
        marks,
        mutants::{Mutant, unless},
    },
};

/// Kept back from appends: one segment for the next opening, and on a full device one to move live records to, and one
/// for the records that give space back.
pub(crate) const KEPT_BACK: usize = 3;

/// What the preparing of segments is called, as a machine and where it fails.
pub(crate) const PREPARE: &str = "prefill";

/// What the opening of prepared segments is called where it fails.
const OPEN: &str = "open segments";

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
    /// For the record that gives segments back: as soon as it is durable they are prepared ones. So it may have the
    /// last one, without which the log could not be opened; after a crash before that, nothing is in it.
    Retire,
}

impl Use {
    /// How many prepared segments are kept back from it.
    fn kept_back(self) -> usize {
        match self {
            Use::Append => KEPT_BACK,
            Use::Move => KEPT_BACK - 1,
            Use::Drain => KEPT_BACK - 2,
            Use::Retire => 0,
        }
    }
}

/// Why no segment was added.
#[derive(Debug)]
pub(crate) enum NotAdded {
    /// The log takes as many bytes as it may.
    Bound { bytes_max: u64 },
    /// See [`Supply::add`].
    Failed(Failure),
}

/// A segment file that is about to be used.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) slot: u32,
    pub(crate) file: Arc<dyn File>,
}

/// A segment file that is not in use. Few are open, as there is a limit to what a process may have open.
#[derive(Debug)]
pub(crate) struct Free {
    pub(crate) slot: u32,
    pub(crate) file: Option<Arc<dyn File>>,
}

impl Free {
    pub(crate) fn new(slot: u32) -> Self {
        Self { slot, file: None }
    }

    pub(crate) fn open(self, disk: &dyn Disk) -> io::Result<Prepared> {
        let file = match self.file {
            Some(file) => file,
            None => disk.open(&slot_name(self.slot), Mode::Write)?,
        };
        Ok(Prepared { slot: self.slot, file })
    }
}

impl From<Prepared> for Free {
    fn from(Prepared { slot, file }: Prepared) -> Self {
        Self { slot, file: Some(file) }
    }
}

/// The segment files that are not in use.
#[derive(Debug)]
pub(crate) struct Supply {
    disk: Arc<dyn Disk>,
    size: u64,
    /// The most bytes that segment files may take.
    bytes_max: u64,
    /// How many are to be prepared.
    wanted: usize,
    /// Is told what the supply goes on without; what that means for the log its owner knows.
    faults: Arc<Faults>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Free>,
    /// Those that could not be opened: they are removed.
    unopened: Vec<Free>,
    next_slot: u32,
    /// All segment files that there are, in use or not.
    files: u64,
    /// Segments that were begun.
    begun: u64,
    /// The log is being opened, and nothing is prepared yet: what is kept back otherwise may be used but for the last,
    /// and the log may grow past its bound by one file.
    is_opening: bool,
    /// Freed, and waiting for the record that says so to be durable, and for the last reader.
    retiring: Vec<(u64, Arc<Segment>)>,
}

impl Supply {
    /// Of a log with segments of `size` bytes. `in_use` of them are not among those that are `ready`.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        (size, options): (u64, &Options),
        faults: Arc<Faults>,
        (ready, in_use, next_slot): (VecDeque<Free>, usize, u32),
    ) -> Self {
        let files = (ready.len() + in_use) as u64;
        let state = Mutex::new(State { ready, next_slot, files, is_opening: true, ..State::default() });
        let wanted = options.reserve_segments.saturating_add(KEPT_BACK);
        Self { disk, size, bytes_max: options.space_bytes_max, wanted, faults, state }
    }

    /// How many segments are to be prepared.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted
    }

    /// What was to be done before anything is prepared is done.
    pub(crate) fn end_opening(&self) {
        self.state.lock().is_opening = false;
    }

    /// A prepared segment, if there is one beyond those that are kept back from this use. Files that cannot be opened
    /// hold up no others: see [`State::open_next`].
    ///
    /// # Errors
    /// [`Error::Io`] when the process lacks what it takes to open one, and none is open.
    pub(crate) fn take(&self, for_what: Use) -> Result<Option<Prepared>, Error> {
        let mut state = self.state.lock();
        // An opening uses what is kept back, up to one: without that the next could not begin where none can be made.
        let floor = if state.is_opening { for_what.kept_back().min(1) } else { for_what.kept_back() };
        let is_last = state.ready.len() == floor + 1;
        marks::hit_if(is_last && for_what == Use::Drain, "supply: the segment kept for draining is used");
        marks::hit_if(is_last && for_what == Use::Move, "supply: the segment kept for moving is used");
        state.open_next(&*self.disk, &self.faults, floor)
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().ready.len()
    }

    /// Adds a segment at once, for a caller that cannot go on without: its blocks are reserved, not written, which
    /// makes its first life slower than a wait for zeros would be long (measured: 19 to 27 % for large groups).
    pub(crate) fn hurry(&self) -> Result<(), NotAdded> {
        if !self.claim() {
            marks::hit("supply: the log may not grow");
            return Err(NotAdded::Bound { bytes_max: self.bytes_max });
        }
        marks::hit("supply: a segment is made in a hurry");
        let slot = self.next_slot();
        let disk = &*self.disk;
        let made = begin(disk, slot, self.size).map_err(Failure::Write);
        self.add(slot, made.and_then(|file| finish(disk, slot, &*file))).map_err(NotAdded::Failed)
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

    /// The slots of segments that are freed, by groups that are durable, and are not used again.
    pub(crate) fn odd_freed(&self, durable: u64) -> Vec<u32> {
        let is_freed = |(group, segment): &&(u64, Arc<Segment>)| segment.is_odd() && *group <= durable;
        self.state.lock().retiring.iter().filter(is_freed).map(|(_, freed)| freed.slot).collect()
    }

    /// Removes the files of such segments, or marks them: without a checkpoint that names one, an opening that cannot
    /// read it takes it for the lost end of the log. So it is done before the first checkpoint that does not name it,
    /// and before they are [forgotten](Self::forget), after which none does.
    ///
    /// # Errors
    /// The files keep their names, or may after a power cut: the next opening tells of them.
    pub(crate) fn remove_odd(&self, freed: &[u32]) -> Result<(), Failure> {
        marks::hit("supply: a freed segment is not used again");
        // Readers that have it open read on.
        let aside: Vec<Aside> = freed.iter().map(|&slot| Aside::freed(slot)).collect();
        put_aside(&*self.disk, &aside)
    }

    /// Forgets segments that are not used again.
    pub(crate) fn forget(&self, freed: &[u32]) {
        let mut state = self.state.lock();
        let before = state.retiring.len();
        state.retiring.retain(|(_, segment)| !freed.contains(&segment.slot));
        state.files -= (before - state.retiring.len()) as u64;
    }

    /// Whether another segment file would be one too many.
    pub(crate) fn is_at_limit(&self) -> bool {
        self.is_too_many(self.state.lock().files + 1)
    }

    /// The right to add a segment file, unless it would be one too many.
    pub(crate) fn claim(&self) -> bool {
        let mut state = self.state.lock();
        let may = !self.is_too_many(state.files + u64::from(!state.is_opening));
        state.files += u64::from(may);
        may
    }

    fn is_too_many(&self, files: u64) -> bool {
        files > self.files_max()
    }

    /// The most segment files that there may be.
    pub(crate) fn files_max(&self) -> u64 {
        self.bytes_max / self.size
    }

    /// All segment files that there are.
    pub(crate) fn files(&self) -> u64 {
        self.state.lock().files
    }

    /// One of the [surplus](Self::surplus) is gone.
    pub(crate) fn removed(&self) {
        self.state.lock().files -= 1;
    }

    /// One of the surplus could not be removed.
    pub(crate) fn put_back(&self, slot: u32) {
        self.state.lock().ready.push_back(Free::new(slot));
    }

    pub(crate) fn next_slot(&self) -> u32 {
        let mut state = self.state.lock();
        state.next_slot += 1;
        state.next_slot - 1
    }

    /// Adds what was [claimed](Self::claim).
    ///
    /// # Errors
    /// What `made` says. A failed write of a segment that is prepared never touched the log, which goes on with what
    /// it has; a failed sync may have hidden the failure of the log's own writes, and must be told to the log.
    pub(crate) fn add(&self, slot: u32, made: Result<(), Failure>) -> Result<(), Failure> {
        match made {
            Ok(()) => {
                // It has its name: where no more files can be open it is opened when it is used.
                let file = self.disk.open(&slot_name(slot), Mode::Write).ok();
                self.state.lock().add(self.wanted, slot, file);
                self.faults.succeeded(PREPARE);
                Ok(())
            }
            Err(failure) => {
                self.state.lock().files -= 1;
                self.give_up(slot);
                Err(failure)
            }
        }
    }

    /// Takes back what a failed preparation left.
    pub(crate) fn give_up(&self, slot: u32) {
        // Whatever cannot be removed now is removed when the log is opened.
        drop(self.disk.remove(&prefill_name(slot)));
    }

    /// Moves what was freed by groups that are durable, and has no reader left, to the ready ones.
    pub(crate) fn recycle(&self, durable: u64) {
        let mut state = self.state.lock();
        let retiring = std::mem::take(&mut state.retiring);
        for (group, segment) in retiring {
            // The segment's own handle is one; every reader holds another.
            let freed = unless(Mutant::FreedReusedAtOnce, || group <= durable, || true);
            marks::hit_if(!freed, "supply: a freed segment waits for its record");
            if freed && !segment.is_odd() && Arc::strong_count(&segment) == 1 {
                marks::hit("supply: a segment is recycled");
                state.add(self.wanted, segment.slot, Some(Arc::clone(&segment.file)));
            } else {
                state.retiring.push((group, segment));
            }
        }
    }

    /// Takes away some of the ready segments that are not worth their space: those beyond the reserve, or beyond as
    /// many as were `begun` lately, so that a log which breathes uses warm ones again. What is past the bound goes
    /// first, and before that what could not be opened.
    pub(crate) fn surplus(&self, begun: u64, most: usize) -> Vec<Free> {
        let (mut state, files_max) = (self.state.lock(), self.files_max());
        let begun = if state.files < files_max { usize::try_from(begun).unwrap_or(usize::MAX) } else { 0 };
        let past = usize::try_from(state.files.saturating_sub(files_max)).unwrap_or(usize::MAX);
        let keep = self.wanted.max(begun).min(state.ready.len().saturating_sub(past).max(KEPT_BACK));
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
    /// The first ready segment that can be opened. One that the file system does not open is not ready any more, so
    /// that another is prepared for it, and is removed with the next surplus. Where it is the process that lacks
    /// something, one that is open may still be used.
    fn open_next(&mut self, disk: &dyn Disk, faults: &Faults, floor: usize) -> Result<Option<Prepared>, Error> {
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
                    let is_of_the_file = is_of_the_bytes(&error);
                    let error = Error::io(format!("opening {}, a prepared segment", slot_name(slot)), error);
                    faults.failed(OPEN, &error);
                    if is_of_the_file {
                        self.unopened.push(Free::new(slot));
                    } else {
                        later.push(Free::new(slot));
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

    /// Adds a segment that is ready. Only the first ones stay open.
    fn add(&mut self, open_max: usize, slot: u32, file: Option<Arc<dyn File>>) {
        let file = file.filter(|_| self.ready.len() < open_max);
        self.ready.push_back(Free { slot, file });
    }
}

/// Files in preparation are named apart, so that a crash leaves nothing that could be taken for a segment.
pub(crate) fn prefill_name(slot: u32) -> String {
    format!("prefill-{slot:06}")
}

pub(crate) fn is_prefill(name: &str) -> bool {
    let slot = name.strip_prefix("prefill-").and_then(|slot| slot.parse().ok());
    slot.is_some_and(|slot| prefill_name(slot) == name)
}

/// Removes the segments that a process was preparing when it ended.
pub(crate) fn remove_unfinished(disk: &dyn Disk) -> Result<(), Error> {
    for name in disk.list().map_err(|error| Error::io("listing the directory", error))? {
        if is_prefill(&name) {
            marks::hit("recovery: an unfinished segment is removed");
            disk.remove(&name).map_err(|error| Error::io(format!("removing {name}"), error))?;
        }
    }
    Ok(())
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
