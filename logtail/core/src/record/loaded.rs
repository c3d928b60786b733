//! The record of a bulk load.

use super::{
    flushed::{read_metas, write_metas},
    timestamp,
};
use crate::{
    block_meta::{MetaError, ObjectKind, ObjectMeta},
    ids::TableId,
    timestamp::Timestamp,
    varint::{self, Reader},
};

/// The longest record without the metadata of objects: version, kind, position, table, timestamp, count.
pub(crate) const HEAD_BYTES_MAX: usize = 2 + 2 * varint::BYTES_MAX + varint::BYTES_MAX + 8 + varint::BYTES_MAX;

/// Rows of a bulk load, which are in objects that are in the store: a transaction of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The table.
    pub table: TableId,
    /// When the rows commit, once the record is committed. Metadata of the objects state it for each block.
    pub timestamp: Timestamp,
    /// The objects.
    pub objects: Vec<ObjectMeta>,
}

impl Loaded {
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), MetaError> {
        varint::put(out, self.table.0);
        out.extend(self.timestamp.to_i64().to_le_bytes());
        write_metas(&self.objects, out)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (table, timestamp) = (TableId(reader.varint()?), timestamp(reader)?);
        let loaded = Self { table, timestamp, objects: read_metas(reader)? };
        loaded.objects.iter().all(|object| loaded.has(object)).then_some(loaded)
    }

    /// Whether an object is of the table, and its rows commit with the record: they do not say it themselves.
    fn has(&self, object: &ObjectMeta) -> bool {
        let mut times = object.blocks.iter().flat_map(|block| [block.low_commit, block.high_commit]);
        object.table == self.table && object.kind == ObjectKind::Rows && times.all(|at| at == self.timestamp)
    }
}
