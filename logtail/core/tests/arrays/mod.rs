//! Random schemas, and arrays of them: of every type that rows have, nested, with nulls and something behind each.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, FixedSizeBinaryArray, GenericBinaryArray, GenericListArray,
    GenericStringArray, OffsetSizeTrait, PrimitiveArray, StructArray, downcast_primitive,
};
use arrow_buffer::{Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use fastrand::Rng;

/// A schema of a few columns, with up to three levels.
pub(crate) fn fields(rng: &mut Rng) -> Vec<FieldRef> {
    (0..rng.usize(1..5)).map(|_| field(rng, 3)).collect()
}

fn field(rng: &mut Rng, levels: usize) -> FieldRef {
    let data_type = match rng.u8(..if levels > 1 { 9 } else { 6 }) {
        6 => DataType::List(field(rng, levels - 1)),
        7 => DataType::LargeList(field(rng, levels - 1)),
        8 => DataType::Struct((0..rng.usize(1..4)).map(|_| field(rng, levels - 1)).collect()),
        _ => rng.choice(all_types()).unwrap(),
    };
    Arc::new(Field::new("c", data_type, rng.bool()))
}

/// Every type that is not nested.
pub(crate) fn all_types() -> Vec<DataType> {
    use DataType as T;
    let mut types = vec![T::Boolean, T::Int8, T::Int16, T::Int32, T::Int64, T::UInt8, T::UInt16, T::UInt32, T::UInt64];
    types.extend([T::Float16, T::Float32, T::Float64, T::Decimal128(38, 9), T::Decimal256(76, -3)]);
    types.extend([T::Utf8, T::LargeUtf8, T::Binary, T::LargeBinary, T::FixedSizeBinary(1), T::FixedSizeBinary(5)]);
    types.extend([T::Date32, T::Date64, T::Time32(TimeUnit::Second), T::Time32(TimeUnit::Millisecond)]);
    types.extend([T::Time64(TimeUnit::Microsecond), T::Time64(TimeUnit::Nanosecond)]);
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        types.extend([T::Timestamp(unit, None), T::Timestamp(unit, Some("+02:00".into())), T::Duration(unit)]);
    }
    types
}

/// Columns of `rows` rows. Their values come from `rng`, and those that a null hides from the seed `garbage`.
pub(crate) fn columns(rng: &mut Rng, garbage: u64, fields: &[FieldRef], rows: usize) -> Vec<ArrayRef> {
    let mut source = Source { rng: rng.fork(), garbage: Rng::with_seed(garbage) };
    fields.iter().map(|field| source.array(field, &vec![true; rows], None)).collect()
}

struct Source {
    rng: Rng,
    garbage: Rng,
}

impl Source {
    fn of(&mut self, is_seen: bool) -> &mut Rng {
        if is_seen { &mut self.rng } else { &mut self.garbage }
    }

    /// An array with a value for each of `seen`: whether no null hides it. `outer` says where the struct that the array
    /// is in, if there is one, is not null.
    fn array(&mut self, field: &Field, seen: &[bool], outer: Option<&[bool]>) -> ArrayRef {
        let valid = self.validity(field, seen, outer);
        let seen: Vec<bool> = seen.iter().zip(&valid).map(|(seen, valid)| *seen && *valid).collect();
        let nulls = valid.contains(&false).then(|| NullBuffer::from(valid.as_slice()));
        match field.data_type() {
            DataType::Boolean => {
                let bits: Vec<bool> = seen.iter().map(|seen| self.of(*seen).bool()).collect();
                Arc::new(BooleanArray::new(bits.into(), nulls))
            }
            DataType::Utf8 => self.text::<i32>(&seen, nulls),
            DataType::LargeUtf8 => self.text::<i64>(&seen, nulls),
            DataType::Binary => self.binary::<i32>(&seen, nulls),
            DataType::LargeBinary => self.binary::<i64>(&seen, nulls),
            DataType::List(item) => self.list::<i32>(item, &seen, nulls),
            DataType::LargeList(item) => self.list::<i64>(item, &seen, nulls),
            DataType::Struct(fields) => {
                let children = fields.iter().map(|field| self.array(field, &seen, Some(&valid))).collect();
                Arc::new(StructArray::new(fields.clone(), children, nulls))
            }
            other => self.fixed(other, &seen, nulls),
        }
    }

