//! The objects of a table are Parquet files to other people's readers, pyarrow and DuckDB, if Python has them: those of
//! a table of which no row was deleted or replaced have the rows of a scan.
//!
//! `LOGBOOM_PYTHON` names another Python than `python3`.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not find is its failure")]

use std::{fmt::Write as _, process::Command, sync::Arc};

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, cast::AsArray, types::Int64Type};
use arrow_schema::DataType;
use logboom::{Config, Engine, ShardId};
use logboom_logtail::{Change, NewColumn, NewTable, Options, Projection, TableId, Tail};

/// Prints the rows of all objects in a folder, by id.
const PYARROW: &str = "
import sys, pathlib, pyarrow as pa, pyarrow.parquet as pq
files = [p for p in sorted(pathlib.Path(sys.argv[1]).iterdir()) if p.is_file()]
tables = [pq.ParquetFile(p).read() for p in files]
rows = pa.concat_tables(tables, promote_options='default').sort_by('id').to_pylist()
for row in rows:
    print(row['id'], row['text'], row.get('extra'), row['_commit_ts'])
";

const DUCKDB: &str = "
import sys, pathlib, duckdb
files = [str(p) for p in sorted(pathlib.Path(sys.argv[1]).iterdir()) if p.is_file()]
query = 'select id, text, extra, _commit_ts from read_parquet($files, union_by_name = true) order by id'
for row in duckdb.execute(query, {'files': files}).fetchall():
    print(*row)
";

fn insert(tail: &Tail, table: TableId, ids: std::ops::Range<i64>, has_extra: bool) {
    let text = |id: i64| (id % 7 > 0).then(|| format!("text-{}", id % 1000));
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(ids.clone()));
    let texts: ArrayRef = Arc::new(ids.clone().map(text).collect::<StringArray>());
    let extra: ArrayRef = Arc::new(ids.map(|id| (id % 3 > 0).then_some(id * id)).collect::<Int64Array>());
    let mut columns = vec![("id", column, false), ("text", texts, true)];
    if has_extra {
        columns.push(("extra", extra, true));
    }
    let mut transaction = tail.begin();
    transaction.insert(table, &RecordBatch::try_from_iter_with_nullable(columns).unwrap()).unwrap();
    transaction.commit().unwrap();
}

/// The rows of a scan, as the scripts print them.
fn scanned(tail: &Tail, table: TableId) -> String {
    let mut projection = Projection::default();
    projection.commit_timestamps = true;
    let mut rows = Vec::new();
    for batch in tail.scan(table, tail.watermark(), projection).unwrap().map(Result::unwrap) {
        let number = |name: &str| batch[name].as_primitive::<Int64Type>().clone();
        let (ids, texts, commits) = (number("id"), batch["text"].as_string::<i32>(), number("_commit_ts"));
        let extra = number("extra");
        for at in 0..batch.num_rows() {
            let text = if texts.is_valid(at) { texts.value(at) } else { "None" };
            let extra = if extra.is_valid(at) { extra.value(at).to_string() } else { "None".to_owned() };
            rows.push((ids.value(at), format!("{text} {extra} {}", commits.value(at))));
        }
    }
    rows.sort();
    rows.into_iter().fold(String::new(), |mut all, (id, rest)| {
        writeln!(all, "{id} {rest}").unwrap();
        all
    })
}

#[test]
fn other_readers_find_the_rows_of_a_scan() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("log"));
    config.segment_bytes = 4 << 20;
    let engine = Engine::open(config).unwrap();
    let mut options = Options::new(dir.path().join("objects").to_string_lossy());
    options.threads = false;
    let tail = Tail::open(&engine, ShardId(1), options).unwrap();
    let database = tail.create_database("shop").unwrap();
    let columns = vec![NewColumn::required("id", DataType::Int64), NewColumn::nullable("text", DataType::Utf8)];
    let new = NewTable { name: "orders".into(), columns, key: vec!["id".into()] };
    let table = tail.create_table(database, new).unwrap();
    for part in [0..9000, 30_000..31_000, 9000..20_000] {
        insert(&tail, table, part, false);
    }
    tail.flush(table).unwrap();
    tail.change(&Change::AddColumn { table, column: NewColumn::nullable("extra", DataType::Int64) }).unwrap();
    insert(&tail, table, 20_000..30_000, true);
    tail.flush(table).unwrap();
    let folder = dir.path().join("objects").join(format!("t{table}"));
    let expected = scanned(&tail, table);
    assert_eq!(expected.lines().count(), 31_000);

    let python = std::env::var("LOGBOOM_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    for (reader, script) in [("pyarrow", PYARROW), ("duckdb", DUCKDB)] {
        let has = Command::new(&python).args(["-c", &format!("import {reader}")]).output();
        if !has.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: {python} has no {reader}");
            continue;
        }
        let output = Command::new(&python).args(["-c", script]).arg(&folder).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        let other = said.lines().zip(expected.lines()).find(|(said, expected)| said != expected);
        assert_eq!(other, None, "{reader}: {errors}");
        assert_eq!(said.lines().count(), 31_000, "{reader}: {errors}");
    }
}
