//! Operations that go wrong, as was asked for.

use std::{io, ops::Range};

/// The kind of operation that a [`Fault`] hits, and that [`SimDisk::operations`](super::SimDisk::operations) lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// [`File::write_at`](crate::File::write_at), and writes of a queue.
    Write,
    /// Syncs of a file, by its methods and by a queue.
    Sync,
    /// [`File::read_at`](crate::File::read_at), and reads of a queue.
    Read,
    /// [`File::allocate`](crate::File::allocate).
    Allocate,
    /// [`Disk::open`](crate::Disk::open) of a file that is to be created.
    Create,
    /// [`Disk::open`](crate::Disk::open) of a file that is there.
    Open,
    /// [`Disk::rename`](crate::Disk::rename); its file is the one that is renamed.
    Rename,
    /// [`Disk::remove`](crate::Disk::remove).
    Remove,
    /// [`Disk::list`](crate::Disk::list), which has no file.
    List,
    /// [`Disk::sync_dir`](crate::Disk::sync_dir), which has no file.
    SyncDir,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [FaultKind; 10] = [
        FaultKind::Write,
        FaultKind::Sync,
        FaultKind::Read,
        FaultKind::Allocate,
        FaultKind::Create,
        FaultKind::Open,
        FaultKind::Rename,
        FaultKind::Remove,
        FaultKind::List,
        FaultKind::SyncDir,
    ];
}

/// Something that goes wrong, for [`SimDisk::inject`](super::SimDisk::inject): once, at the next operation that it
/// fits, unless a method says otherwise.
///
/// An error is not damage: nothing that was promised may be lost by it. The last three are damage that looks like
/// success; of each it is said what a log can still promise.
#[derive(Clone, Debug)]
pub struct Fault {
    kind: FaultKind,
    prefix: String,
    range: Option<Range<u64>>,
    /// Operations that it fits, up to and including the first that it hits.
    remaining: u64,
    times: u64,
    until_crash: bool,
    effect: Effect,
}

/// The effect of a fault on an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Fails(io::ErrorKind),
    Short { sectors: usize, error: io::ErrorKind },
    Lost,
    Misdirected { name: String, offset: u64 },
    Stale,
    Panics,
}

impl Fault {
    /// An operation of the kind fails with `error`.
    ///
    /// A write that fails leaves all, some or none of its sectors. A sync of a file or of the directory that fails
    /// drops what is unsynced in all files, and the next one succeeds: that is how kernels behave, and why a sync
    /// must not be retried. Everything else that fails has done nothing. The real disks try again by themselves after
    /// interruptions and short transfers; `Interrupted` and `WouldBlock` stand for those that never end.
    pub fn error(kind: FaultKind, error: io::ErrorKind) -> Self {
        Self::new(kind, Effect::Fails(error))
    }

    /// A write of which only the first `sectors` land fails with `error`: what remains of a short write when
    /// continuing it has failed.
    pub fn short_write(sectors: usize, error: io::ErrorKind) -> Self {
        Self::new(FaultKind::Write, Effect::Short { sectors, error })
    }

    /// A write succeeds, is durable if it was asked to be, and has not reached the disk.
    ///
    /// The acknowledged bytes are lost. A log can promise to serve no wrong bytes, and to tell the loss from a torn
    /// tail once a later record vouches for the lost bytes; for the very end of the log none does.
    pub fn lost_write() -> Self {
        Self::new(FaultKind::Write, Effect::Lost)
    }

    /// A write succeeds, and has gone to `offset` of the file `name`, or to nowhere if that is not in a file.
    ///
    /// The acknowledged bytes are lost, and the overwritten ones too. A log can promise the same as after
    /// [`Fault::lost_write`], for both places.
    ///
    /// # Panics
    /// If `offset` is not a multiple of [`SimDisk::SECTOR`](super::SimDisk::SECTOR).
    pub fn misdirected_write(name: impl Into<String>, offset: u64) -> Self {
        assert!(offset.is_multiple_of(super::SimDisk::SECTOR as u64), "sectors do not begin at {offset}");
        Self::new(FaultKind::Write, Effect::Misdirected { name: name.into(), offset })
    }

    /// A read succeeds, and gives what was there earlier: what is durable where a newer write is not, and elsewhere
    /// what each page held before the last write that became durable in it.
    ///
    /// Nothing is lost. A log can promise that it serves no wrong bytes: it may take this for damage, but not for
    /// the end of the log, where something later vouches for what was there.
    pub fn stale_read() -> Self {
        Self::new(FaultKind::Read, Effect::Stale)
    }

