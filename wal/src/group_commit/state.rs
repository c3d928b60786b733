//! The state of a log that is written: what is in memory, on disk, and durable.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    group_commit::{
        admission::Admission,
        append::{Load, Staging},
        cold::Cold,
        watermark::Watermark,
    },
    read::{read_ahead::ReadAhead, recent::Recent},
    runtime::sync::{AtomicU64, Mutex},
    segments::{segment::Segment, slots::Slots, supply::Supply},
    types::ids::SegmentId,
};

/// See the module.
///
/// Locks are waited for in this order: [`cold`](Self::cold) or [`slots`](Self::slots), then [`staging`](Self::staging),
/// then [`segments`](Self::segments), then those that the supply, the recent tail, the watermark and admission have
/// inside: these are leaves. `Faults::rot` comes before `segments`. The turn of [`Tail`](super::tail::Tail) is tried
/// and never waited for, by threads that hold none of these; its holder takes `staging`.
///
/// Two rules rest on what is locked: a segment enters `segments` while `staging` is locked, so a group and the segment
/// that it begins are known at once; and one that is freed goes from `segments` to the supply while `segments` is
/// locked, so that [`rows`](super::rows::rows), which looks at both under that lock, misses none.
pub(crate) struct State {
    pub(crate) staging: Mutex<Staging>,
    pub(crate) load: Load,
    pub(crate) watermark: Watermark,
    pub(crate) admission: Arc<Admission>,
    pub(crate) supply: Supply,
    /// Live segments, the active one included.
    pub(crate) segments: Mutex<BTreeMap<SegmentId, Arc<Segment>>>,
    pub(crate) recent: Recent,
    pub(crate) read_ahead: ReadAhead,
    pub(crate) slots: Mutex<Slots>,
    pub(crate) cold: Mutex<Cold>,
    /// The promise that the last durable group carries.
    pub(crate) promised: AtomicU64,
    /// The last group with records.
    pub(crate) filled: AtomicU64,
    /// The first group of the active segment, or of the one before it.
    pub(crate) active_since: AtomicU64,
}
