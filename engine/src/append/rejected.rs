//! A refused batch.

use crate::{append::batch::Batch, types::error::Error};

/// A batch that [`Engine::try_submit`](crate::Engine::try_submit) refused, to be submitted again or dropped.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Rejected<'a> {
    /// The batch, unchanged.
    pub batch: Batch<'a>,
    /// Why it was refused; [`Error::Busy`] if only for the moment.
    #[source]
    pub error: Error,
}
