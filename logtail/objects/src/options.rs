//! Options of a store.

use std::time::Duration;

use logboom_logtail_core::store::{QueueOptions, RetryPolicy};

/// How a store is opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Whether for writing.
    pub access: Access,
    /// Whether the log says that it has objects there: a store without a marker is another one then, such as the mount
    /// point of a file system that is not mounted, and is refused.
    pub has_objects: bool,
    /// The most attempts in flight. A get of ranges that lie far apart can send up to ten requests in one.
    pub in_flight_max: usize,
    /// When puts, lists and deletes are tried again.
    pub writes: RetryPolicy,
    /// When gets are tried again.
    pub reads: RetryPolicy,
    /// How long opening tries to reach the store.
    pub open_patience: Duration,
    /// When an attempt is taken for lost: after this, and the time that its bytes take at the slowest.
    pub timeout: Duration,
    /// The slowest that the bytes of an attempt move, while all others move too.
    pub bytes_per_second_min: u64,
    /// Settings of the cloud's client by their names in `object_store`, such as `aws_endpoint`. They come before those
    /// of the environment (`AWS_ACCESS_KEY_ID` and its like).
    pub settings: Vec<(String, String)>,
}

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// All requests. The store becomes the log's with the first opening.
    Write,
    /// Gets and lists. The store has to be the log's already.
    Read,
}

impl Default for Options {
    /// For writing, by a log that may be new; 16 attempts in flight, reads given up after a minute, writes never;
    /// opening tries for 30 s, and attempts have 30 s and move 256 KiB a second.
    fn default() -> Self {
        let queue = QueueOptions::default();
        Self {
            access: Access::Write,
            has_objects: false,
            in_flight_max: queue.in_flight_max,
            writes: queue.writes,
            reads: queue.reads,
            open_patience: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            bytes_per_second_min: 256 << 10,
            settings: Vec::new(),
        }
    }
}
