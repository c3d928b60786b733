//! Rows made up from a seed, and objects of them.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, LargeStringArray, ListArray,
    RecordBatch, StringArray, StringViewArray, StructArray, TimestampMicrosecondArray, UInt8Array, UInt16Array,
    UInt32Array, UInt64Array, cast::AsArray, make_array, types::Int32Type,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use fastrand::Rng;
use logboom_logtail_blocks::{
    Batch, Footer, ObjectSpec, ObjectWriter, ReadError, Scan, ScanRequest, Step, WriteOptions, WrittenObject,
};
use logboom_logtail_core::{
    ColumnId, ObjectId, TableId,
    block_meta::{ObjectKind, ObjectMeta},
};

pub(crate) const ID: ObjectId = ObjectId { nonce: 0xfeed, number: 7 };

/// The seed of a test and its random numbers. A failure prints the seed, which repeats it as `LOGBOOM_SEED`.
pub(crate) fn rng() -> (Seed, Rng) {
    let seed = std::env::var("LOGBOOM_SEED").ok().map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    (Seed(seed), Rng::with_seed(seed))
}

/// Prints itself when a test panics.
pub(crate) struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("LOGBOOM_SEED={}", self.0);
        }
    }
}

pub(crate) fn field(id: i32, name: &str, data_type: DataType, nullable: bool) -> Field {
    let metadata = HashMap::from([("PARQUET:field_id".to_owned(), id.to_string())]);
    Field::new(name, data_type, nullable).with_metadata(metadata)
}

pub(crate) fn schema(fields: impl IntoIterator<Item = Field>) -> SchemaRef {
    Arc::new(Schema::new(fields.into_iter().collect::<Vec<_>>()))
}

pub(crate) fn spec(schema: &SchemaRef, key: &[i32], sorted: bool) -> ObjectSpec {
    let (schema, key) = (Arc::clone(schema), key.iter().map(|id| ColumnId(*id)).collect());
    ObjectSpec { id: ID, table: TableId(3), schema_version: 1, kind: ObjectKind::Rows, schema, key, sorted }
}

/// An object of these rows, handed to the writer in batches of random sizes.
pub(crate) fn write(rng: &mut Rng, spec: ObjectSpec, options: &WriteOptions, rows: &Rows) -> WrittenObject {
    let mut writer = ObjectWriter::new(spec, options.clone()).unwrap();
    let mut start = 0;
    while start < rows.batch.num_rows() {
        let len = rng.usize(1..=20_000).min(rows.batch.num_rows() - start);
        writer.write(&rows.batch.slice(start, len), &rows.commits.slice(start, len)).unwrap();
        start += len;
    }
    writer.finish().unwrap()
}

/// Rows and their commit timestamps.
#[derive(Clone)]
pub(crate) struct Rows {
    pub(crate) batch: RecordBatch,
    pub(crate) commits: Int64Array,
}

impl Rows {
    pub(crate) fn random(rng: &mut Rng, schema: &SchemaRef, count: usize) -> Self {
        let columns = schema.fields().iter().map(|field| column(rng, field, count)).collect();
        let commits = (0..count).map(|_| rng.i64(0..1000)).collect::<Vec<_>>();
        Self { batch: RecordBatch::try_new(Arc::clone(schema), columns).unwrap(), commits: commits.into() }
    }
}

/// The footer of an object.
pub(crate) fn footer(object: &WrittenObject) -> Arc<Footer> {
    Footer::parse(&object.meta, slice(&object.bytes, &object.meta.footer_range())).unwrap()
}

pub(crate) fn slice(bytes: &Bytes, range: &std::ops::Range<u64>) -> Bytes {
    bytes.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap())
}

/// The batches of a scan, which is fed what it needs of `bytes`.
pub(crate) fn read(
    footer: &Arc<Footer>,
    meta: &ObjectMeta,
    bytes: &Bytes,
    request: ScanRequest,
) -> Result<Vec<Batch>, ReadError> {
    let mut scan = Scan::new(footer, meta, request)?;
    let mut batches = Vec::new();
    loop {
        match scan.step()? {
            Step::Need(ranges) => {
                assert!(ranges.is_sorted_by_key(|range| range.start) && !ranges.is_empty());
                for range in ranges {
                    let bytes = slice(bytes, &range);
                    scan.feed(range, bytes)?;
                }
            }
            Step::Batch(batch) => batches.push(batch),
            Step::Done => break,
        }
    }
    assert!(matches!(scan.step()?, Step::Done));
    Ok(batches)
}

/// The types that columns are made of.
pub(crate) fn any_type(rng: &mut Rng) -> DataType {
    let item = |data_type| Arc::new(Field::new("item", data_type, true));
    match rng.u32(..22) {
        0 => DataType::Boolean,
        1 => DataType::Int8,
        2 => DataType::Int16,
        3 | 4 => DataType::Int32,
        5 => DataType::Int64,
        6 => DataType::UInt8,
        7 => DataType::UInt16,
        8 => DataType::UInt32,
        9 => DataType::UInt64,
        10 => DataType::Float32,
        11 => DataType::Float64,
        12 => DataType::Utf8,
        13 => DataType::LargeUtf8,
        14 => DataType::Binary,
        15 => DataType::FixedSizeBinary(7),
        16 => DataType::Date32,
        17 => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        18 => DataType::Decimal128(12, 2),
        19 => DataType::List(item(DataType::Int32)),
        20 => DataType::Struct(Fields::from(vec![
            Field::new("small", DataType::Int16, true),
            Field::new("text", DataType::Utf8, false),
        ])),
        _ => match rng.bool() {
            true => DataType::Utf8View,
            false => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        },
    }
}

