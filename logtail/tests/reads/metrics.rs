//! Metrics say what happened, and what there is.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use logboom_logtail::{CheckpointKind, Error, NewColumn, Projection, TableId, TableMetrics, Tail};

use crate::{
    counting::Counting,
    shop::{Shop, create, upsert},
};

fn rows(ids: std::ops::Range<i64>) -> RecordBatch {
    let texts: ArrayRef = Arc::new(ids.clone().map(|id| Some(format!("order {id}"))).collect::<StringArray>());
    let ids: ArrayRef = Arc::new(ids.map(Some).collect::<Int64Array>());
    RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("text", texts, true)]).unwrap()
}

fn keys(ids: &[i64]) -> Vec<ArrayRef> {
    vec![Arc::new(Int64Array::from(ids.to_vec()))]
}

/// The only table.
fn orders(tail: &Tail) -> TableId {
    let columns = vec![NewColumn::required("id", DataType::Int64), NewColumn::nullable("text", DataType::Utf8)];
    create(tail, columns, &["id"])
}

/// What the only table has.
fn table(tail: &Tail) -> TableMetrics {
    let metrics = tail.metrics();
    assert_eq!(metrics.tables.len(), 1);
    assert_eq!(metrics.memory_bytes(), metrics.tables[0].memory.total());
    metrics.tables[0]
}

#[test]
fn metrics_follow_rows_to_objects() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::new(dir.path(), Counting::new().choice());
    let tail = shop.open();
    let orders = orders(&tail);
    assert_eq!((table(&tail).memory.rows, table(&tail).objects), (0, 0));
    let before = tail.metrics().commit_transactions;

    for part in 0..4 {
        upsert(&tail, orders, &rows(part * 5000..(part + 1) * 5000));
    }
    let metrics = tail.metrics();
    assert_eq!(metrics.commit_transactions, before + 4);
    assert!(metrics.commit_bytes > 4 * 5000 * 16, "{metrics:?}");
    assert_eq!((metrics.watermark, metrics.horizon), (tail.watermark(), tail.horizon()));
    let full = table(&tail);
    assert_eq!((full.table, full.memtables, full.objects, full.blocks, full.object_bytes), (orders, 1, 0, 0, 0));
    let allocated = tail.version(orders).unwrap().memtables()[0].allocated_bytes();
    assert_eq!(full.memory.total(), allocated);
    // 20,000 ids and texts of 7 to 11 bytes with their offsets; a key of 8 bytes in an index of 4.
    assert!((20_000 * 19..20_000 * 64).contains(&full.memory.rows), "{full:?}");
    assert!((20_000 * 12..20_000 * 64).contains(&full.memory.keys), "{full:?}");
    assert_eq!((full.memory.deletes, full.memory.objects), (0, 0));

    tail.flush(orders).unwrap();
    let flushed = table(&tail);
    assert_eq!((flushed.memtables, flushed.objects, flushed.blocks, flushed.dirty_blocks), (0, 1, 3, 0));
    assert_eq!((flushed.memory.rows, flushed.memory.keys, flushed.memory.deletes), (0, 0, 0));
    assert!(flushed.memory.objects > 0 && flushed.memory.objects < 4096, "{flushed:?}");
    assert!(flushed.object_bytes > 20_000 * 16, "{flushed:?}");
    assert_eq!((tail.metrics().flush_runs, tail.metrics().flush_failed), (1, 0));

    let mut transaction = tail.begin();
    transaction.delete(orders, &keys(&[1, 2, 19_999])).unwrap();
    transaction.commit().unwrap();
    let dirty = table(&tail);
    assert_eq!(dirty.dirty_blocks, 2);
    assert!(dirty.memory.deletes > 0 && dirty.tombstone_objects == 0, "{dirty:?}");
    tail.flush(orders).unwrap();
    let persisted = table(&tail);
    assert_eq!((persisted.dirty_blocks, persisted.tombstone_objects, persisted.objects), (0, 1, 1));
    assert_eq!(persisted.memory.deletes, 0);

    let mut load = tail.load(orders).unwrap();
    load.write(&rows(20_000..20_010)).unwrap();
    load.commit().unwrap();
    assert_eq!((tail.metrics().load_runs, table(&tail).objects), (1, 2));

    assert!(tail.checkpoint(CheckpointKind::Global).unwrap());
    assert_eq!((tail.metrics().checkpoint_runs, tail.metrics().checkpoint_failed), (1, 0));
}

