//! The bytes of records and groups, and what bounds them.

pub(crate) mod framing;
pub(crate) mod record;
pub(crate) mod group;
pub(crate) mod echo;
pub(crate) mod options;
pub(crate) mod crc;
pub(crate) mod listed;
