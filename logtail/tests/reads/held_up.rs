//! Flushes whose reads the store does not answer.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;
use logboom_logtail::{NewColumn, NewTable, TableId, Tail};

use crate::{
    counting::Counting,
    shop::{Shop, create, upsert},
};

/// Longer than anything here takes that ends.
const NEVER: Duration = Duration::from_secs(60);

fn keys(ids: std::ops::Range<i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(ids))
}

fn rows(ids: std::ops::Range<i64>) -> RecordBatch {
    RecordBatch::try_from_iter([("id", keys(ids))]).unwrap()
}

fn delete(tail: &Tail, table: TableId, id: i64) {
    let mut transaction = tail.begin();
    transaction.delete(table, &[keys(id..id + 1)]).unwrap();
    transaction.commit().unwrap();
}

/// A flush of rows and deletes reads the tombstones of blocks that have some behind the last object. While the store
/// does not answer, as many tables wait for it as are flushed at a time: others are flushed all the same, and the tail
/// ends.
#[test]
fn a_flush_that_reads_tombstones_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Counting::new();
    let mut shop = Shop::new(dir.path(), store.choice());
    let tail = shop.open();
    let first = create(&tail, vec![NewColumn::required("id", DataType::Int64)], &["id"]);
    let database = tail.catalog(tail.watermark()).unwrap().find_database("shop").unwrap();
    let more = |name: &str| {
        let columns = vec![NewColumn::required("id", DataType::Int64)];
        tail.create_table(database, NewTable { name: name.into(), columns, key: vec!["id".into()] }).unwrap()
    };
    let (second, other) = (more("second"), more("other"));
    for table in [first, second] {
        upsert(&tail, table, &rows(0..10));
        tail.flush(table).unwrap();
        delete(&tail, table, 1);
        tail.flush(table).unwrap();
        delete(&tail, table, 2);
        upsert(&tail, table, &rows(20..30));
    }
    tail.close().unwrap();

    store.hold_gets(true);
    shop.options.threads = true;
    shop.options.flush.age = Duration::ZERO;
    let tail = shop.open();
    let began = Instant::now();
    let wait_for = |what: &str, is_so: &dyn Fn() -> bool| {
        while !is_so() {
            if began.elapsed() > NEVER {
                // So that the tail ends.
                store.hold_gets(false);
                panic!("this does not come: {what}");
            }
            thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for("both read tombstones", &|| store.held_gets() >= 2);
    upsert(&tail, other, &rows(0..10));
    wait_for("the other table is flushed", &|| tail.version(other).unwrap().memtables().is_empty());
    assert!([first, second].iter().all(|table| !tail.version(*table).unwrap().memtables().is_empty()));

    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        drop(tail);
        ended.send(())
    });
    let ended = end.recv_timeout(NEVER);
    store.hold_gets(false);
    ended.expect("the tail ends");
}
