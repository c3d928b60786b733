//! What a writer promises, one by one.

use arrow_schema::DataType;
use logboom_logtail_core::{
    ColumnId, DatabaseId, RowId, RowsetId, TableId, Timestamp,
    catalog::{CatalogError, Change, NewColumn, NewTable},
    flush::FlushParts,
    log::{LogEvent, Refused},
    scan::Projection,
    transaction::OperationError,
    writer::{CheckpointKind, CommitError, Outcome, Stopped},
};

use crate::tail::{NOON, Store, Tail, batch, fields, keys, row};

#[test]
fn rows_are_seen_when_their_record_is_committed_and_not_before() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let mut workspace = tail.begin();
    workspace.insert(table, &batch(&[row(1, 10)])).unwrap();
    let Outcome::Proposed { timestamp, index, .. } = tail.propose(&mut workspace).unwrap() else {
        panic!("there is something to write");
    };
    assert!(tail.now() < timestamp);
    assert_eq!(tail.rows(table, tail.now()), []);
    tail.writer.log_event(LogEvent::Durable(index));
    assert_eq!(tail.rows(table, tail.now()), []);
    tail.writer.log_event(LogEvent::Committed(index));
    assert_eq!(tail.now(), timestamp);
    assert_eq!(tail.rows(table, tail.now()), [row(1, 10)]);
}

#[test]
fn a_snapshot_stays_as_it_is() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let mut seen = Vec::new();
    for v in 0..50 {
        let mut workspace = tail.begin();
        workspace.upsert(table, &batch(&[row(v % 7, v)])).unwrap();
        if v % 3 == 0 {
            workspace.delete(table, &keys(&[(v + 1) % 7])).unwrap();
        }
        let at = tail.commit(workspace).unwrap();
        seen.push((at, tail.rows(table, at)));
    }
    for (at, rows) in seen {
        assert_eq!(tail.rows(table, at), rows);
    }
}

#[test]
fn keys_are_unique() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let mut workspace = tail.begin();
    workspace.insert(table, &batch(&[row(1, 1), row(2, 2)])).unwrap();
    let again = workspace.insert(table, &batch(&[row(3, 3), row(2, 4)]));
    assert_eq!(again, Err(OperationError::DuplicateKey { table, row: 1 }));
    let twice = workspace.insert(table, &batch(&[row(5, 5), row(5, 6)]));
    assert_eq!(twice, Err(OperationError::DuplicateKey { table, row: 1 }));
    tail.commit(workspace).unwrap();
    // What was refused left nothing.
    assert_eq!(tail.rows(table, tail.now()), [row(1, 1), row(2, 2)]);

    let mut workspace = tail.begin();
    workspace.insert(table, &batch(&[row(2, 9)])).unwrap();
    assert!(matches!(tail.commit(workspace), Err(CommitError::DuplicateKey { table: at, .. }) if at == table));

    // A key that the transaction deletes may be inserted.
    let mut workspace = tail.begin();
    workspace.delete(table, &keys(&[2])).unwrap();
    workspace.insert(table, &batch(&[row(2, 9)])).unwrap();
    tail.commit(workspace).unwrap();
    assert_eq!(tail.rows(table, tail.now()), [row(1, 1), row(2, 9)]);
}

#[test]
fn the_first_of_two_that_write_a_key_commits() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let mut first = tail.begin();
    first.upsert(table, &batch(&[row(1, 1)])).unwrap();
    let mut second = tail.begin();
    second.upsert(table, &batch(&[row(1, 2)])).unwrap();
    // The second is refused although the first is not durable yet.
    let Outcome::Proposed { timestamp, .. } = tail.propose(&mut first).unwrap() else { panic!("it writes") };
    let refused = tail.propose(&mut second);
    assert!(matches!(refused, Err(CommitError::Conflict { at, .. }) if at == timestamp), "{refused:?}");
    tail.settle();
    assert_eq!(tail.rows(table, tail.now()), [row(1, 1)]);
    // At a newer snapshot it may.
    let mut again = tail.begin();
    again.upsert(table, &batch(&[row(1, 2)])).unwrap();
    tail.commit(again).unwrap();
    assert_eq!(tail.rows(table, tail.now()), [row(1, 2)]);
}

