//! Rows as bytes: what is encoded comes back, and nothing else is taken for rows.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not find is its failure")]

mod arrays;

use std::{ops::Range, slice, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BooleanArray, Int16Array, Int64Array, LargeListArray, ListArray, StringArray, StructArray,
    UInt8Array, cast::AsArray, types::Int64Type,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, FieldRef, Fields, IntervalUnit, Schema, UnionFields, UnionMode};
use arrow_select::concat::concat;
use fastrand::Rng;
use logboom_logtail_core::rows::{AppendError, EncodeError, NESTING_MAX, RowChunk, SchemaError, check, encode};

fn encoded(columns: &[ArrayRef], rows: Range<usize>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(columns, rows, &mut out).unwrap();
    out
}

fn slices(columns: &[ArrayRef], rows: &Range<usize>) -> Vec<ArrayRef> {
    columns.iter().map(|column| column.slice(rows.start, rows.len())).collect()
}

#[expect(clippy::print_stdout, reason = "the seed repeats a failure")]
fn seeded(rounds: usize, check: impl Fn(&mut Rng)) {
    let seed = std::env::var("LOGBOOM_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("LOGBOOM_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    (0..rounds).for_each(|_| check(&mut rng));
}

/// A range within `0..len`.
fn range(rng: &mut Rng, len: usize) -> Range<usize> {
    let start = rng.usize(..=len);
    start..rng.usize(start..=len)
}

#[test]
fn rows_come_back_record_by_record() {
    seeded(400, |rng| {
        let fields = arrays::fields(rng);
        let mut chunk = RowChunk::new(&fields).unwrap();
        let mut expected: Vec<Vec<ArrayRef>> = vec![Vec::new(); fields.len()];
        for _ in 0..rng.usize(1..6) {
            let (rows, garbage) = (rng.usize(..20), rng.u64(..));
            let columns = arrays::columns(rng, garbage, &fields, rows);
            let part = range(rng, rows);
            let before = chunk.len();
            let appended = chunk.append(&encoded(&columns, part.clone())).unwrap();
            assert_eq!((appended.start as usize, appended.len()), (before, part.len()));
            expected.iter_mut().zip(slices(&columns, &part)).for_each(|(all, part)| all.push(part));
        }
        let expected: Vec<ArrayRef> = expected
            .iter()
            .map(|parts| concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap())
            .collect();
        let part = range(rng, chunk.len());
        assert_eq!(chunk.columns(part.clone()), slices(&expected, &part));
        assert_eq!(chunk.len(), expected[0].len());
        assert_eq!(chunk.into_columns(), expected);
    });
}

#[test]
fn an_arena_gets_the_bytes_that_the_heap_gets() {
    seeded(20, |rng| {
        let fields = arrays::fields(rng);
        let columns = arrays::columns(rng, 0, &fields, 9);
        let arena = bumpalo::Bump::new();
        let mut out = bumpalo::collections::Vec::new_in(&arena);
        encode(&columns, 0..9, &mut out).unwrap();
        assert_eq!(out.as_slice(), encoded(&columns, 0..9));
    });
}

/// What arrays have in memory where a value, or one around it, is null.
#[test]
fn what_is_null_leaves_no_trace_of_what_is_in_memory() {
    seeded(400, |rng| {
        let fields = arrays::fields(rng);
        let (seed, rows) = (rng.u64(..), rng.usize(..20));
        let with = |garbage| arrays::columns(&mut Rng::with_seed(seed), garbage, &fields, rows);
        let (some, other) = (with(1), with(2));
        assert_eq!(encoded(&some, 0..rows), encoded(&other, 0..rows));
    });
}

#[test]
fn a_record_that_is_cut_or_has_more_is_refused() {
    seeded(100, |rng| {
        let fields = arrays::fields(rng);
        let columns = arrays::columns(rng, 0, &fields, 7);
        let (first, second) = (encoded(&columns, 0..3), encoded(&columns, 3..7));
        let mut chunk = RowChunk::new(&fields).unwrap();
        chunk.append(&first).unwrap();
        for len in 0..second.len() {
            let refused = chunk.append(&second[..len]).unwrap_err();
            assert!(!matches!(refused, AppendError::Trailing(_) | AppendError::Full { .. }), "{len}: {refused}");
            assert_eq!((chunk.len(), chunk.columns(0..9)), (3, slices(&columns, &(0..3))), "{len}");
        }
        let longer = [second.as_slice(), &[0, 0]].concat();
        assert_eq!(chunk.append(&longer), Err(AppendError::Trailing(2)));
        chunk.append(&second).unwrap();
        assert_eq!(chunk.into_columns(), columns);
    });
}

#[test]
fn a_record_with_flipped_bits_is_refused_or_rows() {
    seeded(100, |rng| {
        let fields = arrays::fields(rng);
        let columns = arrays::columns(rng, 0, &fields, 7);
        let (first, second) = (encoded(&columns, 0..3), encoded(&columns, 3..7));
        for _ in 0..50 {
            let mut chunk = RowChunk::new(&fields).unwrap();
            chunk.append(&first).unwrap();
            let mut flipped = second.clone();
            for _ in 0..rng.usize(1..4) {
                let bit = rng.usize(..8 * flipped.len());
                flipped[bit / 8] ^= 1 << (bit % 8);
            }
            let taken = chunk.append(&flipped).map_or(0, |rows| rows.len());
            assert_eq!((chunk.len(), chunk.columns(0..3)), (3 + taken, slices(&columns, &(0..3))));
            let rows = chunk.columns(3..3 + taken);
            let mut again = RowChunk::new(&fields).unwrap();
            again.append(&encoded(&rows, 0..taken)).unwrap();
            assert_eq!(again.into_columns(), rows);
            // What was there before an error does not disturb what comes after it.
            chunk.append(&second).unwrap();
            assert_eq!(chunk.columns(3 + taken..7 + taken), slices(&columns, &(3..7)));
        }
    });
}

fn field(name: &str, data_type: DataType, nullable: bool) -> FieldRef {
    Arc::new(Field::new(name, data_type, nullable))
}

/// The table of the example in `logtail/FORMAT.md`, and its bytes.
fn example() -> (Vec<FieldRef>, Vec<ArrayRef>, Vec<u8>) {
    let x = Fields::from(vec![field("x", DataType::UInt8, false)]);
    let item = field("item", DataType::Boolean, false);
    let fields = vec![
        field("id", DataType::Int16, false),
        field("name", DataType::Utf8, true),
        field("tags", DataType::List(item.clone()), true),
        field("place", DataType::Struct(x.clone()), true),
    ];
    let nulls = |valid: [bool; 3]| Some(NullBuffer::from(valid.to_vec()));
    let tags = BooleanArray::from(vec![true, false]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int16Array::from(vec![1, -2, 3])),
        Arc::new(StringArray::from(vec![Some("ab"), None, Some("")])),
        Arc::new(ListArray::new(
            item,
            OffsetBuffer::from_lengths([2, 0, 0]),
            Arc::new(tags),
            nulls([true, true, false]),
        )),
        Arc::new(StructArray::new(x, vec![Arc::new(UInt8Array::from(vec![7, 8, 9]))], nulls([true, false, true]))),
    ];
    #[rustfmt::skip]
    let bytes = vec![
        0x03,
        0x00, 0x01, 0x00, 0xfe, 0xff, 0x03, 0x00,
        0x01, 0x05, 0x02, 0x00, 0x61, 0x62,
        0x01, 0x03, 0x02, 0x00, 0x00, 0x01,
        0x01, 0x05, 0x01, 0x05, 0x07, 0x09,
    ];
    (fields, columns, bytes)
}

