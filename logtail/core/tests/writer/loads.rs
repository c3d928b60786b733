//! What a bulk load promises, step by step.

use bytes::Bytes;
use logboom_logtail_core::{
    TableId, Timestamp,
    block_meta::ObjectMeta,
    catalog::{Change, NewColumn},
    load::{DuplicateInRun, LoadCheck, LoadRun},
    log::{ManualLog, Refused},
    record::{self, Loaded, Position, Record, RecordError},
    store::ObjectName,
    transaction::OperationError,
    writer::{CheckpointKind, CommitError, Load, LoadStep},
};

use crate::tail::{NOON, Row, Store, Tail, batch, decode, encoded, keys, lines, meta, row};

/// Objects of so many rows each.
fn objects(tail: &mut Tail, table: TableId, rows: &[Row], each: usize) -> Vec<(ObjectMeta, Bytes)> {
    let mut id = tail.writer.take_objects();
    let object = |rows: &[Row]| {
        let rows: Vec<_> = rows.iter().map(|row| (row.clone(), Timestamp::ZERO)).collect();
        let object = (meta(id, table, 1, 3, &rows), lines(&rows));
        id.number += 1;
        object
    };
    rows.chunks(each).map(object).collect()
}

/// A load with these rows in objects of two, which are not put yet.
fn begin(tail: &mut Tail, table: TableId, rows: &[Row]) -> Load {
    let mut load = tail.writer.begin_load(table).expect("there is such a table");
    assert!(matches!(step(tail, &mut load), Ok(LoadStep::Ready)));
    let objects = objects(tail, table, rows, 2);
    load.add(&tail.log, objects).expect("an entry has room");
    load
}

/// A step of a load, and the store's part of it.
fn step(tail: &mut Tail, load: &mut Load) -> Result<LoadStep, CommitError<Refused>> {
    tail.raise_bound();
    let step = load.step(&mut tail.writer, &tail.log, tail.unix)?;
    if let LoadStep::Put { name, bytes } = &step {
        let object: ObjectName = name.as_str().parse().expect("a load puts objects");
        assert!(tail.store.insert(object.id.number, decode(bytes)).is_none(), "{name} is written twice");
        load.put_done(Ok(())).expect("it was put");
    }
    Ok(step)
}

/// Goes on to a check of this number, from 1; those before find nothing. The second one seals the table.
fn go_to_check(tail: &mut Tail, load: &mut Load, number: usize) -> LoadCheck {
    let mut checks = 0;
    loop {
        tail.settle();
        match step(tail, load).expect("the load goes on") {
            LoadStep::Ready => load.complete(),
            LoadStep::Check(check) => {
                checks += 1;
                if checks == number {
                    return check;
                }
                load.checked();
            }
            LoadStep::Done(at) => panic!("it is done at {at}"),
            LoadStep::Wait | LoadStep::Put { .. } => {}
        }
    }
}

/// Goes on to the end. What checks would find is not looked for.
fn finish(tail: &mut Tail, load: &mut Load) -> Result<Timestamp, CommitError<Refused>> {
    loop {
        tail.settle();
        match step(tail, load)? {
            LoadStep::Ready => load.complete(),
            LoadStep::Check(_) => load.checked(),
            LoadStep::Done(at) => return Ok(at),
            LoadStep::Wait | LoadStep::Put { .. } => {}
        }
    }
}

fn load_all(tail: &mut Tail, table: TableId, rows: &[Row]) -> Timestamp {
    let mut load = begin(tail, table, rows);
    let at = finish(tail, &mut load).expect("the load is committed");
    tail.writer.end_load(load);
    at
}

fn five() -> Vec<Row> {
    (1..=5).map(|id| row(id, 7)).collect()
}

fn insert(tail: &mut Tail, table: TableId, id: i64) -> Result<Timestamp, CommitError<Refused>> {
    let mut workspace = tail.begin();
    workspace.insert(table, &batch(&[row(id, 1)])).expect("the rows are the table's");
    tail.commit(workspace)
}

