//! `Medium`: the directory of a log's snapshots, and the memory for reading and writing them.

use std::sync::Arc;

use logboom_disk::{Disk, Pool};

/// Idle memory that is kept for the next blocks, in bytes.
const IDLE_BYTES_MAX: usize = 16 << 20;

/// See the module.
pub(crate) struct Medium {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) pool: Pool,
    /// The identity of the log, which seeds checksums of this log's containers.
    pub(crate) log: [u64; 2],
}

impl Medium {
    pub(crate) fn new(disk: Arc<dyn Disk>, log: [u64; 2]) -> Self {
        Self { disk, pool: Pool::new(IDLE_BYTES_MAX), log }
    }

    /// The alignment of writes and offsets, in bytes.
    pub(crate) fn pad(&self) -> usize {
        self.disk.facts().pad_unit
    }
}

/// The name of the file of a complete snapshot.
pub(crate) fn complete_name(number: u64) -> String {
    format!("{COMPLETE}{number:016x}")
}

/// Prefixes of file names.
pub(crate) const COMPLETE: &str = "snapshot-";
pub(crate) const BUILDING: &str = "building-";
pub(crate) const RECEIVING: &str = "receiving-";
