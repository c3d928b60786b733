//! The segments that a checkpoint names.

use crate::{
    group_commit::log::Shared,
    segments::slots::SegmentRow,
    types::{
        ids::SegmentId,
        mutants::{Mutant, unless},
    },
};

/// The segments that a checkpoint with this replay position names. Includes those whose freeing is not durable: a crash
/// may lose the record that frees one, and nothing else says that its file may be reused.
pub(crate) fn rows(shared: &Shared, replay_from: SegmentId) -> Vec<SegmentRow> {
    let durable = shared.state.watermark.durable();
    shared.remove_odd(durable);
    let durable = unless(Mutant::RetiredEarly, || durable, || u64::MAX);
    let pending = || shared.state.supply.pending_frees(durable);
    // What is freed meanwhile is in one of the two: see `State`.
    let (segments, pending) = unless(
        Mutant::FreedBetweenLooks,
        || (shared.state.segments.lock(), pending()),
        || {
            let pending = pending();
            (shared.state.segments.lock(), pending)
        },
    );
    let cold = unless(Mutant::ColdNotCheckpointed, || SegmentId::COLD, || SegmentId(u64::MAX));
    let named = segments.range(..replay_from).chain(segments.range(cold..)).map(|(_, segment)| segment.row());
    let mut rows: Vec<SegmentRow> = named.chain(pending.iter().map(|segment| segment.row())).collect();
    rows.sort_unstable_by_key(|row| row.id);
    rows
}
