//! Object storage, in values: requests, what becomes of them, and when each is tried again. No IO, threads or clocks.
//!
//! A caller makes a [`Request`] and gets one [`Outcome`]. Between the two stands the [`StoreQueue`]: it says which
//! [`Attempt`]s to make when, takes the [`Answer`]s, and settles what an answer leaves open. The driver that carries
//! attempts out decides nothing: the simulated store (module `sim`, with the feature of that name) runs under the same
//! queue as a real one, and `conformance` checks both.
//!
//! # What a store is held to
//!
//! A name is created once, ever, and its content never changes. So nothing that was read can become stale, and a put
//! that is repeated cannot undo anything. A caller keeps its half by naming objects with an
//! [`ObjectId`](crate::ObjectId), and by not naming another object like one that it has deleted.
//!
//! - [`Request::Put`] has succeeded when the name has these bytes, durably: a power cut of the machine does not undo
//!   it, or the service has made all the copies that it promises. For its errors see below.
//! - [`Request::Get`] has succeeded when all bytes of all ranges are there. That they are right is for the caller to
//!   verify.
//! - [`Request::List`] is a page of names in order. One that is put or deleted meanwhile may be in it or not, and a
//!   store may leave names out for a while: a listing confirms, and decides nothing.
//! - [`Request::Delete`] has succeeded when the name is gone, or never was. A power cut can bring back an object of a
//!   local directory, so a delete that something relies on is repeated after an opening. After an error the object may
//!   be gone or not.
//!
//! # A put whose answer is lost
//!
//! After a timeout, a cut connection, or a conflict with a put in flight, the put may have landed, may land later, or
//! never. [`PutMachine`] settles it by reading the name back: the same content is success, other content is another
//! writer's ([`StoreErrorKind::Foreign`]), and where there is none it puts again. An error that a put ends with says
//! the following of its name:
//!
//! - [`StoreErrorKind::Foreign`]: it has other content, for good.
//! - Any other: it has these bytes, or none yet, or none ever. To find out, put the same bytes again.
//!
//! # Outages
//!
//! A request that the store refuses for now, or until somebody has repaired something (a token that has expired, a
//! right that is missing, a disk that is full), is tried again: without end where [`RetryPolicy::patience`] sets none.
//! [`StoreHealth`] says since when that has been so, and why.

mod attempt;
mod error;
mod health;
mod marker;
mod name;
mod object_name;
mod object_store;
mod put;
mod queue;
mod request;
mod retry;

pub use attempt::{Answer, Attempt, Content};
pub use error::{Operation, StoreError, StoreErrorKind};
pub use health::StoreHealth;
pub use marker::{Marker, MarkerError};
pub use name::{Name, NotAName};
pub use object_name::{NotAnObjectName, ObjectName};
pub use object_store::ObjectStore;
pub use put::{PutMachine, PutStep};
pub use queue::{IdInUse, QueueOptions, StoreQueue};
pub use request::{Listed, Outcome, Page, Reply, Request, RequestId, Urgency};
pub use retry::{Retry, RetryPolicy, Verdict};

#[cfg(feature = "sim")]
pub mod conformance;
#[cfg(feature = "sim")]
pub mod sim;
