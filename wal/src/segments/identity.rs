//! The identity of a log: its random id, its format version, and the sizes that never change. Stored in the file
//! `LOGBOOM`, with a copy in the first block of each segment and checkpoint.

use std::{io, ops::Range, sync::Arc};

use logboom_disk::{Disk, File, Mode, Pool, Slice};

use crate::{
    format::{
        crc,
        framing::Framing,
        group::{put_u32, put_u64},
        options::Options,
        record::{u32_at, u64_at},
    },
    segments::{
        slots::Failure,
        unreadable::{UnreadableRanges, read_or_zeros},
    },
    types::error::Error,
};

/// The on-disk format version of new logs; FORMAT.md has the history. Existing logs keep theirs.
pub const FORMAT_VERSION: u32 = 2;

/// The file that makes a directory a log.
pub(crate) const NAME: &str = "LOGBOOM";
/// The identity of a log that is being created.
pub(crate) const NAME_NEW: &str = "LOGBOOM.new";
/// The identity while `LOGBOOM` is being restored. Not `LOGBOOM.new`: in a log that is being created nothing was
/// acknowledged.
pub(crate) const NAME_RESTORED: &str = "LOGBOOM.restored";
/// The identity of a copy in progress: the files beside it are not complete.
pub(crate) const NAME_COPY: &str = "LOGBOOM.copy";
/// The lock file of the directory; never removed.
pub(crate) const LOCK: &str = "LOCK";
const MAGIC: [u8; 8] = *b"LOGBOOM\0";

/// Whether `name` is one of the identity's file names.
pub(crate) fn is_identity(name: &str) -> bool {
    name == NAME
}
const LEN: usize = 64;
/// Where the copy of the identity stands in the first block of a file: after the file's own header, in the same sector.
const COPY: Range<usize> = 64..64 + LEN;

/// The fewest pad units of a segment: a batch of a quarter of it must hold more than its framing.
const PADS_MIN: u64 = 32;

/// The parameters that are fixed when the log is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The format version at creation.
    pub(crate) version: u32,
    /// Random; the seed of all checksums.
    pub(crate) log: [u64; 2],
    pub(crate) segment_bytes: u64,
    /// Groups are padded to multiples of this many bytes.
    pub(crate) pad: usize,
}

impl Identity {
    /// An identity for a new log.
    pub(crate) fn new(disk: &dyn Disk, options: &Options, log: [u64; 2]) -> Result<Self, Error> {
        let pad = disk.facts().pad_unit;
        let identity = Self { version: FORMAT_VERSION, log, segment_bytes: options.segment_bytes, pad };
        if !identity.is_possible() {
            let Self { segment_bytes, pad, .. } = identity;
            let what = format!("a segment of {segment_bytes} bytes, on a device whose unit of writes is {pad} bytes");
            return Err(Error::Unsupported(what));
        }
        Ok(identity)
    }

    /// An identity for a log that lost its own and has no copies: one with this seed of the checksums. The checksums do
    /// not tell the id, and any id with this seed will do.
    pub(crate) fn with_seed(seed: u32, segment_bytes: u64, pad: usize) -> Option<Self> {
        let mut name = [0; 16];
        let ending = crc::ending(&name[..12], seed);
        name[12..].copy_from_slice(&ending);
        let identity = Self { version: 1, log: [u64_at(&name, 0), u64_at(&name, 8)], segment_bytes, pad };
        identity.is_possible().then_some(identity)
    }

    pub(crate) fn framing(&self) -> Framing {
        Framing { pad: self.pad, seed: self.seed() }
    }

