//! How often rows and keys allocate: by column and as memory grows, never by row.

use std::{alloc::System, sync::Arc};

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, FieldRef};
use bumpalo::Bump;
use logboom_logtail_core::{
    DatabaseId, TableId,
    catalog::{Catalog, Change, NewColumn, NewTable},
    key::KeyEncoder,
    rows::{RowChunk, encode},
    state::Applier,
    transaction::Workspace,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn columns(rows: usize) -> Vec<ArrayRef> {
    vec![
        Arc::new(Int64Array::from(vec![7; rows])),
        Arc::new(Float64Array::from(vec![0.5; rows])),
        Arc::new((0..rows).map(|row| (row % 2 == 1).then_some(9)).collect::<Int32Array>()),
        Arc::new(BooleanArray::from(vec![true; rows])),
        Arc::new(StringArray::from(vec!["some text"; rows])),
    ]
}

fn fields(columns: &[ArrayRef]) -> Vec<FieldRef> {
    columns.iter().map(|column| Arc::new(Field::new("c", column.data_type().clone(), true))).collect()
}

/// The allocations that `work` makes, growth of what is there included.
fn allocations(work: impl FnOnce()) -> usize {
    let region = Region::new(ALLOCATOR);
    work();
    let stats = region.change();
    stats.allocations + stats.reallocations
}

/// One test, since the allocator counts for all threads.
#[test]
fn nothing_allocates_by_row() {
    let mut out = Vec::with_capacity(1 << 20);
    for rows in [1, 1000] {
        let columns = columns(rows);
        out.clear();
        assert_eq!(allocations(|| encode(&columns, 0..rows, &mut out).unwrap()), 0, "{rows} rows");
    }

    let columns = columns(1);
    out.clear();
    encode(&columns, 0..1, &mut out).unwrap();
    let mut chunk = RowChunk::new(&fields(&columns)).unwrap();
    let records = 1 << 13;
    let count = allocations(|| assert!((0..records).all(|_| chunk.append(&out).is_ok())));
    // Five values, one of them with offsets, and a bitmap, each doubled up to 13 times.
    assert!(count <= 7 * 14, "{count} allocations for {records} records");
    assert!(chunk.allocated_bytes() >= records * (8 + 8 + 4 + 4 + 9));

    let columns = self::columns(1000);
    let encoder = KeyEncoder::new(fields(&columns[4..]).iter().map(AsRef::as_ref)).unwrap();
    let count = allocations(|| drop(encoder.encode(&columns[4..]).unwrap()));
    // The list of columns, the ends, and the bytes, doubled from 8 to 16,384.
    assert!(count <= 2 + 12, "{count} allocations for 1000 keys");

    let catalog = Arc::new(catalog());
    let applier = Applier::new();
    let mut arena = Bump::with_capacity(1 << 20);
    let mut of_transaction = |rows: usize| {
        let rows = transaction_rows(&catalog, rows);
        arena.reset();
        allocations(|| {
            let mut workspace = Workspace::new(applier.state().open_newest(), Arc::clone(&catalog));
            workspace.insert(TABLE, &rows).unwrap();
            assert!(workspace.encode(&arena).unwrap().bytes_max() > 8 * rows.num_rows());
        })
    };
    of_transaction(1); // The list of snapshots takes memory once.
    let (few, many) = (of_transaction(1), of_transaction(1000));
    assert_eq!(few, many, "allocations of a transaction of 1 row and of 1000");
}

const TABLE: TableId = TableId(101);

/// A catalog with a table without a key.
fn catalog() -> Catalog {
    let edited = |catalog: &Catalog, change: &Change, new| {
        let edit = catalog.plan(change, new).expect("the change can be made");
        catalog.edited(&edit).expect("the change was planned")
    };
    let catalog = edited(&Catalog::new(), &Change::CreateDatabase { name: "shop".into() }, 100);
    let columns = vec![NewColumn::required("id", DataType::Int64), NewColumn::nullable("name", DataType::Utf8)];
    let table = NewTable { name: "orders".into(), columns, key: Vec::new() };
    edited(&catalog, &Change::CreateTable { database: DatabaseId(100), table }, TABLE.0)
}

fn transaction_rows(catalog: &Catalog, rows: usize) -> RecordBatch {
    let all = columns(rows);
    let columns = vec![Arc::clone(&all[0]), Arc::clone(&all[4])];
    let schema = catalog.table(TABLE).expect("the catalog has the table").arrow().clone();
    RecordBatch::try_new(schema, columns).expect("the columns are the table's")
}
