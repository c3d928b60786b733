//! Validates a batch against the state of its shards, before anything is written, and resolves it into records.

use logboom_wal::{Place, SegmentId};
use parking_lot::MutexGuard;

use crate::{
    encoding::{
        buffers::{Buffers, Planned},
        extent::{Extent, SuffixRemoval},
        operation::Operation,
    },
    shard_state::{published::View, quarantine::Missing, state::ShardCell},
    types::{
        error::{Error, Result},
        ids::ShardId,
        refusal::Refusal,
    },
};

/// A shard of a batch, locked for writing, and its state after the operations that were validated so far.
pub(crate) struct LockedShard<'c> {
    pub(crate) cell: &'c ShardCell,
    _writer: MutexGuard<'c, ()>,
    /// As published before the batch; updated as records are written and applied.
    pub(crate) view: View,
    /// The log's extent after the validated operations.
    planned: Extent,
    /// The validated operations have not changed the entries below this.
    intact: u64,
    /// The batch resets or destroys the log before this operation.
    restarted: bool,
    /// The batch heals entries before this operation.
    healed: bool,
    /// The lowest index of a leased snapshot: entries above it must not be compacted.
    pub(crate) lowest_lease: Option<u64>,
    /// What is missing after the validated operations, if anything.
    missing: Option<Missing>,
}

impl<'c> LockedShard<'c> {
    pub(crate) fn new(cell: &'c ShardCell) -> Self {
        let writer = cell.published.writer();
        let view = cell.published.load();
        let missing = if view.quarantined { cell.state.lock().missing().cloned() } else { None };
        Self {
            cell,
            _writer: writer,
            view,
            planned: view.extent,
            intact: view.extent.next,
            restarted: false,
            healed: false,
            lowest_lease: None,
            missing,
        }
    }
}

/// The place of a record that is not written yet.
const UNWRITTEN: Place = Place { segment: SegmentId(0), offset: 0, len: 0 };

/// Validates every operation and fills `buffers.plan`, or returns an error for the first that does not fit. `locked`
/// are the batch's shards, in the order of `buffers.shards`.
pub(crate) fn validate(buffers: &mut Buffers<'_>, locked: &mut [LockedShard<'_>]) -> Result<()> {
    buffers.plan.clear();
    for (nth, &(shard, operation)) in buffers.operations.iter().enumerate() {
        let slot = slot(&buffers.shards, shard);
        let Some(locked) = locked.get_mut(slot) else { continue };
        let refused = |refusal| Error::refused(shard, index_of(&operation), refusal);
        let accepted = || buffers.operations[nth..].iter().any(|other| accepts_loss(other, shard));
        check_quarantine(locked, &operation, accepted).map_err(refused)?;
        if let Some(operation) = resolve(operation, slot, locked, &buffers.plan) {
            check_compaction(locked, &operation).map_err(refused)?;
            check_healed_terms(&operation, slot, locked, &buffers.plan).map_err(refused)?;
            advance(locked, &operation).map_err(refused)?;
            buffers.plan.push(Planned { slot, operation, place: UNWRITTEN });
        } else if let Operation::Overwrite { index } = operation {
            // Nothing to remove, or an error: the append that follows must fit.
            locked.planned.suffix_removal(index).map_err(refused)?;
        }
    }
    Ok(())
}

/// Refuses to write to a shard of which something is missing, but for what ends that, or leads up to an accepted loss.
fn check_quarantine(
    locked: &LockedShard<'_>,
    operation: &Operation,
    accepted: impl FnOnce() -> bool,
) -> Result<(), Refusal> {
    let Some(missing) = &locked.missing else { return Ok(()) };
    let allowed = match *operation {
        Operation::Heal { .. } | Operation::Destroy => true,
        Operation::AcceptLoss { .. } => missing.entries.is_empty(),
        // `index` becomes the boundary, whose term must be known.
        Operation::Compact { index, .. } if missing.entries.contains(index) => false,
        Operation::Compact { .. } if !missing.suffix => true,
        _ => accepted(),
    };
    if allowed { Ok(()) } else { Err(Refusal::Quarantined) }
}

fn accepts_loss(operation: &(ShardId, Operation), shard: ShardId) -> bool {
    operation.0 == shard && matches!(operation.1, Operation::AcceptLoss { .. })
}

