//! A log tail on Logboom: transactions of [Arrow](arrow_array) rows, durable in a shard of an engine's log, and
//! readable at once, at the timestamp of any commit.
//!
//! ```
//! use std::sync::Arc;
//!
//! use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
//! use arrow_schema::DataType;
//! use logboom::{Config, Engine, ShardId};
//! use logboom_logtail::{Filter, NewColumn, NewTable, Op, Options, Projection, Tail};
//!
//! # let dir = tempfile::tempdir()?;
//! # let mut config = Config::new(dir.path().join("log"));
//! # config.segment_bytes = 1 << 20;
//! # let options = Options::new(dir.path().join("objects").to_string_lossy());
//! # /*
//! let config = Config::new("/var/lib/shop/log");
//! let options = Options::new("/var/lib/shop/objects");
//! # */
//! let engine = Engine::open(config)?;
//! let tail = Tail::open(&engine, ShardId(1), options)?;
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
//! tail.flush(orders)?; // on its own after a minute: the rows are in a Parquet file now
//! let of_ada = Filter::new("buyer", Op::Equal, "ada").and(Filter::new("id", Op::Less, 100));
//! let batches = tail.scan(orders, committed, of_ada)?.collect::<Result<Vec<_>, _>>()?;
//! assert_eq!(batches[0].columns(), rows.slice(0, 1).columns());
//!
//! let keys: ArrayRef = Arc::new(Int64Array::from(vec![2, 3]));
//! let found = tail.get(orders, committed, &[keys], &Projection::default())?;
//! assert_eq!((found.rows.columns(), found.positions), (rows.slice(1, 1).columns(), vec![Some(0), None]));
//! tail.close()?;
//! # engine.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod error;
mod options;
mod metrics;
mod shard_log;
mod tombstone_block;
mod fetch;
mod store;
mod deletes;
mod key_search;
mod memory_bound;
mod ages;
mod past;
mod shared;
mod admission;
mod ahead;
mod lookup;
mod commit;
mod transaction;
mod scan_options;
mod object_rows;
mod scan;
mod rows_by_key;
mod pace;
mod sorting;
mod encode;
mod encode_tombstones;
mod put;
mod encoding;
mod flushing;
mod block_bounds;
mod key_merge;
mod load_check;
mod patience;
mod load;
mod checkpoint_object;
mod checkpointer;
mod flushes;
mod flusher;
mod tail;

pub use admission::Admission;
pub use commit::Commit;
pub use error::{Error, Result};
pub use flushing::{FlushProgress, Flushing};
pub use load::{Load, LoadProgress};
pub use logboom_logtail_core::{
    ColumnId, DatabaseId, RowId, RowsetId, TableId, Timestamp,
    catalog::{Catalog, CatalogError, Change, Column, ColumnRef, NewColumn, NewTable, TableSchema},
    checkpoint::Checkpoint,
    flush::{FlushLimits, FlushParts, FlushPolicy},
    predicate::{Op, Value},
    scan::{BATCH_ROWS, ColumnError, Filter, Projection},
    state::Stale,
    store::StoreHealth,
    table::{MemoryBytes, Memtable, Object, Version},
    transaction::{OperationError, ROWS_MAX},
    writer::{CheckpointKind, Stopped},
};
pub use logboom_logtail_objects::Options as StoreOptions;
pub use metrics::{TableMetrics, TailMetrics};
pub use options::{Options, StoreChoice};
pub use rows_by_key::RowsByKey;
pub use scan::Scan;
pub use scan_options::ScanOptions;
pub use tail::Tail;
pub use transaction::Transaction;
