//! The archive: what is stored of an object's metadata.

use rkyv::{Archive, Serialize};

use super::{BlockMeta, ObjectKind, ObjectMeta, TombstoneRange};
use crate::{object_id::ObjectId, timestamp::Timestamp};

/// An object. Widest fields first, so that the archive has no holes.
#[derive(Archive, Serialize)]
pub(super) struct StoredObject {
    id: ObjectId,
    pub(super) table: u64,
    pub(super) bytes: u64,
    pub(super) footer_offset: u64,
    pub(super) footer_crc: u32,
    pub(super) schema_version: i32,
    pub(super) blocks: Vec<StoredBlock>,
    pub(super) kind: u8,
}

/// A block.
#[derive(Archive, Serialize)]
pub(super) struct StoredBlock {
    pub(super) low_commit: u64,
    pub(super) high_commit: u64,
    pub(super) created: u64,
    pub(super) truncation_point: u64,
    pub(super) deleted: Option<u64>,
    pub(super) tombstones: Option<StoredTombstones>,
    pub(super) first_row: u32,
    pub(super) rows: u32,
    pub(super) low_key: Option<Vec<u8>>,
    pub(super) high_key: Option<Vec<u8>>,
    pub(super) flags: u8,
}

/// Rows of a tombstone object.
#[derive(Archive, Serialize)]
pub(super) struct StoredTombstones {
    object: ObjectId,
    first: u32,
    count: u32,
}

pub(super) const ROWS: u8 = 0;
pub(super) const TOMBSTONES: u8 = 1;
pub(super) const CHECKPOINT: u8 = 2;

/// Flags of a block; the other bits are 0.
pub(super) const SORTED: u8 = 1;
pub(super) const APPENDABLE: u8 = 2;

impl From<&ObjectMeta> for StoredObject {
    fn from(meta: &ObjectMeta) -> Self {
        Self {
            id: meta.id,
            table: meta.table.0,
            bytes: meta.bytes,
            footer_offset: meta.footer_offset,
            footer_crc: meta.footer_crc,
            schema_version: meta.schema_version,
            blocks: meta.blocks.iter().map(Into::into).collect(),
            kind: match meta.kind {
                ObjectKind::Rows => ROWS,
                ObjectKind::Tombstones => TOMBSTONES,
                ObjectKind::Checkpoint => CHECKPOINT,
            },
        }
    }
}

impl From<&BlockMeta> for StoredBlock {
    fn from(meta: &BlockMeta) -> Self {
        let flag = |is: bool, flag| if is { flag } else { 0 };
        Self {
            low_commit: number(meta.low_commit),
            high_commit: number(meta.high_commit),
            created: number(meta.created),
            truncation_point: number(meta.truncation_point),
            deleted: meta.deleted.map(number),
            tombstones: meta.tombstones.map(|range| StoredTombstones {
                object: range.object,
                first: range.first,
                count: range.count,
            }),
            first_row: meta.first_row,
            rows: meta.rows,
            low_key: meta.low_key.clone(),
            high_key: meta.high_key.clone(),
            flags: flag(meta.sorted, SORTED) | flag(meta.appendable, APPENDABLE),
        }
    }
}

impl ArchivedStoredObject {
    pub(super) fn id(&self) -> ObjectId {
        object_id(&self.id)
    }
}

impl ArchivedStoredTombstones {
    pub(super) fn range(&self) -> TombstoneRange {
        TombstoneRange { object: object_id(&self.object), first: self.first.to_native(), count: self.count.to_native() }
    }
}

fn object_id(id: &rkyv::Archived<ObjectId>) -> ObjectId {
    ObjectId { nonce: id.nonce.to_native(), number: id.number.to_native() }
}

fn number(timestamp: Timestamp) -> u64 {
    timestamp.to_i64().cast_unsigned()
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// The sizes and offsets that `logtail/FORMAT.md` states.
    #[test]
    fn the_archive_lies_as_documented() {
        type Object = ArchivedStoredObject;
        type Block = ArchivedStoredBlock;
        assert_eq!((size_of::<Object>(), align_of::<Object>()), (64, 8));
        assert_eq!((size_of::<Block>(), align_of::<Block>()), (120, 8));
        let object = [
            offset_of!(Object, id),
            offset_of!(Object, table),
            offset_of!(Object, bytes),
            offset_of!(Object, footer_offset),
            offset_of!(Object, footer_crc),
            offset_of!(Object, schema_version),
            offset_of!(Object, blocks),
            offset_of!(Object, kind),
        ];
        assert_eq!(object, [0, 16, 24, 32, 40, 44, 48, 56]);
        let block = [
            offset_of!(Block, low_commit),
            offset_of!(Block, high_commit),
            offset_of!(Block, created),
            offset_of!(Block, truncation_point),
            offset_of!(Block, deleted),
            offset_of!(Block, tombstones),
            offset_of!(Block, first_row),
            offset_of!(Block, rows),
            offset_of!(Block, low_key),
            offset_of!(Block, high_key),
            offset_of!(Block, flags),
        ];
        assert_eq!(block, [0, 8, 16, 24, 32, 48, 80, 84, 88, 100, 112]);
    }
}
