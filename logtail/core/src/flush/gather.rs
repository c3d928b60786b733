//! Rows of several batches, gathered into one.

use std::iter::zip;

use arrow_array::{
    Array, ArrayRef, GenericByteArray, RecordBatch,
    types::{BinaryType, ByteArrayType, LargeBinaryType, LargeUtf8Type, Utf8Type},
};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use arrow_select::interleave::interleave;

use super::sort::Row;
use crate::physical::array_of_bytes;

/// Values that are no longer are copied as so many bytes: a copy of a length that the compiler knows is a few
/// instructions, and one of another length is a call.
const COPIED: usize = 32;

/// Where the rows of a batch come from.
pub(crate) struct Sources {
    /// Those that have some of them, in order.
    numbers: Vec<u32>,
    /// Of each row, its source's position among `numbers`, and its own in the source.
    rows: Vec<(usize, usize)>,
}

impl Sources {
    pub(crate) fn of(rows: &[Row]) -> Self {
        // Arrow looks at every array that it is given, so it gets those alone of which there are rows.
        let last = rows.iter().map(|row| row.source).max().map_or(0, |last| last as usize + 1);
        let mut at = vec![usize::MAX; last];
        rows.iter().for_each(|row| at[row.source as usize] = 0);
        let mut numbers = Vec::new();
        for (number, at) in zip(0.., &mut at).filter(|(_, at)| **at == 0) {
            *at = numbers.len();
            numbers.push(number);
        }
        let rows = rows.iter().map(|row| (at[row.source as usize], row.at as usize)).collect();
        Self { numbers, rows }
    }

