//! The one truth about a simulated disk: its files, what is in flight, what will fail.

use std::{collections::BTreeMap, fmt::Display, io, ops::Range, sync::Arc};

use fastrand::Rng;

use super::{
    FaultKind, SimOptions,
    content::{Content, SECTOR, sectors},
    directory::Directory,
    fault::Faults,
    trace::{Trace, hash_of},
};
use crate::{Mode, Slice, Sync, stats::Counters};

/// Everything that a disk, its files and its queues share. An operation has two parts, its beginning and its end;
/// what the file's own methods do has them at once, what a queue does has a crash, perhaps, in between.
pub(super) struct Machine {
    pub(super) alive: bool,
    pub(super) options: SimOptions,
    pub(super) rng: Rng,
    pub(super) trace: Trace,
    pub(super) faults: Faults,
    pub(super) counters: Counters,
    pub(super) directory: Directory,
    pub(super) inodes: BTreeMap<u64, Inode>,
    /// Numbers inodes and writes.
    pub(super) last_number: u64,
    /// The number of writes that have completed.
    pub(super) order: u64,
    pub(super) in_flight: BTreeMap<u64, Write>,
    /// Writes of a process that was killed, and how many operations from now they land.
    pub(super) late: Vec<(u32, Write)>,
}

/// A file, with a name or without.
#[derive(Default)]
pub(super) struct Inode {
    pub(super) content: Content,
    /// Referred to by every open file, besides this.
    alive: Arc<()>,
}

/// A write that has begun.
#[derive(Clone)]
pub(super) struct Write {
    inode: u64,
    offset: u64,
    bytes: Arc<[u8]>,
    durable: bool,
    fault: Option<io::ErrorKind>,
}

/// A sync that has begun. It covers what had completed by then.
pub(super) struct SyncBegun {
    inode: u64,
    order: u64,
    fault: Option<io::ErrorKind>,
}

impl Machine {
    pub(super) fn new(seed: u64, options: SimOptions) -> Self {
        Machine {
            alive: true,
            options,
            rng: Rng::with_seed(seed),
            trace: Trace::default(),
            faults: Faults::default(),
            counters: Counters::default(),
            directory: Directory::default(),
            inodes: BTreeMap::new(),
            last_number: 0,
            order: 0,
            in_flight: BTreeMap::new(),
            late: Vec::new(),
        }
    }

    pub(super) fn require_alive(&self) -> io::Result<()> {
        if self.alive { Ok(()) } else { Err(io::Error::other("the simulated machine has crashed")) }
    }

    pub(super) fn open(&mut self, name: &str, mode: Mode) -> io::Result<(u64, Arc<()>)> {
        self.begin(format_args!("open {name} {mode:?}"))?;
        let number = match mode {
            Mode::Read | Mode::Write => self.directory.get(name)?,
            Mode::Create => {
                self.counters.create();
                let number = self.next_number();
                self.directory.insert(name, number)?;
                self.inodes.insert(number, Inode::default());
                number
            }
        };
        let alive = Arc::clone(&self.inode(number).alive);
        Ok((number, alive))
    }

    pub(super) fn list(&mut self) -> io::Result<Vec<String>> {
        self.begin("list")?;
        Ok(self.directory.names().cloned().collect())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.counters.rename();
        self.begin(format_args!("rename {from} {to}"))?;
        self.directory.rename(from, to)
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.counters.remove();
        self.begin(format_args!("remove {name}"))?;
        self.directory.remove(name)
    }

    pub(super) fn sync_dir(&mut self) -> io::Result<()> {
        self.counters.sync();
        self.begin("sync the directory")?;
        let fault = self.faults.next(FaultKind::Sync);
        fault.map_err(|error| self.fail_sync(error))?;
        self.directory.sync();
        let (directory, in_flight) = (&self.directory, &self.in_flight);
        self.inodes.retain(|number, inode| {
            directory.refers_to(*number)
                || Arc::strong_count(&inode.alive) > 1
                || in_flight.values().any(|write| write.inode == *number)
        });
        Ok(())
    }

    pub(super) fn size(&mut self, inode: u64) -> io::Result<u64> {
        self.require_alive()?;
        Ok(self.inode(inode).content.size())
    }

    pub(super) fn allocate(&mut self, inode: u64, name: &str, size: u64) -> io::Result<()> {
        self.counters.allocate();
        self.begin(format_args!("allocate {name} {size}"))?;
        self.faults.next(FaultKind::Allocate)?;
        let others = self.inodes.iter().filter(|(number, _)| **number != inode);
        let used: u64 = others.map(|(_, other)| other.content.size()).sum();
        if used.saturating_add(size) > self.options.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inode(inode).content.grow(size);
        Ok(())
    }