    /// The code of the disk panics, and nothing is done. The panic hook is not called.
    pub fn panic(kind: FaultKind) -> Self {
        Self::new(kind, Effect::Panics)
    }

    /// Hits the `n`-th operation that it fits, 1 being the next.
    #[must_use]
    pub fn nth(self, n: u64) -> Self {
        Self { remaining: n.max(1), ..self }
    }

    /// Hits so many operations in a row of those that it fits.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Hits every operation that it fits from its first on, until
    /// [`SimDisk::clear_faults`](super::SimDisk::clear_faults).
    #[must_use]
    pub fn sticky(self) -> Self {
        self.times(u64::MAX)
    }

    /// Fits only operations on files whose names begin with `prefix`; the name is the one that the file was opened by.
    #[must_use]
    pub fn on(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// Fits only reads and writes that touch a byte of `range`, in bytes from the beginning of the file.
    #[must_use]
    pub fn within(self, range: Range<u64>) -> Self {
        Self { range: Some(range), ..self }
    }

    /// Is forgotten when the disk crashes.
    #[must_use]
    pub(super) fn until_crash(self) -> Self {
        Self { until_crash: true, ..self }
    }

    fn new(kind: FaultKind, effect: Effect) -> Self {
        Fault { kind, prefix: String::new(), range: None, remaining: 1, times: 1, until_crash: false, effect }
    }

    fn fits(&self, kind: FaultKind, name: &str, range: &Range<u64>) -> bool {
        let touches = |wanted: &Range<u64>| range.start < wanted.end && wanted.start < range.end;
        self.kind == kind && name.starts_with(&self.prefix) && self.range.as_ref().is_none_or(touches)
    }

    /// Counts one operation that it fits, and says whether it hits it.
    fn hits(&mut self) -> bool {
        self.remaining = self.remaining.saturating_sub(1);
        let hits = self.remaining == 0 && self.times > 0;
        if hits && self.times < u64::MAX {
            self.times -= 1;
        }
        hits
    }
}

/// The faults that are still to come.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    planned: Vec<Fault>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.planned.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.planned.clear();
    }

    pub(super) fn count(&self) -> usize {
        self.planned.len()
    }

    /// The faults that the next machine inherits.
    pub(super) fn after_crash(mut self) -> Self {
        self.planned.retain(|fault| !fault.until_crash);
        self
    }

    /// Counts one operation, and says what becomes of it; if several faults hit it, the one that was added last.
    pub(super) fn next(&mut self, kind: FaultKind, name: &str, range: &Range<u64>) -> Option<Effect> {
        if self.planned.is_empty() {
            return None;
        }
        let mut due = None;
        for fault in self.planned.iter_mut().filter(|fault| fault.fits(kind, name, range)) {
            if fault.hits() {
                due = Some(fault.effect.clone());
            }
        }
        self.planned.retain(|fault| fault.times > 0);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the first ten operations on `name` at byte 1000 a fault hits.
    fn hits(fault: Fault, kind: FaultKind, name: &str) -> Vec<u64> {
        let mut faults = Faults::default();
        faults.add(fault);
        (1..=10).filter(|_| faults.next(kind, name, &(1000..2000)).is_some()).collect()
    }

    #[test]
    fn faults_come_at_their_position_and_as_often_as_they_should() {
        let fault = || Fault::error(FaultKind::Write, io::ErrorKind::StorageFull);
        assert_eq!(hits(fault(), FaultKind::Write, "a"), [1]);
        assert_eq!(hits(fault(), FaultKind::Sync, "a"), []);
        assert_eq!(hits(fault().nth(3).times(2), FaultKind::Write, "a"), [3, 4]);
        assert_eq!(hits(fault().nth(8).sticky(), FaultKind::Write, "a"), [8, 9, 10]);
        assert_eq!(hits(fault().on("ab"), FaultKind::Write, "a"), []);
        assert_eq!(hits(fault().on("ab"), FaultKind::Write, "abc"), [1]);
        assert_eq!(hits(fault().within(0..1000), FaultKind::Write, "a"), []);
        assert_eq!(hits(fault().within(1999..2001), FaultKind::Write, "a"), [1]);
        assert_eq!(hits(Fault::stale_read().nth(2), FaultKind::Read, "a"), [2]);
    }

    #[test]
    fn each_fault_counts_for_itself() {
        let mut faults = Faults::default();
        for nth in 1..=3 {
            faults.add(Fault::error(FaultKind::Sync, io::ErrorKind::Other).nth(nth));
        }
        let due = (0..5).map(|_| faults.next(FaultKind::Sync, "", &(0..0)).is_some());
        assert_eq!(due.collect::<Vec<_>>(), [true, true, true, false, false]);
    }
}
