//! Scans read ahead, each byte once.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use fastrand::Rng;
use logboom_logtail::{Error, Filter, NewColumn, Op, Projection, ScanOptions, TableId, Tail};
use logboom_logtail_blocks::ReadError;
use logboom_logtail_core::store::ObjectName;

use crate::{
    counting::{Counting, Get},
    shop::{Shop, create, upsert},
};

/// A row group, which is a block of some 1000 rows, is about this large.
const GROUP_BYTES: u64 = 70 << 10;

const OBJECT_ROWS: usize = 4 * 8192;

/// A table of so many objects, each of some 33 row groups.
fn table(shop: &mut Shop, objects: i64) -> TableId {
    shop.options.objects.row_group_bytes = 400 << 10;
    let tail = shop.open();
    let columns = vec![NewColumn::required("id", DataType::Int64), NewColumn::required("text", DataType::Utf8)];
    let table = create(&tail, columns, &["id"]);
    let mut rng = Rng::with_seed(9);
    for part in 0..4 * objects {
        let ids: ArrayRef = Arc::new((part * 8192..(part + 1) * 8192).map(Some).collect::<Int64Array>());
        let mut text = || std::iter::repeat_with(|| rng.alphanumeric()).take(60).collect::<String>();
        let texts: ArrayRef = Arc::new((0..8192).map(|_| Some(text())).collect::<StringArray>());
        upsert(&tail, table, &RecordBatch::try_from_iter([("id", ids), ("text", texts)]).unwrap());
        if part % 4 == 3 {
            tail.flush(table).unwrap();
        }
    }
    let version = tail.version(table).unwrap();
    assert_eq!(i64::try_from(version.objects().len()).unwrap(), objects);
    tail.close().unwrap();
    table
}

fn count(tail: &Tail, table: TableId, options: impl Into<ScanOptions>) -> usize {
    tail.scan(table, tail.watermark(), options).unwrap().map(|batch| batch.unwrap().num_rows()).sum()
}

#[test]
fn a_first_scan_asks_for_footers_and_row_groups_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Counting::new();
    let mut shop = Shop::new(dir.path(), store.choice());
    let table = table(&mut shop, 3);
    let mut read = |read_ahead_bytes| {
        shop.options.read_ahead_bytes = read_ahead_bytes;
        let tail = shop.open();
        store.take();
        assert_eq!(count(&tail, table, Projection::default()), 3 * OBJECT_ROWS);
        let mut of_objects: BTreeMap<_, Vec<Get>> = BTreeMap::new();
        for get in store.take() {
            of_objects.entry(get.name.clone()).or_default().push(get);
        }
        for gets in of_objects.values() {
            let mut ranges: Vec<_> = gets.iter().flat_map(|get| get.ranges.clone()).collect();
            ranges.sort_by_key(|range| range.start);
            assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "a byte is read twice: {ranges:?}");
        }
        // What is cached is not asked for again.
        assert_eq!(count(&tail, table, Projection::default()), 3 * OBJECT_ROWS);
        assert_eq!(store.take_bytes(), 0);
        tail.close().unwrap();
        of_objects.values().map(Vec::len).collect::<Vec<_>>()
    };
    let one_by_one = read(0);
    assert!(one_by_one.len() == 3 && one_by_one.iter().all(|gets| (30..40).contains(gets)), "{one_by_one:?}");
    for read_ahead_bytes in [GROUP_BYTES / 2, 3 * GROUP_BYTES, 1 << 30] {
        assert_eq!(read(read_ahead_bytes), one_by_one, "a footer, and a read for each row group");
    }
}

