//! What a tail promises over crashes, outages and clocks: on a simulated disk, clock and store, in one thread.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not find is its failure")]

mod machine;
mod virtual_store;

mod bounds;
mod clocks;
mod columns;
mod flushes;
mod outages;
mod restarts;
mod versions;
mod visible;
