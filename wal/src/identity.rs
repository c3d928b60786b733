//! The file that makes a directory a log: its identity, its format version and the sizes that never change.

use std::{io, sync::Arc};

use logboom_disk::{Disk, File, Mode, Pool, Slice};

use crate::{
    Error, Options,
    group::{put_u32, put_u64},
    record::{u32_at, u64_at},
    slots::Failure,
};

/// Whether a directory is a log, or could become one: to be asked before anything is put in it, a lock included.
///
/// # Errors
/// [`Error::Foreign`] when it holds files and no log, [`Error::Io`].
pub fn recognise(disk: &dyn Disk) -> Result<(), Error> {
    Identity::recognise(&disk.list().map_err(|error| Error::io("listing the directory", error))?)
}

/// The version of the on-disk format that this library writes; FORMAT.md has its history.
pub const FORMAT_VERSION: u32 = 1;

const NAME: &str = "LOGBOOM";
const NAME_NEW: &str = "LOGBOOM.new";
/// The file by which a directory is locked; it is never removed.
pub(crate) const LOCK: &str = "LOCK";
const MAGIC: [u8; 8] = *b"LOGBOOM\0";

/// Whether a file name is that of the identity.
pub(crate) fn is_identity(name: &str) -> bool {
    name == NAME
}
const LEN: usize = 64;

/// The fewest pad units of a segment: a batch of a quarter of it must hold more than what frames it.
const PADS_MIN: u64 = 32;

/// What was fixed when the log was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Random; seeds every checksum.
    pub(crate) log: [u64; 2],
    pub(crate) segment_bytes: u64,
    /// Groups are padded to this many bytes.
    pub(crate) pad: usize,
}

