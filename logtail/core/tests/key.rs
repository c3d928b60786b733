//! Keys: their bytes sort as their values do, and become the values again.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not find is its failure")]

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, Int16Array, Int64Array, LargeBinaryArray,
    LargeStringArray, PrimitiveArray, StringArray, downcast_integer, downcast_temporal,
    types::{
        Decimal128Type, Decimal256Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
        DurationSecondType,
    },
};
use arrow_buffer::i256;
use arrow_schema::{DataType, Field, TimeUnit};
use fastrand::Rng;
use logboom_logtail_core::key::{BOUND_BYTES_MAX, KeyEncoder, KeyError, Keys, cut_lower, cut_upper};

/// A value, which compares as the values of its column do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(i256),
    Bytes(Vec<u8>),
}

/// Every type that a key may have; of those with parameters, several.
fn all_types() -> Vec<DataType> {
    use DataType as T;
    let mut types = vec![
        T::Boolean,
        T::Int8,
        T::Int16,
        T::Int32,
        T::Int64,
        T::UInt8,
        T::UInt16,
        T::UInt32,
        T::UInt64,
        T::Date32,
        T::Date64,
        T::Decimal128(38, 9),
        T::Decimal256(76, -3),
        T::Utf8,
        T::LargeUtf8,
        T::Binary,
        T::LargeBinary,
        T::FixedSizeBinary(1),
        T::FixedSizeBinary(5),
        T::Time32(TimeUnit::Second),
        T::Time32(TimeUnit::Millisecond),
        T::Time64(TimeUnit::Microsecond),
        T::Time64(TimeUnit::Nanosecond),
    ];
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        types.extend([T::Timestamp(unit, None), T::Timestamp(unit, Some("+02:00".into())), T::Duration(unit)]);
    }
    types
}

/// `rows` values of the type, as values and as an array that is a slice of another one. Extremes, and values that are
/// close to each other, are frequent.
fn column(rng: &mut Rng, data_type: &DataType, rows: usize) -> (Vec<Value>, ArrayRef) {
    let (before, after) = (rng.usize(..3), rng.usize(..3));
    let values: Vec<Value> = (0..before + rows + after).map(|_| value(rng, data_type)).collect();
    let array = array(data_type, &values).slice(before, rows);
    (values[before..before + rows].to_vec(), array)
}

fn value(rng: &mut Rng, data_type: &DataType) -> Value {
    let signed = |rng: &mut Rng, bits: usize| {
        let shift = 128 - bits;
        let wide = [i128::MIN, i128::MIN + (1 << shift), i128::MAX, rng.i128(..), rng.i128(..) & rng.i128(..)];
        let close = i128::from(rng.i8(-3..4));
        if rng.bool() { close } else { rng.choice(wide).unwrap() >> shift }
    };
    match data_type {
        DataType::Boolean => Value::Number(i256::from_i128(rng.bool().into())),
        DataType::Utf8 | DataType::LargeUtf8 => {
            let chars = ["\0", "\x01", "\x02", "\x7f", "a", "\u{80}", "\u{7ff}", "\u{ffff}", "\u{10ffff}"];
            let text: String = (0..rng.usize(..5)).map(|_| *rng.choice(&chars).unwrap()).collect();
            Value::Bytes(text.into_bytes())
        }
        DataType::Binary | DataType::LargeBinary => {
            let len = rng.usize(..5);
            Value::Bytes(bytes(rng, len))
        }
        DataType::FixedSizeBinary(width) => Value::Bytes(bytes(rng, *width as usize)),
        DataType::Decimal256(..) => {
            let (low, high) = (rng.u128(..), signed(rng, 128));
            let edges = [i256::MIN, i256::MAX, i256::ZERO, i256::MINUS_ONE, i256::from_parts(low, high)];
            Value::Number(rng.choice(edges).unwrap())
        }
        unsigned if unsigned.is_unsigned_integer() => {
            let bits = 8 * unsigned.primitive_width().unwrap();
            let number = signed(rng, bits) & ((1 << bits) - 1);
            Value::Number(i256::from_i128(number))
        }
        other => Value::Number(i256::from_i128(signed(rng, 8 * other.primitive_width().unwrap()))),
    }
}

fn bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut byte = || if rng.bool() { rng.u8(..) } else { rng.choice([0, 1, 2, 3, 254, 255]).unwrap() };
    (0..len).map(|_| byte()).collect()
}

