//! `Tail`: a writer on a log that the test moves by hand.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use arrow_array::{
    Array, ArrayRef, Int64Array, RecordBatch, StringArray,
    cast::AsArray,
    types::{Int64Type, UInt32Type, UInt64Type},
};
use arrow_schema::{DataType, Field, SchemaRef};
use bumpalo::Bump;
use bytes::Bytes;
use logboom_logtail_core::{
    ObjectId, RowId, RowsetId, TableId, Timestamp,
    block_meta::{BlockMeta, ObjectKind, ObjectMeta, TombstoneRange},
    catalog::{Change, NewColumn, NewTable},
    checkpoint::Item,
    flush::{EncodeJob, FlushParts, SortedBatch, TombstoneBlocks},
    key::KeyEncoder,
    log::{LogEvent, ManualLog, Refused},
    record::{Record, Tombstones},
    recovery::{Recovery, RecoveryError},
    scan::{Filter, MemoryScan, Projection, ScanPlan},
    state::Stale,
    store::ObjectName,
    table::{self, Version},
    transaction::Workspace,
    writer::{
        CheckpointKind, CheckpointStep, Checkpointing, CommitError, Flush, FlushError, FlushStep, Outcome, Writer,
    },
};

pub(crate) const NOON: Duration = Duration::from_secs(1_764_504_000);

pub(crate) type CommitResult = Result<Outcome<()>, CommitError<Refused>>;

pub(crate) struct Tail {
    pub(crate) log: ManualLog,
    pub(crate) writer: Writer,
    pub(crate) unix: Duration,
    pub(crate) store: Store,
    /// The rows of a block of an object of rows: a few, so that there are some blocks.
    pub(crate) block_rows: usize,
    arena: Bump,
    /// What the last jobs of each table came to, as far as it was not asked for.
    encoded: BTreeMap<TableId, (Objects, Option<table::Transfer>)>,
    tombstones: BTreeMap<TableId, TombstoneBlocks>,
}

/// Objects that are encoded.
type Objects = VecDeque<(ObjectMeta, Bytes)>;

/// Objects that were put, by number.
pub(crate) type Store = BTreeMap<u64, Object>;

#[derive(Clone, Debug)]
pub(crate) enum Object {
    /// Rows in their order, with their commits.
    Rows(Vec<(Row, Timestamp)>),
    /// Positions in other objects with the timestamps of their deletes, by object and in order.
    Tombstones(Vec<(u64, u32, Timestamp)>),
    /// Items of a checkpoint.
    Items(Vec<Item>),
}

impl Object {
    fn rows(&self) -> &[(Row, Timestamp)] {
        match self {
            Self::Rows(rows) => rows,
            other => panic!("{other:?} has no rows"),
        }
    }

    fn items(&self) -> Vec<Item> {
        match self {
            Self::Items(items) => items.clone(),
            other => panic!("{other:?} is no checkpoint"),
        }
    }

    fn tombstones(&self, range: TombstoneRange) -> &[(u64, u32, Timestamp)] {
        match self {
            Self::Tombstones(all) => &all[range.first as usize..(range.first + range.count) as usize],
            other => panic!("{other:?} has no tombstones"),
        }
    }
}

impl Tail {
    pub(crate) fn new() -> Self {
        Self::open(ManualLog::new(1 << 20), Store::new(), NOON)
    }

    /// A tail of the records of `log`, which serves.
    pub(crate) fn open(log: ManualLog, store: Store, unix: Duration) -> Self {
        Self::try_open(log, store, unix).expect("the log can be read")
    }

    pub(crate) fn try_open(log: ManualLog, store: Store, unix: Duration) -> Result<Self, RecoveryError> {
        let mut recovery = match log.checkpoint() {
            None => Recovery::default(),
            Some(index) => {
                let records = log.records();
                let (_, record) = records.iter().find(|(at, _)| *at == index).expect("a checkpoint is not dropped");
                let Ok((_, Record::Checkpoint(checkpoint))) = Record::decode(record) else { panic!("{record:?}") };
                let items = checkpoint.objects.iter().flat_map(|object| store[&object.id.number].items()).collect();
                Recovery::restore(*checkpoint, items).expect("the checkpoint can be read")
            }
        };
        for (index, record) in log.records() {
            recovery.record(index, &record)?;
        }
        let mut writer = Writer::new(recovery.finish(), log.last());
        writer.begin(&log).expect("the log takes records");
        let (encoded, tombstones) = (BTreeMap::new(), BTreeMap::new());
        let mut tail = Self { log, writer, unix, store, block_rows: 3, arena: Bump::new(), encoded, tombstones };
        tail.raise_bound();
        tail.settle();
        Ok(tail)
    }

