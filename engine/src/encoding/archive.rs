//! Metadata on disk: an rkyv archive behind a header with its name and version.
//!
//! The log checksums the bytes; this module validates them too, as a correct checksum does not prove a correct writer.
//! The bytes are laid out in FORMAT.md, "Archives".

use std::cmp::Ordering;

use rkyv::{
    Archive, Portable, Serialize,
    api::high::{HighSerializer, HighValidator},
    bytecheck::CheckBytes,
    rancor::{Error as RkyvError, Failure},
    ser::allocator::ArenaHandle,
    util::AlignedVec,
};

use crate::types::error::{Error, Result};

/// The size of the header: a name (6 bytes) and a version (u16, little-endian).
const HEADER: usize = 8;

/// Sections are padded to a multiple of this, so that the archive behind them is aligned.
const ALIGN: usize = 16;

/// A kind of archive: its name and the one version that this program writes and reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArchiveFormat {
    pub(crate) name: [u8; 6],
    pub(crate) version: u16,
}

impl ArchiveFormat {
    /// The bytes of `value`.
    pub(crate) fn encode<T>(self, value: &T) -> Result<Vec<u8>>
    where
        T: for<'a> Serialize<HighSerializer<Vec<u8>, ArenaHandle<'a>, RkyvError>>,
    {
        let mut bytes = self.name.to_vec();
        bytes.extend_from_slice(&self.version.to_le_bytes());
        // The header's 8 bytes keep the archive aligned, and its pointers are relative.
        rkyv::api::high::to_bytes_in(value, bytes).map_err(|error: RkyvError| self.malformed(&error))
    }

    /// The bytes of `value` as a section, which another archive may follow: header, length (u64), archive, and zeros up
    /// to a multiple of [`ALIGN`].
    pub(crate) fn encode_section<T>(self, value: &T) -> Result<Vec<u8>>
    where
        T: for<'a> Serialize<HighSerializer<Vec<u8>, ArenaHandle<'a>, RkyvError>>,
    {
        let encoded = self.encode(value)?;
        let (header, archive) = encoded.split_at(HEADER);
        let mut bytes = header.to_vec();
        bytes.extend_from_slice(&(archive.len() as u64).to_le_bytes());
        bytes.extend_from_slice(archive);
        bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        Ok(bytes)
    }

    /// Splits a section from the front of `bytes`: an input of [`ArchiveFormat::decode`], and the rest. `None` if
    /// `bytes` do not begin with a section of this name.
    pub(crate) fn split_section(self, bytes: &[u8]) -> Result<Option<(Vec<u8>, &[u8])>> {
        if !bytes.starts_with(&self.name) {
            return Ok(None);
        }
        let short = || self.malformed(&"too short");
        let (header, rest) = bytes.split_at_checked(HEADER).ok_or_else(short)?;
        let (len, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| short())?;
        let archive = rest.get(..len).ok_or_else(short)?;
        let end = (HEADER + 8 + len).next_multiple_of(ALIGN);
        Ok(Some(([header, archive].concat(), bytes.get(end..).ok_or_else(short)?)))
    }

    /// Validates the archive in `bytes` and calls `read` with it.
    ///
    /// # Errors
    /// [`Error::NewerFormat`] for a later version, [`Error::Corruption`] for an earlier one and for bytes that are not
    /// a valid archive of this name, and the errors of `read`.
    pub(crate) fn decode<T, R>(self, bytes: &[u8], read: impl FnOnce(&T::Archived) -> Result<R>) -> Result<R>
    where
        T: Archive,
        T::Archived: Portable + for<'a> CheckBytes<HighValidator<'a, Failure>>,
    {
        let Some((header, archive)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(self.malformed(&"too short"));
        };
        if header[..6] != self.name {
            return Err(self.malformed(&"something else"));
        }
        let version = u16::from_le_bytes([header[6], header[7]]);
        match version.cmp(&self.version) {
            Ordering::Greater => {
                return Err(Error::NewerFormat { found: version.into(), supported: self.version.into() });
            }
            // No release wrote one; its bytes have another meaning.
            Ordering::Less => return Err(self.malformed(&"an older version")),
            Ordering::Equal => {}
        }
        if archive.as_ptr().align_offset(align_of::<T::Archived>()) != 0 {
            let mut aligned = AlignedVec::<16>::with_capacity(archive.len());
            aligned.extend_from_slice(archive);
            return self.access::<T, R>(&aligned, read);
        }
        self.access::<T, R>(archive, read)
    }

    pub(crate) fn malformed(self, what: &dyn std::fmt::Display) -> Error {
        Error::malformed(format!("{}: {what}", String::from_utf8_lossy(&self.name)))
    }

    fn access<T, R>(self, archive: &[u8], read: impl FnOnce(&T::Archived) -> Result<R>) -> Result<R>
    where
        T: Archive,
        T::Archived: Portable + for<'a> CheckBytes<HighValidator<'a, Failure>>,
    {
        // rkyv's own message contains memory addresses, which differ from run to run.
        let access = rkyv::access::<T::Archived, Failure>(archive);
        read(access.map_err(|_| self.malformed(&"what it holds contradicts itself"))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: ArchiveFormat = ArchiveFormat { name: *b"number", version: 3 };

    #[test]
    fn only_the_own_name_and_version_are_accepted() {
        let bytes = FORMAT.encode(&vec![7_u64, 8]).unwrap();
        let first =
            |form: ArchiveFormat, bytes: &[u8]| form.decode::<Vec<u64>, _>(bytes, |value| Ok(value[0].to_native()));
        assert_eq!(first(FORMAT, &bytes).unwrap(), 7);
        let mut misaligned = vec![0];
        misaligned.extend_from_slice(&bytes);
        assert_eq!(first(FORMAT, &misaligned[1..]).unwrap(), 7);
        assert!(matches!(
            first(ArchiveFormat { version: 2, ..FORMAT }, &bytes),
            Err(Error::NewerFormat { found: 3, supported: 2 })
        ));
        assert!(matches!(first(ArchiveFormat { version: 4, ..FORMAT }, &bytes), Err(Error::Corruption { .. })));
        assert!(matches!(first(ArchiveFormat { name: *b"letter", ..FORMAT }, &bytes), Err(Error::Corruption { .. })));
        for len in 0..bytes.len() {
            assert!(first(FORMAT, &bytes[..len]).is_err(), "{len}");
        }
    }
}
