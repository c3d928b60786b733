//! Bytes to durable bytes: the write-ahead log below Logboom.
//!
//! Records of many owners are put in one order, framed in groups, written with direct IO into segments that were
//! prepared ahead, and acknowledged in order when one sync has covered them all. Recovery tells a torn tail from damage
//! by the promises that groups carry. The bytes on disk are laid out in `FORMAT.md` beside this crate.
//!
//! The log has never heard of raft: an *owner* is a number, and what a record means is the business of the layer
//! above, which also brings the footers that seal segments and the checkpoints that make opening short.
//!
//! The modules stand in order: the handles, *recovery*, *maintenance*, and the data path, from [`Wal::reserve`] and the
//! committer (*group_commit*) over reads to segments and their bytes. Each uses those that stand behind it.

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
pub use format::listed::{Listed, Stretches};
pub use format::options::{FooterSpace, Listener, Options, RESERVE_SEGMENTS_MAX, SEGMENT_BYTES, SPACE_SEGMENTS_MIN};
pub use format::record::{BodyWriter, Meta, RECORD_HEADER, Record, Written, record_bytes};
pub use group_commit::admission::Permit;
pub use group_commit::append::{Durability, Request, Reservation};
pub use group_commit::health::WalHealth;
pub use group_commit::metrics::WalMetrics;
pub use group_commit::ticket::Ticket;
pub use group_commit::wakers::Wakers;
pub use read::access_pattern::NEAR;
pub use recovery::naming::{recognise, restore_identity};
pub use recovery::opening::{Cut, Opening, RecoveryReport, open, open_read_only};
pub use recovery::reader::Reader;
pub use recovery::verify::{VerifyReport, verify};
pub use runtime::faults::Rot;
pub use runtime::foreign::guarded;
pub use runtime::worker::{Clock, Ended, Machine, ManualClock, Runtime, Step, Worker};
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