    /// Which rows are not null. In a field that is not nullable only those can be that are null in the struct around.
    fn validity(&mut self, field: &Field, seen: &[bool], outer: Option<&[bool]>) -> Vec<bool> {
        let share = self.rng.u8(..5);
        let is_valid = |row: usize| match seen[row] {
            true => !field.is_nullable() || self.rng.u8(..4) >= share,
            false if field.is_nullable() || outer.is_some_and(|outer| !outer[row]) => self.garbage.bool(),
            false => true,
        };
        (0..seen.len()).map(is_valid).collect()
    }

    fn fixed(&mut self, data_type: &DataType, seen: &[bool], nulls: Option<NullBuffer>) -> ArrayRef {
        let width = match data_type {
            DataType::FixedSizeBinary(width) => *width as usize,
            other => other.primitive_width().unwrap(),
        };
        let mut bytes = MutableBuffer::new(0);
        for seen in seen {
            (0..width).for_each(|_| bytes.push(self.of(*seen).u8(..)));
        }
        let bytes = Buffer::from(bytes);
        macro_rules! primitive {
            ($t:ty) => {{
                let values = ScalarBuffer::<<$t as ArrowPrimitiveType>::Native>::from(bytes);
                Arc::new(PrimitiveArray::<$t>::new(values, nulls).with_data_type(data_type.clone()))
            }};
        }
        downcast_primitive! {
            data_type => (primitive),
            DataType::FixedSizeBinary(width) => Arc::new(FixedSizeBinaryArray::new(*width, bytes, nulls)),
            other => unreachable!("{other}")
        }
    }

    fn text<O: OffsetSizeTrait>(&mut self, seen: &[bool], nulls: Option<NullBuffer>) -> ArrayRef {
        let mut text = String::new();
        let lengths = seen.iter().map(|seen| {
            let before = text.len();
            let rng = self.of(*seen);
            (0..rng.usize(..4)).for_each(|_| text.push(if rng.bool() { rng.alphabetic() } else { rng.char(..) }));
            text.len() - before
        });
        let offsets = OffsetBuffer::<O>::from_lengths(lengths.collect::<Vec<_>>());
        Arc::new(GenericStringArray::new(offsets, text.into_bytes().into(), nulls))
    }

    fn binary<O: OffsetSizeTrait>(&mut self, seen: &[bool], nulls: Option<NullBuffer>) -> ArrayRef {
        let mut bytes = Vec::new();
        let lengths = seen.iter().map(|seen| {
            let rng = self.of(*seen);
            // Lengths of one byte and of two.
            let len = if rng.u8(..8) == 0 { rng.usize(120..140) } else { rng.usize(..4) };
            bytes.extend((0..len).map(|_| rng.u8(..)));
            len
        });
        let offsets = OffsetBuffer::<O>::from_lengths(lengths.collect::<Vec<_>>());
        Arc::new(GenericBinaryArray::new(offsets, bytes.into(), nulls))
    }

    fn list<O: OffsetSizeTrait>(&mut self, item: &FieldRef, seen: &[bool], nulls: Option<NullBuffer>) -> ArrayRef {
        let lengths: Vec<usize> = seen.iter().map(|seen| self.of(*seen).usize(..4)).collect();
        let items: Vec<bool> = seen.iter().zip(&lengths).flat_map(|(seen, len)| vec![*seen; *len]).collect();
        let items = self.array(item, &items, None);
        Arc::new(GenericListArray::<O>::new(item.clone(), OffsetBuffer::from_lengths(lengths), items, nulls))
    }
}
