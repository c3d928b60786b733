//! Bounds of values that are longer than bounds may be.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::DataType;
use logboom_logtail::{Filter, NewColumn, NewTable, Op, Projection, TableId, Tail};
use logboom_logtail_core::key::BOUND_BYTES_MAX;

use crate::machine::Machine;

/// Values that begin alike for longer than bounds are; the last ones with characters that have none above them.
fn value(id: usize) -> String {
    let begin = if id < 250 { "x".repeat(100) } else { "\u{10FFFF}".repeat(25) };
    format!("{begin}{id:05}{}", "y".repeat(2000))
}

fn count(tail: &Tail, table: TableId, filter: Filter) -> usize {
    let batches = tail.scan(table, tail.watermark(), filter).unwrap();
    batches.map(|batch| batch.unwrap().num_rows()).sum()
}

#[test]
fn long_values_have_short_bounds_and_are_found() {
    let machine = Machine::new();
    let process = machine.start();
    let tail = &process.tail;
    let database = tail.create_database("shop").unwrap();
    let columns = vec![NewColumn::required("name", DataType::Utf8), NewColumn::nullable("json", DataType::Utf8)];
    let new = NewTable { name: "papers".into(), columns, key: vec!["name".into()] };
    let table = tail.create_table(database, new).unwrap();
    let values: Vec<String> = (0..300).map(value).collect();
    for part in values.chunks(10) {
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(part));
        let rows = [("name", Arc::clone(&column), false), ("json", column, true)];
        let mut transaction = tail.begin();
        transaction.insert(table, &RecordBatch::try_from_iter_with_nullable(rows).unwrap()).unwrap();
        transaction.commit().unwrap();
    }
    for place in ["in memory", "in an object"] {
        for id in (0..300).step_by(23).chain([249, 250, 299]) {
            for column in ["name", "json"] {
                let equal = Filter::new(column, Op::Equal, value(id).as_str());
                assert_eq!(count(tail, table, equal), 1, "{column} {id} {place}");
                let below = Filter::new(column, Op::Less, value(id).as_str());
                assert_eq!(count(tail, table, below), id, "{column} {id} {place}");
                let above = Filter::new(column, Op::Greater, value(id).as_str());
                assert_eq!(count(tail, table, above), 299 - id, "{column} {id} {place}");
            }
            let key: ArrayRef = Arc::new(StringArray::from(vec![value(id)]));
            let found = tail.get(table, tail.watermark(), &[key], &Projection::default()).unwrap();
            assert_eq!(found.rows.num_rows(), 1, "{id} {place}");
        }
        tail.flush(table).unwrap();
    }
    let version = tail.version(table).unwrap();
    let [object] = version.objects() else { panic!("{version:?}") };
    let meta = object.meta();
    let bounds = meta.blocks.iter().flat_map(|block| block.low_key.iter().chain(&block.high_key));
    assert!(bounds.clone().count() > 0 && bounds.clone().all(|bound| bound.len() <= BOUND_BYTES_MAX));
    // Two columns of 600 KB each.
    let footer = meta.footer_range();
    assert!(meta.bytes > 1 << 20 && footer.end - footer.start < 12 << 10, "{footer:?} of {} bytes", meta.bytes);
}
