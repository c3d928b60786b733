//! The write-ahead log below Logboom: it makes bytes durable.
//!
//! The log puts the records of many owners in one order, frames them in groups, writes them with direct IO to segments
//! that it prepared in advance, and acknowledges a group when a sync has covered it and all groups before it. Recovery
//! tells a torn tail from damage by the watermarks that later groups state (*promises*). `FORMAT.md` beside this crate
//! states the bytes on disk.
//!
//! The log knows nothing of raft: an *owner* is a number, and the layer above interprets the records. That layer also
//! supplies the contents of the footers that seal segments, and of the checkpoints that keep openings short.
//!
//! Modules stand in this order: the handles, *recovery*, *maintenance*, and the data path, from [`Wal::reserve`] and
//! the committer (*group_commit*) through reads down to segments and their bytes. Each uses only modules that follow
//! it.

#![forbid(unsafe_code)]

mod wal;
mod open;
mod start;
mod copy;
mod sealing;
mod recovery;
mod maintenance;
mod group_commit;
mod read;
mod scan;
mod segments;
mod format;
mod runtime;
mod types;
#[cfg(all(loom, test))]
mod models;
#[cfg(feature = "fuzz")]
pub mod fuzz;

pub use copy::{CopyReport, Copying};
pub use format::footer_bound::{FooterBound, RangeCounts};
pub use format::options::{FooterSpace, Listener, Options, RESERVE_SEGMENTS_MAX, SEGMENT_BYTES, SPACE_SEGMENTS_MIN};
pub use format::record::{BodyWriter, Meta, RECORD_HEADER, Record, Written, record_bytes};
pub use group_commit::admission::Permit;
pub use group_commit::append::{Durability, Request, Reservation};
pub use group_commit::health::WalHealth;
pub use group_commit::metrics::WalMetrics;
pub use group_commit::ticket::Ticket;
pub use group_commit::wakers::Wakers;
pub use read::access_pattern::NEAR;
pub use recovery::find_identity::{recognise, restore_identity};
pub use recovery::opening::{Opening, RecoveryReport, TornTail, open, open_read_only};
pub use recovery::reader::Reader;
pub use recovery::verify::{VerifyReport, verify};
pub use runtime::faults::SegmentRot;
pub use runtime::foreign::guarded;
pub use runtime::worker::{Clock, EndedMachine, Machine, ManualClock, Runtime, Step, SystemClock, Worker};
pub use scan::scanned::{Loss, Scanned};
pub use scan::verdict::{Evidence, Header, Verdict};
pub use segments::footer::FooterParts;
pub use segments::identity::FORMAT_VERSION;
pub use segments::segment::SegmentInfo;
pub use types::damage::{Damage, DamageKind, Descriptor, OddFile};
pub use types::error::{Capacity, Error};
pub use types::identity_fault::IdentityFault;
pub use types::ids::{GROUP_RECORDS_MAX, Place, SegmentId, Sequence};
#[doc(hidden)]
pub use types::{marks, mutants};
pub use wal::Wal;