/// Rejects healed entries whose term differs from that of the log's entry, unless that is lost.
fn check_healed_terms(
    operation: &Operation,
    slot: usize,
    locked: &LockedShard<'_>,
    planned: &[Planned],
) -> Result<(), Refusal> {
    let Operation::Heal { first, term: given, items, .. } = *operation else { return Ok(()) };
    locked.planned.heal(first, u64::from(items.len))?;
    for index in first..first + u64::from(items.len) {
        let lost = locked.missing.as_ref().is_some_and(|missing| missing.entries.contains(index));
        match term(index, slot, locked, planned) {
            Some(stored) if stored != given && !lost => return Err(Refusal::Term { index, stored, given }),
            _ => {}
        }
    }
    Ok(())
}

fn slot(shards: &[ShardId], shard: ShardId) -> usize {
    shards.binary_search(&shard).unwrap_or(usize::MAX)
}

/// The operation to write for `operation`, if any.
fn resolve(operation: Operation, slot: usize, locked: &LockedShard<'_>, planned: &[Planned]) -> Option<Operation> {
    match operation {
        Operation::Overwrite { index } => match locked.planned.suffix_removal(index).ok()? {
            SuffixRemoval::Nothing => None,
            SuffixRemoval::Truncate { keep } => Some(Operation::Truncate { keep }),
            SuffixRemoval::Reset => Some(Operation::Reset { boundary: None }),
        },
        Operation::Compact { index, past_leases, .. } => {
            let term = Some(term(index, slot, locked, planned).unwrap_or(0));
            Some(Operation::Compact { index, term, past_leases })
        }
        Operation::AcceptLoss { .. } => {
            let missing = locked.missing.as_ref();
            Some(Operation::AcceptLoss {
                hard_state: missing.and_then(|missing| missing.hard_state),
                keys: missing.map_or(0, |missing| missing.keys),
                snapshot: missing.and_then(|missing| missing.snapshot),
            })
        }
        other => Some(other),
    }
}

/// The term of an entry after the validated operations; `None` if the log does not have the entry.
fn term(index: u64, slot: usize, locked: &LockedShard<'_>, planned: &[Planned]) -> Option<u64> {
    if !locked.planned.range().contains(&index) {
        return None;
    }
    if index < locked.intact && !locked.healed {
        return locked.cell.state.lock().log.term(index);
    }
    // The last run of the batch with this index counts.
    let runs =
        planned.iter().rev().filter(|planned| planned.slot == slot).filter_map(|planned| planned.operation.run());
    let written = { runs }.find(|run| run.range().contains(&index)).map(|run| run.term);
    written.or_else(|| if index < locked.intact { locked.cell.state.lock().log.term(index) } else { None })
}

/// Rejects the compaction of entries that the application has not applied, or that a leased snapshot needs. An index
/// beyond the log is rejected elsewhere, and a log that the batch itself restarts holds no such entries.
fn check_compaction(locked: &LockedShard<'_>, operation: &Operation) -> Result<(), Refusal> {
    let Operation::Compact { index, past_leases, .. } = *operation else { return Ok(()) };
    if index >= locked.planned.next || locked.restarted {
        return Ok(());
    }
    if let Some(held) = locked.lowest_lease
        && index > held
        && index >= locked.planned.first
        && !past_leases
    {
        return Err(Refusal::Leased { held });
    }
    match locked.cell.state.lock().applied_next(&locked.view.extent) {
        Some(first) if index >= first => Err(Refusal::Unapplied { first }),
        _ => Ok(()),
    }
}

fn advance(locked: &mut LockedShard<'_>, operation: &Operation) -> Result<(), Refusal> {
    match *operation {
        Operation::Append { first, items, .. } => {
            locked.planned = locked.planned.append(first, u64::from(items.len))?;
        }
        Operation::Truncate { keep } => {
            locked.planned = locked.planned.truncate(keep)?;
            locked.intact = locked.intact.min(locked.planned.next);
        }
        Operation::Compact { index, term, .. } => {
            locked.planned = locked.planned.compact(index, term.unwrap_or(0))?;
        }
        Operation::Reset { boundary } => {
            locked.planned = Extent::reset(boundary)?;
            locked.intact = 0;
            locked.restarted = true;
        }
        Operation::Destroy => {
            locked.planned = Extent::default();
            locked.intact = 0;
            locked.restarted = true;
        }
        Operation::Heal { first, items, .. } => {
            locked.planned = locked.planned.heal(first, u64::from(items.len))?;
            locked.healed = true;
        }
        Operation::Overwrite { .. }
        | Operation::HardState(_)
        | Operation::CommitHint(_)
        | Operation::Put { .. }
        | Operation::Delete { .. }
        | Operation::AcceptLoss { .. }
        | Operation::Register { .. }
        | Operation::Forget { .. } => {}
    }
    if let (Some(missing), Some(change)) = (&mut locked.missing, operation.change(|_| &[])) {
        missing.follow(&change, &locked.planned);
        if missing.is_nothing() {
            locked.missing = None;
        }
    }
    Ok(())
}

