//! How fast flushes put their objects.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;
use logboom_logtail::{FlushParts, FlushProgress, NewColumn, TableId, Tail};
use logboom_logtail_core::store::Urgency;

use crate::{
    counting::Counting,
    shop::{Shop, create, upsert},
};

fn rows(ids: std::ops::Range<i64>) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
    RecordBatch::try_from_iter([("id", ids)]).unwrap()
}

/// Flushes a table, to which a row is added before each step.
fn flush_beside_commits(tail: &Tail, table: TableId) {
    let mut flushing = tail.begin_flush(table, FlushParts::ALL).unwrap();
    for id in 1000.. {
        upsert(tail, table, &rows(id..id + 1));
        if flushing.step().unwrap() == FlushProgress::Done {
            return;
        }
    }
}

/// With threads, and while others commit; otherwise as fast as it goes.
#[test]
fn objects_are_put_in_the_background_beside_commits() {
    for (threads, beside) in [(true, Urgency::Background), (false, Urgency::Now)] {
        let (dir, store) = (tempfile::tempdir().unwrap(), Counting::new());
        let mut shop = Shop::new(dir.path(), store.choice());
        shop.options.threads = threads;
        let tail = shop.open();
        let table = create(&tail, vec![NewColumn::required("id", DataType::Int64)], &["id"]);
        let put_as = |expected: Urgency| {
            let urgencies = store.take_urgencies();
            let same = urgencies.iter().all(|urgency| *urgency == expected);
            assert!(!urgencies.is_empty() && same, "threads: {threads}, {urgencies:?}");
        };
        upsert(&tail, table, &rows(0..100));
        flush_beside_commits(&tail, table);
        put_as(beside);
        upsert(&tail, table, &rows(0..100));
        tail.flush(table).unwrap();
        put_as(Urgency::Now);
        tail.close().unwrap();
    }
}
