//! Blocks that scans and lookups skip: none with a row that is wanted.

use std::{cmp::Ordering, ops::Range, sync::Arc};

use arrow_array::{
    Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array,
    cast::AsArray,
    types::{
        Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use arrow_schema::{DataType, Field};
use arrow_select::take::take;
use fastrand::Rng;
use logboom_logtail_blocks::{
    Batch, Footer, Found, KeyFilters, KeyHashes, Lookup, LookupStep, Scan, ScanRequest, WriteOptions, WrittenObject,
};
use logboom_logtail_core::{
    ColumnId, Timestamp,
    key::KeyEncoder,
    predicate::{NullTest, Op, Predicate, Term, Value},
};

use crate::model::{Rows, any_type, field, footer, read, rng, schema, slice, spec, write};

const OPS: [Op; 6] = [Op::Equal, Op::NotEqual, Op::Less, Op::LessOrEqual, Op::Greater, Op::GreaterOrEqual];

/// The value of a cell, if it has one that predicates compare.
fn cell(array: &ArrayRef, row: usize) -> Option<Value> {
    if array.is_null(row) {
        return None;
    }
    macro_rules! integer {
        ($t:ty) => {
            Value::Integer(array.as_primitive::<$t>().value(row).into())
        };
    }
    Some(match array.data_type() {
        DataType::Boolean => Value::Boolean(array.as_boolean().value(row)),
        DataType::Int8 => integer!(Int8Type),
        DataType::Int16 => integer!(Int16Type),
        DataType::Int32 => integer!(Int32Type),
        DataType::Int64 => integer!(Int64Type),
        DataType::UInt8 => integer!(UInt8Type),
        DataType::UInt16 => integer!(UInt16Type),
        DataType::UInt32 => integer!(UInt32Type),
        DataType::UInt64 => integer!(UInt64Type),
        DataType::Date32 => integer!(Date32Type),
        DataType::Timestamp(..) => integer!(TimestampMicrosecondType),
        DataType::Decimal128(..) => integer!(Decimal128Type),
        DataType::Float32 => Value::Float(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Value::Bytes(array.as_string::<i32>().value(row).into()),
        DataType::LargeUtf8 => Value::Bytes(array.as_string::<i64>().value(row).into()),
        DataType::Utf8View => Value::Bytes(array.as_string_view().value(row).into()),
        DataType::Binary => Value::Bytes(array.as_binary::<i32>().value(row).into()),
        DataType::FixedSizeBinary(_) => Value::Bytes(array.as_fixed_size_binary().value(row).into()),
        _ => return None,
    })
}

/// Whether a row is wanted. What is not a number differs from all, and is neither below nor above any.
fn wanted(term: &Term, cell: &Value) -> bool {
    let order = cell.compare(&term.value);
    match term.op {
        Op::Equal => order == Some(Ordering::Equal),
        Op::NotEqual => order != Some(Ordering::Equal),
        Op::Less => order == Some(Ordering::Less),
        Op::LessOrEqual => order.is_some_and(Ordering::is_le),
        Op::Greater => order == Some(Ordering::Greater),
        Op::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
    }
}

/// A value to compare a column with: one of its own, one nearby, or in a wider type.
fn literal(rng: &mut Rng, array: &ArrayRef) -> Option<Value> {
    let value = cell(array, rng.usize(..array.len()))?;
    Some(match value {
        Value::Integer(number) => match rng.u32(..4) {
            0 => Value::Integer(number + i128::from(rng.i32(-2..=2))),
            1 => Value::Integer(i128::from(rng.i64(..))),
            // Of a column that became a float since.
            2 => Value::Float(f64::from(i32::try_from(number).unwrap_or(0)) + 0.5 * f64::from(rng.i32(-1..=1))),
            _ => Value::Integer(number),
        },
        Value::Float(number) => Value::Float(if rng.bool() { number } else { number + 1.0 }),
        Value::Bytes(mut bytes) => {
            match rng.u32(..4) {
                0 => bytes.push(0),
                1 => drop(bytes.pop()),
                _ => {}
            }
            Value::Bytes(bytes)
        }
        other => other,
    })
}

#[test]
fn no_block_with_a_wanted_row_is_skipped() {
    let (_seed, mut rng) = rng();
    let rounds = if std::env::var_os("LOGBOOM_LONG").is_some() { 500 } else { 15 };
    let mut skipped = 0;
    for _ in 0..rounds {
        let fields: Vec<Field> =
            (1..5).map(|id| field(id, &format!("c{id}"), any_type(&mut rng), rng.bool())).collect();
        let count = rng.usize(1..50_000);
        let mut rows = Rows::random(&mut rng, &schema(fields), count);
        if rng.bool() {
            // By the first column, so that blocks differ.
            rows = sorted_by_first(&rows);
        }
        // With bloom filters, where the types of columns can be in a key.
        let is_key = |field: &Field| !field.is_nullable() && KeyEncoder::new([field]).is_ok();
        let key: Vec<i32> = (1..5).filter(|id| is_key(rows.batch.schema_ref().field(*id as usize - 1))).collect();
        let object = write(&mut rng, spec(rows.batch.schema_ref(), &key, false), &WriteOptions::default(), &rows);
        let footer = footer(&object);
        for _ in 0..20 {
            let term = |rng: &mut Rng| {
                let column = rng.usize(..4);
                let value = literal(rng, rows.batch.column(column))?;
                Some(Term {
                    column: ColumnId(i32::try_from(column).unwrap() + 1),
                    op: *rng.choice(&OPS).unwrap(),
                    value,
                })
            };
            let some = |rng: &mut Rng| {
                let mut predicate = Predicate::all((0..rng.usize(1..3)).filter_map(|_| term(rng)));
                if rng.u8(..4) == 0 {
                    let test = NullTest { column: ColumnId(rng.i32(1..5)), is_null: rng.bool() };
                    predicate = predicate.and(Predicate::null(test));
                }
                predicate
            };
            let mut predicate = some(&mut rng);
            if rng.bool() {
                predicate = Predicate::any([predicate, some(&mut rng)]);
            }
            skipped += check_skipping(&rows, &object, &footer, &predicate);
        }
    }
    assert!(skipped > 100, "{skipped} blocks");
}

fn sorted_by_first(rows: &Rows) -> Rows {
    let cells: Vec<_> = (0..rows.batch.num_rows()).map(|row| cell(rows.batch.column(0), row)).collect();
    let mut order: Vec<u32> = (0..u32::try_from(cells.len()).unwrap()).collect();
    order.sort_by(|one, other| {
        let cell = |row: &u32| cells[usize::try_from(*row).unwrap()].clone();
        match (cell(one), cell(other)) {
            (Some(Value::Float(one)), Some(Value::Float(other))) => one.total_cmp(&other),
            (Some(one), Some(other)) => one.compare(&other).unwrap_or(Ordering::Equal),
            (one, other) => one.is_some().cmp(&other.is_some()),
        }
    });
    let order = UInt32Array::from(order);
    let columns = rows.batch.columns().iter().map(|column| take(column, &order, None).unwrap()).collect();
    Rows { batch: RecordBatch::try_new(rows.batch.schema(), columns).unwrap(), commits: rows.commits.clone() }
}

/// Checks which blocks a scan skips, and returns how many.
fn check_skipping(rows: &Rows, object: &WrittenObject, footer: &Arc<Footer>, predicate: &Predicate) -> usize {
    let mut request = ScanRequest::new(rows.batch.schema(), 0..object.meta.blocks.len());
    request.predicate = predicate.clone();
    request.bloom_filters = predicate.terms().len() == 1;
    let given = read(footer, &object.meta, &object.bytes, request).unwrap();
    for (number, block) in object.meta.blocks.iter().enumerate() {
        if given.iter().any(|batch| batch.block == number) {
            continue;
        }
        for row in block.row_range() {
            let row = usize::try_from(row).unwrap();
            let cell = |column: ColumnId| cell(rows.batch.column(usize::try_from(column.0).unwrap() - 1), row);
            let mut compares = |term: &Term| cell(term.column).is_some_and(|cell| wanted(term, &cell));
            let mut lacks = |test: &NullTest| {
                let column = rows.batch.column(usize::try_from(test.column.0).unwrap() - 1);
                column.is_null(row) == test.is_null
            };
            let holds = predicate.may_hold(&mut compares, &mut lacks);
            assert!(!holds, "row {row} of block {number}, which was skipped: {predicate:?}");
        }
    }
    object.meta.blocks.len() - given.len()
}

#[test]
fn what_is_not_a_number_may_be_wanted() {
    let (_seed, mut rng) = rng();
    let schema = schema([field(1, "a", DataType::Float64, true)]);
    let skips = |rng: &mut Rng, values: Vec<Option<f64>>, op, value| {
        let column: ArrayRef = Arc::new(Float64Array::from(values));
        let commits = Int64Array::from(vec![0; column.len()]);
        let rows = Rows { batch: RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap(), commits };
        let object = write(rng, spec(&schema, &[], false), &WriteOptions::default(), &rows);
        let terms = vec![Term { column: ColumnId(1), op, value: Value::Float(value) }];
        check_skipping(&rows, &object, &footer(&object), &Predicate::all(terms)) == 1
    };
    // It differs from all, and is neither above nor below any.
    assert!(!skips(&mut rng, vec![Some(5.0), Some(f64::NAN), Some(5.0)], Op::NotEqual, 5.0));
    assert!(skips(&mut rng, vec![Some(1.0), Some(f64::NAN), Some(3.0)], Op::Greater, 5.0));
    assert!(skips(&mut rng, vec![Some(1.0), Some(-f64::NAN), None], Op::Less, -5.0));
    assert!(!skips(&mut rng, vec![Some(f64::NAN)], Op::NotEqual, f64::NAN));
    assert!(!skips(&mut rng, vec![Some(f64::NAN), Some(1.0)], Op::Less, f64::INFINITY));
    assert!(!skips(&mut rng, vec![Some(-0.0)], Op::Equal, 0.0));
    assert!(skips(&mut rng, vec![Some(1.0), Some(f64::NAN), Some(3.0)], Op::Equal, 5.0));
    assert!(skips(&mut rng, vec![None, None], Op::NotEqual, 5.0));
}

#[test]
fn a_column_that_an_object_does_not_have_is_wanted_in_vain() {
    let (_seed, mut rng) = rng();
    let rows = Rows::random(&mut rng, &schema([field(1, "a", DataType::Int64, true)]), 100);
    let object = write(&mut rng, spec(rows.batch.schema_ref(), &[], false), &WriteOptions::default(), &rows);
    let mut request = ScanRequest::new(rows.batch.schema(), [0]);
    request.predicate = Predicate::all([Term { column: ColumnId(9), op: Op::NotEqual, value: Value::Integer(1) }]);
    assert!(read(&footer(&object), &object.meta, &object.bytes, request).unwrap().is_empty());
}

#[test]
fn bloom_filters_rule_out_row_groups() {
    let (_seed, mut rng) = rng();
    let mut numbers: Vec<i64> = (0..60_000).map(|row| row * 2).collect();
    // Not sorted, so that the bounds of all pages are about the same.
    rng.shuffle(&mut numbers);
    let schema = schema([field(1, "key", DataType::Int64, false)]);
    let column: ArrayRef = Arc::new(Int64Array::from(numbers.clone()));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
    let rows = Rows { batch, commits: Int64Array::from(vec![0; 60_000]) };
    let mut options = WriteOptions::default();
    options.row_group_bytes = 400_000;
    let object = write(&mut rng, spec(&schema, &[1], false), &options, &rows);
    let footer = footer(&object);
    let mut given = 0;
    for _ in 0..40 {
        let key = rng.i64(0..120_000);
        let mut request = ScanRequest::new(Arc::clone(&schema), 0..object.meta.blocks.len());
        let value = Value::Integer(key.into());
        request.predicate = Predicate::all([Term { column: ColumnId(1), op: Op::Equal, value }]);
        (request.bloom_filters, request.positions) = (true, true);
        let batches = read(&footer, &object.meta, &object.bytes, request).unwrap();
        for batch in &batches {
            let positions = batch.positions.as_ref().unwrap().values().iter();
            let at = positions.map(|position| numbers[usize::try_from(*position).unwrap()]);
            assert!(at.eq(batch.rows.column(0).as_primitive::<Int64Type>().values().iter().copied()));
        }
        let has = |batch: &Batch| batch.rows.column(0).as_primitive::<Int64Type>().values().contains(&key);
        assert_eq!(batches.iter().any(has), key % 2 == 0);
        given += batches.len();
    }
    // Half of the keys are there, in a row group of two blocks or so.
    assert!(given < 40 * object.meta.blocks.len() / 3, "{given} of {} blocks", 40 * object.meta.blocks.len());
}

/// Looks for keys, and counts the bytes that it takes.
fn look(footer: &Arc<Footer>, object: &WrittenObject, columns: &[i32], keys: &[Vec<u8>]) -> (Vec<Found>, u64) {
    let meta = Arc::new(object.meta.clone());
    run(Lookup::new(footer, &meta, &ids(columns), keys.iter().map(Vec::as_slice)).unwrap(), object)
}

/// Looks for keys in the blocks that bounds and filters leave, and counts the bytes that it takes.
fn look_where_filters_say(
    footer: &Arc<Footer>,
    object: &WrittenObject,
    columns: &[i32],
    keys: &[Vec<u8>],
    (filters, hashes): (&KeyFilters, &KeyHashes),
) -> (Vec<Found>, u64) {
    let meta = Arc::new(object.meta.clone());
    let sorted = meta.is_sorted();
    let blocks = |(key, bytes): (usize, &Vec<u8>)| {
        let blocks: Vec<_> = meta.blocks_of_key(bytes, sorted).map(|block| (key, block)).collect();
        blocks
    };
    let candidates = keys.iter().enumerate().flat_map(blocks);
    let candidates = candidates.filter(|(key, block)| filters.may_have(*block, hashes, *key));
    let keys = keys.iter().map(Vec::as_slice);
    run(Lookup::in_blocks(footer, &meta, &ids(columns), keys, candidates).unwrap(), object)
}

fn ids(columns: &[i32]) -> Vec<ColumnId> {
    columns.iter().map(|id| ColumnId(*id)).collect()
}

fn run(mut lookup: Lookup, object: &WrittenObject) -> (Vec<Found>, u64) {
    let mut bytes = 0;
    loop {
        match lookup.step().unwrap() {
            LookupStep::Done(found) => return (found, bytes),
            LookupStep::Need(ranges) => {
                for range in ranges {
                    bytes += range.end - range.start;
                    lookup.feed(range.clone(), slice(&object.bytes, &range)).unwrap();
                }
            }
        }
    }
}

#[test]
fn lookups_find_all_rows_with_a_key_and_no_others() {
    let (_seed, mut rng) = rng();
    let rounds = if std::env::var_os("LOGBOOM_LONG").is_some() { 500 } else { 30 };
    for _ in 0..rounds {
        let is_key = |data_type: &DataType| KeyEncoder::new([&Field::new("", data_type.clone(), false)]).is_ok();
        let key_type = |rng: &mut Rng| std::iter::repeat_with(|| any_type(rng)).find(is_key).unwrap();
        let key: Vec<i32> = (1..=rng.i32(1..4)).collect();
        let of_key = key.iter().map(|id| field(*id, &format!("k{id}"), key_type(&mut rng), false));
        let fields: Vec<Field> = of_key.chain([field(9, "other", DataType::Int64, true)]).collect();
        let count = if rng.bool() { rng.usize(1..300) } else { rng.usize(1..30_000) };
        let rows = Rows::random(&mut rng, &schema(fields), count);
        let encoder = KeyEncoder::new(key.iter().enumerate().map(|(at, _)| rows.batch.schema_ref().field(at))).unwrap();
        let encode = |rows: &Rows| {
            let keys = encoder.encode(&rows.batch.columns()[..key.len()]).unwrap();
            keys.iter().map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        let (rows, sorted) = match rng.bool() {
            true => (sorted_by_key(&rows, &encode(&rows)), true),
            false => (rows, false),
        };
        let keys = encode(&rows);
        let mut options = WriteOptions::default();
        options.bloom_filters = rng.bool();
        options.row_group_bytes = 1 << rng.u32(16..24);
        let object = write(&mut rng, spec(rows.batch.schema_ref(), &key, sorted), &options, &rows);
        // Keys that are there, and keys of other rows.
        let others = encode(&Rows::random(&mut rng, rows.batch.schema_ref(), 10));
        let mut searched: Vec<Vec<u8>> = (0..10).map(|_| rng.choice(&keys).unwrap().clone()).chain(others).collect();
        rng.shuffle(&mut searched);
        let row_with = |key: &Vec<u8>| {
            // Of the rows that the object has taken.
            let rows =
                keys.iter().take(object.meta.rows() as usize).enumerate().filter(move |(_, other)| *other == key);
            rows.map(|(row, _)| row).collect::<Vec<_>>()
        };
        let expected: Vec<Found> = searched
            .iter()
            .enumerate()
            .flat_map(|(number, key)| {
                let commits = &rows.commits;
                row_with(key).into_iter().map(move |row| Found {
                    key: number,
                    row: u32::try_from(row).unwrap(),
                    commit: Timestamp::from_i64(commits.value(row)).unwrap(),
                })
            })
            .collect();
        assert_eq!(look(&footer(&object), &object, &key, &searched).0, expected);
        // No filter rules out a key that is there.
        let filters = key_filters(&object, &key);
        let hashes = filters.hashes(&encoder.decode(searched.iter().map(Vec::as_slice)).unwrap());
        for Found { key, row, .. } in expected {
            let block = object.meta.blocks.iter().position(|block| block.row_range().contains(&row)).unwrap();
            assert!(filters.may_have(block, &hashes, key), "key {key} of row {row} in block {block}");
        }
        let footer = footer(&object);
        let found = look_where_filters_say(&footer, &object, &key, &searched, (&filters, &hashes)).0;
        assert_eq!(found, look(&footer, &object, &key, &searched).0);
    }
}

/// The filters of an object's keys, all of them read.
fn key_filters(object: &WrittenObject, key: &[i32]) -> KeyFilters {
    let footer = footer(object);
    let filters = KeyFilters::new(&footer, &key.iter().map(|id| ColumnId(*id)).collect::<Vec<_>>());
    for block in 0..object.meta.blocks.len() {
        let check = |range: Range<u64>| footer.check_bytes(range.clone(), slice(&object.bytes, &range)).unwrap();
        let bytes: Vec<_> = filters.missing(block).into_iter().map(check).collect();
        filters.read(block, &bytes);
        assert!(filters.missing(block).is_empty());
    }
    filters
}

fn sorted_by_key(rows: &Rows, keys: &[Vec<u8>]) -> Rows {
    let mut order: Vec<u32> = (0..u32::try_from(keys.len()).unwrap()).collect();
    order.sort_by_key(|row| &keys[usize::try_from(*row).unwrap()]);
    let order = UInt32Array::from(order);
    let columns = rows.batch.columns().iter().map(|column| take(column, &order, None).unwrap()).collect();
    let commits = take(&rows.commits, &order, None).unwrap();
    Rows {
        batch: RecordBatch::try_new(rows.batch.schema(), columns).unwrap(),
        commits: commits.as_primitive::<Int64Type>().clone(),
    }
}

#[test]
fn a_lookup_reads_little() {
    let count = 100_000;
    let key = (0..count).map(|row| format!("customer-{:07}", row * 10)).collect::<Vec<_>>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(key)),
        Arc::new(Int64Array::from_iter_values((0..count).map(|row| i64::from(row) * 7))),
    ];
    let schema = schema([field(1, "key", DataType::Utf8, false), field(2, "value", DataType::Int64, false)]);
    let rows = Rows {
        batch: RecordBatch::try_new(Arc::clone(&schema), columns).unwrap(),
        commits: Int64Array::from_iter_values((0..count).map(i64::from)),
    };
    let (_seed, mut rng) = rng();
    let object = write(&mut rng, spec(&schema, &[1], true), &WriteOptions::default(), &rows);
    let footer = footer(&object);
    let encoder = KeyEncoder::new([schema.field(0)]).unwrap();
    let keys = |names: Vec<String>| {
        let keys = encoder.encode(&[Arc::new(StringArray::from(names))]).unwrap();
        keys.iter().map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    // A key that is there: the filter of its row group, and one block of the key and of the commit timestamps.
    let (found, bytes) = look(&footer, &object, &[1], &keys(vec!["customer-0500000".to_owned()]));
    assert_eq!(found, [Found { key: 0, row: 50_000, commit: Timestamp::from_i64(50_000).unwrap() }]);
    assert!(bytes < 600 << 10 && bytes * 5 < object.meta.bytes, "{bytes} of {}", object.meta.bytes);
    // Keys between those that are there: the filter rules out all but a few in a hundred.
    let absent = keys((0..100).map(|nth| format!("customer-{:07}", nth * 10_000 + 5)).collect());
    let one_by_one = absent.iter().map(|key| look(&footer, &object, &[1], std::slice::from_ref(key)).1);
    let filter = one_by_one.clone().min().unwrap();
    let read = one_by_one.filter(|bytes| *bytes > filter).count();
    assert!(read <= 10 && filter <= 2 * count as u64 + 100, "{read} of 100 read a block, {filter} bytes of filter");
    let filters = key_filters(&object, &[1]);
    let hashes = filters.hashes(&encoder.decode(absent.iter().map(Vec::as_slice)).unwrap());
    let block_of = |key: &Vec<u8>| object.meta.blocks_of_key(key, true).next();
    let left = (0..)
        .zip(&absent)
        .filter(|(number, key)| block_of(key).is_some_and(|block| filters.may_have(block, &hashes, *number)));
    assert_eq!(left.count(), read, "they are the ones that read a block");
    // One that knows what filters said reads the blocks alone.
    let there = keys(vec!["customer-0500000".to_owned()]);
    let hashes = filters.hashes(&encoder.decode(there.iter().map(Vec::as_slice)).unwrap());
    let known = look_where_filters_say(&footer, &object, &[1], &there, (&filters, &hashes));
    assert_eq!(known, (found, bytes - filter));
    // And keys outside of all bounds cost nothing.
    assert_eq!(look(&footer, &object, &[1], &keys(vec!["zebra".to_owned()])), (Vec::new(), 0));
}

#[test]
fn filters_take_two_bytes_a_row_at_most() {
    let (_seed, mut rng) = rng();
    for count in [4, 100, 5_000, 9_000, 27_500, 54_200, 70_000, 131_072, 131_073, 140_000] {
        let key: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
        let schema = schema([field(1, "key", DataType::Int64, false)]);
        let rows = Rows {
            batch: RecordBatch::try_new(Arc::clone(&schema), vec![key]).unwrap(),
            commits: Int64Array::from_iter_values(0..count),
        };
        let mut options = WriteOptions::default();
        let mut bytes = |filters| {
            options.bloom_filters = filters;
            write(&mut rng, spec(&schema, &[1], true), &options, &rows).bytes.len()
        };
        let (with, without) = (bytes(true), bytes(false));
        // A filter has at least 32 bytes, and like its place a header of some 20.
        assert!(with - without <= 2 * usize::try_from(count).unwrap() + 200, "{count}: {} bytes", with - without);
    }
    // Predicates are of the scan's columns by their ids; scans of other columns skip as well.
    let rows = Rows::random(
        &mut rng,
        &schema([field(1, "a", DataType::Int32, false), field(2, "b", DataType::Int32, true)]),
        10,
    );
    let object = write(&mut rng, spec(rows.batch.schema_ref(), &[], false), &WriteOptions::default(), &rows);
    let mut request = ScanRequest::new(schema([rows.batch.schema().field(1).clone()]), [0]);
    request.predicate =
        Predicate::all([Term { column: ColumnId(1), op: Op::Greater, value: Value::Integer(i128::MAX) }]);
    assert_eq!(Scan::new(&footer(&object), &object.meta, request).unwrap().ahead().count(), 0);
}
