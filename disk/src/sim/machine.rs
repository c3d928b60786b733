//! The one truth about a simulated disk: its files, what is in flight, what will go wrong.

use std::{collections::BTreeMap, io, ops::Range, panic::resume_unwind, sync::Arc};

use fastrand::Rng;

use super::{
    FaultKind, SimOptions,
    content::Content,
    directory::Directory,
    fault::{Effect, Faults},
    trace::{Detail, Event, Suffered, Trace},
    write::Write,
};
use crate::{disk::Mode, stats::Counters};

/// Everything that a disk, its files and its queues share. An operation has two parts, its beginning and its end;
/// what the file's own methods do has them at once, what a queue does has a crash, perhaps, in between.
pub(super) struct Machine {
    pub(super) state: State,
    pub(super) options: SimOptions,
    pub(super) rng: Rng,
    pub(super) trace: Trace,
    pub(super) faults: Faults,
    /// Operations until the machine halts.
    pub(super) halts_in: Option<u64>,
    pub(super) counters: Counters,
    pub(super) directory: Directory,
    /// Who has the directory locked, of all who have opened it, who are numbered.
    pub(super) holder: Option<u32>,
    pub(super) holders: u32,
    pub(super) inodes: BTreeMap<u64, Inode>,
    /// Numbers inodes and writes.
    pub(super) last_number: u64,
    /// The number of writes that have completed.
    pub(super) order: u64,
    pub(super) in_flight: BTreeMap<u64, Write>,
    /// Writes of a process that was killed, and how many operations from now they land.
    pub(super) late: Vec<(u32, Write)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Runs,
    /// Does nothing more, and has yet to crash.
    Halted,
    /// Everything has gone over to the next machine.
    Ended,
}

/// A file, with a name or without.
#[derive(Default)]
pub(super) struct Inode {
    pub(super) content: Content,
    /// Referred to by every open file, besides this.
    alive: Arc<()>,
}

impl Inode {
    pub(super) fn copy(&self) -> Self {
        Inode { content: self.content.clone(), alive: Arc::default() }
    }

    /// The same for a machine on which nobody has it open.
    pub(super) fn closed(self) -> Self {
        Inode { content: self.content, alive: Arc::default() }
    }
}

/// A sync that has begun. It covers what had completed by then.
pub(super) struct SyncBegun {
    inode: u64,
    order: u64,
    effect: Option<Effect>,
}

impl Machine {
    pub(super) fn new(seed: u64, options: SimOptions) -> Self {
        Machine {
            state: State::Runs,
            options,
            rng: Rng::with_seed(seed),
            trace: Trace::default(),
            faults: Faults::default(),
            halts_in: None,
            counters: Counters::default(),
            directory: Directory::default(),
            holder: Some(1),
            holders: 1,
            inodes: BTreeMap::new(),
            last_number: 0,
            order: 0,
            in_flight: BTreeMap::new(),
            late: Vec::new(),
        }
    }

    pub(super) fn require_running(&self) -> io::Result<()> {
        if self.state == State::Runs { Ok(()) } else { Err(io::Error::other("the simulated machine has crashed")) }
    }

    pub(super) fn open(&mut self, name: &str, mode: Mode) -> io::Result<(u64, Arc<()>)> {
        let number = match mode {
            Mode::Read | Mode::Write => {
                self.begin_or_fail(FaultKind::Open, name, Detail::None)?;
                self.directory.get(name)?
            }
            Mode::Create => {
                self.counters.create();
                self.begin_or_fail(FaultKind::Create, name, Detail::None)?;
                let number = self.next_number();
                self.directory.insert(name, number)?;
                self.inodes.insert(number, Inode::default());
                number
            }
        };
        self.require_running()?;
        Ok((number, Arc::clone(&self.inode(number).alive)))
    }

    pub(super) fn list(&mut self) -> io::Result<Vec<String>> {
        self.begin_or_fail(FaultKind::List, "", Detail::None)?;
        self.require_running()?;
        Ok(self.directory.names().cloned().collect())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.counters.rename();
        let detail = Detail::To(self.trace.name(to));
        self.begin_or_fail(FaultKind::Rename, from, detail)?;
        self.directory.rename(from, to)?;
        self.require_running()
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.counters.remove();
        self.begin_or_fail(FaultKind::Remove, name, Detail::None)?;
        self.directory.remove(name)?;
        self.require_running()
    }

    pub(super) fn sync_dir(&mut self) -> io::Result<()> {
        self.counters.sync();
        let effect = self.begin(FaultKind::SyncDir, "", 0..0, Detail::None)?;
        self.require_running()?;
        if let Some(Effect::Fails(error)) = effect {
            return Err(self.fail_sync(error));
        }
        self.directory.sync();
        self.forget_files();
        Ok(())
    }

    pub(super) fn size(&mut self, inode: u64) -> io::Result<u64> {
        self.require_running()?;
        Ok(self.inode(inode).content.size())
    }

