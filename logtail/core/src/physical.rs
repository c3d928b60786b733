//! How an Arrow array lies in memory, whatever its logical type: read and made by the codecs of keys and of rows.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeBinaryArray, GenericByteArray, OffsetSizeTrait, PrimitiveArray,
    cast::AsArray,
    downcast_primitive,
    types::{BinaryType, ByteArrayType, LargeBinaryType, LargeUtf8Type, Utf8Type},
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType};

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
            _ => None
        }
    }

    fn bytes<T: ByteArrayType>(
        array: &'a GenericByteArray<T>,
        offsets: impl FnOnce(&'a [T::Offset]) -> Offsets<'a>,
    ) -> Self {
        Self::Bytes { offsets: offsets(array.value_offsets()), bytes: array.value_data() }
    }
}

impl Offsets<'_> {
    /// Where row `row` begins and ends; `None` past the last row.
    pub(crate) fn get(&self, row: usize) -> Option<(usize, usize)> {
        fn pair<O: OffsetSizeTrait>(offsets: &[O], row: usize) -> Option<(usize, usize)> {
            let [start, end] = offsets.get(row..)?.first_chunk()?;
            Some((start.as_usize(), end.as_usize()))
        }
        match self {
            Self::Narrow(offsets) => pair(offsets, row),
            Self::Wide(offsets) => pair(offsets, row),
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
    use arrow_array::{GenericBinaryArray, GenericStringArray};
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => Ok(Arc::new(GenericStringArray::try_new(offsets, bytes, nulls)?)),
        DataType::Binary | DataType::LargeBinary => Ok(Arc::new(GenericBinaryArray::try_new(offsets, bytes, nulls)?)),
        other => Err(ArrowError::InvalidArgumentError(format!("{other} has no offsets"))),
    }
}
