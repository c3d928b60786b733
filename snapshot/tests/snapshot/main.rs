//! Snapshots through their public surface: on the simulated disk, where every run of a seed repeats, and on a real one.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not find is its failure")]

mod crash;
mod damage;
mod export;
mod golden;
mod leases;
mod round_trip;
mod support;
mod transfer;