#[test]
fn what_comes_next_is_asked_for_up_to_a_bound() {
    let dir = tempfile::tempdir().unwrap();
    let store = Counting::new();
    let mut shop = Shop::new(dir.path(), store.choice());
    let table = table(&mut shop, 2);
    let mut check = |read_ahead_bytes: u64, groups: std::ops::RangeInclusive<usize>| {
        shop.options.read_ahead_bytes = read_ahead_bytes;
        let tail = shop.open();
        store.take();
        let mut scan = tail.scan(table, tail.watermark(), Projection::default()).unwrap();
        // The first row group, of one batch, and those ahead.
        let one: usize = scan.by_ref().take(1).map(|batch| batch.unwrap().num_rows()).sum();
        let footers = tail.version(table).unwrap();
        let footers: Vec<_> = footers.objects().iter().map(|object| object.meta().footer_range()).collect();
        let asked = store.take().iter().filter(|get| !footers.contains(&get.ranges[0])).count();
        assert!(
            groups.contains(&asked),
            "{asked} row groups are read for one batch, with {read_ahead_bytes} bytes ahead"
        );
        let rest = scan.map(|batch| batch.unwrap().num_rows()).sum::<usize>();
        assert_eq!(one + rest, 2 * OBJECT_ROWS);
        tail.close().unwrap();
    };
    check(0, 1..=1);
    check(GROUP_BYTES / 2, 1..=1);
    check(5 * GROUP_BYTES / 2, 2..=3);
    check(1 << 30, 8..=8);
}

/// A scan that is dropped leaves nothing behind, and one with a filter asks for filters first.
#[test]
fn scans_end_early_and_filters_are_asked_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = Counting::new();
    let mut shop = Shop::new(dir.path(), store.choice());
    let table = table(&mut shop, 2);
    let tail = shop.open();
    store.take();
    assert_eq!(count(&tail, table, Filter::new("id", Op::Equal, 50_000)), 1);
    let bytes = store.take_bytes();
    assert!((GROUP_BYTES / 2..2 * GROUP_BYTES).contains(&bytes), "{bytes}");
    let version = tail.version(table).unwrap();
    let blocks = version.objects().iter().flat_map(|object| &object.meta().blocks);
    let all: Vec<usize> = blocks.map(|block| usize::try_from(block.rows).unwrap()).collect();
    for batches in (0..=all.len()).step_by(11) {
        let tail = shop.open();
        let scan = tail.scan(table, tail.watermark(), Projection::default()).unwrap();
        let seen: Vec<_> = scan.take(batches).map(|batch| batch.unwrap().num_rows()).collect();
        assert_eq!(seen, all[..batches]);
        assert_eq!(count(&tail, table, Projection::default()), 2 * OBJECT_ROWS);
        tail.close().unwrap();
    }
}

/// What is before the damage is given, though the damage was read before that.
#[test]
fn damage_is_named_where_it_is_reached() {
    let dir = tempfile::tempdir().unwrap();
    let store = Counting::new();
    let mut shop = Shop::new(dir.path(), store.choice());
    let table = table(&mut shop, 2);
    let tail = shop.open();
    let version = tail.version(table).unwrap();
    let second = version.objects()[1].meta();
    let name = ObjectName { table, id: second.id }.name();
    for (offset, rows) in [(second.bytes - 20, 0), (5 * GROUP_BYTES / 2, 1)] {
        store.damage(&name, offset);
        let tail = shop.open();
        let mut scan = tail.scan(table, tail.watermark(), Projection::default()).unwrap();
        let mut seen = 0;
        let error = loop {
            match scan.next() {
                Some(Ok(batch)) => seen += batch.num_rows(),
                Some(Err(error)) => break error,
                None => panic!("nothing is damaged"),
            }
        };
        assert!(scan.next().is_none());
        let named = match &error {
            Error::Object(ReadError::Footer { object, .. }) => *object == second.id && rows == 0,
            Error::Object(ReadError::Damaged { object, block, .. }) => {
                let first = usize::try_from(second.blocks[*block].first_row).unwrap();
                *object == second.id && rows > 0 && seen <= OBJECT_ROWS + first
            }
            _ => false,
        };
        assert!(named, "{error:?}");
        assert!(seen >= OBJECT_ROWS + rows, "{seen} rows before {error}");
        tail.close().unwrap();
        store.heal();
    }
}
