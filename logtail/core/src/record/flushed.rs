//! The records of a flush.

use super::timestamp;
use crate::{
    block_meta::{MetaError, ObjectKind, ObjectMeta, TombstoneRange},
    ids::{RowId, RowsetId, TableId},
    object_id::ObjectId,
    timestamp::Timestamp,
    varint::{self, Reader},
};

/// Objects are going to be written: those that no record of a flush names later are garbage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The table.
    pub table: TableId,
    /// The objects, whose names are in the store from here on at the earliest.
    pub objects: Vec<ObjectId>,
}

/// Rows have moved from memory to objects, which are in the store, or deletes of rows have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// The table.
    pub table: TableId,
    /// When the objects replace the memtables.
    pub timestamp: Timestamp,
    /// The oldest timestamp that can be read from then on.
    pub horizon: Timestamp,
    /// The memtables, which are dropped.
    pub memtables: Vec<RowsetId>,
    /// The objects.
    pub objects: Vec<ObjectMeta>,
    /// Deletes of the flushed rows that are in no tombstone object, at the rows' new places: those that were committed
    /// after the last of them was collected.
    pub deletes: Vec<(RowId, Timestamp)>,
    /// Deletes that leave memory, of flushed rows and of rows of older objects. Of a block that is in several, the last
    /// has all.
    pub tombstones: Vec<Tombstones>,
}

/// Deletes have moved from memory to a tombstone object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstones {
    /// The object.
    pub object: ObjectMeta,
    /// All deletes of the blocks' rows up to this timestamp, inclusive, are in it.
    pub through: Timestamp,
    /// The blocks, in the order in which their tombstones follow each other in the object.
    pub blocks: Vec<BlockTombstones>,
}

/// The tombstones of a block, which replace those that it had in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockTombstones {
    /// The object of the block.
    pub rowset: RowsetId,
    /// Its number in the object.
    pub block: u32,
    /// How many rows of it are deleted, at least one.
    pub count: u32,
}

impl Tombstones {
    /// The blocks with the places of their tombstones.
    pub fn ranges(&self) -> impl Iterator<Item = (BlockTombstones, TombstoneRange)> + '_ {
        let mut next = 0_u32;
        self.blocks.iter().map(move |block| {
            let first = next;
            next = next.saturating_add(block.count);
            (*block, TombstoneRange { object: self.object.id, first, count: block.count })
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.through.to_i64().to_le_bytes());
        varint::put(out, self.blocks.len() as u64);
        for block in &self.blocks {
            varint::put(out, block.rowset.0);
            varint::put(out, u64::from(block.block));
            varint::put(out, u64::from(block.count));
        }
    }

    /// What follows the metadata of the object. `None` for blocks whose tombstones it does not have.
    fn read(object: ObjectMeta, reader: &mut Reader<'_>) -> Option<Self> {
        let through = timestamp(reader)?;
        let blocks = list(reader, 3, |reader| {
            let (rowset, block) = (RowsetId(reader.varint()?), u32::try_from(reader.varint()?).ok()?);
            let count = u32::try_from(reader.varint()?).ok().filter(|count| *count > 0)?;
            Some(BlockTombstones { rowset, block, count })
        })?;
        let rows: u64 = blocks.iter().map(|block| u64::from(block.count)).sum();
        (rows == u64::from(object.rows())).then_some(Self { object, through, blocks })
    }
}

impl Intent {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        varint::put(out, self.table.0);
        write_ids(&self.objects, out);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let table = TableId(reader.varint()?);
        Some(Self { table, objects: read_ids(reader)? })
    }
}

