//! Skips blocks by the statistics of their pages.

use arrow_schema::DataType;
use logboom_logtail_core::predicate::{NullTest, Op, Predicate, Term, Value};
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use crate::footer::Footer;

/// What is known of the values of a page.
enum Bounds {
    /// There are none: all rows lack one.
    Nothing,
    /// None is below the first, nor above the second, but for floats that are not a number.
    Within(Option<Value>, Option<Value>),
}

impl Footer {
    /// Whether a block, counted within its row group, may have a row that `predicate` wants.
    ///
    /// A column that the object does not have, as it was added later, lacks all values. Those of one that was widened
    /// since are compared as they are here: a wider type has the same order, and values of it compare exactly.
    pub(crate) fn may_match(&self, predicate: &Predicate, group: usize, block: usize) -> bool {
        let mut compares = |term: &Term| match self.bounds(term, group, block) {
            Bounds::Nothing => false,
            Bounds::Within(low, high) => term.may_hold(low.as_ref(), high.as_ref()),
        };
        predicate.may_hold(&mut compares, &mut |test| self.may_lack_or_have(*test, group, block))
    }

    /// Whether a block may have a row that lacks, or has, the value of a column.
    fn may_lack_or_have(&self, test: NullTest, group: usize, block: usize) -> bool {
        let Some(column) = self.column(test.column) else { return test.is_null };
        let field = self.schema().field(column);
        if !field.is_nullable() {
            return !test.is_null;
        }
        // Whether a nested value is null is not what is known of its leaves.
        let leaf = self.leaves(column).next().filter(|_| !field.data_type().is_nested());
        let index = leaf.and_then(|leaf| self.index(group, leaf, block));
        index.is_none_or(|index| {
            let nulls = index.null_counts().and_then(|nulls| nulls.get(block));
            if test.is_null { nulls.is_none_or(|nulls| *nulls > 0) } else { !index.is_null_page(block) }
        })
    }

    /// What is known of the pages of a leaf, of which one is that of a block.
    fn index(&self, group: usize, leaf: usize, block: usize) -> Option<&ColumnIndexMetaData> {
        let index = self.parquet().column_index()?.get(group)?.get(leaf)?;
        Some(index).filter(|index| (block as u64) < pages(index))
    }

    fn bounds(&self, term: &Term, group: usize, block: usize) -> Bounds {
        let unknown = Bounds::Within(None, None);
        let Some(column) = self.column(term.column) else { return Bounds::Nothing };
        let data_type = self.schema().field(column).data_type();
        let is_flat = !data_type.is_nested();
        let leaf = self.leaves(column).next().filter(|_| is_flat);
        let Some(index) = leaf.and_then(|leaf| self.index(group, leaf, block)) else { return unknown };
        if index.is_null_page(block) {
            return Bounds::Nothing;
        }
        match values(index, block, data_type) {
            // Bounds say nothing of a value that is not a number, of which only this holds.
            Some((Value::Float(_), _)) if term.op == Op::NotEqual => unknown,
            Some((low, high)) => Bounds::Within(Some(low), Some(high)),
            None => unknown,
        }
    }
}

/// The lowest and the highest value of a page with values; `None` where that is not known.
fn values(index: &ColumnIndexMetaData, page: usize, data_type: &DataType) -> Option<(Value, Value)> {
    use ColumnIndexMetaData as Index;
    use DataType as T;
    let data_type = match data_type {
        T::Dictionary(_, values) => values,
        other => other,
    };
    macro_rules! both {
        ($index:expr, $value:expr) => {
            Some(($index.min_value(page).map($value)?, $index.max_value(page).map($value)?))
        };
    }
    match (index, data_type) {
        (Index::BOOLEAN(index), T::Boolean) => both!(index, |value| Value::Boolean(*value)),
        (Index::INT32(index), T::UInt8 | T::UInt16 | T::UInt32) => {
            both!(index, |value| Value::Integer(value.cast_unsigned().into()))
        }
        (Index::INT64(index), T::UInt64) => both!(index, |value| Value::Integer(value.cast_unsigned().into())),
        (Index::INT32(index), _) => both!(index, |value| Value::Integer((*value).into())),
        (Index::INT64(index), _) => both!(index, |value| Value::Integer((*value).into())),
        (Index::FLOAT(index), T::Float32) => both!(index, |value| Value::Float((*value).into())),
        (Index::DOUBLE(index), T::Float64) => both!(index, |value| Value::Float(*value)),
        (Index::FIXED_LEN_BYTE_ARRAY(index), T::Decimal128(..)) => {
            let (low, high) = (index.min_value(page)?, index.max_value(page)?);
            Some((Value::Integer(big_endian(low)?), Value::Integer(big_endian(high)?)))
        }
        (
            Index::BYTE_ARRAY(index),
            T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Binary | T::LargeBinary | T::BinaryView,
        )
        | (Index::FIXED_LEN_BYTE_ARRAY(index), T::FixedSizeBinary(_)) => {
            both!(index, |value: &[u8]| Value::Bytes(value.to_vec()))
        }
        _ => None,
    }
}

/// The number of pages in an index.
fn pages(index: &ColumnIndexMetaData) -> u64 {
    match index {
        ColumnIndexMetaData::NONE => 0,
        index => index.num_pages(),
    }
}

/// A number in big-endian two's complement, of up to 16 bytes.
fn big_endian(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first()? & 0x80 != 0;
    let fill = if negative { -1 } else { 0 };
    (bytes.len() <= 16).then(|| bytes.iter().fold(fill, |number: i128, byte| number << 8 | i128::from(*byte)))
}