#[test]
fn rows_without_a_key_are_deleted_by_their_places() {
    let mut tail = Tail::new();
    let table = tail.create_table("events", false);
    let mut workspace = tail.begin();
    workspace.insert(table, &batch(&[row(1, 1), row(1, 1), row(2, 2)])).unwrap();
    assert_eq!(workspace.delete(table, &keys(&[1])), Err(OperationError::NoKey(table)));
    tail.commit(workspace).unwrap();
    let places = tail.places(table, tail.now());
    let (mut one, mut two) = (tail.begin(), tail.begin());
    one.delete_rows(table, &[places[0].0, places[2].0]).unwrap();
    two.delete_rows(table, &[places[0].0]).unwrap();
    tail.commit(one).unwrap();
    assert_eq!(tail.rows(table, tail.now()), [row(1, 1)]);
    assert!(matches!(tail.commit(two), Err(CommitError::Conflict { .. })));
    let mut late = tail.begin();
    late.delete_rows(table, &[places[2].0]).unwrap();
    assert!(matches!(tail.commit(late), Err(CommitError::NoRow { row, .. }) if row == places[2].0));
    let mut nowhere = tail.begin();
    let row = RowId { rowset: RowsetId(999), row: 0 };
    nowhere.delete_rows(table, &[row]).unwrap();
    assert!(matches!(tail.commit(nowhere), Err(CommitError::NoRow { .. })));
}

#[test]
fn a_row_that_is_named_by_its_old_and_its_new_place_is_deleted_once() {
    let mut tail = Tail::new();
    let table = tail.create_table("events", false);
    let mut workspace = tail.begin();
    workspace.insert(table, &batch(&[row(1, 1), row(2, 2), row(3, 3)])).unwrap();
    let at = tail.commit(workspace).unwrap();
    let mut workspace = tail.begin();
    let old = tail.places(table, at);
    workspace.delete_rows(table, &[old[0].0, old[1].0]).unwrap();
    tail.flush(table, at);
    let new = tail.places(table, at);
    assert_ne!(new[0].0, old[0].0);
    workspace.delete_rows(table, &[new[1].0, new[0].0, new[1].0]).unwrap();
    tail.commit(workspace).unwrap();
    assert_eq!(tail.rows(table, tail.now()), [row(3, 3)]);
    let tail = tail.reopen(NOON);
    assert_eq!(tail.rows(table, tail.now()), [row(3, 3)]);
}

/// The change of the columns is in the checkpoint, and the rows from before it in the log alone.
#[test]
fn rows_behind_a_checkpoint_are_of_the_columns_of_their_time() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    for id in 1..3 {
        let mut workspace = tail.begin();
        workspace.insert(table, &batch(&[row(id, id)])).unwrap();
        tail.commit(workspace).unwrap();
    }
    tail.change(&Change::DropColumn { table, column: ColumnId(3) });
    tail.change(&Change::AddColumn { table, column: NewColumn::nullable("s", DataType::Utf8) });
    tail.checkpoint(CheckpointKind::Global);
    let mut tail = tail.reopen(NOON);
    let mut workspace = tail.begin();
    workspace.insert(table, &batch(&[row(4, 4)])).unwrap();
    tail.commit(workspace).unwrap();
    let tail = tail.reopen(NOON);
    assert_eq!(tail.rows(table, tail.now()), [(1, 1, None), (2, 2, None), row(4, 4)]);
}

