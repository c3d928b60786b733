//! Tombstone objects: which rows of other objects are deleted, and since when.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{
    ArrayRef, Int64Array, RecordBatch, UInt32Array, UInt64Array,
    cast::AsArray,
    types::{UInt32Type, UInt64Type},
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use logboom_logtail_core::{ColumnId, ObjectId, TableId, Timestamp, block_meta::ObjectKind, catalog::FIELD_ID};

use crate::{
    error::WriteError,
    options::WriteOptions,
    scan::{Batch, ScanRequest},
    writer::{ObjectSpec, ObjectWriter, WrittenObject},
};

/// A row that is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tombstone {
    /// The object that the row is in.
    pub object: ObjectId,
    /// Its position there.
    pub row: u32,
    /// When it was deleted.
    pub deleted: Timestamp,
}

/// Writes tombstones, sorted by object and row, to memory. A row has one tombstone.
pub struct TombstoneWriter {
    writer: ObjectWriter,
    rows: u32,
    last: Option<(ObjectId, u32)>,
}

impl TombstoneWriter {
    /// Begins a tombstone object of a table.
    ///
    /// # Errors
    /// [`WriteError`] for options that there are not.
    pub fn new(id: ObjectId, table: TableId, options: WriteOptions) -> Result<Self, WriteError> {
        let spec = ObjectSpec {
            id,
            table,
            schema_version: 0,
            kind: ObjectKind::Tombstones,
            schema: schema(),
            key: (1..=3).map(ColumnId).collect(),
            sorted: true,
        };
        Ok(Self { writer: ObjectWriter::new(spec, options)?, rows: 0, last: None })
    }

    /// Appends tombstones. An object that [is full](ObjectWriter::is_full) leaves them out.
    ///
    /// # Errors
    /// [`WriteError::Unsorted`] where one is not above the one before. The object is of no use then.
    pub fn write(&mut self, tombstones: &[Tombstone]) -> Result<(), WriteError> {
        for tombstone in tombstones {
            let place = (tombstone.object, tombstone.row);
            if self.last.is_some_and(|last| last >= place) {
                return Err(WriteError::Unsorted { row: self.rows });
            }
            (self.last, self.rows) = (Some(place), self.rows.saturating_add(1));
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from_iter_values(tombstones.iter().map(|tombstone| tombstone.object.nonce))),
            Arc::new(UInt64Array::from_iter_values(tombstones.iter().map(|tombstone| tombstone.object.number))),
            Arc::new(UInt32Array::from_iter_values(tombstones.iter().map(|tombstone| tombstone.row))),
        ];
        let deleted = Int64Array::from_iter_values(tombstones.iter().map(|tombstone| tombstone.deleted.to_i64()));
        self.writer.write(&RecordBatch::try_new(schema(), columns).map_err(WriteError::Rows)?, &deleted)
    }

    /// Whether the object takes no more tombstones.
    pub fn is_full(&self) -> bool {
        self.writer.is_full()
    }

    /// The object, with at least one tombstone. As [`ObjectWriter::finish`].
    ///
    /// # Errors
    /// [`WriteError::Empty`] without tombstones.
    pub fn finish(self) -> Result<WrittenObject, WriteError> {
        self.writer.finish()
    }
}

impl Tombstone {
    /// A scan of these blocks of a tombstone object, for [`Tombstone::of`].
    pub fn scan(blocks: impl IntoIterator<Item = usize>) -> ScanRequest {
        let mut request = ScanRequest::new(schema(), blocks);
        request.commits = true;
        request
    }

    /// The tombstones of a batch of such a scan; `None` for a batch of another one.
    pub fn of(batch: &Batch) -> Option<Vec<Self>> {
        let [nonces, numbers, rows] = batch.rows.columns() else { return None };
        let (nonces, numbers) = (nonces.as_primitive_opt::<UInt64Type>()?, numbers.as_primitive_opt::<UInt64Type>()?);
        let rows = rows.as_primitive_opt::<UInt32Type>()?;
        let commits = batch.commits.as_ref()?.values();
        let columns = nonces.values().iter().zip(numbers.values()).zip(rows.values().iter().zip(commits));
        let tombstone = |((nonce, number), (row, deleted)): ((&u64, &u64), (&u32, &i64))| {
            let object = ObjectId { nonce: *nonce, number: *number };
            Some(Self { object, row: *row, deleted: Timestamp::from_i64(*deleted)? })
        };
        columns.map(tombstone).collect()
    }
}

/// The columns of a tombstone object.
fn schema() -> SchemaRef {
    let field = |id: i32, name: &str, data_type| {
        let metadata = HashMap::from([(FIELD_ID.to_owned(), id.to_string())]);
        Field::new(name, data_type, false).with_metadata(metadata)
    };
    Arc::new(Schema::new(vec![
        field(1, "nonce", DataType::UInt64),
        field(2, "number", DataType::UInt64),
        field(3, "row", DataType::UInt32),
    ]))
}