    /// The seed of the log's checksums.
    pub(crate) fn seed(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.log[0].to_le_bytes());
        crc.update(&self.log[1].to_le_bytes());
        crc.finalize()
    }

    /// Reads the identity in the file `name`; `None` if there is no such file.
    ///
    /// # Errors
    /// [`Error::Foreign`] if it is not intact; [`Error::NewerFormat`], [`Error::Unsupported`], [`Error::Io`].
    pub(crate) fn read(disk: &dyn Disk, pool: &Pool, name: &str) -> Result<Option<Self>, Error> {
        match disk.open(name, Mode::Read) {
            Ok(file) => Self::load(disk, &*file, pool).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(format!("{name} cannot be read"), error)),
        }
    }

    /// Writes the identity to a new file `name`. Durable on return.
    pub(crate) fn write(&self, disk: &dyn Disk, pool: &Pool, name: &str) -> Result<(), Failure> {
        let write = || -> io::Result<Arc<dyn File>> {
            if disk.list()?.iter().any(|other| other == name) {
                disk.remove(name)?;
            }
            let file = disk.open(name, Mode::Create)?;
            file.allocate(self.pad as u64)?;
            let block = Slice::padded_copy(pool, &self.encode(), self.pad);
            file.write_at(&[block], 0, logboom_disk::Sync::None)?;
            Ok(file)
        };
        write().map_err(Failure::Write)?.sync_all().map_err(Failure::Sync)?;
        disk.sync_dir().map_err(Failure::Sync)
    }

    /// Makes the directory a log: renames the file `from` to `LOGBOOM`. Durable on return.
    pub(crate) fn name(disk: &dyn Disk, from: &str) -> Result<(), Failure> {
        disk.rename(from, NAME).map_err(Failure::Write)?;
        disk.sync_dir().map_err(Failure::Sync)
    }

    /// Writes the copy of the identity into the first block of a file.
    pub(crate) fn put_copy(&self, block: &mut [u8]) {
        block[COPY].copy_from_slice(&self.encode());
    }

    /// The copy in the first block of a file, if it is intact.
    pub(crate) fn copy_in(block: &[u8]) -> Option<Self> {
        block.get(COPY).and_then(|bytes| Self::decode(bytes).ok())
    }

    /// Fails if the log cannot be written on a device with this unit of writes.
    pub(crate) fn require_pad(&self, pad: usize) -> Result<(), Error> {
        if self.pad.is_multiple_of(pad) {
            return Ok(());
        }
        Err(pad_mismatch(self.pad as u64, pad))
    }

    fn load(disk: &dyn Disk, file: &dyn File, pool: &Pool) -> Result<Self, Error> {
        let fail = |error| Error::io(format!("{NAME} cannot be read"), error);
        let size = file.size().map_err(fail)?;
        let (pad, is_direct) = (disk.facts().pad_unit, disk.facts().direct);
        // Through the page cache, reads of any size work.
        let len = if is_direct { pad } else { pad.min(usize::try_from(size).unwrap_or(pad)) };
        if size < len.max(LEN) as u64 {
            // The file has the size of a block of the device where it was made; one with larger blocks cannot read it.
            if size.is_power_of_two() && size >= BLOCK_MIN {
                return Err(pad_mismatch(size, pad));
            }
            return Err(Error::Foreign(format!("{NAME} has {size} bytes, less than one block of {pad}")));
        }
        let mut unreadable = UnreadableRanges::default();
        let bytes = read_or_zeros(file, pool, len, 0..len, &mut unreadable).map_err(fail)?;
        unreadable.into_error().map_or(Ok(()), |error| Err(fail(error)))?;
        let identity = Self::decode(&bytes)?;
        if is_direct {
            identity.require_pad(pad)?;
        }
        Ok(identity)
    }

    fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        put_u32(&mut bytes, 8, self.version);
        put_u32(&mut bytes, 12, u32::try_from(self.pad).expect("a pad unit is a few KiB"));
        put_u64(&mut bytes, 16, self.segment_bytes);
        put_u64(&mut bytes, 24, self.log[0]);
        put_u64(&mut bytes, 32, self.log[1]);
        let crc = crc32fast::hash(&bytes[..LEN - 4]);
        put_u32(&mut bytes, LEN - 4, crc);
        bytes
    }

    /// The first 12 bytes and the checksum are the same in every version.
    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let bytes = &bytes[..LEN];
        if bytes[..8] != MAGIC {
            return Err(Error::Foreign(format!("{NAME} does not begin with a log's magic bytes")));
        }
        if u32_at(bytes, LEN - 4) != crc32fast::hash(&bytes[..LEN - 4]) {
            return Err(Error::Foreign(format!("the checksum of {NAME} does not match: the file is damaged")));
        }
        let version = u32_at(bytes, 8);
        if version > FORMAT_VERSION {
            return Err(Error::NewerFormat { found: version, supported: FORMAT_VERSION });
        }
        let identity = Self {
            version,
            log: [u64_at(bytes, 24), u64_at(bytes, 32)],
            segment_bytes: u64_at(bytes, 16),
            pad: u32_at(bytes, 12) as usize,
        };
        if !identity.is_possible() {
            return Err(Error::Foreign(format!("{NAME} states impossible sizes: {identity:?}")));
        }
        Ok(identity)
    }

    fn is_possible(&self) -> bool {
        let Self { segment_bytes, pad, .. } = *self;
        crate::format::options::SEGMENT_BYTES.contains(&segment_bytes)
            && segment_bytes.is_power_of_two()
            && pad.is_power_of_two()
            && pad as u64 * PADS_MIN <= segment_bytes
    }
}

/// The smallest block of any device, in bytes.
const BLOCK_MIN: u64 = 512;

fn pad_mismatch(of_log: u64, here: usize) -> Error {
    let what = format!("groups are padded to {of_log} bytes, the unit of writes is {here} here (device or `pad_unit`)");
    Error::Unsupported(format!("{what}: the log needs a unit of {of_log} bytes or less"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_and_damage_is_seen() {
        let identity = Identity { version: 2, log: [1, 2], segment_bytes: 1 << 20, pad: 4096 };
        let bytes = identity.encode();
        assert_eq!(Identity::decode(&bytes).unwrap(), identity);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Identity::decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn sizes_that_no_log_has_are_refused() {
        for (segment_bytes, pad, good) in [
            (256 << 10, 8 << 10, true),
            (256 << 10, 16 << 10, false),
            (1 << 20, 0, false),
            (1 << 20, 1 << 31, false),
            (1 << 20, 4095, false),
            (300_000, 4096, false),
            (1 << 31, 4096, false),
        ] {
            let bytes = Identity { version: 1, log: [1, 2], segment_bytes, pad }.encode();
            assert_eq!(Identity::decode(&bytes).is_ok(), good, "{segment_bytes} {pad}");
        }
    }

    #[test]
    fn an_identity_is_made_for_any_seed() {
        for seed in [0, 1, 0xdead_beef, u32::MAX] {
            let identity = Identity::with_seed(seed, 1 << 20, 4096).unwrap();
            assert_eq!((identity.seed(), identity.version), (seed, 1));
            assert_eq!(Identity::decode(&identity.encode()).unwrap(), identity);
        }
        assert_eq!(Identity::with_seed(1, 300_000, 4096), None);
    }
}
