//! Objects whose bytes are others than were written.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use bytes::Bytes;
use fastrand::Rng;
use logboom_logtail_blocks::{Footer, ReadError, Scan, ScanRequest, WriteOptions, WrittenObject};

use crate::model::{ID, Rows, any_type, field, footer, read, rng, schema, slice, spec, write};

/// An object with a key, and its rows.
fn object(rng: &mut Rng, rows: usize) -> (Rows, WrittenObject) {
    let key = field(1, "key", DataType::Int64, false);
    let others: Vec<_> = (2..6).map(|id| field(id, &format!("c{id}"), any_type(rng), true)).collect();
    let rows = Rows::random(rng, &schema([key].into_iter().chain(others)), rows);
    let object = write(rng, spec(rows.batch.schema_ref(), &[1], false), &WriteOptions::default(), &rows);
    (rows, object)
}

fn read_all(object: &WrittenObject, rows: &Rows) -> Result<RecordBatch, ReadError> {
    let footer = Footer::parse(&object.meta, slice(&object.bytes, &object.meta.footer_range()))?;
    let mut request = ScanRequest::new(rows.batch.schema(), 0..object.meta.blocks.len());
    request.commits = true;
    let batches = read(&footer, &object.meta, &object.bytes, request)?;
    Ok(arrow_select::concat::concat_batches(rows.batch.schema_ref(), batches.iter().map(|batch| &batch.rows)).unwrap())
}

fn flipped(object: &WrittenObject, at: usize, bit: u32) -> WrittenObject {
    let mut bytes = object.bytes.to_vec();
    bytes[at] ^= 1 << bit;
    WrittenObject { bytes: Bytes::from(bytes), meta: object.meta.clone() }
}

/// Reads `object` with one bit flipped: what is read then is what was written. The number of errors, 0 or 1.
fn check(object: &WrittenObject, rows: &Rows, at: usize, bit: u32) -> usize {
    match read_all(&flipped(object, at, bit), rows) {
        Ok(read) => {
            assert_eq!(read, rows.batch, "byte {at}");
            0
        }
        Err(ReadError::Footer { object, .. } | ReadError::Damaged { object, .. }) => {
            assert_eq!(object, ID, "byte {at}");
            1
        }
        Err(error) => panic!("byte {at}: {error:#}"),
    }
}

#[test]
fn a_flipped_bit_is_noticed_or_harmless() {
    let (_seed, mut rng) = rng();
    // All bytes of a small object; those that scans do not read are the magic at its begin and the bloom filter.
    let (rows, small) = object(&mut rng, 40);
    let noticed: usize = (0..small.bytes.len()).map(|at| check(&small, &rows, at, rng.u32(..8))).sum();
    assert!(noticed + 100 > small.bytes.len(), "{noticed} of {}", small.bytes.len());
    // And some of a large one, with several blocks and row groups.
    let (rows, large) = object(&mut rng, 150_000);
    let flips = if std::env::var_os("LOGBOOM_LONG").is_some() { 2000 } else { 60 };
    for _ in 0..flips {
        check(&large, &rows, rng.usize(..large.bytes.len()), rng.u32(..8));
    }
}

#[test]
fn a_damaged_page_is_named_and_spares_other_blocks() {
    let (_seed, mut rng) = rng();
    let (rows, object) = object(&mut rng, 40_000);
    let footer = footer(&object);
    for (column, of) in rows.batch.schema().fields().iter().enumerate() {
        let wanted = schema([of.as_ref().clone()]);
        let block = rng.usize(..5);
        // The last byte that a scan of this block and column asks for is one of its page.
        let scan = Scan::new(&footer, &object.meta, ScanRequest::new(Arc::clone(&wanted), [block])).unwrap();
        let last = scan.ahead().flatten().last().unwrap().end - 1;
        let damaged = flipped(&object, usize::try_from(last).unwrap(), 3);
        let read = |blocks: Vec<usize>| {
            read(&footer, &object.meta, &damaged.bytes, ScanRequest::new(Arc::clone(&wanted), blocks))
        };
        match read((0..5).collect()) {
            Err(ReadError::Damaged { object: ID, block: named, column: name }) => {
                assert!(named == block && name.starts_with(of.name()), "{named} {name}: {block} {of}");
            }
            other => panic!("column {column}: {other:?}"),
        }
        assert_eq!(read((0..5).filter(|other| *other != block).collect()).unwrap().len(), 4);
    }
}

#[test]
fn other_bytes_than_were_asked_for_are_refused() {
    let (_seed, mut rng) = rng();
    let (rows, object) = object(&mut rng, 1000);
    let footer = footer(&object);
    let mut scan = Scan::new(&footer, &object.meta, ScanRequest::new(rows.batch.schema(), [0])).unwrap();
    let range = scan.ahead().next().unwrap().first().unwrap().clone();
    let bytes = slice(&object.bytes, &range);
    let wrong = |range: std::ops::Range<u64>, bytes: Bytes| {
        matches!(footer.check_bytes(range, bytes), Err(ReadError::Range { object: ID, .. }))
    };
    assert!(wrong(range.clone(), bytes.slice(1..)));
    assert!(wrong(range.start + 1..range.end, bytes.slice(1..)));
    assert!(wrong(range.start..range.end - 1, bytes.slice(..bytes.len() - 1)));
    assert!(wrong(u64::MAX - 1..u64::MAX, Bytes::from_static(b"x")));
    let reversed = range.end..range.start;
    assert!(wrong(reversed, bytes.clone()));
    scan.feed(range, bytes).unwrap();
    // The footer of another object, or a part of it.
    let footer_bytes = slice(&object.bytes, &object.meta.footer_range());
    let parse = |bytes: Bytes| matches!(Footer::parse(&object.meta, bytes), Err(ReadError::Footer { object: ID, .. }));
    assert!(parse(footer_bytes.slice(1..)) && parse(Bytes::new()));
}
