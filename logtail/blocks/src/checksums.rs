//! The checksums of an object's pages and bloom filters.
//!
//! Parquet has a checksum for a page's content, which the parquet crate does not write and which leaves out the page's
//! header. So an object has a section of its own, at the begin of its footer: `logtail/FORMAT.md`, "Objects".

use std::ops::Range;

/// What the section begins with, and the version of it.
const MAGIC: [u8; 4] = *b"LBCK";
const VERSION: u16 = 1;

/// Magic (4 bytes), version (u16), zero (u16), number of leaf columns (u32), number of row groups (u32).
const HEADER: usize = 16;

/// The CRC-32s of an object, by row group and leaf column.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Checksums {
    columns: usize,
    /// The number of blocks of each row group.
    blocks: Vec<u16>,
    /// Where the columns of each row group begin in `crcs`.
    starts: Vec<usize>,
    crcs: Vec<u32>,
}

/// Those of a column of a row group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ColumnChecksums {
    /// Of the dictionary's page; 0 where the column has none.
    pub(crate) dictionary: u32,
    /// Of the bloom filter; 0 where the column has none.
    pub(crate) bloom: u32,
    /// Of the page of each block.
    pub(crate) pages: Vec<u32>,
}

impl Checksums {
    pub(crate) fn new(columns: usize) -> Self {
        Self { columns, blocks: Vec::new(), starts: Vec::new(), crcs: Vec::new() }
    }

    /// Adds a row group of `blocks` blocks.
    pub(crate) fn push(&mut self, blocks: u16, columns: &[ColumnChecksums]) {
        assert_eq!(columns.len(), self.columns, "a row group has all columns");
        self.starts.push(self.crcs.len());
        self.blocks.push(blocks);
        for column in columns {
            assert_eq!(column.pages.len(), usize::from(blocks), "a block has a page in each column");
            self.crcs.extend([column.dictionary, column.bloom]);
            self.crcs.extend(&column.pages);
        }
    }

    /// The checksum of a column's dictionary in a row group.
    pub(crate) fn dictionary(&self, group: usize, column: usize) -> Option<u32> {
        self.column(group, column)?.first().copied()
    }

    /// The checksum of a column's bloom filter in a row group.
    pub(crate) fn bloom(&self, group: usize, column: usize) -> Option<u32> {
        self.column(group, column)?.get(1).copied()
    }

    /// The checksum of a column's page for a block, counted within its row group.
    pub(crate) fn page(&self, group: usize, column: usize, block: usize) -> Option<u32> {
        self.column(group, column)?.get(2..)?.get(block).copied()
    }

    /// The number of blocks of each row group.
    pub(crate) fn blocks(&self) -> impl ExactSizeIterator<Item = usize> {
        self.blocks.iter().map(|blocks| usize::from(*blocks))
    }

    /// The bytes of memory that are held.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.crcs.capacity() * size_of::<u32>() + self.blocks.capacity() * size_of::<(u16, usize)>()
    }

    fn column(&self, group: usize, column: usize) -> Option<&[u32]> {
        let len = usize::from(*self.blocks.get(group)?) + 2;
        let start = self.starts.get(group)? + column.checked_mul(len)?;
        if column < self.columns { self.crcs.get(start..start + len) } else { None }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([0; 2]);
        bytes.extend(narrow(self.columns).to_le_bytes());
        bytes.extend(narrow(self.blocks.len()).to_le_bytes());
        self.blocks.iter().for_each(|blocks| bytes.extend(blocks.to_le_bytes()));
        self.crcs.iter().for_each(|crc| bytes.extend(crc.to_le_bytes()));
        bytes
    }

    /// The length of [`Checksums::encode`].
    fn len(&self) -> usize {
        HEADER + 2 * self.blocks.len() + 4 * self.crcs.len()
    }

    /// The checksums at the begin of `bytes`; what is wrong with them otherwise.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        const SHORT: &str = "its checksums are cut short";
        let (header, rest) = bytes.split_first_chunk::<HEADER>().ok_or(SHORT)?;
        let [m0, m1, m2, m3, v0, v1, _, _, c0, c1, c2, c3, g0, g1, g2, g3] = *header;
        if [m0, m1, m2, m3] != MAGIC {
            return Err("it does not begin with checksums");
        }
        if u16::from_le_bytes([v0, v1]) != VERSION {
            return Err("its checksums are in a version that is not known");
        }
        let columns = wide(u32::from_le_bytes([c0, c1, c2, c3]));
        let groups = wide(u32::from_le_bytes([g0, g1, g2, g3]));
        let (blocks, rest) = rest.split_at_checked(groups.checked_mul(2).ok_or(SHORT)?).ok_or(SHORT)?;
        let blocks: Vec<u16> = blocks.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect();
        let (mut starts, mut count) = (Vec::with_capacity(groups), 0_usize);
        for blocks in &blocks {
            starts.push(count);
            let own = columns.checked_mul(usize::from(*blocks) + 2).ok_or(SHORT)?;
            count = count.checked_add(own).ok_or(SHORT)?;
        }
        let crcs = rest.get(..count.checked_mul(4).ok_or(SHORT)?).ok_or(SHORT)?;
        let crcs = crcs.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        Ok(Self { columns, blocks, starts, crcs })
    }
}

/// The checksum of a part of `bytes`; of nothing where they do not have it.
pub(crate) fn of_range(bytes: &[u8], range: Range<usize>) -> u32 {
    crc32fast::hash(bytes.get(range).unwrap_or_default())
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("an object has fewer than 2^32 columns and row groups")
}

fn wide(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_come_back() {
        let column = |pages: &[u32]| ColumnChecksums { dictionary: 7, bloom: 0, pages: pages.to_vec() };
        let mut checksums = Checksums::new(2);
        checksums.push(2, &[column(&[1, 2]), column(&[3, 4])]);
        checksums.push(1, &[column(&[5]), column(&[6])]);
        let bytes = checksums.encode();
        assert_eq!(bytes.len(), checksums.len());
        let back = Checksums::decode(&[&bytes[..], b"and what follows"].concat()).unwrap();
        assert_eq!(back, checksums);
        assert_eq!((back.page(0, 1, 1), back.page(1, 0, 0), back.dictionary(1, 1)), (Some(4), Some(5), Some(7)));
        assert_eq!((back.page(0, 1, 2), back.page(1, 2, 0), back.page(2, 0, 0)), (None, None, None));
        for len in 0..bytes.len() {
            assert!(Checksums::decode(&bytes[..len]).is_err(), "{len}");
        }
    }
}
