//! The writer: what it promises one by one, and random histories of it.

mod history;
mod loads;
mod promises;
mod tail;
mod tombstones;
