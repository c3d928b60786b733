//! `SimDisk`: a disk in memory that loses unsynced data at a power cut; a seed repeats a run.

use std::{
    fmt, io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};

use crate::{
    disk::{Disk, File, Mode, Queue},
    facts::Facts,
    options::OpenError,
    owner::Owner,
    stats::DiskStats,
};

mod content;
mod crash;
mod damage;
mod directory;
mod fault;
mod file;
mod machine;
mod options;
mod pages;
mod queue;
mod trace;
mod undecided;
mod write;

pub use damage::Rot;
pub use fault::{Fault, FaultKind};
pub use options::SimOptions;
pub use undecided::{Fate, Undecided, Unsynced};

use file::SimFile;
use machine::Machine;
use queue::SimQueue;

/// A simulated disk: one directory in memory, with a volatile layer over a durable one, as power loss sees them.
///
/// - A write is volatile until it is synced. [`Sync::Data`](crate::Sync::Data) makes exactly its own bytes durable, a
///   [`File::sync_data`] what had completed before it was issued, on that file.
/// - A file's size is volatile until [`File::sync_all`], names are until [`Disk::sync_dir`]. The space of a file
///   without a name is free after that, once the file is not open any more.
/// - The operations of a queue complete in an order and after delays that the seed decides. Delays are counted in
///   calls of [`Queue::reap`]; no clock is read.
/// - [`SimDisk::power_cut`] and [`SimDisk::process_crash`] end the disk and return what is found afterwards; one can
///   follow the other. [`SimDisk::halt_after`] stops it in the middle of something, [`SimDisk::fork`] copies it.
/// - [`SimDisk::inject`] makes operations go wrong, [`SimDisk::damage`] and [`SimDisk::rot`] what is on the disk.
///
/// One seed, used from one thread, repeats one history exactly; [`SimDisk::trace`] shows it. Used from several threads
/// the disk works, but its history depends on how they run.
pub struct SimDisk {
    shared: Arc<Shared>,
    facts: Facts,
}

/// An operation in the history of a [`SimDisk`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The kind of operation.
    pub kind: FaultKind,
    /// The name by which the file was opened, or that the directory's operation was about; empty if there is none.
    pub file: String,
    /// The bytes of the file that were read or written.
    pub range: Range<u64>,
}

impl SimDisk {
    /// The unit that survives a power cut as a whole or not at all, if no block is torn; in bytes.
    pub const SECTOR: usize = content::SECTOR;

    /// An empty disk.
    ///
    /// # Panics
    /// If the options' units are not powers of two of at least a sector.
    pub fn new(seed: u64, options: SimOptions) -> Arc<Self> {
        for unit in [options.pad_unit, options.physical_block] {
            assert!(unit.is_power_of_two() && unit >= Self::SECTOR, "a unit of {unit} bytes");
        }
        Self::around(Machine::new(seed, options))
    }

    /// Cuts the power, and returns the disk as it is found when power is back. This one fails every operation from
    /// now on.
    ///
    /// Of what was not synced, each sector is found old or new, or in a torn block; each change of a file's size or
    /// of a name is found done or not done. The same holds for what was in flight, and for writes of a killed process
    /// that had yet to land.
    ///
    /// # Panics
    /// If the disk has ended already.
    pub fn power_cut(&self) -> Arc<SimDisk> {
        Self::around(self.shared.lock().power_cut(None))
    }

    /// [`SimDisk::power_cut`] with one fate for each thing that is [`SimDisk::undecided`], in that order. Where two
    /// writes overlap that are both there, the later one is found.
    ///
    /// # Panics
    /// If the number of fates is another, or the disk has ended already.
    pub fn power_cut_with(&self, fates: &[Fate]) -> Arc<SimDisk> {
        let mut machine = self.shared.lock();
        assert_eq!(fates.len(), machine.undecided().len(), "a fate for each thing that is undecided");
        Self::around(machine.power_cut(Some(fates)))
    }

    /// The changes that may or may not survive a power cut now: writes, file by file in the order of their completion,
    /// then writes in flight, then sizes, then changes of names.
    pub fn undecided(&self) -> Vec<Undecided> {
        self.shared.lock().undecided()
    }