/// Its record is proposed before the checkpoint begins, and committed while it is written.
#[test]
fn a_checkpoint_has_no_table_that_is_created_behind_it() {
    for kind in [CheckpointKind::Global, CheckpointKind::Incremental] {
        let mut tail = Tail::new();
        let table = tail.create_table("orders", true);
        tail.checkpoint(CheckpointKind::Global);
        let mut workspace = tail.begin();
        workspace.insert(table, &batch(&[row(1, 1)])).unwrap();
        tail.commit(workspace).unwrap();
        let database = tail.writer.state().catalog(tail.now()).unwrap().find_database("shop").unwrap();
        let new =
            NewTable { name: "new".into(), columns: vec![NewColumn::required("id", DataType::Int64)], key: Vec::new() };
        let (new, created) = tail.propose_change(&Change::CreateTable { database, table: new });
        created.unwrap();
        tail.checkpoint(kind);
        let tail = tail.reopen(NOON);
        assert_eq!(tail.rows(table, tail.now()), [row(1, 1)]);
        let state = tail.writer.state();
        assert!(state.catalog(tail.now()).unwrap().table(TableId(new)).is_some(), "the log has its creation");
    }
}

#[test]
fn a_refused_operation_leaves_the_transaction_as_it_was() {
    let mut tail = Tail::new();
    let (orders, events) = (tail.create_table("orders", true), tail.create_table("events", false));
    let mut workspace = tail.begin();
    workspace.insert(orders, &batch(&[row(1, 1)])).unwrap();
    assert_eq!(workspace.delete(events, &keys(&[1])), Err(OperationError::NoKey(events)));
    // What becomes of the other table is nothing to it.
    tail.change(&Change::DropTable { table: events });
    tail.commit(workspace).unwrap();
    assert_eq!(tail.rows(orders, tail.now()), [row(1, 1)]);
}

#[test]
fn a_row_that_is_named_twice_is_deleted_once() {
    let mut tail = Tail::new();
    let table = tail.create_table("events", false);
    let mut workspace = tail.begin();
    workspace.insert(table, &batch(&[row(1, 1), row(2, 2), row(3, 3)])).unwrap();
    tail.commit(workspace).unwrap();
    let places: Vec<_> = tail.places(table, tail.now()).into_iter().map(|(place, _)| place).collect();
    let mut workspace = tail.begin();
    workspace.delete_rows(table, &[places[0], places[1], places[0]]).unwrap();
    workspace.delete_rows(table, &[places[1]]).unwrap();
    tail.commit(workspace).unwrap();
    assert_eq!(tail.rows(table, tail.now()), [row(3, 3)]);
    let tail = tail.reopen(NOON);
    assert_eq!(tail.rows(table, tail.now()), [row(3, 3)]);
}

#[test]
fn a_batch_larger_than_a_chunk_is_scanned_in_batches() {
    let mut tail = Tail::new();
    let table = tail.create_table("events", false);
    for first in [0, 20_000, 20_001] {
        let mut workspace = tail.begin();
        let rows: Vec<_> = (first..if first == 0 { 20_000 } else { first + 1 }).map(|id| row(id, 3 * id)).collect();
        workspace.insert(table, &batch(&rows)).unwrap();
        tail.commit(workspace).unwrap();
    }
    let batches = tail.scan(table, tail.now(), &Projection::default());
    assert_eq!(batches.iter().map(arrow_array::RecordBatch::num_rows).collect::<Vec<_>>(), [8192, 8192, 3616, 2]);
    assert_eq!(tail.rows(table, tail.now()).len(), 20_002);
}

#[test]
fn a_transaction_longer_than_the_log_takes_is_refused() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let mut workspace = tail.begin();
    let rows: Vec<_> = (0..100_000).map(|id| row(id, id * 7)).collect();
    workspace.insert(table, &batch(&rows)).unwrap();
    let refused = tail.commit(workspace);
    assert!(matches!(refused, Err(CommitError::TooLarge { max, .. }) if max == 1 << 20), "{refused:?}");
    assert_eq!(tail.rows(table, tail.now()), []);
}

