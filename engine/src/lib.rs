//! The logs of thousands of raft groups, durable in one write-ahead log, read without copies.
//!
//! # Start here
//!
//! | you have | begin with |
//! |---|---|
//! | raft-rs | the crate `logboom-raft-rs`; `docs/guide/below-raft-rs.md` in the repository |
//! | openraft 0.9 or 0.10 | the crate `logboom-openraft`; `docs/guide/below-openraft.md` |
//! | a raft core of your own | [`Engine`], [`Batch`], [`Shard`]; `docs/guide/your-own-core.md` |
//! | raft-engine, etcd's wal, NuRaft's `log_store` | `docs/guide/coming-from.md`, call by call |
//! | snapshots to keep, send or receive | [`Snapshots`], and [below](#snapshots) |
//! | memory and disk to bound | [`Config`] |
//! | an error | [`Error`], [`ReadError`]; damage: [below](#what-may-be-lost), and `docs/repair.md` |
//! | a log to read beside the process that writes it | [`Engine::open_read_only`], [`ReadOnly`] |
//! | a node to watch | [`Engine::health`], [`Engine::metrics`], [`Engine::space`], [`Observer`] |
//!
//! | word | what it is |
//! |---|---|
//! | *shard* | one raft group's log, with its hard state, commit hint, keys and snapshots: [`ShardId`], [`Shard`] |
//! | *group* | batches that one write makes durable. Raft's groups are called shards here |
//! | *boundary* | index and term of the last entry that was compacted: etcd raft's dummy entry. [`Shard::boundary`] |
//! | *ticket* | the future of an accepted batch's durability: to be waited for, awaited or called back: [`Ticket`] |
//! | *checkpoint* | the state of all shards that the engine writes down now and then, from which opening replays |
//!
//! A node that takes part in many raft groups has as many logs to keep, and each must be on disk before it answers.
//! Logboom writes them all to one log with direct IO, so that one sync serves all that wait, keeps the recent tail in
//! memory for readers, and hands out entries in the memory that they were written from. It is not a raft
//! implementation, not a database, and not a queue: it knows shards, *entries* (index, term, kind, context, payload),
//! and what raft cores do to them: append, truncate, compact, reset.
//!
//! ```
//! use logboom::{Config, Durability, Engine, Entry, EntryId, ShardId};
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("log");
//! # let mut config = Config::new(&path);
//! # config.segment_bytes = 1 << 20;
//! # /*
//! let mut config = Config::new("/var/lib/node/log");
//! # */
//! let engine = Engine::open(config)?;
//!
//! let mut batch = engine.batch(); // many shards, atomic as a whole
//! batch.append(ShardId(1), Entry::new(EntryId { index: 1, term: 1 }, b"set x"))?;
//! batch.append(ShardId(1), Entry::new(EntryId { index: 2, term: 1 }, b"set y"))?;
//! batch.hard_state(ShardId(1), b"term 1, vote 2")?;
//! batch.append(ShardId(2), Entry::new(EntryId { index: 1, term: 1 }, b"set z"))?;
//! let ticket = engine.submit(batch, Durability::Durable)?; // in order and readable
//! ticket.wait()?; // survives power loss; `.await` and a callback do as well
//!
//! let shard = engine.shard(ShardId(1));
//! for entry in &shard.entries(1..3, 1 << 20)? {
//!     println!("{}: {} bytes", entry.index, entry.payload.len()); // `entry.payload_shared()` shares the memory
//! }
//! let mut batch = engine.batch();
//! batch.compact_through(ShardId(1), 1)?;
//! engine.submit(batch, Durability::Lazy)?.wait()?;
//! assert_eq!(shard.term(1)?, 1); // the boundary's term stays
//! engine.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it runs on
//!
//! Linux, with Rust 1.88 or newer. io_uring is used from kernel 5.11 on where it is allowed, and plain system calls
//! elsewhere: the bytes on disk are the same. [`OpenReport`] says what was chosen, and why.
//!
//! | feature | |
//! |---|---|
//! | `lz4` (default) | compression of snapshots |
//! | `fuzz`, `marks`, `mutants` | for the tests of this workspace; not part of the interface |
//!
//! # The stages
//!
//! | stage | takes and gives | what holds when it returns |
//! |---|---|---|
//! | append | operations on many shards -> records in a buffer | accepted, ordered, readable; not yet durable |
//! | group_commit | buffers -> direct writes, one sync for many | survives power loss; acknowledged in order |
//! | index | records -> (shard, index) -> place | found in constant time, within the memory budget |
//! | read | shard and range -> entry batch | verified bytes without a copy, or a typed error |
//! | compact | compaction points -> freed segments | space back, nothing live lost |
//!
//! The stages have folders of their names; *compact* is in *maintenance*, and *group_commit* is `logboom-wal`'s. Moving
//! live records out of a segment so that it can be freed, as [`Engine::reclaim`] does, is *reclaim*.
//!
//! # Limits
//!
//! | | |
//! |---|---|
//! | an index | 0 to `u64::MAX - 1` |
//! | payload and context of one entry | what a batch takes, less the 72 bytes of a record: some 16 MiB by default |
//! | context | 65,535 bytes |
//! | a batch | a quarter of a segment, the headers of records included; 65,536 records, each of one or many entries |
//! | hard state, commit hint | 64 bytes each |
//! | a snapshot | 65,536 files; membership and metadata of 1 MiB each |
//! | key, value | 1,024 bytes, 65,536 bytes; all keys are in memory |
//! | processes | one at a time for writing, and no child that is forked from it; any number of read-only views |
//! | open files | one for each segment in use, and about twenty; snapshots that are read or made have their own |
//!
//! # What can be watched
//!
//! [`Engine::metrics`] are plain numbers. [`Engine::health`] answers two questions, whether the engine
//! [serves](Health::serves), for a readiness probe, and whether it is [degraded](Health::is_degraded), with every
//! [`Reason`] by name. An [`Observer`] is told of a long opening, a stalled disk, rot and a failed log. With a
//! `tracing` subscriber each stage opens a span of its name: `append`, `group_commit` (a write, from its submission
//! until it is durable) and `read` (of what is not in memory) at level trace, `index` (footers, checkpoints, opening)
//! and `compact` at debug or above.
//!
//! # Snapshots
//!
//! What a shard's log up to an index comes down to is kept beside the log: [`Engine::snapshots`] builds it from
//! streams, ships it to another engine, and leases it to readers. [`Batch::register_snapshot`] makes one the shard's,
//! together with the compaction or the reset that goes with it.
//!
//! ```
//! use std::io::{Read, Write};
//!
//! use logboom::{Config, Engine, Entry, EntryId, ShardId, snapshot::{Spec, Stop}};
//!
//! # let dir = tempfile::tempdir()?;
//! # let mut config = Config::new(dir.path().join("log"));
//! # config.segment_bytes = 1 << 20;
//! # let engine = Engine::open(config)?;
//! # let mut batch = engine.batch();
//! # for index in 1..10 {
//! #     batch.append(ShardId(1), Entry::new(EntryId { index, term: 1 }, b"set x"))?;
//! # }
//! # engine.write(batch)?;
//! let spec = Spec::new(1, EntryId { index: 7, term: 1 }); // all up to and including entry 7
//! let mut builder = engine.snapshots().build(spec, &Stop::new())?;
//! builder.file("state")?.write_all(b"x is set")?; // streamed: the whole is never in memory
//! let built = builder.finish()?; // durable, not registered yet
//!
//! let mut batch = engine.batch();
//! batch.compact_through(ShardId(1), 7)?.register_snapshot(ShardId(1), &built)?;
//! engine.write(batch)?; // a crash leaves both or neither
//!
//! let lease = engine.snapshots().newest(ShardId(1))?.ok_or("there is one")?; // it stays while this lives
//! let mut state = String::new();
//! lease.open("state")?.read_to_string(&mut state)?; // `lease.chunks(..)` sends it to another engine
//! assert_eq!(state, "x is set");
//! # drop(lease);
//! # engine.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What may be lost
//!
//! Nothing that a ticket has said to be durable, as long as the disk keeps what it has acknowledged as synced. After a
//! failed write or sync nothing is acknowledged any more ([`Error::Poisoned`]); what was, is found when the log is
//! opened again.
//!
//! Damage to what was durable (bytes that rot, files that vanish) is told apart from a write that a crash cut short. It
//! keeps no shard from serving but those that it hits. These are in quarantine ([`Engine::quarantined`]): what is left
//! of them can be read, what is lost is answered with a typed error and never with something older, and writes are
//! refused until the lost entries are handed in again ([`Engine::heal`]) or dropped, the loss is
//! [accepted](Batch::accept_loss), or the shard [destroyed](Batch::destroy). Where it is not known whose records are
//! lost, every shard that cannot be proven whole is held back. Damage to the very end of a log, behind the last promise
//! that survived, looks like a torn tail and is cut as one.
//!
//! An entry that replaced another one is told from it by its term. In raft, entries of one index and term are the same.
//! A shard that overwrites an entry with a different one of the same term reads the newer one, but if all of a segment
//! that is not sealed is lost with that, the older one may be served.

