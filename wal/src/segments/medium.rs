//! The disk, the buffers and the framing of a log, which all access to its files needs.

use std::sync::Arc;

use logboom_disk::{Disk, Pool};

use crate::format::framing::Framing;

/// The disk, the buffers and the framing of one log.
#[derive(Clone)]
pub(crate) struct Medium {
    pub(crate) disk: Arc<dyn Disk>,
    /// The pool of buffers for reads and writes.
    pub(crate) pool: Pool,
    pub(crate) framing: Framing,
}