#[test]
fn a_log_that_refuses_a_record_leaves_nothing_of_it() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    for refused in [Refused::Busy, Refused::Full, Refused::Stopped] {
        tail.log.refuse(Some(refused));
        let mut workspace = tail.begin();
        workspace.insert(table, &batch(&[row(1, 1)])).unwrap();
        assert!(matches!(tail.propose(&mut workspace), Err(CommitError::Log(_))));
        tail.log.refuse(None);
        tail.settle();
        assert_eq!(tail.rows(table, tail.now()), []);
    }
    let mut workspace = tail.begin();
    workspace.insert(table, &batch(&[row(1, 1)])).unwrap();
    tail.commit(workspace).unwrap();
    let tail = tail.reopen(NOON);
    assert_eq!(tail.rows(table, tail.now()), [row(1, 1)]);
}

#[test]
fn a_retry_with_the_same_client_id_finds_the_first() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let buy = |tail: &mut Tail| {
        let mut workspace = tail.begin();
        workspace.set_client_id(77);
        workspace.insert(table, &batch(&[row(1, 1)])).unwrap();
        tail.commit(workspace).unwrap()
    };
    let first = buy(&mut tail);
    assert_eq!(buy(&mut tail), first);
    // Also after a restart.
    let mut tail = tail.reopen(NOON);
    assert_eq!(buy(&mut tail), first);
    assert_eq!(tail.rows(table, tail.now()), [row(1, 1)]);
}

#[test]
fn a_writer_that_lost_its_records_stops() {
    for (event, stopped) in [(LogEvent::Lost(4), Stopped::Lost), (LogEvent::Unknown(4), Stopped::Unknown)] {
        let mut tail = Tail::new();
        let table = tail.create_table("orders", true);
        assert!(tail.writer.serves());
        tail.writer.log_event(event);
        assert!(!tail.writer.serves());
        assert_eq!(tail.writer.stopped(), Some(&stopped));
        let mut workspace = tail.begin();
        workspace.insert(table, &batch(&[row(1, 1)])).unwrap();
        assert!(matches!(tail.propose(&mut workspace), Err(CommitError::Stopped(_))));
    }
}

#[test]
fn records_of_a_writer_that_was_replaced_are_ignored() {
    let mut old = Tail::new();
    let table = old.create_table("orders", true);
    let mut workspace = old.begin();
    workspace.insert(table, &batch(&[row(1, 1)])).unwrap();
    old.commit(workspace).unwrap();
    let shared = old.log.records();
    let mut new = Tail::open(logboom_logtail_core::log::ManualLog::of(shared, 1 << 20), Store::new(), NOON);
    // The old one does not know yet, and its record comes in behind the new one's epoch.
    let mut late = old.begin();
    late.insert(table, &batch(&[row(2, 2)])).unwrap();
    old.propose(&mut late).unwrap();
    let (_, record) = old.log.records().pop().unwrap();
    new.log.push(record);
    let mut workspace = new.begin();
    workspace.insert(table, &batch(&[row(3, 3)])).unwrap();
    new.commit(workspace).unwrap();
    let reader = new.reopen(NOON);
    assert_eq!(reader.rows(table, reader.now()), [row(1, 1), row(3, 3)]);
}

#[test]
fn timestamps_rise_over_clocks_that_jump_and_restarts() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let mut last = Timestamp::ZERO;
    let minute = std::time::Duration::from_secs(60);
    for (id, unix) in [NOON, NOON + 10 * minute, NOON, NOON - 10 * minute, NOON, NOON].into_iter().enumerate() {
        tail = tail.reopen(unix);
        for _ in 0..3 {
            let mut workspace = tail.begin();
            workspace.upsert(table, &batch(&[row(id as i64, 1)])).unwrap();
            let at = tail.commit(workspace).unwrap();
            assert!(at > last, "{at} after {last}");
            last = at;
        }
    }
    assert!(tail.writer.drift(NOON) >= 10 * minute);
}

