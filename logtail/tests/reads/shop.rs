//! Tables to read, on an engine in a directory.

use std::path::Path;

use arrow_array::RecordBatch;
use logboom::{Config, Engine, ShardId};
use logboom_logtail::{NewColumn, NewTable, Options, StoreChoice, TableId, Tail, Timestamp};

/// An engine, and what a tail on it is opened with: its objects are in this store, and it has no threads.
pub(crate) struct Shop {
    pub(crate) engine: Engine,
    pub(crate) options: Options,
}

impl Shop {
    pub(crate) fn new(dir: &Path, store: StoreChoice) -> Self {
        let mut config = Config::new(dir.join("log"));
        config.segment_bytes = 4 << 20;
        let mut options = Options::new("");
        (options.store, options.threads) = (store, false);
        Self { engine: Engine::open(config).unwrap(), options }
    }

    /// Opens the tail: its caches are empty.
    pub(crate) fn open(&self) -> Tail {
        Tail::open(&self.engine, ShardId(1), self.options.clone()).unwrap()
    }
}

/// Makes the table `orders` in a database `shop`.
pub(crate) fn create(tail: &Tail, columns: Vec<NewColumn>, key: &[&str]) -> TableId {
    let database = tail.create_database("shop").unwrap();
    let key = key.iter().map(|name| (*name).to_owned()).collect();
    tail.create_table(database, NewTable { name: "orders".into(), columns, key }).unwrap()
}

pub(crate) fn upsert(tail: &Tail, table: TableId, rows: &RecordBatch) -> Timestamp {
    let mut transaction = tail.begin();
    transaction.upsert(table, rows).unwrap();
    transaction.commit().unwrap()
}
