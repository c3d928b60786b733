//! How an Arrow array lies in memory, whatever its logical type: read and made by the codecs of keys and of rows.

use std::{ops::Range, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeBinaryArray, GenericBinaryArray, GenericByteArray, GenericListArray,
    GenericStringArray, OffsetSizeTrait, PrimitiveArray, StructArray,
    cast::AsArray,
    downcast_primitive,
    types::{BinaryType, ByteArrayType, LargeBinaryType, LargeUtf8Type, Utf8Type},
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, FieldRef, Fields};

#[cfg(target_endian = "big")]
compile_error!("the numbers of an array are taken for little-endian, as the formats have them");

/// The values of an array, those of null rows included; a slice has those of its rows only.
pub(crate) enum Physical<'a> {
    /// A bit a row.
    Bits(&'a BooleanBuffer),
    /// As many bytes a row as the type says ([`width`]).
    Fixed(&'a [u8]),
    /// The bytes of a row are those from its offset to the next one.
    Bytes { offsets: Offsets<'a>, bytes: &'a [u8] },
    /// The rows of `child` from its offset to the next one are those of a row.
    List { offsets: Offsets<'a>, child: &'a ArrayRef },
    /// As many rows as each of these has.
    Struct(&'a [ArrayRef]),
}

/// The offsets of rows of variable length: one more than there are rows. The first need not be 0.
#[derive(Clone, Copy)]
pub(crate) enum Offsets<'a> {
    Narrow(&'a [i32]),
    Wide(&'a [i64]),
}

/// The bytes of a value of fixed width; `None` for booleans and for types of variable length.
pub(crate) fn width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::FixedSizeBinary(width) => usize::try_from(*width).ok(),
        other => other.primitive_width(),
    }
}

impl<'a> Physical<'a> {
    /// The values of `array`; `None` for types of other layouts.
    pub(crate) fn of(array: &'a dyn Array) -> Option<Self> {
        macro_rules! primitive {
            ($t:ty) => {
                Some(Self::Fixed(array.as_primitive_opt::<$t>()?.values().inner().as_slice()))
            };
        }
        downcast_primitive! {
            array.data_type() => (primitive),
            DataType::Boolean => Some(Self::Bits(array.as_boolean_opt()?.values())),
            DataType::FixedSizeBinary(_) => Some(Self::Fixed(array.as_fixed_size_binary_opt()?.value_data())),
            DataType::Utf8 => Some(Self::bytes(array.as_bytes_opt::<Utf8Type>()?, Offsets::Narrow)),
            DataType::Binary => Some(Self::bytes(array.as_bytes_opt::<BinaryType>()?, Offsets::Narrow)),
            DataType::LargeUtf8 => Some(Self::bytes(array.as_bytes_opt::<LargeUtf8Type>()?, Offsets::Wide)),
            DataType::LargeBinary => Some(Self::bytes(array.as_bytes_opt::<LargeBinaryType>()?, Offsets::Wide)),
            DataType::List(_) => Some(Self::list(array.as_list_opt::<i32>()?, Offsets::Narrow)),
            DataType::LargeList(_) => Some(Self::list(array.as_list_opt::<i64>()?, Offsets::Wide)),
            DataType::Struct(_) => Some(Self::Struct(array.as_struct_opt()?.columns())),
            _ => None
        }
    }

    fn bytes<T: ByteArrayType>(
        array: &'a GenericByteArray<T>,
        offsets: impl FnOnce(&'a [T::Offset]) -> Offsets<'a>,
    ) -> Self {
        Self::Bytes { offsets: offsets(array.value_offsets()), bytes: array.value_data() }
    }

    fn list<O: OffsetSizeTrait>(array: &'a GenericListArray<O>, offsets: impl FnOnce(&'a [O]) -> Offsets<'a>) -> Self {
        Self::List { offsets: offsets(array.value_offsets()), child: array.values() }
    }
}

impl Offsets<'_> {
    /// Where the first of `rows` begins, and where the last one ends; nothing if the array has not all of them.
    pub(crate) fn span(&self, rows: Range<usize>) -> Range<usize> {
        fn span<O: OffsetSizeTrait>(offsets: &[O], rows: &Range<usize>) -> Option<Range<usize>> {
            Some(offsets.get(rows.start)?.as_usize()..offsets.get(rows.end)?.as_usize())
        }
        let span = match self {
            Self::Narrow(offsets) => span(offsets, &rows),
            Self::Wide(offsets) => span(offsets, &rows),
        };
        span.unwrap_or_default()
    }

    /// Calls `each` with the length of each of `rows`.
    pub(crate) fn lengths(&self, rows: Range<usize>, each: impl FnMut(usize)) {
        fn lengths<O: OffsetSizeTrait>(offsets: &[O], rows: Range<usize>, mut each: impl FnMut(usize)) {
            let offsets = offsets.get(rows.start..=rows.end).unwrap_or_default();
            offsets.iter().zip(offsets.iter().skip(1)).for_each(|(start, end)| each((*end - *start).as_usize()));
        }
        match self {
            Self::Narrow(offsets) => lengths(offsets, rows, each),
            Self::Wide(offsets) => lengths(offsets, rows, each),
        }
    }
}

