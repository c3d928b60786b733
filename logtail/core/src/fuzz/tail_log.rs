//! Logs of a tail whose records were edited: opened, or refused by a typed error.

use std::{sync::Arc, time::Duration};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use bumpalo::Bump;
use bytes::Bytes;

use super::Meter;
use crate::{
    block_meta::{BlockMeta, ObjectKind, ObjectMeta},
    catalog::{Change, NewColumn, NewTable},
    checkpoint::Item,
    ids::{DatabaseId, TableId},
    log::{LogEvent, ManualLog},
    record::Record,
    recovery::{Recovered, Recovery},
    scan::{Filter, MemoryScan, Projection, ScanPlan},
    timestamp::Timestamp,
    transaction::Workspace,
    writer::{LoadStep, Outcome, Writer},
};

/// Reads a record, an item of a checkpoint, or a log of records of which the input edits some. What is read takes
/// memory in proportion, and a log that can be read can be written on, and read again.
pub fn tail_log(bytes: &[u8], meter: Meter<'_>) {
    let Some((mode, input)) = bytes.split_first() else { return };
    match mode % 3 {
        0 => record(input, meter),
        1 => item(input, meter),
        _ => log(input),
    }
}

fn record(bytes: &[u8], meter: Meter<'_>) {
    let before = meter();
    let read = Record::decode(bytes);
    let (allocated, len) = (meter() - before, bytes.len() as u64);
    assert!(allocated <= 64 * len + (4 << 10), "{allocated} allocated for {len}");
    if let Ok((_, Record::Commit(commit))) = read {
        let deleted: usize = commit.sections.iter().map(|section| section.deleted.iter().count()).sum();
        assert_eq!(deleted, commit.sections.iter().map(|section| section.deleted.len()).sum::<usize>());
    }
}

fn item(bytes: &[u8], meter: Meter<'_>) {
    let Some((kind, content)) = bytes.split_first() else { return };
    let kind = i8::from_le_bytes([*kind]);
    let before = meter();
    let read = Item::decode(kind, TableId(17), content);
    let (allocated, len) = (meter() - before, content.len() as u64);
    assert!(allocated <= 64 * len + (4 << 10), "{allocated} allocated for {len}");
    if let Ok(item) = read {
        let (kind, _, content) = item.encode().expect("what was read can be written");
        assert_eq!(Item::decode(kind, TableId(17), &content), Ok(item), "read otherwise when it is written again");
    }
}

/// Edits of records: three bytes each, the record, the place in it, and the byte.
fn log(input: &[u8]) {
    let mut records = sample();
    for [record, at, byte] in input.as_chunks::<3>().0 {
        let record = usize::from(*record) % records.len();
        let (_, bytes) = &mut records[record];
        let at = usize::from(*at) % bytes.len();
        bytes[at] = *byte;
    }
    let log = ManualLog::of(records, 1 << 20);
    let Some(recovered) = read(&log) else { return };
    let mut writer = Writer::new(recovered, 99);
    let before = rows(&writer);
    assert!(writer.begin(&log).is_ok() && writer.raise_bound(&log, NOON).is_ok(), "the log takes records");
    settle(&mut writer, &log);
    if let Ok(Outcome::Proposed { .. }) = upsert(&mut writer, &log, &[1, 99]) {
        settle(&mut writer, &log);
    }
    let now = rows(&writer);
    let again = read(&log).expect("what was written to a log that was read can be read");
    assert_eq!(rows(&Writer::new(again, 100)), now, "read otherwise the second time, and {before:?} before");
}

const NOON: Duration = Duration::from_secs(1_764_504_000);

fn read(log: &ManualLog) -> Option<Recovered> {
    let mut recovery = Recovery::default();
    for (index, record) in log.records() {
        recovery.record(index, &record).ok()?;
    }
    Some(recovery.finish())
}

fn settle(writer: &mut Writer, log: &ManualLog) {
    writer.log_event(LogEvent::Committed(log.last()));
}

/// How many rows each table has.
fn rows(writer: &Writer) -> Vec<(TableId, usize)> {
    let state = writer.state();
    let snapshot = state.open_newest();
    let catalog = state.catalog_of(&snapshot);
    let count = |schema: &Arc<crate::catalog::TableSchema>| {
        let version = state.table(schema.id())?.version();
        let plan = ScanPlan::new(schema, &Projection::default(), &Filter::default()).ok()?;
        let scan = MemoryScan::new(&version, snapshot.timestamp(), Arc::new(plan));
        Some((schema.id(), scan.flatten().map(|batch| batch.num_rows()).sum()))
    };
    catalog.tables().filter_map(count).collect()
}

