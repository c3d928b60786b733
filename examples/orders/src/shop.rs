//! `Shop`: an engine, a tail on one of its shards, and the table.

use std::{fs, path::Path, sync::Arc};

use arrow_array::{ArrayRef, Int64Array};
use logboom::{Config, Engine, ShardId};
use logboom_logtail::{NewTable, Options, Projection, ScanOptions, TableId, Tail, Timestamp};

use crate::{
    Result,
    order::{Order, Orders, columns, from_batch},
};

/// The shard that the tail is in. Others may be used for anything else.
const SHARD: ShardId = ShardId(1);

/// A table of orders.
pub(crate) struct Shop {
    engine: Engine,
    pub(crate) tail: Tail,
    pub(crate) orders: TableId,
}

impl Shop {
    /// Opens the shop in a directory, or makes it.
    pub(crate) fn open(dir: &Path, memory_mib: usize) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let engine = Engine::open(Config::new(dir.join("log")))?;
        let mut options = Options::new(dir.join("objects").to_string_lossy());
        options.memory_bytes_max = memory_mib << 20;
        options.flush.table_bytes = options.memory_bytes_max / 8;
        let tail = Tail::open(&engine, SHARD, options)?;
        let catalog = tail.catalog(tail.watermark())?;
        let database = match catalog.find_database("shop") {
            Some(database) => database,
            None => tail.create_database("shop")?,
        };
        let orders = match catalog.find_table(database, "orders") {
            Some(table) => table.id(),
            None => {
                let table = NewTable { name: "orders".into(), columns: columns(), key: vec!["id".into()] };
                tail.create_table(database, table)?
            }
        };
        Ok(Self { engine, tail, orders })
    }

    /// Closes it. Everything that was committed is durable, also without this.
    pub(crate) fn close(self) -> Result<()> {
        self.tail.close()?;
        Ok(self.engine.close()?)
    }

    /// The orders at a timestamp.
    pub(crate) fn all(&self, at: Timestamp) -> Result<Orders> {
        self.scan(at, Projection::default())
    }

    /// Those of the orders that are asked for.
    pub(crate) fn scan(&self, at: Timestamp, options: impl Into<ScanOptions>) -> Result<Orders> {
        let mut orders = Orders::new();
        for batch in self.tail.scan(self.orders, at, options)? {
            orders.extend(from_batch(&batch?));
        }
        Ok(orders)
    }

    /// The orders with these ids.
    pub(crate) fn by_ids(&self, ids: &[i64], at: Timestamp) -> Result<Vec<Option<Order>>> {
        let keys: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
        let found = self.tail.get(self.orders, at, &[keys], &Projection::default())?;
        let orders: Vec<Order> = from_batch(&found.rows).map(|(_, order)| order).collect();
        Ok(found.positions.iter().map(|row| orders.get((*row)?).cloned()).collect())
    }
}
