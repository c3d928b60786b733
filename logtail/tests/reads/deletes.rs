//! Deletes of rows of objects, whose tombstones are in objects too.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int64Array, RecordBatch,
    cast::AsArray,
    types::{UInt32Type, UInt64Type},
};
use arrow_schema::DataType;
use logboom_logtail::{Error, NewColumn, Projection, RowId, RowsetId, TableId, Tail, Timestamp};

use crate::{
    counting::Counting,
    shop::{Shop, create, upsert},
};

fn rows(ids: std::ops::Range<i64>) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
    RecordBatch::try_from_iter([("id", ids)]).unwrap()
}

/// The places of all rows, in the order of a scan.
fn places(tail: &Tail, table: TableId, at: Timestamp) -> Vec<RowId> {
    let mut projection = Projection::of(Vec::<&str>::new());
    projection.row_ids = true;
    let of_batch = |rows: RecordBatch| {
        let (rowsets, rows) = (rows["_rowset"].as_primitive::<UInt64Type>(), rows["_row"].as_primitive::<UInt32Type>());
        let place = |(rowset, row): (&u64, &u32)| RowId { rowset: RowsetId(*rowset), row: *row };
        rowsets.values().iter().zip(rows.values()).map(place).collect::<Vec<_>>()
    };
    tail.scan(table, at, projection).unwrap().flat_map(|rows| of_batch(rows.unwrap())).collect()
}

/// Whether rows are deleted already is looked up in the tombstones of their blocks, of each of which once.
#[test]
fn deletes_of_many_rows_read_tombstones_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut shop = Shop::new(dir.path(), Counting::new().choice());
    shop.options.tombstone_cache_bytes = 0; // so that each look at a block is a read
    let tail = shop.open();
    let table = create(&tail, vec![NewColumn::required("id", DataType::Int64)], &[]);
    // Two objects of three blocks.
    for first in [0, 20_000] {
        upsert(&tail, table, &rows(first..first + 20_000));
        tail.flush(table).unwrap();
    }
    let all = places(&tail, table, tail.watermark());
    let delete = |rows: &[RowId]| {
        let mut transaction = tail.begin();
        transaction.delete_rows(table, rows).unwrap();
        transaction.commit()
    };
    let third: Vec<RowId> = all.iter().step_by(3).copied().collect();
    let before = tail.watermark();
    delete(&third).unwrap();
    tail.flush(table).unwrap();
    assert_eq!(tail.metrics().tables[0].tombstone_objects, 1);
    // Deleted once, by whomever.
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..5 {
        let gone = third[rng.usize(..third.len())];
        let error = delete(&[all[rng.usize(..1000) * 3 + 1], gone]).unwrap_err();
        assert!(matches!(error, Error::NoRow { row, .. } if row == gone), "{error:?}");
    }
    let looks = || tail.metrics().read_page_hits + tail.metrics().read_page_misses;
    let mut more: Vec<RowId> = all.iter().skip(1).step_by(3).copied().collect();
    rng.shuffle(&mut more);
    let read = looks();
    delete(&more).unwrap();
    // An object's tombstones are in two blocks of four columns.
    assert!(looks() - read <= 2 * 2 * 4, "{} ranges were looked at for {} rows", looks() - read, more.len());
    let left: Vec<RowId> = all.iter().skip(2).step_by(3).copied().collect();
    assert_eq!(places(&tail, table, tail.watermark()), left);
    assert_eq!(places(&tail, table, before), all);
}
