//! Objects are written and read back, beside a model of plain vectors.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not find is its failure")]

mod damage;
mod loads;
mod model;
mod objects;
mod scans;
mod skipping;
mod tombstones;
mod wide;