#[test]
fn a_column_that_is_dropped_and_added_again_is_empty() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let mut workspace = tail.begin();
    workspace.insert(table, &batch(&[row(1, 1), row(2, 2)])).unwrap();
    let before = tail.commit(workspace).unwrap();
    tail.change(&Change::DropColumn { table, column: ColumnId(3) });
    let column = NewColumn::nullable("s", DataType::Utf8);
    tail.change(&Change::AddColumn { table, column });
    let now = tail.now();
    assert_eq!(tail.rows(table, now), [(1, 1, None), (2, 2, None)]);
    // The old timestamp shows the old column.
    assert_eq!(tail.rows(table, before), [row(1, 1), row(2, 2)]);
    let reopened = tail.reopen(NOON);
    assert_eq!(reopened.rows(table, now), [(1, 1, None), (2, 2, None)]);
    assert_eq!(reopened.rows(table, before), [row(1, 1), row(2, 2)]);
}

#[test]
fn columns_are_renamed_widened_and_dropped_with_rows_in_memory() {
    let mut tail = Tail::new();
    let database = DatabaseId(tail.change(&Change::CreateDatabase { name: "shop".into() }));
    let new = NewTable {
        name: "sizes".into(),
        columns: vec![NewColumn::required("id", DataType::Int32), NewColumn::nullable("size", DataType::Int32)],
        key: vec!["id".into()],
    };
    let table = TableId(tail.change(&Change::CreateTable { database, table: new }));
    let ints = |values: [i32; 2]| std::sync::Arc::new(arrow_array::Int32Array::from(values.to_vec()));
    let rows = arrow_array::RecordBatch::try_from_iter_with_nullable([
        ("id", ints([1, 2]) as arrow_array::ArrayRef, false),
        ("size", ints([i32::MIN, 7]), true),
    ]);
    let mut stale = tail.begin();
    stale.insert(table, rows.as_ref().unwrap()).unwrap();
    let mut workspace = tail.begin();
    workspace.upsert(table, &rows.unwrap()).unwrap();
    tail.commit(workspace).unwrap();
    tail.change(&Change::RenameColumn { table, column: ColumnId(2), name: "width".into() });
    tail.change(&Change::WidenColumn { table, column: ColumnId(2), data_type: DataType::Int64 });
    let batches = tail.scan(table, tail.now(), &Projection::default());
    assert_eq!(fields(&batches[0].schema()), ["id Int32", "width Int64"]);
    let wide = arrow_array::Int64Array::from(vec![i64::from(i32::MIN), 7]);
    assert_eq!(batches[0].column(1).as_ref(), &wide as &dyn arrow_array::Array);
    // A transaction that was begun with the old columns is not committed with them.
    assert!(matches!(tail.commit(stale), Err(CommitError::SchemaChanged(at)) if at == table));
}

#[test]
fn changes_of_the_catalog_are_checked() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let state = tail.writer.state();
    let catalog = state.catalog(state.watermark()).unwrap();
    let database = catalog.find_database("shop").unwrap();
    let plan = |change| catalog.plan(&change, 100).unwrap_err();
    let int = DataType::Int64;
    assert_eq!(plan(Change::CreateDatabase { name: "shop".into() }), CatalogError::NameTaken("shop".into()));
    assert_eq!(plan(Change::CreateDatabase { name: "a\n".into() }), CatalogError::BadName("a\n".into()));
    assert_eq!(plan(Change::DropDatabase { database }), CatalogError::NotEmpty(database));
    assert_eq!(plan(Change::RenameTable { table, name: "orders".into() }), CatalogError::NameTaken("orders".into()));
    let key = CatalogError::KeyColumn("id".into());
    assert_eq!(plan(Change::DropColumn { table, column: ColumnId(1) }), key);
    assert_eq!(plan(Change::WidenColumn { table, column: ColumnId(1), data_type: int.clone() }), key);
    let column = NewColumn::nullable("_row", int.clone());
    assert_eq!(plan(Change::AddColumn { table, column }), CatalogError::BadName("_row".into()));
    let column = NewColumn::required("w", int.clone());
    assert_eq!(plan(Change::AddColumn { table, column }), CatalogError::NotNullable("w".into()));
    let narrow = plan(Change::WidenColumn { table, column: ColumnId(2), data_type: DataType::Float64 });
    assert!(matches!(narrow, CatalogError::NotWider { .. }));
    let view = NewColumn::nullable("w", DataType::Utf8View);
    assert!(matches!(plan(Change::AddColumn { table, column: view }), CatalogError::BadType { .. }));
    let system = TableId(2);
    assert_eq!(plan(Change::DropTable { table: system }), CatalogError::System(system));
    let table = NewTable {
        name: "t".into(),
        columns: vec![NewColumn::required("f", DataType::Float64)],
        key: vec!["f".into()],
    };
    assert!(matches!(plan(Change::CreateTable { database, table }), CatalogError::BadType { .. }));
}

