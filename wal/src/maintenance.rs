//! What the log does by itself: it fills segments with zeros, promises when it goes idle, reads for rot, and looks
//! after its lock and its device.

pub(crate) mod housekeeping;
pub(crate) mod scrub;
pub(crate) mod prefill;
pub(crate) mod guard;