#[test]
fn the_example_of_the_format() {
    let (fields, columns, bytes) = example();
    assert_eq!(encoded(&columns, 0..3), bytes);
    let mut chunk = RowChunk::new(&fields).unwrap();
    assert_eq!(chunk.append(&bytes), Ok(0..3));
    assert_eq!(chunk.into_columns(), columns);
}

#[test]
fn malformed_bytes_are_named_by_their_column() {
    let (fields, _, bytes) = example();
    let malformed = |column: &str, reason| AppendError::Malformed { column: column.into(), reason };
    let text = "a string is not UTF-8";
    let too_long = "a length is more than the bytes that are left";
    let rows = [
        (0, 0x80, AppendError::Count("a number has more bytes than it takes")),
        (1, 0x02, malformed("id", "the column begins with a byte that is neither 0 nor 1")),
        (9, 0x0d, malformed("name", "a bit behind the last row is set")),
        (10, 0x7f, malformed("name", too_long)),
        (12, 0xc3, malformed("name", text)),
        (19, 0x05, malformed("tags.item", "a bit behind the last row is set")),
        (16, 0x7f, malformed("tags", too_long)),
        (23, 0x07, malformed("place.x", "the bytes end too early")),
    ];
    for (at, byte, expected) in rows {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        let mut chunk = RowChunk::new(&fields).unwrap();
        assert_eq!(chunk.append(&bytes), Err(expected), "byte {at}");
        assert!(chunk.is_empty());
    }
}

