//! Replicated state machines on Logboom: applies committed entries, saves snapshots, compacts and recovers.
//!
//! A raft core decides which entries are committed, and [`logboom`] stores them. This crate connects both to the
//! application:
//!
//! - the contract of a deterministic [`StateMachine`] and its variants: [saved while updates wait](SaveSnapshot),
//!   [saved concurrently with updates](PrepareSnapshot), keeping its [own state on disk](OnDisk), sent as [logical
//!   objects](ObjectSnapshots), [shown entries](PreCommit) before they are committed;
//! - a [`Driver`] that applies, saves, compacts, installs and recovers, and has neither threads nor a clock (a
//!   [`Runner`] is a thread that drives it);
//! - a [`SnapshotPolicy`] that decides when to save and how much log to keep, as a pure function that says why;
//! - a [`log_store`]: the log of a raft group as NuRaft's cores expect it, on a shard;
//! - a [test suite](conformance) for implementations of a machine or of such a log.
//!
//! It is not a raft implementation: the raft core decides on leaders, commits and members.
//!
//! # The life of a shard
//!
//! | what happens | what holds then |
//! |---|---|
//! | [`Driver::blocking`] and its like | the machine has the state of the newest snapshot, or its own |
//! | [`Driver::commit`], [`Driver::apply`] | the machine has applied each committed, durable entry once |
//! | [`Driver::upkeep`], [`SaveJob::run`] | a snapshot is durable and not yet registered |
//! | [`Driver::finish`] | the snapshot is registered and the log compacted behind it, or neither |
//! | [`Driver::catch_up`] | a follower has entries, or a lease of a snapshot that stays, with the log behind it |
//! | [`Driver::install`] | log, hard state and snapshot are those of another replica, or unchanged |
//!
//! # What it is called elsewhere
//!
//! | here | dragonboat | NuRaft | etcd |
//! |---|---|---|---|
//! | [`SaveSnapshot`] | `IStateMachine` | | raftexample's `getSnapshot` |
//! | [`PrepareSnapshot`] | `IConcurrentStateMachine` | | |
//! | [`OnDisk`] | `IOnDiskStateMachine` | | |
//! | [`ObjectSnapshots`] | | `read_logical_snp_obj`, `save_logical_snp_obj` | |
//! | [`PreCommit`] | | `pre_commit`, `rollback` | |
//! | [`SnapshotPolicy::every_entries`] | `SnapshotEntries` | `snapshot_distance_` | `SnapshotCount` |
//! | [`SnapshotPolicy::keep_entries`] | `CompactionOverhead` | `reserved_log_items_` | `SnapshotCatchUpEntries` |
//! | [`log_store::LogStore`] | `ILogDB` | `log_store` | `raft.Storage`, `wal` |
//! | [`log_store::StateStore`] | `State` | `srv_state`, `state_mgr` | `HardState` |
//!
//! [`Driver`] and [`conformance`] have examples; `examples/two_nodes` is a leader and a follower without a raft core,
//! and `examples/append_entries` shows two at the calls of NuRaft's `append_entries`. With a raft core, over a network:
//! `logboom-kvstore`, which is etcd's raftexample on this crate.

#![forbid(unsafe_code)]

mod error;
mod machine;
mod files;
mod reader;
mod pre_commit;
mod objects;
mod entry_sizes;
mod policy;
mod machine_cell;
mod save;
mod driver;
mod runner;
pub mod log_store;
pub mod conformance;

pub use driver::{Applied, CatchUp, Driver, Finished, ObjectStream, Options, Recovered, Upkeep};
pub use entry_sizes::EntrySizes;
pub use error::Failure;
pub use error::{Error, Result};
pub use files::Files;
pub use machine::{OnDisk, PrepareSnapshot, SaveSnapshot, SnapshotView, StateMachine};
pub use machine_cell::Reader;
pub use objects::{Object, ObjectSnapshots, ReadObjects, ReceiveObjects, Transfer};
pub use policy::{Compaction, Decision, Hold, Holder, ShardStatus, SnapshotPolicy, Trigger};
pub use pre_commit::PreCommit;
pub use reader::SnapshotReader;
pub use runner::Runner;
pub use save::{SaveJob, Saved};
