//! Recovery: finds the files of the log, decides which groups count, and reports what is lost.

pub(crate) mod opening;
pub(crate) mod replay;
pub(crate) mod cold;
pub(crate) mod discover;
pub(crate) mod lost_end;
pub(crate) mod find_identity;
pub(crate) mod identity_check;
pub(crate) mod reader;
pub(crate) mod verify;
