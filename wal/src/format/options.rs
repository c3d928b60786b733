//! The options of a log.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    format::footer_bound::FooterBound,
    types::{damage::Damage, error::Error},
};

/// The range of segment sizes, in bytes; both ends are allowed.
pub const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 256 << 10..=1 << 30;

/// The smallest bound of a log, in segments: the reserve, the active ones, and some to reclaim.
pub const SPACE_SEGMENTS_MIN: u64 = 8;
/// The most segments in reserve: more would keep the device from other work, and no burst needs them.
pub const RESERVE_SEGMENTS_MAX: usize = 4096;

/// Options of a log; an existing log keeps the sizes that it was created with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size of a segment file in bytes, a power of two in [`SEGMENT_BYTES`]. Fixed when the log is created.
    pub segment_bytes: u64,
    /// Segments that are prepared in advance, at most [`RESERVE_SEGMENTS_MAX`], besides three that are kept back: one
    /// for the next opening and, on a full device, one to move records to and one for the records that free space.
    pub reserve_segments: usize,
    /// The most bytes that segment files may take in total, prepared ones included: at least [`SPACE_SEGMENTS_MIN`] of
    /// the log's segments. A log that has more deletes the segments that it does not use. `u64::MAX` for no bound.
    pub space_bytes_max: u64,
    /// Bytes of the most recent records that stay in memory for readers.
    pub cache_bytes: u64,
    /// Bytes that are read ahead of sequential reads of full segments, and kept until those get there; 0 to read
    /// nothing ahead.
    pub read_ahead_bytes: u64,
    /// The most bytes that are accepted and not yet durable.
    pub admission_bytes: u64,
    /// The age at which a lazy batch is written even if nothing else is.
    pub lazy_age: Duration,
    /// How long after its last group an idle log writes an empty group, which states that everything before it is
    /// durable.
    pub idle_promise: Duration,
    /// Operations of the disk that take longer are reported; not zero.
    pub stall_after: Duration,
    /// The period in which the scrubber reads all full segments once; none for no scrubbing.
    pub scrub_period: Option<Duration>,
    /// The space in each segment that the layer above needs for its footer.
    pub footer: FooterSpace,
    /// Whether to create a log in an empty directory.
    pub create: bool,
    /// Receives events.
    pub listener: Arc<dyn Listener>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            reserve_segments: 2,
            space_bytes_max: u64::MAX,
            cache_bytes: 64 << 20,
            read_ahead_bytes: 64 << 20,
            admission_bytes: 64 << 20,
            lazy_age: Duration::from_millis(50),
            idle_promise: Duration::from_millis(100),
            stall_after: Duration::from_secs(2),
            scrub_period: Some(Duration::from_secs(24 * 60 * 60)),
            footer: FooterSpace::default(),
            create: true,
            listener: Arc::new(NoListener),
        }
    }
}

impl Options {
    /// Checks the options that do not depend on the log.
    ///
    /// # Errors
    /// [`Error::Unsupported`], which names the field.
    pub fn check(&self) -> Result<(), Error> {
        let Self { segment_bytes, .. } = self;
        if !SEGMENT_BYTES.contains(segment_bytes) || !segment_bytes.is_power_of_two() {
            let (least, most) = (SEGMENT_BYTES.start(), SEGMENT_BYTES.end());
            let what = format!("segment_bytes is {segment_bytes}, it must be a power of two from {least} to {most}");
            return Err(Error::Unsupported(what));
        }
        let refused = [
            (
                self.reserve_segments > RESERVE_SEGMENTS_MAX,
                format!("reserve_segments is {}, {RESERVE_SEGMENTS_MAX} are the most", self.reserve_segments),
            ),
            (self.admission_bytes == 0, "admission_bytes is 0, nothing could ever be accepted".to_owned()),
            (self.stall_after.is_zero(), "stall_after is 0, every operation would be a stall".to_owned()),
        ];
        match refused.into_iter().find(|(is_refused, _)| *is_refused) {
            Some((_, what)) => Err(Error::Unsupported(what)),
            None => Ok(()),
        }
    }

    /// Checks the options against the segment size: of the existing log, or of the one to create.
    ///
    /// # Errors
    /// [`Error::Unsupported`], which names the field.
    pub fn check_for(&self, segment_bytes: u64) -> Result<(), Error> {
        let least = SPACE_SEGMENTS_MIN * segment_bytes;
        let max = self.space_bytes_max;
        if max >= least {
            return Ok(());
        }
        let what = format!("space_bytes_max is {max}, it must be {least} at least: {SPACE_SEGMENTS_MIN} segments");
        Err(Error::Unsupported(format!("{what} of the log's {segment_bytes} bytes")))
    }
}

/// An upper bound of a footer's size in bytes: `fixed + per_record * records + per_range * min(records, ranges)`.
///
/// The log keeps that many bytes free at the end of each segment, for the records in it and the
/// [`RangeCounts`](crate::RangeCounts) that they were reserved with.
#[derive(Clone, Copy, Debug, Default)]
pub struct FooterSpace {
    /// Bytes of every footer.
    pub fixed: usize,
    /// Bytes for each record of the segment.
    pub per_record: usize,
    /// Bytes for each range without a gap of one owner's numbers.
    pub per_range: usize,
}

impl FooterSpace {
    pub(crate) fn bytes(&self, bound: FooterBound) -> usize {
        let FooterBound { records, ranges } = bound;
        self.fixed + self.per_record * records + self.per_range * records.min(ranges)
    }
}

/// Receives events that no caller waits for. The opening thread calls `recovering`; a thread that does nothing else
/// makes all other calls, in order and with no lock held. A listener may use and close the log. Its panics are caught.
pub trait Listener: Send + Sync + fmt::Debug {
    /// The opening has read `done` of about `total` bytes.
    fn recovering(&self, done: u64, total: u64) {
        let _ = (done, total);
    }

    /// An operation of the device has been waiting for `waiting`; called again each time that doubles, and with zero
    /// when it is over.
    fn stalled(&self, waiting: Duration) {
        let _ = waiting;
    }

    /// The scrubber found damage. Reads of those bytes fail as well.
    fn damaged(&self, damage: &Damage) {
        let _ = damage;
    }

    /// The log was poisoned: nothing is acknowledged any more.
    fn poisoned(&self, error: &Error) {
        let _ = error;
    }

    /// A panic was caught, with this message. `what` names a waker, a callback or a listener, whose panic has no other
    /// effect; or a thread or a machine of the log, which ended.
    fn panicked(&self, what: &str, message: &str) {
        let _ = (what, message);
    }
}

#[derive(Debug)]
struct NoListener;

impl Listener for NoListener {}
