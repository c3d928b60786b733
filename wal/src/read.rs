//! Records by their places: from memory, from what was read ahead, and from the device.

pub(crate) mod cold_read;
pub(crate) mod recent;
pub(crate) mod chunk_cache;
pub(crate) mod access_pattern;
pub(crate) mod read_ahead;
