//! A disk in memory that forgets what was not synced, and repeats every run of a seed.

use std::{
    fmt, io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};

use crate::{
    Backend, Disk, DiskStats, Facts, File, Mode, Queue, Region, Slice, Sync, SyncMethod, WriteCache, facts::Geometry,
};

mod content;
mod crash;
mod directory;
mod fault;
mod machine;
mod queue;
mod trace;

pub use fault::FaultKind;

use machine::Machine;
use queue::SimQueue;

/// A simulated disk: one directory in memory, with a volatile layer over a durable one, as power loss sees them.
///
/// - A write is volatile until it is synced. [`Sync::Data`] makes exactly its own bytes durable, a
///   [`File::sync_data`] what had completed before it was issued, on that file.
/// - A file's size is volatile until [`File::sync_all`], names are until [`Disk::sync_dir`].
/// - The operations of a queue complete in an order and after delays that the seed decides. Delays are counted in
///   calls of [`Queue::reap`]; no clock is read.
/// - [`SimDisk::power_cut`] and [`SimDisk::process_crash`] end the disk and return what is found afterwards.
///
/// One seed, used from one thread, repeats one history exactly; [`SimDisk::trace`] shows it. Used from several threads
/// the disk works, but its history depends on how they run.
pub struct SimDisk {
    shared: Arc<Shared>,
    facts: Facts,
    options: SimOptions,
}

/// How a simulated disk behaves.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// See [`Facts::pad_unit`]: a power of two, at least [`SimDisk::SECTOR`].
    pub pad_unit: usize,
    /// The bytes that a torn write may damage around it: a power of two, at least [`SimDisk::SECTOR`]. Above the pad
    /// unit it tears what had been durable, which no log can survive: the case that the pad unit is chosen for.
    pub physical_block: usize,
    /// What [`Facts::sync_method`] says.
    pub sync_method: SyncMethod,
    /// The most calls of [`Queue::reap`] that an operation takes to complete.
    pub delay_reaps_max: u32,
    /// The most operations after a [`SimDisk::process_crash`] at which a write that was in flight still lands.
    pub late_ops_max: u32,
    /// Of a thousand physical blocks with unsynced bytes, how many are found torn after a power cut that tears any;
    /// every other does.
    pub torn_per_mille: u32,
    /// How many bytes of files the disk holds.
    pub capacity: u64,
}

impl Default for SimOptions {
    fn default() -> Self {
        SimOptions {
            pad_unit: 4096,
            physical_block: 4096,
            sync_method: SyncMethod::Rolling,
            delay_reaps_max: 3,
            late_ops_max: 8,
            torn_per_mille: 50,
            capacity: u64::MAX,
        }
    }
}

impl SimDisk {
    /// What survives a power cut or does not, as one, if no block is torn; in bytes.
    pub const SECTOR: usize = content::SECTOR;

    /// An empty disk.
    ///
    /// # Panics
    /// If the options' units are not powers of two of at least a sector.
    pub fn new(seed: u64, options: SimOptions) -> Arc<Self> {
        for unit in [options.pad_unit, options.physical_block] {
            assert!(unit.is_power_of_two() && unit >= Self::SECTOR, "a unit of {unit} bytes");
        }
        let machine = Machine::new(seed, options.clone());
        Arc::new(Self::around(machine, options))
    }

    /// Cuts the power, and returns the disk as it is found when power is back. This one fails every operation from
    /// now on.
    ///
    /// Of what was not synced, each sector is found old or new, or in a torn block; each change of a file's size or
    /// of a name is found done or not done. The same holds for what was in flight.
    pub fn power_cut(&self) -> Arc<SimDisk> {
        let machine = self.shared.lock().power_cut();
        Arc::new(Self::around(machine, self.options.clone()))
    }

    /// Kills the process, and returns the disk as the next one finds it. This one fails every operation from now on.
    ///
    /// What was written is all there, synced or not. Writes that were in flight land during the first operations on
    /// the new disk.
    pub fn process_crash(&self) -> Arc<SimDisk> {
        let machine = self.shared.lock().process_crash();
        Arc::new(Self::around(machine, self.options.clone()))
    }

    /// Makes the `n`-th operation of the kind from now on fail with `error`, 1 being the next; whether it was asked
    /// for through a file or through a queue. Once each.
    ///
    /// A failed write leaves each sector old or new. A failed sync drops what is unsynced in all files, and the next
    /// one succeeds: that is how kernels behave, and why a sync must not be retried.
    pub fn fail_nth(&self, kind: FaultKind, n: u64, error: io::ErrorKind) {
        self.shared.lock().faults.add(kind, n, error);
    }