    /// Kills the process, and returns the disk as the next one finds it. This one fails every operation from now on.
    ///
    /// All completed writes are there, synced or not. Writes in flight land during the first operations on the new
    /// disk.
    ///
    /// # Panics
    /// If the disk has ended already.
    pub fn process_crash(&self) -> Arc<SimDisk> {
        Self::around(self.shared.lock().process_crash())
    }

    /// Stops everything in the middle of the `n`-th operation from now on, 1 being the next: that one has begun, a
    /// write being in flight, and it and all later ones fail without an effect. What is left to do is to crash.
    ///
    /// That is how to crash anywhere within a call of a log, opening it included, and in the middle of a write that
    /// blocks. Operations are those of [`SimDisk::operations`].
    pub fn halt_after(&self, n: u64) {
        self.shared.lock().halts_in = Some(n.max(1));
    }

    /// Whether the disk has halted, as [`SimDisk::halt_after`] says.
    pub fn has_halted(&self) -> bool {
        self.shared.lock().state == machine::State::Halted
    }

    /// A copy of the disk as it is, for another future of the same past: files, unsynced changes, faults that are
    /// still to come, and the history. `seed` decides what is left to chance on the copy.
    ///
    /// Bytes are shared until one of the two changes them. Operations in flight are in flight on the copy too, where
    /// they cannot be reaped: the copy is made to be crashed.
    pub fn fork(&self, seed: u64) -> Arc<SimDisk> {
        Self::around(self.shared.lock().fork(seed))
    }

    /// Makes operations from now on go wrong, over crashes too: a device does not heal when it is switched off.
    pub fn inject(&self, fault: Fault) {
        self.shared.lock().faults.add(fault);
    }

    /// [`SimDisk::inject`] of the error that the `n`-th operation of the kind from now on fails with, 1 being the
    /// next. It is forgotten when this disk crashes.
    pub fn fail_nth(&self, kind: FaultKind, n: u64, error: io::ErrorKind) {
        self.inject(Fault::error(kind, error).nth(n).until_crash());
    }

    /// How many of the faults that were injected may still hit an operation.
    pub fn pending_faults(&self) -> usize {
        self.shared.lock().faults.count()
    }

    /// Ends all faults, those that are sticky and those that are still to come.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Changes [`SimOptions::late_ops_max`], for the next [`SimDisk::process_crash`].
    pub fn set_late_ops_max(&self, operations: u32) {
        self.shared.lock().options.late_ops_max = operations;
    }

    /// Changes how many bytes of files the disk holds. What is there stays, if it is more; no file grows then.
    pub fn set_capacity(&self, bytes: u64) {
        self.shared.lock().options.capacity = bytes;
    }

    /// Inverts the bits of a range of a file on the medium: damage that no crash explains. Unsynced writes to the range
    /// are not hit, since they are not on the medium yet.
    ///
    /// Acknowledged bytes of that range are lost. A log can promise to serve no wrong bytes, to report the lost ones,
    /// and to serve all others.
    ///
    /// # Errors
    /// `NotFound` if there is no such file, `UnexpectedEof` if the range is beyond its end.
    pub fn damage(&self, name: &str, range: Range<u64>) -> io::Result<()> {
        self.shared.lock().damage(name, range)
    }

    /// Damages, as [`SimDisk::damage`] does, a place of the file that the seed chooses among those that hold anything
    /// but zeros, and says which.
    ///
    /// # Errors
    /// `NotFound` if there is no such file, `UnexpectedEof` if it holds nothing.
    pub fn rot(&self, name: &str, rot: Rot) -> io::Result<Range<u64>> {
        self.shared.lock().rot(name, rot)
    }

    /// Removes the file by which the directory is locked, below whatever has it open: from now on
    /// [`Disk::still_ours`] says that it is not this disk's, and [`SimDisk::open_beside`] finds it open to others.
    pub fn lose_lock(&self) {
        self.shared.lock().holder = None;
    }