#[test]
fn a_load_is_a_transaction_of_the_log() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let before = insert(&mut tail, table, 9).unwrap();
    let at = load_all(&mut tail, table, &five());
    assert_eq!(tail.now(), at);
    assert_eq!(tail.rows(table, before), [row(9, 1)]);
    assert_eq!(tail.rows(table, at).len(), 6);
    let all = Timestamp::ZERO..=Timestamp::MAX;
    let entries: Vec<_> = tail.writer.tail().snapshot(at).of_table(table, all).map(|entry| entry.timestamp).collect();
    assert_eq!(entries, [before, at]);
    // Its rows are deleted and replaced like others, and each opening has the same.
    let mut workspace = tail.begin();
    workspace.delete(table, &keys(&[1])).unwrap();
    workspace.upsert(table, &batch(&[row(2, 8)])).unwrap();
    let after = tail.commit(workspace).unwrap();
    assert!(matches!(insert(&mut tail, table, 3), Err(CommitError::DuplicateKey { .. })));
    let expected = [row(2, 8), row(3, 7), row(4, 7), row(5, 7), row(9, 1)];
    for round in 0..3 {
        assert_eq!(tail.rows(table, after), expected, "{round}");
        assert_eq!(tail.rows(table, at).len(), 6, "{round}");
        assert_eq!(tail.rows(table, before), [row(9, 1)], "{round}");
        tail.checkpoint(CheckpointKind::Global);
        tail = tail.reopen(NOON);
    }
}

/// A load whose rows are added twice has two intents, and its own record. What was proposed last is lost, or not.
#[test]
fn a_crash_leaves_all_of_a_load_or_nothing() {
    for (proposed, is_lost) in [(0, false), (1, true), (1, false), (2, true), (2, false), (3, true), (3, false)] {
        let mut tail = Tail::new();
        let table = tail.create_table("orders", true);
        insert(&mut tail, table, 9).unwrap();
        tail.raise_bound();
        let last = tail.log.last();
        let mut load = begin(&mut tail, table, &five());
        let mut additions = 1;
        while tail.log.last() < last + proposed {
            tail.settle();
            match step(&mut tail, &mut load).unwrap() {
                LoadStep::Ready if additions == 1 => {
                    additions += 1;
                    let more = objects(&mut tail, table, &[row(6, 7)], 2);
                    load.add(&tail.log, more).unwrap();
                }
                LoadStep::Ready => load.complete(),
                LoadStep::Check(_) => load.checked(),
                _ => {}
            }
        }
        let kept = proposed - u64::from(is_lost);
        let (log, store) = tail.crash(last + kept);
        let mut tail = Tail::open(log, store, NOON);
        assert_eq!(tail.rows(table, tail.now()).len(), if kept == 3 { 7 } else { 1 }, "{kept} of {proposed} records");
        tail.checkpoint(CheckpointKind::Global);
        let intended = tail.writer.checkpoint().unwrap().intended.len();
        assert_eq!(intended, [0, 3, 4, 0][usize::try_from(kept).unwrap()], "{kept} of {proposed} records");
        insert(&mut tail, table, 100).unwrap();
    }
}

#[test]
fn nobody_writes_a_table_that_is_sealed() {
    let mut tail = Tail::new();
    let (table, other) = (tail.create_table("orders", true), tail.create_table("events", false));
    let mut load = begin(&mut tail, table, &five());
    let first = go_to_check(&mut tail, &mut load, 1);
    assert_eq!((first.after, first.through), (None, tail.now()));
    assert!(!tail.writer.is_sealed(table));
    // Written since, one of them not committed yet.
    let since = insert(&mut tail, table, 20).unwrap();
    let mut pending = tail.begin();
    pending.insert(table, &batch(&[row(21, 1)])).unwrap();
    tail.propose(&mut pending).unwrap();
    load.checked();
    let Ok(LoadStep::Check(second)) = step(&mut tail, &mut load) else { panic!("there is a second check") };
    assert_eq!((second.after, second.through), (Some(first.through), tail.writer.last_placed()));
    let mut found = Vec::new();
    for memtable in second.memtables() {
        let from = memtable.committed_rows(first.through);
        memtable.visit_keys(from, second.through, |_, row| {
            found.push((row.committed, second.concerns(row.committed, row.deleted)))
        });
    }
    assert_eq!(found, [(since, true), (second.through, true)]);

    assert!(tail.writer.is_sealed(table) && !tail.writer.is_sealed(other));
    let refused = insert(&mut tail, table, 1);
    assert!(matches!(refused, Err(CommitError::Loading(at)) if at == table), "{refused:?}");
    insert(&mut tail, other, 1).unwrap();
    // Another load waits for this one.
    let mut waiting = begin(&mut tail, table, &[row(30, 1)]);
    go_to_check(&mut tail, &mut waiting, 1);
    waiting.checked();
    assert!(matches!(step(&mut tail, &mut waiting), Ok(LoadStep::Wait)));
    // One that is given up breaks its seal.
    tail.writer.end_load(load);
    insert(&mut tail, table, 1).unwrap();
    finish(&mut tail, &mut waiting).unwrap();
    insert(&mut tail, table, 2).unwrap();
}

