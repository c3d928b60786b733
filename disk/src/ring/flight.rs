//! `Flight`: one operation in flight.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
};

use io_uring::{opcode, squeue, types};
use rustix::io::Errno;

use super::files::Target;
use crate::{
    buffer::Pool,
    disk::{Completion, File, Op, OpKind, Sync, check_range},
    facts::Geometry,
    transfer::{RETRIES_MAX, can_continue, remaining},
};

/// An operation and its progress. It owns the memory that the kernel reads or writes.
pub(super) struct Flight {
    token: u64,
    file: Arc<dyn File>,
    /// The file's descriptor, open as long as the file is.
    fd: RawFd,
    kind: OpKind,
    len: usize,
    done: usize,
    retries: u32,
    pieces: Pieces,
}

/// The next step for a flight whose entry has completed.
pub(super) enum Landing {
    /// Submit what is left.
    Again,
    /// Report.
    Done(io::Result<()>),
}

impl Flight {
    /// # Errors
    /// In a completion: `Unsupported` if the file is of another kind of disk, `InvalidInput` if no file has the range.
    pub(super) fn new(op: Op) -> Result<Self, Completion> {
        let (len, offset) = match &op.kind {
            OpKind::Write { slices, offset, .. } => (slices.iter().map(|slice| slice.len()).sum(), *offset),
            OpKind::Read { region, offset } => (region.len(), *offset),
            OpKind::SyncData => (0, 0),
        };
        let fd = op.file.descriptor().map(|fd| fd.as_raw_fd());
        let flight = Flight {
            token: op.token,
            file: op.file,
            fd: fd.unwrap_or(-1),
            kind: op.kind,
            len,
            done: 0,
            retries: 0,
            pieces: Pieces::default(),
        };
        let strange = || io::Error::new(io::ErrorKind::Unsupported, "the file is of another disk");
        match fd.ok_or_else(strange).and_then(|_| check_range(offset, len)) {
            Ok(()) => Ok(flight),
            Err(error) => Err(flight.report(Err(error))),
        }
    }

    pub(super) fn file(&self) -> (&Arc<dyn File>, RawFd) {
        (&self.file, self.fd)
    }

    /// Whether it transfers no bytes, and so needs no entry.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0 && !matches!(self.kind, OpKind::SyncData)
    }

    /// The entry for what is left to do. It refers to memory of the flight by address: the flight must be kept, and
    /// neither changed nor looked into, until the entry has completed.
    pub(super) fn entry(&mut self, target: Target) -> squeue::Entry {
        match &mut self.kind {
            OpKind::Write { slices, offset, sync } => {
                let offset = *offset + self.done as u64;
                let flags = if *sync == Sync::Data { libc::RWF_DSYNC } else { 0 };
                self.pieces.set(remaining(slices, self.done));
                match self.pieces.0.as_slice() {
                    [piece] => write(target, piece, offset, flags),
                    pieces => writev(target, pieces, offset, flags),
                }
            }
            OpKind::Read { region, offset } => {
                let (address, len) = region.address(self.done);
                read(target, address.as_ptr(), clamp(len), *offset + self.done as u64)
            }
            OpKind::SyncData => sync_data(target),
        }
    }

    /// Takes in the result of an entry: a count, or a negative error number.
    pub(super) fn land(&mut self, result: i32, geometry: Geometry) -> Landing {
        let Ok(count) = usize::try_from(result) else { return self.land_error(result) };
        let (empty, offset) = match &self.kind {
            OpKind::Write { offset, .. } => (io::ErrorKind::WriteZero, *offset),
            OpKind::Read { offset, .. } => (io::ErrorKind::UnexpectedEof, *offset),
            OpKind::SyncData => return Landing::Done(Ok(())),
        };
        self.done += count;
        self.retries = 0;
        if self.done >= self.len {
            Landing::Done(Ok(()))
        } else if count == 0 || !can_continue(offset + self.done as u64, geometry) {
            Landing::Done(Err(empty.into()))
        } else {
            Landing::Again
        }
    }

    pub(super) fn report(self, result: io::Result<()>) -> Completion {
        let region = match self.kind {
            OpKind::Read { region, .. } => Some(region),
            OpKind::Write { .. } | OpKind::SyncData => None,
        };
        Completion { token: self.token, result, region }
    }

    /// The completion of a failed operation whose memory the kernel may still use: a read gets other memory back.
    pub(super) fn report_apart(&self, error: io::Error) -> Completion {
        let reads = matches!(self.kind, OpKind::Read { .. });
        Completion { token: self.token, result: Err(error), region: reads.then(|| Pool::new(0).region(self.len)) }
    }

    fn land_error(&mut self, result: i32) -> Landing {
        let errno = Errno::from_raw_os_error(-result);
        self.retries += 1;
        // A sync is never tried again: that would prove nothing.
        let transfers = !matches!(self.kind, OpKind::SyncData);
        if transfers && matches!(errno, Errno::AGAIN | Errno::INTR) && self.retries <= RETRIES_MAX {
            return Landing::Again;
        }
        // The descriptor is open, so it is not open for this.
        let denied = errno == Errno::BADF;
        Landing::Done(Err(if denied { io::ErrorKind::PermissionDenied.into() } else { errno.into() }))
    }
}

