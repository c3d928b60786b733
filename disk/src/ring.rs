//! Operations in flight through io_uring.

mod alarm;
mod driver;
mod files;
mod flight;
mod queue;
mod readers;
mod setup;

pub(crate) use queue::RingQueue;
pub(crate) use readers::Readers;
pub(crate) use setup::{Issuer, probe};