#[test]
fn dropped_tables_are_read_at_the_time_before() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let mut workspace = tail.begin();
    workspace.insert(table, &batch(&[row(1, 1)])).unwrap();
    let before = tail.commit(workspace).unwrap();
    let mut late = tail.begin();
    late.insert(table, &batch(&[row(2, 2)])).unwrap();
    tail.change(&Change::DropTable { table });
    assert!(matches!(tail.commit(late), Err(CommitError::SchemaChanged(_))));
    assert_eq!(tail.rows(table, tail.now()), []);
    assert_eq!(tail.rows(table, before), [row(1, 1)]);
    // Another table of the same name is another table.
    let again = tail.create_table("orders", true);
    assert_ne!(again, table);
    assert_eq!(tail.rows(again, tail.now()), []);
}

#[test]
fn two_changes_of_one_catalog_do_not_both_commit() {
    let mut tail = Tail::new();
    let state = std::sync::Arc::clone(tail.writer.state());
    let catalog = state.catalog(tail.now()).unwrap();
    let change = |name: &str, number| {
        let snapshot = state.open_newest();
        let edit = catalog.plan(&Change::CreateDatabase { name: name.into() }, number).unwrap();
        logboom_logtail_core::transaction::Workspace::of_edit(snapshot, catalog.clone(), &edit).unwrap()
    };
    let (one, two) = (change("a", 20), change("a", 21));
    tail.commit(one).unwrap();
    assert!(matches!(tail.commit(two), Err(CommitError::SchemaChanged(_))));
}

#[test]
fn a_flush_changes_nothing_that_is_seen() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let mut seen = Vec::new();
    for v in 0..30 {
        let mut workspace = tail.begin();
        workspace.upsert(table, &batch(&[row(v % 7, v), row(100 - v, v)])).unwrap();
        workspace.delete(table, &keys(&[(v + 1) % 7])).unwrap();
        let at = tail.commit(workspace).unwrap();
        seen.push((at, tail.rows(table, at)));
        if v % 8 == 7 {
            tail.flush(table, Timestamp::ZERO);
            assert!(tail.writer.state().table(table).unwrap().version().memtables().is_empty());
        }
        for (at, rows) in &seen {
            assert_eq!(tail.rows(table, *at), *rows, "at {at} after {v}");
        }
    }
    let tail = tail.reopen(NOON);
    for (at, rows) in seen {
        assert_eq!(tail.rows(table, at), rows);
    }
}

