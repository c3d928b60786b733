//! Rows by their keys, at each timestamp, from memory and from objects.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{
    Array, ArrayRef, Int64Array, RecordBatch, StringArray,
    cast::AsArray,
    types::{Int64Type, UInt64Type},
};
use arrow_schema::DataType;
use fastrand::Rng;
use logboom_logtail::{
    Change, ColumnError, Error, NewColumn, OperationError, Projection, RowsByKey, TableId, Tail, Timestamp,
};

use crate::{
    counting::{Counting, Get},
    shop::{Shop, create, upsert},
};

fn columns() -> Vec<NewColumn> {
    vec![NewColumn::required("id", DataType::Int64), NewColumn::nullable("text", DataType::Utf8)]
}

fn keys(ids: &[i64]) -> Vec<ArrayRef> {
    vec![Arc::new(Int64Array::from(ids.to_vec()))]
}

fn batch(rows: &[(i64, Option<String>)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>());
    let texts: ArrayRef = Arc::new(rows.iter().map(|row| row.1.clone()).collect::<StringArray>());
    RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("text", texts, true)]).unwrap()
}

/// The rows of `ids` by their order.
fn texts(found: &RowsByKey, ids: &[i64]) -> Vec<Option<Option<String>>> {
    assert_eq!(found.positions.len(), ids.len());
    assert_eq!(found.rows.num_rows(), found.positions.iter().flatten().count());
    assert!(found.positions.iter().flatten().is_sorted(), "the rows are in the order of the keys");
    let text = |(at, id): (usize, &i64)| {
        let row = found.row(at)?;
        assert_eq!(row["id"].as_primitive::<Int64Type>().values(), &[*id]);
        let text = row["text"].as_string::<i32>();
        Some(text.is_valid(0).then(|| text.value(0).to_owned()))
    };
    ids.iter().enumerate().map(text).collect()
}

fn get(tail: &Tail, table: TableId, at: Timestamp, ids: &[i64]) -> RowsByKey {
    tail.get(table, at, &keys(ids), &Projection::default()).unwrap()
}

#[test]
fn keys_have_the_rows_of_their_time() {
    let seeds = std::env::var("LOGBOOM_SEED").map_or(0..8, |seed| {
        let seed = seed.parse().unwrap();
        seed..seed + 1
    });
    for seed in seeds {
        println!("LOGBOOM_SEED={seed}");
        let mut rng = Rng::with_seed(seed);
        let dir = tempfile::tempdir().unwrap();
        let shop = Shop::new(dir.path(), Counting::new().choice());
        let mut tail = shop.open();
        let table = create(&tail, columns(), &["id"]);
        let (mut model, mut seen) = (BTreeMap::new(), Vec::new());
        for version in 0..30 {
            let mut transaction = tail.begin();
            // Several versions of most keys; all of them in few objects.
            let changed: Vec<_> = (0..rng.usize(1..40))
                .map(|_| (rng.i64(0..100), (rng.u8(0..5) > 0).then(|| format!("{version}"))))
                .collect();
            transaction.upsert(table, &batch(&changed)).unwrap();
            let gone: Vec<_> = (0..rng.usize(0..8)).map(|_| rng.i64(0..100)).collect();
            transaction.delete(table, &keys(&gone)).unwrap();
            let at = transaction.commit().unwrap();
            model.extend(changed);
            gone.iter().for_each(|id| drop(model.remove(id)));
            seen.push((at, model.clone()));
            match rng.u8(0..10) {
                0..2 => tail.flush(table).unwrap(),
                2 => {
                    tail.close().unwrap();
                    tail = shop.open();
                }
                _ => {}
            }
            if version % 5 == 4 {
                for (at, expected) in &seen {
                    // Also some twice, and some that never were.
                    let ids: Vec<_> = (0..60).map(|_| rng.i64(-5..105)).collect();
                    let found = texts(&get(&tail, table, *at, &ids), &ids);
                    let expected: Vec<_> = ids.iter().map(|id| expected.get(id).cloned()).collect();
                    assert_eq!(found, expected, "{ids:?} at {at}");
                }
            }
        }
        assert_eq!(get(&tail, table, tail.watermark(), &[]).rows.num_rows(), 0);
    }
}

