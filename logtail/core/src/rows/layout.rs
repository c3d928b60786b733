//! How the values of a type lie in a record and in a chunk.

use arrow_schema::{DataType, FieldRef, Fields};

use crate::physical::width;

/// How deep structs and lists may lie in each other, a column without any being 1: it is how deep the code recurses.
pub const NESTING_MAX: usize = 16;

/// The first byte of a column: no value is null.
pub(super) const NO_NULLS: u8 = 0;

/// The first byte of a column: a bitmap follows, with a 1 for each value that is not null.
pub(super) const NULLS: u8 = 1;

/// The layout of a type.
pub(super) enum Layout<'a> {
    /// A bit a value.
    Bits,
    /// So many bytes a value, 1 at least.
    Fixed(usize),
    /// Bytes of any number; `wide` if Arrow's offsets have 64 bits.
    Bytes { wide: bool, utf8: bool },
    /// Values of the child, any number of them.
    List { wide: bool, item: &'a FieldRef },
    /// A value of each field, of which there is one at least.
    Struct(&'a Fields),
}

impl<'a> Layout<'a> {
    /// The layout of a type; `None` for a type that rows do not have.
    pub(super) fn of(data_type: &'a DataType) -> Option<Self> {
        use DataType as T;
        let layout = match data_type {
            T::Boolean => Self::Bits,
            T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => {
                fixed(data_type)?
            }
            T::Float16 | T::Float32 | T::Float64 | T::Decimal128(..) | T::Decimal256(..) => fixed(data_type)?,
            T::Date32 | T::Date64 | T::Time32(_) | T::Time64(_) | T::Timestamp(..) | T::Duration(_) => {
                fixed(data_type)?
            }
            T::FixedSizeBinary(_) => fixed(data_type)?,
            T::Utf8 => Self::Bytes { wide: false, utf8: true },
            T::LargeUtf8 => Self::Bytes { wide: true, utf8: true },
            T::Binary => Self::Bytes { wide: false, utf8: false },
            T::LargeBinary => Self::Bytes { wide: true, utf8: false },
            T::List(item) => Self::List { wide: false, item },
            T::LargeList(item) => Self::List { wide: true, item },
            T::Struct(fields) if !fields.is_empty() => Self::Struct(fields),
            _ => return None,
        };
        Some(layout)
    }
}

fn fixed(data_type: &DataType) -> Option<Layout<'_>> {
    width(data_type).filter(|width| *width > 0).map(Layout::Fixed)
}