/// A column of `count` rows: of few distinct values, or of many.
pub(crate) fn column(rng: &mut Rng, field: &Field, count: usize) -> ArrayRef {
    let few = rng.bool();
    let nulls =
        (field.is_nullable() && rng.bool()).then(|| (0..count).map(|_| rng.u8(..4) != 0).collect::<NullBuffer>());
    let number = |rng: &mut Rng| if few { rng.i64(-3..3) } else { rng.i64(..) };
    let text = |rng: &mut Rng| match few {
        true => "x".repeat(rng.usize(..4)),
        false => {
            // Some longer than bounds are, also where no bound is above them.
            let head = *rng.choice(&["", "", "", "", "a", "\u{10ffff}"]).unwrap();
            let tail: String = (0..rng.usize(..30)).map(|_| rng.char('a'..='\u{ff}')).collect();
            head.repeat(70) + &tail
        }
    };
    let numbers: Vec<i64> = (0..count).map(|_| number(rng)).collect();
    let texts = |rng: &mut Rng| (0..count).map(|_| text(rng)).collect::<Vec<_>>();
    macro_rules! of_numbers {
        ($array:ty, $native:ty) => {{
            let low = |number: &i64| number.to_le_bytes().first_chunk().map(|bytes| <$native>::from_le_bytes(*bytes));
            let values: Vec<$native> = numbers.iter().filter_map(low).collect();
            Arc::new(<$array>::new(values.into(), nulls))
        }};
    }
    match field.data_type() {
        DataType::Boolean => Arc::new(BooleanArray::new(numbers.iter().map(|number| *number > 0).collect(), nulls)),
        DataType::Int8 => of_numbers!(Int8Array, i8),
        DataType::Int16 => of_numbers!(Int16Array, i16),
        DataType::Int32 => of_numbers!(Int32Array, i32),
        DataType::Int64 => of_numbers!(Int64Array, i64),
        DataType::UInt8 => of_numbers!(UInt8Array, u8),
        DataType::UInt16 => of_numbers!(UInt16Array, u16),
        DataType::UInt32 => of_numbers!(UInt32Array, u32),
        DataType::UInt64 => of_numbers!(UInt64Array, u64),
        DataType::Float32 => {
            Arc::new(Float32Array::new(numbers.iter().map(|n| f32::from_bits(bits32(*n))).collect(), nulls))
        }
        DataType::Float64 => Arc::new(Float64Array::new(numbers.iter().map(|n| float(*n)).collect(), nulls)),
        DataType::Date32 => of_numbers!(Date32Array, i32),
        DataType::Timestamp(..) => {
            let array = TimestampMicrosecondArray::new(numbers.into(), nulls);
            Arc::new(array.with_data_type(field.data_type().clone()))
        }
        DataType::Decimal128(precision, scale) => {
            let values = numbers.iter().map(|number| i128::from(*number % 1_000_000_000_000)).collect();
            Arc::new(Decimal128Array::new(values, nulls).with_precision_and_scale(*precision, *scale).unwrap())
        }
        DataType::Utf8 => masked(StringArray::from(texts(rng)), nulls),
        DataType::LargeUtf8 => masked(LargeStringArray::from(texts(rng)), nulls),
        DataType::Utf8View => masked(StringViewArray::from_iter_values(texts(rng)), nulls),
        DataType::Binary => masked(BinaryArray::from_iter_values(texts(rng)), nulls),
        DataType::FixedSizeBinary(7) => {
            let values: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes().into_iter().skip(1)).collect();
            Arc::new(FixedSizeBinaryArray::new(7, values.into(), nulls))
        }
        DataType::Dictionary(..) => {
            let texts = texts(rng);
            let dictionary: DictionaryArray<Int32Type> = texts.iter().map(|text| Some(text.as_str())).collect();
            masked(dictionary, nulls)
        }
        DataType::List(item) => {
            let lengths: Vec<usize> = (0..count).map(|_| rng.usize(..4)).collect();
            let values = column(rng, item, lengths.iter().sum());
            Arc::new(ListArray::new(Arc::clone(item), OffsetBuffer::from_lengths(lengths), values, nulls))
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|field| column(rng, field, count)).collect();
            Arc::new(StructArray::new(fields.clone(), columns, nulls))
        }
        other => panic!("no column of {other} can be made"),
    }
}

fn bits32(number: i64) -> u32 {
    u32::try_from(number & 0xffff_ffff).unwrap()
}

fn float(number: i64) -> f64 {
    if number.unsigned_abs() < 8 {
        f64::from(i32::try_from(number).unwrap())
    } else {
        f64::from_bits(number.cast_unsigned())
    }
}

/// `array` with these nulls.
fn masked(array: impl Array, nulls: Option<NullBuffer>) -> ArrayRef {
    make_array(array.to_data().into_builder().nulls(nulls).build().unwrap())
}

/// Arrays that are compared by their values, however they are laid out.
pub(crate) fn plain(array: &ArrayRef) -> ArrayRef {
    match array.as_any_dictionary_opt() {
        Some(dictionary) => arrow_select::take::take(dictionary.values(), dictionary.keys(), None).unwrap(),
        None => Arc::clone(array),
    }
}
