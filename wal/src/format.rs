//! Formats: the bytes of records and groups, which know nothing of files; and the options of a log.

pub(crate) mod framing;
pub(crate) mod record;
pub(crate) mod group;
pub(crate) mod echo;
pub(crate) mod options;
pub(crate) mod crc;
pub(crate) mod footer_bound;
