//! A queue whose operations complete when and in the order that the seed decides.

use std::{io, sync::Arc, time::Instant};

use parking_lot::{Condvar, Mutex};

use super::{
    Shared,
    machine::{Machine, SyncBegun},
};
use crate::{
    buffer::Region,
    disk::{Completion, File, Op, OpKind, Queue, Wait, Wake},
    facts::Geometry,
};

/// Operations in flight on a simulated disk. What must survive a crash of the process, the writes, the machine knows.
#[derive(Debug)]
pub(super) struct SimQueue {
    shared: Arc<Shared>,
    geometry: Geometry,
    ops: Vec<InFlight>,
    bell: Arc<Bell>,
}

impl SimQueue {
    pub(super) fn new(shared: Arc<Shared>, geometry: Geometry) -> Self {
        SimQueue { shared, geometry, ops: Vec::new(), bell: Arc::default() }
    }

    /// Lets the time of one reap pass, and completes what is due, in an order by chance.
    fn pass(&mut self, completions: &mut Vec<Completion>) {
        for op in &mut self.ops {
            op.delay_reaps = op.delay_reaps.saturating_sub(1);
        }
        let mut due: Vec<_> = self.ops.extract_if(.., |op| op.delay_reaps == 0).collect();
        let mut machine = self.shared.lock();
        machine.rng.shuffle(&mut due);
        let ended = due.into_iter().map(|op| op.end(&mut machine));
        completions.extend(ended);
    }
}

impl Queue for SimQueue {
    fn submit(&mut self, op: Op) {
        let mut machine = self.shared.lock();
        let delay_max = machine.options.delay_reaps_max;
        let delay_reaps = machine.rng.u32(..=delay_max) + 1;
        let inode = self.shared.inode_of(&*op.file, matches!(op.kind, OpKind::Write { .. }));
        let pending = match op.kind {
            OpKind::Write { slices, offset, sync } => {
                self.geometry.assert_write(&slices, offset);
                Pending::Write(
                    inode.and_then(|inode| machine.begin_write(inode, op.file.name(), &slices, offset, sync)),
                )
            }
            OpKind::Read { region, offset } => {
                self.geometry.assert_read(&region, offset);
                Pending::Read(region, inode.map(|inode| (inode, offset)))
            }
            OpKind::SyncData => Pending::Sync(inode.and_then(|inode| machine.begin_sync(inode, op.file.name()))),
        };
        self.ops.push(InFlight { token: op.token, file: op.file, delay_reaps, pending });
    }

    fn reap(&mut self, wait: Wait, completions: &mut Vec<Completion>) {
        let before = completions.len();
        self.pass(completions);
        while wait != Wait::No && completions.len() == before && !self.ops.is_empty() && !self.bell.has_rung() {
            self.pass(completions);
        }
        if completions.len() == before && self.ops.is_empty() {
            self.bell.wait(wait);
        }
    }

    fn in_flight(&self) -> usize {
        self.ops.len()
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.bell) as Arc<dyn Wake>
    }
}

impl Drop for SimQueue {
    fn drop(&mut self) {
        let mut completions = Vec::new();
        while !self.ops.is_empty() {
            self.pass(&mut completions);
        }
    }
}

/// An operation that has begun.
#[derive(Debug)]
struct InFlight {
    token: u64,
    file: Arc<dyn File>,
    delay_reaps: u32,
    pending: Pending,
}

/// What is left to do of an operation, or why it did not begin.
enum Pending {
    Write(io::Result<u64>),
    Read(Region, io::Result<(u64, u64)>),
    Sync(io::Result<SyncBegun>),
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Pending::Write(_) => "Write",
            Pending::Read(..) => "Read",
            Pending::Sync(_) => "Sync",
        })
    }
}

impl InFlight {
    fn end(self, machine: &mut Machine) -> Completion {
        let (result, region) = match self.pending {
            Pending::Write(begun) => (begun.and_then(|write| machine.end_write(write)), None),
            Pending::Sync(begun) => (begun.and_then(|sync| machine.end_sync(&sync)), None),
            Pending::Read(mut region, begun) => {
                let name = self.file.name();
                let read = begun.and_then(|(inode, offset)| machine.read(inode, name, &mut region, offset));
                (read, Some(region))
            }
        };
        Completion { token: self.token, result, region }
    }
}

/// By which another thread ends a wait. Deterministic runs never wait: they have one thread.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// Whether it has rung since it was last asked or waited for.
    fn has_rung(&self) -> bool {
        std::mem::take(&mut *self.rung.lock())
    }

    fn wait(&self, wait: Wait) {
        let mut rung = self.rung.lock();
        match wait {
            Wait::No => return,
            Wait::Forever => self.changed.wait_while(&mut rung, |rung| !*rung),
            Wait::For(duration) => match Instant::now().checked_add(duration) {
                Some(deadline) => drop(self.changed.wait_while_until(&mut rung, |rung| !*rung, deadline)),
                None => self.changed.wait_while(&mut rung, |rung| !*rung),
            },
        }
        *rung = false;
    }
}

impl Wake for Bell {
    fn wake(&self) {
        *self.rung.lock() = true;
        self.changed.notify_one();
    }
}
