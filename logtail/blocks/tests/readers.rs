//! Objects are Parquet files to other people's readers: pyarrow and DuckDB, if Python has them.
//!
//! `LOGBOOM_PYTHON` names another Python than `python3`.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not find is its failure")]

use std::{collections::HashMap, process::Command, sync::Arc};

use arrow_array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use logboom_logtail_blocks::{Compression, ObjectSpec, ObjectWriter, WriteOptions};
use logboom_logtail_core::{ColumnId, ObjectId, TableId, block_meta::ObjectKind};

const ROWS: i64 = 150_000;

/// Prints the rows, the sums, and what a filter by the key gives.
const PYARROW: &str = "
import sys, pyarrow.parquet as pq, pyarrow.compute as pc
file = pq.ParquetFile(sys.argv[1])
table = file.read()
assert table.column_names == ['key', 'number', 'word', 'small', 'float', '_commit_ts'], table.column_names
ids = [int(field.metadata[b'PARQUET:field_id']) for field in file.schema_arrow if field.name != '_commit_ts']
assert ids == [1, 2, 3, 4, 5], ids
one = pq.read_table(sys.argv[1], filters=[('key', '=', 'k00077777')])
sums = [pc.sum(table[name]).as_py() for name in ('number', 'small', '_commit_ts')]
print(table.num_rows, *sums, pc.count_distinct(table['word']).as_py(), one['number'].to_pylist())
";

const DUCKDB: &str = "
import sys, duckdb
file = sys.argv[1].replace(\"'\", \"''\")
sums = 'count(*), sum(number)::BIGINT, sum(small)::BIGINT, sum(_commit_ts)::BIGINT, count(distinct word)'
row = duckdb.sql(f\"select {sums} from '{file}'\").fetchone()
one = duckdb.sql(f\"select number from '{file}' where key = 'k00077777'\").fetchall()
print(*row, [number for (number,) in one])
";

/// The same of an object of a load, which has no timestamps.
const PYARROW_LOAD: &str = "
import sys, pyarrow.parquet as pq, pyarrow.compute as pc
table = pq.ParquetFile(sys.argv[1]).read()
assert table.column_names == ['key', 'number', 'word', 'small', 'float'], table.column_names
print(table.num_rows, pc.sum(table['number']).as_py())
";

const DUCKDB_LOAD: &str = "
import sys, duckdb
file = sys.argv[1].replace(\"'\", \"''\")
print(*duckdb.sql(f\"select count(*), sum(number)::BIGINT from '{file}'\").fetchone())
";

#[test]
fn other_readers_read_objects() {
    let python = std::env::var("LOGBOOM_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let folder = std::env::temp_dir().join(format!("logboom-blocks-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (reader, script, of_load) in [("pyarrow", PYARROW, PYARROW_LOAD), ("duckdb", DUCKDB, DUCKDB_LOAD)] {
        let has = Command::new(&python).args(["-c", &format!("import {reader}")]).output();
        if !has.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: {python} has no {reader}");
            continue;
        }
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd { level: 1 }] {
            let path = folder.join("object.parquet");
            let said = |script: &str, of_load: bool| {
                std::fs::write(&path, object(compression, of_load)).unwrap();
                let output = Command::new(&python).args(["-c", script]).arg(&path).output().unwrap();
                let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                if said.is_empty() { String::from_utf8_lossy(&output.stderr).into_owned() } else { said }
            };
            let numbers: i64 = (0..ROWS).map(|row| row * 3).sum();
            let small: i64 = (0..ROWS).filter(|row| row % 10 > 0).map(|row| row % 100).sum();
            let commits: i64 = (0..ROWS).map(|row| row % 1000).sum();
            let expected = format!("{ROWS} {numbers} {small} {commits} 4 [{}]", 77_777 * 3);
            assert_eq!(said(script, false), expected, "{reader}");
            assert_eq!(said(of_load, true), format!("{ROWS} {numbers}"), "{reader}");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The bytes of an object of two row groups.
fn object(compression: Compression, of_load: bool) -> bytes::Bytes {
    let words = ["alpha", "beta", "gamma", "delta"];
    let small = |row: i64| (row % 10 > 0).then(|| i32::try_from(row % 100).unwrap());
    let columns: Vec<(&str, bool, ArrayRef)> = vec![
        ("key", false, Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("k{row:08}"))))),
        ("number", false, Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| row * 3)))),
        (
            "word",
            false,
            Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| words[usize::try_from(row % 4).unwrap()]))),
        ),
        ("small", true, Arc::new(Int32Array::from_iter((0..ROWS).map(small)))),
        ("float", false, Arc::new(Float64Array::from_iter_values((0..150_000).map(f64::from)))),
    ];
    let field = |(at, (name, nullable, array)): (usize, &(&str, bool, ArrayRef))| {
        let metadata = HashMap::from([("PARQUET:field_id".to_owned(), (at + 1).to_string())]);
        Field::new(*name, array.data_type().clone(), *nullable).with_metadata(metadata)
    };
    let schema = Arc::new(Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>()));
    assert_eq!(schema.field(3).data_type(), &DataType::Int32);
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns.into_iter().map(|(_, _, array)| array).collect());
    let mut options = WriteOptions::default();
    options.compression = compression;
    let spec = ObjectSpec {
        id: ObjectId { nonce: 1, number: 1 },
        table: TableId(1),
        schema_version: 1,
        kind: ObjectKind::Rows,
        schema,
        key: vec![ColumnId(1)],
        sorted: true,
    };
    let commits = Int64Array::from_iter_values((0..ROWS).map(|row| row % 1000));
    let begin = if of_load { ObjectWriter::of_load } else { ObjectWriter::new };
    let mut writer = begin(spec, options).unwrap();
    writer.write(&rows.unwrap(), Some(&commits).filter(|_| !of_load)).unwrap();
    writer.finish().unwrap().bytes
}
