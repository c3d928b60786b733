//! Predicates: which rows they keep, and which keys and bounds they rule out.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::{cmp::Ordering, sync::Arc};

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    Float16Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, LargeBinaryArray,
    LargeStringArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt8Array, UInt16Array, UInt32Array,
    UInt64Array, cast::AsArray, types::Float16Type,
};
use arrow_buffer::i256;
use arrow_schema::{DataType, Field};
use logboom_logtail_core::{
    ColumnId,
    key::KeyEncoder,
    predicate::{NullTest, Op, Predicate, Term, Value},
    widen,
};

const OPS: [Op; 6] = [Op::Equal, Op::NotEqual, Op::Less, Op::LessOrEqual, Op::Greater, Op::GreaterOrEqual];

fn holds(op: Op, order: Option<Ordering>) -> bool {
    match op {
        Op::Equal => order == Some(Ordering::Equal),
        Op::NotEqual => order != Some(Ordering::Equal),
        Op::Less => order == Some(Ordering::Less),
        Op::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Op::Greater => order == Some(Ordering::Greater),
        Op::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

/// Compares `column`, whose values are `values`, with each of `literals`, as a whole and as a slice.
fn check(column: ArrayRef, values: &[Option<Value>], literals: &[Value]) {
    let numbers: ArrayRef = Arc::new((0..).take(values.len()).map(Some).collect::<Int32Array>());
    let rows = RecordBatch::try_from_iter_with_nullable([("c", column, true), ("n", numbers, false)]).unwrap();
    for (op, value) in OPS.iter().flat_map(|op| literals.iter().map(move |literal| (*op, literal))) {
        let predicate = Predicate::all([Term { column: ColumnId(7), op, value: value.clone() }]);
        for first in 0..2 {
            let kept = predicate.filter(&rows.slice(first, values.len() - first), |_| Some(0)).unwrap();
            let kept = kept.column(1).as_primitive::<arrow_array::types::Int32Type>().values().to_vec();
            let wanted = |row: &usize| values[*row].as_ref().is_some_and(|own| holds(op, own.compare(value)));
            let expected = (first..values.len()).filter(wanted).map(|row| i32::try_from(row).unwrap());
            let data_type = rows.schema().field(0).data_type().clone();
            assert_eq!(kept, expected.collect::<Vec<_>>(), "{data_type} {op:?} {value:?}");
        }
    }
}

/// The same for values of Rust that make an array.
macro_rules! check {
    ($array:ty, $values:expr, $literals:expr) => {{
        let values = $values;
        let column: ArrayRef = Arc::new(<$array>::from(values.clone()));
        let values: Vec<Option<Value>> = values.into_iter().map(|value| value.map(Value::from)).collect();
        check(column, &values, $literals);
    }};
}

#[test]
fn rows_are_kept_of_which_the_comparison_holds() {
    let numbers: Vec<Value> = [i128::MIN, -(1 << 70), -129, -128, -1, 0, 1, 127, 128, 255, 256, 1 << 63, i128::MAX]
        .into_iter()
        .map(Value::from)
        .chain([-128.5, -0.0, 0.5, 127.0, 1e30, f64::NAN, f64::INFINITY].map(Value::from))
        .collect();
    let integers = &numbers[..13];
    check!(Int8Array, vec![Some(i8::MIN), None, Some(-1), Some(0), Some(1), Some(i8::MAX)], &numbers);
    check!(Int16Array, vec![Some(i16::MIN), None, Some(-1), Some(0), Some(128), Some(i16::MAX)], &numbers);
    check!(Int32Array, vec![Some(i32::MIN), None, Some(-129), Some(0), Some(255)], &numbers);
    check!(Int64Array, vec![Some(i64::MIN), None, Some(-1), Some(256), Some(i64::MAX)], &numbers);
    check!(UInt8Array, vec![Some(0_u8), None, Some(1), Some(127), Some(255)], &numbers);
    check!(UInt16Array, vec![Some(0_u16), None, Some(256), Some(u16::MAX)], &numbers);
    check!(UInt32Array, vec![Some(0_u32), None, Some(128), Some(u32::MAX)], &numbers);
    check!(UInt64Array, vec![Some(0_u64), None, Some(1 << 63), Some(u64::MAX)], &numbers);
    check!(Decimal128Array, vec![Some(-129_i128), None, Some(0), Some(1 << 70)], integers);
    check!(Date32Array, vec![Some(-1_i32), None, Some(0), Some(256)], integers);
    check!(TimestampMicrosecondArray, vec![Some(-1_i64), None, Some(0), Some(256)], integers);
    let floats = [f64::NEG_INFINITY, -128.5, -1.0, -0.0, 0.0, 0.5, 128.0, f64::INFINITY, f64::NAN, -f64::NAN];
    let floats = || floats.into_iter().map(Some).chain([None]);
    check!(Float64Array, floats().collect::<Vec<_>>(), &numbers);
    #[expect(clippy::cast_possible_truncation, reason = "they are floats of 32 bits")]
    let narrow: Vec<_> = floats().map(|value| value.map(|value| value as f32)).collect();
    check!(Float32Array, narrow.clone(), &numbers);
    let half: Float16Array = Float32Array::from(narrow.clone()).unary_opt::<_, Float16Type>(|value| {
        let half = <Float16Type as arrow_array::types::ArrowPrimitiveType>::Native::from_f32(value);
        Some(half)
    });
    let values: Vec<_> = narrow.into_iter().map(|value| value.map(Value::from)).collect();
    check(Arc::new(half), &values, &numbers);
    let wide = vec![Some(i256::from_i128(-129)), None, Some(i256::ZERO), Some(i256::from_i128(256))];
    let values = [Some(Value::from(-129)), None, Some(Value::from(0)), Some(Value::from(256))];
    check(Arc::new(Decimal256Array::from(wide)), &values, integers);
    check!(BooleanArray, vec![Some(true), None, Some(false)], &[true.into(), false.into()]);
    let texts = ["", "a", "ab", "b", "\u{e9}"].map(Value::from);
    check!(StringArray, vec![Some(""), None, Some("a"), Some("aa"), Some("\u{e9}")], &texts);
    check!(LargeStringArray, vec![Some("ab"), None, Some("b")], &texts);
    check!(BinaryArray, vec![Some(&b"ab"[..]), None, Some(b"\xff")], &texts);
    check!(LargeBinaryArray, vec![Some(&b"ab"[..]), None, Some(b"\xff")], &texts);
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size([Some(b"ab"), None, Some(b"b\0")].into_iter(), 2);
    check(Arc::new(fixed.unwrap()), &[Some("ab".into()), None, Some("b\0".into())], &texts);
}

#[test]
fn a_row_is_kept_if_all_comparisons_hold() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
    let rows = RecordBatch::try_from_iter([("c", column)]).unwrap();
    let term = |op, value: i64| Term { column: ColumnId(1), op, value: value.into() };
    let kept = |terms| Predicate::all(terms).filter(&rows, |_| Some(0)).unwrap().num_rows();
    assert_eq!(kept(vec![]), 4);
    assert_eq!(kept(vec![term(Op::Greater, 1), term(Op::Less, 4)]), 2);
    assert_eq!(kept(vec![term(Op::Greater, 1), term(Op::Less, 4), term(Op::NotEqual, 3)]), 1);
    assert!(Predicate::all([term(Op::Less, 4)]).filter(&rows, |_| None).is_err());
    let other = Predicate::all([Term { column: ColumnId(1), op: Op::Less, value: "4".into() }]);
    assert!(other.filter(&rows, |_| Some(0)).is_err());
}

#[test]
fn nulls_and_alternatives_choose_rows() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3), None, Some(5)]));
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![0, 1, 2, 3, 4]));
    let list = DataType::new_list(DataType::Int32, true);
    let lists = arrow_array::new_null_array(&list, 5);
    let rows =
        RecordBatch::try_from_iter_with_nullable([("c", column, true), ("n", numbers, false), ("l", lists, true)]);
    let rows = rows.unwrap();
    let kept = |predicate: &Predicate| {
        let kept = predicate.filter(&rows, |id| usize::try_from(id.0 - 1).ok()).unwrap();
        kept.column(1).as_primitive::<arrow_array::types::Int32Type>().values().to_vec()
    };
    let null = |column, is_null| Predicate::null(NullTest { column: ColumnId(column), is_null });
    assert_eq!(kept(&null(1, true)), [1, 3]);
    assert_eq!(kept(&null(1, false)), [0, 2, 4]);
    assert_eq!((kept(&null(2, true)), kept(&null(2, false)).len()), (vec![], 5));
    assert_eq!((kept(&null(3, true)).len(), kept(&null(3, false))), (5, vec![]));
    let term = |column, op, value: i64| Term { column: ColumnId(column), op, value: value.into() };
    let either = |any: Vec<Predicate>| Predicate::any(any);
    assert_eq!(kept(&either(vec![null(1, true), Predicate::all([term(1, Op::Greater, 3)])])), [1, 3, 4]);
    assert_eq!(kept(&either(vec![Predicate::all([term(1, Op::Less, 3)]), Predicate::default()])), [0, 1, 2, 3, 4]);
    assert_eq!(kept(&either(vec![])), [0; 0]);
    let mut both = either(vec![null(1, true), Predicate::all([term(1, Op::Greater, 3)])]);
    both = both.and(Predicate::all([term(2, Op::Less, 4)]));
    assert_eq!(kept(&both), [1, 3]);
    let [three, two] = [3, 2].map(|value| Predicate::all([term(2, Op::Equal, value)]));
    both = both.and(Predicate::any([three, two]));
    assert_eq!(kept(&both), [3]);
    let mut asked = Vec::new();
    both.visit_columns(&mut |column| asked.push(column.0));
    assert_eq!(asked, [2, 1, 1, 2, 2]);
    assert!(null(4, true).filter(&rows, |id| usize::try_from(id.0 - 1).ok()).is_err());
}