    /// The log after a crash that leaves records up to `last`.
    pub(crate) fn crash(self, last: u64) -> (ManualLog, Store) {
        self.log.truncate_after(last);
        (self.log, self.store)
    }

    /// The tail, opened again.
    pub(crate) fn reopen(self, unix: Duration) -> Self {
        Self::open(self.log, self.store, unix)
    }

    pub(crate) fn raise_bound(&mut self) {
        self.writer.raise_bound(&self.log, self.unix).expect("the log takes records");
    }

    /// All records are committed.
    pub(crate) fn settle(&mut self) {
        self.writer.log_event(LogEvent::Committed(self.log.last()));
    }

    pub(crate) fn begin(&self) -> Workspace {
        self.begin_at(self.writer.state().watermark()).expect("the horizon is below")
    }

    pub(crate) fn begin_at(&self, snapshot: Timestamp) -> Result<Workspace, Stale> {
        let state = self.writer.state();
        Ok(Workspace::new(state.open_at(snapshot)?, state.catalog(snapshot)?))
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
            let live = |key: &[u8]| version.find_in_memory(key, snapshot).filter(|found| found.is_live(snapshot));
            operations.find(|key| match live(key) {
                Some(found) => Some(found.row),
                None => self.find_in_objects(&version, key, snapshot),
            });
        }
    }

    fn find_in_objects(&self, version: &Version, key: &[u8], snapshot: Timestamp) -> Option<RowId> {
        self.object_rows(version, snapshot).find(|(_, row)| encoded(row.0) == key).map(|(place, _)| place)
    }

    /// The rows in objects that are visible at `timestamp`.
    fn object_rows<'a>(
        &'a self,
        version: &'a Version,
        timestamp: Timestamp,
    ) -> impl Iterator<Item = (RowId, Row)> + 'a {
        version.objects().iter().flat_map(move |object| {
            let rows = self.store[&object.rowset().0].rows();
            let dirty: Vec<_> = object.dirty_blocks();
            let visible = (0..).zip(rows).filter(move |(at, (_, committed))| {
                let deleted = object.deleted(*at..at + 1, timestamp) == [*at];
                let is_dirty = object.block_of(*at).is_some_and(|block| dirty.contains(&block));
                assert!(is_dirty || !deleted, "the block of a deleted row is dirty");
                let persisted = self.persisted_delete(object, *at).is_some_and(|at| at <= timestamp);
                assert!(!(persisted && deleted), "a row is deleted once");
                // Rows of a load say nothing of their commit.
                let block = object.block_of(*at).map_or(Timestamp::ZERO, |at| object.meta().blocks[at].low_commit);
                (*committed).max(block) <= timestamp && !deleted && !persisted
            });
            visible.map(|(at, (row, _))| (RowId { rowset: object.rowset(), row: at }, row.clone()))
        })
    }

    /// When a row was deleted, where its tombstone says so.
    fn persisted_delete(&self, object: &table::Object, row: u32) -> Option<Timestamp> {
        let (tombstones, range) = object.tombstones_of(object.block_of(row)?)?;
        let all = self.store[&tombstones.id.number].tombstones(range);
        assert!(all.iter().all(|(number, ..)| *number == object.rowset().0), "the range is another object's");
        all.iter().find(|(_, at, _)| *at == row).map(|(.., deleted)| *deleted)
    }

    /// How many deletes of a table's rows in objects are in memory, and how many in tombstones.
    pub(crate) fn deletes(&self, table: TableId) -> (usize, usize) {
        let version = self.writer.state().table(table).expect("there is such a table").version();
        let in_memory = |object: &Arc<table::Object>| object.deleted(0..object.meta().rows(), Timestamp::MAX).len();
        let blocks = version.objects().iter().flat_map(|object| &object.meta().blocks);
        let persisted = blocks.filter_map(|block| block.tombstones).map(|range| range.count as usize).sum();
        (version.objects().iter().map(in_memory).sum(), persisted)
    }

    /// Begins a flush of a table.
    pub(crate) fn begin_flush(&mut self, table: TableId, parts: FlushParts, horizon: Timestamp) -> Option<Flush> {
        self.writer.begin_flush(table, parts, horizon)
    }

    /// A step of a flush, with what it asks for; an object takes `object_rows` rows. Returns whether it is done.
    pub(crate) fn step_flush(&mut self, flush: &mut Flush, object_rows: usize) -> Result<bool, FlushError<Refused>> {
        self.raise_bound();
        match flush.step(&mut self.writer, &self.log, self.unix)? {
            FlushStep::Wait => {}
            FlushStep::Encode(job) => self.encode(job, object_rows),
            FlushStep::NextObject => {
                let (objects, end) = self.encoded.get_mut(&flush.table()).expect("the rows are encoded");
                match objects.pop_front() {
                    Some((meta, bytes)) => flush.object(meta, bytes),
                    None => flush.encoded(end.take().expect("the end comes once")),
                }
            }
            FlushStep::EncodeTombstones(job) => _ = self.tombstones.insert(job.table, job.collect(&mut || {})),
            FlushStep::NextTombstones => match self.next_tombstones(flush.table()) {
                Some((tombstones, bytes)) => flush.tombstones(tombstones, bytes),
                None => {
                    let blocks = self.tombstones.remove(&flush.table()).expect("the end comes once");
                    flush.tombstones_encoded(blocks.into_moved());
                }
            },
            FlushStep::Put { name, bytes } => {
                let object: ObjectName = name.as_str().parse().expect("a flush puts objects");
                assert!(self.store.insert(object.id.number, decode(&bytes)).is_none(), "{name} is written twice");
                flush.put_done(Ok(())).expect("it was put");
            }
            FlushStep::Done(_) => return Ok(true),
        }
        Ok(false)
    }

    /// Makes the objects of a flush, as text.
    fn encode(&mut self, job: EncodeJob, object_rows: usize) {
        let (table, version, first) = (job.table, job.sort.schema().version(), job.first);
        let keyed = job.sort.schema().key_columns().is_some();
        let (mut rows, mut sorted) = (Vec::new(), job.sort.sort(&mut || {}));
        while let Some(SortedBatch { rows: batch, commits }) = sorted.next_batch(&mut || {}).expect("rows are sorted") {
            let commits = commits.expect("rows of a flush have them");
            let commits = commits.values().iter().map(|ts| Timestamp::from_i64(*ts).expect("it is a timestamp"));
            rows.extend(rows_of(&batch).into_iter().zip(commits));
        }
        if keyed {
            assert!(rows.is_sorted_by_key(|(row, committed)| (row.0, *committed)), "{rows:?}");
        }
        let mut transfer = sorted.into_transfer();
        let mut objects = Objects::new();
        for (number, rows) in (first.number..).zip(rows.chunks(object_rows)) {
            let id = ObjectId { nonce: first.nonce, number };
            let position = objects.iter().map(|(meta, _): &(ObjectMeta, _)| meta.rows()).sum();
            transfer.begin_object(RowsetId(number), position);
            objects.push_back((meta(id, table, version, self.block_rows, rows), lines(rows)));
        }
        self.encoded.insert(table, (objects, Some(transfer)));
    }

    fn next_tombstones(&mut self, table: TableId) -> Option<(Tombstones, Bytes)> {
        let (store, blocks) = (&self.store, self.tombstones.get_mut(&table).expect("they are collected"));
        let (id, mut all) = (blocks.next_id()?, Vec::new());
        let read = |object: &table::Object, block| {
            let (tombstones, range) = object.tombstones_of(block).expect("the block has tombstones");
            let tombstones = store[&tombstones.id.number].tombstones(range);
            Ok(tombstones.iter().map(|(_, row, deleted)| (*row, *deleted)).collect())
        };
        let write = |object: ObjectId, deletes: &[(u32, Timestamp)]| {
            all.extend(deletes.iter().map(|(row, deleted)| (object.number, *row, *deleted)));
            Ok::<_, ()>(())
        };
        let collected = blocks.next_object(read, write).expect("nothing fails here");
        let rows: Vec<_> = all.iter().map(|(.., deleted)| (row(0, 0), *deleted)).collect();
        let mut meta = meta(id, table, 0, 150, &rows);
        meta.kind = ObjectKind::Tombstones;
        let line = |(object, row, at): &(u64, u32, Timestamp)| format!("{object} {row} {}\n", at.to_i64());
        let lines: String = all.iter().map(line).collect();
        Some((collected.tombstones(meta), lines.into()))
    }

    /// A step of a checkpoint, with what it asks for. Returns whether it is done.
    pub(crate) fn step_checkpoint(&mut self, checkpoint: &mut Checkpointing) -> Result<bool, FlushError<Refused>> {
        match checkpoint.step(&mut self.writer, &self.log)? {
            CheckpointStep::Wait => {}
            CheckpointStep::Encode(id, captured) => {
                let items = captured.items().expect("the rows can be encoded");
                let rows = [(row(0, 0), Timestamp::ZERO)];
                let mut meta = meta(id, TableId(0), 0, 3, &rows);
                meta.kind = ObjectKind::Checkpoint;
                checkpoint.encoded(meta, encode_items(&items));
            }
            CheckpointStep::Put { name, bytes } => {
                let object: ObjectName = name.as_str().parse().expect("a checkpoint puts an object");
                let items = Object::Items(decode_items(&bytes));
                assert!(self.store.insert(object.id.number, items).is_none(), "{name} is written twice");
                checkpoint.put_done(Ok(())).expect("it was put");
            }
            CheckpointStep::Done(()) => return Ok(true),
        }
        Ok(false)
    }

    /// Writes a checkpoint to its end.
    pub(crate) fn checkpoint(&mut self, kind: CheckpointKind) {
        self.checkpoint_with(kind, Timestamp::ZERO);
    }

    pub(crate) fn checkpoint_with(&mut self, kind: CheckpointKind, pinned: Timestamp) {
        let Some(mut checkpoint) = self.writer.begin_checkpoint(kind, pinned) else { return };
        while !self.step_checkpoint(&mut checkpoint).expect("the checkpoint goes on") {
            self.settle();
        }
        self.writer.end_checkpoint(checkpoint);
    }

    /// Flushes a table to its end.
    pub(crate) fn flush(&mut self, table: TableId, horizon: Timestamp) {
        self.flush_parts(table, FlushParts::ALL, horizon);
    }

    pub(crate) fn flush_parts(&mut self, table: TableId, parts: FlushParts, horizon: Timestamp) {
        let Some(mut flush) = self.begin_flush(table, parts, horizon) else { return };
        while !self.step_flush(&mut flush, 1 << 20).expect("the flush goes on") {
            self.settle();
        }
        self.writer.end_flush(flush);
    }

    /// A change of the catalog, visible on return; gives the number that it was given.
    pub(crate) fn change(&mut self, change: &Change) -> u64 {
        self.raise_bound();
        self.settle();
        let (number, outcome) = self.propose_change(change);
        outcome.expect("no other change is under way");
        self.settle();
        number
    }

    /// A change of the catalog, with the number that it was given; durable is another matter.
    pub(crate) fn propose_change(&mut self, change: &Change) -> (u64, CommitResult) {
        let number = self.writer.take_number();
        let snapshot = self.writer.state().open_newest();
        let catalog = self.writer.state().catalog(snapshot.timestamp()).expect("the horizon is below");
        let edit = catalog.plan(change, number).expect("the change can be made");
        let mut workspace = Workspace::of_edit(snapshot, catalog, &edit).expect("the edit fits");
        (number, self.propose(&mut workspace))
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

    pub(crate) fn scan(&self, table: TableId, timestamp: Timestamp, projection: &Projection) -> Vec<RecordBatch> {
        let state = self.writer.state();
        let catalog = state.catalog(timestamp).expect("the horizon is below");
        let Some(schema) = catalog.table(table) else { return Vec::new() };
        let version = state.table(table).expect("a table of the catalog").version();
        let plan = ScanPlan::new(schema, projection, &Filter::default()).expect("columns of the table");
        let scan = MemoryScan::new(&version, timestamp, Arc::new(plan));
        scan.collect::<Result<_, _>>().expect("rows in memory can be read")
    }

    /// The rows `(id, v, s)` at `timestamp`, sorted.
    pub(crate) fn rows(&self, table: TableId, timestamp: Timestamp) -> Vec<Row> {
        let mut rows: Vec<_> = self.scan(table, timestamp, &Projection::default()).iter().flat_map(rows_of).collect();
        if let Some(table) = self.writer.state().table(table).filter(|table| self.is_there(table.id(), timestamp)) {
            rows.extend(self.object_rows(&table.version(), timestamp).map(|(_, row)| row));
        }
        rows.sort();
        rows
    }

    fn is_there(&self, table: TableId, timestamp: Timestamp) -> bool {
        self.writer.state().catalog(timestamp).is_ok_and(|catalog| catalog.table(table).is_some())
    }

    /// The places of the rows at `timestamp`, with the rows.
    pub(crate) fn places(&self, table: TableId, timestamp: Timestamp) -> Vec<(RowId, Row)> {
        let mut projection = Projection::default();
        projection.row_ids = true;
        let version = self.writer.state().table(table).expect("there is such a table").version();
        let in_objects: Vec<_> = self.object_rows(&version, timestamp).collect();
        let batches = self.scan(table, timestamp, &projection);
        let in_memory = batches.iter().flat_map(|batch| {
            let rowsets = batch["_rowset"].as_primitive::<UInt64Type>().values().to_vec();
            let rows = batch["_row"].as_primitive::<UInt32Type>().values().to_vec();
            let places = rowsets.into_iter().zip(rows).map(|(rowset, row)| RowId { rowset: RowsetId(rowset), row });
            places.zip(rows_of(batch)).collect::<Vec<_>>()
        });
        in_memory.chain(in_objects).collect()
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

pub(crate) fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let (ids, vs) = (batch["id"].as_primitive::<Int64Type>(), batch["v"].as_primitive::<Int64Type>());
    let texts = batch["s"].as_string::<i32>();
    (0..batch.num_rows())
        .map(|row| (ids.value(row), vs.value(row), texts.is_valid(row).then(|| texts.value(row).to_owned())))
        .collect()
}

pub(crate) fn fields(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect()
}

/// The encoded key of a row.
pub(crate) fn encoded(id: i64) -> Vec<u8> {
    let encoder = KeyEncoder::new([&Field::new("id", DataType::Int64, false)]).expect("it is a key's type");
    encoder.encode(&keys(&[id])).expect("it is a key").get(0).expect("it is one").to_vec()
}

/// Rows as lines.
pub(crate) fn lines(rows: &[(Row, Timestamp)]) -> Bytes {
    let line =
        |((id, v, s), at): &(Row, Timestamp)| format!("{id} {v} {} {}\n", at.to_i64(), s.as_deref().unwrap_or("-"));
    rows.iter().map(line).collect::<String>().into()
}

/// What an object's bytes are: rows have four fields, tombstones three.
pub(crate) fn decode(bytes: &[u8]) -> Object {
    let text = std::str::from_utf8(bytes).expect("objects are text");
    let number = |field: &str| field.parse::<i64>().expect("it is a number");
    let timestamp = |field: &str| Timestamp::from_i64(number(field)).expect("it is a timestamp");
    let (mut rows, mut tombstones) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            [id, v, at, s] => rows.push(((number(id), number(v), (s != "-").then(|| s.to_owned())), timestamp(at))),
            [object, row, at] => {
                tombstones.push((object.parse().expect("a number"), row.parse().expect("a number"), timestamp(at)));
            }
            _ => panic!("{line} is no line of an object"),
        }
    }
    if tombstones.is_empty() { Object::Rows(rows) } else { Object::Tombstones(tombstones) }
}

