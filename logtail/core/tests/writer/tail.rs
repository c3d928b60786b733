//! `Tail`: a writer on a log that the test moves by hand.

use std::{sync::Arc, time::Duration};

use arrow_array::{
    Array, ArrayRef, Int64Array, RecordBatch, StringArray,
    cast::AsArray,
    types::{Int64Type, UInt32Type, UInt64Type},
};
use arrow_schema::{DataType, SchemaRef};
use bumpalo::Bump;
use logboom_logtail_core::{
    RowId, RowsetId, TableId, Timestamp,
    catalog::{Change, NewColumn, NewTable},
    log::{LogEvent, ManualLog, Refused},
    recovery::{Recovery, RecoveryError},
    scan::{MemoryScan, Projection},
    transaction::Workspace,
    writer::{CommitError, Outcome, Writer},
};

pub(crate) const NOON: Duration = Duration::from_secs(1_764_504_000);

pub(crate) type CommitResult = Result<Outcome<()>, CommitError<Refused>>;

pub(crate) struct Tail {
    pub(crate) log: ManualLog,
    pub(crate) writer: Writer,
    pub(crate) unix: Duration,
    arena: Bump,
}

impl Tail {
    pub(crate) fn new() -> Self {
        Self::open(ManualLog::new(1 << 20), NOON)
    }

    /// A tail of the records of `log`, which serves.
    pub(crate) fn open(log: ManualLog, unix: Duration) -> Self {
        Self::try_open(log, unix).expect("the log can be read")
    }

    pub(crate) fn try_open(log: ManualLog, unix: Duration) -> Result<Self, RecoveryError> {
        let mut recovery = Recovery::default();
        for (index, record) in log.records() {
            recovery.record(index, &record)?;
        }
        let mut writer = Writer::new(recovery.finish(), log.last());
        writer.begin(&log).expect("the log takes records");
        let mut tail = Self { log, writer, unix, arena: Bump::new() };
        tail.raise_bound();
        tail.settle();
        Ok(tail)
    }

    /// The log after a crash that leaves records up to `last`.
    pub(crate) fn crash(self, last: u64) -> ManualLog {
        self.log.truncate_after(last);
        self.log
    }

    pub(crate) fn raise_bound(&mut self) {
        self.writer.raise_bound(&self.log, self.unix).expect("the log takes records");
    }

    /// All records are committed.
    pub(crate) fn settle(&mut self) {
        self.writer.log_event(LogEvent::Committed(self.log.last()));
    }

    pub(crate) fn begin(&self) -> Workspace {
        self.begin_at(self.writer.state().watermark())
    }

    pub(crate) fn begin_at(&self, snapshot: Timestamp) -> Workspace {
        Workspace::new(snapshot, self.writer.state().catalog(snapshot).expect("the horizon is below"))
    }

    /// Looks the keys up and commits; durable is another matter.
    pub(crate) fn propose(&mut self, workspace: &mut Workspace) -> CommitResult {
        self.find_keys(workspace);
        self.arena.reset();
        let mut record = workspace.encode(&self.arena).expect("the rows can be encoded");
        self.writer.commit(&self.log, workspace, &mut record, self.unix)
    }

    /// Commits, and waits until readers see it.
    pub(crate) fn commit(&mut self, mut workspace: Workspace) -> Result<Timestamp, CommitError<Refused>> {
        self.raise_bound();
        self.settle();
        let outcome = self.propose(&mut workspace)?;
        self.settle();
        Ok(match outcome {
            Outcome::Proposed { timestamp, .. } | Outcome::Repeated { timestamp } => timestamp,
            Outcome::Empty => workspace.snapshot(),
        })
    }

    pub(crate) fn find_keys(&self, workspace: &mut Workspace) {
        let snapshot = workspace.snapshot();
        for operations in workspace.tables_mut() {
            let Some(table) = self.writer.state().table(operations.schema().id()) else { continue };
            let version = table.version();
            let found: Vec<_> = operations
                .keys_to_find()
                .map(|wanted| (wanted.operation, version.find_in_memory(wanted.key, snapshot)))
                .collect();
            for (operation, found) in found {
                operations.set_found(operation, found.filter(|found| found.is_live(snapshot)).map(|found| found.row));
            }
        }
    }

