//! Names, limits and errors, which every other module uses.

pub(crate) mod ids;
pub(crate) mod limits;
pub(crate) mod delta;
pub(crate) mod config;
pub(crate) mod error;
pub(crate) mod refusal;
pub(crate) mod payload;
pub(crate) mod ranges;
pub(crate) mod observer;
