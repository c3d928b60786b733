//! How a store works.

/// How a group's log is read.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most entries that are read at once for one message to another node, or for one step of applying. Openraft
    /// has a limit of its own as well. Default: 1024; 0 is taken as 1.
    pub message_entries_max: u64,
    /// The most bytes of payload that such a read has, but for a single entry that has more. Default: 1 MiB.
    pub message_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { message_entries_max: 1024, message_bytes_max: 1 << 20 }
    }
}
