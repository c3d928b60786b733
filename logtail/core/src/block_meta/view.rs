//! Metadata that are read in place.

use super::{
    BlockMeta, ObjectKind, ObjectMeta, TombstoneRange,
    stored::{APPENDABLE, ArchivedStoredBlock, ArchivedStoredObject, CHECKPOINT, SORTED, TOMBSTONES},
};
use crate::{ids::TableId, object_id::ObjectId, timestamp::Timestamp};

/// An [`ObjectMeta`] that is read in place. See there for its fields.
#[derive(Clone, Copy)]
pub struct ObjectMetaRef<'a>(pub(super) &'a ArchivedStoredObject);

/// A [`BlockMeta`] that is read in place. See there for its fields.
#[derive(Clone, Copy)]
pub struct BlockMetaRef<'a>(&'a ArchivedStoredBlock);

#[expect(missing_docs, reason = "the fields of `ObjectMeta`")]
impl<'a> ObjectMetaRef<'a> {
    pub fn id(self) -> ObjectId {
        self.0.id()
    }

    pub fn table(self) -> TableId {
        TableId(self.0.table.to_native())
    }

    pub fn kind(self) -> ObjectKind {
        match self.0.kind {
            TOMBSTONES => ObjectKind::Tombstones,
            CHECKPOINT => ObjectKind::Checkpoint,
            _ => ObjectKind::Rows,
        }
    }

    pub fn schema_version(self) -> i32 {
        self.0.schema_version.to_native()
    }

    pub fn bytes(self) -> u64 {
        self.0.bytes.to_native()
    }

    pub fn footer_offset(self) -> u64 {
        self.0.footer_offset.to_native()
    }

    pub fn footer_crc(self) -> u32 {
        self.0.footer_crc.to_native()
    }

    pub fn blocks(self) -> impl ExactSizeIterator<Item = BlockMetaRef<'a>> + DoubleEndedIterator {
        self.0.blocks.iter().map(BlockMetaRef)
    }

    /// The block of this number, from 0.
    pub fn block(self, number: usize) -> Option<BlockMetaRef<'a>> {
        self.0.blocks.get(number).map(BlockMetaRef)
    }

    /// A copy that stands by itself.
    pub fn to_owned(self) -> ObjectMeta {
        ObjectMeta {
            id: self.id(),
            table: self.table(),
            kind: self.kind(),
            schema_version: self.schema_version(),
            bytes: self.bytes(),
            footer_offset: self.footer_offset(),
            footer_crc: self.footer_crc(),
            blocks: self.blocks().map(BlockMetaRef::to_owned).collect(),
        }
    }
}

#[expect(missing_docs, reason = "the fields of `BlockMeta`")]
impl<'a> BlockMetaRef<'a> {
    pub fn first_row(self) -> u32 {
        self.0.first_row.to_native()
    }

    pub fn rows(self) -> u32 {
        self.0.rows.to_native()
    }

    pub fn low_key(self) -> Option<&'a [u8]> {
        self.0.low_key.as_deref()
    }

    pub fn high_key(self) -> Option<&'a [u8]> {
        self.0.high_key.as_deref()
    }

    pub fn low_commit(self) -> Timestamp {
        timestamp(self.0.low_commit.to_native())
    }

    pub fn high_commit(self) -> Timestamp {
        timestamp(self.0.high_commit.to_native())
    }

    pub fn sorted(self) -> bool {
        self.0.flags & SORTED != 0
    }

    pub fn created(self) -> Timestamp {
        timestamp(self.0.created.to_native())
    }

    pub fn deleted(self) -> Option<Timestamp> {
        self.0.deleted.as_ref().map(|deleted| timestamp(deleted.to_native()))
    }

    pub fn appendable(self) -> bool {
        self.0.flags & APPENDABLE != 0
    }

    pub fn tombstones(self) -> Option<TombstoneRange> {
        self.0.tombstones.as_ref().map(|range| range.range())
    }

    pub fn truncation_point(self) -> Timestamp {
        timestamp(self.0.truncation_point.to_native())
    }

    /// A copy that stands by itself.
    pub fn to_owned(self) -> BlockMeta {
        BlockMeta {
            first_row: self.first_row(),
            rows: self.rows(),
            low_key: self.low_key().map(<[u8]>::to_vec),
            high_key: self.high_key().map(<[u8]>::to_vec),
            low_commit: self.low_commit(),
            high_commit: self.high_commit(),
            sorted: self.sorted(),
            created: self.created(),
            deleted: self.deleted(),
            appendable: self.appendable(),
            tombstones: self.tombstones(),
            truncation_point: self.truncation_point(),
        }
    }
}

/// The timestamp of a number that was checked to be one.
fn timestamp(number: u64) -> Timestamp {
    Timestamp::from_i64(number.cast_signed()).unwrap_or(Timestamp::MAX)
}
