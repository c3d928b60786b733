//! Checkpoint objects: Parquet files with an item a row.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{ArrayRef, BinaryArray, Int8Array, Int64Array, RecordBatch, cast::AsArray, types};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use logboom_logtail_blocks::{ObjectSpec, ObjectWriter, Scan, ScanRequest, Step, WriteOptions, WrittenObject};
use logboom_logtail_core::{
    ObjectId, TableId, Timestamp,
    block_meta::{ObjectKind, ObjectMeta},
    catalog::FIELD_ID,
    checkpoint::Item,
};

use crate::{
    error::{Error, Result},
    store::Store,
};

/// Encodes the items of a checkpoint, in their order.
pub(crate) fn encode(id: ObjectId, items: &[Item], options: &WriteOptions) -> Result<WrittenObject> {
    let spec = ObjectSpec {
        id,
        table: TableId(0),
        schema_version: 1,
        kind: ObjectKind::Checkpoint,
        schema: schema(),
        key: Vec::new(),
        sorted: false,
    };
    let mut options = options.clone();
    // A checkpoint is one object.
    options.object_bytes = u64::MAX;
    let mut writer = ObjectWriter::new(spec, options)?;
    let mut written = 0;
    while written < items.len() {
        let encoded = encode_some(&items[written..])?;
        let items = encoded.len();
        written += items;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int8Array::from_iter_values(encoded.iter().map(|(kind, ..)| *kind))),
            Arc::new(Int64Array::from_iter_values(encoded.iter().map(|(_, table, _)| table.0.cast_signed()))),
            Arc::new(BinaryArray::from_iter_values(encoded.iter().map(|(.., bytes)| bytes))),
        ];
        let commits = Int64Array::from_value(Timestamp::ZERO.to_i64(), items);
        writer.write(&RecordBatch::try_new(schema(), columns)?, &commits)?;
    }
    let object = writer.finish()?;
    if object.meta.rows() as usize != items.len() {
        return Err(Error::Bug(format!("a checkpoint of {} items does not fit an object", items.len())));
    }
    Ok(object)
}

/// Bytes of items from which on the next ones are another batch: an array of Arrow has at most 2 GiB of them, and a
/// block is made of batches.
const BATCH_BYTES: usize = 16 << 20;
/// The most items of a batch.
const BATCH_ITEMS: usize = 1024;

/// Encodes the first of some items, one at least.
fn encode_some(items: &[Item]) -> Result<Vec<(i8, TableId, Vec<u8>)>> {
    let (mut encoded, mut bytes) = (Vec::new(), 0);
    for item in items.iter().take(BATCH_ITEMS) {
        let item = item.encode().map_err(Error::Meta)?;
        bytes += item.2.len();
        encoded.push(item);
        if bytes >= BATCH_BYTES {
            break;
        }
    }
    Ok(encoded)
}

/// The items of a checkpoint object, in their order.
pub(crate) fn read(store: &Store, meta: &ObjectMeta) -> Result<Vec<Item>> {
    let footer = store.footer(meta)?;
    let mut scan = Scan::new(&footer, meta, ScanRequest::new(schema(), 0..meta.blocks.len()))?;
    let mut items = Vec::new();
    while let Step::Batch(batch) = store.step(&footer, meta, &mut scan)? {
        let [kinds, tables, bytes] = batch.rows.columns() else { continue };
        let kinds = kinds.as_primitive::<types::Int8Type>();
        let tables = tables.as_primitive::<types::Int64Type>();
        let bytes = bytes.as_binary::<i32>();
        for row in 0..batch.rows.num_rows() {
            let table = TableId(tables.value(row).cast_unsigned());
            items.push(Item::decode(kinds.value(row), table, bytes.value(row)).map_err(Error::Item)?);
        }
    }
    Ok(items)
}

fn schema() -> SchemaRef {
    let field = |id: i32, name: &str, data_type| {
        let metadata = HashMap::from([(FIELD_ID.to_owned(), id.to_string())]);
        Field::new(name, data_type, false).with_metadata(metadata)
    };
    let columns = [("kind", DataType::Int8), ("table", DataType::Int64), ("content", DataType::Binary)];
    let fields = (1..).zip(columns).map(|(id, (name, data_type))| field(id, name, data_type));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
