//! `Manifest`: describes a snapshot and its files, the same on every node.
//!
//! The bytes are laid out in FORMAT.md, "Manifest".

use std::collections::BTreeSet;

use bytes::Bytes;
use rkyv::{
    Archive, Serialize,
    rancor::{Error as RkyvError, Failure},
    util::AlignedVec,
};

use crate::{
    block::{HEADER, RAW_BYTES, u32_at},
    error::{Error, Result, What},
    name::check_name,
    position::Position,
    spec::{FILES_MAX, MEMBERSHIP_BYTES_MAX, METADATA_BYTES_MAX},
};

/// The description of a snapshot: its identity, files and blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// The shard.
    pub shard: u64,
    /// The last index that the snapshot includes.
    pub index: u64,
    /// The term of that index.
    pub term: u64,
    /// A number that identifies the snapshot on every node.
    pub id: u64,
    /// As it was given to the builder.
    pub membership: Bytes,
    /// As it was given to the builder.
    pub metadata: Bytes,
    /// Its files, in the order in which they were written.
    pub files: Vec<FileInfo>,
    /// All blocks, file by file.
    pub(crate) blocks: Vec<BlockInfo>,
}

/// A file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// Its name: see [`check_name`].
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// The CRC-32 of its bytes.
    pub crc: u32,
    /// The number of its first block among all.
    pub(crate) first_block: usize,
}

/// A block in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockInfo {
    /// The length of its content after compression.
    pub(crate) stored: u32,
    /// The checksum in its header, which covers the whole block.
    pub(crate) crc: u32,
}