    /// The disk of another process that opens the directory, while this one goes on as the real ones do.
    ///
    /// # Errors
    /// [`OpenError::Locked`], unless the lock [was lost](SimDisk::lose_lock).
    pub fn open_beside(&self) -> Result<Arc<SimDisk>, OpenError> {
        let mut machine = self.shared.lock();
        if let Some(holder) = machine.holder {
            return Err(OpenError::Locked { owner: Some(Owner::Process(holder)), dir: "simulated".into() });
        }
        machine.holders += 1;
        machine.holder = Some(machine.holders);
        let shared = Shared::new(machine.holders, Arc::clone(&self.shared.machine));
        Ok(Arc::new(SimDisk { shared: Arc::new(shared), facts: self.facts.clone() }))
    }

    /// Every operation so far that a fault could have hit, over crashes too, in order: the `n`-th of a kind and a
    /// prefix of names is the one that a fault injected into a new disk of the same seed hits as its `n`-th.
    pub fn operations(&self) -> Vec<Operation> {
        let machine = self.shared.lock();
        let operations = machine.trace.operations();
        operations.map(|(kind, file, range)| Operation { kind, file: file.into(), range }).collect()
    }

    /// Everything that has happened so far, over crashes too: what was done to which bytes, and what went wrong.
    pub fn trace(&self) -> Vec<String> {
        self.shared.lock().trace.lines()
    }

    /// A hash of what [`SimDisk::trace`] shows.
    pub fn trace_hash(&self) -> u64 {
        self.shared.lock().trace.hash()
    }

    fn around(machine: Machine) -> Arc<Self> {
        let facts = machine.options.facts();
        let shared = Shared::new(machine.holders, Arc::new(Mutex::new(machine)));
        Arc::new(SimDisk { shared: Arc::new(shared), facts })
    }
}

impl Disk for SimDisk {
    fn open(&self, name: &str, mode: Mode) -> io::Result<Arc<dyn File>> {
        if mode != Mode::Read {
            self.shared.require_ours()?;
        }
        let (inode, alive) = self.shared.lock().open(name, mode)?;
        let shared = Arc::clone(&self.shared);
        Ok(Arc::new(SimFile::new(shared, name, inode, mode != Mode::Read, self.facts.geometry(), alive)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.shared.lock().list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.shared.require_ours()?;
        self.shared.lock().rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.shared.require_ours()?;
        self.shared.lock().remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.shared.require_ours()?;
        self.shared.lock().sync_dir()
    }

    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        self.shared.lock().require_running()?;
        Ok(Box::new(SimQueue::new(Arc::clone(&self.shared), self.facts.geometry())))
    }

    fn still_ours(&self) -> io::Result<()> {
        if self.shared.lock().holder != Some(self.shared.holder) {
            self.shared.is_lost.store(true, Ordering::Relaxed);
        }
        self.shared.require_ours()
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn stats(&self) -> DiskStats {
        self.shared.lock().counters.snapshot()
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// What a disk, its files and its queues have in common.
struct Shared {
    /// In the upper half, but for its top bit: sets the files of this disk apart from those of every other in the
    /// process.
    generation: u64,
    /// Which of those who have opened the directory this is.
    holder: u32,
    /// A look has found the directory to be another process's, or that of none.
    is_lost: AtomicBool,
    machine: Arc<Mutex<Machine>>,
}

impl Shared {
    fn new(holder: u32, machine: Arc<Mutex<Machine>>) -> Self {
        let generation = GENERATION.fetch_add(1, Ordering::Relaxed) << 32;
        Shared { generation, holder, is_lost: AtomicBool::new(false), machine }
    }

    /// That the directory may be changed, as far as is known.
    fn require_ours(&self) -> io::Result<()> {
        if self.is_lost.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "LOCK was removed from the directory"));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock()
    }

    /// The inode of a file of this very disk, that is open for writing if that is what is wanted.
    fn inode_of(&self, file: &dyn File, to_write: bool) -> io::Result<u64> {
        let number = file.simulated().unwrap_or(0);
        if number & !(INODE_MASK | WRITABLE) != self.generation {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the file is of another disk"));
        }
        if to_write && number & WRITABLE == 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if to_write {
            self.require_ours()?;
        }
        Ok(number & INODE_MASK)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

const INODE_MASK: u64 = (1 << 32) - 1;
const WRITABLE: u64 = 1 << 63;

/// Not part of any history: it tells disks apart, and never reaches a trace.
static GENERATION: AtomicU64 = AtomicU64::new(1);