fn array(data_type: &DataType, values: &[Value]) -> ArrayRef {
    let numbers = || values.iter().map(|value| if let Value::Number(number) = value { *number } else { i256::ZERO });
    let bytes = || values.iter().map(|value| if let Value::Bytes(bytes) = value { bytes.as_slice() } else { b"" });
    let texts = || bytes().map(|bytes| str::from_utf8(bytes).unwrap());
    macro_rules! primitive {
        ($t:ty) => {{
            let values = numbers().map(|number| number.to_i128().unwrap().try_into().unwrap());
            let array = PrimitiveArray::<$t>::from_iter_values(values);
            Arc::new(array.with_data_type(data_type.clone()))
        }};
    }
    if let DataType::Decimal256(..) = data_type {
        let array = PrimitiveArray::<Decimal256Type>::from_iter_values(numbers());
        return Arc::new(array.with_data_type(data_type.clone()));
    }
    downcast_integer! {
        data_type => (primitive),
        DataType::Boolean => Arc::new(numbers().map(|number| Some(number != i256::ZERO)).collect::<BooleanArray>()),
        DataType::Decimal128(..) => primitive!(Decimal128Type),
        DataType::Duration(TimeUnit::Second) => primitive!(DurationSecondType),
        DataType::Duration(TimeUnit::Millisecond) => primitive!(DurationMillisecondType),
        DataType::Duration(TimeUnit::Microsecond) => primitive!(DurationMicrosecondType),
        DataType::Duration(TimeUnit::Nanosecond) => primitive!(DurationNanosecondType),
        DataType::Utf8 => Arc::new(StringArray::from_iter_values(texts())),
        DataType::LargeUtf8 => Arc::new(LargeStringArray::from_iter_values(texts())),
        DataType::Binary => Arc::new(BinaryArray::from_iter_values(bytes())),
        DataType::LargeBinary => Arc::new(LargeBinaryArray::from_iter_values(bytes())),
        DataType::FixedSizeBinary(width) => {
            let values = bytes().map(Some); // of which there may be none
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, *width).unwrap())
        }
        other => downcast_temporal! {
            other => (primitive),
            other => unreachable!("{other}")
        }
    }
}

/// Checks keys of columns of the given types: their order, their lengths, and what they decode to.
fn check(rng: &mut Rng, types: &[DataType]) {
    let fields: Vec<Field> = types.iter().map(|data_type| Field::new("k", data_type.clone(), false)).collect();
    let encoder = KeyEncoder::new(&fields).unwrap();
    let rows = rng.usize(..40);
    let (values, arrays): (Vec<_>, Vec<_>) = types.iter().map(|data_type| column(rng, data_type, rows)).unzip();
    let keys = encoder.encode(&arrays).unwrap();

    assert_eq!((keys.len(), keys.is_empty(), keys.get(rows)), (rows, rows == 0, None));
    assert!(keys.iter().all(|key| encoder.fixed_width().is_none_or(|width| width == key.len())));
    let tuple = |row: usize| values.iter().map(|column| column[row].clone()).collect::<Vec<_>>();
    for row in 0..rows {
        for other in 0..row {
            let (key, other_key) = (keys.get(row).unwrap(), keys.get(other).unwrap());
            let (tuple, other_tuple) = (tuple(row), tuple(other));
            assert_eq!(
                key.cmp(other_key),
                tuple.cmp(&other_tuple),
                "{tuple:?} {key:x?} {other_tuple:?} {other_key:x?}"
            );
            assert!(key == other_key || !key.starts_with(other_key) && !other_key.starts_with(key));
        }
    }
    let decoded = encoder.decode(&keys).unwrap();
    assert_eq!(&decoded, &arrays);
    assert_eq!(decoded.iter().map(|array| array.data_type().clone()).collect::<Vec<_>>(), types);
    truncated_is_no_key(&encoder, &keys);

    let cut = rng.usize(..=rows);
    let mut appended = encoder.encode(&slices(&arrays, 0, cut)).unwrap();
    encoder.encode_into(&slices(&arrays, cut, rows - cut), &mut appended).unwrap();
    assert_eq!(appended, keys);
}

fn slices(arrays: &[ArrayRef], from: usize, len: usize) -> Vec<ArrayRef> {
    arrays.iter().map(|array| array.slice(from, len)).collect()
}

