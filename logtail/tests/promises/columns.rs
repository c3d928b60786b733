//! Columns that change, over rows in memory and in objects from before.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int32Array, Int64Array, RecordBatch, cast::AsArray, types::Int64Type};
use arrow_schema::DataType;
use logboom_logtail::{
    Change, CheckpointKind, Filter, NewColumn, NewTable, Op, Projection, Result, TableId, Tail, Timestamp,
};

use crate::machine::Machine;

/// A table of ids whose second column is of this name and type.
fn batch(id: i32, name: &str, value: ArrayRef) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![id]));
    RecordBatch::try_from_iter_with_nullable([("id", ids, false), (name, value, true)]).unwrap()
}

fn write(tail: &Tail, table: TableId, rows: &RecordBatch) -> Timestamp {
    let mut transaction = tail.begin();
    transaction.upsert(table, rows).unwrap();
    transaction.commit().unwrap()
}

/// The second column, which has this name, by ids; as 64 bits.
fn values(tail: &Tail, table: TableId, at: Timestamp, name: &str) -> Vec<(i64, Option<i64>)> {
    let batches = tail.scan(table, at, Projection::default()).unwrap().map(Result::unwrap);
    let of_batch = |batch: RecordBatch| {
        let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["id", name], "at {at}");
        let wide = |at: usize| {
            let column = arrow_array::cast::downcast_array::<Int64Array>;
            match batch.column(at).data_type() {
                DataType::Int64 => column(batch.column(at)),
                _ => batch.column(at).as_primitive::<arrow_array::types::Int32Type>().unary::<_, Int64Type>(i64::from),
            }
        };
        let (ids, values) = (wide(0), wide(1));
        (0..batch.num_rows())
            .map(|at| (ids.value(at), values.is_valid(at).then(|| values.value(at))))
            .collect::<Vec<_>>()
    };
    let mut all: Vec<_> = batches.flat_map(of_batch).collect();
    all.sort_unstable();
    all
}

/// A name that is dropped and added again shows nothing of what was dropped, wherever the rows are.
#[test]
fn a_name_that_is_added_again_is_another_column() {
    let machine = Machine::new();
    let mut process = machine.start();
    let database = process.tail.create_database("shop").unwrap();
    let columns = vec![NewColumn::required("id", DataType::Int32), NewColumn::nullable("size", DataType::Int32)];
    let new = NewTable { name: "sizes".into(), columns, key: vec!["id".into()] };
    let table = process.tail.create_table(database, new).unwrap();
    let narrow = |value: i32| Arc::new(Int32Array::from(vec![value])) as ArrayRef;
    let column = |tail: &Tail, name: &str| {
        let catalog = tail.catalog(tail.watermark()).unwrap();
        catalog.table(table).unwrap().columns().iter().find(|column| column.name == name).unwrap().id
    };
    let mut seen = Vec::new();

    // One row in an object, one in memory.
    write(&process.tail, table, &batch(1, "size", narrow(11)));
    process.tail.flush(table).unwrap();
    seen.push((write(&process.tail, table, &batch(2, "size", narrow(22))), "size", vec![(1, Some(11)), (2, Some(22))]));

    let dropped = column(&process.tail, "size");
    process.tail.change(&Change::DropColumn { table, column: dropped }).unwrap();
    let again = NewColumn::nullable("size", DataType::Int32);
    process.tail.change(&Change::AddColumn { table, column: again }).unwrap();
    assert_ne!(column(&process.tail, "size"), dropped);
    seen.push((process.tail.watermark(), "size", vec![(1, None), (2, None)]));
    seen.push((
        write(&process.tail, table, &batch(3, "size", narrow(33))),
        "size",
        vec![(1, None), (2, None), (3, Some(33))],
    ));
    process.tail.flush(table).unwrap();

    let id = column(&process.tail, "size");
    process.tail.change(&Change::RenameColumn { table, column: id, name: "width".into() }).unwrap();
    seen.push((process.tail.watermark(), "width", vec![(1, None), (2, None), (3, Some(33))]));
    process.tail.change(&Change::WidenColumn { table, column: id, data_type: DataType::Int64 }).unwrap();
    let wide: ArrayRef = Arc::new(Int64Array::from(vec![1_i64 << 40]));
    let all = vec![(1, None), (2, None), (3, Some(33)), (4, Some(1 << 40))];
    seen.push((write(&process.tail, table, &batch(4, "width", wide)), "width", all));

    for round in 0..5 {
        for (at, name, expected) in &seen {
            assert_eq!(values(&process.tail, table, *at, name), *expected, "at {at} in round {round}");
        }
        // What is filtered by is the new column too.
        let count = |filter: Filter| -> usize {
            let batches = process.tail.scan(table, process.tail.watermark(), filter).unwrap();
            batches.map(|batch| batch.unwrap().num_rows()).sum()
        };
        assert_eq!(count(Filter::new("width", Op::GreaterOrEqual, 33_i64)), 2, "in round {round}");
        assert_eq!(count(Filter::new("width", Op::Less, 33_i64)), 0, "in round {round}");
        match round {
            0 => process = machine.restart(process),
            1 => process.tail.flush(table).unwrap(),
            2 => _ = process.tail.checkpoint(CheckpointKind::Global).unwrap(),
            _ => process = machine.restart(process),
        }
    }
    assert!(process.tail.version(table).unwrap().objects().len() >= 3);
}
