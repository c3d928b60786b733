//! Bytes to durable bytes: the write-ahead log below Logboom.
//!
//! Records of many owners are put in one order, framed in groups, written with direct IO into segments that were
//! prepared ahead, and acknowledged in order when one sync has covered them all. Recovery tells a torn tail from damage
//! by the promises that groups carry. The bytes on disk are laid out in `FORMAT.md` beside this crate.
//!
//! The log has never heard of raft: an *owner* is a number, and what a record means is the business of the layer
//! above, which also brings the footers that seal segments and the checkpoints that make opening short.
//!
//! The modules stand in the order of the data path: [`Wal::reserve`] (*append*), the committer (*group_commit*), the
//! recent tail and cold reads (*read*), segments and their supply, recovery.

#![forbid(unsafe_code)]

mod sync;
#[doc(hidden)]
pub mod marks;
#[doc(hidden)]
pub mod mutants;

mod foreign;
mod due;
mod wakers;
mod ids;
mod error;
mod options;
mod record;
mod group;
mod echo;
mod segment;
mod holes;
mod footer;
mod crc;
mod identity;
mod admission;
mod listed;
mod append;
mod asleep;
mod group_commit;
mod watermark;
mod ticket;
mod recent;
mod trail;
mod ahead;
mod prefetch;
mod plan;
mod read;
mod slots;
mod supply;
mod prefill;
mod cold;
mod worker;
mod notices;
mod watched;
mod watched_queue;
mod watch;
mod guard;
mod scrub;
mod copy;
mod metrics;
mod health;
mod shared;
mod drive;
mod close;
mod start;
mod damage;
mod window;
mod scan;
mod salvage;
mod verdict;
mod claim;
mod identity_fault;
mod naming;
mod base;
mod recovery;
mod discover;
mod census;
mod find_cold;
mod replay;
mod lost_end;
mod reader;
mod sealing;
mod verify;
mod wal;
mod open;
mod device_watch;
mod aside;
mod heads;
mod rows;
mod telling;
mod passed;
mod read_open;
#[cfg(all(loom, test))]
mod models;
#[cfg(feature = "fuzz")]
pub mod fuzz;

pub use admission::Permit;
pub use ahead::NEAR;
pub use append::{Durability, Request, Reservation};
pub use copy::{CopyReport, Copying};
pub use damage::{Damage, DamageKind, Descriptor, OddFile};
pub use error::{Capacity, Error};
pub use footer::FooterParts;
pub use foreign::guarded;
pub use health::{Rot, WalHealth};
pub use identity::FORMAT_VERSION;
pub use identity_fault::IdentityFault;
pub use ids::{GROUP_RECORDS_MAX, Place, SegmentId, Sequence};
pub use listed::{Listed, Stretches};
pub use metrics::WalMetrics;
pub use naming::{recognise, restore_identity};
pub use options::{FooterSpace, Listener, Options, RESERVE_SEGMENTS_MAX, SEGMENT_BYTES, SPACE_SEGMENTS_MIN};
pub use passed::{Loss, Passed};
pub use reader::Reader;
pub use record::{BodyWriter, Meta, RECORD_HEADER, Record, Written, record_bytes};
pub use recovery::{Cut, Opening, RecoveryReport, open, open_read_only};
pub use segment::SegmentInfo;
pub use ticket::Ticket;
pub use verdict::{Evidence, Header, Verdict};
pub use verify::{VerifyReport, verify};
pub use wakers::Wakers;
pub use wal::Wal;
pub use worker::{Clock, Ended, Machine, ManualClock, Runtime, Step, Worker};
