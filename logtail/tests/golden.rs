//! A log and its objects as the first version of their formats left them, which every later build must open.
//!
//! `LOGBOOM_GOLDEN=write cargo test -p logboom-logtail --test golden` makes them anew; a version that was released is
//! never written again.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not find is its failure")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, cast::AsArray, types::Int64Type};
use arrow_schema::DataType;
use logboom::{Config, Engine, ShardId};
use logboom_logtail::{Change, CheckpointKind, NewColumn, NewTable, Options, Projection, TableId, Tail, Timestamp};

const SEGMENT_BYTES: u64 = 256 << 10;
const TABLE: &str = "orders";

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

fn open(dir: &Path) -> (Engine, Tail) {
    let mut config = Config::new(dir.join("log"));
    (config.segment_bytes, config.reserve_segments) = (SEGMENT_BYTES, 0);
    let engine = Engine::open(config).unwrap();
    let mut options = Options::new(dir.join("objects").to_string_lossy());
    options.threads = false;
    let tail = Tail::open(&engine, ShardId(1), options).unwrap();
    (engine, tail)
}

/// Zeros at the ends of the log's files are left out of the fixture.
fn padded_bytes(name: &str) -> u64 {
    if name.starts_with("segment-") { SEGMENT_BYTES } else { 0 }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (name, to) = (entry.file_name().into_string().unwrap(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
            continue;
        }
        let mut bytes = fs::read(entry.path()).unwrap();
        if padded_bytes(&name) > 0 && bytes.len() as u64 == padded_bytes(&name) {
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
            bytes.truncate(end);
            fs::write(to, bytes).unwrap();
        } else {
            fs::write(&to, bytes).unwrap();
            if padded_bytes(&name) > 0 {
                fs::File::options().write(true).open(&to).unwrap().set_len(padded_bytes(&name)).unwrap();
            }
        }
    }
}

fn insert(tail: &Tail, table: TableId, ids: std::ops::Range<i64>, text: &str) -> Timestamp {
    let texts: ArrayRef = Arc::new(ids.clone().map(|id| (id % 5 > 0).then_some(text)).collect::<StringArray>());
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
    let mut transaction = tail.begin();
    let name = if text == "renamed" { "words" } else { "text" };
    let rows = RecordBatch::try_from_iter_with_nullable([("id", ids, false), (name, texts, true)]).unwrap();
    transaction.upsert(table, &rows).unwrap();
    transaction.commit().unwrap()
}

fn delete(tail: &Tail, table: TableId, ids: &[i64]) -> Timestamp {
    let mut transaction = tail.begin();
    transaction.delete(table, &[Arc::new(Int64Array::from(ids.to_vec()))]).unwrap();
    transaction.commit().unwrap()
}

/// The rows at a timestamp, a line each.
fn shown(tail: &Tail, table: TableId, at: Timestamp) -> String {
    let mut rows = Vec::new();
    for batch in tail.scan(table, at, Projection::default()).unwrap().map(Result::unwrap) {
        let (ids, texts) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_string::<i32>());
        let name = batch.schema().field(1).name().clone();
        let text = |at| if texts.is_valid(at) { texts.value(at) } else { "-" };
        rows.extend((0..batch.num_rows()).map(|at| (ids.value(at), format!("{name} {}", text(at)))));
    }
    rows.sort();
    let mut all = format!("at {}\n", at.to_i64());
    rows.into_iter().for_each(|(id, rest)| writeln!(all, "{id} {rest}").unwrap());
    all
}

/// Objects with tombstones, two checkpoints, a load, a column that was renamed, and rows in the log alone.
fn write(to: &Path) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (engine, tail) = open(dir.path());
    let database = tail.create_database("shop").unwrap();
    let columns = vec![NewColumn::required("id", DataType::Int64), NewColumn::nullable("text", DataType::Utf8)];
    let new = NewTable { name: TABLE.into(), columns, key: vec!["id".into()] };
    let table = tail.create_table(database, new).unwrap();
    let mut seen = vec![insert(&tail, table, 0..40, "first")];
    tail.flush(table).unwrap();
    seen.push(delete(&tail, table, &[3, 4, 17]));
    seen.push(insert(&tail, table, 10..20, "second"));
    tail.checkpoint(CheckpointKind::Global).unwrap();
    tail.flush(table).unwrap();
    let mut load = tail.load(table).unwrap();
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(100..120));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["loaded"; 20]));
    load.write(&RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("text", texts, true)]).unwrap())
        .unwrap();
    seen.push(load.commit().unwrap());
    tail.checkpoint(CheckpointKind::Incremental).unwrap();
    let column = tail.catalog(tail.watermark()).unwrap().table(table).unwrap().columns()[1].id;
    tail.change(&Change::RenameColumn { table, column, name: "words".into() }).unwrap();
    seen.push(insert(&tail, table, 35..45, "renamed"));
    seen.push(delete(&tail, table, &[0, 36, 101]));
    let expected: String = seen.iter().map(|at| shown(&tail, table, *at)).collect();
    tail.close().unwrap();
    engine.close().unwrap();
    drop(fs::remove_dir_all(to));
    copy(dir.path(), to);
    fs::remove_file(to.join("log/LOCK")).unwrap();
    fs::write(to.join("rows.txt"), expected).unwrap();
}

#[test]
fn a_tail_of_version_1_opens() {
    let from = fixture();
    if std::env::var_os("LOGBOOM_GOLDEN").is_some() {
        write(&from);
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    copy(&from, dir.path());
    let expected = fs::read_to_string(from.join("rows.txt")).unwrap();
    let times = || expected.lines().filter_map(|line| line.strip_prefix("at ")?.parse().ok());
    assert_eq!(times().count(), 6);
    let check = |tail: &Tail| {
        let catalog = tail.catalog(tail.watermark()).unwrap();
        let table = catalog.find_table(catalog.find_database("shop").unwrap(), TABLE).unwrap().id();
        let found: String = times().map(|at| shown(tail, table, Timestamp::from_i64(at).unwrap())).collect();
        assert_eq!(found, expected);
        table
    };
    let (engine, tail) = open(dir.path());
    let table = check(&tail);
    // It can be written to, and opened again.
    let at = insert(&tail, table, 200..210, "renamed");
    tail.checkpoint(CheckpointKind::Incremental).unwrap();
    tail.close().unwrap();
    engine.close().unwrap();
    let (_engine, tail) = open(dir.path());
    check(&tail);
    assert!(shown(&tail, table, at).contains("209 words renamed"));
}