#![forbid(unsafe_code)]

mod engine;
mod snapshots;
mod backup;
mod read_only;
mod ticket;
mod health;
mod metrics;
mod recovery;
mod append;
mod maintenance;
mod read;
mod checkpoint;
mod shard_state;
mod index;
mod encoding;
mod types;
#[cfg(feature = "fuzz")]
pub mod fuzz;

pub use append::batch::{Batch, Savepoint};
pub use append::rejected::Rejected;
pub use backup::{Backup, BackupReport};
pub use engine::Engine;
pub use health::{Health, Reason};
pub use maintenance::space::{ShardSpace, SpaceReport};
pub use metrics::Metrics;
pub use read::entries::{EntryBatch, EntryRef, Iter};
pub use read::readers::EntriesFuture;
pub use read::shard::{Bounds, Shard, TryRead};
pub use read_only::{ReadOnly, ReadOnlySnapshots};
pub use recovery::report::{OpenReport, SegmentSpace};
pub use shard_state::quarantine::Quarantine;
pub use snapshots::Snapshots;
pub use ticket::Ticket;
pub use types::config::Config;
pub use types::error::{Error, Result, read_error::ReadError};
pub use types::ids::ShardId;
pub use types::limits::{BATCH_RECORDS_MAX, CONTEXT_BYTES_MAX, KEY_BYTES_MAX, Limit, STATE_BYTES_MAX, VALUE_BYTES_MAX};
pub use types::observer::{Observer, RecoveryProgress, Stall};
pub use types::payload::{Entry, Payload};

pub use logboom_disk::{self as disk, Cause, DiskOptions};
pub use logboom_snapshot::{self as snapshot, EntryId};
#[doc(hidden)]
pub use logboom_wal::guarded;
pub use logboom_wal::{
    Capacity, Clock, CopyReport, Damage, DamageKind, Descriptor, Durability, EndedMachine, IdentityFault, ManualClock,
    RecoveryReport, Runtime, SegmentId, SegmentInfo, SegmentRot, SystemClock, TornTail, WalMetrics,
};
#[doc(hidden)]
pub use recovery::steady::steady;