#[test]
fn a_restart_needs_a_checkpoint_and_the_rest_of_the_log() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let quiet = tail.create_table("quiet", false);
    let mut seen = Vec::new();
    for v in 0..40 {
        let mut workspace = tail.begin();
        workspace.set_client_id(u128::try_from(v).unwrap());
        workspace.upsert(table, &batch(&[row(v % 7, v), row(100 + v, v)])).unwrap();
        if v == 5 {
            workspace.insert(quiet, &batch(&[row(5, 5)])).unwrap();
        }
        workspace.delete(table, &keys(&[(v + 1) % 7])).unwrap();
        let at = tail.commit(workspace).unwrap();
        seen.push((at, tail.rows(table, at), tail.rows(quiet, at)));
        if v % 8 == 7 {
            tail.flush(table, Timestamp::ZERO);
        }
        if v % 10 == 9 {
            tail.checkpoint(if v == 9 { CheckpointKind::Global } else { CheckpointKind::Incremental });
        }
        if v == 25 {
            tail.change(&Change::DropColumn { table: quiet, column: ColumnId(2) });
            tail.flush(quiet, Timestamp::ZERO);
        }
    }
    let records = tail.log.records();
    assert!(records[0].0 > 20, "the log begins at {}", records[0].0);
    let mut tail = tail.reopen(NOON);
    for (at, rows, quiet_rows) in &seen {
        assert_eq!((tail.rows(table, *at), tail.rows(quiet, *at)), (rows.clone(), quiet_rows.clone()), "at {at}");
    }
    // Ids of clients are remembered over it.
    let mut workspace = tail.begin();
    workspace.set_client_id(3);
    workspace.insert(table, &batch(&[row(1, 1)])).unwrap();
    assert_eq!(tail.commit(workspace).unwrap(), seen[3].0);
}

/// Readers see transactions before the writer hears that they are committed. A checkpoint of such leaves their rows to
/// the log, and the next one finds them there.
#[test]
fn a_checkpoint_keeps_the_log_of_what_the_writer_has_not_heard_of() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let mut workspace = tail.begin();
    workspace.insert(table, &batch(&[row(1, 1), row(2, 2)])).unwrap();
    tail.commit(workspace).unwrap();
    tail.flush(table, Timestamp::ZERO);
    // More than a page of the tail, behind a record that no row in memory is of.
    for id in 2..600 {
        let mut workspace = tail.begin();
        match id {
            2 => workspace.delete(table, &keys(&[2])).unwrap(),
            _ => workspace.insert(table, &batch(&[row(id, id)])).unwrap(),
        }
        let Ok(Outcome::Proposed { timestamp, .. }) = tail.propose(&mut workspace) else { panic!("it is proposed") };
        assert!(tail.writer.state().publish(timestamp), "no change of the catalog is before it");
    }
    tail.checkpoint(CheckpointKind::Global);
    let mut workspace = tail.begin();
    workspace.insert(table, &batch(&[row(600, 600)])).unwrap();
    let now = tail.commit(workspace).unwrap();
    tail.checkpoint(CheckpointKind::Incremental);
    let rows = tail.rows(table, now);
    assert_eq!(rows.len(), 599);
    let tail = tail.reopen(NOON);
    assert_eq!(tail.rows(table, now), rows);
}

/// A table that is never flushed does not keep the log: its rows go from checkpoint to checkpoint, until it is flushed
/// after all.
#[test]
fn rows_that_pin_the_log_are_written_to_checkpoints() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let stuck = tail.create_table("stuck", true);
    let mut seen = Vec::new();
    for v in 0..60 {
        let mut workspace = tail.begin();
        workspace.upsert(table, &batch(&[row(v, v)])).unwrap();
        if v % 4 == 0 {
            workspace.upsert(stuck, &batch(&[row(v % 12, v), row(100 + v, v)])).unwrap();
            workspace.delete(stuck, &keys(&[100 + v - 8])).unwrap();
        }
        let at = tail.commit(workspace).unwrap();
        seen.push((at, tail.rows(stuck, at)));
        if v == 33 {
            tail.change(&Change::AddColumn { table: stuck, column: NewColumn::nullable("w", DataType::Int64) });
            tail.change(&Change::DropColumn { table: stuck, column: ColumnId(4) });
        }
        if v % 5 == 4 {
            tail.flush(table, Timestamp::ZERO);
            let kind = if v == 24 { CheckpointKind::Global } else { CheckpointKind::Incremental };
            // From the second one on the rows are old.
            tail.checkpoint_with(kind, if v == 4 { Timestamp::ZERO } else { seen[0].0 });
            let first = tail.log.records()[0].0;
            assert!(v == 4 || first + 8 > tail.log.last(), "the log begins at {first} of {}", tail.log.last());
        }
        if v % 10 == 7 {
            tail = tail.reopen(NOON);
        }
        if v == 48 {
            tail.flush(stuck, Timestamp::ZERO);
        }
        for (at, rows) in &seen {
            assert_eq!(tail.rows(stuck, *at), *rows, "at {at} after {v}");
        }
    }
    tail.checkpoint_with(CheckpointKind::Global, seen[0].0);
    let tail = tail.reopen(NOON);
    for (at, rows) in &seen {
        assert_eq!(tail.rows(stuck, *at), *rows, "at {at}");
    }
}