fn truncated_is_no_key(encoder: &KeyEncoder, keys: &Keys) {
    let Some(key) = keys.get(0) else { return };
    for len in 0..key.len() {
        let found = encoder.decode([&key[..len]]);
        assert!(matches!(found, Err(KeyError::Malformed { key: 0, .. })), "{len} of {key:x?}: {found:?}");
    }
    let longer = [key, &[0]].concat();
    assert!(matches!(encoder.decode([key, &longer]), Err(KeyError::Malformed { key: 1, .. })));
}

#[expect(clippy::print_stdout, reason = "the seed repeats a failure")]
fn seeded(check: impl Fn(&mut Rng)) {
    let seed = std::env::var("LOGBOOM_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("LOGBOOM_SEED={seed}");
    check(&mut Rng::with_seed(seed));
}

#[test]
fn keys_of_one_column_sort_as_their_values() {
    seeded(|rng| {
        for data_type in all_types() {
            (0..20).for_each(|_| check(rng, std::slice::from_ref(&data_type)));
        }
    });
}

#[test]
fn keys_of_several_columns_sort_as_tuples() {
    let types = all_types();
    seeded(|rng| {
        for _ in 0..500 {
            let columns = rng.usize(2..=4);
            let types: Vec<_> = (0..columns).map(|_| rng.choice(&types).unwrap().clone()).collect();
            check(rng, &types);
        }
    });
}

#[test]
fn the_example_of_the_format() {
    let types = [DataType::Int16, DataType::Utf8, DataType::Boolean];
    let encoder = KeyEncoder::new(&types.map(|data_type| Field::new("k", data_type, false))).unwrap();
    let columns: [ArrayRef; 3] = [
        Arc::new(Int16Array::from(vec![-2])),
        Arc::new(StringArray::from(vec!["a\0b"])),
        Arc::new(BooleanArray::from(vec![true])),
    ];
    let keys = encoder.encode(&columns).unwrap();
    assert_eq!(keys.get(0).unwrap(), [0x7f, 0xfe, 0x61, 0x01, 0x01, 0x62, 0x00, 0x01]);
}

/// What the rows of the table in `FORMAT.md` say of a value of each kind.
#[test]
fn the_bytes_of_the_format() {
    let number = |number| Value::Number(i256::from_i128(number));
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    let zeros = |count| vec![0; count];
    let rows: [(DataType, Value, Vec<u8>); 9] = [
        (DataType::Boolean, number(0), vec![0]),
        (DataType::UInt32, number(0x0102_0304), vec![1, 2, 3, 4]),
        (DataType::Int8, number(-128), vec![0]),
        (DataType::Int64, number(1), [vec![0x80], zeros(6), vec![1]].concat()),
        (
            DataType::Timestamp(TimeUnit::Second, Some("UTC".into())),
            number(1),
            [vec![0x80], zeros(6), vec![1]].concat(),
        ),
        (DataType::Decimal128(9, 2), number(-1), [vec![0x7f], vec![0xff; 15]].concat()),
        (DataType::Decimal256(9, 2), number(1), [vec![0x80], zeros(30), vec![1]].concat()),
        (DataType::FixedSizeBinary(3), bytes(&[0, 1, 2]), vec![0, 1, 2]),
        (DataType::Binary, bytes(&[0, 1, 2, 255]), vec![1, 1, 1, 2, 2, 255, 0]),
    ];
    for (data_type, value, expected) in rows {
        let encoder = KeyEncoder::new(&[Field::new("k", data_type.clone(), false)]).unwrap();
        let keys = encoder.encode(&[array(&data_type, &[value])]).unwrap();
        assert_eq!(keys.get(0).unwrap(), expected, "{data_type}");
    }
}

#[test]
fn types_that_are_no_keys_are_refused_by_name() {
    let item = || Arc::new(Field::new("item", DataType::Int8, true));
    let types = [
        DataType::Null,
        DataType::Float16,
        DataType::Float32,
        DataType::Float64,
        DataType::List(item()),
        DataType::Struct(vec![item()].into()),
        DataType::Utf8View,
        DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)),
        DataType::FixedSizeBinary(0),
        DataType::FixedSizeBinary(-1),
    ];
    for data_type in types {
        let refused = KeyEncoder::new(&[Field::new("price", data_type.clone(), false)]).unwrap_err();
        assert_eq!(refused, KeyError::Unsupported { column: "price".into(), data_type });
        assert!(refused.to_string().contains("`price`"), "{refused}");
    }
    assert_eq!(KeyEncoder::new([]).unwrap_err(), KeyError::NoColumns);
}

