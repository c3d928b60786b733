//! `Facts`: the device, the file system and how operations reach them.

use std::fmt;

use crate::buffer::{Region, Slice};

/// Facts that opening a directory found out, and choices that follow from them. `Display` prints the open report.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Facts {
    /// How operations reach the device.
    pub backend: Backend,
    /// Why this backend; if io_uring was refused, by whom, and what to do about it.
    pub backend_reason: String,
    /// Whether reads and writes bypass the page cache.
    pub direct: bool,
    /// The reason for `direct`.
    pub direct_reason: String,
    /// The unit, in bytes, that a torn write can damage as a whole: no two groups may share one. With direct IO,
    /// offsets and lengths of reads and writes are multiples of it too.
    pub pad_unit: usize,
    /// The alignment, in bytes, of the address and the length of each slice of a direct read or write.
    pub memory_align: usize,
    /// The device's volatile cache.
    pub cache: WriteCache,
    /// Whether the device can write single blocks through its cache (forced unit access); `None` if it does not say.
    pub fua: Option<bool>,
    /// How writes are best made durable.
    pub sync_method: SyncMethod,
    /// The file system's name, or its magic number.
    pub file_system: String,
    /// The block device's name, if there is one below the file system.
    pub device: Option<String>,
    /// The kernel's name and release.
    pub kernel: String,
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = self.device.as_deref().unwrap_or("an unknown device");
        let fua = match self.fua {
            Some(true) => "FUA",
            Some(false) => "no FUA",
            None => "FUA unknown",
        };
        let io = if self.direct { "direct" } else { "BUFFERED" };
        writeln!(f, "backend      {} ({})", self.backend, self.backend_reason)?;
        writeln!(f, "io           {io} ({})", self.direct_reason)?;
        writeln!(f, "pad unit     {} bytes", self.pad_unit)?;
        writeln!(f, "sync method  {}", self.sync_method)?;
        writeln!(f, "device       {device}, {}, {fua}", self.cache)?;
        write!(f, "file system  {} on {}", self.file_system, self.kernel)
    }
}

/// How operations reach the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// Through io_uring.
    Ring,
    /// Through blocking system calls, in the calling thread or in a few threads of the queue.
    Blocking,
    /// Into memory.
    Simulated,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Ring => "ring",
            Backend::Blocking => "blocking",
            Backend::Simulated => "simulated",
        })
    }
}

/// Whether the device keeps writes in a volatile cache until it is told to flush (`queue/write_cache` in sysfs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteCache {
    /// It does; a flush makes them durable.
    WriteBack,
    /// It does not, or says so: a completed write is durable.
    WriteThrough,
    /// Unknown; treated as [`WriteCache::WriteBack`].
    Unknown,
}

impl fmt::Display for WriteCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WriteCache::WriteBack => "write-back cache",
            WriteCache::WriteThrough => "write-through",
            WriteCache::Unknown => "cache unknown",
        })
    }
}

/// How writes are best made durable. Either way is correct on any device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncMethod {
    /// Each write by itself ([`Sync::Data`](crate::Sync::Data)), however many are in flight: the device writes through
    /// its cache, or has none.
    Dsync,
    /// Each write by itself while it is alone, or large; plain writes when several small ones are in flight, and a
    /// [`File::sync_data`](crate::File::sync_data) that covers those that had completed when it began: on this
    /// device a durable write flushes the whole cache.
    Rolling,
}

impl SyncMethod {
    /// The best method for the device. Without direct IO writes go through the page cache, and each write's sync is a
    /// flush.
    pub(crate) fn for_device(direct: bool, cache: WriteCache, fua: Option<bool>) -> Self {
        match (direct, cache, fua) {
            (true, WriteCache::WriteThrough, _) | (true, _, Some(true)) => SyncMethod::Dsync,
            _ => SyncMethod::Rolling,
        }
    }
}

impl fmt::Display for SyncMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SyncMethod::Dsync => "dsync",
            SyncMethod::Rolling => "rolling",
        })
    }
}

/// The alignment that a disk requires of offsets, lengths and addresses.
///
/// It is asserted, not returned as an error: some disks accept misaligned requests and write wrong bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) direct: bool,
    pub(crate) pad_unit: usize,
    pub(crate) memory_align: usize,
}

impl Geometry {
    #[track_caller]
    pub(crate) fn assert_write(&self, slices: &[Slice], offset: u64) {
        if !self.direct {
            return;
        }
        self.assert_range(offset, slices.iter().map(|slice| slice.len()).sum());
        for slice in slices {
            self.assert_memory(slice);
        }
    }

    #[track_caller]
    pub(crate) fn assert_read(&self, region: &Region, offset: u64) {
        if self.direct {
            self.assert_range(offset, region.len());
            self.assert_memory(region);
        }
    }

    #[track_caller]
    fn assert_range(&self, offset: u64, len: usize) {
        let unit = self.pad_unit;
        assert!(offset.is_multiple_of(unit as u64), "offset {offset} is not a multiple of the pad unit, {unit}");
        assert!(len.is_multiple_of(unit), "length {len} is not a multiple of the pad unit, {unit}");
    }

    #[track_caller]
    fn assert_memory(&self, bytes: &[u8]) {
        let align = self.memory_align;
        assert!(
            bytes.as_ptr().addr().is_multiple_of(align),
            "memory at {:p} is not aligned to {align}",
            bytes.as_ptr()
        );
        assert!(bytes.len().is_multiple_of(align), "a slice of {} bytes is not a multiple of {align}", bytes.len());
    }
}

impl Facts {
    pub(crate) fn geometry(&self) -> Geometry {
        Geometry { direct: self.direct, pad_unit: self.pad_unit, memory_align: self.memory_align }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sync_method_follows_the_device() {
        use WriteCache::{Unknown, WriteBack, WriteThrough};
        for (direct, cache, fua, method) in [
            (true, WriteThrough, Some(false), SyncMethod::Dsync),
            (true, WriteBack, Some(true), SyncMethod::Dsync),
            (true, WriteBack, Some(false), SyncMethod::Rolling),
            (true, WriteBack, None, SyncMethod::Rolling),
            (true, Unknown, None, SyncMethod::Rolling),
            (false, WriteThrough, Some(true), SyncMethod::Rolling),
        ] {
            assert_eq!(SyncMethod::for_device(direct, cache, fua), method, "{direct} {cache} {fua:?}");
        }
    }
}
