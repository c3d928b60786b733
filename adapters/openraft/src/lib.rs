//! Logboom as the storage of [openraft](https://docs.rs/openraft): log, vote and snapshots of thousands of groups in
//! one engine.
//!
//! Openraft leaves storage to its users, and its own crate for many groups shares only the network. Here the groups of
//! a node share one log: one sync serves all waiting appends, an append calls back when it is durable, and recent
//! entries are read from the memory that they were written from.
//!
//! | openraft | feature | module |
//! |---|---|---|
//! | 0.9.25, with `storage-v2` | `v0_9`, the default | `v0_9` |
//! | 0.10.0-alpha.37, exactly: its traits still move | `v0_10` | `v0_10` |
//!
//! Both can be used at once, and store the same bytes, as `FORMAT.md` beside this crate lays them out. Each module has
//! a `LogStore` (openraft's `RaftLogStorage` and `RaftLogReader`) and a `MachineStore` (its `RaftStateMachine`), and
//! re-exports its openraft as `openraft`, so that versions match.
//!
//! ```
//! # #[cfg(feature = "v0_9")] {
//! # use std::{collections::BTreeMap, io::{Read, Write}, sync::Arc};
//! use logboom::{Config, Engine, ShardId};
//! use logboom_openraft::{Data, Failure, Options, SnapshotData, SnapshotView, StateMachine};
//! use logboom_openraft::v0_9::{LogStore, MachineStore, openraft};
//!
//! openraft::declare_raft_types!(
//!     pub Types:
//!         D = Data, // the application's entries: bytes here
//!         R = u64, // what they are answered with
//!         NodeId = u64,
//!         Node = openraft::BasicNode,
//!         Entry = openraft::Entry<Types>,
//!         SnapshotData = SnapshotData,
//!         AsyncRuntime = openraft::TokioRuntime,
//! );
//!
//! /// Counts the bytes of all entries.
//! #[derive(Clone, Default)]
//! struct Counter(u64);
//!
//! impl StateMachine for Counter {
//!     // ..
//! #   type Data = Data;
//! #   type Reply = u64;
//! #   type View = Counter;
//! #
//!     fn apply(&mut self, _: u64, data: Data) -> Result<u64, Failure> {
//!         self.0 += data.0.len() as u64;
//!         Ok(self.0)
//!     }
//! #
//! #   fn view(&self) -> Result<Counter, Failure> {
//! #       Ok(self.clone())
//! #   }
//! #
//! #   fn recover(&mut self, from: &mut dyn Read) -> Result<(), Failure> {
//! #       let mut bytes = [0; 8];
//! #       from.read_exact(&mut bytes)?;
//! #       self.0 = u64::from_le_bytes(bytes);
//! #       Ok(())
//! #   }
//! }
//! #
//! # impl SnapshotView for Counter {
//! #     fn save(self, to: &mut dyn Write) -> Result<(), Failure> {
//! #         Ok(to.write_all(&self.0.to_le_bytes())?)
//! #     }
//! # }
//! #
//! # struct Network;
//! #
//! # impl openraft::RaftNetworkFactory<Types> for Network {
//! #     type Network = Nobody;
//! #
//! #     async fn new_client(&mut self, _: u64, _: &openraft::BasicNode) -> Nobody {
//! #         Nobody
//! #     }
//! # }
//! #
//! # struct Nobody;
//! #
//! # use openraft::{error::*, network::RPCOption, raft::*};
//! #
//! # fn gone() -> Unreachable {
//! #     Unreachable::new(&std::io::Error::other("nobody is there"))
//! # }
//! #
//! # impl openraft::RaftNetwork<Types> for Nobody {
//! #     async fn append_entries(&mut self, _: AppendEntriesRequest<Types>, _: RPCOption)
//! #     -> Result<AppendEntriesResponse<u64>, RPCError<u64, openraft::BasicNode, RaftError<u64>>> {
//! #         Err(gone().into())
//! #     }
//! #
//! #     async fn vote(&mut self, _: VoteRequest<u64>, _: RPCOption)
//! #     -> Result<VoteResponse<u64>, RPCError<u64, openraft::BasicNode, RaftError<u64>>> {
//! #         Err(gone().into())
//! #     }
//! #
//! #     #[cfg(not(feature = "generic-snapshot-data"))]
//! #     async fn install_snapshot(&mut self, _: InstallSnapshotRequest<Types>, _: RPCOption)
//! #     -> Result<
//! #         InstallSnapshotResponse<u64>,
//! #         RPCError<u64, openraft::BasicNode, RaftError<u64, InstallSnapshotError>>,
//! #     > {
//! #         Err(gone().into())
//! #     }
//! #
//! #     #[cfg(feature = "generic-snapshot-data")]
//! #     async fn full_snapshot(
//! #         &mut self, _: openraft::Vote<u64>, _: openraft::Snapshot<Types>,
//! #         _: impl Future<Output = ReplicationClosed> + Send + 'static, _: RPCOption,
//! #     ) -> Result<SnapshotResponse<u64>, StreamingError<Types, Fatal<u64>>> {
//! #         Err(gone().into())
//! #     }
//! # }
//! #
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let mut engine = Config::new(dir.path().join("log"));
//! # engine.segment_bytes = 1 << 20;
//! # /*
//! let engine = Engine::open(Config::new("/var/lib/node/log"))?; // one for all groups of the node
//! # */
//! # let engine = Engine::open(engine)?;
//! let group = ShardId(7);
//! let log = LogStore::new(&engine, group, Options::default());
//! let machine = MachineStore::<Types, _>::open(&engine, group, Counter::default())?;
//!
//! # tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(async move {
//! let config = Arc::new(openraft::Config::default().validate()?);
//! let raft = openraft::Raft::new(1, config, Network, log, machine.clone()).await?;
//! # raft.initialize(BTreeMap::from([(1, openraft::BasicNode::new("here"))])).await?;
//! # raft.wait(None).current_leader(1, "alone").await?;
//! let answer = raft.client_write(Data("five!".into())).await?;
//! assert_eq!(answer.data, 5);
//! assert_eq!(machine.read(|counter| counter.0), 5);
//! # raft.shutdown().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })
//! # }
//! # main().unwrap();
//! # }
//! ```
//!
//! # What is promised
//!
//! | openraft asks for | here |
//! |---|---|
//! | entries can be read when `append` returns | by every reader, those that were made earlier among them |
//! | its callback comes when they are durable | in the order of the calls; 0.10 has several of a group in flight |
//! | a vote is durable when `save_vote` returns | behind everything that was appended before |
//! | truncation and purge | in the order of the log, so they are not waited for |
//! | the purge point is known for good | the whole log id, also where it lies beyond the last entry |
//! | `save_committed` | written with whatever comes next, never alone |
//! | a read stops early only where it may | a message has at most what [`Options`] say, but one entry at least |
//! | a former leader still reads | purged or truncated entries read as none: a heartbeat |
//! | one snapshot of a group | streamed from a view, registered through the log: a crash leaves the old or the new |
//!
//! Every failure becomes openraft's storage error with the engine's message, and stops the group's node: openraft does
//! not retry. A failed write or sync of the log stops every group of the engine.
//!
//! # The application's types
//!
//! No type needs serde. Data is a [`DataCodec`], which decodes from a view of the log's memory, so that reads never
//! copy [`Data`]; data of other crates has a [`Codec`], which is a parameter of the `LogStore`. Ids of nodes and nodes
//! are [`Field`]s. The default entries are stored as they are; others can be, as [`StoredEntry`]. The feature
//! `single-term-leader` of openraft 0.9 is not supported.
//!
//! # Snapshots
//!
//! [`SnapshotData`] is a handle, which gives a network a manifest and chunks; the receiver verifies each chunk.
//! Openraft 0.9 sends it as a file, through its own `install_snapshot`, unless the feature `generic-snapshot-data` is
//! on. That one is openraft's, so it holds for all crates of a build; it is off, and this crate works with either.
//!
//! While a handle lives the snapshot's file stays. The log behind it may not: openraft purges by its own rules, even
//! while a snapshot is being sent. A group has one at a time, as long as
//! [`Config::snapshots_kept`](logboom::Config::snapshots_kept) is what it is by default.
//!
//! # Groups from elsewhere
//!
//! Import a group from another store with openraft's own traits, before the `Raft` is created: `save_vote`, then
//! `purge` up to where the old log begins, then `blocking_append` (of `RaftLogStorageExt`) with the entries, piece by
//! piece. The state at the purge point comes in a snapshot of another node, as for any member that joins.
//!
//! Remove a group that leaves the node with [`Batch::destroy`](logboom::Batch::destroy), after its `Raft` is shut down.

#![forbid(unsafe_code)]

#[cfg(not(any(feature = "v0_9", feature = "v0_10")))]
compile_error!("one of the features v0_9 and v0_10 is needed: this crate is nothing without openraft");

mod error;
mod options;
mod field;
mod data;
mod log_id;
mod membership;
mod entry;
mod log;
mod machine;
mod offload;
#[cfg(feature = "v0_9")]
mod stream;
mod snapshot_data;
#[cfg(feature = "v0_9")]
mod stream_io;
mod machine_handle;
#[cfg(feature = "v0_9")]
pub mod v0_9;
#[cfg(feature = "v0_10")]
pub mod v0_10;

pub use data::{Codec, Data, DataCodec, OwnCodec};
pub use entry::{Content, Parts, StoredEntry};
pub use error::{Error, Failure, Result};
pub use field::Field;
pub use log_id::Leader;
pub use machine::{SnapshotView, StateMachine};
pub use options::Options;
pub use snapshot_data::SnapshotData;