/// The pieces of a write, as the kernel reads them.
#[derive(Default)]
struct Pieces(Vec<libc::iovec>);

// SAFETY: the addresses are never followed here, only handed to the kernel, which does not care for threads.
unsafe impl Send for Pieces {}

impl Pieces {
    fn set<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) {
        self.0.clear();
        self.0.extend(
            pieces.map(|piece| libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() }),
        );
    }
}

/// The most bytes per entry; the rest is submitted again, as after a short transfer.
const TRANSFER_MAX: u32 = 1 << 30;

fn clamp(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(TRANSFER_MAX).min(TRANSFER_MAX)
}

/// An entry for a file that is named in either way.
macro_rules! entry {
    ($target:expr, |$file:ident| $op:expr) => {
        match $target {
            Target::Fixed($file) => $op.build(),
            Target::Fd($file) => $op.build(),
        }
    };
}

fn write(target: Target, piece: &libc::iovec, offset: u64, flags: i32) -> squeue::Entry {
    let (address, len) = (piece.iov_base.cast_const().cast(), clamp(piece.iov_len));
    entry!(target, |file| opcode::Write::new(file, address, len).offset(offset).rw_flags(flags))
}

fn writev(target: Target, pieces: &[libc::iovec], offset: u64, flags: i32) -> squeue::Entry {
    let (address, count) = (pieces.as_ptr(), clamp(pieces.len()));
    entry!(target, |file| opcode::Writev::new(file, address, count).offset(offset).rw_flags(flags))
}

fn read(target: Target, address: *mut u8, len: u32, offset: u64) -> squeue::Entry {
    entry!(target, |file| opcode::Read::new(file, address, len).offset(offset))
}

