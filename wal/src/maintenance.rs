//! Background work of the log: preparing segments, promises of an idle log, scrubbing, and monitoring the lock and the
//! device.

pub(crate) mod housekeeping;
pub(crate) mod scrub;
pub(crate) mod prefill;
pub(crate) mod guard;