#[test]
fn a_check_that_takes_reads_gives_way_and_is_made_beside_commits() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let mut load = begin(&mut tail, table, &five());
    let mut last = go_to_check(&mut tail, &mut load, 1).through;
    load.checked();
    for id in [20, 30, 40] {
        let placed = insert(&mut tail, table, id).unwrap();
        let Ok(LoadStep::Check(sealed)) = step(&mut tail, &mut load) else { panic!("there is a check") };
        assert!(sealed.is_sealed && tail.writer.is_sealed(table));
        assert_eq!((sealed.after, sealed.through, sealed.rows_max()), (Some(last), placed, Some(1)));
        load.give_way(&mut tail.writer);
        assert!(!tail.writer.is_sealed(table));
        let placed = insert(&mut tail, table, id + 1).unwrap();
        let Ok(LoadStep::Check(beside)) = step(&mut tail, &mut load) else { panic!("there is a check") };
        assert!(!beside.is_sealed && !tail.writer.is_sealed(table));
        assert_eq!((beside.after, beside.through, beside.rows_max()), (Some(last), placed, Some(2)));
        // What is written during the check is for the next one.
        insert(&mut tail, table, id + 2).unwrap();
        load.checked();
        last = placed;
        let Ok(LoadStep::Check(sealed)) = step(&mut tail, &mut load) else { panic!("there is a check") };
        assert_eq!((sealed.is_sealed, sealed.after, sealed.rows_max()), (true, Some(last), Some(1)));
        load.give_way(&mut tail.writer);
        let Ok(LoadStep::Check(beside)) = step(&mut tail, &mut load) else { panic!("there is a check") };
        load.checked();
        last = beside.through;
    }
    finish(&mut tail, &mut load).unwrap();
    assert_eq!(tail.rows(table, tail.now()).len(), 5 + 9);
}

/// So are checks of many rows, and of rows that were flushed meanwhile or loaded.
#[test]
fn only_a_check_of_few_rows_in_memory_is_sealed() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let mut load = begin(&mut tail, table, &five());
    go_to_check(&mut tail, &mut load, 1);
    load.checked();
    insert(&mut tail, table, 50).unwrap();
    tail.flush(table, Timestamp::ZERO);
    let Ok(LoadStep::Check(check)) = step(&mut tail, &mut load) else { panic!("there is a check") };
    assert_eq!((check.is_sealed, check.rows_max(), check.others().count()), (false, None, 1));
    load.checked();
    let many: Vec<Row> = (100..8293).map(|id| row(id, 1)).collect();
    let mut workspace = tail.begin();
    workspace.insert(table, &batch(&many)).unwrap();
    tail.commit(workspace).unwrap();
    let Ok(LoadStep::Check(check)) = step(&mut tail, &mut load) else { panic!("there is a check") };
    assert_eq!((check.is_sealed, check.rows_max()), (false, Some(8193)));
    load.checked();
    // Another load has its place, and its objects come with its record.
    let mut other = begin(&mut tail, table, &[row(9000, 1)]);
    go_to_check(&mut tail, &mut other, 2);
    other.checked();
    assert!(matches!(step(&mut tail, &mut other), Ok(LoadStep::Wait)));
    assert!(other.timestamp().is_some() && tail.now() < other.timestamp().unwrap());
    assert!(matches!(step(&mut tail, &mut load), Ok(LoadStep::Wait)));
    tail.settle();
    let Ok(LoadStep::Check(check)) = step(&mut tail, &mut load) else { panic!("there is a check") };
    assert_eq!((check.is_sealed, check.after < other.timestamp(), check.others().count()), (false, true, 1));
    load.checked();
    let Ok(LoadStep::Check(check)) = step(&mut tail, &mut load) else { panic!("there is a check") };
    assert_eq!((check.is_sealed, check.rows_max()), (true, Some(0)));
    load.checked();
    finish(&mut tail, &mut load).unwrap();
}

