//! A disk with a volatile cache, in a process of its own: one file in a FUSE file system, below a loop device.
//!
//! It answers requests in random order, so that the kernel sees what it must expect of a disk, and logs them. A
//! process of its own, because one that waits for its own file system cannot be killed, and ends when the test ends,
//! however that ends: its standard input is a pipe that only the test holds.

use std::{
    ffi::OsStr,
    fs::OpenOptions,
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};

use fastrand::Rng;
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};

use crate::{Failure, mounts::output, write_log::Recorder};

/// The role of the disk's process.
pub(crate) const ROLE: &str = "disk";
/// The file that a disk begins with; it is not changed.
pub(crate) const CONTENT: &str = "content";

const IMAGE: INodeNo = INodeNo(2);
const MARKS: INodeNo = INodeNo(3);
const TTL: Duration = Duration::from_secs(3600);

/// A running disk.
pub(crate) struct Disk {
    dir: PathBuf,
    process: Child,
}

impl Disk {
    /// Starts a disk in an existing directory, with what the file [`CONTENT`] there says.
    pub(crate) fn start(dir: &Path, seed: u64) -> Result<Self, Failure> {
        let dir = dir.to_path_buf();
        std::fs::create_dir(dir.join("fuse"))?;
        let mut command = crate::role(ROLE)?;
        // An interrupt from the terminal must not end it before those who use it.
        command.arg(&dir).arg(seed.to_string()).stdin(Stdio::piped()).process_group(0);
        let mut disk = Self { process: command.spawn()?, dir };
        let begun = Instant::now();
        while !disk.image().exists() {
            if let Some(status) = disk.process.try_wait()? {
                return Err(format!("the disk's process ended: {status}").into());
            }
            if begun.elapsed() > Duration::from_secs(20) {
                return Err("the disk does not come up".into());
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(disk)
    }

    /// The file that a loop device is to be put on.
    pub(crate) fn image(&self) -> PathBuf {
        self.dir.join("fuse/image")
    }

    /// The file that marks are written to, each in one call.
    pub(crate) fn marks(&self) -> PathBuf {
        self.dir.join("fuse/marks")
    }

    /// Tells the disk something for its log.
    pub(crate) fn mark(&self, text: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.marks())?.write_all(text.as_bytes())
    }

    /// Ends the disk and says where its log is.
    pub(crate) fn finish(mut self) -> Result<PathBuf, Failure> {
        drop(self.process.stdin.take());
        let status = self.process.wait()?;
        if !status.success() {
            return Err(format!("the disk's process failed: {status}").into());
        }
        Ok(self.dir.join("log"))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        drop(self.process.wait());
        // Still mounted if something held the image.
        drop(output(Command::new("umount").args(["--quiet", "--lazy"]).arg(self.dir.join("fuse"))));
    }
}

/// The disk's process: serves until nobody holds the other end of its standard input.
pub(crate) fn serve(arguments: &[String]) -> Result<(), Failure> {
    let [dir, seed] = arguments else { return Err("the disk needs two arguments".into()) };
    let (dir, seed) = (Path::new(dir), seed.parse()?);
    let image = std::fs::read(dir.join(CONTENT))?;
    let bytes = image.len();
    let state = State {
        image,
        log: Recorder::create(&dir.join("log"))?,
        requests: 0,
        waiting: Vec::new(),
        rng: Rng::with_seed(seed),
        failure: None,
    };
    let shared = Arc::new(Shared { state: Mutex::new(state), arrived: Condvar::new() });
    let worker = Arc::clone(&shared);
    thread::spawn(move || worker.work());
    let session = fuser::Session::new(Server { shared: Arc::clone(&shared), bytes }, dir.join("fuse"), &options())?;
    let session = session.spawn()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    let mut state = shared.lock();
    let failure = state.failure.take();
    state.log.finish()?;
    drop(state);
    // Not possible while a loop device holds the image, if a test failed; the mount ends with this process then.
    drop(session.umount_and_join());
    failure.map_or(Ok(()), |failure| Err(failure.into()))
}

fn options() -> fuser::Config {
    let mut options = fuser::Config::default();
    options.mount_options = vec![fuser::MountOption::FSName("logboom-test-disk".into())];
    options
}

struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
}

