//! A device that knows which groups it was given, and which of them survive power loss.

use std::{
    collections::BTreeSet,
    io, mem,
    sync::{Arc, Mutex},
};

use logboom_disk::{
    Completion, Disk, Facts, File, InlineQueue, Mode, Op, Queue, Region, SimDisk, SimOptions, Slice, Sync, SyncMethod,
    Wait, Wake,
};
use loom::sync::Condvar;

use crate::group::GroupHeader;

pub(super) const PAD: usize = 512;
pub(super) const SEED: u32 = 1;

/// Its locks are leaves: see `sync.rs`.
#[derive(Debug)]
pub(super) struct Device {
    facts: Facts,
    groups: Arc<Mutex<Groups>>,
}

#[derive(Debug, Default)]
struct Groups {
    written: BTreeSet<u64>,
    durable: BTreeSet<u64>,
}

impl Device {
    pub(super) fn new() -> Arc<Self> {
        let simulated = SimDisk::new(0, SimOptions { pad_unit: PAD, ..SimOptions::default() });
        let mut facts = simulated.facts().clone();
        facts.sync_method = SyncMethod::Rolling;
        Arc::new(Self { facts, groups: Arc::default() })
    }

    pub(super) fn file(&self) -> Arc<dyn File> {
        Arc::new(Segment { groups: Arc::clone(&self.groups) })
    }

    /// Whether `group` and all before it survive power loss.
    pub(super) fn is_durable(&self, group: u64) -> bool {
        let groups = self.groups.lock().unwrap();
        (1..=group).all(|group| groups.durable.contains(&group))
    }
}

impl Disk for Device {
    fn open(&self, _name: &str, _mode: Mode) -> io::Result<Arc<dyn File>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}

#[derive(Debug)]
struct Segment {
    groups: Arc<Mutex<Groups>>,
}

impl File for Segment {
    fn name(&self) -> &str {
        "segment"
    }

    fn size(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn allocate(&self, _size: u64) -> io::Result<()> {
        Ok(())
    }

    fn write_at(&self, slices: &[Slice], _offset: u64, sync: Sync) -> io::Result<()> {
        let mut groups = self.groups.lock().unwrap();
        for slice in slices {
            // A segment's first group has the segment's header in front.
            let header = [0, PAD].into_iter().find_map(|at| GroupHeader::verify(slice.get(at..)?, SEED, PAD));
            let (header, _) = header.expect("what is written is a group");
            let reached = if sync == Sync::Data { &mut groups.durable } else { &mut groups.written };
            assert!(reached.insert(header.sequence), "group {} is written again", header.sequence);
        }
        Ok(())
    }

    fn read_at(&self, _region: &mut Region, _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut groups = self.groups.lock().unwrap();
        let written = mem::take(&mut groups.written);
        groups.durable.extend(written);
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A queue whose operations are performed when somebody waits for them, the last one first.
pub(super) struct LateQueue {
    ops: Vec<Op>,
    alarm: Arc<Alarm>,
}

impl LateQueue {
    pub(super) fn new(alarm: Arc<Alarm>) -> Self {
        Self { ops: Vec::new(), alarm }
    }
}

impl Queue for LateQueue {
    fn submit(&mut self, op: Op) {
        self.ops.push(op);
    }

    fn reap(&mut self, wait: Wait, completions: &mut Vec<Completion>) {
        if wait == Wait::No {
            return;
        }
        if self.ops.is_empty() {
            return self.alarm.sleep();
        }
        let mut inline = InlineQueue::default();
        self.ops.drain(..).rev().for_each(|op| inline.submit(op));
        inline.reap(Wait::No, completions);
    }

    fn in_flight(&self) -> usize {
        self.ops.len()
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.alarm) as Arc<dyn Wake>
    }
}

#[derive(Debug)]
pub(super) struct Alarm {
    rung: loom::sync::Mutex<bool>,
    signal: Condvar,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { rung: loom::sync::Mutex::new(false), signal: Condvar::new() }
    }
}

impl Alarm {
    fn sleep(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.signal.wait(rung).unwrap();
        }
        *rung = false;
    }
}

impl Wake for Alarm {
    fn wake(&self) {
        *self.rung.lock().unwrap() = true;
        self.signal.notify_one();
    }
}
