//! A log tail on Logboom: transactions of [Arrow](arrow_array) rows, durable in a shard of an engine's log, and
//! readable at once, at the timestamp of any commit.
//!
//! ```
//! use std::sync::Arc;
//!
//! use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
//! use arrow_schema::DataType;
//! use logboom::{Config, Engine, ShardId};
//! use logboom_logtail::{NewColumn, NewTable, Options, Projection, Tail};
//!
//! # let dir = tempfile::tempdir()?;
//! # let mut config = Config::new(dir.path().join("log"));
//! # config.segment_bytes = 1 << 20;
//! # /*
//! let mut config = Config::new("/var/lib/shop/log");
//! # */
//! let engine = Engine::open(config)?;
//! let tail = Tail::open(&engine, ShardId(1), Options::default())?;
//!
//! let shop = tail.create_database("shop")?;
//! let columns = vec![NewColumn::required("id", DataType::Int64), NewColumn::nullable("buyer", DataType::Utf8)];
//! let orders = tail.create_table(shop, NewTable { name: "orders".into(), columns, key: vec!["id".into()] })?;
//!
//! let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
//! let buyers: ArrayRef = Arc::new(StringArray::from(vec![Some("ada"), None]));
//! let rows = RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("buyer", buyers, true)])?;
//! let mut transaction = tail.begin();
//! transaction.insert(orders, &rows)?;
//! let committed = transaction.commit()?; // durable, and seen by every reader that begins now
//!
//! let batches = tail.scan(orders, committed, Projection::default())?.collect::<Result<Vec<_>, _>>()?;
//! assert_eq!(batches[0].columns(), rows.columns());
//! tail.close()?;
//! # engine.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod error;
mod shard_log;
mod shared;
mod commit;
mod transaction;
mod tail;

pub use commit::Commit;
pub use error::{Error, Result};
pub use logboom_logtail_core::{
    ColumnId, DatabaseId, RowId, RowsetId, TableId, Timestamp,
    catalog::{Catalog, CatalogError, Change, Column, NewColumn, NewTable, TableSchema},
    scan::{BATCH_ROWS, MemoryScan, Projection},
    state::Stale,
    transaction::{OperationError, ROWS_MAX},
    writer::Stopped,
};
pub use tail::{Options, Tail};
pub use transaction::Transaction;
