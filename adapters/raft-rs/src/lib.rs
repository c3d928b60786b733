//! raft-rs on Logboom: the storage of many raft groups in one log, written with one sync, read without copies.
//!
//! raft-rs leaves storage to its user: the read side is its trait [`raft::Storage`], the write side a rule for what to
//! do with a [`Ready`](raft::Ready). [`Group`] is the read side, [`Round`] and [`Writer`] are the write side, for any
//! number of groups on one [`Engine`](logboom::Engine).
//!
//! # The loop
//!
//! One thread, any number of groups, asynchronous: the next round is filled while one is being written.
//!
//! ```
//! use std::{collections::BTreeMap, sync::mpsc};
//!
//! use logboom::{Config, Engine, EntryId, ShardId};
//! use logboom_raft_rs::{Group, Round, Writer};
//! use protobuf::Message;
//! use raft::{
//!     RawNode,
//!     eraftpb::{ConfChangeV2, ConfState, EntryType},
//! };
//!
//! # let dir = tempfile::tempdir()?;
//! # let mut config = Config::new(dir.path().join("log"));
//! # config.segment_bytes = 1 << 20;
//! # let send = |_messages| ();
//! # let apply = |entry: raft::eraftpb::Entry| drop(entry);
//! # /*
//! let config = Config::new("/var/lib/node/log");
//! # */
//! let engine = Engine::open(config)?;
//! let shards = (0..100).map(ShardId);
//! let members = ConfState::from((vec![1], vec![]));
//! Group::create(&engine, shards.clone(), &members, EntryId { index: 0, term: 0 })?;
//!
//! let logger = slog::Logger::root(slog::Discard, slog::o!());
//! let (mut nodes, mut applied) = (BTreeMap::new(), BTreeMap::new());
//! for shard in shards {
//!     let mut node = RawNode::new(&raft::Config::new(1), Group::open(&engine, shard, 0)?, &logger)?;
//!     node.campaign()?; // a timer and messages of others, elsewhere
//!     nodes.insert(shard, node);
//!     applied.insert(shard, 0);
//! }
//!
//! let (wake, woken) = mpsc::channel(); // messages and ticks come by the same channel, elsewhere
//! let mut writer = Writer::new(&engine, move || drop(wake.send(())));
//! while applied.values().any(|index| *index < 1) {
//!     let (mut readys, mut changes) = (Vec::new(), Vec::new());
//!     for (shard, node) in &mut nodes {
//!         if node.has_ready() {
//!             let mut ready = node.ready();
//!             send(ready.take_messages()); // a leader's, which need not wait
//!             for entry in ready.take_committed_entries() {
//!                 applied.insert(*shard, entry.index);
//!                 if entry.get_entry_type() == EntryType::EntryConfChangeV2 {
//!                     let change = ConfChangeV2::parse_from_bytes(&entry.data)?;
//!                     changes.push((*shard, entry.index, node.apply_conf_change(&change)?));
//!                 } else {
//!                     apply(entry);
//!                 }
//!             }
//!             readys.push((*shard, ready));
//!         }
//!     }
//!     let mut round = Round::new();
//!     for (shard, ready) in &mut readys {
//!         round.save(nodes[shard].store(), ready);
//!     }
//!     for (shard, index, conf_state) in &changes {
//!         round.conf_state(nodes[shard].store(), *index, conf_state); // before anything says that it is applied
//!     }
//!     let left_out = writer.submit(&mut round)?; // one batch: readable from now on, durable soon
//!     for shard in left_out.shards() {
//!         nodes.remove(shard); // something of its log is lost: see below
//!         applied.remove(shard);
//!     }
//!     for (shard, ready) in readys.into_iter().filter(|(shard, _)| !left_out.contains(*shard)) {
//!         let node = nodes.get_mut(&shard).ok_or("it is there")?;
//!         node.advance_append_async(ready);
//!         node.advance_apply_to(applied[&shard]); // what is, and not what a snapshot that waits will be
//!         node.store().applied_to(applied[&shard])?; // it may be compacted
//!     }
//!     if !nodes.values().any(RawNode::has_ready) && writer.pending() > 0 {
//!         woken.recv()?;
//!     }
//!     for saved in writer.persisted()? {
//!         send(saved.messages); // votes and acknowledgements, which had to wait
//!         let Some(node) = nodes.get_mut(&saved.shard) else { continue };
//!         node.on_persist_ready(saved.number);
//!         if let Some(index) = saved.snapshot {
//!             // load(engine.snapshots().newest(saved.shard)?);
//!             applied.insert(saved.shard, index);
//!             node.advance_apply_to(index); // and not before it is durable
//!             node.store().applied_to(index)?;
//!         }
//!     }
//! }
//! # drop(nodes);
//! # engine.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The synchronous loop calls [`Writer::write`] in the place of `submit`, sends what is saved, and then calls
//! `advance`, whose `LightReady` goes into the next round by [`Round::commit`]. The example `members` beside this crate
//! is that loop, with a group that grows and the way of a snapshot; it is one of the tests.
//!
//! - [`Round::save`] comes before the `Ready` is given to `advance` or `advance_append_async`.
//! - [`Round::conf_state`] comes once `apply_conf_change` has given it, in the round of its `Ready` or the next one:
//!   before [`Group::applied_to`], [`Group::snapshot_spec`], and whatever else says that its index is applied.
//! - [`Group::applied_to`] comes once entries are applied, or a snapshot is loaded, and never sooner: they may be
//!   compacted from then on.
//! - [`Group::received`] comes before the core is given the `MsgSnapshot`, and [`Group::sent`] wherever
//!   `report_snapshot` is called, whatever came of it.
//!
//! # What is where
//!
//! | of raft-rs | in the engine |
//! |---|---|
//! | an entry | an entry: index, term, type, context and data apart, so that reading is slicing, not decoding |
//! | term and vote | the shard's hard state, durable with the entries of the same `Ready`, in one atomic batch |
//! | the commit index | with term and vote where these move, else the shard's commit hint, which costs no sync |
//! | `ConfState` | a key for each index at which it has changed: a core begins with that of what is applied |
//! | a snapshot | a file beside the log; `Snapshot::data` is its manifest |
//!
//! Groups from another storage come by an [`Import`], without a `Ready`.
//!
//! A field of an entry that raft-rs 0.7 does not know is not kept. A context has at most 65,535 bytes, and an entry a
//! quarter of a segment.
//!
//! # Reading
//!
//! Reads of entries in the engine's recent tail are answered from memory:
//! [`Config::cache_bytes`](logboom::Config::cache_bytes) for all groups together, 64 MiB by default. Unapplied entries
//! are hardly ever older. Older entries are read from the disk in the core's thread, unless the group has a
//! [fetcher](Group::fetching) and the core can wait, which it can when it replicates to a follower that lags. The data
//! of an entry is never copied: it shares the memory that was written from or read into.
//!
//! # Snapshots
//!
//! The application saves its state to [`Snapshots::build`](logboom::Snapshots::build) with [`Group::snapshot_spec`],
//! and [registers](Group::register) it; then the log can be [compacted](Group::compact_through). A core that has to
//! send one gets the newest, or is told to ask again later, while [`Group::snapshot_wanted`] asks for one. A core
//! rejects a snapshot whose configuration does not contain it, so a member that joins after the newest snapshot needs a
//! new one: of the index that added it, or later.
//!
//! | sender | receiver |
//! |---|---|
//! | `MsgSnapshot` goes out; its data is the manifest | [`Group::receive`], before the core sees the message |
//! | the chunks of [`Group::sending`] go beside it | [`Receiver::accept`](logboom::snapshot::Receiver::accept) each |
//! | | [`Group::received`], and then the message goes to the core |
//! | `report_snapshot`, and [`Group::sent`] | a `Ready` has it: [`Round::save`] makes it the group's |
//! | | [`Saved::snapshot`]: the application loads it |
//!
//! # Fail stop
//!
//! After a failed write or sync of the log nothing is reported as saved any more: [`Writer`] returns
//! [`logboom::Error::Poisoned`], and keeps the messages that it has not released. So votes and acknowledgements that
//! might not survive are never sent. raft-rs cannot take a `Ready` back: to continue, reopen the engine and the group.
//!
//! A shard that is found to have lost data goes into quarantine while its node runs, and takes no writes. A round is
//! then saved without that group, and [`Writer::submit`] and [`Writer::write`] name it in [`LeftOut`]. The other groups
//! are saved, and their messages are released. The group has [failed](Group::failure), and every later round leaves it
//! out, even after its quarantine has ended: reopen it with a new node.
//!
//! A failed *read* is different, since raft-rs panics for most answers that it does not expect:
//!
//! | what fails | what the core is told |
//! |---|---|
//! | opening: a log that contradicts itself, lost records | [`Group::open`] gives an [`Error`], and no node begins |
//! | entries for a follower | to wait: it asks again when it hears from the follower |
//! | the term of a lost entry | the term where it is known; else that it is compacted: it sends a snapshot |
//! | a snapshot for a follower | to wait |
//! | entries to apply, or to look for changes of the configuration in | the error: **it panics** |
//!
//! In each case but a known term the first failure is [`Group::failure`]. A process with many groups that wants to
//! outlive the last row runs its nodes behind [`catch_unwind`](std::panic::catch_unwind) and drops the node that has
//! panicked; the log is whole, and other groups are not concerned.
//!
//! Entries above the [applied](Group::applied_to) index are never compacted, once the application has reported it.

#![forbid(unsafe_code)]

mod error;
mod state;
mod entry;
mod group_state;
mod fetch;
mod group;
mod import;
mod storage;
mod snapshots;
mod left_out;
mod round;
mod writer;

pub use error::{Error, Result};
pub use fetch::{Fetch, Fetched};
pub use group::Group;
pub use import::Import;
pub use left_out::LeftOut;
pub use round::{Round, Saved};
pub use writer::Writer;
