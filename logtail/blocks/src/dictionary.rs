//! Which columns get a dictionary.
//!
//! The parquet crate begins each column with a dictionary and gives it up when that is too large, between any two rows;
//! the pages behind that place would end within blocks. So it is decided before, by a sample of the first rows, and for
//! good: a dictionary that grows too large after all ends its row group.

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, GenericByteArray, GenericByteViewArray, OffsetSizeTrait, PrimitiveArray,
    cast::AsArray,
    downcast_primitive,
    types::{
        BinaryType, BinaryViewType, ByteArrayType, ByteViewType, LargeBinaryType, LargeUtf8Type, StringViewType,
        Utf8Type,
    },
};
use arrow_schema::DataType;
use hashbrown::HashSet;

/// The most values of a sample.
const SAMPLE: usize = 2048;

/// Whether each leaf of `column`, in Parquet's order, gets a dictionary.
pub(crate) fn choose(column: &ArrayRef) -> Vec<bool> {
    let mut leaves = Vec::new();
    collect(column, &mut leaves);
    leaves.iter().map(repeats).collect()
}

/// The arrays of the leaves: what the rows have of them, and not what else they share memory with.
fn collect(array: &ArrayRef, leaves: &mut Vec<ArrayRef>) {
    match array.data_type() {
        DataType::Struct(_) => array.as_struct().columns().iter().for_each(|child| collect(child, leaves)),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            collect(&used(list.value_offsets(), list.values()), leaves);
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            collect(&used(list.value_offsets(), list.values()), leaves);
        }
        DataType::FixedSizeList(..) => collect(array.as_fixed_size_list().values(), leaves),
        DataType::Map(..) => {
            let map = array.as_map();
            map.entries().columns().iter().for_each(|child| collect(&used(map.value_offsets(), child), leaves));
        }
        _ => leaves.push(array.clone()),
    }
}

/// The values between the first offset and the last.
fn used<O: OffsetSizeTrait>(offsets: &[O], values: &ArrayRef) -> ArrayRef {
    let (start, end) =
        offsets.first().zip(offsets.last()).map_or((0, 0), |(one, other)| (one.as_usize(), other.as_usize()));
    values.slice(start, end - start)
}

fn repeats(leaf: &ArrayRef) -> bool {
    macro_rules! primitive {
        ($t:ty) => {
            of_primitive(leaf.as_primitive::<$t>())
        };
    }
    downcast_primitive! {
        leaf.data_type() => (primitive),
        DataType::Utf8 => of_bytes(leaf.as_bytes::<Utf8Type>()),
        DataType::LargeUtf8 => of_bytes(leaf.as_bytes::<LargeUtf8Type>()),
        DataType::Binary => of_bytes(leaf.as_bytes::<BinaryType>()),
        DataType::LargeBinary => of_bytes(leaf.as_bytes::<LargeBinaryType>()),
        DataType::Utf8View => of_views(leaf.as_byte_view::<StringViewType>()),
        DataType::BinaryView => of_views(leaf.as_byte_view::<BinaryViewType>()),
        DataType::FixedSizeBinary(_) => {
            let array = leaf.as_fixed_size_binary();
            few(array, |row| array.value(row))
        },
        DataType::Dictionary(..) => true,
        _ => false,
    }
}

fn of_primitive<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> bool {
    let bytes = array.values().inner().as_slice();
    let width = size_of::<T::Native>();
    few(array, |row| bytes.get(row * width..).and_then(|rest| rest.get(..width)).unwrap_or_default())
}

fn of_bytes<T: ByteArrayType>(array: &GenericByteArray<T>) -> bool {
    few(array, |row| array.value(row).as_ref())
}

fn of_views<T: ByteViewType>(array: &GenericByteViewArray<T>) -> bool {
    few(array, |row| array.value(row).as_ref())
}

/// Whether few of the values that `value` gives for rows of `array` are distinct.
///
/// A full sample of values that are equally frequent has three quarters distinct ones if there are 3400, and seven
/// eighths if there are 7500. So a dictionary takes some 64 KiB: beyond that, hashing costs more than it saves.
fn few<'a>(array: &dyn Array, value: impl Fn(usize) -> &'a [u8]) -> bool {
    let step = array.len().div_ceil(SAMPLE).max(1);
    let rows = (0..array.len()).step_by(step).filter(|row| array.is_valid(*row));
    let (mut count, mut bytes, mut distinct) = (0, 0, HashSet::new());
    for value in rows.map(value) {
        count += 1;
        bytes += value.len();
        distinct.insert(value);
    }
    let eighths = if bytes <= 8 * count { 7 } else { 6 };
    distinct.len() * 8 <= count * eighths
}
