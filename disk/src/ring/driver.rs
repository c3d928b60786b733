//! `Driver`: a ring and its operations in flight.

use std::{
    collections::VecDeque,
    io, mem,
    os::fd::{AsFd, AsRawFd},
    sync::Arc,
    thread,
};

use io_uring::{
    IoUring, opcode,
    types::{self, SubmitArgs, Timespec},
};
use rustix::io::Errno;

use super::{
    alarm::Alarm,
    files::Files,
    flight::{Flight, Landing},
    setup::{Issuer, ring},
};
use crate::{
    disk::{Completion, Op, OpKind, Sync, Wait},
    facts::Geometry,
    lock::DirLock,
    process::Process,
    stats::Counters,
    transfer::RETRIES_MAX,
};

/// Drives operations from submission to completion.
///
/// An operation owns its memory and its file, and stays here until the kernel has completed it: dropping the driver
/// waits for all. At most `depth` are in the kernel at once; the completion queue has room for twice as many, so it
/// never overflows.
///
/// Buffers are not registered with the ring. That would save pinning their pages for each write, but it counts
/// against the limit of locked memory, 8 MiB in many places; and at the sizes of a group of writes, large pages
/// bring more than registration does.
pub(super) struct Driver {
    ring: IoUring,
    files: Files,
    /// Each operation in flight, by the number that its entry carries.
    flights: Vec<Option<Flight>>,
    free: Vec<usize>,
    /// Numbers of flights that are to be submitted.
    ready: VecDeque<usize>,
    /// Numbers of flights that were reported as failed while the kernel still held them.
    abandoned: Vec<usize>,
    done: Vec<Completion>,
    in_kernel: usize,
    depth: usize,
    /// Whether the alarm's descriptor is being watched.
    watching: bool,
    retries: u32,
    geometry: Geometry,
    counters: Arc<Counters>,
    lock: Option<Arc<DirLock>>,
    /// The only process that may access the ring: forked children share its memory.
    process: Process,
}

impl Driver {
    pub(super) fn new(
        depth: u32,
        issuer: Issuer,
        geometry: Geometry,
        lock: Option<Arc<DirLock>>,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        // One more for the alarm.
        let ring = ring(depth + 1, issuer)?;
        let files = match issuer {
            Issuer::Maker => Files::new(&ring, lock.as_deref())?,
            Issuer::Anyone => Files::unregistered(),
        };
        Ok(Driver {
            ring,
            files,
            flights: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            abandoned: Vec::new(),
            done: Vec::new(),
            in_kernel: 0,
            depth: depth as usize,
            watching: false,
            retries: 0,
            geometry,
            counters,
            lock,
            process: Process::this(),
        })
    }

    /// Takes an operation, to be started with the next [`Driver::enter`].
    pub(super) fn submit(&mut self, op: Op) {
        match &op.kind {
            OpKind::Write { slices, offset, sync } => {
                self.geometry.assert_write(slices, *offset);
                self.counters.write(slices.iter().map(|slice| slice.len()).sum(), *sync == Sync::Data);
            }
            OpKind::Read { region, offset } => {
                self.geometry.assert_read(region, *offset);
                self.counters.read(region.len());
            }
            OpKind::SyncData => self.counters.sync(),
        }
        if let Err(error) = self.permit(&op.kind) {
            self.done.push(op.refuse(error));
            return;
        }
        match Flight::new(op) {
            Err(completion) => self.done.push(completion),
            Ok(flight) if flight.is_empty() => self.done.push(flight.report(Ok(()))),
            Ok(flight) => {
                let number = self.number();
                self.flights[number] = Some(flight);
                self.ready.push_back(number);
            }
        }
    }

    /// The number of operations without a report, and of reports that are not taken.
    pub(super) fn in_flight(&self) -> usize {
        self.flights.len() - self.free.len() - self.abandoned.len() + self.done.len()
    }

    /// Whether the ring can be reused: the kernel never failed to take or to complete an operation.
    pub(super) fn is_sound(&self) -> bool {
        self.abandoned.is_empty() && self.process.is_this()
    }

    /// The reports that have arrived.
    pub(super) fn done(&mut self) -> &mut Vec<Completion> {
        &mut self.done
    }