fn encode_items(items: &[Item]) -> Bytes {
    let mut out = Vec::new();
    for item in items {
        let (kind, table, bytes) = item.encode().expect("metadata are right");
        out.extend(kind.to_le_bytes());
        out.extend(table.0.to_le_bytes());
        out.extend((bytes.len() as u64).to_le_bytes());
        out.extend(bytes);
    }
    out.into()
}

fn decode_items(mut bytes: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(17) {
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("it has eight bytes"));
        let (content, rest) = rest.split_at(usize::try_from(number(9)).expect("it is small"));
        let kind = i8::from_le_bytes([head[0]]);
        items.push(Item::decode(kind, TableId(number(1)), content).expect("it is an item"));
        bytes = rest;
    }
    items
}

pub(crate) fn meta(
    id: ObjectId,
    table: TableId,
    schema_version: i32,
    block_rows: usize,
    rows: &[(Row, Timestamp)],
) -> ObjectMeta {
    let block = |(first_row, rows): (u32, &[(Row, Timestamp)])| BlockMeta {
        first_row,
        rows: u32::try_from(rows.len()).expect("a block is small"),
        low_key: None,
        high_key: None,
        low_commit: rows.iter().map(|(_, at)| *at).min().expect("a block has rows"),
        high_commit: rows.iter().map(|(_, at)| *at).max().expect("a block has rows"),
        sorted: false,
        created: Timestamp::ZERO,
        deleted: None,
        appendable: false,
        tombstones: None,
        truncation_point: Timestamp::ZERO,
    };
    let blocks = (0..).step_by(block_rows).zip(rows.chunks(block_rows)).map(block).collect();
    let kind = ObjectKind::Rows;
    ObjectMeta { id, table, kind, schema_version, bytes: 100, footer_offset: 90, footer_crc: 0, blocks }
}