/// The array of booleans that `values` are.
pub(crate) fn array_of_bits(values: BooleanBuffer, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(BooleanArray::new(values, nulls))
}

/// The array of a type of fixed width whose values, back to back and aligned, are `values`.
///
/// # Errors
/// Those of Arrow: a type of another layout, values or `nulls` of another number of rows.
pub(crate) fn array_of_fixed(
    data_type: &DataType,
    values: Buffer,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    macro_rules! primitive {
        ($t:ty) => {{
            let array = PrimitiveArray::<$t>::try_new(ScalarBuffer::from(values), nulls)?;
            Ok(Arc::new(array.with_data_type(data_type.clone())))
        }};
    }
    downcast_primitive! {
        data_type => (primitive),
        DataType::FixedSizeBinary(width) => Ok(Arc::new(FixedSizeBinaryArray::try_new(*width, values, nulls)?)),
        other => Err(ArrowError::InvalidArgumentError(format!("{other} has no fixed width")))
    }
}

/// The array of strings or binaries with the given offsets into `bytes`.
///
/// # Errors
/// Those of Arrow: a type of another layout, strings that are not UTF-8, `nulls` of another number of rows.
pub(crate) fn array_of_bytes<O: OffsetSizeTrait>(
    data_type: &DataType,
    offsets: OffsetBuffer<O>,
    bytes: Buffer,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => Ok(Arc::new(GenericStringArray::try_new(offsets, bytes, nulls)?)),
        DataType::Binary | DataType::LargeBinary => Ok(Arc::new(GenericBinaryArray::try_new(offsets, bytes, nulls)?)),
        other => Err(ArrowError::InvalidArgumentError(format!("{other} has no offsets"))),
    }
}

/// The array of lists with the given offsets into `child`.
///
/// # Errors
/// Those of Arrow: another child than `item` says, `nulls` of another number of rows.
pub(crate) fn array_of_lists<O: OffsetSizeTrait>(
    item: FieldRef,
    offsets: OffsetBuffer<O>,
    child: ArrayRef,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(GenericListArray::try_new(item, offsets, child, nulls)?))
}

/// The array of structs with the given fields, `rows` of them.
///
/// # Errors
/// Those of Arrow: other children than `fields` say, of another number of rows, with nulls where there may be none.
pub(crate) fn array_of_structs(
    fields: Fields,
    children: Vec<ArrayRef>,
    nulls: Option<NullBuffer>,
    rows: usize,
) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(StructArray::try_new_with_length(fields, children, nulls, rows)?))
}
