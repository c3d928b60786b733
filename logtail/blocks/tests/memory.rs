//! What the writer of a wide table holds, by an allocator that counts.

use std::{alloc::System, collections::HashMap, sync::Arc};

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use logboom_logtail_blocks::{ObjectSpec, ObjectWriter, WriteOptions};
use logboom_logtail_core::{ObjectId, TableId, block_meta::ObjectKind};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const COLUMNS: i32 = 400;
const BLOCK: i64 = 8192;
const MIB: usize = 1 << 20;

/// The bytes that are allocated now.
fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Each block of 400 columns of 8 bytes is 26 MiB. The parquet crate alone would buffer 420 MiB, a row group of 131,072
/// rows; the writer's row groups end at its budget.
#[test]
fn a_table_of_400_columns_is_written_within_a_budget() {
    let field = |id: i32| {
        let metadata = HashMap::from([("PARQUET:field_id".to_owned(), id.to_string())]);
        Field::new(format!("c{id}"), DataType::Int64, false).with_metadata(metadata)
    };
    let schema = Arc::new(Schema::new((0..COLUMNS).map(field).collect::<Vec<_>>()));
    // All columns share one array, so that the rows themselves take little.
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values((0..BLOCK).map(|row| row * 7919)));
    let rows = RecordBatch::try_new(Arc::clone(&schema), vec![column; 400]).unwrap();
    let commits = Int64Array::from_iter_values(0..BLOCK);
    let mut options = WriteOptions::default();
    options.object_bytes = u64::MAX;
    options.row_group_bytes = 64 * MIB;
    let id = ObjectId { nonce: 1, number: 1 };
    let kind = ObjectKind::Rows;
    let spec = ObjectSpec { id, table: TableId(1), schema_version: 1, kind, schema, key: Vec::new(), sorted: false };
    let before = held();
    let mut writer = ObjectWriter::new(spec, options).unwrap();
    for block in 1..=6 {
        writer.write(&rows, &commits).unwrap();
        let held = held() - before;
        // The object, a row group, and a block of rows that waits for more.
        let known = writer.memory_bytes();
        let written = block * 27 * MIB;
        assert!(held <= written + 32 * MIB, "{} MiB after {block} blocks", held / MIB);
        assert!(held <= known + 32 * MIB, "{} MiB, of which the writer knows {}", held / MIB, known / MIB);
        eprintln!("{block} blocks: {} MiB held, {} known", held / MIB, known / MIB);
    }
    let object = writer.finish().unwrap();
    assert_eq!(object.meta.rows(), 6 * 8192);
}