#[test]
fn columns_that_are_not_the_keys_are_refused_and_leave_the_keys_alone() {
    let fields = [Field::new("a", DataType::Int64, false), Field::new("b", DataType::Utf8, false)];
    let encoder = KeyEncoder::new(&fields).unwrap();
    let (ints, texts) = (Arc::new(Int64Array::from(vec![1, 2])), Arc::new(StringArray::from(vec!["x", "y"])));
    let good: [ArrayRef; 2] = [ints.clone(), texts.clone()];
    let mut keys = encoder.encode(&good).unwrap();
    let before = keys.clone();
    let mut refused = |columns: &[ArrayRef]| encoder.encode_into(columns, &mut keys).unwrap_err();

    assert_eq!(refused(&good[..1]), KeyError::Count { expected: 2, found: 1 });
    let large: ArrayRef = Arc::new(LargeStringArray::from(vec!["x", "y"]));
    let other_type = KeyError::Type { column: "b".into(), expected: DataType::Utf8, found: DataType::LargeUtf8 };
    assert_eq!(refused(&[ints.clone(), large]), other_type);
    let shorter: ArrayRef = Arc::new(texts.slice(1, 1));
    assert_eq!(refused(&[ints.clone(), shorter]), KeyError::Rows { column: "b".into(), expected: 2, found: 1 });
    let null: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None]));
    assert_eq!(refused(&[ints.clone(), null.clone()]), KeyError::Null { column: "b".into(), row: 1 });
    assert_eq!(keys, before);

    let of_ints = KeyEncoder::new(&fields[..1]).unwrap();
    assert_eq!(of_ints.encode_into(&good[..1], &mut keys).unwrap_err(), KeyError::OtherWidth);
    // A slice that leaves the null out has none.
    assert_eq!(encoder.encode(&slices(&[ints, null], 0, 1)).unwrap().len(), 1);
}

#[test]
fn bytes_that_are_no_key_are_refused() {
    let cases: [(DataType, &[u8], &str); 5] = [
        (DataType::Boolean, &[2], "a boolean that is neither 0 nor 1"),
        (DataType::Int32, &[1, 2, 3], "it ends too early"),
        (DataType::Int32, &[1, 2, 3, 4, 5], "bytes behind it"),
        (DataType::Binary, &[7, 1, 3, 0], "an escape of a byte that is not escaped"),
        (DataType::Utf8, &[0xff, 0], "a string that is not UTF-8"),
    ];
    for (data_type, key, reason) in cases {
        let encoder = KeyEncoder::new(&[Field::new("id", data_type, false)]).unwrap();
        let expected = KeyError::Malformed { key: 0, column: "id".into(), reason };
        assert_eq!(encoder.decode([key]).unwrap_err(), expected);
    }
}

#[test]
fn a_key_takes_its_bytes_and_4_more_where_keys_differ_in_length() {
    let rows = 1 << 12;
    let ints: ArrayRef = Arc::new(Int64Array::from(vec![7; rows]));
    let fixed = KeyEncoder::new(&[Field::new("k", DataType::Int64, false)]).unwrap();
    assert_eq!(fixed.encode(&[ints]).unwrap().allocated_bytes(), 8 * rows);
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("{row:07}"))));
    let varied = KeyEncoder::new(&[Field::new("k", DataType::Utf8, false)]).unwrap();
    assert_eq!(varied.encode(&[texts]).unwrap().allocated_bytes(), (8 + 4) * rows);
}

#[test]
fn keys_lie_within_their_cut_bounds() {
    seeded(|rng| {
        let encoder = KeyEncoder::new(&[Field::new("k", DataType::Binary, false)]).unwrap();
        let values: Vec<Vec<u8>> = (0..200)
            .map(|_| (0..rng.usize(60..70)).map(|_| if rng.u8(..20) == 0 { 0 } else { 255 }).collect())
            .collect();
        let keys = encoder.encode(&[Arc::new(BinaryArray::from_iter_values(&values))]).unwrap();
        for key in &keys {
            let lower = cut_lower(key, BOUND_BYTES_MAX);
            let upper = cut_upper(key, BOUND_BYTES_MAX);
            assert!(lower.len() <= 64 && upper.as_ref().is_none_or(|upper| upper.len() <= 64));
            assert!(lower <= key && upper.is_none_or(|upper| upper.as_slice() >= key));
        }
    });
}
