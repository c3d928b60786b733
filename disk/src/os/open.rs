//! Opening a directory: create it, lock it, find out what lies below it, choose a backend.

use std::{
    env, io,
    ops::RangeInclusive,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{self, Mode, OFlags},
    io::Errno,
};

use super::{
    OsDisk, file,
    probe::{Probe, Sample, kernel},
};
use crate::{
    disk::Disk,
    facts::{Backend, Facts, SyncMethod},
    lock::{DirLock, LOCK_NAME, Patience},
    options::{BackendChoice, DiskOptions, OpenError, Refusal, refusal},
    stats::Counters,
};

/// Opens a directory for reading and writing. It stays locked while the disk, its queues or its files live: no other
/// disk can open it for writing meanwhile.
///
/// The name of a directory that is created is durable on return.
///
/// # Errors
/// See [`OpenError`]. The directory may have been created.
pub fn open(dir: &Path, options: &DiskOptions) -> Result<Arc<dyn Disk>, OpenError> {
    let patience = Patience::new(options.lock_wait);
    for _ in 0..REPLACED_MAX {
        let fd = open_or_create(dir, options.create)?;
        if let Some(lock) = DirLock::acquire(fd.as_fd(), dir, patience)? {
            return assemble(dir, fd, Some(Arc::new(lock)), options);
        }
    }
    let source = io::Error::other("it, or the file of its lock, is replaced over and over");
    Err(OpenError::Io { what: format!("lock the directory ({})", dir.display()), source })
}

/// Opens a directory for reading, without a lock and without changing anything, even while a process has it open for
/// writing. Works on a read-only file system and without write permission.
///
/// Operations that would change the directory, or open a file for writing, fail with `ReadOnlyFilesystem`.
///
/// # Errors
/// See [`OpenError`]; never `Locked` or `ReadOnly`.
pub fn open_read_only(dir: &Path, options: &DiskOptions) -> Result<Arc<dyn Disk>, OpenError> {
    let fd = open_dir(dir).map_err(|errno| refusal(errno, dir, "open the directory"))?;
    assemble(dir, fd, None, options)
}

