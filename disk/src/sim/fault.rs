//! Errors that were asked for.

use std::io;

/// What kind of operation [`SimDisk::fail_nth`](super::SimDisk::fail_nth) makes fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// [`File::write_at`](crate::File::write_at), and writes of a queue.
    Write,
    /// Syncs of a file, of the directory, and of a queue.
    Sync,
    /// [`File::read_at`](crate::File::read_at), and reads of a queue.
    Read,
    /// [`File::allocate`](crate::File::allocate).
    Allocate,
}

/// The errors that are still to come.
#[derive(Debug, Default)]
pub(super) struct Faults {
    planned: Vec<Fault>,
}

#[derive(Debug)]
struct Fault {
    kind: FaultKind,
    /// Operations of the kind up to and including the one that fails.
    remaining: u64,
    error: io::ErrorKind,
}

impl Faults {
    pub(super) fn add(&mut self, kind: FaultKind, n: u64, error: io::ErrorKind) {
        self.planned.push(Fault { kind, remaining: n.max(1), error });
    }

    /// Counts one operation, and says whether it is one that fails.
    pub(super) fn next(&mut self, kind: FaultKind) -> Result<(), io::ErrorKind> {
        let mut due = None;
        for fault in self.planned.iter_mut().filter(|fault| fault.kind == kind) {
            fault.remaining -= 1;
            if fault.remaining == 0 {
                due = Some(fault.error);
            }
        }
        self.planned.retain(|fault| fault.remaining > 0);
        due.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_at_their_position_and_once() {
        let mut faults = Faults::default();
        faults.add(FaultKind::Write, 2, io::ErrorKind::StorageFull);
        faults.add(FaultKind::Sync, 1, io::ErrorKind::Other);
        assert_eq!(faults.next(FaultKind::Write), Ok(()));
        assert_eq!(faults.next(FaultKind::Sync), Err(io::ErrorKind::Other));
        assert_eq!(faults.next(FaultKind::Write), Err(io::ErrorKind::StorageFull));
        assert_eq!(faults.next(FaultKind::Write), Ok(()));
    }
}
