//! Records of rows, appended to a chunk.

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};

use super::Meter;
use crate::rows::{RowChunk, encode};

/// Appends two records of arbitrary bytes to a chunk of a schema that the first bytes choose.
///
/// A record that is refused leaves no trace; rows that were taken are the same after they are encoded and appended
/// again. A byte may be a bitmap of 8 nulls of 32 bytes, in memory that doubles as it grows.
pub fn row_decode(bytes: &[u8], meter: Meter<'_>) {
    let mut input = bytes;
    let columns = 1 + byte(&mut input) % 4;
    let fields: Vec<FieldRef> = (0..columns).map(|_| field(&mut input, 3)).collect();
    let mut chunk = RowChunk::new(&fields).expect("all types are supported");
    let first = usize::from(byte(&mut input)).min(input.len());
    let (first, second) = input.split_at(first);
    for record in [first, second] {
        let before = chunk.columns(0..chunk.len());
        let allocated = meter();
        let appended = chunk.append(record);
        let allocated = meter() - allocated;
        assert!(allocated <= 1024 * record.len() as u64 + (4 << 10), "{allocated} allocated for {}", record.len());
        let rows = before[0].len();
        assert_eq!(chunk.columns(0..rows), before);
        match appended {
            Ok(range) => assert_eq!((range.start as usize, range.end as usize), (rows, chunk.len())),
            Err(_) => assert_eq!(chunk.len(), rows),
        }
    }
    same_again(&fields, chunk);
}

fn same_again(fields: &[FieldRef], chunk: RowChunk) {
    let rows = chunk.len();
    let columns = chunk.columns(0..rows);
    assert_eq!(columns, chunk.into_columns());
    let encoded = encoded(&columns, rows);
    let mut again = RowChunk::new(fields).expect("all types are supported");
    again.append(&encoded).expect("what was read can be written");
    let again = again.into_columns();
    assert_eq!(columns, again);
    assert_eq!(self::encoded(&again, rows), encoded);
}

fn encoded(columns: &[ArrayRef], rows: usize) -> Vec<u8> {
    let mut out = Vec::new();
    encode(columns, 0..rows, &mut out).expect("all types are supported");
    out
}

fn field(input: &mut &[u8], depth: usize) -> FieldRef {
    let choice = byte(input);
    let data_type = match choice & 15 {
        0 => DataType::Boolean,
        1 => DataType::Int8,
        2 => DataType::Int64,
        3 => DataType::Decimal256(9, 2),
        4 => DataType::FixedSizeBinary(3),
        5 | 6 => DataType::Utf8,
        7 => DataType::LargeUtf8,
        8 => DataType::Binary,
        9 => DataType::LargeBinary,
        10 | 11 if depth > 1 => DataType::List(field(input, depth - 1)),
        12 if depth > 1 => DataType::LargeList(field(input, depth - 1)),
        13 if depth > 1 => DataType::Struct([field(input, depth - 1)].into()),
        14 if depth > 1 => DataType::Struct([field(input, depth - 1), field(input, depth - 1)].into()),
        _ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    };
    Field::new("c", data_type, choice & 16 != 0).into()
}

/// The next byte; 0 where there is none.
fn byte(input: &mut &[u8]) -> u8 {
    let (byte, rest) = input.split_first().unwrap_or((&0, &[]));
    *input = rest;
    *byte
}
