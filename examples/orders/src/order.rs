//! `Order`: a row of the table, and batches of them.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, cast::AsArray, types::Int64Type};
use arrow_schema::DataType;
use logboom_logtail::NewColumn;

use crate::Result;

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) buyer: String,
    pub(crate) cents: i64,
    /// Why it is not delivered, if so.
    pub(crate) note: Option<String>,
}

/// Orders by their ids.
pub(crate) type Orders = BTreeMap<i64, Order>;

/// The columns of the table, of which `id` is the key.
pub(crate) fn columns() -> Vec<NewColumn> {
    vec![
        NewColumn::required("id", DataType::Int64),
        NewColumn::required("buyer", DataType::Utf8),
        NewColumn::required("cents", DataType::Int64),
        NewColumn::nullable("note", DataType::Utf8),
    ]
}

/// The orders as rows.
pub(crate) fn to_batch(orders: &Orders) -> Result<RecordBatch> {
    let ids: ArrayRef = Arc::new(orders.keys().map(|id| Some(*id)).collect::<Int64Array>());
    let buyers: ArrayRef = Arc::new(orders.values().map(|order| Some(&order.buyer)).collect::<StringArray>());
    let cents: ArrayRef = Arc::new(orders.values().map(|order| Some(order.cents)).collect::<Int64Array>());
    let notes: ArrayRef = Arc::new(orders.values().map(|order| order.note.as_ref()).collect::<StringArray>());
    let columns = [("id", ids, false), ("buyer", buyers, false), ("cents", cents, false), ("note", notes, true)];
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

/// The rows as orders, in their order.
pub(crate) fn from_batch(rows: &RecordBatch) -> impl Iterator<Item = (i64, Order)> {
    let (ids, cents) = (rows["id"].as_primitive::<Int64Type>(), rows["cents"].as_primitive::<Int64Type>());
    let (buyers, notes) = (rows["buyer"].as_string::<i32>(), rows["note"].as_string::<i32>());
    (0..rows.num_rows()).map(|row| {
        let note = notes.is_valid(row).then(|| notes.value(row).to_owned());
        (ids.value(row), Order { buyer: buyers.value(row).to_owned(), cents: cents.value(row), note })
    })
}
