//! `Orders`: rows of a table of orders.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use logboom_logtail_core::catalog::{NewColumn, NewTable};

use crate::Result;

/// Gives batches of orders with ids that are random, and so new.
///
/// What else is in the rows comes from a pool: it costs the caller little, and the log tail as much as any rows.
#[derive(Debug)]
pub(super) struct Orders {
    schema: SchemaRef,
    pool: Vec<Vec<ArrayRef>>,
    rows: usize,
    next: usize,
    rng: fastrand::Rng,
}

/// The rows in the pool: few enough that those of 16 threads stay in the caches, as do rows that a client has just
/// made.
const POOL_ROWS: usize = 640;

/// A table of orders: eight columns, with `id` as its key or without one.
pub(super) fn new_table(name: impl Into<String>, keyed: bool) -> NewTable {
    let columns = vec![
        NewColumn::required("id", DataType::Int64),
        NewColumn::required("customer", DataType::Int64),
        NewColumn::required("quantity", DataType::Int32),
        NewColumn::required("price", DataType::Float64),
        NewColumn::required("placed", DataType::Timestamp(TimeUnit::Microsecond, None)),
        NewColumn::required("status", DataType::Utf8),
        NewColumn::required("city", DataType::Utf8),
        NewColumn::nullable("note", DataType::Utf8),
    ];
    NewTable { name: name.into(), columns, key: if keyed { vec!["id".into()] } else { Vec::new() } }
}

impl Orders {
    /// Batches of `rows` orders, of the `schema` of their table.
    pub(super) fn new(schema: SchemaRef, rows: usize, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let pool = (0..POOL_ROWS.div_ceil(rows)).map(|_| others(rows, &mut rng)).collect();
        Self { schema, pool, rows, next: 0, rng }
    }

    /// The next batch.
    pub(super) fn next(&mut self) -> Result<RecordBatch> {
        let ids: Int64Array = (0..self.rows).map(|_| self.rng.i64(..)).collect::<Vec<_>>().into();
        let others = self.pool.get(self.next).ok_or("the pool is empty")?;
        self.next = (self.next + 1) % self.pool.len();
        let columns = [Arc::new(ids) as ArrayRef].into_iter().chain(others.iter().cloned()).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

/// The bytes of the rows themselves, by Arrow's layout.
pub(super) fn arrow_bytes(rows: &RecordBatch) -> Result<usize> {
    let bytes = rows.columns().iter().map(|column| column.to_data().get_slice_memory_size());
    Ok(bytes.sum::<Result<usize, _>>()?)
}

/// The columns behind the id.
fn others(rows: usize, rng: &mut fastrand::Rng) -> Vec<ArrayRef> {
    const STATES: [&str; 5] = ["new", "paid", "packed", "shipped", "returned"];
    let customers: Vec<i64> = (0..rows).map(|_| rng.i64(0..1_000_000)).collect();
    let quantities: Vec<i32> = (0..rows).map(|_| rng.i32(1..20)).collect();
    let prices: Vec<f64> = (0..rows).map(|_| f64::from(rng.u32(100..100_000)) / 100.0).collect();
    let placed: Vec<i64> = (0..rows).map(|_| NOON_US + rng.i64(0..3_600_000_000)).collect();
    let states: Vec<&str> = (0..rows).map(|_| STATES[rng.usize(..STATES.len())]).collect();
    let cities: Vec<String> = (0..rows).map(|_| format!("city-{:04}", rng.u32(..10_000))).collect();
    let notes: Vec<Option<String>> =
        (0..rows).map(|_| rng.bool().then(|| format!("leave it at door {:06}", rng.u32(..1_000_000)))).collect();
    vec![
        Arc::new(Int64Array::from(customers)),
        Arc::new(Int32Array::from(quantities)),
        Arc::new(Float64Array::from(prices)),
        Arc::new(TimestampMicrosecondArray::from(placed)),
        Arc::new(StringArray::from(states)),
        Arc::new(StringArray::from(cities)),
        Arc::new(StringArray::from(notes)),
    ]
}

const NOON_US: i64 = 1_764_504_000_000_000;
