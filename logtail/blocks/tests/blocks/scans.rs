//! Scans, beside plain vectors.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Int64Array, ListArray, RecordBatch, StructArray, UInt32Array, cast::AsArray, new_null_array,
};
use arrow_schema::{DataType, Field, SchemaRef};
use arrow_select::take::take;
use fastrand::Rng;
use logboom_logtail_blocks::{ReadError, ScanBlock, ScanRequest, WriteOptions, WrittenObject};
use logboom_logtail_core::{ObjectId, Timestamp, block_meta::ObjectMeta, widen, widens};

use crate::model::{Rows, any_type, field, footer, plain, read, rng, schema, spec, write};

/// An object of random rows.
fn random_object(rng: &mut Rng) -> (Rows, WrittenObject) {
    let columns = rng.i32(1..9);
    let fields: Vec<Field> = (1..=columns).map(|id| field(id, &format!("c{id}"), any_type(rng), rng.bool())).collect();
    let count = if rng.bool() { rng.usize(1..300) } else { rng.usize(1..40_000) };
    let rows = Rows::random(rng, &schema(fields), count);
    let mut options = WriteOptions::default();
    if rng.bool() {
        options.row_group_bytes = 1 << rng.u32(12..22);
    }
    let object = write(rng, spec(rows.batch.schema_ref(), &[], false), &options, &rows);
    (rows, object)
}

/// A schema that the table may have later: columns dropped, renamed, widened, moved, added.
fn later(rng: &mut Rng, schema: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    rng.shuffle(&mut fields);
    fields.truncate(rng.usize(..=fields.len()));
    for own in &mut fields {
        let wider: Vec<DataType> = (0..40).map(|_| any_type(rng)).filter(|to| widens(own.data_type(), to)).collect();
        if let Some(to) = rng.choice(&wider).filter(|_| rng.clone().bool()) {
            *own = own.clone().with_data_type(to.clone());
        }
        if rng.bool() {
            *own = own.clone().with_name(format!("renamed {}", own.name()));
        }
    }
    if rng.bool() {
        fields.insert(rng.usize(..=fields.len()), field(100, "added", any_type(rng), true));
    }
    crate::model::schema(fields)
}

/// What a scan is to give: the wanted columns of the rows at `positions`.
fn expected(rows: &Rows, wanted: &SchemaRef, positions: &UInt32Array) -> Vec<ArrayRef> {
    let id = |field: &Field| field.metadata()["PARQUET:field_id"].clone();
    let columns = wanted.fields().iter().map(|field| {
        let of = rows.batch.schema().fields().iter().position(|own| id(own) == id(field));
        let Some(of) = of else { return new_null_array(field.data_type(), positions.len()) };
        let column = take(rows.batch.column(of), positions, None).unwrap();
        plain(&widen(&column, field.data_type()).unwrap_or_else(|| panic!("{:?} to {field}", column.data_type())))
    });
    columns.collect()
}

fn check_columns(batch: &RecordBatch, expected: &[ArrayRef]) {
    for (at, (column, expected)) in batch.columns().iter().zip(expected).enumerate() {
        let expected = plain(expected);
        assert_eq!(&plain(column), &expected, "column {at} of {:?}", batch.schema());
    }
}

#[test]
fn scans_give_what_was_written() {
    let (_seed, mut rng) = rng();
    let objects = if std::env::var_os("LOGBOOM_LONG").is_some() { 1000 } else { 25 };
    for _ in 0..objects {
        let (rows, object) = random_object(&mut rng);
        let footer = footer(&object);
        for _ in 0..6 {
            scan(&mut rng, &rows, &object, &footer);
        }
    }
}

fn scan(rng: &mut Rng, rows: &Rows, object: &WrittenObject, footer: &Arc<logboom_logtail_blocks::Footer>) {
    let wanted = later(rng, rows.batch.schema_ref());
    let mut request = ScanRequest::new(Arc::clone(&wanted), []);
    request.up_to = if rng.bool() { Timestamp::MAX } else { Timestamp::from_i64(rng.i64(0..1100)).unwrap() };
    (request.commits, request.positions) = (rng.bool(), rng.bool());
    let (share, skipped) = (rng.u32(..3), rng.bool());
    let mut left: Vec<(usize, UInt32Array)> = Vec::new();
    for (number, block) in object.meta.blocks.iter().enumerate() {
        if skipped && rng.bool() {
            continue;
        }
        let is_out = |rng: &mut Rng| match share {
            0 => false,
            1 => rng.u8(..100) == 0,
            _ => rng.u8(..4) != 0,
        };
        let left_out: Vec<u32> = block.row_range().filter(|_| is_out(rng)).collect();
        let stays = |row: &u32| {
            let commit = rows.commits.value(usize::try_from(*row).unwrap());
            left_out.binary_search(row).is_err() && commit <= request.up_to.to_i64()
        };
        let positions: Vec<u32> = block.row_range().filter(stays).collect();
        if !positions.is_empty() {
            left.push((number, positions.into()));
        }
        request.blocks.push(ScanBlock { number, left_out: left_out.into() });
    }
    let (commits, positions) = (request.commits, request.positions);
    let batches = read(footer, &object.meta, &object.bytes, request).unwrap();
    assert_eq!(batches.len(), left.len());
    for (batch, (block, rows_left)) in batches.iter().zip(&left) {
        assert_eq!(batch.block, *block);
        assert_eq!(batch.first_row, object.meta.blocks[*block].first_row);
        assert_eq!((batch.rows.num_rows(), batch.rows.schema_ref()), (rows_left.len(), &wanted));
        check_columns(&batch.rows, &expected(rows, &wanted, rows_left));
        assert_eq!(batch.positions.as_ref(), positions.then_some(rows_left));
        let of_rows = take(&rows.commits, rows_left, None).unwrap();
        assert_eq!(batch.commits.as_ref().map(|commits| commits as &dyn Array), commits.then_some(of_rows.as_ref()));
    }
}