/// Upserts rows into the first user's table of the sample's schema.
fn upsert(writer: &mut Writer, log: &ManualLog, ids: &[i64]) -> Result<Outcome<()>, String> {
    let snapshot = writer.state().open_newest();
    let catalog = writer.state().catalog_of(&snapshot);
    let table = catalog.tables().find(|table| !crate::catalog::is_system(table.id())).ok_or("there is no table")?.id();
    let mut workspace = Workspace::new(snapshot, catalog);
    let columns: [(&str, ArrayRef, bool); 2] = [
        ("id", Arc::new(Int64Array::from(ids.to_vec())), false),
        ("s", Arc::new(StringArray::from_iter(ids.iter().map(|id| (id % 2 == 0).then(|| id.to_string())))), true),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).map_err(|error| error.to_string())?;
    workspace.upsert(table, &batch).map_err(|error| error.to_string())?;
    commit(writer, log, workspace)
}

fn commit(writer: &mut Writer, log: &ManualLog, mut workspace: Workspace) -> Result<Outcome<()>, String> {
    let snapshot = workspace.snapshot();
    for operations in workspace.tables_mut() {
        let Some(table) = writer.state().table(operations.schema().id()) else { continue };
        let version = table.version();
        operations.find(|key| {
            let found = version.find_in_memory(key, snapshot)?;
            found.is_live(snapshot).then_some(found.row)
        });
    }
    let arena = Bump::new();
    let mut record = workspace.encode(&arena).map_err(|error| error.to_string())?;
    writer.commit(log, &workspace, &mut record, NOON).map_err(|error| error.to_string())
}

/// A log of a table, some rows, a delete, and a load.
fn sample() -> Vec<(u64, Vec<u8>)> {
    let log = ManualLog::new(1 << 20);
    let mut writer = Writer::new(Recovered::default(), 7);
    assert!(writer.begin(&log).is_ok() && writer.raise_bound(&log, NOON).is_ok(), "the log takes records");
    settle(&mut writer, &log);
    let columns = vec![NewColumn::required("id", DataType::Int64), NewColumn::nullable("s", DataType::Utf8)];
    let table = NewTable { name: "t".into(), columns, key: vec!["id".into()] };
    change(&mut writer, &log, 16, &Change::CreateDatabase { name: "d".into() });
    change(&mut writer, &log, 17, &Change::CreateTable { database: DatabaseId(16), table });
    for ids in [&[1, 2, 3][..], &[2, 7], &[1]] {
        assert!(upsert(&mut writer, &log, ids).is_ok(), "the sample's rows fit");
        settle(&mut writer, &log);
    }
    load(&mut writer, &log, TableId(17));
    log.records()
}

/// Loads two rows with keys that the other transactions do not write.
fn load(writer: &mut Writer, log: &ManualLog, table: TableId) {
    let mut load = writer.begin_load(table).expect("the sample's table is there");
    let meta = ObjectMeta {
        id: writer.take_objects(),
        table,
        kind: ObjectKind::Rows,
        schema_version: 1,
        bytes: 100,
        footer_offset: 90,
        footer_crc: 0,
        blocks: vec![block()],
    };
    assert!(load.add(log, vec![(meta, Bytes::new())]).is_ok(), "an entry has room");
    loop {
        match load.step(writer, log, NOON) {
            Ok(LoadStep::Ready) => load.complete(),
            Ok(LoadStep::Check(_)) => load.checked(),
            Ok(LoadStep::Put { .. }) => assert!(load.put_done(Ok(())).is_ok(), "it was put"),
            Ok(LoadStep::Wait) => settle(writer, log),
            Ok(LoadStep::Done(_)) => break,
            Err(error) => panic!("the sample's load fails: {error}"),
        }
    }
    writer.end_load(load);
}

fn block() -> BlockMeta {
    BlockMeta {
        first_row: 0,
        rows: 2,
        low_key: Some(vec![0x90; 8]),
        high_key: Some(vec![0x91; 8]),
        low_commit: Timestamp::ZERO,
        high_commit: Timestamp::ZERO,
        sorted: true,
        created: Timestamp::ZERO,
        deleted: None,
        appendable: false,
        tombstones: None,
        truncation_point: Timestamp::ZERO,
    }
}

fn change(writer: &mut Writer, log: &ManualLog, number: u64, change: &Change) {
    let snapshot = writer.state().open_newest();
    let catalog = writer.state().catalog_of(&snapshot);
    let edit = catalog.plan(change, number).expect("the sample's change can be made");
    let workspace = Workspace::of_edit(snapshot, catalog, &edit).expect("the edit fits");
    assert!(commit(writer, log, workspace).is_ok(), "the sample's change can be committed");
    settle(writer, log);
}