/// A character that two strings share is UTF-8 in the bytes of both together.
#[test]
fn a_string_does_not_end_within_a_character() {
    let mut chunk = RowChunk::new(&[field("s", DataType::Utf8, false)]).unwrap();
    let malformed = AppendError::Malformed { column: "s".into(), reason: "a string is not UTF-8" };
    assert_eq!(chunk.append(&[2, 0, 1, 1, 0xc3, 0xa9]), Err(malformed));
    assert_eq!(chunk.append(&[2, 0, 2, 0, 0xc3, 0xa9]), Ok(0..2));
}

#[test]
fn a_null_needs_a_nullable_column_or_a_null_struct_around_it() {
    let x = field("x", DataType::Int64, false);
    let place = field("place", DataType::Struct(vec![x.clone()].into()), true);
    let (mut outer, mut inner) = (RowChunk::new(&[x]).unwrap(), RowChunk::new(&[place]).unwrap());
    let null = encoded(&[Arc::new(Int64Array::from(vec![Some(1), None]))], 0..2);
    assert_eq!(outer.append(&null), Err(AppendError::Null { column: "x".into() }));
    // The field is null in row 1; the struct is so in row 1, then in row 0, then in none.
    let null = |place: &[u8]| [&[2], place, &[1, 1, 7, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(inner.append(&null(&[1, 1])), Ok(0..2));
    for place in [[1, 2].as_slice(), &[0]] {
        assert_eq!(inner.append(&null(place)), Err(AppendError::Null { column: "place.x".into() }));
    }
    assert_eq!(inner.columns(0..1)[0].as_struct().column(0).as_primitive::<Int64Type>().value(0), 7);
    assert!(inner.into_columns()[0].is_null(1));
}

/// Few bytes that promise many rows or items are refused before memory is taken for them.
#[test]
fn a_large_number_takes_no_memory() {
    let many = [0xff, 0xff, 0xff, 0xff, 0x07];
    let types = [
        DataType::Boolean,
        DataType::Int64,
        DataType::FixedSizeBinary(i32::MAX),
        DataType::Utf8,
        DataType::LargeBinary,
        DataType::LargeList(field("item", DataType::Boolean, true)),
        DataType::Struct(vec![field("x", DataType::Int8, true)].into()),
    ];
    for data_type in types {
        let mut chunk = RowChunk::new(&[field("c", data_type.clone(), true)]).unwrap();
        let before = chunk.allocated_bytes();
        for flag in [0, 1] {
            chunk.append(&[many.as_slice(), &[flag, 0, 0, 0, 0, 0]].concat()).unwrap_err();
            chunk.append(&[&[1, flag], many.as_slice(), &[0, 0, 0, 0, 0]].concat()).unwrap_err();
        }
        let taken = chunk.allocated_bytes() - before;
        assert!(taken <= 1024, "{data_type}: {taken} bytes");
    }
}

/// Types that rows do not have, each in a column `c`.
fn unsupported() -> Vec<DataType> {
    let item = || field("item", DataType::Int8, true);
    vec![
        DataType::Null,
        DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)),
        DataType::Union(UnionFields::empty(), UnionMode::Dense),
        DataType::RunEndEncoded(field("run_ends", DataType::Int32, false), item()),
        DataType::Utf8View,
        DataType::BinaryView,
        DataType::ListView(item()),
        DataType::FixedSizeList(item(), 2),
        DataType::Map(field("entries", DataType::Struct(vec![item(), item()].into()), false), false),
        DataType::Interval(IntervalUnit::DayTime),
        DataType::Decimal32(5, 2),
        DataType::FixedSizeBinary(0),
        DataType::Struct(Fields::empty()),
    ]
}

