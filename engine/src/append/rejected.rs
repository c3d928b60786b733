//! A refused batch.

use std::fmt;

use crate::{append::batch::Batch, types::error::Error};

/// A batch that [`Engine::try_submit`](crate::Engine::try_submit) refused, to be submitted again or dropped. As an
/// error it has the text and the source of [`Rejected::error`].
#[derive(Debug)]
pub struct Rejected<'a> {
    /// The batch, unchanged.
    pub batch: Batch<'a>,
    /// Why it was refused; [`Error::Busy`] if only for the moment.
    pub error: Error,
}

impl fmt::Display for Rejected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Rejected<'_> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}