struct State {
    image: Vec<u8>,
    log: Recorder,
    requests: u64,
    waiting: Vec<Waiting>,
    rng: Rng,
    /// Why the log is worth nothing.
    failure: Option<io::Error>,
}

/// A request that was not answered yet.
enum Waiting {
    Write { id: u64, offset: usize, data: Vec<u8>, reply: ReplyWrite },
    Flush { id: u64, reply: ReplyEmpty },
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self, request: impl FnOnce(&mut State, u64) -> io::Result<Waiting>) {
        let mut state = self.lock();
        state.requests += 1;
        let id = state.requests;
        match request(&mut state, id) {
            Ok(waiting) => state.waiting.push(waiting),
            Err(error) => state.failure = Some(error),
        }
        self.arrived.notify_one();
    }

    /// Answers requests, in any order.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            while state.waiting.is_empty() {
                state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.rng.u32(..4) == 0 {
                // As a disk takes its time. Others arrive meanwhile, flushes that do not cover this one among them.
                let pause = Duration::from_micros(state.rng.u64(20..2000));
                drop(state);
                thread::sleep(pause);
                state = self.lock();
            }
            let waiting = state.waiting.len();
            let at = state.rng.usize(..waiting);
            let waiting = state.waiting.swap_remove(at);
            state.answer(waiting);
        }
    }
}

impl State {
    fn answer(&mut self, waiting: Waiting) {
        let (Waiting::Write { id, .. } | Waiting::Flush { id, .. }) = &waiting;
        // Logged first: whoever sees the answer and asks for more is behind it in the log.
        if let Err(error) = self.log.done(*id) {
            self.failure = Some(error);
        }
        match waiting {
            Waiting::Flush { reply, .. } => reply.ok(),
            Waiting::Write { offset, data, reply, .. } => match self.image.get_mut(offset..offset + data.len()) {
                Some(place) => {
                    place.copy_from_slice(&data);
                    reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX));
                }
                None => reply.error(Errno::ENOSPC),
            },
        }
    }
}

struct Server {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Server {
    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let (kind, size) = match inode {
            INodeNo::ROOT => (FileType::Directory, 0),
            IMAGE => (FileType::RegularFile, self.bytes as u64),
            MARKS => (FileType::RegularFile, 0),
            _ => return None,
        };
        let (time, perm) = (UNIX_EPOCH, if kind == FileType::Directory { 0o700 } else { 0o600 });
        Some(FileAttr {
            ino: inode,
            size,
            blocks: size / 512,
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Many at a time, or the kernel would line them up.
        config
            .add_capabilities(InitFlags::FUSE_ASYNC_DIO)
            .map_err(|missing| io::Error::other(format!("{missing:?}")))?;
        config.set_max_background(256).map(drop).map_err(|most| io::Error::other(format!("at most {most}")))
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let inode = match name.to_str() {
            Some("image") => IMAGE,
            Some("marks") => MARKS,
            _ => return reply.error(Errno::ENOENT),
        };
        match self.attributes(inode) {
            Some(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode) {
            Some(attributes) => reply.attr(&TTL, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Past the page cache: what the loop device writes is here when it is answered, not at some later time.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES);
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let state = self.shared.lock();
        let image = if inode == IMAGE { state.image.as_slice() } else { &[] };
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(image.len());
        let end = start.saturating_add(size as usize).min(image.len());
        reply.data(&image[start..end]);
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        if inode == MARKS {
            let mut state = self.shared.lock();
            if let Err(error) = state.log.mark(data) {
                state.failure = Some(error);
            }
            return reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX));
        }
        self.shared.accept(|state, id| {
            state.log.write(id, offset, data)?;
            let offset = usize::try_from(offset).map_err(io::Error::other)?;
            Ok(Waiting::Write { id, offset, data: data.to_vec(), reply })
        });
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.shared.accept(|state, id| {
            state.log.flush(id)?;
            Ok(Waiting::Flush { id, reply })
        });
    }
}