#[test]
fn only_the_bytes_of_the_wanted_columns_and_blocks_are_asked_for() {
    let (_seed, mut rng) = rng();
    let fields = (1..=20).map(|id| field(id, &format!("c{id}"), DataType::Int64, false));
    let mut rows = Rows::random(&mut rng, &schema(fields), 50_000);
    let mut distinct = || Arc::new(Int64Array::from_iter_values((0..50_000).map(|_| rng.i64(..)))) as ArrayRef;
    rows.batch = RecordBatch::try_new(rows.batch.schema(), (0..20).map(|_| distinct()).collect()).unwrap();
    let object = write(&mut rng, spec(rows.batch.schema_ref(), &[], false), &WriteOptions::default(), &rows);
    let footer = footer(&object);
    let asked = |request| {
        let scan = logboom_logtail_blocks::Scan::new(&footer, &object.meta, request).unwrap();
        scan.ahead().flatten().map(|range| range.end - range.start).sum::<u64>()
    };
    let all = asked(ScanRequest::new(rows.batch.schema(), 0..7));
    let column = schema([rows.batch.schema().field(3).clone()]);
    let one = asked(ScanRequest::new(Arc::clone(&column), 0..7));
    let block = asked(ScanRequest::new(Arc::clone(&column), [2]));
    assert!(all > 19 * one / 2 && one > 5 * block && block > 0, "{all} {one} {block}");
    // Commit timestamps are read where they may matter, and nowhere else.
    let up_to = |up_to| {
        let mut request = ScanRequest::new(Arc::clone(&column), [2]);
        request.up_to = up_to;
        asked(request)
    };
    let (low, high) = (object.meta.blocks[2].low_commit, object.meta.blocks[2].high_commit);
    assert_eq!(up_to(high), block);
    assert!(up_to(low) > block);
    let before = Timestamp::from_i64(low.to_i64() - 1);
    assert_eq!(before.map_or(0, up_to), 0);
}

#[test]
fn nested_fields_have_the_names_that_are_wanted() {
    let (_seed, mut rng) = rng();
    let nested = |one: &str, other: &str| {
        let item = Arc::new(Field::new(one, DataType::Int32, true));
        let fields = vec![Field::new(one, DataType::Int16, true), Field::new(other, DataType::List(item), false)];
        field(1, "a", DataType::Struct(fields.into()), true)
    };
    let rows = Rows::random(&mut rng, &schema([nested("one", "other")]), 10_000);
    let object = write(&mut rng, spec(rows.batch.schema_ref(), &[], false), &WriteOptions::default(), &rows);
    let wanted = schema([nested("first", "second")]);
    let batches = read(&footer(&object), &object.meta, &object.bytes, ScanRequest::new(Arc::clone(&wanted), [0, 1]));
    for batch in batches.unwrap() {
        assert_eq!(batch.rows.schema_ref(), &wanted);
        let first = usize::try_from(batch.first_row).unwrap();
        let written = rows.batch.column(0).slice(first, batch.rows.num_rows());
        let (fields, columns, nulls) = written.as_struct().clone().into_parts();
        assert_eq!(fields[0].name(), "one");
        let DataType::Struct(fields) = wanted.field(0).data_type() else { panic!("a struct is wanted") };
        let DataType::List(item) = fields[1].data_type() else { panic!("a list is wanted") };
        let (_, offsets, values, of_list) = columns[1].as_list::<i32>().clone().into_parts();
        let list: ArrayRef = Arc::new(ListArray::new(Arc::clone(item), offsets, values, of_list));
        let renamed = StructArray::new(fields.clone(), vec![Arc::clone(&columns[0]), list], nulls);
        assert_eq!(batch.rows.column(0).as_struct(), &renamed);
    }
}

#[test]
fn what_an_object_cannot_give_is_refused() {
    let (_seed, mut rng) = rng();
    let fields = [field(1, "a", DataType::Int64, true), field(2, "b", DataType::Int32, false)];
    let rows = Rows::random(&mut rng, &schema(fields), 100);
    let object = write(&mut rng, spec(rows.batch.schema_ref(), &[], false), &WriteOptions::default(), &rows);
    let footer = footer(&object);
    let error = |request| read(&footer, &object.meta, &object.bytes, request).unwrap_err();
    let wanted = |field| ScanRequest::new(schema([field]), [0]);
    assert!(matches!(error(wanted(field(1, "a", DataType::Int32, true))), ReadError::Type { .. }));
    assert!(matches!(error(wanted(field(7, "c", DataType::Int32, false))), ReadError::Null { .. }));
    assert!(matches!(error(wanted(Field::new("c", DataType::Int32, true))), ReadError::NoId { .. }));
    let all = |blocks: Vec<usize>| ScanRequest::new(rows.batch.schema(), blocks);
    assert!(matches!(error(all(vec![1])), ReadError::Absent { what: "block", number: 1, .. }));
    assert!(matches!(error(all(vec![0, 0])), ReadError::Absent { what: "block", .. }));
    let other = ObjectId { nonce: 0, number: 0 };
    let meta = ObjectMeta { id: other, ..object.meta.clone() };
    let error_of_other = read(&footer, &meta, &object.bytes, all(vec![0])).unwrap_err();
    assert!(matches!(error_of_other, ReadError::Footer { object, .. } if object == other));
    let mut request = all(vec![0]);
    request.blocks[0].left_out = Arc::from([100]);
    assert!(matches!(error(request), ReadError::Absent { what: "row", number: 100, .. }));
}
