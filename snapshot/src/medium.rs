//! Where the snapshots of a log lie, and the memory that they are read and written by.

use std::sync::Arc;

use logboom_disk::{Disk, Pool};

/// Memory that is kept for the next blocks.
const IDLE_BYTES_MAX: usize = 16 << 20;

/// See the module.
pub(crate) struct Medium {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) pool: Pool,
    /// The identity of the log; seeds what is this log's alone.
    pub(crate) log: [u64; 2],
}

impl Medium {
    pub(crate) fn new(disk: Arc<dyn Disk>, log: [u64; 2]) -> Self {
        Self { disk, pool: Pool::new(IDLE_BYTES_MAX), log }
    }

    /// Bytes that writes and offsets are multiples of.
    pub(crate) fn pad(&self) -> usize {
        self.disk.facts().pad_unit
    }
}

/// The name of the file of a complete snapshot.
pub(crate) fn complete_name(number: u64) -> String {
    format!("{COMPLETE}{number:016x}")
}

/// What the names of files begin with.
pub(crate) const COMPLETE: &str = "snapshot-";
pub(crate) const BUILDING: &str = "building-";
pub(crate) const RECEIVING: &str = "receiving-";