fn sync_data(target: Target) -> squeue::Entry {
    entry!(target, |file| opcode::Fsync::new(file).flags(types::FsyncFlags::DATASYNC))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::fd::BorrowedFd};

    use super::*;
    use crate::buffer::{Region, Slice};

    const GEOMETRY: Geometry = Geometry { direct: true, pad_unit: 4096, memory_align: 512 };

    #[test]
    fn a_short_write_goes_on_where_it_ended() {
        let mut flight = write_of(8192);
        assert!(matches!(flight.land(4096, GEOMETRY), Landing::Again));
        assert!(matches!(flight.land(512, GEOMETRY), Landing::Again));
        assert_eq!(flight.done, 4608);
        assert!(matches!(flight.land(3584, GEOMETRY), Landing::Done(Ok(()))));
    }

    #[test]
    fn a_write_that_gets_nowhere_fails() {
        assert_eq!(failure(write_of(4096).land(0, GEOMETRY)), io::ErrorKind::WriteZero);
        assert_eq!(failure(write_of(4096).land(100, GEOMETRY)), io::ErrorKind::WriteZero);
    }

    #[test]
    fn a_read_that_ends_within_a_block_has_met_the_end() {
        let region = Pool::new(0).region(4096);
        let mut flight = flight(OpKind::Read { region, offset: 4096 });
        assert!(matches!(flight.land(512, GEOMETRY), Landing::Again));
        assert_eq!(failure(flight.land(100, GEOMETRY)), io::ErrorKind::UnexpectedEof);
        assert!(flight.report(Ok(())).region.is_some());
    }

    #[test]
    fn transfers_are_tried_again_within_bounds() {
        for errno in [Errno::AGAIN, Errno::INTR] {
            let mut flight = write_of(8192);
            for _ in 0..RETRIES_MAX {
                assert!(matches!(flight.land(-errno.raw_os_error(), GEOMETRY), Landing::Again));
            }
            assert!(matches!(flight.land(4096, GEOMETRY), Landing::Again), "progress renews the patience");
            for _ in 0..RETRIES_MAX {
                assert!(matches!(flight.land(-errno.raw_os_error(), GEOMETRY), Landing::Again));
            }
            assert!(matches!(flight.land(-errno.raw_os_error(), GEOMETRY), Landing::Done(Err(_))));
        }
    }

    #[test]
    fn a_sync_is_never_tried_again() {
        for errno in [Errno::AGAIN, Errno::INTR, Errno::IO] {
            let mut flight = flight(OpKind::SyncData);
            assert!(matches!(flight.land(-errno.raw_os_error(), GEOMETRY), Landing::Done(Err(_))), "{errno}");
        }
    }

    #[test]
    fn what_is_left_is_what_is_submitted() {
        let slice = Slice::copy_from(&Pool::new(0), &[0; 8192]);
        let address = slice.as_ptr();
        let mut flight = flight(OpKind::Write {
            slices: vec![slice.slice(..4096), slice.slice(4096..)],
            offset: 0,
            sync: Sync::None,
        });
        assert!(matches!(flight.land(4608, GEOMETRY), Landing::Again));
        let _entry = flight.entry(Target::Fd(types::Fd(flight.fd)));
        let pieces: Vec<_> = flight.pieces.0.iter().map(|piece| (piece.iov_base.addr(), piece.iov_len)).collect();
        assert_eq!(pieces, [(address.addr() + 4608, 3584)]);
    }

    fn failure(landing: Landing) -> io::ErrorKind {
        match landing {
            Landing::Done(Err(error)) => error.kind(),
            Landing::Done(Ok(())) | Landing::Again => panic!("it should have failed"),
        }
    }

    fn write_of(len: usize) -> Flight {
        let slices = vec![Slice::copy_from(&Pool::new(0), &vec![0; len])];
        flight(OpKind::Write { slices, offset: 0, sync: Sync::Data })
    }

    fn flight(kind: OpKind) -> Flight {
        let file = Arc::new(Null(fs::File::open("/dev/null").unwrap()));
        Flight::new(Op { token: 1, file, kind }).unwrap_or_else(|_| panic!("the file has a descriptor"))
    }

    #[derive(Debug)]
    struct Null(fs::File);

    impl File for Null {
        fn name(&self) -> &str {
            "null"
        }

        fn size(&self) -> io::Result<u64> {
            Ok(0)
        }

        fn allocate(&self, _size: u64) -> io::Result<()> {
            Ok(())
        }

        fn write_at(&self, _slices: &[Slice], _offset: u64, _sync: Sync) -> io::Result<()> {
            Ok(())
        }

        fn read_at(&self, _region: &mut Region, _offset: u64) -> io::Result<()> {
            Ok(())
        }

        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }

        fn sync_all(&self) -> io::Result<()> {
            Ok(())
        }

        fn descriptor(&self) -> Option<BorrowedFd<'_>> {
            Some(std::os::fd::AsFd::as_fd(&self.0))
        }
    }
}
