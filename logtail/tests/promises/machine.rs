//! `Machine`: what outlives a process, and a table to write.

use std::{sync::Arc, time::Duration};

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, cast::AsArray, types::Int64Type};
use arrow_schema::DataType;
use logboom::{
    Clock, Config, Engine, ManualClock, Runtime, ShardId,
    disk::{SimDisk, SimOptions},
};
use logboom_logtail::{
    FlushParts, FlushProgress, Flushing, NewColumn, NewTable, Options, Projection, Result, StoreChoice, TableId, Tail,
    Timestamp,
};

use crate::virtual_store::VirtualStore;

pub(crate) const NOON: Duration = Duration::from_secs(1_764_504_000);

/// An id, which is the key, and a value.
pub(crate) type Row = (i64, Option<i64>);

pub(crate) struct Machine {
    pub(crate) disk: Arc<SimDisk>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: VirtualStore,
    pub(crate) options: Options,
}

/// A process: an engine, and a tail that has no threads.
pub(crate) struct Process {
    pub(crate) engine: Engine,
    pub(crate) tail: Tail,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new(7);
        clock.set_unix(NOON);
        let store = VirtualStore::new();
        let mut options = Options::new("");
        options.store = StoreChoice::Given(Arc::new(store.clone()));
        options.threads = false;
        options.clock = Some(Arc::clone(&clock) as Arc<dyn Clock>);
        Self { disk: SimDisk::new(7, SimOptions::default()), clock, store, options }
    }

    pub(crate) fn start(&self) -> Process {
        let mut config = Config::new("simulated");
        config.segment_bytes = 256 << 10;
        let runtime = Runtime::Manual(Arc::clone(&self.clock) as _);
        let engine = Engine::open_on(Arc::clone(&self.disk) as _, config, runtime).unwrap();
        let tail = Tail::open(&engine, ShardId(1), self.options.clone()).unwrap();
        Process { engine, tail }
    }

    /// The process ends with the power: what was not synced may be gone.
    pub(crate) fn cut_power(&mut self, process: Process) {
        self.disk = self.disk.power_cut();
        drop(process.tail);
        drop(process.engine.close());
        self.store.restart();
    }

    /// The process ends in good order, and the next one starts.
    pub(crate) fn restart(&self, process: Process) -> Process {
        process.tail.close().unwrap();
        process.engine.close().unwrap();
        self.store.restart();
        self.start()
    }
}

pub(crate) fn columns() -> Vec<NewColumn> {
    vec![NewColumn::required("id", DataType::Int64), NewColumn::nullable("value", DataType::Int64)]
}

pub(crate) fn create(tail: &Tail) -> TableId {
    let database = tail.create_database("shop").unwrap();
    tail.create_table(database, NewTable { name: "orders".into(), columns: columns(), key: vec!["id".into()] }).unwrap()
}

pub(crate) fn batch(rows: &[Row]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>());
    let values: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>());
    RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("value", values, true)]).unwrap()
}

pub(crate) fn keys(ids: &[i64]) -> Vec<ArrayRef> {
    vec![Arc::new(Int64Array::from(ids.to_vec()))]
}

pub(crate) fn upsert(tail: &Tail, table: TableId, rows: &[Row]) -> Result<Timestamp> {
    let mut transaction = tail.begin();
    transaction.upsert(table, &batch(rows))?;
    transaction.commit()
}

pub(crate) fn delete(tail: &Tail, table: TableId, ids: &[i64]) -> Result<Timestamp> {
    let mut transaction = tail.begin();
    transaction.delete(table, &keys(ids))?;
    transaction.commit()
}

/// The rows at a timestamp by their ids.
pub(crate) fn rows(tail: &Tail, table: TableId, at: Timestamp) -> Vec<Row> {
    let batches = tail.scan(table, at, Projection::default()).unwrap().map(Result::unwrap);
    let of_batch = |batch: RecordBatch| {
        let (ids, values) = (batch["id"].as_primitive::<Int64Type>(), batch["value"].as_primitive::<Int64Type>());
        (0..batch.num_rows())
            .map(|at| (ids.value(at), values.is_valid(at).then(|| values.value(at))))
            .collect::<Vec<_>>()
    };
    let mut rows: Vec<_> = batches.flat_map(of_batch).collect();
    rows.sort_unstable();
    rows
}

/// Does the next step of a flush, and what it waits for. Returns whether it is done.
pub(crate) fn step(tail: &Tail, flushing: &mut Flushing) -> Result<bool> {
    match flushing.step()? {
        FlushProgress::Done => return Ok(true),
        FlushProgress::WaitsForLog => tail.clone().close()?,
        _ => {}
    }
    Ok(false)
}

pub(crate) fn begin_flush(tail: &Tail, table: TableId) -> Flushing {
    tail.begin_flush(table, FlushParts::ALL).unwrap()
}
