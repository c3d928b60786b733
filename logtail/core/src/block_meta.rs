//! Metadata of objects and their blocks.
//!
//! The bytes are a format: records of the log and checkpoints keep them. `logtail/FORMAT.md` states them.

mod check;
mod codec;
mod error;
mod stored;
mod view;

use std::ops::Range;

pub use error::MetaError;
pub use view::{BlockMetaRef, ObjectMetaRef};

use crate::{ids::TableId, object_id::ObjectId, timestamp::Timestamp};

/// The most rows of a block.
pub const BLOCK_ROWS_MAX: u32 = 8192;

/// The most blocks of an object, which so has 2,097,152 rows at most.
pub const BLOCKS_MAX: usize = 256;

/// What the log knows of an object: enough to read it without asking the store for anything but its bytes, and to tell
/// which of its blocks a read may leave out.
///
/// An object is immutable. What changes of it is in its [`BlockMeta`]s, which are written again then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The object's id, which is its name in the store.
    pub id: ObjectId,
    /// The table that the object is of.
    pub table: TableId,
    /// What its rows are.
    pub kind: ObjectKind,
    /// The version of the table's schema that the object was written with.
    pub schema_version: i32,
    /// The size of the object.
    pub bytes: u64,
    /// Where the object's footer begins; it reaches to the object's end.
    pub footer_offset: u64,
    /// The CRC-32 of the footer, which in turn has those of the rest.
    pub footer_crc: u32,
    /// The blocks in the order of their rows, at least one and at most [`BLOCKS_MAX`].
    pub blocks: Vec<BlockMeta>,
}

/// What the rows of an object are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ObjectKind {
    /// Rows of a table.
    Rows,
    /// Tombstones: which rows of other objects are deleted, and since when.
    Tombstones,
    /// A checkpoint: the state of all tables at a time, or what changed since another.
    Checkpoint,
}

/// A range of an object's rows, and what is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMeta {
    /// The position of the block's first row in the object.
    pub first_row: u32,
    /// How many rows it has, 1 to [`BLOCK_ROWS_MAX`].
    pub rows: u32,
    /// No key of the block is below these bytes ([`key`](crate::key)). `None`: no bound, as of a table without a key.
    pub low_key: Option<Vec<u8>>,
    /// No key of the block is above these bytes. `None`: no bound.
    pub high_key: Option<Vec<u8>>,
    /// The lowest commit timestamp of the block's rows.
    pub low_commit: Timestamp,
    /// The highest commit timestamp of the block's rows.
    pub high_commit: Timestamp,
    /// Whether the rows are sorted by the primary key.
    pub sorted: bool,
    /// When the block came to be, by a flush or a merge.
    pub created: Timestamp,
    /// When a merge replaced the block, if one did.
    pub deleted: Option<Timestamp>,
    /// Whether rows may be added to the block.
    pub appendable: bool,
    /// Where the persisted tombstones of the block's rows are, if it has any.
    pub tombstones: Option<TombstoneRange>,
    /// Deletes up to this timestamp, inclusive, are in [`BlockMeta::tombstones`]; later ones are in the tail.
    pub truncation_point: Timestamp,
}

/// Rows of a tombstone object, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TombstoneRange {
    /// The tombstone object.
    pub object: ObjectId,
    /// The position of the first row in it.
    pub first: u32,
    /// How many rows there are, at least one.
    pub count: u32,
}

impl ObjectMeta {
    /// The bytes that [`ObjectMeta::decode`] reads, of which a block has at most 256.
    ///
    /// # Errors
    /// [`MetaError::Inconsistent`] where the fields contradict each other or exceed what the format has.
    pub fn encode(&self) -> Result<Vec<u8>, MetaError> {
        codec::encode(self)
    }

    /// Calls `read` with the metadata in `bytes`, which are checked and read in place: only bytes that are not aligned
    /// to 8 are copied.
    ///
    /// # Errors
    /// [`MetaError`]: `bytes` are no metadata, damaged, or of a version that this crate does not read.
    pub fn read<R>(bytes: &[u8], read: impl FnOnce(ObjectMetaRef<'_>) -> R) -> Result<R, MetaError> {
        codec::read(bytes, read)
    }

    /// The metadata in `bytes`.
    ///
    /// # Errors
    /// As [`ObjectMeta::read`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MetaError> {
        Self::read(bytes, |meta| meta.to_owned())
    }

    /// The number of rows.
    pub fn rows(&self) -> u32 {
        self.blocks.last().map_or(0, |last| last.first_row.saturating_add(last.rows))
    }

    /// Whether all blocks are sorted: those that may have a key follow each other then.
    pub fn is_sorted(&self) -> bool {
        self.blocks.iter().all(|block| block.sorted)
    }

    /// The blocks that may have rows with this encoded key, by their numbers; for an object that [is
    /// sorted](ObjectMeta::is_sorted), or not.
    pub fn blocks_of_key(&self, key: &[u8], sorted: bool) -> impl Iterator<Item = usize> {
        let below = |block: &BlockMeta| block.high_key.as_deref().is_some_and(|high| high < key);
        // Sorted blocks have rising keys; of others each is looked at.
        let first = if sorted { self.blocks.partition_point(below) } else { 0 };
        let above = move |block: &BlockMeta| block.low_key.as_deref().is_some_and(|low| key < low);
        let reachable =
            self.blocks.iter().enumerate().skip(first).take_while(move |(_, block)| !(sorted && above(block)));
        reachable.filter(move |(_, block)| block.may_have_key(key)).map(|(number, _)| number)
    }

    /// The bytes of the object that the footer is: the first read of an object, in one piece.
    pub fn footer_range(&self) -> Range<u64> {
        self.footer_offset..self.bytes
    }
}

impl TombstoneRange {
    /// The position of the last row; `None` where the range reaches beyond what positions there are.
    pub fn last(&self) -> Option<u32> {
        self.first.checked_add(self.count.checked_sub(1)?)
    }
}

impl BlockMeta {
    /// The positions of the block's rows in the object.
    pub fn row_range(&self) -> Range<u32> {
        self.first_row..self.first_row.saturating_add(self.rows)
    }

    /// Whether the block may have a row with this encoded key: always true where it has one.
    pub fn may_have_key(&self, key: &[u8]) -> bool {
        self.low_key.as_deref().is_none_or(|low| low <= key) && self.high_key.as_deref().is_none_or(|high| key <= high)
    }
}