#[test]
fn types_that_rows_do_not_have_are_refused_by_path() {
    for data_type in unsupported() {
        let column = field("c", data_type.clone(), true);
        let refused =
            |column: &str| Err(SchemaError::Unsupported { column: column.into(), data_type: data_type.clone() });
        let check = |field: FieldRef| check(&Schema::new(vec![field]));
        assert_eq!(check(column.clone()), refused("c"));
        let list = field("list", DataType::LargeList(column), true);
        assert_eq!(check(list.clone()), refused("list.c"));
        assert_eq!(check(field("place", DataType::Struct(vec![list].into()), true)), refused("place.list.c"));
    }
    assert_eq!(check(&Schema::empty()), Err(SchemaError::NoColumns));
}

#[test]
fn every_type_that_rows_have_passes_the_check() {
    for data_type in arrays::all_types() {
        assert_eq!(check(&Schema::new(vec![field("c", data_type, true)])), Ok(()));
    }
}

#[test]
fn lists_in_lists_have_a_depth() {
    let nested = |depth: usize| {
        let (mut column, mut array): (FieldRef, ArrayRef) =
            (field("c", DataType::Int64, true), Arc::new(Int64Array::from(vec![7])));
        for _ in 1..depth {
            let offsets = OffsetBuffer::from_lengths([1]);
            array = Arc::new(LargeListArray::new(column.clone(), offsets, array, None));
            column = field("c", array.data_type().clone(), true);
        }
        (column, array)
    };
    let (deepest, array) = nested(NESTING_MAX);
    let mut chunk = RowChunk::new(&[deepest]).unwrap();
    chunk.append(&encoded(slice::from_ref(&array), 0..1)).unwrap();
    assert_eq!(chunk.into_columns(), [array]);

    let (deeper, array) = nested(NESTING_MAX + 1);
    let path = ["c"; NESTING_MAX + 1].join(".");
    assert_eq!(RowChunk::new(&[deeper]).unwrap_err(), SchemaError::TooDeep { column: path });
    let refused = encode(&[array], 0..1, &mut Vec::new()).unwrap_err();
    assert_eq!(refused, EncodeError::Unsupported { column: 0, data_type: DataType::Int64 });
}

#[test]
fn columns_that_cannot_be_encoded_leave_the_output_alone() {
    let (ints, nulls): (ArrayRef, ArrayRef) =
        (Arc::new(Int64Array::from(vec![1, 2])), Arc::new(arrow_array::NullArray::new(2)));
    let mut out = b"before".to_vec();
    let refused = encode(&[ints.clone(), nulls], 0..2, &mut out).unwrap_err();
    assert_eq!(refused, EncodeError::Unsupported { column: 1, data_type: DataType::Null });
    let shorter = ints.slice(0, 1);
    let refused = encode(&[ints, shorter], 0..2, &mut out).unwrap_err();
    assert_eq!(refused, EncodeError::Rows { column: 1, rows: 0..2, found: 1 });
    assert_eq!(out, b"before");
}
