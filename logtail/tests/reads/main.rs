//! Reads of tables: rows by predicates and by keys, from memory and from objects.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod ahead;
mod counting;
mod deletes;
mod filters;
mod gets;
mod held_up;
mod loads;
mod metrics;
mod puts;
mod shop;