impl Manifest {
    /// The bytes of all files together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len).sum()
    }

    /// The number of the file `name` in [`Manifest::files`], and its entry.
    pub fn file(&self, name: &str) -> Option<(u32, &FileInfo)> {
        (0..).zip(&self.files).find(|(_, file)| file.name == name)
    }

    /// The position and the length in bytes of each [chunk](crate::Chunk), in order.
    pub fn chunks(&self) -> impl Iterator<Item = (Position, usize)> {
        let chunk =
            |(block, info): (usize, &BlockInfo)| Some((self.position_of(block)?, HEADER + info.stored as usize));
        (0..).zip(&self.blocks).filter_map(chunk)
    }

    /// The file that has the block, and the number of the block in it.
    pub(crate) fn file_of(&self, block: usize) -> Option<(u32, u32)> {
        if block >= self.blocks.len() {
            return None;
        }
        let file = self.files.partition_point(|file| file.first_block <= block).checked_sub(1)?;
        let number = u32::try_from(block - self.files[file].first_block).ok()?;
        Some((u32::try_from(file).ok()?, number))
    }

    /// Where in its file the block begins.
    pub(crate) fn position_of(&self, block: usize) -> Option<Position> {
        let (file, number) = self.file_of(block)?;
        Some(Position { file, offset: u64::from(number) * RAW_BYTES as u64 })
    }

    /// The block that begins at a place of a file.
    pub(crate) fn block_at(&self, at: Position) -> Option<usize> {
        let file = self.files.get(at.file as usize)?;
        if at.offset >= file.len || !at.offset.is_multiple_of(RAW_BYTES as u64) {
            return None;
        }
        Some(file.first_block + usize::try_from(at.offset / RAW_BYTES as u64).ok()?)
    }

    /// The length of what the block holds, before compression.
    pub(crate) fn raw_len(&self, file: u32, number: u32) -> usize {
        let len = self.files.get(file as usize).map_or(0, |file| file.len);
        let rest = len.saturating_sub(u64::from(number) * RAW_BYTES as u64);
        usize::try_from(rest).unwrap_or(RAW_BYTES).min(RAW_BYTES)
    }

    /// The manifest as it is stored and sent.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let tables = Tables {
            shard: self.shard,
            index: self.index,
            term: self.term,
            id: self.id,
            membership: self.membership.to_vec(),
            metadata: self.metadata.to_vec(),
            files: self.files.iter().map(FileRow::of).collect(),
            blocks: self.blocks.iter().map(|block| BlockRow { stored: block.stored, crc: block.crc }).collect(),
        };
        let archive = rkyv::to_bytes::<RkyvError>(&tables).map_err(|error| Error::malformed(error.to_string()))?;
        let mut bytes = Vec::with_capacity(PREFIX + archive.len());
        bytes.extend_from_slice(&NAME);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&archive).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&archive);
        Ok(bytes)
    }

    /// Decodes and checks a manifest of any origin.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::NewerFormat`], [`Error::Name`], [`Error::TooLarge`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let Some((prefix, archive)) = bytes.split_first_chunk::<PREFIX>() else {
            return Err(Error::malformed("too short"));
        };
        if prefix[..6] != NAME {
            return Err(Error::malformed("something else"));
        }
        let version = u16::from_le_bytes([prefix[6], prefix[7]]);
        if version > VERSION {
            return Err(Error::NewerFormat { found: version.into(), supported: VERSION.into() });
        }
        if version < VERSION || crc32fast::hash(archive) != u32_at(prefix, 8) || prefix[12..] != [0; 4] {
            return Err(Error::malformed("a wrong checksum, or a version that there never was"));
        }
        let mut aligned = AlignedVec::<16>::with_capacity(archive.len());
        aligned.extend_from_slice(archive);
        let tables = rkyv::access::<ArchivedTables, Failure>(&aligned)
            .map_err(|_| Error::malformed("its tables contradict themselves"))?;
        Self::of(tables)
    }

    /// Accepts the tables only if they are consistent: a checksum does not prove that the writer was correct.
    fn of(tables: &ArchivedTables) -> Result<Self> {
        let (membership, metadata) = (&tables.membership[..], &tables.metadata[..]);
        crate::spec::check_size(What::Membership, membership.len(), MEMBERSHIP_BYTES_MAX)?;
        crate::spec::check_size(What::Metadata, metadata.len(), METADATA_BYTES_MAX)?;
        crate::spec::check_size(What::Files, tables.files.len(), FILES_MAX)?;
        let mut files = Vec::with_capacity(tables.files.len());
        let mut names = Names::default();
        let mut first_block = 0;
        for row in tables.files.iter() {
            let (name, len) = (row.name.as_str(), row.len.to_native());
            names.add(name)?;
            files.push(FileInfo { name: name.to_owned(), len, crc: row.crc.to_native(), first_block });
            let blocks = usize::try_from(len.div_ceil(RAW_BYTES as u64)).unwrap_or(usize::MAX);
            first_block = first_block.saturating_add(blocks);
        }
        if first_block != tables.blocks.len() {
            return Err(Error::malformed("not as many blocks as the files have"));
        }
        let block = |row: &ArchivedBlockRow| BlockInfo { stored: row.stored.to_native(), crc: row.crc.to_native() };
        let manifest = Self {
            shard: tables.shard.to_native(),
            index: tables.index.to_native(),
            term: tables.term.to_native(),
            id: tables.id.to_native(),
            membership: Bytes::copy_from_slice(membership),
            metadata: Bytes::copy_from_slice(metadata),
            files,
            blocks: tables.blocks.iter().map(block).collect(),
        };
        manifest.check_blocks()?;
        Ok(manifest)
    }

    fn check_blocks(&self) -> Result<()> {
        for file in &self.files {
            u32::try_from(file.len.div_ceil(RAW_BYTES as u64))
                .map_err(|_| Error::malformed("a file of too many blocks"))?;
        }
        for (at, block) in self.blocks.iter().enumerate() {
            let (file, number) = self.file_of(at).unwrap_or_default();
            if block.stored == 0 || block.stored as usize > self.raw_len(file, number) {
                return Err(Error::malformed("a block of an impossible length"));
            }
        }
        Ok(())
    }
}

/// The bytes before the archive: magic (6 bytes), version (2), checksum (4), zeros (4).
const PREFIX: usize = 16;
const NAME: [u8; 6] = *b"snapsh";
const VERSION: u16 = 1;

#[derive(Archive, Debug, Serialize)]
struct Tables {
    shard: u64,
    index: u64,
    term: u64,
    id: u64,
    membership: Vec<u8>,
    metadata: Vec<u8>,
    files: Vec<FileRow>,
    blocks: Vec<BlockRow>,
}

#[derive(Archive, Debug, Serialize)]
struct FileRow {
    name: String,
    len: u64,
    crc: u32,
}

#[derive(Archive, Debug, Serialize)]
struct BlockRow {
    stored: u32,
    crc: u32,
}

impl FileRow {
    fn of(file: &FileInfo) -> Self {
        Self { name: file.name.clone(), len: file.len, crc: file.crc }
    }
}

/// The bytes of a block in a container whose blocks are padded to `pad` bytes.
pub(crate) fn padded(stored: u32, pad: u64) -> u64 {
    (HEADER as u64 + u64::from(stored)).next_multiple_of(pad)
}