impl Identity {
    /// The seed of the log's checksums.
    pub(crate) fn seed(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.log[0].to_le_bytes());
        crc.update(&self.log[1].to_le_bytes());
        crc.finalize()
    }

    /// Reads the directory's identity; `None` when the directory is empty, or its creation was cut short.
    pub(crate) fn read(disk: &dyn Disk, pool: &Pool) -> Result<Option<Self>, Error> {
        let names = disk.list().map_err(|error| Error::io("listing the directory", error))?;
        match disk.open(NAME, Mode::Read) {
            Ok(file) => Self::load(disk, &*file, pool).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::recognise(&names).map(|()| None),
            Err(error) => Err(Error::io(format!("opening {NAME}"), error)),
        }
    }

    /// Whether `names` are those of a log, or of nothing that a log would be in the way of.
    pub(crate) fn recognise(names: &[String]) -> Result<(), Error> {
        match names.iter().find(|name| !is_own(name)) {
            Some(name) if !names.iter().any(|name| name == NAME) => {
                Err(Error::Foreign(format!("there is no file {NAME}, but there is {name:?}")))
            }
            _ => Ok(()),
        }
    }

    /// Makes the directory a log. Durable on return; a crash before leaves a directory that [`Identity::read`] takes
    /// for empty.
    pub(crate) fn create(disk: &dyn Disk, pool: &Pool, options: &Options, log: [u64; 2]) -> Result<Self, Error> {
        let identity = Self { log, segment_bytes: options.segment_bytes, pad: disk.facts().pad_unit };
        if !identity.is_possible() {
            let Self { segment_bytes, pad, .. } = identity;
            let what = format!("a segment of {segment_bytes} bytes, on a device that takes writes of {pad} bytes");
            return Err(Error::Unsupported(what));
        }
        let written = identity.write(disk, pool).map_err(Failure::into_error);
        written.map(|()| identity).map_err(|error| Error::io(format!("creating {NAME}"), error))
    }

    /// Gives a directory this identity. Durable on return; a crash before leaves it without one.
    pub(crate) fn write(&self, disk: &dyn Disk, pool: &Pool) -> Result<(), Failure> {
        let write = || -> io::Result<Arc<dyn File>> {
            if disk.list()?.iter().any(|name| name == NAME_NEW) {
                disk.remove(NAME_NEW)?;
            }
            let file = disk.open(NAME_NEW, Mode::Create)?;
            file.allocate(self.pad as u64)?;
            let block = Slice::padded_copy(pool, &self.encode(), self.pad);
            file.write_at(&[block], 0, logboom_disk::Sync::None)?;
            Ok(file)
        };
        write().map_err(Failure::Write)?.sync_all().map_err(Failure::Sync)?;
        disk.rename(NAME_NEW, NAME).map_err(Failure::Write)?;
        disk.sync_dir().map_err(Failure::Sync)
    }

    /// Whether the log can be used where `pad` is the unit of writes.
    pub(crate) fn require_pad(&self, pad: usize) -> Result<(), Error> {
        if self.pad.is_multiple_of(pad) {
            return Ok(());
        }
        Err(other_pad(self.pad as u64, pad))
    }

    fn load(disk: &dyn Disk, file: &dyn File, pool: &Pool) -> Result<Self, Error> {
        let size = file.size().map_err(|error| Error::io(format!("reading {NAME}"), error))?;
        let pad = disk.facts().pad_unit;
        if size < pad as u64 {
            // It is as long as a block where it was made, and cannot be read where blocks are longer.
            if size.is_power_of_two() && size >= BLOCK_MIN {
                return Err(other_pad(size, pad));
            }
            return Err(Error::Foreign(format!("{NAME} has {size} bytes, one block of {pad} is the least")));
        }
        let mut region = pool.region(pad);
        file.read_at(&mut region, 0).map_err(|error| Error::io(format!("reading {NAME}"), error))?;
        let identity = Self::decode(&region)?;
        identity.require_pad(pad)?;
        Ok(identity)
    }

    fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        put_u32(&mut bytes, 8, FORMAT_VERSION);
        put_u32(&mut bytes, 12, u32::try_from(self.pad).expect("a pad unit is a few KiB"));
        put_u64(&mut bytes, 16, self.segment_bytes);
        put_u64(&mut bytes, 24, self.log[0]);
        put_u64(&mut bytes, 32, self.log[1]);
        let crc = crc32fast::hash(&bytes[..LEN - 4]);
        put_u32(&mut bytes, LEN - 4, crc);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let bytes = &bytes[..LEN];
        if bytes[..8] != MAGIC {
            return Err(Error::Foreign(format!("{NAME} does not begin as one of a log does")));
        }
        // Before the checksum: a newer version may have laid out the rest differently.
        let version = u32_at(bytes, 8);
        if version > FORMAT_VERSION {
            return Err(Error::NewerFormat { found: version, supported: FORMAT_VERSION });
        }
        if u32_at(bytes, LEN - 4) != crc32fast::hash(&bytes[..LEN - 4]) {
            return Err(Error::Foreign(format!("the checksum of {NAME} does not match: the file is damaged")));
        }
        let identity = Self {
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
        crate::options::SEGMENT_BYTES.contains(&segment_bytes)
            && segment_bytes.is_power_of_two()
            && pad.is_power_of_two()
            && pad as u64 * PADS_MIN <= segment_bytes
    }
}

/// No device has shorter blocks.
const BLOCK_MIN: u64 = 512;

fn other_pad(of_log: u64, here: usize) -> Error {
    let what = format!("the log pads its groups to {of_log} bytes, writes here are of {here}, by device or `pad_unit`");
    Error::Unsupported(format!("{what}: it can be used where they are of {of_log} bytes or less"))
}

/// Whether a file may lie in a directory that is not a log yet.
fn is_own(name: &str) -> bool {
    matches!(name, NAME_NEW | LOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_and_damage_is_seen() {
        let identity = Identity { log: [1, 2], segment_bytes: 1 << 20, pad: 4096 };
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
            let bytes = Identity { log: [1, 2], segment_bytes, pad }.encode();
            assert_eq!(Identity::decode(&bytes).is_ok(), good, "{segment_bytes} {pad}");
        }
    }
}