    /// # Panics
    /// If the write is not inside the file: what writes beyond the end changes the size, and what was to be durable
    /// is not.
    pub(super) fn begin_write(
        &mut self,
        inode: u64,
        name: &str,
        slices: &[Slice],
        offset: u64,
        sync: Sync,
    ) -> io::Result<u64> {
        let bytes: Arc<[u8]> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.counters.write(bytes.len(), sync == Sync::Data);
        let (len, hash) = (bytes.len(), hash_of(&bytes[..]));
        self.begin(format_args!("write {name} {offset}+{len} {hash:016x} {sync:?}"))?;
        let size = self.inode(inode).content.size();
        assert!(offset + len as u64 <= size, "write of {len} bytes at {offset} in {name}, which has {size}");
        let fault = self.faults.next(FaultKind::Write).err();
        let number = self.next_number();
        self.in_flight.insert(number, Write { inode, offset, bytes, durable: sync == Sync::Data, fault });
        Ok(number)
    }

    pub(super) fn end_write(&mut self, number: u64) -> io::Result<()> {
        self.require_alive()?;
        let Some(write) = self.in_flight.remove(&number) else { return Ok(()) };
        match write.fault {
            None => self.land(&write),
            Some(error) => {
                self.trace.push(format!("  fails: {error}"));
                self.land_in_part(&write);
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Puts a write into its file, and keeps its promise.
    fn land(&mut self, write: &Write) {
        self.land_volatile(write);
        if write.durable
            && let Some(inode) = self.inodes.get_mut(&write.inode)
        {
            inode.content.sync_range(write.offset, write.bytes.len());
        }
    }

    /// Puts a write into its file as a whole, where it can be lost.
    pub(super) fn land_volatile(&mut self, write: &Write) {
        self.land_where(write, |_| true);
    }

    /// Puts some sectors of a write into its file.
    pub(super) fn land_in_part(&mut self, write: &Write) {
        self.land_where(write, Rng::bool);
    }

    pub(super) fn read(&mut self, inode: u64, name: &str, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.counters.read(out.len());
        self.begin(format_args!("read {name} {offset}+{}", out.len()))?;
        self.faults.next(FaultKind::Read)?;
        let content = &self.inode(inode).content;
        if offset + out.len() as u64 > content.size() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        content.read(offset, out);
        Ok(())
    }

    pub(super) fn begin_sync(&mut self, inode: u64, name: &str) -> io::Result<SyncBegun> {
        self.counters.sync();
        self.begin(format_args!("sync {name}"))?;
        let fault = self.faults.next(FaultKind::Sync).err();
        Ok(SyncBegun { inode, order: self.order, fault })
    }

    pub(super) fn end_sync(&mut self, sync: SyncBegun) -> io::Result<()> {
        self.require_alive()?;
        if let Some(error) = sync.fault {
            return Err(self.fail_sync(error));
        }
        self.inode(sync.inode).content.sync(sync.order);
        Ok(())
    }

    pub(super) fn sync_size(&mut self, inode: u64) {
        self.inode(inode).content.sync_size();
    }

    pub(super) fn damage(&mut self, name: &str, range: Range<u64>) -> io::Result<()> {
        self.begin(format_args!("damage {name} {range:?}"))?;
        let number = self.directory.get(name)?;
        let content = &mut self.inode(number).content;
        if range.start > range.end || range.end > content.size() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        content.invert(range);
        Ok(())
    }

    /// Writes an operation down, and lets what a killed process left in flight come closer.
    fn begin(&mut self, what: impl Display) -> io::Result<()> {
        self.require_alive()?;
        self.trace.push(what.to_string());
        for (number, (remaining, write)) in std::mem::take(&mut self.late).into_iter().enumerate() {
            if remaining > 0 {
                self.late.push((remaining - 1, write));
            } else {
                self.trace.push(format!("  late write {number} lands at {}", write.offset));
                self.land(&write);
            }
        }
        Ok(())
    }

    fn land_where(&mut self, write: &Write, mut lands: impl FnMut(&mut Rng) -> bool) {
        self.order += 1;
        // Without a name or a reader the file is gone, and what was on its way to it too.
        let Some(inode) = self.inodes.get_mut(&write.inode) else { return };
        for (number, sector) in sectors(write.offset, write.bytes.len()).enumerate() {
            if lands(&mut self.rng) {
                inode.content.write(sector, &write.bytes, number * SECTOR, self.order);
            }
        }
    }

    /// A failed sync loses what is unsynced everywhere: the flush was the device's, whoever asked for it.
    fn fail_sync(&mut self, error: io::ErrorKind) -> io::Error {
        self.trace.push(format!("  fails: {error}"));
        for inode in self.inodes.values_mut() {
            inode.content.drop_pending();
        }
        error.into()
    }

    fn inode(&mut self, number: u64) -> &mut Inode {
        // Whoever asks holds an open file of this disk, and its content stays while it does.
        self.inodes.entry(number).or_default()
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}
