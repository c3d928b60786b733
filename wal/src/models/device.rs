//! A device that records which groups were written, and which of them survive power loss. It panics if the log breaks a
//! rule: writes a group twice, promises a group that is not durable, or begins a segment before all earlier groups are
//! durable.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use logboom_disk::{
    Completion, Disk, Facts, File, InlineQueue, Mode, Op, OpKind, Queue, Region, SimDisk, SimOptions, Slice, Sync,
    SyncMethod, Wait, Wake,
};
use loom::sync::Condvar;

use crate::{
    format::{framing::Framing, group::GroupHeader},
    group_commit::log::Shared,
};

pub(super) const PAD: usize = 512;
pub(super) const FRAMING: Framing = Framing { pad: PAD, seed: 1 };

/// Its locks are leaves: see `sync.rs`.
#[derive(Debug)]
pub(super) struct Device {
    facts: Facts,
    groups: Arc<Mutex<Groups>>,
}

#[derive(Debug, Default)]
struct Groups {
    /// The slot of the file that each group was written to.
    written: BTreeMap<u64, u32>,
    durable: BTreeSet<u64>,
}

impl Groups {
    fn are_durable(&self, mut groups: std::ops::Range<u64>) -> bool {
        groups.all(|group| self.durable.contains(&group))
    }

    fn write(&mut self, slot: u32, header: &GroupHeader, sync: Sync) {
        let group = header.sequence;
        assert!(self.are_durable(1..header.durable + 1), "group {group} promises {}", header.durable);
        assert!(self.written.insert(group, slot).is_none(), "group {group} is written again");
        // Files are taken in their order.
        assert_eq!(header.life.segment.0, u64::from(slot) + 1, "group {group} is written to another segment's file");
        let begun = self.written.iter().find(|(_, other)| **other == slot).map_or(group, |(first, _)| *first);
        assert!(self.are_durable(1..begun), "a segment is begun with group {begun}, and not all before it are durable");
        if sync == Sync::Data {
            self.durable.insert(group);
        }
    }
}

impl Device {
    pub(super) fn new() -> Arc<Self> {
        let simulated = SimDisk::new(0, SimOptions { pad_unit: PAD, ..SimOptions::default() });
        let mut facts = simulated.facts().clone();
        facts.sync_method = SyncMethod::Rolling;
        Arc::new(Self { facts, groups: Arc::default() })
    }

    pub(super) fn file(&self, slot: u32) -> Arc<dyn File> {
        Arc::new(Segment { slot, groups: Arc::clone(&self.groups) })
    }

    /// Whether `group` and all before it survive power loss.
    pub(super) fn is_durable(&self, group: u64) -> bool {
        let groups = self.groups.lock().unwrap();
        groups.are_durable(1..group + 1)
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
    slot: u32,
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
            let header = [0, PAD].into_iter().find_map(|at| GroupHeader::verify(slice.get(at..)?, FRAMING));
            let (header, _) = header.expect("what is written is a group");
            groups.write(self.slot, &header, sync);
        }
        Ok(())
    }

    fn read_at(&self, _region: &mut Region, _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut groups = self.groups.lock().unwrap();
        let synced = groups.written.iter().filter(|(_, slot)| **slot == self.slot).map(|(group, _)| *group);
        let synced: Vec<u64> = synced.collect();
        groups.durable.extend(synced);
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The order in which a queue performs the operations in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    FirstFirst,
    LastFirst,
    /// Performs the first operation first, and reports the last one first.
    ReportedLastFirst,
    /// Performs the last operation only: the others stay in flight.
    OneByOne,
}

/// A queue that performs its operations when a thread waits for them.
pub(super) struct LateQueue {
    ops: Vec<Op>,
    alarm: Arc<Alarm>,
    order: Order,
    /// The most writes that were in flight, over all runs of a model.
    most: Arc<AtomicUsize>,
    /// The log whose futures this queue also wakes: a notifier of its own would be one thread too many to explore.
    shared: Arc<Shared>,
}

impl LateQueue {
    pub(super) fn new(alarm: Arc<Alarm>, order: Order, most: Arc<AtomicUsize>, shared: Arc<Shared>) -> Self {
        Self { ops: Vec::new(), alarm, order, most, shared }
    }
}

impl Queue for LateQueue {
    fn submit(&mut self, op: Op) {
        self.ops.push(op);
        let writes = self.ops.iter().filter(|op| matches!(op.kind, OpKind::Write { .. })).count();
        self.most.fetch_max(writes, Ordering::Relaxed);
    }

    fn reap(&mut self, wait: Wait, completions: &mut Vec<Completion>) {
        if wait == Wait::No {
            return;
        }
        if self.ops.is_empty() {
            self.shared.wake_due();
            return self.alarm.sleep();
        }
        let mut inline = InlineQueue::default();
        match self.order {
            Order::FirstFirst | Order::ReportedLastFirst => self.ops.drain(..).for_each(|op| inline.submit(op)),
            Order::LastFirst => self.ops.drain(..).rev().for_each(|op| inline.submit(op)),
            Order::OneByOne => self.ops.pop().into_iter().for_each(|op| inline.submit(op)),
        }
        let before = completions.len();
        inline.reap(Wait::No, completions);
        if self.order == Order::ReportedLastFirst {
            completions[before..].reverse();
        }
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
