//! Chooses the segment that reclaiming empties next, and decides whether it is worth it.
//!
//! Cost-benefit selection: the most space gained for each byte read and written, older segments preferred, because
//! young ones lose their live entries by themselves (Rosenblum and Ousterhout, "The Design and Implementation of a
//! Log-Structured File System", TOCS 10(1), 1992, section 3.6).

use std::collections::BTreeSet;

use logboom_wal::{SegmentId, SegmentInfo, WalMetrics};

use crate::maintenance::{core::Core, reclaim_at_open::FREE_SEGMENTS_MAX};

/// Segments that may be in use without live entries: the active one and the active cold one.
pub(crate) const RESERVE_SEGMENTS: u64 = 2;
/// Space amplification at which reclaiming starts: bytes in use beyond the reserve for bytes live, as a quotient.
const SPACE: (u64, u64) = (5, 4);
/// Space amplification at which reclaiming takes half of the time: bytes in use beyond twice the reserve for bytes
/// live, as a quotient.
const SHORT: (u64, u64) = (3, 2);
/// Write amplification cap: bytes moved for bytes appended, as a quotient, plus the reserve.
const MOVED: (u64, u64) = (1, 4);
/// A segment is worth emptying if at most this share of it is live, as a quotient.
const LIVE: (u64, u64) = (1, 2);

/// A segment is nearly empty if at most this share of it is live, as a quotient.
const SPARSE: (u64, u64) = (1, 16);

/// Which segments are worth emptying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Those that keep space amplification in bounds, within the cap of write amplification.
    Due,
    /// All that free at least half of their space.
    Asked,
    /// Those that are nearly empty, so that an opening is fast; in a log that is close to its limit, as `Asked`.
    Opening,
}

/// A segment in use.
struct Candidate {
    info: SegmentInfo,
    live: u64,
    /// The number of segments that were begun since, this one included.
    age: u64,
}

/// The segments in use, and how much of them is live.
struct LogUsage {
    candidates: Vec<Candidate>,
    /// In bytes, like the next two fields.
    live: u64,
    in_use: u64,
    segment: u64,
}

/// The segment to empty next, if any, outside `excluded`.
pub(crate) fn choose(core: &Core, excluded: &BTreeSet<SegmentId>, urgency: Urgency) -> Option<SegmentId> {
    let usage = LogUsage::of(core);
    let size = usage.segment;
    // Close to its limit, the log needs space at any cost.
    let is_tight = usage.is_tight(core);
    if urgency == Urgency::Due && !is_tight && !usage.exceeds(SPACE, RESERVE_SEGMENTS) {
        return None;
    }
    let urgency = if is_tight && urgency == Urgency::Due { Urgency::Asked } else { urgency };
    let most = if urgency == Urgency::Opening && !core.wal.is_tight() { SPARSE } else { LIVE };
    let metrics = core.wal.metrics();
    let may = |candidate: &&Candidate| {
        let Candidate { info, live, .. } = candidate;
        let is_ripe = is_full(core, info) && *live > 0 && !excluded.contains(&info.id);
        is_ripe && live * most.1 <= size * most.0 && (urgency != Urgency::Due || is_affordable(&metrics, *live, size))
    };
    let best = usage.candidates.iter().filter(may).max_by_key(|candidate| worth(size, candidate.live, candidate.age));
    best.map(|candidate| candidate.info.id)
}

/// A damaged segment to empty next, if any, however much of it is live.
pub(crate) fn choose_damaged(
    core: &Core,
    damaged: &BTreeSet<SegmentId>,
    excluded: &BTreeSet<SegmentId>,
) -> Option<SegmentId> {
    if damaged.is_empty() {
        return None;
    }
    let segments = core.wal.segments();
    let mut may = segments.iter().filter(|info| damaged.contains(&info.id) && !excluded.contains(&info.id));
    may.find(|info| is_full(core, info) && core.usage.live(info.id).bytes > 0).map(|info| info.id)
}

/// Whether its footer has the places of its live entries, or it cannot get one and they stay in memory.
fn is_full(core: &Core, info: &SegmentInfo) -> bool {
    let is_sealed = info.footer && core.usage.is_sealed(info.id);
    !info.active && (is_sealed || info.unsealable)
}

/// Whether the log is close to its limit, or full at this moment.
pub(crate) fn is_tight(core: &Core) -> bool {
    LogUsage::of(core).is_tight(core) || !core.wal.has_room()
}

/// Whether so much is in use that reclaiming takes half of the time: see [`Pace`](super::pace::Pace).
pub(crate) fn is_short(core: &Core) -> bool {
    LogUsage::of(core).exceeds(SHORT, 2 * RESERVE_SEGMENTS)
}

/// Whether more is in use than an opening may leave.
pub(crate) fn is_crowded(core: &Core) -> bool {
    LogUsage::of(core).exceeds(SPACE, RESERVE_SEGMENTS + FREE_SEGMENTS_MAX)
}

impl LogUsage {
    fn of(core: &Core) -> Self {
        let (segments, segment) = (core.wal.segments(), core.wal.segment_bytes());
        let count = segments.len() as u64;
        // Cold ones come first: they are the oldest.
        let candidate = |(age, info): (u64, SegmentInfo)| {
            let live = core.usage.live(info.id).bytes;
            Candidate { info, live, age }
        };
        let candidates: Vec<Candidate> = (1..=count).rev().zip(segments).map(candidate).collect();
        let live = candidates.iter().map(|candidate| candidate.live).sum();
        Self { candidates, live, in_use: count * segment, segment }
    }

    fn is_tight(&self, core: &Core) -> bool {
        self.in_use + 2 * RESERVE_SEGMENTS * self.segment > core.wal.space_bytes_max()
    }

    /// Whether more bytes are in use than `times` the live ones plus `segments` segments.
    fn exceeds(&self, times: (u64, u64), segments: u64) -> bool {
        self.in_use > self.live * times.0 / times.1 + segments * self.segment
    }
}

/// Whether moving `live` bytes stays within the cap of write amplification.
fn is_affordable(metrics: &WalMetrics, live: u64, size: u64) -> bool {
    metrics.moved_bytes + live <= metrics.written_bytes * MOVED.0 / MOVED.1 + RESERVE_SEGMENTS * size
}

/// The bytes gained for each byte read and written, times the age.
fn worth(size: u64, live: u64, age: u64) -> u64 {
    let gain = u128::from(size.saturating_sub(live)) * u128::from(age);
    u64::try_from((gain << 16) / u128::from(size + live)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emptier_and_older_segments_are_worth_more() {
        assert!(worth(100, 10, 5) > worth(100, 20, 5));
        assert!(worth(100, 10, 6) > worth(100, 10, 5));
        assert!(worth(100, 40, 30) > worth(100, 5, 3), "an old one that will not empty itself");
        assert_eq!(worth(100, 100, 9), 0);
        assert!(worth(1 << 30, 0, u64::MAX) > 0);
    }

    #[test]
    fn moved_bytes_are_capped_by_appended_bytes() {
        let metrics = |written_bytes, moved_bytes| {
            let mut metrics = WalMetrics::default();
            (metrics.written_bytes, metrics.moved_bytes) = (written_bytes, moved_bytes);
            metrics
        };
        let most = 1000 + RESERVE_SEGMENTS * 100 - 900;
        assert!(is_affordable(&metrics(4000, 900), most, 100));
        assert!(!is_affordable(&metrics(4000, 900), most + 1, 100));
    }
}
