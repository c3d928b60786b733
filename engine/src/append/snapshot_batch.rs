//! What a batch does with snapshots: what leases forbid, which registrations are possible, and what is seen of them.

use std::collections::BTreeMap;

use logboom_snapshot::Registered;
use logboom_wal::mutants::{self, Mutant};
use parking_lot::MutexGuard;

use crate::{
    append::validate::Locked,
    encoding::{buffers::Buffers, operation::Operation},
    maintenance::core::Core,
    shard_state::state::State,
    types::{error::Result, ids::ShardId},
};

/// Says which part of the logs readers of snapshots will need, if the batch compacts any.
pub(crate) fn hold(core: &Core, buffers: &Buffers<'_>, locked: &mut [Locked<'_>]) {
    let compacts = buffers.operations.iter().any(|(_, operation)| matches!(operation, Operation::Compact { .. }));
    if !compacts || !core.snapshots.store.has_leases() || mutants::is_on(Mutant::LeaseNotHeld) {
        return;
    }
    for locked in locked {
        locked.held = core.snapshots.store.held(locked.cell.id.0);
    }
}

/// Refuses to register what cannot be. No other batch registers snapshots of these shards meanwhile.
pub(crate) fn check(core: &Core, buffers: &Buffers<'_>, locked: &[Locked<'_>]) -> Result<()> {
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

/// Has everyone see the snapshots that the shards have after a batch, which lies in `group`. What they had besides is
/// removed when that is durable, and not here.
pub(crate) fn publish(
    core: &Core,
    buffers: &Buffers<'_>,
    locked: &[Locked<'_>],
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