#[test]
fn a_key_takes_one_block() {
    let dir = tempfile::tempdir().unwrap();
    let store = Counting::new();
    let shop = Shop::new(dir.path(), store.choice());
    let tail = shop.open();
    let table = create(&tail, columns(), &["id"]);
    let mut rng = Rng::with_seed(3);
    let mut pad = || std::iter::repeat_with(|| rng.alphanumeric()).take(100).collect::<String>();
    for first in (0..16).map(|part| part * 5000) {
        upsert(&tail, table, &batch(&(first..first + 5000).map(|id| (2 * id, Some(pad()))).collect::<Vec<_>>()));
    }
    tail.flush(table).unwrap();
    tail.close().unwrap();
    // 80,000 even keys in ten blocks, whose texts are nearly all of their bytes.
    let read = |ids: &[i64]| {
        let tail = shop.open(); // with empty caches
        store.take();
        let found = get(&tail, table, tail.watermark(), ids).rows.num_rows();
        let bytes = store.take().iter().map(Get::bytes).sum::<u64>();
        tail.close().unwrap();
        (found, bytes)
    };
    let block = 8192 * 108;
    assert!((1..10).contains(&(read(&[2 * 40_000]).1 / (block / 3))), "{:?} of {block} bytes", read(&[2 * 40_000]));
    let (found, two) = read(&[0, 2, 159_998]);
    assert_eq!(found, 2 + 1);
    assert!((2 * block..3 * block).contains(&two), "{two}");
    // Of absent keys beyond the bounds nothing is read; of others the filter, and of the few for which it errs the
    // key's column.
    assert_eq!(read(&[-2, 160_000]), (0, 0));
    let tail = shop.open();
    store.take();
    let no_columns = Projection::of(Vec::<&str>::new());
    assert_eq!(tail.get(table, tail.watermark(), &keys(&[2 * 40_000]), &no_columns).unwrap().rows.num_rows(), 1);
    let metrics = tail.metrics();
    assert!(metrics.read_page_misses > 1, "the filter and the key's column");
    assert_eq!(metrics.read_page_hits, 0, "each asked for once");
    tail.close().unwrap();
    let (found, none) = read(&[4243]);
    assert!(found == 0 && none < block / 2, "{none}");
    let absent: Vec<i64> = (0..20_000).map(|id| 4 * id + 1).collect();
    let (found, err) = read(&absent);
    assert_eq!(found, 0);
    assert!(err > none, "of 20,000 keys a filter lets some pass: {err}, {none}");
    assert!(err < 2 * block, "the texts are not read: {err}");
}

#[test]
fn rows_have_the_columns_of_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::new(dir.path(), Counting::new().choice());
    let tail = shop.open();
    let table = create(&tail, columns(), &["id"]);
    let first = upsert(&tail, table, &batch(&[(1, Some("one".into())), (2, None)]));
    tail.flush(table).unwrap();
    upsert(&tail, table, &batch(&[(3, Some("three".into()))]));
    tail.change(&Change::AddColumn { table, column: NewColumn::nullable("extra", DataType::Int64) }).unwrap();
    for _ in 0..2 {
        let mut projection = Projection::of(["id", "extra"]);
        (projection.row_ids, projection.commit_timestamps) = (true, true);
        let found = tail.get(table, tail.watermark(), &keys(&[3, 1, 1]), &projection).unwrap();
        let names: Vec<_> = found.rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["id", "extra", "_rowset", "_row", "_commit_ts"]);
        assert_eq!(found.rows["id"].as_primitive::<Int64Type>().values(), &[3, 1, 1]);
        assert_eq!(found.rows["extra"].null_count(), 3);
        let rowsets = found.rows["_rowset"].as_primitive::<UInt64Type>().values();
        assert!(rowsets[0] != rowsets[1] && rowsets[1] == rowsets[2], "{rowsets:?}");
        let commits = found.rows["_commit_ts"].as_primitive::<Int64Type>().values();
        assert_eq!(commits[1..], [first.to_i64(); 2]);
        tail.flush(table).unwrap();
    }
    let before = tail.get(table, first, &keys(&[1, 3]), &Projection::default()).unwrap();
    assert_eq!((before.rows.num_columns(), before.positions), (2, vec![Some(0), None]));
}

#[test]
fn what_is_no_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::new(dir.path(), Counting::new().choice());
    let tail = shop.open();
    let table = create(&tail, columns(), &["id"]);
    let get = |table, keys: &[ArrayRef], projection| tail.get(table, tail.watermark(), keys, &projection).unwrap_err();
    let text: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
    let null: ArrayRef = Arc::new(Int64Array::from(vec![None]));
    for keys in [vec![text], vec![null], vec![], [keys(&[1]), keys(&[2])].concat()] {
        let error = get(table, &keys, Projection::default());
        assert!(matches!(error, Error::Operation(OperationError::Key { .. })), "{error:?}");
    }
    let error = get(table, &keys(&[1]), Projection::of(["none"]));
    assert!(matches!(error, Error::Column(ColumnError::Absent { .. })), "{error:?}");
    let error = get(TableId(999), &keys(&[1]), Projection::default());
    assert!(matches!(error, Error::NoTable { .. }), "{error:?}");
    let database = tail.catalog(tail.watermark()).unwrap().find_database("shop").unwrap();
    let without = logboom_logtail::NewTable { name: "lines".into(), columns: columns(), key: Vec::new() };
    let without = tail.create_table(database, without).unwrap();
    let error = get(without, &keys(&[1]), Projection::default());
    assert!(matches!(error, Error::Operation(OperationError::NoKey(_))), "{error:?}");
}

/// Whether a key is there can be asked without any column.
#[test]
fn keys_are_looked_for_without_columns() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::new(dir.path(), Counting::new().choice());
    let tail = shop.open();
    let table = create(&tail, columns(), &["id"]);
    let mut transaction = tail.begin();
    transaction.insert(table, &batch(&[(1, None), (3, None)])).unwrap();
    let at = transaction.commit().unwrap();
    for _ in 0..2 {
        let found = tail.get(table, at, &keys(&[3, 2, 1]), &Projection::of(Vec::<&str>::new())).unwrap();
        assert_eq!((found.rows.num_rows(), found.rows.num_columns()), (2, 0));
        assert_eq!(found.positions, [Some(0), None, Some(1)]);
        tail.flush(table).unwrap();
    }
}
