//! Operations and entries as records of the log.

pub(crate) mod operation;
pub(crate) mod extent;
pub(crate) mod entry_table;
pub(crate) mod archive;
pub(crate) mod buffers;
