//! Faults of disks, callbacks and machines while a log is opened or closed: they are reported, and block nothing else.

use std::{
    future::Future,
    io,
    pin::pin,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use logboom_disk::{Disk, Facts, Fault, FaultKind, File, Mode, Queue, Region, SimDisk, SimOptions};
use logboom_wal::{Durability, Error, Listener, Machine, ManualClock, Options, Runtime, Scanned, Step, Wakers, open};

use crate::support::*;

/// So long is waited for what comes at once, or never.
const LONG: Duration = Duration::from_secs(60);

/// A disk that panics where it is told to, or has lost its directory.
#[derive(Debug)]
struct Broken {
    disk: Arc<SimDisk>,
    queue: AtomicBool,
    read_many: AtomicBool,
    is_lost: AtomicBool,
}

impl Broken {
    fn new() -> Arc<Self> {
        let disk = SimDisk::new(1, SimOptions::default());
        Arc::new(Self { disk, queue: false.into(), read_many: false.into(), is_lost: false.into() })
    }
}

impl Disk for Broken {
    fn open(&self, name: &str, mode: Mode) -> io::Result<Arc<dyn File>> {
        self.disk.open(name, mode)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        assert!(!self.queue.load(Ordering::SeqCst), "no queue");
        self.disk.queue()
    }
    fn still_ours(&self) -> io::Result<()> {
        if self.is_lost.load(Ordering::SeqCst) { Err(io::ErrorKind::NotFound.into()) } else { Ok(()) }
    }
    fn facts(&self) -> &Facts {
        self.disk.facts()
    }
    fn read_many(&self, reads: Vec<(Arc<dyn File>, Region, u64)>) -> Vec<(Region, io::Result<()>)> {
        assert!(!self.read_many.load(Ordering::SeqCst), "no reads");
        self.disk.read_many(reads)
    }
}

#[derive(Debug)]
struct Told(mpsc::Sender<String>);

impl Listener for Told {
    fn poisoned(&self, error: &Error) {
        self.0.send(format!("poisoned: {error}")).unwrap_or_default();
    }

    fn panicked(&self, what: &str, message: &str) {
        self.0.send(format!("{what}: {message}")).unwrap_or_default();
    }
}

fn told() -> (Options, mpsc::Receiver<String>) {
    let (told, heard) = mpsc::channel();
    (Options { listener: Arc::new(Told(told)), ..options() }, heard)
}

#[test]
fn a_disk_that_panics_where_it_is_asked_for_a_queue_fails() {
    for manual in [true, false] {
        let disk = Broken::new();
        disk.queue.store(true, Ordering::SeqCst);
        let runtime = if manual { Runtime::Manual(ManualClock::new(1)) } else { Runtime::Threads };
        let refused = open(disk, options(), runtime).unwrap().start().map(drop);
        let Err(Error::Io { error, .. }) = refused else { panic!("{refused:?}") };
        assert!(format!("{error:#}").contains("the disk has panicked: no queue"), "{error}");
    }
}

#[test]
fn a_disk_that_panics_where_it_reads_much_at_once_gives_nothing() {
    let disk = Broken::new();
    let begin = || open(disk.clone(), options(), Runtime::Manual(ManualClock::new(1))).unwrap();
    let wal = begin().start().unwrap();
    (0..60).for_each(|nth| ok(write(&wal, &body(nth, 20_000))));
    let mut sealed = Vec::new();
    while let Some(segment) = wal.sealable() {
        wal.write_footer(segment.id, b"head", b"body").unwrap();
        sealed.push(segment.id);
    }
    wal.close().unwrap();
    let mut opening = begin();
    opening.replay(&mut |_| Ok(())).unwrap();
    let heads = || opening.read_heads(&sealed).unwrap().filter(|head| matches!(head, Ok(Some(_)))).count();
    assert!(heads() == sealed.len() && sealed.len() > 2);
    disk.read_many.store(true, Ordering::SeqCst);
    assert_eq!(heads(), 0);
    assert_eq!(opening.read_heads(&sealed).unwrap().count(), sealed.len());
}

/// What is read ahead while the log is replayed, in the disk's queue.
#[test]
fn a_disk_whose_reads_panic_refuses_to_open_and_opens_later() {
    let disk = SimDisk::new(1, SimOptions::default());
    let begin = || open(disk.clone(), options(), Runtime::Manual(ManualClock::new(1)));
    let wal = begin().unwrap().start().unwrap();
    (0..60).for_each(|nth| ok(write(&wal, &body(nth, 20_000))));
    drop(wal);
    let (mut panics, mut nth) = (0, 0);
    let opening = loop {
        nth += 1;
        disk.clear_faults();
        disk.inject(Fault::panic(FaultKind::Read).nth(nth));
        match begin().and_then(|mut opening| opening.replay(&mut |_| Ok(())).map(|()| opening)) {
            Ok(opening) if disk.pending_faults() > 0 => break opening,
            Ok(opening) => assert!(opening.report().damages.is_empty(), "{:?}", opening.report()),
            Err(Error::Io { error, .. }) => {
                assert!(format!("{error:#}").contains("the disk has panicked"), "{error}");
                panics += 1;
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert!(panics > 10, "{panics} of {nth} reads");
    let mut records = 0;
    for info in opening.segments() {
        opening
            .scan(info.id, &mut |scanned| {
                records += u64::from(matches!(scanned, Scanned::Record(..)));
                Ok(())
            })
            .unwrap();
    }
    assert!(records >= 60, "{records}");
}

/// The callback is over when the log is closed, and what it throws is told all the same.
#[test]
fn what_a_callback_throws_that_closes_the_log_is_told() {
    let (options, heard) = told();
    let disk = SimDisk::new(1, SimOptions::default());
    let wal = open(disk, options, Runtime::Threads).unwrap().start().unwrap();
    let (ticket, _) = submit(&wal, &[b"one"], Durability::Durable).unwrap();
    let theirs = wal.clone();
    ticket.on_complete(move |_| {
        theirs.close().unwrap();
        panic!("too late");
    });
    wal.barrier().wait().unwrap();
    assert_eq!(heard.recv_timeout(LONG).unwrap(), "a callback: too late");
}

#[test]
fn a_log_that_is_poisoned_when_it_is_closed_tells_it() {
    for manual in [true, false] {
        let (options, heard) = told();
        let runtime = if manual { Runtime::Manual(ManualClock::new(1)) } else { Runtime::Threads };
        let wal = open(SimDisk::new(1, SimOptions::default()), options, runtime).unwrap().start().unwrap();
        wal.close().unwrap();
        wal.sync_failed("syncing beside it", io::ErrorKind::Other.into());
        assert!(heard.try_recv().unwrap().starts_with("poisoned: syncing beside it"));
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Who has wakers woken may have something locked, whether the log is closed or not.
#[test]
fn a_waker_is_never_run_by_who_may_have_something_locked() {
    let (disk, clock) = (SimDisk::new(1, SimOptions::default()), ManualClock::new(1));
    let wal = open(disk, options(), Runtime::Manual(clock)).unwrap().start().unwrap();
    let (wakers, woken) = (Wakers::default(), Arc::new(Woken::default()));
    let waker = Waker::from(Arc::clone(&woken));
    let mut waiting = pin!(wakers.until(|| None::<()>));
    for (runs, closes) in [(1, false), (2, true)] {
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        if closes {
            wal.close().unwrap();
        }
        wal.wake(&wakers);
        assert_eq!(woken.0.load(Ordering::SeqCst), runs - 1);
        while wal.drive() {}
        assert_eq!(woken.0.load(Ordering::SeqCst), runs);
    }
}

/// Work that waits for a device which does not answer.
struct Waits(mpsc::Sender<()>, Arc<(Mutex<bool>, Condvar)>);

impl Machine for Waits {
    fn name(&self) -> &'static str {
        "waits"
    }

    fn step(&mut self, _: Duration) -> Step {
        self.0.send(()).unwrap();
        let (is_stuck, changed) = &*self.1;
        drop(changed.wait_while(is_stuck.lock().unwrap(), |is_stuck| *is_stuck).unwrap());
        Step::Done
    }
}

#[test]
fn the_loss_of_the_directory_is_seen_while_the_background_waits() {
    let (options, heard) = told();
    let disk = Broken::new();
    let wal = open(disk.clone(), options, Runtime::Threads).unwrap().start().unwrap();
    let gate = Arc::new((Mutex::new(true), Condvar::new()));
    let (begun, has_begun) = mpsc::channel();
    wal.worker().add(Box::new(Waits(begun, Arc::clone(&gate))));
    has_begun.recv().unwrap();
    disk.is_lost.store(true, Ordering::SeqCst);
    let heard = heard.recv_timeout(LONG);
    *gate.0.lock().unwrap() = false;
    gate.1.notify_all();
    assert!(heard.unwrap().starts_with("poisoned: holding the directory"));
    assert!(wal.close().is_err());
}
