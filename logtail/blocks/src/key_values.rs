//! Values of keys: as predicates compare them, and as bloom filters hash them.

use arrow_array::{
    Array, ArrayRef,
    cast::AsArray,
    downcast_primitive_array,
    types::{BinaryType, LargeBinaryType, LargeUtf8Type, Utf8Type},
};
use arrow_schema::DataType;
use logboom_logtail_core::predicate::Value;
use parquet::basic::Type;

use crate::bloom;

/// The value of a row of a key's column; `None` for one that predicates do not compare.
pub(crate) fn value(array: &ArrayRef, row: usize) -> Option<Value> {
    if row >= array.len() || array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Boolean => Value::Boolean(array.as_boolean().value(row)),
        DataType::Utf8 => Value::Bytes(array.as_bytes::<Utf8Type>().value(row).as_bytes().to_vec()),
        DataType::LargeUtf8 => Value::Bytes(array.as_bytes::<LargeUtf8Type>().value(row).as_bytes().to_vec()),
        DataType::Binary => Value::Bytes(array.as_bytes::<BinaryType>().value(row).to_vec()),
        DataType::LargeBinary => Value::Bytes(array.as_bytes::<LargeBinaryType>().value(row).to_vec()),
        DataType::FixedSizeBinary(_) => Value::Bytes(array.as_fixed_size_binary().value(row).to_vec()),
        _ => Value::Integer(integer(array, row)?),
    })
}

/// The number that a value of fixed width is stored as, little-endian, of up to 16 bytes.
fn integer(array: &ArrayRef, row: usize) -> Option<i128> {
    if array.data_type().is_floating() {
        return None;
    }
    let width = array.data_type().primitive_width()?;
    let bytes = downcast_primitive_array!(
        array => array.values().inner().as_slice(),
        _ => return None
    );
    let bytes = bytes.get(row.checked_mul(width)?..)?.get(..width)?;
    let is_negative = !array.data_type().is_unsigned_integer() && bytes.last()? & 0x80 != 0;
    let fill = if is_negative { -1 } else { 0 };
    (width <= 16).then(|| bytes.iter().rev().fold(fill, |number: i128, byte| number << 8 | i128::from(*byte)))
}

/// The hash that a bloom filter of a column of this type in Parquet has of a value; `None` where that is not known.
pub(crate) fn bloom_hash(value: &Value, physical: Type) -> Option<u64> {
    match (value, physical) {
        (Value::Bytes(bytes), Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY) => Some(bloom::hash(bytes)),
        // Unsigned integers are stored as the signed ones of the same bits.
        (Value::Integer(number), Type::INT32) => {
            let signed = i32::try_from(*number).map(i32::to_le_bytes);
            Some(bloom::hash(&signed.or_else(|_| u32::try_from(*number).map(u32::to_le_bytes)).ok()?))
        }
        (Value::Integer(number), Type::INT64) => {
            let signed = i64::try_from(*number).map(i64::to_le_bytes);
            Some(bloom::hash(&signed.or_else(|_| u64::try_from(*number).map(u64::to_le_bytes)).ok()?))
        }
        _ => None,
    }
}
