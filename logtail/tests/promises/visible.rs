//! Who sees what, and when.

use arrow_array::{cast::AsArray, types::Int64Type};
use logboom_logtail::{CheckpointKind, Error, Projection, Tail, Timestamp};

use crate::machine::{Machine, batch, create, delete, rows, upsert};

/// Rows are placed beside the sync: who commits next sees them as conflicts, and no reader sees them before it ends.
#[test]
fn rows_are_placed_beside_the_sync_and_seen_behind_it() {
    let machine = Machine::new();
    let process = machine.start();
    let tail = &process.tail;
    let table = create(tail);
    let before = upsert(tail, table, &[(1, Some(1))]).unwrap();
    let submit = |id| {
        let mut transaction = tail.begin();
        transaction.upsert(table, &batch(&[(id, Some(2))])).unwrap();
        transaction.submit()
    };
    // The engine is not driven, so nothing becomes durable.
    let commits: Vec<_> = (2..10).map(|id| submit(id).unwrap()).collect();
    let last = commits.last().unwrap().timestamp();
    let placed = tail.version(table).unwrap().memtables().iter().map(|memtable| memtable.len()).sum::<u32>();
    assert_eq!(placed, 9, "rows are placed before they are durable");
    assert!(matches!(submit(5), Err(Error::Conflict { at, .. }) if at == commits[3].timestamp()));
    assert_eq!((tail.watermark(), rows(tail, table, before)), (before, vec![(1, Some(1))]));
    assert!(matches!(tail.scan(table, last, Projection::default()), Err(Error::Future { .. })));

    while tail.watermark() < last {
        let watermark = tail.watermark();
        // What is published is durable, and in the order of the timestamps.
        let seen = commits.iter().filter(|commit| commit.timestamp() <= watermark).count();
        assert_eq!(rows(tail, table, watermark).len(), 1 + seen);
        process.engine.drive_once();
        tail.clone().close().unwrap();
    }
    assert_eq!(rows(tail, table, last).len(), 9);
    commits.into_iter().for_each(|commit| _ = commit.wait().unwrap());
}

/// What is not durable is gone with the power, and no reader had seen it.
#[test]
fn what_was_seen_is_there_when_the_power_is_back() {
    let mut machine = Machine::new();
    let process = machine.start();
    let table = create(&process.tail);
    upsert(&process.tail, table, &[(1, Some(1))]).unwrap();
    let mut transaction = process.tail.begin();
    transaction.upsert(table, &batch(&[(2, Some(2))])).unwrap();
    let commit = transaction.submit().unwrap();
    let seen = (process.tail.watermark(), rows(&process.tail, table, process.tail.watermark()));
    assert_eq!(seen.1.len(), 1);
    drop(commit);
    machine.cut_power(process);
    let process = machine.start();
    assert_eq!(rows(&process.tail, table, seen.0), seen.1);
    assert!(rows(&process.tail, table, process.tail.watermark()).len() <= 2);
}

fn just_before(at: Timestamp) -> Timestamp {
    Timestamp::from_i64(at.to_i64() - 1).unwrap()
}

/// A row is there from its commit on, that included, and until its delete, that excluded: in memory and in objects,
/// with deletes in memory and in tombstones, before and behind restarts.
#[test]
fn a_row_is_there_from_its_commit_until_its_delete() {
    let machine = Machine::new();
    let mut process = machine.start();
    let table = create(&process.tail);
    let created = process.tail.watermark();
    let inserted = upsert(&process.tail, table, &[(1, Some(1)), (2, Some(1))]).unwrap();
    let replaced = upsert(&process.tail, table, &[(1, Some(2))]).unwrap();
    let check = |tail: &Tail, gone: Option<Timestamp>, what: &str| {
        let (one, two, other) = ((1, Some(1)), (1, Some(2)), (2, Some(1)));
        let mut cases = vec![
            (created, vec![]),
            (just_before(inserted), vec![]),
            (inserted, vec![one, other]),
            (just_before(replaced), vec![one, other]),
            (replaced, vec![two, other]),
        ];
        if let Some(gone) = gone {
            cases.extend([(just_before(gone), vec![two, other]), (gone, vec![other]), (tail.watermark(), vec![other])]);
        }
        for (at, expected) in cases {
            assert_eq!(rows(tail, table, at), expected, "at {at}, {what}");
        }
    };
    check(&process.tail, None, "in memory");
    process.tail.flush(table).unwrap();
    check(&process.tail, None, "in an object");
    let gone = Some(delete(&process.tail, table, &[1]).unwrap());
    check(&process.tail, gone, "with a delete in memory");
    process = machine.restart(process);
    check(&process.tail, gone, "with a delete in the log");
    process.tail.flush(table).unwrap();
    check(&process.tail, gone, "with a tombstone");
    process = machine.restart(process);
    check(&process.tail, gone, "with a tombstone in an object that the log names");
    process.tail.checkpoint(CheckpointKind::Global).unwrap();
    process = machine.restart(process);
    check(&process.tail, gone, "with a tombstone in an object that the checkpoint names");
}

/// System columns have their place and type: the row's id, and when it was committed.
#[test]
fn rows_have_an_id_and_the_timestamp_of_their_commit() {
    let machine = Machine::new();
    let process = machine.start();
    let table = create(&process.tail);
    let first = upsert(&process.tail, table, &[(1, Some(1)), (2, Some(1))]).unwrap();
    let second = upsert(&process.tail, table, &[(3, Some(2))]).unwrap();
    let mut projection = Projection::default();
    (projection.row_ids, projection.commit_timestamps) = (true, true);
    for _ in 0..2 {
        let scan = process.tail.scan(table, second, projection.clone()).unwrap();
        let batches: Vec<_> = scan.map(Result::unwrap).collect();
        let schema = batches[0].schema();
        let fields: Vec<_> =
            schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
        let system = fields[2..].to_vec();
        assert_eq!(system, ["_rowset UInt64", "_row UInt32", "_commit_ts Int64"]);
        let of_batch =
            |batch: &arrow_array::RecordBatch| batch["_commit_ts"].as_primitive::<Int64Type>().values().to_vec();
        let commits: Vec<_> = batches.iter().flat_map(of_batch).collect();
        assert_eq!(commits, [first.to_i64(), first.to_i64(), second.to_i64()]);
        process.tail.flush(table).unwrap();
    }
}
