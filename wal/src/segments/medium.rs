//! Where the bytes of a log are, and how they are framed.

use std::sync::Arc;

use logboom_disk::{Disk, Pool};

use crate::format::framing::Framing;

/// What reading and writing any file of one log takes.
#[derive(Clone)]
pub(crate) struct Medium {
    pub(crate) disk: Arc<dyn Disk>,
    /// The memory that is read into, and written from.
    pub(crate) pool: Pool,
    pub(crate) framing: Framing,
}
