//! Writing and scanning beside the parquet crate alone. Run it by itself:
//!
//! `LOGBOOM_SPEED=1 cargo test --release -p logboom-logtail-blocks --test speed -- --nocapture`

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not find is its failure")]

use std::{collections::HashMap, sync::Arc, time::Instant};

use arrow_array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, cast::AsArray, types::Int64Type,
};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use fastrand::Rng;
use logboom_logtail_blocks::{
    CheckedBytes, Footer, ObjectSpec, ObjectWriter, Scan, ScanRequest, Step, WriteOptions, WrittenObject,
};
use logboom_logtail_core::{ColumnId, ObjectId, TableId, block_meta::ObjectKind};
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    },
    file::{metadata::PageIndexPolicy, properties::WriterProperties},
};

const ROWS: usize = 1 << 20;
const BATCH: usize = 8192;
const ROUNDS: usize = 11;

#[test]
fn speed() {
    if std::env::var_os("LOGBOOM_SPEED").is_none() {
        eprintln!("skipped: it measures, which LOGBOOM_SPEED asks for");
        return;
    }
    for (what, columns) in [
        ("key, numbers and texts", vec![0, 1, 2, 3, 4, 5, 6]),
        ("numbers", vec![1, 2, 3]),
        ("texts", vec![0, 6]),
        ("columns of few values", vec![4, 5]),
    ] {
        eprintln!("{what}");
        let batches: Vec<RecordBatch> = (0..ROWS / BATCH).map(|nth| batch(nth, &columns)).collect();
        let object = write_both(&batches);
        scan_both(&object, batches[0].schema());
    }
}

/// Rows with their commit timestamps in the last column.
fn batch(nth: usize, columns: &[usize]) -> RecordBatch {
    let mut rng = Rng::with_seed(nth as u64);
    let number = |row: usize| i64::try_from(nth * BATCH + row).unwrap();
    let rows = 0..BATCH;
    let all: Vec<(&str, bool, ArrayRef)> = vec![
        ("key", false, {
            let key = |row| format!("tenant-{:04}/{:09}", number(row) / 50_000, number(row));
            Arc::new(StringArray::from_iter_values(rows.clone().map(key)))
        }),
        (
            "at",
            false,
            Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| 1_700_000_000_000 + number(row) * 17))),
        ),
        ("random", false, Arc::new(Int64Array::from_iter_values(rows.clone().map(|_| rng.i64(..))))),
        ("float", false, Arc::new(Float64Array::from_iter_values(rows.clone().map(|_| rng.f64())))),
        ("word", false, {
            let words = ["alpha", "beta", "gamma", "delta"];
            Arc::new(StringArray::from_iter_values(rows.clone().map(|_| words[rng.usize(..4)])))
        }),
        ("small", true, {
            let values = rows.clone().map(|_| (rng.u8(..10) > 0).then(|| rng.i32(0..1000)));
            Arc::new(Int32Array::from_iter(values))
        }),
        ("text", false, {
            let text = |_| format!("message {} of {}", rng.u32(..), rng.u16(..));
            Arc::new(StringArray::from_iter_values(rows.clone().map(text)))
        }),
    ];
    let commits: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.map(|_| 1_000_000_000 + rng.i64(0..2000) * 10)));
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    for (at, (name, nullable, array)) in all.into_iter().enumerate().filter(|(at, _)| columns.contains(at)) {
        let metadata = HashMap::from([("PARQUET:field_id".to_owned(), at.to_string())]);
        fields.push(Field::new(name, array.data_type().clone(), nullable).with_metadata(metadata));
        arrays.push(array);
    }
    fields.push(Field::new("_commit_ts", DataType::Int64, false));
    arrays.push(commits);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn write_both(batches: &[RecordBatch]) -> WrittenObject {
    let bare = || {
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(16 * BATCH))
            .set_data_page_row_count_limit(BATCH)
            .set_dictionary_page_size_limit(64 << 10)
            .set_column_index_truncate_length(Some(64))
            .set_statistics_truncate_length(Some(64));
        let key = batches[0].schema().field(0).name().clone();
        let properties = match key.as_str() {
            "key" | "at" => properties.set_column_bloom_filter_fpp(key.into(), 0.01),
            _ => properties,
        };
        let properties = properties.build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batches[0].schema(), Some(properties)).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.into_inner().unwrap().len()
    };
    let user = batches[0].schema().fields().len() - 1;
    let columns: Vec<usize> = (0..user).collect();
    let parts = batches
        .iter()
        .map(|batch| (batch.project(&columns).unwrap(), batch.column(user).as_primitive::<Int64Type>().clone()));
    let parts: Vec<_> = parts.collect();
    let id = ObjectId { nonce: 1, number: 1 };
    let first: i32 = batches[0].schema().field(0).metadata()["PARQUET:field_id"].parse().unwrap();
    let mut object = None;
    let mut own = || {
        let spec = ObjectSpec {
            id,
            table: TableId(1),
            schema_version: 1,
            kind: ObjectKind::Rows,
            schema: parts[0].0.schema(),
            key: if first < 2 { vec![ColumnId(first)] } else { Vec::new() },
            sorted: true,
        };
        let mut options = WriteOptions::default();
        options.object_bytes = u64::MAX;
        let mut writer = ObjectWriter::new(spec, options).unwrap();
        parts.iter().for_each(|(rows, commits)| writer.write(rows, commits).unwrap());
        let written = writer.finish().unwrap();
        let len = written.bytes.len();
        object = Some(written);
        len
    };
    let (bare, own) = alternate(bare, &mut own);
    eprintln!(
        "  write: {:.2} M rows/s ({} bytes a row), the parquet crate {:.2} ({}): {:.3}",
        million(own.0),
        own.1 / ROWS,
        million(bare.0),
        bare.1 / ROWS,
        bare.0 / own.0
    );
    object.unwrap()
}

