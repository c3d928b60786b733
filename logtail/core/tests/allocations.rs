//! How often rows and keys allocate: by column and as memory grows, never by row.

use std::{alloc::System, sync::Arc};

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray};
use arrow_schema::{Field, FieldRef};
use logboom_logtail_core::{
    key::KeyEncoder,
    rows::{RowChunk, encode},
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
}
