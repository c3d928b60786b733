//! The snapshot operations of a batch: checks leases and registrations, and publishes the snapshots.

use std::collections::BTreeMap;

use logboom_snapshot::Registered;
use logboom_wal::mutants::{self, Mutant};
use parking_lot::MutexGuard;

use crate::{
    append::validate::LockedShard,
    encoding::{buffers::Buffers, operation::Operation},
    maintenance::core::Core,
    shard_state::state::State,
    types::{error::Result, ids::ShardId},
};

/// Looks up the lowest leased snapshot of each shard, if the batch compacts any.
pub(crate) fn note_leases(core: &Core, buffers: &Buffers<'_>, locked: &mut [LockedShard<'_>]) {
    let compacts = buffers.operations.iter().any(|(_, operation)| matches!(operation, Operation::Compact { .. }));
    if !compacts || !core.snapshots.store.has_leases() || mutants::is_on(Mutant::LeaseNotHeld) {
        return;
    }
    for locked in locked {
        locked.lowest_lease = core.snapshots.store.held(locked.cell.id.0);
    }
}

/// Rejects invalid registrations. The shards are locked: no other batch registers snapshots of them meanwhile.
pub(crate) fn check(core: &Core, buffers: &Buffers<'_>, locked: &[LockedShard<'_>]) -> Result<()> {
    if buffers.built.is_empty() {
        return Ok(());
    }
    let mut built = buffers.built.iter();
    let mut lists: BTreeMap<ShardId, Vec<Registered>> =
        locked.iter().map(|locked| (locked.cell.id, locked.cell.state.lock().snapshots().to_vec())).collect();
    for (shard, operation) in &buffers.operations {
        let list = lists.entry(*shard).or_default();
        match *operation {
            Operation::Register { kept, .. } => {
                let Some(built) = built.next() else { continue };
                core.snapshots.store.check(shard.0, list, built)?;
                built.registration().registered_in(list, kept as usize);
            }
            Operation::Forget { id } => list.retain(|known| known.id != id),
            Operation::Destroy => list.clear(),
            _ => {}
        }
    }
    Ok(())
}

/// Publishes the snapshots that the shards have after a batch in `group`. Files of replaced ones are removed later,
/// when the group is durable.
pub(crate) fn publish(
    core: &Core,
    buffers: &Buffers<'_>,
    locked: &[LockedShard<'_>],
    states: &[MutexGuard<'_, State>],
    group: u64,
) {
    let group = if mutants::is_on(Mutant::SnapshotGoneEarly) { 0 } else { group };
    for planned in &buffers.plan {
        if !matches!(planned.operation, Operation::Register { .. } | Operation::Forget { .. } | Operation::Destroy) {
            continue;
        }
        if let (Some(locked), Some(state)) = (locked.get(planned.slot), states.get(planned.slot)) {
            core.snapshots.store.set(locked.cell.id.0, state.snapshots(), group);
        }
    }
}
