//! Deletes of rows of objects, whose tombstones are in objects too.

use std::{sync::Arc, time::Duration};

use arrow_array::{
    ArrayRef, Int64Array, RecordBatch,
    cast::AsArray,
    types::{UInt32Type, UInt64Type},
};
use arrow_schema::DataType;
use logboom::{Durability, Engine, EntryId, ShardId};
use logboom_logtail::{Error, Filter, NewColumn, Op, Projection, RowId, RowsetId, TableId, Tail, Timestamp};
use logboom_logtail_blocks::ReadError;
use logboom_logtail_core::record::{self, Flushed, Record};

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

/// A flush takes the deletes of its rows from memory. They are as near as they were: who looks for them reads nothing.
#[test]
fn deletes_of_flushed_rows_are_not_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Counting::new();
    let mut shop = Shop::new(dir.path(), store.choice());
    shop.options.history = Duration::from_secs(3600);
    shop.options.flush.age = shop.options.history;
    let tail = shop.open();
    let table = create(&tail, vec![NewColumn::required("id", DataType::Int64)], &[]);
    for first in (0..300_000).step_by(50_000) {
        upsert(&tail, table, &rows(first..first + 50_000));
    }
    let before = tail.watermark();
    for gone in places(&tail, table, before)[..290_000].chunks(10_000) {
        let mut transaction = tail.begin();
        transaction.delete_rows(table, gone).unwrap();
        transaction.commit().unwrap();
    }
    tail.flush(table).unwrap();
    // More than go to one object.
    assert_eq!(tail.metrics().tables[0].tombstone_objects, 2);
    let (first, now) = (places(&tail, table, before), tail.watermark());
    assert_eq!((first.len(), places(&tail, table, now).len()), (300_000, 10_000));
    let mut transaction = tail.begin();
    transaction.delete_rows(table, &first[70_000..70_001]).unwrap();
    assert!(matches!(transaction.commit(), Err(Error::NoRow { .. })));
    let version = tail.version(table).unwrap();
    let ids: Vec<String> = version.objects()[0].tombstones().iter().map(|object| object.id.to_string()).collect();
    assert!(!store.take().iter().any(|get| ids.iter().any(|id| get.name.as_str().contains(id))), "{ids:?}");
    assert!(!ids.is_empty() && version.objects().iter().all(|object| object.dirty_blocks().is_empty()));
    tail.close().unwrap();
    let tail = shop.open();
    assert_eq!((places(&tail, table, before).len(), places(&tail, table, now).len()), (300_000, 10_000));
}

/// Copies the records of a shard to another one, and changes those of flushes.
fn copy(engine: &Engine, from: ShardId, to: ShardId, change: impl Fn(&mut Flushed)) {
    let shard = engine.shard(from);
    let (first, end) = (shard.first().unwrap(), shard.next().unwrap());
    for index in first..end {
        let entries = shard.entries(index..index + 1, 1 << 20).unwrap();
        let payload = entries.get(index).unwrap().payload;
        let changed = match Record::decode(payload).unwrap() {
            (position, Record::Flushed(mut flushed)) => {
                change(&mut flushed);
                record::flushed(position, &flushed).unwrap()
            }
            _ => payload.to_vec(),
        };
        let mut batch = engine.batch();
        batch.append_payload(to, EntryId { index, term: shard.term(index).unwrap() }, &changed).unwrap();
        engine.try_submit(batch, Durability::Durable).unwrap().wait().unwrap();
    }
}

/// Metadata may name tombstones that are those of another block: its rows are not given, those of others are.
#[test]
fn tombstones_of_other_rows_are_no_tombstones() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::new(dir.path(), Counting::new().choice());
    let tail = shop.open();
    let table = create(&tail, vec![NewColumn::required("id", DataType::Int64)], &["id"]);
    for first in [0, 100, 200] {
        upsert(&tail, table, &rows(first..first + 100));
        tail.flush(table).unwrap();
    }
    // Rows of the first two objects, at the same positions.
    let keys = |ids: &[i64]| -> Vec<ArrayRef> { vec![Arc::new(Int64Array::from(ids.to_vec()))] };
    let mut transaction = tail.begin();
    transaction.delete(table, &keys(&[1, 2, 101, 102])).unwrap();
    let at = transaction.commit().unwrap();
    tail.flush(table).unwrap();
    let objects: Vec<_> = tail.version(table).unwrap().objects().iter().map(|object| object.meta().id).collect();
    tail.close().unwrap();

    let swapped = |flushed: &mut Flushed| {
        for tombstones in &mut flushed.tombstones {
            let [first, second] = tombstones.blocks.as_mut_slice() else { panic!("they are of two blocks") };
            std::mem::swap(&mut first.rowset, &mut second.rowset);
        }
    };
    let moved = |flushed: &mut Flushed| {
        for tombstones in &mut flushed.tombstones {
            (tombstones.blocks[0].count, tombstones.blocks[1].count) = (3, 1);
        }
    };
    for (shard, change) in [(ShardId(2), &swapped as &dyn Fn(&mut Flushed)), (ShardId(3), &moved)] {
        copy(&shop.engine, ShardId(1), shard, change);
        let tail = Tail::open(&shop.engine, shard, shop.options.clone()).unwrap();
        let check = |error: Error| {
            let Error::Object(ReadError::Tombstones { object, block: 0, .. }) = error else { panic!("{error:?}") };
            assert_eq!(object, objects[0]);
        };
        check(tail.scan(table, at, Projection::default()).unwrap().find_map(Result::err).unwrap());
        check(tail.get(table, at, &keys(&[250, 5]), &Projection::default()).unwrap_err());
        let mut transaction = tail.begin();
        transaction.delete(table, &keys(&[5])).unwrap();
        check(transaction.commit().unwrap_err());
        // Other objects, with no tombstones.
        let rest = tail.scan(table, at, Filter::new("id", Op::GreaterOrEqual, 200)).unwrap();
        assert_eq!(rest.map(|rows| rows.unwrap().num_rows()).sum::<usize>(), 100);
        let found = tail.get(table, at, &keys(&[250, 300]), &Projection::default()).unwrap();
        assert_eq!(found.positions, [Some(0), None]);
        tail.close().unwrap();
    }
}
