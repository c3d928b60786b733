//! Probes the file system and the device below a directory.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::{facts::WriteCache, options::DirectChoice};

/// The results; some come from probing a file in the directory.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) direct: bool,
    pub(super) direct_reason: String,
    pub(super) memory_align: usize,
    /// The alignment of offsets and lengths of direct IO, in bytes.
    pub(super) offset_align: usize,
    /// The device's blocks as it addresses and as it writes them, in bytes.
    pub(super) blocks: Option<Blocks>,
    pub(super) cache: WriteCache,
    pub(super) fua: Option<bool>,
    pub(super) file_system: String,
    pub(super) device: Option<String>,
}

/// The file that is probed for the needs of direct IO: what one file reports need not hold for all.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sample<'a> {
    /// A new unnamed file, like those that will be written; the named one where the system has no unnamed files.
    New(Option<&'a str>),
    /// An existing file that will be read.
    Old(Option<&'a str>),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    pub(super) logical: usize,
    pub(super) physical: usize,
}

impl Probe {
    /// The unit within which a torn write may damage everything.
    ///
    /// `statx` alone does not tell: it may say 512 where the device writes 4096, and a group that was padded to 512
    /// would share a physical block with the next one.
    pub(super) fn pad_unit(&self) -> usize {
        match self.blocks {
            Some(Blocks { logical: 512, physical: 512 }) if self.direct && self.offset_align <= 512 => 512,
            Some(blocks) => PAGE.max(blocks.physical).max(self.offset_align),
            None => PAGE.max(self.offset_align),
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(_dir: BorrowedFd<'_>, _sample: Sample<'_>, _choice: DirectChoice) -> Result<Self, Errno> {
        Ok(Probe::buffered("direct IO is used on Linux only".into()))
    }

    /// Nothing is known, and nothing needed.
    fn buffered(direct_reason: String) -> Self {
        Probe {
            direct: false,
            direct_reason,
            memory_align: 1,
            offset_align: 1,
            blocks: None,
            cache: WriteCache::Unknown,
            fua: None,
            file_system: "unknown".into(),
            device: None,
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::needs_more;

/// The kernel's name and release.
pub(super) fn kernel() -> String {
    let uname = rustix::system::uname();
    format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy())
}

const PAGE: usize = 4096;

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        fs::read_to_string,
        os::fd::{AsFd, OwnedFd},
        path::PathBuf,
    };

    use rustix::fs::{self, AtFlags, Mode, OFlags, StatxFlags};

    use super::{Blocks, BorrowedFd, DirectChoice, Errno, PAGE, Probe, Sample, WriteCache};
    use crate::facts::Geometry;

    impl Probe {
        /// Asks about the directory, and about a file in it.
        pub(in super::super) fn of(
            dir: BorrowedFd<'_>,
            sample: Sample<'_>,
            choice: DirectChoice,
        ) -> Result<Self, Errno> {
            let queue = BlockQueue::below(fs::fstat(dir)?.st_dev);
            let magic = magic(dir)?;
            let mut probe = Probe::buffered(String::new());
            probe.file_system = name_of(magic);
            probe.blocks = queue.as_ref().and_then(BlockQueue::blocks);
            probe.cache = queue.as_ref().map_or(WriteCache::Unknown, BlockQueue::cache);
            probe.fua = queue.as_ref().and_then(BlockQueue::fua);
            probe.device = queue.map(|queue| queue.name);

            let logical = probe.blocks.map(|blocks| blocks.logical);
            match direct(dir, sample, choice, magic, logical)? {
                Err(reason) => probe.direct_reason = reason,
                Ok(aligned) => {
                    probe.direct = true;
                    probe.direct_reason = aligned.reason;
                    probe.offset_align = aligned.offset;
                    // The kernel holds each piece of a vectored request to the logical block's size too.
                    probe.memory_align = aligned.memory.max(logical.unwrap_or(aligned.offset));
                }
            }
            Ok(probe)
        }
    }

    struct Aligned {
        offset: usize,
        memory: usize,
        reason: String,
    }

    /// Whether direct IO on this file needs more than `geometry` gives. XFS asks for whole blocks where a file shares
    /// some with another (`cp --reflink`), and for sectors where it does not.
    pub(in super::super) fn needs_more(file: BorrowedFd<'_>, geometry: Geometry) -> bool {
        reported(file).is_ok_and(|reported| {
            reported.is_some_and(|(offset, memory)| {
                offset == 0 || memory == 0 || offset > geometry.pad_unit || memory > geometry.memory_align
            })
        })
    }

    /// The alignment that direct IO needs here, or why there is no direct IO.
    fn direct(
        dir: BorrowedFd<'_>,
        sample: Sample<'_>,
        choice: DirectChoice,
        magic: u32,
        logical: Option<usize>,
    ) -> Result<Result<Aligned, String>, Errno> {
        if choice == DirectChoice::Off {
            return Ok(Err("demanded by the options".into()));
        }
        if MEMORY_FILE_SYSTEMS.contains(&magic) {
            return Ok(Err(format!("{} accepts direct IO without meaning it", name_of(magic))));
        }
        let file = match open_sample(dir, sample) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(Err("the directory holds no file to ask about".into())),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Err(format!("{} refuses it", name_of(magic)))),
            // A reader may be beside a process that removes files.
            Err(Errno::NOENT) => return Ok(Err("the file to ask about is gone".into())),
            Err(errno) => return Err(errno),
        };
        let aligned = alignment(file.as_fd(), magic, logical)?;
        Ok(aligned.and_then(|aligned| match aligned.memory.max(logical.unwrap_or(1)) {
            // The log was not padded for that, and can be read all the same.
            _ if matches!(sample, Sample::Old(_)) && logical.is_some_and(|logical| aligned.offset > logical) => {
                Err(format!("its files share blocks: offsets to {}, beyond the device's blocks", aligned.offset))
            }
            0..=PAGE => Ok(aligned),
            more => Err(format!("it needs memory aligned to {more}, beyond a page")),
        }))
    }

    fn open_sample(dir: BorrowedFd<'_>, sample: Sample<'_>) -> Result<Option<OwnedFd>, Errno> {
        let flags = OFlags::DIRECT | OFlags::CLOEXEC;
        let name = match sample {
            Sample::New(name) => {
                let unnamed = fs::openat(dir, ".", OFlags::RDWR | OFlags::TMPFILE | flags, Mode::from_raw_mode(0o600));
                if let Ok(file) = unnamed {
                    return Ok(Some(file));
                }
                name
            }
            Sample::Old(name) => name,
        };
        name.map(|name| fs::openat(dir, name, OFlags::RDONLY | flags, Mode::empty())).transpose()
    }

    /// The alignment of offsets and memory that `statx` reports (`STATX_DIOALIGN`, Linux 6.1), if it does.
    fn reported(file: BorrowedFd<'_>) -> Result<Option<(usize, usize)>, Errno> {
        let stat = fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN)?;
        let is_reported = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::DIOALIGN);
        Ok(is_reported.then_some((stat.stx_dio_offset_align as usize, stat.stx_dio_mem_align as usize)))
    }

    /// The alignment that the file needs.
    fn alignment(file: BorrowedFd<'_>, magic: u32, logical: Option<usize>) -> Result<Result<Aligned, String>, Errno> {
        match reported(file) {
            Ok(Some((0, _) | (_, 0))) => Ok(Err(format!("{} reports that it has none for this file", name_of(magic)))),
            Ok(Some((offset, memory))) => {
                let reason = format!("statx: offsets to {offset}, memory to {memory}");
                Ok(Ok(Aligned { offset, memory, reason }))
            }
            // An older kernel, a container that forbids the call, or a file system that does not say. File systems that
            // are known to support direct IO are trusted.
            Ok(_) | Err(Errno::NOSYS | Errno::PERM) if DISK_FILE_SYSTEMS.contains(&magic) => {
                let offset = logical.unwrap_or(PAGE);
                let reason = format!("{} accepts it; alignment to {offset} follows the device", name_of(magic));
                Ok(Ok(Aligned { offset, memory: offset, reason }))
            }
            Ok(_) | Err(Errno::NOSYS | Errno::PERM) => {
                Ok(Err(format!("{} does not report what it needs", name_of(magic))))
            }
            Err(errno) => Err(errno),
        }
    }

    /// A block device's attributes in sysfs (`Documentation/ABI/stable/sysfs-block`).
    struct BlockQueue {
        name: String,
        queue: PathBuf,
    }

    impl BlockQueue {
        /// That of the device; of a partition, its disk's. A file system on several devices, or on none, has none.
        fn below(device: u64) -> Option<Self> {
            let link = format!("/sys/dev/block/{}:{}", fs::major(device), fs::minor(device));
            let own = PathBuf::from(link).canonicalize().ok()?;
            let name = own.file_name()?.to_string_lossy().into_owned();
            let disk = if own.join("partition").exists() { own.parent()?.to_path_buf() } else { own };
            Some(BlockQueue { name, queue: disk.join("queue") })
        }

        fn blocks(&self) -> Option<Blocks> {
            let size = |attribute| self.read(attribute)?.parse().ok();
            Some(Blocks { logical: size("logical_block_size")?, physical: size("physical_block_size")? })
        }

        fn cache(&self) -> WriteCache {
            match self.read("write_cache").as_deref() {
                Some("write back") => WriteCache::WriteBack,
                Some("write through") => WriteCache::WriteThrough,
                _ => WriteCache::Unknown,
            }
        }

        fn fua(&self) -> Option<bool> {
            Some(self.read("fua")? != "0")
        }

        fn read(&self, attribute: &str) -> Option<String> {
            Some(read_to_string(self.queue.join(attribute)).ok()?.trim().to_owned())
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the magic is 32 bits in a machine word"
    )]
    fn magic(dir: BorrowedFd<'_>) -> Result<u32, Errno> {
        Ok(fs::fstatfs(dir)?.f_type as u32)
    }

    fn name_of(magic: u32) -> String {
        let known = FILE_SYSTEMS.iter().find(|(known, _)| *known == magic);
        known.map_or_else(|| format!("file system {magic:#x}"), |(_, name)| (*name).into())
    }

    /// From `linux/magic.h`.
    const FILE_SYSTEMS: &[(u32, &str)] = &[
        (BTRFS, "btrfs"),
        (EXT, "ext4"),
        (F2FS, "f2fs"),
        (0x6573_5546, "fuse"),
        (0x6969, "nfs"),
        (0x794C_7630, "overlay"),
        (RAMFS, "ramfs"),
        (TMPFS, "tmpfs"),
        (XFS, "xfs"),
        (0x2FC1_2FC1, "zfs"),
    ];

    const MEMORY_FILE_SYSTEMS: [u32; 2] = [RAMFS, TMPFS];
    const DISK_FILE_SYSTEMS: [u32; 4] = [BTRFS, EXT, F2FS, XFS];

    const BTRFS: u32 = 0x9123_683E;
    const EXT: u32 = 0xEF53;
    const F2FS: u32 = 0xF2F5_2010;
    const RAMFS: u32 = 0x8584_58F6;
    const TMPFS: u32 = 0x0102_1994;
    const XFS: u32 = 0x5846_5342;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pad_unit_covers_the_physical_block() {
        for (direct, offset_align, blocks, expected) in [
            (true, 512, Some((512, 512)), 512),
            (true, 512, Some((512, 4096)), 4096),
            (true, 4096, Some((512, 512)), 4096),
            (true, 4096, Some((4096, 4096)), 4096),
            (true, 512, Some((512, 16384)), 16384),
            (true, 512, None, 4096),
            (true, 8192, None, 8192),
            (false, 1, Some((512, 512)), 4096),
            (false, 1, None, 4096),
        ] {
            let mut probe = Probe::buffered(String::new());
            (probe.direct, probe.offset_align) = (direct, offset_align);
            probe.blocks = blocks.map(|(logical, physical)| Blocks { logical, physical });
            assert_eq!(probe.pad_unit(), expected, "{probe:?}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "it asks the kernel for a file's facts")]
    fn a_file_that_is_gone_meanwhile_is_no_obstacle() {
        let dir = tempfile::tempdir_in(".").unwrap();
        let fd = std::fs::File::open(dir.path()).unwrap();
        let probe = Probe::of(std::os::fd::AsFd::as_fd(&fd), Sample::Old(Some("gone")), DirectChoice::Auto).unwrap();
        assert!(!probe.direct, "{probe:?}");
    }
}