#[test]
fn metrics_count_reads_and_refusals() {
    let dir = tempfile::tempdir().unwrap();
    let store = Counting::new();
    let shop = Shop::new(dir.path(), store.choice());
    let tail = shop.open();
    let orders = orders(&tail);
    upsert(&tail, orders, &rows(0..20_000 / 4));
    tail.flush(orders).unwrap();
    store.take();
    let scan = || tail.scan(orders, tail.watermark(), Projection::default()).unwrap().map(Result::unwrap).count();
    let before = tail.metrics();
    scan();
    let first = tail.metrics();
    assert_eq!(first.read_scans, before.read_scans + 1);
    assert_eq!(
        (first.read_footer_misses, first.read_footer_hits),
        (before.read_footer_misses + 1, before.read_footer_hits)
    );
    assert!(first.read_page_misses > before.read_page_misses);
    let gets = store.take();
    assert_eq!(first.read_requests - before.read_requests, gets.len() as u64);
    let bytes: u64 = gets.iter().map(crate::counting::Get::bytes).sum();
    assert_eq!(first.read_bytes - before.read_bytes, bytes);
    scan();
    let second = tail.metrics();
    assert_eq!((second.read_requests, second.read_page_misses), (first.read_requests, first.read_page_misses));
    assert!(second.read_page_hits > first.read_page_hits && second.read_footer_hits > first.read_footer_hits);
    tail.get(orders, tail.watermark(), &keys(&[1, 2, -1]), &Projection::default()).unwrap();
    assert_eq!(tail.metrics().read_keys, 3);

    let mut transaction = tail.begin();
    transaction.insert(orders, &rows(0..1)).unwrap();
    assert!(matches!(transaction.commit(), Err(Error::DuplicateKey { .. })));
    let refused = tail.metrics();
    assert_eq!((refused.commit_refused, refused.commit_transactions), (1, second.commit_transactions));
    store.refuse_puts(true);
    upsert(&tail, orders, &rows(0..1));
    assert!(tail.flush(orders).is_err());
    assert!(tail.checkpoint(CheckpointKind::Incremental).is_err());
    let failed = tail.metrics();
    assert_eq!((failed.flush_failed, failed.checkpoint_failed), (1, 1));
    store.refuse_puts(false);
    tail.flush(orders).unwrap();
    assert_eq!((tail.metrics().flush_failed, tail.metrics().flush_runs), (1, failed.flush_runs + 1));
    assert!(!refused.commit_waits && refused.store.failing == 0 && refused.flush_failing == 0);
}

/// Of a key that is there, and of one that cannot be looked up, and of a log that takes no more.
#[test]
fn metrics_tell_refused_commits_from_failed_ones() {
    let dir = tempfile::tempdir().unwrap();
    let store = Counting::new();
    let shop = Shop::new(dir.path(), store.choice());
    let tail = shop.open();
    let orders = orders(&tail);
    upsert(&tail, orders, &rows(0..10));
    tail.flush(orders).unwrap();
    tail.close().unwrap();
    let tail = shop.open(); // with empty caches
    let object = tail.version(orders).unwrap().objects()[0].meta().clone();
    let name = logboom_logtail_core::store::ObjectName { table: orders, id: object.id }.name();
    store.damage(&name, object.footer_offset);
    let insert = |first: i64| {
        let mut transaction = tail.begin();
        transaction.insert(orders, &rows(first..first + 1)).unwrap();
        transaction.commit()
    };
    assert!(matches!(insert(1), Err(Error::Object(_))));
    assert_eq!((tail.metrics().commit_failed, tail.metrics().commit_refused), (1, 0));
    store.heal();
    assert!(matches!(insert(1), Err(Error::DuplicateKey { .. })));
    shop.engine.close().unwrap();
    assert!(matches!(insert(1_000_000), Err(Error::Log(_))));
    let ended = tail.metrics();
    assert_eq!((ended.commit_failed, ended.commit_refused, ended.commit_transactions), (2, 1, 0));
}
