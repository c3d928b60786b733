//! Options of a log store.

/// How a group's log is read. Fields are assigned after [`default`](Default::default).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The most entries per message to another node, or per step of applying. Openraft has its own limit too. Default:
    /// 1024; 0 counts as 1.
    pub message_entries_max: u64,
    /// The most bytes of payload of such a read; a single larger entry is read alone. Default: 1 MiB.
    pub message_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { message_entries_max: 1024, message_bytes_max: 1 << 20 }
    }
}