/// A column may be widened without another row being wanted.
#[test]
fn widening_keeps_what_is_wanted() {
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(-1), Some(0), Some(i32::MAX)]));
    for to in [DataType::Int64, DataType::Float64] {
        let wide = widen(&narrow, &to).unwrap();
        for value in [Value::from(-1), (-0.5).into(), 2_147_483_646.5.into(), i64::MAX.into(), f64::NAN.into()] {
            for op in OPS {
                let predicate = Predicate::all([Term { column: ColumnId(1), op, value: value.clone() }]);
                let kept = |column: &ArrayRef| {
                    let rows = RecordBatch::try_from_iter([("c", Arc::clone(column))]).unwrap();
                    let kept = predicate.filter(&rows, |_| Some(0)).unwrap();
                    widen(kept.column(0), &to).unwrap()
                };
                assert_eq!(&kept(&narrow), &kept(&wide), "{to} {op:?} {value:?}");
            }
        }
    }
}

#[test]
fn what_does_not_compare_is_said() {
    let types = [
        DataType::Boolean,
        DataType::Int32,
        DataType::Float32,
        DataType::Date32,
        DataType::Decimal128(10, 2),
        DataType::Utf8,
        DataType::new_list(DataType::Int32, true),
    ];
    let values = [Value::from(true), 1.into(), 1.5.into(), "1".into()];
    let comparable = |data_type: &DataType| values.clone().map(|value| value.is_comparable(data_type));
    let expected = [
        [true, false, false, false],
        [false, true, true, false],
        [false, true, true, false],
        [false, true, false, false],
        [false, true, false, false],
        [false, false, false, true],
        [false; 4],
    ];
    assert_eq!(types.each_ref().map(comparable), expected);
}

