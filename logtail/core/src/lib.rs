//! The model of the log tail: what a writer of tables decides, without IO, threads or clocks.
//!
//! The caller passes the time in and carries out what comes back, so a seed repeats a history.
//!
//! A client collects what it writes in a [`Workspace`](transaction::Workspace). The [`Writer`](writer::Writer) checks
//! it against what committed since, gives it a [`Timestamp`] of its [`HybridClock`], and proposes its
//! [`record`] to the [log](log::Log); the rows go to the [memtables](table::Memtable) of their tables, where
//! readers see them when the record is committed. What is flushed lies in a [`store`] of objects.

#![forbid(unsafe_code)]

pub mod mutants;
mod cause;
mod ids;
mod object_id;
mod physical;
mod timestamp;
mod varint;
mod widening;
mod clients;
mod clock;
pub mod predicate;
pub mod key;
pub mod rows;
pub mod block_meta;
pub mod store;
pub mod catalog;
pub mod record;
pub mod log;
pub mod table;
pub mod checkpoint;
pub mod state;
pub mod tail;
pub mod scan;
pub mod recovery;
pub mod transaction;
pub mod flush;
pub mod load;
pub mod writer;
#[cfg(all(loom, test))]
mod models;
#[cfg(feature = "fuzz")]
pub mod fuzz;

pub use cause::write_error;
pub use clock::{BoundReached, HybridClock, RESERVE};
pub use ids::{ColumnId, DatabaseId, RowId, RowsetId, TableId};
pub use object_id::{NotAnObjectId, ObjectId};
pub use timestamp::Timestamp;
pub use widening::{widen, widens};
