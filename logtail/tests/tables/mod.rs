//! A table on a real engine.

use std::path::Path;

use arrow_schema::DataType;
use logboom::{Config, Engine, ShardId};
use logboom_logtail::{DatabaseId, NewColumn, NewTable, Options, TableId, Tail};

pub(crate) fn engine(dir: &Path) -> Engine {
    let mut config = Config::new(dir.join("log"));
    config.segment_bytes = 4 << 20;
    Engine::open(config).unwrap()
}

/// A tail on shard 1, with a table.
pub(crate) fn with_table(engine: &Engine, options: Options, keyed: bool) -> (Tail, TableId) {
    let tail = Tail::open(engine, ShardId(1), options).unwrap();
    let table = create(&tail, keyed);
    (tail, table)
}

/// A table `orders` of `id: i64, s: utf8 or null`, with the key `id` or none, in a database `shop`.
pub(crate) fn create(tail: &Tail, keyed: bool) -> TableId {
    create_in(tail, tail.create_database("shop").unwrap(), "orders", keyed)
}

/// Such a table of another name.
pub(crate) fn create_in(tail: &Tail, database: DatabaseId, name: &str, keyed: bool) -> TableId {
    let columns = vec![NewColumn::required("id", DataType::Int64), NewColumn::nullable("s", DataType::Utf8)];
    let key = if keyed { vec!["id".into()] } else { Vec::new() };
    tail.create_table(database, NewTable { name: name.into(), columns, key }).unwrap()
}