/// No key of a row that is wanted is outside of the range; and the range does leave out others.
#[test]
fn the_range_of_keys_has_all_that_are_wanted() {
    let mut rng = fastrand::Rng::with_seed(11);
    let texts = ["", "a", "a\0", "a\0b", "a\u{1}", "ab", "b", "\u{7f}"];
    let numbers = [i16::MIN, -2, -1, 0, 1, 255, 256, i16::MAX];
    let fields = [Field::new("s", DataType::Utf8, false), Field::new("n", DataType::Int16, false)];
    let encoder = KeyEncoder::new(&fields).unwrap();
    let all = || texts.iter().flat_map(|text| numbers.iter().map(move |number| (*text, *number)));
    let first: ArrayRef = Arc::new(all().map(|(text, _)| Some(text)).collect::<StringArray>());
    let second: ArrayRef = Arc::new(all().map(|(_, number)| Some(number)).collect::<Int16Array>());
    let rows = RecordBatch::try_from_iter([("s", Arc::clone(&first)), ("n", Arc::clone(&second))]).unwrap();
    let keys = encoder.encode(&[first, second]).unwrap();
    let mut left_out = [0, 0];
    for round in 0..6000 {
        let alternatives = round % 2 == 1;
        let mut some = |max| {
            let count = rng.usize(0..max);
            let term = |_| {
                let (column, value): (_, Value) = match rng.u8(0..4) {
                    0 | 1 => (1, texts[rng.usize(..texts.len())].into()),
                    2 => (2, numbers[rng.usize(..numbers.len())].into()),
                    _ => (2, rng.i64(-70_000..70_000).into()),
                };
                Term { column: ColumnId(column), op: OPS[rng.usize(..6)], value }
            };
            Predicate::all((0..count).map(term).collect::<Vec<_>>())
        };
        let mut predicate = some(4);
        if alternatives {
            let one_of = Predicate::any([some(3), some(3)]);
            predicate = predicate.and(one_of).and(Predicate::any([some(2), some(4), some(3)]));
        }
        let range = encoder.range(&[ColumnId(1), ColumnId(2)], &predicate);
        for row in 0..rows.num_rows() {
            let kept = predicate.filter(&rows.slice(row, 1), |id| usize::try_from(id.0 - 1).ok()).unwrap();
            let within = range.overlaps(keys.get(row), keys.get(row));
            assert!(within || kept.num_rows() == 0, "{predicate:?} {range:?} {:?}", keys.get(row));
            left_out[usize::from(alternatives)] += usize::from(!within);
        }
        assert!(range.overlaps(None, None));
    }
    assert!(left_out.iter().all(|keys| *keys > 50_000), "{left_out:?} keys are left out");
}
