//! Identifiers and errors, which all other modules use.

pub(crate) mod ids;
pub(crate) mod error;
pub(crate) mod damage;
pub(crate) mod identity_fault;
#[doc(hidden)]
pub mod marks;
#[doc(hidden)]
pub mod mutants;
