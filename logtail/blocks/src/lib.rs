//! Blocks of the log tail: sorted Arrow rows as the bytes of an *object*, a Parquet file of one table, and back.
//!
//! The crate does no IO and has no threads. [`ObjectWriter`] gives bytes, a [`Scan`] says which bytes it
//! needs and gives batches of rows, and a [`Lookup`] finds the rows with certain keys.
//!
//! An object has up to 256 *blocks* of at most 8192 rows, of which up to 16 share a row group. Each column has one page
//! a block, so a block can be read without its neighbours. Each row has its commit timestamp in a column behind the
//! user's, [`COMMIT_COLUMN`], and nothing else is added: the id of a row is its position. An object of a bulk load has
//! no such column: its metadata state when all of its rows committed. The bytes are stated in `logtail/FORMAT.md`.

#![forbid(unsafe_code)]

mod bloom;
mod checksums;
mod decoder;
mod dictionary;
mod error;
mod fetched;
mod filters;
mod footer;
mod kept;
mod key_values;
mod key_filters;
mod lookup;
mod object_memory;
mod object_bytes;
mod object_schema;
mod open_block;
mod options;
mod page_log;
mod pages;
mod projection;
mod row_group;
mod run;
mod scan;
mod size;
mod statistics;
mod tombstones;
mod writer;

pub use error::{ReadError, WriteError};
pub use fetched::CheckedBytes;
pub use footer::Footer;
pub use key_filters::{KeyFilters, KeyHashes};
pub use lookup::{Found, Lookup, LookupStep};
pub use object_memory::ObjectMemory;
pub use object_schema::COMMIT_COLUMN;
pub use options::{Compression, WriteOptions};
pub use scan::{Batch, Scan, ScanBlock, ScanRequest, Step};
pub use tombstones::{Tombstone, TombstoneWriter};
pub use writer::{ObjectSpec, ObjectWriter, WrittenObject};
