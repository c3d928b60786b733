//! A writer that is replaced while it commits: what it was told is committed is there.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not find is its failure")]

use std::{
    sync::{Arc, mpsc},
    thread,
};

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;
use logboom::{Config, Engine, ShardId};
use logboom_logtail::{Commit, DatabaseId, Error, NewColumn, NewTable, Options, Projection, Stopped, TableId, Tail};

fn create_table(tail: &Tail, database: DatabaseId) -> TableId {
    let columns = vec![NewColumn::required("id", DataType::Int64)];
    tail.create_table(database, NewTable { name: "orders".into(), columns, key: Vec::new() }).unwrap()
}

fn insert(tail: &Tail, table: TableId) -> Result<Commit, Error> {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let mut transaction = tail.begin();
    transaction.insert(table, &RecordBatch::try_from_iter([("id", ids)]).unwrap())?;
    transaction.submit()
}

#[test]
fn what_is_committed_while_another_writer_opens_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    config.segment_bytes = 1 << 20;
    let engine = Engine::open(config).unwrap();
    for shard in (1..30).map(ShardId) {
        let old = Tail::open(&engine, shard, Options::new("memory:")).unwrap();
        let table = create_table(&old, old.create_database("shop").unwrap());
        let (commits_many, has_many) = mpsc::channel();
        let committing = thread::spawn(move || {
            let mut commits = Vec::new();
            loop {
                if commits.len() == 100 {
                    commits_many.send(()).unwrap();
                }
                match insert(&old, table) {
                    Ok(commit) => commits.push(commit),
                    Err(Error::Stopped(Stopped::Lost)) => break,
                    Err(error) => panic!("{error:?}"),
                }
            }
            commits.into_iter().map(|commit| commit.wait().unwrap()).max().unwrap()
        });
        has_many.recv().unwrap();
        let new = Tail::open(&engine, shard, Options::new("memory:")).unwrap();
        let last = committing.join().unwrap();
        assert_eq!(new.watermark(), last);
        let committed = insert(&new, table).unwrap().wait().unwrap();
        let rows = |at| new.scan(table, at, Projection::default()).unwrap().map(|rows| rows.unwrap().num_rows());
        assert_eq!(rows(committed).sum::<usize>(), rows(last).sum::<usize>() + 1);
    }
}
