//! `Value` and `Kind`: what is in the columns of simulated tables.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Int8Array, Int16Array, Int32Array, Int64Array, StringArray,
    cast::AsArray,
    types::{ArrowPrimitiveType, Int8Type, Int16Type, Int32Type, Int64Type},
};
use arrow_schema::DataType;
use logboom_sim::Choices;

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(Arc<str>),
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int8,
    Int16,
    Int32,
    Int64,
    Text,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Int8, Self::Int16, Self::Int32, Self::Int64, Self::Text];

    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.data_type() == *data_type)
    }

    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Int8 => DataType::Int8,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Text => DataType::Utf8,
        }
    }

    /// The bytes of an integer; `None` for text.
    fn width(self) -> Option<u32> {
        match self {
            Self::Int8 => Some(1),
            Self::Int16 => Some(2),
            Self::Int32 => Some(4),
            Self::Int64 => Some(8),
            Self::Text => None,
        }
    }

    /// Whether each value of the type is one of `other`, a larger one.
    pub(crate) fn widens(self, other: Self) -> bool {
        self.width().zip(other.width()).is_some_and(|(own, other)| own < other)
    }

    /// A value of the type, the extremes included.
    pub(crate) fn choose(self, choices: &mut Choices, nullable: bool) -> Value {
        if nullable && choices.percent(20) {
            return Value::Null;
        }
        let Some(width) = self.width() else { return text(choices) };
        let unused = 64 - 8 * width;
        match choices.below(8) {
            0 => Value::Int(i64::MIN >> unused),
            1 => Value::Int(i64::MAX >> unused),
            _ => Value::Int(choices.below(u64::MAX).cast_signed() >> unused),
        }
    }

    /// A column of the type.
    pub(crate) fn array<'v>(self, values: impl Iterator<Item = &'v Value>) -> ArrayRef {
        fn ints<'v, T: TryFrom<i64>>(values: impl Iterator<Item = &'v Value>) -> impl Iterator<Item = Option<T>> {
            values.map(|value| if let Value::Int(int) = value { T::try_from(*int).ok() } else { None })
        }
        match self {
            Self::Int8 => Arc::new(ints(values).collect::<Int8Array>()),
            Self::Int16 => Arc::new(ints(values).collect::<Int16Array>()),
            Self::Int32 => Arc::new(ints(values).collect::<Int32Array>()),
            Self::Int64 => Arc::new(ints(values).collect::<Int64Array>()),
            Self::Text => {
                let text = |value: &Value| if let Value::Text(text) = value { Some(Arc::clone(text)) } else { None };
                Arc::new(values.map(text).collect::<StringArray>())
            }
        }
    }
}

/// Mostly short, now and then so long that a few transactions fill the log's room.
fn text(choices: &mut Choices) -> Value {
    let len = if choices.percent(4) { choices.size(9000) } else { choices.size(12) };
    let first = choices.pick(&["", "a", "z", "\u{e9}", "\u{1f980}"]);
    Value::Text(first.chars().chain(std::iter::repeat_n('x', len)).collect::<String>().into())
}

/// The value of a row of an array; `None` for types that simulated tables do not have.
pub(crate) fn read(array: &dyn Array, row: usize) -> Option<Value> {
    fn int<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &dyn Array, row: usize) -> Value {
        Value::Int(array.as_primitive::<T>().value(row).into())
    }
    if array.is_null(row) {
        return Some(Value::Null);
    }
    Some(match Kind::of(array.data_type())? {
        Kind::Int8 => int::<Int8Type>(array, row),
        Kind::Int16 => int::<Int16Type>(array, row),
        Kind::Int32 => int::<Int32Type>(array, row),
        Kind::Int64 => int::<Int64Type>(array, row),
        Kind::Text => Value::Text(array.as_string::<i32>().value(row).into()),
    })
}