    /// Inverts the bits of a range of a file, as found on the disk now: damage that no crash explains.
    ///
    /// # Errors
    /// `NotFound` if there is no such file, `UnexpectedEof` if the range is beyond its end.
    pub fn damage(&self, name: &str, range: Range<u64>) -> io::Result<()> {
        self.shared.lock().damage(name, range)
    }

    /// Every operation so far, over crashes too: what it did to which bytes, and how it ended.
    pub fn trace(&self) -> Vec<String> {
        self.shared.lock().trace.lines().to_vec()
    }

    /// A hash of [`SimDisk::trace`].
    pub fn trace_hash(&self) -> u64 {
        self.shared.lock().trace.hash()
    }

    fn around(machine: Machine, options: SimOptions) -> Self {
        let generation = GENERATION.fetch_add(1, Ordering::Relaxed) << 32;
        let facts = facts(&options);
        SimDisk { shared: Arc::new(Shared { generation, machine: Mutex::new(machine) }), facts, options }
    }
}

impl Disk for SimDisk {
    fn open(&self, name: &str, mode: Mode) -> io::Result<Arc<dyn File>> {
        let (inode, alive) = self.shared.lock().open(name, mode)?;
        Ok(Arc::new(SimFile {
            shared: Arc::clone(&self.shared),
            name: name.into(),
            inode,
            writable: mode != Mode::Read,
            geometry: self.facts.geometry(),
            _alive: alive,
        }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.shared.lock().list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.shared.lock().rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.shared.lock().remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.shared.lock().sync_dir()
    }

    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        self.shared.lock().require_alive()?;
        Ok(Box::new(SimQueue::new(Arc::clone(&self.shared), self.facts.geometry())))
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
        f.debug_struct("SimDisk").field("options", &self.options).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct SimFile {
    shared: Arc<Shared>,
    name: String,
    inode: u64,
    writable: bool,
    geometry: Geometry,
    /// The file's content is kept while this is referred to, name or no name.
    _alive: Arc<()>,
}

impl File for SimFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> io::Result<u64> {
        self.shared.lock().size(self.inode)
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.require_writable()?;
        self.shared.lock().allocate(self.inode, &self.name, size)
    }

    fn write_at(&self, slices: &[Slice], offset: u64, sync: Sync) -> io::Result<()> {
        self.require_writable()?;
        self.geometry.assert_write(slices, offset);
        let mut machine = self.shared.lock();
        let write = machine.begin_write(self.inode, &self.name, slices, offset, sync)?;
        machine.end_write(write)
    }

    fn read_at(&self, region: &mut Region, offset: u64) -> io::Result<()> {
        self.geometry.assert_read(region, offset);
        self.shared.lock().read(self.inode, &self.name, region, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut machine = self.shared.lock();
        let sync = machine.begin_sync(self.inode, &self.name)?;
        machine.end_sync(sync)
    }

    fn sync_all(&self) -> io::Result<()> {
        let mut machine = self.shared.lock();
        let sync = machine.begin_sync(self.inode, &self.name)?;
        machine.end_sync(sync)?;
        machine.sync_size(self.inode);
        Ok(())
    }

    fn simulated(&self) -> Option<u64> {
        let writable = if self.writable { WRITABLE } else { 0 };
        Some(self.shared.generation | self.inode | writable)
    }
}

impl SimFile {
    fn require_writable(&self) -> io::Result<()> {
        if self.writable {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{} was opened for reading", self.name)))
    }
}

/// What a disk, its files and its queues have in common.
struct Shared {
    /// In the upper half, but for its top bit: sets the files of this disk apart from those of every other in the
    /// process.
    generation: u64,
    machine: Mutex<Machine>,
}

impl Shared {
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

fn facts(options: &SimOptions) -> Facts {
    Facts {
        backend: Backend::Simulated,
        backend_reason: "a disk in memory, for tests".into(),
        direct: true,
        direct_reason: "there is no page cache".into(),
        pad_unit: options.pad_unit,
        memory_align: SimDisk::SECTOR,
        cache: WriteCache::WriteBack,
        fua: Some(false),
        sync_method: options.sync_method,
        file_system: "memory".into(),
        device: None,
        kernel: "none".into(),
    }
}