    /// The values of a column in the rows, of which `column` gives those of a source.
    pub(crate) fn gather<'a>(&self, column: impl Fn(u32) -> &'a ArrayRef) -> Result<ArrayRef, ArrowError> {
        let arrays: Vec<&dyn Array> = self.numbers.iter().map(|source| column(*source).as_ref()).collect();
        match arrays.first().map(|array| array.data_type()) {
            Some(DataType::Utf8) => self.bytes::<Utf8Type>(&arrays),
            Some(DataType::Binary) => self.bytes::<BinaryType>(&arrays),
            Some(DataType::LargeUtf8) => self.bytes::<LargeUtf8Type>(&arrays),
            Some(DataType::LargeBinary) => self.bytes::<LargeBinaryType>(&arrays),
            _ => interleave(&arrays, &self.rows),
        }
    }

    /// A batch of the rows, of which `columns` gives those of a source. `between` is called behind each column.
    pub(crate) fn batch<'a>(
        &self,
        schema: &SchemaRef,
        columns: impl Fn(u32) -> &'a [ArrayRef],
        between: &mut dyn FnMut(),
    ) -> Result<RecordBatch, ArrowError> {
        let column = |at: usize| {
            let column = self.gather(|source| &columns(source)[at]);
            between();
            column
        };
        let columns = (0..schema.fields().len()).map(column).collect::<Result<_, _>>()?;
        RecordBatch::try_new(SchemaRef::clone(schema), columns)
    }

    /// As `interleave` does, for values that are mostly short.
    fn bytes<T: ByteArrayType>(&self, arrays: &[&dyn Array]) -> Result<ArrayRef, ArrowError> {
        let typed: Option<Vec<&GenericByteArray<T>>> =
            arrays.iter().map(|array| array.as_any().downcast_ref()).collect();
        let Some(typed) = typed else { return interleave(arrays, &self.rows) };
        let sources: Vec<(&[T::Offset], &[u8])> =
            typed.iter().map(|array| (array.value_offsets(), array.value_data())).collect();
        let (mut starts, mut offsets) = (Vec::with_capacity(self.rows.len()), Vec::with_capacity(self.rows.len() + 1));
        let mut end = 0;
        offsets.push(T::Offset::default());
        for (source, row) in &self.rows {
            let (of_source, _) = sources[*source];
            let start = of_source[*row].as_usize();
            end += of_source[*row + 1].as_usize() - start;
            starts.push(start);
            offsets.push(T::Offset::from_usize(end).ok_or(ArrowError::OffsetOverflowError(end))?);
        }
        let mut bytes: Vec<u8> = vec![0; end + COPIED];
        let mut to = 0;
        for (((source, _), start), end) in zip(&self.rows, &starts).zip(offsets.iter().skip(1)) {
            let (start, len) = (*start, end.as_usize() - to);
            let (_, from) = sources[*source];
            let value = from.get(start..).and_then(<[u8]>::first_chunk::<COPIED>).filter(|_| len <= COPIED);
            match (value, bytes.get_mut(to..).and_then(<[u8]>::first_chunk_mut)) {
                // What is too much is overwritten by the next value.
                (Some(value), Some(room)) => *room = *value,
                _ => bytes[to..to + len].copy_from_slice(&from[start..start + len]),
            }
            to += len;
        }
        bytes.truncate(end);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        array_of_bytes(&T::DATA_TYPE, offsets, bytes.into(), self.nulls(&typed))
    }

    fn nulls<T: ByteArrayType>(&self, arrays: &[&GenericByteArray<T>]) -> Option<NullBuffer> {
        if arrays.iter().all(|array| array.null_count() == 0) {
            return None;
        }
        let valid = |at: usize| {
            let (source, row) = self.rows[at];
            arrays[source].is_valid(row)
        };
        Some(NullBuffer::new(BooleanBuffer::collect_bool(self.rows.len(), valid)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{BinaryArray, Int32Array, LargeStringArray, StringArray};

    use super::*;

    #[test]
    fn rows_are_gathered_as_arrow_interleaves_them() {
        let seed = fastrand::u64(..);
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..200 {
            let sources: Vec<Vec<ArrayRef>> = (0..rng.u32(1..6)).map(|_| source(&mut rng)).collect();
            let row = |rng: &mut fastrand::Rng| {
                let source = rng.usize(..sources.len());
                (source, rng.usize(..sources[source][0].len()))
            };
            let picked: Vec<(usize, usize)> = (0..rng.usize(1..300)).map(|_| row(&mut rng)).collect();
            let number = |number: usize| u32::try_from(number).unwrap();
            let rows: Vec<Row> =
                picked.iter().map(|(source, at)| Row { prefix: 0, source: number(*source), at: number(*at) }).collect();
            let gathered = Sources::of(&rows);
            for column in 0..sources[0].len() {
                let arrays: Vec<&dyn Array> = sources.iter().map(|columns| columns[column].as_ref()).collect();
                let expected = interleave(&arrays, &picked).unwrap();
                let got = gathered.gather(|source| &sources[source as usize][column]).unwrap();
                assert_eq!(&got, &expected, "seed {seed}");
                got.to_data().validate_full().unwrap();
            }
        }
    }

    /// Rows of short and long values, nulls among them, as a slice of more.
    fn source(rng: &mut fastrand::Rng) -> Vec<ArrayRef> {
        let count = rng.usize(1..100);
        let mut text = || {
            let len = if rng.u8(..10) == 0 { rng.usize(..200) } else { rng.usize(..40) };
            (rng.u8(..5) > 0)
                .then(|| (0..len).map(|_| *rng.choice(&['a', '\u{fc}', '\u{4e2d}']).unwrap()).collect::<String>())
        };
        let mut texts = || -> Vec<Option<String>> { (0..count + 2).map(|_| text()).collect() };
        let (short, long, bytes) = (texts(), texts(), texts());
        let dense = bytes.iter().map(|text| text.as_deref().unwrap_or_default().as_bytes());
        let columns: [ArrayRef; 4] = [
            Arc::new(StringArray::from(short)),
            Arc::new(LargeStringArray::from(long)),
            Arc::new(BinaryArray::from_iter_values(dense)),
            Arc::new(Int32Array::from_iter_values(0..i32::try_from(count + 2).unwrap())),
        ];
        columns.map(|column| column.slice(1, count)).to_vec()
    }
}