/// Checks the names of a snapshot's files: all are different, and none is a directory of another.
#[derive(Debug, Default)]
pub(crate) struct Names {
    files: BTreeSet<String>,
    folders: BTreeSet<String>,
}

impl Names {
    /// # Errors
    /// [`Error::Name`].
    pub(crate) fn add(&mut self, name: &str) -> Result<()> {
        check_name(name)?;
        let folders = || name.match_indices('/').map(|(at, _)| &name[..at]);
        let reason = if self.files.contains(name) {
            "is there already"
        } else if self.folders.contains(name) || folders().any(|folder| self.files.contains(folder)) {
            "is that of a file and of a folder"
        } else {
            self.folders.extend(folders().map(str::to_owned));
            self.files.insert(name.to_owned());
            return Ok(());
        };
        Err(Error::Name { name: name.into(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let file = |name: &str, len, first_block| FileInfo { name: name.into(), len, crc: 9, first_block };
        let raw = RAW_BYTES as u64;
        Manifest {
            shard: 1,
            index: 2,
            term: 3,
            id: 4,
            membership: Bytes::from_static(b"1, 2, 3"),
            metadata: Bytes::new(),
            files: vec![file("empty", 0, 0), file("state", raw + 1, 0), file("a/b", 0, 2), file("a/c", 5, 2)],
            blocks: [7, 1, 5].map(|stored| BlockInfo { stored, crc: stored + 100 }).to_vec(),
        }
    }

    #[test]
    fn it_comes_back() {
        let manifest = manifest();
        assert_eq!(Manifest::decode(&manifest.encode().unwrap()).unwrap(), manifest);
    }

    #[test]
    fn blocks_and_places_are_told_apart() {
        let manifest = manifest();
        let raw = RAW_BYTES as u64;
        let places = [(1, 0), (1, raw), (3, 0)];
        for (block, (file, offset)) in places.into_iter().enumerate() {
            let at = Position { file, offset };
            assert_eq!(manifest.position_of(block), Some(at));
            assert_eq!(manifest.chunks().nth(block), Some((at, HEADER + manifest.blocks[block].stored as usize)));
            assert_eq!(manifest.block_at(at), Some(block));
        }
        assert_eq!(manifest.position_of(3), None);
        for (file, offset) in [(0, 0), (1, 1), (1, 2 * raw), (3, 5), (4, 0), (u32::MAX, u64::MAX)] {
            assert_eq!(manifest.block_at(Position { file, offset }), None, "{file} {offset}");
        }
        assert_eq!((manifest.raw_len(1, 0), manifest.raw_len(1, 1), manifest.raw_len(1, 2)), (RAW_BYTES, 1, 0));
    }

    #[test]
    fn bytes_that_lie_are_refused() {
        let good = manifest().encode().unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&bad).is_err(), "bit {bit}");
            // Nor does a checksum that fits make it panic.
            let crc = crc32fast::hash(&bad[PREFIX..]);
            bad[8..12].copy_from_slice(&crc.to_le_bytes());
            drop(Manifest::decode(&bad));
        }
        (0..good.len()).for_each(|len| assert!(Manifest::decode(&good[..len]).is_err(), "{len}"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |change: fn(&mut Manifest)| {
            let mut manifest = manifest();
            change(&mut manifest);
            Manifest::decode(&manifest.encode().unwrap()).unwrap_err()
        };
        assert!(matches!(refused(|m| m.files[1].len = u64::MAX), Error::Malformed { .. }));
        assert!(matches!(refused(|m| m.files[3].len = 4), Error::Malformed { .. }));
        assert!(matches!(refused(|m| m.blocks[2].stored = 0), Error::Malformed { .. }));
        assert!(matches!(refused(|m| m.blocks.truncate(2)), Error::Malformed { .. }));
        assert!(matches!(refused(|m| m.files[0].name = "../x".into()), Error::Name { .. }));
        assert!(matches!(refused(|m| m.files[0].name = "state".into()), Error::Name { .. }));
        assert!(matches!(refused(|m| m.files[0].name = "a".into()), Error::Name { .. }));
        assert!(matches!(refused(|m| m.files[0].name = "state/x".into()), Error::Name { .. }));
        assert!(matches!(refused(|m| m.metadata = vec![0; METADATA_BYTES_MAX + 1].into()), Error::TooLarge { .. }));
    }
}