/// Whether a directory is absent, or holds nothing but the lock file of a disk.
///
/// # Errors
/// See [`OpenError`].
pub fn is_vacant(dir: &Path) -> Result<bool, OpenError> {
    let fail = |errno| refusal(errno, dir, "read the directory");
    let fd = match open_dir(dir) {
        Err(Errno::NOENT) => return Ok(true),
        opened => opened.map_err(fail)?,
    };
    for entry in fs::Dir::read_from(&fd).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if ![&b"."[..], b"..", LOCK_NAME.as_bytes()].contains(&entry.file_name().to_bytes()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The environment variable that overrides [`DiskOptions::backend`].
const BACKEND_VARIABLE: &str = "LOGBOOM_BACKEND";

const PAD_UNIT_MAX: usize = 64 * 1024;

/// See [`DiskOptions::queue_depth`].
const QUEUE_DEPTH: RangeInclusive<u32> = 1..=4096;

/// How often another process may replace the directory between its opening and its locking.
const REPLACED_MAX: u32 = 100;

fn open_dir(dir: &Path) -> Result<OwnedFd, Errno> {
    fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn open_or_create(dir: &Path, create: bool) -> Result<OwnedFd, OpenError> {
    let created = match open_dir(dir) {
        Err(Errno::NOENT) if create => match fs::mkdir(dir, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => open_dir(dir),
            Err(errno) => Err(errno),
        },
        other => other,
    };
    let fd = created.map_err(|errno| refusal(errno, dir, "open the directory"))?;
    if create {
        sync_parent(&fd).map_err(|source| OpenError::Io { what: "sync the parent directory".into(), source })?;
    }
    Ok(fd)
}

/// Makes the directory's own name durable, even if it existed: the process that created it may have crashed before it
/// synced the name, and power may fail after the first acknowledged write.
fn sync_parent(dir: &OwnedFd) -> io::Result<()> {
    match fs::openat(dir, "..", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(parent) => match file::sync_all(parent.as_fd()) {
            // A mount point may lie in a file system that is never written, and has no sync (squashfs, erofs, proc).
            // If it is the directory's own, syncing that will say so.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        },
        // A process may be allowed to use a directory and not to read its parent; then another process created the
        // directory.
        Err(Errno::ACCESS | Errno::PERM) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn assemble(
    dir: &Path,
    fd: OwnedFd,
    lock: Option<Arc<DirLock>>,
    options: &DiskOptions,
) -> Result<Arc<dyn Disk>, OpenError> {
    let name = any_file(&fd);
    let sample = if lock.is_some() { Sample::New(name.as_deref()) } else { Sample::Old(name.as_deref()) };
    let probe = Probe::of(fd.as_fd(), sample, options.direct)
        .map_err(|errno| refusal(errno, dir, "ask what the file system can do"))?;
    let facts = decide(probe, options)?;
    Ok(Arc::new(OsDisk {
        path: dir.into(),
        dir: fd,
        lock,
        facts,
        counters: Arc::new(Counters::default()),
        queue_depth: options.queue_depth,
        #[cfg(target_os = "linux")]
        readers: crate::ring::Readers::default(),
    }))
}

/// The name of a regular file for probing what direct IO needs here: the lock file if it exists, since it is never
/// removed.
fn any_file(dir: &OwnedFd) -> Option<String> {
    let regular = |stat: fs::Stat| fs::FileType::from_raw_mode(stat.st_mode) == fs::FileType::RegularFile;
    if fs::statat(dir, LOCK_NAME, fs::AtFlags::SYMLINK_NOFOLLOW).is_ok_and(regular) {
        return Some(LOCK_NAME.into());
    }
    let entries = fs::Dir::read_from(dir).ok()?;
    entries.flatten().find_map(|entry| {
        let is_file = entry.file_type() == fs::FileType::RegularFile;
        is_file.then(|| entry.file_name().to_str().ok().map(str::to_owned)).flatten()
    })
}

fn decide(probe: Probe, options: &DiskOptions) -> Result<Facts, OpenError> {
    check_queue_depth(options)?;
    let (backend, backend_reason) = choose_backend(options.backend)?;
    let suited = SyncMethod::for_device(probe.direct, probe.cache, probe.fua);
    Ok(Facts {
        backend,
        backend_reason,
        pad_unit: probe.pad_unit().max(demanded_pad_unit(options)?),
        direct: probe.direct,
        direct_reason: probe.direct_reason,
        memory_align: probe.memory_align,
        cache: probe.cache,
        fua: probe.fua,
        sync_method: options.sync_method.unwrap_or(suited),
        file_system: probe.file_system,
        device: probe.device,
        kernel: kernel(),
    })
}

fn demanded_pad_unit(options: &DiskOptions) -> Result<usize, OpenError> {
    match options.pad_unit {
        None => Ok(0),
        Some(unit) if unit.is_power_of_two() && unit <= PAD_UNIT_MAX => Ok(unit),
        Some(unit) => Err(OpenError::Backend {
            what: format!("a pad_unit of {unit} bytes"),
            hint: format!("it must be a power of two, at most {PAD_UNIT_MAX}"),
        }),
    }
}

fn check_queue_depth(options: &DiskOptions) -> Result<(), OpenError> {
    if QUEUE_DEPTH.contains(&options.queue_depth) {
        return Ok(());
    }
    Err(OpenError::Backend {
        what: format!("a queue_depth of {}", options.queue_depth),
        hint: format!("it must be from {} to {}", QUEUE_DEPTH.start(), QUEUE_DEPTH.end()),
    })
}

fn choose_backend(choice: BackendChoice) -> Result<(Backend, String), OpenError> {
    let (choice, by) = match env::var(BACKEND_VARIABLE) {
        Err(env::VarError::NotPresent) => (choice, "the options"),
        Ok(name) if name == "ring" => (BackendChoice::Ring, BACKEND_VARIABLE),
        Ok(name) if name == "blocking" => (BackendChoice::Blocking, BACKEND_VARIABLE),
        other => {
            return Err(OpenError::Backend {
                what: format!("{BACKEND_VARIABLE} is {:?}", other.as_deref().unwrap_or("not text")),
                hint: "it must be `ring` or `blocking`, or not be set".into(),
            });
        }
    };
    match choice {
        BackendChoice::Blocking => Ok((Backend::Blocking, format!("demanded by {by}"))),
        BackendChoice::Ring => match probe_ring() {
            Ok(reason) => Ok((Backend::Ring, format!("demanded by {by}; {reason}"))),
            Err(Refusal { what, hint }) => {
                Err(OpenError::Backend { what: format!("the ring is demanded by {by}, and {what}"), hint })
            }
        },
        BackendChoice::Auto => match probe_ring() {
            Ok(reason) => Ok((Backend::Ring, reason)),
            Err(Refusal { what, hint }) => Ok((Backend::Blocking, format!("{what}: {hint}"))),
        },
    }
}

#[cfg(target_os = "linux")]
fn probe_ring() -> Result<String, Refusal> {
    crate::ring::probe()
}

#[cfg(not(target_os = "linux"))]
fn probe_ring() -> Result<String, Refusal> {
    Err(Refusal { what: "no io_uring".into(), hint: "this system is not Linux; nothing is to be done".into() })
}
