//! Types that hold each value of others.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, PrimitiveArray,
    cast::AsArray,
    types::{
        ArrowPrimitiveType, Decimal128Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use arrow_schema::DataType;

/// The widenings between numbers: each value of the first type has exactly one of the second that equals it, and the
/// order of values stays. So a 32-bit integer does not become a 32-bit float.
macro_rules! for_each_widening {
    ($then:ident) => {
        $then! {
            Int8: Int8Type => Int16: Int16Type, Int32: Int32Type, Int64: Int64Type, Float32: Float32Type,
                Float64: Float64Type;
            Int16: Int16Type => Int32: Int32Type, Int64: Int64Type, Float32: Float32Type, Float64: Float64Type;
            Int32: Int32Type => Int64: Int64Type, Float64: Float64Type;
            UInt8: UInt8Type => UInt16: UInt16Type, UInt32: UInt32Type, UInt64: UInt64Type, Int16: Int16Type,
                Int32: Int32Type, Int64: Int64Type;
            UInt16: UInt16Type => UInt32: UInt32Type, UInt64: UInt64Type, Int32: Int32Type, Int64: Int64Type;
            UInt32: UInt32Type => UInt64: UInt64Type, Int64: Int64Type;
            Float16: Float16Type => Float32: Float32Type, Float64: Float64Type;
            Float32: Float32Type => Float64: Float64Type;
        }
    };
}

/// Whether a column of type `from` may become one of type `to`, since that holds each of its values. A type does not
/// widen to itself.
pub fn widens(from: &DataType, to: &DataType) -> bool {
    macro_rules! numbers {
        ($($from:ident: $_:ident => $($to:ident: $__:ident),+;)+) => {
            match (from, to) {
                $((DataType::$from, $(DataType::$to)|+) => true,)+
                (DataType::Decimal128(narrow, scale), DataType::Decimal128(wide, same)) => {
                    scale == same && narrow < wide
                }
                _ => false,
            }
        };
    }
    for_each_widening!(numbers)
}

/// The values of `array` as type `to`; `array` itself where it has that type. `None` where its type does not
/// [widen](widens) to it.
pub fn widen(array: &ArrayRef, to: &DataType) -> Option<ArrayRef> {
    if array.data_type() == to {
        return Some(Arc::clone(array));
    }
    macro_rules! numbers {
        ($($from:ident: $from_type:ident => $($to:ident: $to_type:ident),+;)+) => {
            match (array.data_type(), to) {
                $($((DataType::$from, DataType::$to) => convert::<$from_type, $to_type>(array),)+)+
                (DataType::Decimal128(..), DataType::Decimal128(precision, scale)) if widens(array.data_type(), to) => {
                    let decimals = array.as_primitive_opt::<Decimal128Type>()?.clone();
                    Some(Arc::new(decimals.with_precision_and_scale(*precision, *scale).ok()?))
                }
                _ => None,
            }
        };
    }
    for_each_widening!(numbers)
}

fn convert<F, T>(array: &ArrayRef) -> Option<ArrayRef>
where
    F: ArrowPrimitiveType,
    T: ArrowPrimitiveType,
    T::Native: From<F::Native>,
{
    let wide: PrimitiveArray<T> = array.as_primitive_opt::<F>()?.unary(T::Native::from);
    Some(Arc::new(wide))
}

#[cfg(test)]
mod tests {
    use arrow_array::{Decimal128Array, Float64Array, Int32Array, Int64Array};

    use super::*;

    #[test]
    fn only_types_that_hold_each_value_are_wider() {
        assert!(widens(&DataType::Int32, &DataType::Int64));
        assert!(widens(&DataType::UInt32, &DataType::Int64));
        assert!(widens(&DataType::Decimal128(10, 2), &DataType::Decimal128(12, 2)));
        // 2^24 + 1 and 2^53 + 1 have no float.
        assert!(!widens(&DataType::Int32, &DataType::Float32));
        assert!(!widens(&DataType::Int64, &DataType::Float64));
        assert!(!widens(&DataType::UInt64, &DataType::Int64));
        assert!(!widens(&DataType::Decimal128(10, 2), &DataType::Decimal128(12, 3)));
        assert!(!widens(&DataType::Int64, &DataType::Int64));
    }

    #[test]
    fn values_and_nulls_stay() {
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(7)]));
        let wide = Int64Array::from(vec![Some(i64::from(i32::MIN)), None, Some(7)]);
        assert_eq!(*widen(&narrow, &DataType::Int64).unwrap(), wide);
        let wide = Float64Array::from(vec![Some(f64::from(i32::MIN)), None, Some(7.0)]);
        assert_eq!(*widen(&narrow, &DataType::Float64).unwrap(), wide);
        assert!(widen(&narrow, &DataType::Int16).is_none());

        let decimal = Decimal128Array::from(vec![12_345]).with_precision_and_scale(5, 2).unwrap();
        let wide = widen(&(Arc::new(decimal) as ArrayRef), &DataType::Decimal128(9, 2)).unwrap();
        assert_eq!(wide.as_primitive::<Decimal128Type>().value_as_string(0), "123.45");
        // Every pair that widens does.
        for from in [DataType::Int8, DataType::UInt16, DataType::Float16, DataType::Float32] {
            for to in [DataType::Int16, DataType::Int32, DataType::Int64, DataType::UInt64, DataType::Float64] {
                assert_eq!(widen(&arrow_array::new_null_array(&from, 2), &to).is_some(), widens(&from, &to));
            }
        }
    }
}