/// The index to report for a refused operation.
fn index_of(operation: &Operation) -> u64 {
    match *operation {
        Operation::Append { first, .. } | Operation::Heal { first, .. } => first,
        Operation::Truncate { keep } => keep,
        Operation::Compact { index, .. } | Operation::Overwrite { index } => index,
        Operation::Reset { boundary } => boundary.map_or(0, |boundary| boundary.index),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use logboom_snapshot::EntryId;

    use super::*;
    use crate::{append::batch::Batch, types::payload::Entry};

    const SHARD: ShardId = ShardId(1);

    fn cell(extent: Extent) -> ShardCell {
        let cell = ShardCell::new(SHARD);
        cell.published.store(View { extent, ..View::default() });
        cell
    }

    /// The records of a batch on a log of the entries `first..next`, without a boundary.
    fn plan_on(first: u64, next: u64, fill: impl FnOnce(&mut Batch<'_>)) -> Result<Vec<Operation>> {
        let cell = cell(Extent { first, next, boundary_term: None });
        let mut batch = Batch::new(Arc::default(), 1 << 20);
        fill(&mut batch);
        batch.buffers_mut().shards = vec![SHARD];
        validate(batch.buffers_mut(), &mut [LockedShard::new(&cell)])?;
        Ok(batch.buffers().plan.iter().map(|planned| planned.operation).collect())
    }

    fn entries(range: std::ops::Range<u64>, term: u64) -> Vec<Entry<'static>> {
        range.map(|index| Entry::new(EntryId { index, term }, b"x")).collect()
    }

    #[test]
    fn an_overwrite_truncates_only_what_is_there() {
        let overwrite = |range: std::ops::Range<u64>| {
            let plan = plan_on(1, 5, |batch| {
                batch.overwrite(SHARD, entries(range, 2)).unwrap();
            });
            plan.map(|plan| plan[0])
        };
        assert!(matches!(overwrite(5..7), Ok(Operation::Append { first: 5, .. })));
        assert_eq!(overwrite(3..7).unwrap(), Operation::Truncate { keep: 2 });
        assert_eq!(overwrite(1..7).unwrap(), Operation::Reset { boundary: None });
        assert!(matches!(overwrite(6..7), Err(Error::Gap { expected: 5, got: 6, .. })));
        assert!(matches!(overwrite(0..7), Err(Error::Compacted { first: 1, .. })));
    }

    #[test]
    fn operations_see_those_before_them() {
        let plan = plan_on(0, 0, |batch| {
            batch.append_payload(SHARD, EntryId { index: 5, term: 3 }, b"").unwrap();
            batch.append_payload(SHARD, EntryId { index: 6, term: 4 }, b"").unwrap();
            batch.overwrite(SHARD, entries(6..9, 7)).unwrap();
            batch.compact_through(SHARD, 7).unwrap();
            batch.truncate_after(SHARD, 7).unwrap();
            batch.append_payload(SHARD, EntryId { index: 8, term: 9 }, b"").unwrap();
        });
        let plan = plan.unwrap();
        assert_eq!(plan[4], Operation::Compact { index: 7, term: Some(7), past_leases: false });
        assert_eq!(plan.len(), 7);
    }

    #[test]
    fn one_bad_operation_refuses_all() {
        let refused = |fill: fn(&mut Batch<'_>)| plan_on(1, 5, fill).unwrap_err();
        assert!(matches!(
            refused(|batch| {
                batch.append_payload(SHARD, EntryId { index: 5, term: 1 }, b"").unwrap();
                batch.append_payload(SHARD, EntryId { index: 7, term: 1 }, b"").unwrap();
            }),
            Error::Gap { expected: 6, got: 7, .. }
        ));
        assert!(matches!(
            refused(|batch| {
                batch.compact_through(SHARD, 5).unwrap();
            }),
            Error::Beyond { index: 5, last: Some(4), .. }
        ));
        assert!(matches!(
            refused(|batch| {
                batch.truncate_after(SHARD, 9).unwrap();
            }),
            Error::Beyond { index: 9, last: Some(4), .. }
        ));
    }
}