impl Flushed {
    /// The ids of all objects that were written.
    pub fn object_ids(&self) -> impl Iterator<Item = ObjectId> + '_ {
        let tombstones = self.tombstones.iter().map(|tombstones| &tombstones.object);
        self.objects.iter().chain(tombstones).map(|object| object.id)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), MetaError> {
        varint::put(out, self.table.0);
        out.extend(self.timestamp.to_i64().to_le_bytes());
        out.extend(self.horizon.to_i64().to_le_bytes());
        varint::put(out, self.memtables.len() as u64);
        self.memtables.iter().for_each(|memtable| varint::put(out, memtable.0));
        varint::put(out, self.deletes.len() as u64);
        for (row, deleted) in &self.deletes {
            varint::put(out, row.rowset.0);
            varint::put(out, u64::from(row.row));
            // No delete of a row is later than the flush.
            varint::put(out, (self.timestamp.to_i64() - deleted.to_i64()).cast_unsigned());
        }
        write_metas(&self.objects, out)?;
        let tombstones: Vec<_> = self.tombstones.iter().map(|tombstones| &tombstones.object).collect();
        write_metas(tombstones, out)?;
        self.tombstones.iter().for_each(|tombstones| tombstones.write(out));
        Ok(())
    }

    /// Whether the objects are those of a flush of the table.
    fn has_its_objects(&self) -> bool {
        let is_own = |meta: &ObjectMeta, kind| meta.table == self.table && meta.kind == kind;
        self.objects.iter().all(|meta| is_own(meta, ObjectKind::Rows))
            && self.tombstones.iter().all(|tombstones| is_own(&tombstones.object, ObjectKind::Tombstones))
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (table, timestamp, horizon) = (TableId(reader.varint()?), timestamp(reader)?, timestamp(reader)?);
        let memtables = list(reader, 1, |reader| reader.varint().map(RowsetId))?;
        let deletes = list(reader, 3, |reader| {
            let row = RowId { rowset: RowsetId(reader.varint()?), row: u32::try_from(reader.varint()?).ok()? };
            let before = i64::try_from(reader.varint()?).ok()?;
            Some((row, Timestamp::from_i64(timestamp.to_i64().checked_sub(before)?)?))
        })?;
        let (objects, tombstones) = (read_metas(reader)?, read_metas(reader)?);
        let tombstones = tombstones.into_iter().map(|object| Tombstones::read(object, reader));
        let tombstones = tombstones.collect::<Option<_>>()?;
        let flushed = Self { table, timestamp, horizon, memtables, objects, deletes, tombstones };
        flushed.has_its_objects().then_some(flushed)
    }
}

/// A count, and as many ids of objects.
pub(super) fn write_ids(ids: &[ObjectId], out: &mut Vec<u8>) {
    varint::put(out, ids.len() as u64);
    for id in ids {
        out.extend(id.nonce.to_le_bytes());
        varint::put(out, id.number);
    }
}

pub(super) fn read_ids(reader: &mut Reader<'_>) -> Option<Vec<ObjectId>> {
    list(reader, 9, |reader| Some(ObjectId { nonce: u64::from_le_bytes(reader.array()?), number: reader.varint()? }))
}

/// A count, and as many metadata of objects, each behind its length.
pub(super) fn write_metas<'m>(
    metas: impl IntoIterator<Item = &'m ObjectMeta, IntoIter: ExactSizeIterator>,
    out: &mut Vec<u8>,
) -> Result<(), MetaError> {
    let metas = metas.into_iter();
    varint::put(out, metas.len() as u64);
    for meta in metas {
        let bytes = meta.encode()?;
        varint::put(out, bytes.len() as u64);
        out.extend(bytes);
    }
    Ok(())
}

pub(super) fn read_metas(reader: &mut Reader<'_>) -> Option<Vec<ObjectMeta>> {
    list(reader, 32, |reader| {
        let len = reader.len()?;
        ObjectMeta::decode(reader.take(len)?).ok()
    })
}

/// A count and as many items, each of at least `bytes_min`: what is allocated is bounded by what is there.
fn list<'a, T>(
    reader: &mut Reader<'a>,
    bytes_min: usize,
    mut read: impl FnMut(&mut Reader<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let len = reader.len()?;
    let mut items = Vec::with_capacity(len.min(reader.0.len() / bytes_min));
    for _ in 0..len {
        items.push(read(reader)?);
    }
    Some(items)
}
