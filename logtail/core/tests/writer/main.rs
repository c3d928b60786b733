//! The writer: what it promises one by one, and random histories of it.

mod history;
mod promises;
mod tail;
mod tombstones;