    pub(super) fn allocate(&mut self, inode: u64, name: &str, size: u64) -> io::Result<()> {
        self.counters.allocate();
        self.begin_or_fail(FaultKind::Allocate, name, Detail::None)?;
        self.forget_files();
        let others = self.inodes.iter().filter(|(number, _)| **number != inode);
        let used: u64 = others.map(|(_, other)| other.content.size()).sum();
        let free = self.options.capacity.saturating_sub(used);
        if size > free && size > self.inode(inode).content.size() {
            // Some file systems keep the blocks that they had found when they found no more.
            if self.rng.bool() {
                let unit = self.options.pad_unit as u64;
                self.inode(inode).content.grow(free / unit * unit);
            }
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inode(inode).content.grow(size);
        self.require_running()
    }

    pub(super) fn shrink(&mut self, inode: u64, name: &str, size: u64) -> io::Result<()> {
        self.counters.allocate();
        self.begin_or_fail(FaultKind::Allocate, name, Detail::None)?;
        self.inode(inode).content.shrink(size);
        self.require_running()
    }

    pub(super) fn read(&mut self, inode: u64, name: &str, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.counters.read(out.len());
        let range = offset..offset.saturating_add(out.len() as u64);
        let effect = self.begin(FaultKind::Read, name, range.clone(), Detail::None)?;
        self.require_running()?;
        let content = &self.inode(inode).content;
        match effect {
            Some(Effect::Fails(error)) => return Err(error.into()),
            _ if range.end > content.size() => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(Effect::Stale) => content.read_stale(offset, out),
            _ => content.read(offset, out),
        }
        Ok(())
    }

    pub(super) fn begin_sync(&mut self, inode: u64, name: &str) -> io::Result<SyncBegun> {
        self.counters.sync();
        let effect = self.begin(FaultKind::Sync, name, 0..0, Detail::None)?;
        Ok(SyncBegun { inode, order: self.order, effect })
    }

    pub(super) fn end_sync(&mut self, sync: &SyncBegun) -> io::Result<()> {
        self.require_running()?;
        if let Some(Effect::Fails(error)) = sync.effect {
            return Err(self.fail_sync(error));
        }
        self.inode(sync.inode).content.sync(sync.order);
        Ok(())
    }

    pub(super) fn forget_cached(&mut self, inode: u64) -> io::Result<()> {
        self.require_running()?;
        self.inode(inode).content.forget_cached();
        Ok(())
    }

    pub(super) fn sync_size(&mut self, inode: u64) {
        self.inode(inode).content.sync_size();
    }

    /// Writes an operation down, lets what a killed process left in flight come closer, and says what is to go wrong
    /// with it. If the machine halts with it, it is begun and does not end.
    pub(super) fn begin(
        &mut self,
        kind: FaultKind,
        name: &str,
        range: Range<u64>,
        detail: Detail,
    ) -> io::Result<Option<Effect>> {
        self.require_running()?;
        let effect = self.faults.next(kind, name, &range);
        let file = self.trace.name(name);
        self.trace.push(Event::Operation { kind, file, start: range.start, end: range.end, detail });
        if let Some(effect) = &effect {
            let suffered = self.suffered(effect);
            self.trace.push(Event::Suffers(suffered));
        }
        if effect == Some(Effect::Panics) {
            resume_unwind(Box::new("a planned fault"));
        }
        self.land_late();
        if let Some(left) = &mut self.halts_in {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.state = State::Halted;
                self.trace.push(Event::Halts);
            }
        }
        Ok(effect)
    }

    /// [`Machine::begin`] for an operation that works or fails.
    fn begin_or_fail(&mut self, kind: FaultKind, name: &str, detail: Detail) -> io::Result<()> {
        match self.begin(kind, name, 0..0, detail)? {
            Some(Effect::Fails(error)) => Err(error.into()),
            _ => Ok(()),
        }
    }

    pub(super) fn inode(&mut self, number: u64) -> &mut Inode {
        // The caller holds an open file of this disk, whose content stays meanwhile.
        self.inodes.entry(number).or_default()
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Gives back the space of files that nothing leads to any more.
    pub(super) fn forget_files(&mut self) {
        let (directory, in_flight, late) = (&self.directory, &self.in_flight, &self.late);
        self.inodes.retain(|number, inode| {
            directory.name_of(*number).is_some()
                || Arc::strong_count(&inode.alive) > 1
                || in_flight.values().chain(late.iter().map(|(_, write)| write)).any(|write| write.inode == *number)
        });
    }

    /// A failed sync loses the unsynced bytes of all files, since the flush is the whole device's.
    fn fail_sync(&mut self, error: io::ErrorKind) -> io::Error {
        for inode in self.inodes.values_mut() {
            inode.content.fail_sync(self.options.direct);
        }
        error.into()
    }

    fn suffered(&mut self, effect: &Effect) -> Suffered {
        match effect {
            Effect::Fails(error) => Suffered::Error(*error),
            Effect::Short { sectors, .. } => Suffered::Short(*sectors),
            Effect::Lost => Suffered::Lost,
            Effect::Misdirected { name, offset } => Suffered::Misdirected(self.trace.name(name), *offset),
            Effect::Stale => Suffered::Stale,
            Effect::Panics => Suffered::Panic,
        }
    }
}