    /// A change of the catalog, visible on return; gives the number that it was given.
    pub(crate) fn change(&mut self, change: &Change) -> u64 {
        let number = self.writer.take_number();
        let snapshot = self.writer.state().watermark();
        let catalog = self.writer.state().catalog(snapshot).expect("the horizon is below");
        let edit = catalog.plan(change, number).expect("the change can be made");
        let workspace = Workspace::of_edit(snapshot, catalog, &edit).expect("the edit fits");
        self.commit(workspace).expect("nobody else changes the catalog");
        number
    }

    /// A table `id: i64, v: i64, s: utf8 or null`, with key `id` or without one.
    pub(crate) fn create_table(&mut self, name: &str, keyed: bool) -> TableId {
        let state = self.writer.state();
        let database = state.catalog(state.watermark()).expect("the horizon is below").find_database("shop");
        let database = database.map_or_else(|| self.change(&Change::CreateDatabase { name: "shop".into() }), |id| id.0);
        let table = NewTable {
            name: name.into(),
            columns: vec![
                NewColumn::required("id", DataType::Int64),
                NewColumn::required("v", DataType::Int64),
                NewColumn::nullable("s", DataType::Utf8),
            ],
            key: if keyed { vec!["id".into()] } else { Vec::new() },
        };
        TableId(self.change(&Change::CreateTable { database: logboom_logtail_core::DatabaseId(database), table }))
    }

    pub(crate) fn scan(&self, table: TableId, timestamp: Timestamp, projection: Projection) -> Vec<RecordBatch> {
        let state = self.writer.state();
        let catalog = state.catalog(timestamp).expect("the horizon is below");
        let Some(schema) = catalog.table(table) else { return Vec::new() };
        let version = state.table(table).expect("a table of the catalog").version();
        let scan = MemoryScan::new(&version, schema, timestamp, projection);
        scan.collect::<Result<_, _>>().expect("rows in memory can be read")
    }

    /// The rows `(id, v, s)` at `timestamp`, sorted.
    pub(crate) fn rows(&self, table: TableId, timestamp: Timestamp) -> Vec<Row> {
        let mut rows: Vec<_> = self.scan(table, timestamp, Projection::default()).iter().flat_map(rows_of).collect();
        rows.sort();
        rows
    }

    /// The places of the rows at `timestamp`, with the rows.
    pub(crate) fn places(&self, table: TableId, timestamp: Timestamp) -> Vec<(RowId, Row)> {
        let mut projection = Projection::default();
        projection.row_ids = true;
        let batches = self.scan(table, timestamp, projection);
        batches
            .iter()
            .flat_map(|batch| {
                let rowsets = batch["_rowset"].as_primitive::<UInt64Type>().values().to_vec();
                let rows = batch["_row"].as_primitive::<UInt32Type>().values().to_vec();
                let places = rowsets.into_iter().zip(rows).map(|(rowset, row)| RowId { rowset: RowsetId(rowset), row });
                places.zip(rows_of(batch)).collect::<Vec<_>>()
            })
            .collect()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.writer.state().watermark()
    }
}

pub(crate) type Row = (i64, i64, Option<String>);

pub(crate) fn row(id: i64, v: i64) -> Row {
    (id, v, (v % 3 != 0).then(|| format!("s{v}")))
}

/// The rows as a batch of the schema of [`Tail::create_table`].
pub(crate) fn batch(rows: &[Row]) -> RecordBatch {
    let columns: [(&str, ArrayRef, bool); 3] = [
        ("id", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))), false),
        ("v", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))), false),
        ("s", Arc::new(rows.iter().map(|row| row.2.clone()).collect::<StringArray>()), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).expect("the columns are of one length")
}

pub(crate) fn keys(ids: &[i64]) -> Vec<ArrayRef> {
    vec![Arc::new(Int64Array::from(ids.to_vec()))]
}

fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let (ids, vs) = (batch["id"].as_primitive::<Int64Type>(), batch["v"].as_primitive::<Int64Type>());
    let texts = batch["s"].as_string::<i32>();
    (0..batch.num_rows())
        .map(|row| (ids.value(row), vs.value(row), texts.is_valid(row).then(|| texts.value(row).to_owned())))
        .collect()
}

pub(crate) fn fields(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect()
}
