//! The segments that a checkpoint names.

use crate::{
    group_commit::log::Shared,
    segments::slots::SegmentRow,
    types::{
        ids::SegmentId,
        mutants::{self, Mutant},
    },
};

/// The segments that a checkpoint names which is replayed from `replay_from`. One whose freeing is not durable is among
/// them: a crash may take the record of it, and nothing would say then that the file may be used again.
pub(crate) fn rows(shared: &Shared, replay_from: SegmentId) -> Vec<SegmentRow> {
    let durable = shared.state.watermark.durable();
    shared.remove_odd(durable);
    let durable = if mutants::is_on(Mutant::RetiredEarly) { u64::MAX } else { durable };
    let segments = shared.state.segments.lock();
    let cold = segments.range(SegmentId::COLD..).filter(|_| !mutants::is_on(Mutant::ColdNotCheckpointed));
    let named = segments.range(..replay_from).chain(cold).map(|(_, segment)| segment.row());
    let undecided = shared.state.supply.undecided(durable);
    let mut rows: Vec<SegmentRow> = named.chain(undecided.iter().map(|segment| segment.row())).collect();
    rows.sort_unstable_by_key(|row| row.id);
    rows
}
