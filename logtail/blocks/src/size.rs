//! The size of values, however they lie in memory.

use arrow_array::{
    Array, ArrayRef, GenericByteArray, GenericByteViewArray, OffsetSizeTrait,
    cast::AsArray,
    types::{
        BinaryType, BinaryViewType, ByteArrayType, ByteViewType, LargeBinaryType, LargeUtf8Type, StringViewType,
        Utf8Type,
    },
};
use arrow_schema::DataType;

/// The bytes of the values of `array`, about: the same for equal arrays, which may differ in what they share, and in
/// what they hold beside.
pub(crate) fn value_bytes(array: &ArrayRef) -> usize {
    match array.data_type() {
        DataType::Utf8 => of_bytes(array.as_bytes::<Utf8Type>()),
        DataType::LargeUtf8 => of_bytes(array.as_bytes::<LargeUtf8Type>()),
        DataType::Binary => of_bytes(array.as_bytes::<BinaryType>()),
        DataType::LargeBinary => of_bytes(array.as_bytes::<LargeBinaryType>()),
        DataType::Utf8View => of_views(array.as_byte_view::<StringViewType>()),
        DataType::BinaryView => of_views(array.as_byte_view::<BinaryViewType>()),
        DataType::Struct(_) => array.as_struct().columns().iter().map(value_bytes).sum(),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            of_ranges(list, list.value_offsets(), |start, len| value_bytes(&list.values().slice(start, len)))
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            of_ranges(list, list.value_offsets(), |start, len| value_bytes(&list.values().slice(start, len)))
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let entries: Vec<ArrayRef> = map.entries().columns().to_vec();
            let of = |start, len| entries.iter().map(|column| value_bytes(&column.slice(start, len))).sum();
            of_ranges(map, map.value_offsets(), of)
        }
        DataType::FixedSizeList(..) => value_bytes(array.as_fixed_size_list().values()),
        DataType::Dictionary(..) => of_dictionary(array),
        DataType::FixedSizeBinary(width) => valid(array) * usize::try_from(*width).unwrap_or(0),
        other => valid(array) * other.primitive_width().unwrap_or(1),
    }
}

fn valid(array: &dyn Array) -> usize {
    array.len() - array.null_count()
}

fn of_bytes<T: ByteArrayType>(array: &GenericByteArray<T>) -> usize {
    of_ranges(array, array.value_offsets(), |_, len| len)
}

fn of_views<T: ByteViewType>(array: &GenericByteViewArray<T>) -> usize {
    let lengths = array.lengths().enumerate().filter(|(row, _)| array.is_valid(*row));
    lengths.map(|(_, len)| usize::try_from(len).unwrap_or(0)).sum()
}

/// The sum of what `of` gives for the ranges, as start and length, of the rows that are not null.
fn of_ranges<O: OffsetSizeTrait>(array: &dyn Array, offsets: &[O], of: impl Fn(usize, usize) -> usize) -> usize {
    let of_rows = |start: usize, end: usize| match (offsets.get(start), offsets.get(end)) {
        (Some(start), Some(end)) => of(start.as_usize(), end.as_usize() - start.as_usize()),
        _ => 0,
    };
    match array.nulls() {
        Some(nulls) => nulls.valid_slices().map(|(start, end)| of_rows(start, end)).sum(),
        None => of_rows(0, array.len()),
    }
}

/// As if each row had a value of its own.
fn of_dictionary(array: &ArrayRef) -> usize {
    let (keys, values) = (array.as_any_dictionary().keys(), array.as_any_dictionary().values());
    if values.is_empty() {
        return 0;
    }
    let keys =
        array.as_any_dictionary().normalized_keys().into_iter().enumerate().filter(|(row, _)| keys.is_valid(*row));
    keys.map(|(_, key)| value_bytes(&values.slice(key, 1))).sum()
}