/// What a dropped table had goes when the horizon has passed its end, in whatever it is then.
#[test]
fn dropped_tables_leave_memory_and_the_log() {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let dropped = tail.create_table("dropped", true);
    let write = |tail: &mut Tail, table, ids: std::ops::Range<i64>| {
        let mut workspace = tail.begin();
        workspace.upsert(table, &batch(&ids.map(|id| row(id, id)).collect::<Vec<_>>())).unwrap();
        tail.commit(workspace).unwrap()
    };
    write(&mut tail, dropped, 0..5);
    tail.flush(dropped, Timestamp::ZERO);
    let before = write(&mut tail, dropped, 3..8);
    let mut flush = tail.begin_flush(dropped, FlushParts::ALL, Timestamp::ZERO).unwrap();
    assert!(!tail.step_flush(&mut flush, 10).unwrap());
    tail.change(&Change::DropTable { table: dropped });
    write(&mut tail, table, 0..5);
    tail.checkpoint(CheckpointKind::Global);
    assert_eq!(tail.rows(dropped, before).len(), 8);
    let open = tail.begin_at(before).unwrap();
    let now = tail.now();
    tail.flush(table, now);
    // Somebody could still read it.
    assert!(tail.writer.state().table(dropped).is_some());
    drop(open);
    write(&mut tail, table, 5..9);
    tail.flush(table, now);
    assert!(tail.writer.state().table(dropped).is_none() && tail.begin_at(before).is_err());
    tail.checkpoint(CheckpointKind::Incremental);
    // A flush of it that was under way ends as any other.
    while !tail.step_flush(&mut flush, 10).unwrap() {
        tail.settle();
    }
    tail.writer.end_flush(flush);
    let mut tail = tail.reopen(NOON);
    assert_eq!(tail.rows(table, tail.now()).len(), 9);
    tail.checkpoint(CheckpointKind::Incremental);
    let first = tail.log.records()[0].0;
    assert!(first + 6 > tail.log.last(), "the log begins at {first} of {}", tail.log.last());
    write(&mut tail, table, 9..12);
    let tail = tail.reopen(NOON);
    assert_eq!(tail.rows(table, tail.now()).len(), 12);
}

/// The log is dropped in the middle of what a dropped table had, of which an older checkpoint of the chain still tells.
#[test]
fn a_log_that_begins_behind_rows_of_a_dropped_table_is_read() {
    let mut tail = Tail::new();
    let [dropped, kept, flushed] = ["dropped", "kept", "flushed"].map(|name| tail.create_table(name, true));
    for (table, id) in [(dropped, 1), (flushed, 1), (kept, 1), (dropped, 2)] {
        let mut workspace = tail.begin();
        workspace.insert(table, &batch(&[row(id, id)])).unwrap();
        tail.commit(workspace).unwrap();
    }
    tail.checkpoint(CheckpointKind::Global);
    tail.change(&Change::DropTable { table: dropped });
    let now = tail.now();
    tail.flush(flushed, now);
    assert!(tail.writer.state().table(dropped).is_none());
    tail.checkpoint(CheckpointKind::Incremental);
    for _ in 0..2 {
        tail = tail.reopen(NOON);
        assert!(tail.writer.state().table(dropped).is_none());
        for table in [kept, flushed] {
            assert_eq!(tail.rows(table, tail.now()), [row(1, 1)]);
        }
    }
}
