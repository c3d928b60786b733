//! A disk whose owner is asked before each operation, and may panic there, or wait.

use std::{
    fmt, io,
    sync::{
        Arc, Condvar, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use logboom::{
    Damage, Engine, Error, Observer, Runtime, Stall,
    disk::{
        Completion, Disk, Facts, FaultKind, File, InlineQueue, Mode, Op, Queue, Region, SimDisk, SimOptions, Slice,
        Sync, Wait,
    },
};

use crate::support::{A, append, small};

type Hook = dyn Fn(FaultKind, &str) + Send + std::marker::Sync;

/// See the module. Writes of the committer thread are made in that thread.
pub(crate) struct Hooked {
    disk: Arc<dyn Disk>,
    hook: Arc<Hook>,
    open: Mutex<Vec<Weak<HookedFile>>>,
    most_open: AtomicUsize,
}

struct HookedFile {
    file: Arc<dyn File>,
    hook: Arc<Hook>,
}

impl Hooked {
    pub(crate) fn around(
        disk: Arc<dyn Disk>,
        hook: impl Fn(FaultKind, &str) + Send + std::marker::Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { disk, hook: Arc::new(hook), open: Mutex::default(), most_open: AtomicUsize::new(0) })
    }

    /// The most files that were open at the same time.
    pub(crate) fn most_open(&self) -> usize {
        self.most_open.load(Ordering::Relaxed)
    }
}

/// Longer than a test takes.
pub(crate) const NO_STALL: Duration = Duration::from_secs(1000);

/// An engine with threads on a simulated disk with a hook, which keeps little in memory. What is slow is a stall for it
/// only after `stall_after`: a busy machine is slow as well.
pub(crate) fn open_hooked(
    stall_after: Duration,
    observer: Option<Arc<dyn Observer>>,
    hook: impl Fn(FaultKind, &str) + Send + std::marker::Sync + 'static,
) -> Engine {
    let mut config = small("simulated");
    config.observer = observer;
    config.stall_after = stall_after;
    (config.cache_bytes, config.read_ahead_bytes) = (0, 0);
    let disk = Hooked::around(SimDisk::new(1, SimOptions::default()), hook);
    Engine::open_on(disk, config, Runtime::Threads).unwrap()
}

impl Disk for Hooked {
    fn open(&self, name: &str, mode: Mode) -> io::Result<Arc<dyn File>> {
        (self.hook)(if mode == Mode::Create { FaultKind::Create } else { FaultKind::Open }, name);
        let file = Arc::new(HookedFile { file: self.disk.open(name, mode)?, hook: Arc::clone(&self.hook) });
        let mut open = self.open.lock().unwrap();
        open.retain(|file| file.strong_count() > 0);
        open.push(Arc::downgrade(&file));
        self.most_open.fetch_max(open.len(), Ordering::Relaxed);
        Ok(file)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        (self.hook)(FaultKind::Rename, from);
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        Ok(Box::new(HookedQueue { queue: InlineQueue::default(), hook: Arc::clone(&self.hook) }))
    }
    fn facts(&self) -> &Facts {
        self.disk.facts()
    }
}

/// Asks for a sync of no file where it reaps.
struct HookedQueue {
    queue: InlineQueue,
    hook: Arc<Hook>,
}

impl Queue for HookedQueue {
    fn submit(&mut self, op: Op) {
        self.queue.submit(op);
    }
    fn reap(&mut self, wait: Wait, completions: &mut Vec<Completion>) {
        (self.hook)(FaultKind::Sync, "");
        self.queue.reap(wait, completions);
    }
    fn in_flight(&self) -> usize {
        self.queue.in_flight()
    }
    fn waker(&self) -> Arc<dyn logboom::disk::Wake> {
        self.queue.waker()
    }
}

impl File for HookedFile {
    fn name(&self) -> &str {
        self.file.name()
    }
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn allocate(&self, size: u64) -> io::Result<()> {
        (self.hook)(FaultKind::Allocate, self.name());
        self.file.allocate(size)
    }
    fn write_at(&self, slices: &[Slice], offset: u64, sync: Sync) -> io::Result<()> {
        (self.hook)(FaultKind::Write, self.name());
        self.file.write_at(slices, offset, sync)
    }
    fn read_at(&self, region: &mut Region, offset: u64) -> io::Result<()> {
        (self.hook)(FaultKind::Read, self.name());
        self.file.read_at(region, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooked")
    }
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookedFile")
    }
}

/// What may be shut, and holds up who passes.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<bool>, Condvar);

impl Gate {
    pub(crate) fn shut(&self) {
        *self.0.lock().unwrap() = true;
    }

    pub(crate) fn open(&self) {
        *self.0.lock().unwrap() = false;
        self.1.notify_all();
    }

    pub(crate) fn pass(&self) {
        drop(self.1.wait_while(self.0.lock().unwrap(), |shut| *shut).unwrap());
    }
}

/// What an observer was told, in words.
#[derive(Debug)]
pub(crate) struct Told(mpsc::Sender<String>);

impl Told {
    pub(crate) fn channel() -> (Arc<dyn Observer>, mpsc::Receiver<String>) {
        let (told, heard) = mpsc::channel();
        (Arc::new(Self(told)), heard)
    }

    fn say(&self, what: String) {
        self.0.send(what).unwrap_or_default();
    }
}

impl Observer for Told {
    fn stalled(&self, stall: Stall) {
        self.say(if stall.lasts.is_none() { "goes on" } else { "stalled" }.to_owned());
    }
    fn damaged(&self, damage: &Damage) {
        self.say(format!("damaged: {}", damage.what));
    }
    fn poisoned(&self, error: &Error) {
        self.say(format!("poisoned: {error}"));
    }
    fn panicked(&self, what: &str, message: &str) {
        self.say(format!("{what}: {message}"));
    }
}

/// Fills a few segments with entries of shard A.
pub(crate) fn fill(engine: &Engine) {
    while engine.segments().len() < 4 {
        let next = engine.shard(A).last().map_or(0, |last| last + 1);
        append(engine, A, next..next + 100, 1);
    }
}

/// What comes next, if it comes: a test that waits for ever tells nothing.
pub(crate) fn next<T>(from: &mpsc::Receiver<T>) -> T {
    from.recv_timeout(Duration::from_secs(20)).unwrap()
}