fn scan_both(object: &WrittenObject, schema: Arc<Schema>) {
    let footer_bytes = slice(&object.bytes, &object.meta.footer_range());
    let footer = Footer::parse(&object.meta, footer_bytes.clone()).unwrap();
    eprintln!(
        "  footer: {} bytes, {:.2} % of the object; in memory {}",
        footer_bytes.len(),
        100.0 * footer_bytes.len() as f64 / object.bytes.len() as f64,
        footer.memory_bytes()
    );
    let user = schema.fields().len() - 1;
    let wanted = Arc::new(schema.project(&(0..user).collect::<Vec<_>>()).unwrap());
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let metadata = ArrowReaderMetadata::load(&object.bytes, options).unwrap();
    let bare = || {
        let mask = parquet::arrow::ProjectionMask::roots(metadata.parquet_schema(), 0..user);
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(object.bytes.clone(), metadata.clone());
        let reader = reader.with_projection(mask).with_batch_size(BATCH).build().unwrap();
        reader.map(|batch| batch.unwrap().num_rows()).sum()
    };
    let checked = checked(object, &footer, &wanted);
    let left_out: Vec<Arc<[u32]>> = object
        .meta
        .blocks
        .iter()
        .map(|block| {
            let mut rng = Rng::with_seed(u64::from(block.first_row));
            block.row_range().filter(|_| rng.u8(..100) == 0).collect()
        })
        .collect();
    let own = |left_out: &[Arc<[u32]>], check: bool| {
        let mut request = ScanRequest::new(Arc::clone(&wanted), 0..object.meta.blocks.len());
        request.blocks.iter_mut().zip(left_out).for_each(|(block, out)| block.left_out = Arc::clone(out));
        let mut scan = Scan::new(&footer, &object.meta, request).unwrap();
        if !check {
            checked.iter().for_each(|bytes| scan.feed_checked(bytes.clone()));
        }
        let mut rows = 0;
        loop {
            match scan.step().unwrap() {
                Step::Need(ranges) => ranges.into_iter().for_each(|range| {
                    let bytes = slice(&object.bytes, &range);
                    scan.feed(range, bytes).unwrap();
                }),
                Step::Batch(batch) => rows += batch.rows.num_rows(),
                Step::Done => return rows,
            }
        }
    };
    let report = |what: &str, (bare, own): ((f64, usize), (f64, usize))| {
        eprintln!("  {what}: {:.2} ms, the parquet crate {:.2} ms: {:.3}", own.0 * 1e3, bare.0 * 1e3, bare.0 / own.0);
    };
    report("scan", alternate(bare, || own(&[], false)));
    report("scan, with checksums", alternate(bare, || own(&[], true)));
    report("scan, 1 % left out", alternate(bare, || own(&left_out, false)));
}

/// The bytes that a scan of the wanted columns needs, checked.
fn checked(object: &WrittenObject, footer: &Arc<Footer>, wanted: &Arc<Schema>) -> Vec<CheckedBytes> {
    let request = ScanRequest::new(Arc::clone(wanted), 0..object.meta.blocks.len());
    let scan = Scan::new(footer, &object.meta, request).unwrap();
    let check = |range: std::ops::Range<u64>| footer.check_bytes(range.clone(), slice(&object.bytes, &range)).unwrap();
    scan.ahead().flatten().map(check).collect()
}

/// The least seconds that each takes, in turns, and what it gives.
fn alternate(mut one: impl FnMut() -> usize, mut other: impl FnMut() -> usize) -> ((f64, usize), (f64, usize)) {
    let mut least = [f64::MAX; 2];
    let mut given = [0; 2];
    let mut run = |nth: usize, work: &mut dyn FnMut() -> usize| {
        let start = Instant::now();
        given[nth] = work();
        least[nth] = least[nth].min(start.elapsed().as_secs_f64());
    };
    for _ in 0..ROUNDS {
        run(0, &mut one);
        run(1, &mut other);
    }
    ((least[0], given[0]), (least[1], given[1]))
}

fn million(seconds: f64) -> f64 {
    ROWS as f64 / seconds / 1e6
}

fn slice(bytes: &Bytes, range: &std::ops::Range<u64>) -> Bytes {
    bytes.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap())
}