#[test]
fn who_began_before_a_load_begins_again() {
    let mut tail = Tail::new();
    let (table, plain) = (tail.create_table("orders", true), tail.create_table("events", false));
    let (mut old, mut of_plain) = (tail.begin(), tail.begin());
    old.insert(table, &batch(&[row(3, 3)])).unwrap();
    of_plain.insert(plain, &batch(&[row(3, 3)])).unwrap();
    let before = tail.now();
    let mut load = begin(&mut tail, table, &five());
    go_to_check(&mut tail, &mut load, 2);
    load.checked();
    assert!(matches!(step(&mut tail, &mut load), Ok(LoadStep::Wait)));
    // Placed, and not committed.
    let (at, now) = (load.timestamp().unwrap(), tail.now());
    assert_eq!(now, before);
    assert!(tail.rows(table, now).is_empty());
    let refused = tail.propose(&mut old);
    assert!(matches!(refused, Err(CommitError::SnapshotTooOld { oldest, .. }) if oldest == at), "{refused:?}");
    tail.settle();
    assert_eq!(tail.rows(table, tail.now()), five());
    // Still, when a flush was in between; and never of a table without a key.
    insert(&mut tail, table, 50).unwrap();
    tail.flush(table, Timestamp::ZERO);
    assert!(matches!(tail.propose(&mut old), Err(CommitError::SnapshotTooOld { .. })));
    load_all(&mut tail, plain, &five());
    tail.propose(&mut of_plain).unwrap();
}

#[test]
fn a_log_without_room_does_not_keep_a_table_sealed() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let mut load = begin(&mut tail, table, &five());
    go_to_check(&mut tail, &mut load, 2);
    load.checked();
    tail.raise_bound();
    tail.log.refuse(Some(Refused::Busy));
    let refused = load.step(&mut tail.writer, &tail.log, tail.unix);
    assert!(matches!(refused, Err(CommitError::Log(_))), "{refused:?}");
    assert!(!tail.writer.is_sealed(table));
    tail.log.refuse(None);
    // What is written now is looked at by the next check.
    let since = insert(&mut tail, table, 3).unwrap();
    let check = go_to_check(&mut tail, &mut load, 1);
    assert!(check.after.is_some_and(|after| after < since) && check.through == since);
    tail.writer.end_load(load);
}

#[test]
fn a_table_that_has_changed_takes_no_rows_of_its_old_columns() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let mut load = begin(&mut tail, table, &five());
    go_to_check(&mut tail, &mut load, 1);
    load.checked();
    tail.change(&Change::AddColumn { table, column: NewColumn::nullable("w", arrow_schema::DataType::Int64) });
    assert!(matches!(step(&mut tail, &mut load), Err(CommitError::SchemaChanged(at)) if at == table));
    assert!(!tail.writer.is_sealed(table));
    assert!(matches!(tail.writer.begin_load(TableId(2)), Err(OperationError::System(_))));
    assert!(matches!(tail.writer.begin_load(TableId(77)), Err(OperationError::NoTable(_))));
}

