//! The state of an open log, in memory and on disk.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    group_commit::{
        admission::Admission,
        append::{Backlog, Staging},
        cold::ColdStream,
        watermark::Watermark,
    },
    read::{read_ahead::ReadAhead, recent::Recent},
    runtime::sync::{AtomicU64, Mutex},
    segments::{segment::Segment, slots::Slots, supply::Supply},
    types::ids::SegmentId,
};

/// See the module.
///
/// Lock order: [`cold`](Self::cold) or [`slots`](Self::slots), then [`staging`](Self::staging), then
/// [`segments`](Self::segments), then the inner locks of the supply, the recent tail, the watermark and admission,
/// which are leaves. `Faults::rot` comes before `segments`. Threads that hold none of these try to lock the turn of
/// [`CommitScheduler`](super::scheduler::CommitScheduler), and never wait for it; its holder takes `staging`.
///
/// Two invariants depend on locks. A segment enters `segments` under `staging`, so a group and the segment that it
/// begins become known together. A freed segment moves from `segments` to the supply under `segments`, so
/// [`rows`](super::rows::rows), which looks at both under that lock, misses none.
pub(crate) struct State {
    pub(crate) staging: Mutex<Staging>,
    pub(crate) backlog: Backlog,
    pub(crate) watermark: Watermark,
    pub(crate) admission: Arc<Admission>,
    pub(crate) supply: Supply,
    /// Live segments, the active one included.
    pub(crate) segments: Mutex<BTreeMap<SegmentId, Arc<Segment>>>,
    pub(crate) recent: Recent,
    pub(crate) read_ahead: ReadAhead,
    pub(crate) slots: Mutex<Slots>,
    pub(crate) cold: Mutex<ColdStream>,
    /// The promise in the last durable group.
    pub(crate) promised: AtomicU64,
    /// The last group with records.
    pub(crate) filled: AtomicU64,
    /// The first group of the active segment, or of the one before it.
    pub(crate) active_since: AtomicU64,
}