    /// Submits ready operations, waits for completions as `wait` says, and takes them in. It may return early, without
    /// any.
    pub(super) fn enter(&mut self, wait: Wait) {
        if !self.is_at_home() {
            return;
        }
        self.push_ready();
        let entered = match wait {
            Wait::No if self.has_nothing_to_do() => Ok(0),
            Wait::No => self.ring.submit(),
            Wait::Forever => self.ring.submit_and_wait(1),
            Wait::For(duration) => {
                let duration = Timespec::from(duration);
                self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&duration))
            }
        };
        self.collect();
        match entered {
            Ok(_) => self.retries = 0,
            Err(error) => self.endure(&error),
        }
    }

    /// Takes in what has completed.
    pub(super) fn collect(&mut self) {
        if !self.is_at_home() {
            return;
        }
        loop {
            // Copied out one by one: landing an operation changes what is here.
            let Some(entry) = self.ring.completion().next() else { return };
            if entry.user_data() == ALARM {
                self.watching = false;
            } else if let Ok(number) = usize::try_from(entry.user_data()) {
                self.land(number, entry.result());
            }
        }
    }

    /// Makes the alarm's event descriptor end a wait, until it has done so once.
    pub(super) fn watch(&mut self, alarm: &Alarm) {
        if self.watching || !self.process.is_this() {
            return;
        }
        alarm.quiet();
        let readable = libc::POLLIN.unsigned_abs().into();
        let entry = opcode::PollAdd::new(types::Fd(alarm.as_fd().as_raw_fd()), readable).build().user_data(ALARM);
        // SAFETY: the entry refers to no memory. Its descriptor is open: the queue owns the alarm. Polling a wrong
        // one would be harmless besides.
        self.watching = unsafe { self.ring.submission().push(&entry) }.is_ok();
    }

    fn permit(&self, kind: &OpKind) -> io::Result<()> {
        self.process.require()?;
        match (kind, &self.lock) {
            (OpKind::Write { .. }, Some(lock)) => lock.require(),
            _ => Ok(()),
        }
    }

    /// Whether this is the process that made the ring. In a child that was forked from it nothing is in flight: what
    /// completes is the parent's, and would be missing there if it was taken in here.
    pub(super) fn is_at_home(&mut self) -> bool {
        match self.process.require() {
            Ok(()) => true,
            Err(error) => {
                self.fail_all(&error);
                false
            }
        }
    }

    fn number(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.flights.push(None);
            self.flights.len() - 1
        })
    }

    fn has_nothing_to_do(&mut self) -> bool {
        let queue = self.ring.submission();
        queue.is_empty() && !queue.taskrun() && !queue.cq_overflow()
    }

    fn push_ready(&mut self) {
        while self.in_kernel < self.depth
            && let Some(number) = self.ready.pop_front()
        {
            if !self.push(number) {
                self.ready.push_front(number);
                return;
            }
            self.in_kernel += 1;
        }
    }

    fn push(&mut self, number: usize) -> bool {
        let Some(flight) = &mut self.flights[number] else { unreachable!("what is ready is in flight") };
        let (file, fd) = flight.file();
        let target = self.files.target(&mut self.ring, file, fd);
        let entry = flight.entry(target).user_data(number as u64);
        // SAFETY: whatever the entry refers to must stay valid until it completes. Its memory and its file belong to
        // the flight; the flight stays in `flights`, and is neither changed nor looked into, until `land` sees the
        // completion; and `drop` waits for that, or leaks the flights.
        unsafe { self.ring.submission().push(&entry) }.is_ok()
    }

    fn land(&mut self, number: usize, result: i32) {
        self.in_kernel -= 1;
        let Some(mut flight) = self.flights[number].take() else { return };
        let landing = flight.land(result, self.geometry);
        if let Some(at) = self.abandoned.iter().position(|abandoned| *abandoned == number) {
            self.abandoned.swap_remove(at);
            self.free.push(number);
            return;
        }
        match landing {
            // First in line, and before it is reported: a sync that the caller then submits covers it.
            Landing::Again => {
                self.flights[number] = Some(flight);
                self.ready.push_front(number);
            }
            Landing::Done(result) => {
                self.free.push(number);
                self.done.push(flight.report(result));
            }
        }
    }

    /// Decides what an error of the ring itself, not of an operation, means.
    fn endure(&mut self, error: &io::Error) {
        match Errno::from_io_error(error) {
            // A signal; the time is up; completions had to be taken in first.
            Some(Errno::INTR | Errno::TIME | Errno::BUSY) => {}
            Some(Errno::AGAIN) if self.retries < RETRIES_MAX => {
                self.retries += 1;
                thread::yield_now();
            }
            _ => self.fail_all(error),
        }
    }

    /// Reports every operation as failed. Operations that the kernel may still hold keep their memory until they
    /// complete.
    fn fail_all(&mut self, error: &io::Error) {
        let again = || io::Error::new(error.kind(), format!("io_uring fails: {error}"));
        for number in mem::take(&mut self.ready) {
            if let Some(flight) = self.flights[number].take() {
                self.free.push(number);
                self.done.push(flight.report(Err(again())));
            }
        }
        for (number, flight) in self.flights.iter().enumerate() {
            if let Some(flight) = flight
                && !self.abandoned.contains(&number)
            {
                self.abandoned.push(number);
                self.done.push(flight.report_apart(again()));
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        while self.in_flight() > self.done.len() {
            self.enter(Wait::Forever);
        }
        if !self.abandoned.is_empty() {
            // The kernel may still write from, or to, their memory; and until it has, nobody else may write.
            mem::forget(mem::take(&mut self.flights));
            if self.process.is_this() {
                mem::forget(self.lock.take());
            }
        }
    }
}

/// The number that the alarm's entry carries; no flight has it.
const ALARM: u64 = u64::MAX;
