//! What a log is opened with.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    format::listed::Listed,
    types::{damage::Damage, error::Error},
};

/// The smallest and the largest segment, in bytes.
pub const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 256 << 10..=1 << 30;

/// The fewest segments that a log may be bounded to: those that are kept prepared, the ones that are written, and some
/// to reclaim.
pub const SPACE_SEGMENTS_MIN: u64 = 8;
/// The most segments that are kept prepared: more would take the device from everybody else, and no burst uses them.
pub const RESERVE_SEGMENTS_MAX: usize = 4096;

/// How a log behaves; the sizes of an existing log are its own.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size of a segment file in bytes, a power of two in [`SEGMENT_BYTES`]. Fixed when the log is created.
    pub segment_bytes: u64,
    /// Segments that are kept prepared, besides one for opening and one for draining a full device; at most
    /// [`RESERVE_SEGMENTS_MAX`].
    pub reserve_segments: usize,
    /// The most bytes that segment files may take in all, those that are prepared included: at least
    /// [`SPACE_SEGMENTS_MIN`] of the log's segments. A log that has more gives up what it does not use. `u64::MAX` for
    /// no bound.
    pub space_bytes_max: u64,
    /// Bytes of the recent tail that stay in memory for readers.
    pub cache_bytes: u64,
    /// Bytes that are read ahead of scans in full segments, and kept until these come by; 0 reads nothing ahead.
    pub read_ahead_bytes: u64,
    /// Bytes that may be accepted and not yet durable.
    pub admission_bytes: u64,
    /// The greatest age of a lazy batch before it is written by itself.
    pub lazy_age: Duration,
    /// How long after the last group an idle log states in a group of its own that all is durable.
    pub idle_promise: Duration,
    /// An operation of the disk that lasts longer is reported; not zero.
    pub stall_after: Duration,
    /// How long a background reading of all full segments takes, which finds rot; zero for none.
    pub scrub_period: Duration,
    /// The space that the layer above needs in each segment for its footer.
    pub footer: FooterSpace,
    /// Whether a log is created in an empty directory.
    pub create: bool,
    /// Is told what happens.
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
            scrub_period: Duration::from_secs(24 * 60 * 60),
            footer: FooterSpace::default(),
            create: true,
            listener: Arc::new(Silent),
        }
    }
}

impl Options {
    /// Refuses what works with no log.
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

    /// Refuses what does not work with a log that has segments of `segment_bytes`: its own where there is one, or those
    /// that one is created with.
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

/// An upper bound of a footer's size: `fixed + per_record * records + per_stretch * min(records, stretches)` bytes.
///
/// The log keeps that much free at the end of each segment, for the records in it and the
/// [`Stretches`](crate::Stretches) that these were reserved with.
#[derive(Clone, Copy, Debug, Default)]
pub struct FooterSpace {
    /// Bytes of every footer.
    pub fixed: usize,
    /// Bytes for each record of the segment.
    pub per_record: usize,
    /// Bytes for each stretch of one owner's numbers without a gap.
    pub per_stretch: usize,
}

impl FooterSpace {
    pub(crate) fn bytes(&self, listed: Listed) -> usize {
        let Listed { records, stretches } = listed;
        self.fixed + self.per_record * records + self.per_stretch * records.min(stretches)
    }
}

/// Is told of events that no caller waits for: of all but the progress of opening, which is told in the opening thread,
/// on a thread that does nothing else, in order, and with nothing locked. It may use the log, and close it. Its panics
/// are caught.
pub trait Listener: Send + Sync + fmt::Debug {
    /// Opening has read `done` of about `total` bytes.
    fn recovering(&self, done: u64, total: u64) {
        let _ = (done, total);
    }

    /// The device has not answered for `waiting`; called again each time that doubles, and with zero when it is over.
    fn stalled(&self, waiting: Duration) {
        let _ = waiting;
    }

    /// The background reading came by something durable that is not what was written. Reading it fails as well.
    fn damaged(&self, damage: &Damage) {
        let _ = damage;
    }

    /// The log was poisoned: nothing is acknowledged any more.
    fn poisoned(&self, error: &Error) {
        let _ = error;
    }

    /// Something has panicked, with this message: a waker, a callback, a listener, which costs nothing else; or a
    /// thread or machine of the log's, by its name, which ends with that.
    fn panicked(&self, what: &str, message: &str) {
        let _ = (what, message);
    }
}

#[derive(Debug)]
struct Silent;

impl Listener for Silent {}