#[test]
fn the_bound_is_said_where_it_is_crossed() {
    let mut tail = Tail::open(ManualLog::new(3000), Store::new(), NOON);
    let table = tail.create_table("orders", true);
    let mut load = tail.writer.begin_load(table).unwrap();
    let mut added = 0;
    let (bytes, max) = loop {
        while !matches!(step(&mut tail, &mut load), Ok(LoadStep::Ready)) {
            tail.settle();
        }
        let more = objects(&mut tail, table, &[row(added, 1)], 1);
        match load.add(&tail.log, more) {
            Ok(()) => added += 1,
            Err(CommitError::TooLarge { bytes, max }) => break (bytes, max),
            Err(error) => panic!("{error}"),
        }
    };
    assert!(added > 5 && max == 3000 && bytes > max, "{bytes} bytes at {added} objects");
    tail.writer.end_load(load);
    assert!(tail.rows(table, tail.now()).is_empty());
    // One less than that is committed.
    let rows: Vec<Row> = (0..added).map(|id| row(id, 1)).collect();
    let mut load = tail.writer.begin_load(table).unwrap();
    let all = objects(&mut tail, table, &rows, 1);
    load.add(&tail.log, all).unwrap();
    finish(&mut tail, &mut load).unwrap();
    assert_eq!(tail.rows(table, tail.now()), rows);
}

#[test]
fn a_record_whose_rows_commit_at_another_time_is_none() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let at = Timestamp::from_unix(NOON);
    let mut object = objects(&mut tail, table, &five(), 5).remove(0).0;
    for block in &mut object.blocks {
        (block.low_commit, block.high_commit) = (at, at);
    }
    let position = Position { epoch: 3, sequence: 9 };
    let decoded = |loaded: &Loaded| {
        let bytes = record::loaded(position, loaded).unwrap();
        Record::decode(&bytes).map(|(_, record)| record == Record::Loaded(Box::new(loaded.clone())))
    };
    let loaded = Loaded { table, timestamp: at, objects: vec![object] };
    assert_eq!(decoded(&loaded), Ok(true));
    let mut other = loaded.clone();
    other.objects[0].blocks[1].high_commit = at.next().unwrap();
    assert_eq!(decoded(&other), Err(RecordError::Malformed { kind: 7 }));
    let mut other = loaded.clone();
    other.timestamp = at.next().unwrap();
    assert_eq!(decoded(&other), Err(RecordError::Malformed { kind: 7 }));
    let mut other = loaded;
    other.objects[0].table = TableId(table.0 + 1);
    assert_eq!(decoded(&other), Err(RecordError::Malformed { kind: 7 }));
}

#[test]
fn a_run_takes_what_it_has_room_for_and_is_sorted() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let schema = std::sync::Arc::clone(tail.writer.begin_load(table).unwrap().schema());
    let mut ids: Vec<i64> = (0..1000).collect();
    fastrand::Rng::with_seed(3).shuffle(&mut ids);
    let rows: Vec<Row> = ids.iter().map(|id| row(*id, 1)).collect();
    let mut run = LoadRun::new(std::sync::Arc::clone(&schema), 16 << 10);
    let taken = run.push(&batch(&rows)).unwrap();
    assert!((100..500).contains(&taken), "{taken} rows in 16 KiB");
    assert!(run.bytes() < 32 << 10);
    let sorted = run.sort().unwrap();
    let mut found = Vec::new();
    sorted
        .run(|batch| {
            assert!(batch.commits.is_none());
            found.extend(crate::tail::rows_of(&batch.rows));
            Ok::<_, arrow_schema::ArrowError>(())
        })
        .unwrap();
    let mut expected = rows[..taken].to_vec();
    expected.sort();
    assert_eq!(found, expected);

    // A row too large for the bound is taken alone.
    let mut run = LoadRun::new(std::sync::Arc::clone(&schema), 1);
    assert!(!run.is_full());
    assert_eq!(run.push(&batch(&rows)), Ok(1));
    assert!(run.is_full());
    let mut run = LoadRun::new(schema, 1 << 20);
    run.push(&batch(&rows)).unwrap();
    run.push(&batch(&rows[7..8])).unwrap();
    let key = encoded(ids[7]);
    assert_eq!(run.sort().unwrap_err(), DuplicateInRun { key });
}
