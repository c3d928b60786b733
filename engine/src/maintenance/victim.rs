//! Which segment is emptied next, and whether it is worth it.
//!
//! The one with the most to gain for what must be written, older ones preferred: what has lived for long is likely to
//! live on, while young segments empty themselves (Rosenblum and Ousterhout, "The Design and Implementation of a
//! Log-Structured File System", TOCS 10(1), 1992, section 3.6).

use std::collections::BTreeSet;

use logboom_wal::{SegmentId, SegmentInfo, WalMetrics};

use crate::maintenance::{core::Core, reclaim_at_open::FREE_SEGMENTS_MAX};

/// Segments that may be in use whatever is live: the one that is written, and the cold one that is written.
pub(crate) const RESERVE_SEGMENTS: u64 = 2;
/// Beyond the reserve, what is in use may be this many times what is live, as a quotient.
const SPACE: (u64, u64) = (5, 4);
/// And twice the reserve and this many times what is live is too much, as a quotient.
const SHORT: (u64, u64) = (3, 2);
/// Of each so many bytes that were appended, so many may be moved, as a quotient; and a few segments besides.
const MOVED: (u64, u64) = (1, 4);
/// A segment with more than this share of it live is not worth moving, as a quotient.
const LIVE: (u64, u64) = (1, 2);

/// A segment with no more than this share of it live is nearly empty, as a quotient.
const SPARSE: (u64, u64) = (1, 16);

/// How much is done for space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// What keeps the space in bounds, as far as writing does not multiply.
    Due,
    /// All that is worth it.
    Asked,
    /// What is in segments that are nearly empty, so that an opening does not take long; in a log that is close to its
    /// bound, what is worth it.
    Opening,
}

/// A segment in use.
struct Candidate {
    info: SegmentInfo,
    live: u64,
    /// How many segments were begun since.
    age: u64,
}

/// The segments in use, and what is live in them.
struct LogUsage {
    candidates: Vec<Candidate>,
    /// In bytes, as the next two.
    live: u64,
    in_use: u64,
    segment: u64,
}

/// The segment to be emptied next, if there is one; `spoiled` ones cannot be.
pub(crate) fn choose(core: &Core, spoiled: &BTreeSet<SegmentId>, urgency: Urgency) -> Option<SegmentId> {
    let usage = LogUsage::of(core);
    let size = usage.segment;
    // Close to its bound, the log must come back whatever that costs.
    let is_tight = usage.is_tight(core);
    if urgency == Urgency::Due && !is_tight && !usage.exceeds(SPACE, RESERVE_SEGMENTS) {
        return None;
    }
    let urgency = if is_tight && urgency == Urgency::Due { Urgency::Asked } else { urgency };
    let most = if urgency == Urgency::Opening && !core.wal.is_tight() { SPARSE } else { LIVE };
    let metrics = core.wal.metrics();
    let may = |candidate: &&Candidate| {
        let Candidate { info, live, .. } = candidate;
        let is_ripe = is_full(core, info) && *live > 0 && !spoiled.contains(&info.id);
        is_ripe && live * most.1 <= size * most.0 && (urgency != Urgency::Due || is_affordable(&metrics, *live, size))
    };
    let best = usage.candidates.iter().filter(may).max_by_key(|candidate| worth(size, candidate.live, candidate.age));
    best.map(|candidate| candidate.info.id)
}

/// A damaged segment to be emptied next, if there is one: whatever is live in it, and whatever moving it costs. When
/// the log is tight, others come first.
pub(crate) fn choose_damaged(
    core: &Core,
    damaged: &BTreeSet<SegmentId>,
    spoiled: &BTreeSet<SegmentId>,
) -> Option<SegmentId> {
    if damaged.is_empty() {
        return None;
    }
    let segments = core.wal.segments();
    let mut may = segments.iter().filter(|info| damaged.contains(&info.id) && !spoiled.contains(&info.id));
    may.find(|info| is_full(core, info) && core.usage.live(info.id).bytes > 0).map(|info| info.id)
}

/// Whether the places of its live entries are in its footer, or stay in memory since it cannot get one.
fn is_full(core: &Core, info: &SegmentInfo) -> bool {
    let is_sealed = info.footer && core.usage.is_sealed(info.id);
    !info.active && (is_sealed || info.unsealable)
}

/// Whether the log is close to its bound, or has no room at this moment.
pub(crate) fn is_tight(core: &Core) -> bool {
    LogUsage::of(core).is_tight(core) || !core.wal.has_room()
}

/// Whether more is in use than the pace of reclaiming is to allow for.
pub(crate) fn is_short(core: &Core) -> bool {
    LogUsage::of(core).exceeds(SHORT, 2 * RESERVE_SEGMENTS)
}

/// Whether more is in use than an opening is to leave.
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

    /// Whether more is in use than so many times what is live, and a few segments.
    fn exceeds(&self, times: (u64, u64), segments: u64) -> bool {
        self.in_use > self.live * times.0 / times.1 + segments * self.segment
    }
}

/// Whether moving so much keeps what is written within bounds.
fn is_affordable(metrics: &WalMetrics, live: u64, size: u64) -> bool {
    metrics.moved_bytes + live <= metrics.written_bytes * MOVED.0 / MOVED.1 + RESERVE_SEGMENTS * size
}

/// What is gained for each byte that is read and written, times the age.
fn worth(size: u64, live: u64, age: u64) -> u64 {
    let gain = u128::from(size.saturating_sub(live)) * u128::from(age);
    u64::try_from((gain << 16) / u128::from(size + live)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emptier_or_older_is_worth_more() {
        assert!(worth(100, 10, 5) > worth(100, 20, 5));
        assert!(worth(100, 10, 6) > worth(100, 10, 5));
        assert!(worth(100, 40, 30) > worth(100, 5, 3), "an old one that will not empty itself");
        assert_eq!(worth(100, 100, 9), 0);
        assert!(worth(1 << 30, 0, u64::MAX) > 0);
    }

    #[test]
    fn moving_is_bounded_by_what_was_appended() {
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
