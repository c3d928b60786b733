//! The engine through its public surface, on the simulated disk and on the real one.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "what a test relies on and does not find is its failure"
)]

mod hooked;
mod support;

mod admission;
mod around_damage;
mod background;
mod backup;
mod bad_input;
mod crash;
mod directory;
mod extremes;
mod foreign;
mod full;
mod handles;
mod kill;
mod limits;
mod locks;
mod lost_end;
mod model;
mod openings;
mod operations;
mod options;
mod quarantine;
mod reads;
mod reclaim;
mod sealing;
mod snapshot_histories;
mod snapshots;
mod steady_quarantine;
mod tickets;
mod trace;
mod unreadable;
mod health;
