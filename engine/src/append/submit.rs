//! Stage *append*: writes a batch of operations on many shards to the open group of the log, which *group_commit* makes
//! durable.
//!
//! Validate, reserve, copy, publish. All checks precede the reservation; after it nothing can fail. A shard's new
//! bounds are published when all records can be read.

use std::sync::Arc;

use logboom_wal::{Durability, Permit, RangeCounts, Request, Reservation, Sequence, Ticket as WalTicket, record_bytes};
use parking_lot::MutexGuard;

use crate::{
    append::{
        batch::Batch,
        snapshot_batch,
        validate::{LockedShard, validate},
    },
    encoding::{
        buffers::{Buffers, Planned},
        operation::{Operation, UNKNOWN_LOSSES_ACCEPTED},
    },
    maintenance::core::Core,
    shard_state::state::{ShardCell, State},
    types::error::{Error, Result},
};

/// Rejects batches that are invalid whatever the state of the shards.
pub(crate) fn preflight(batch: &Batch<'_>, durability: Durability) -> Result<()> {
    if batch.is_empty() {
        return Err(Error::Empty);
    }
    if durability == Durability::Durable {
        return Ok(());
    }
    let durable_only = batch.buffers().operations.iter().find_map(|(_, operation)| operation.durable_only());
    durable_only.map_or(Ok(()), |operation| Err(Error::NotLazy { operation }))
}

/// Writes an admitted batch to the log's open group. `finish` is one of the two ways to end a reservation.
pub(crate) fn append(
    core: &Core,
    batch: &mut Batch<'_>,
    permit: Permit,
    durability: Durability,
    finish: fn(Reservation) -> WalTicket,
) -> Result<WalTicket> {
    let cells = cells(core, batch.buffers_mut());
    let _span = tracing::trace_span!("append", shards = cells.len()).entered();
    let appended = append_to(core, &cells, batch.buffers_mut(), permit, durability, finish);
    if appended.is_err() {
        remove_blank_cells(core, cells);
    }
    appended
}

fn append_to(
    core: &Core,
    cells: &[Arc<ShardCell>],
    buffers: &mut Buffers<'_>,
    permit: Permit,
    durability: Durability,
    finish: fn(Reservation) -> WalTicket,
) -> Result<WalTicket> {
    let durable = core.wal.durable();
    // In the order of ids: two batches that share shards cannot deadlock.
    let mut locked: Vec<LockedShard<'_>> = cells.iter().map(|cell| LockedShard::new(cell)).collect();
    snapshot_batch::note_leases(core, buffers, &mut locked);
    snapshot_batch::check(core, buffers, &locked)?;
    validate(buffers, &mut locked)?;
    let ranges = range_counts(core, buffers, &locked);
    let mut reservation = core.wal.reserve_with_ranges(permit, &request(buffers, durability), &ranges)?;
    let (segment, group) = (reservation.segment(), reservation.group());
    write(&mut reservation, buffers, &mut locked);
    // Readers block from here until the bounds are published: no copying and no IO in between.
    let mut states: Vec<MutexGuard<'_, State>> = cells.iter().map(|cell| cell.state.lock()).collect();
    apply(buffers, &mut locked, &mut states);
    // Before the records are published: when a group is durable, its entries and those that it frees are counted.
    let freed = core.usage.apply(segment, group, &buffers.delta);
    snapshot_batch::publish(core, buffers, &locked, &states, group);
    let ticket = finish(reservation);
    for (shard, mut state) in locked.iter().zip(states) {
        state.log.track_durable(group, shard.view.extent.next, durable);
        shard.cell.published.store(shard.view);
    }
    drop(locked);
    if freed {
        core.kick();
    }
    Ok(ticket)
}

/// Removes the cells of shards that a refused batch was the first to name.
fn remove_blank_cells(core: &Core, cells: Vec<Arc<ShardCell>>) {
    for cell in cells {
        let (id, is_blank) = (cell.id, core.store.shards.is_blank(&cell));
        drop(cell);
        if is_blank {
            core.store.shards.remove_blank(id);
        }
    }
}

/// Ends the holding back of shards without any known record. Durable on return.
pub(crate) fn accept_unknown_losses(core: &Core) -> Result<()> {
    if !core.store.shards.has_unknown_losses() {
        return Ok(());
    }
    let bytes = record_bytes(0);
    let permit = core.wal.admit(bytes as u64)?;
    let request = Request { records: 1, bytes, durability: Durability::Durable, frees_space: true };
    let ticket = {
        let _accepting = core.accepting.lock();
        let mut reservation = core.wal.reserve(permit, &request)?;
        reservation.record(&UNKNOWN_LOSSES_ACCEPTED, 0, |_| {});
        let ticket = reservation.finish_for_waiter();
        core.store.shards.accept_unknown_losses();
        ticket
    };
    Ok(ticket.wait()?)
}

/// The cells of the batch's shards, sorted by id.
fn cells(core: &Core, buffers: &mut Buffers<'_>) -> Vec<Arc<ShardCell>> {
    buffers.shards.clear();
    buffers.delta.clear();
    buffers.shards.extend(buffers.operations.iter().map(|(shard, _)| *shard));
    buffers.shards.sort_unstable();
    buffers.shards.dedup();
    buffers.shards.iter().map(|shard| core.store.shards.get_or_insert(*shard)).collect()
}

/// The ranges of entries that the batch may add to a segment's footer: one for all appends of a shard in that segment,
/// and one for each healed run.
fn range_counts(core: &Core, buffers: &Buffers<'_>, locked: &[LockedShard<'_>]) -> RangeCounts {
    let since = core.wal.active_since();
    // A shard whose last record is in the segment was counted with its first one there. It is locked: no other batch
    // writes to it meanwhile.
    let new = locked.iter().filter(|shard| shard.view.sequence < since).count();
    let is_heal = |planned: &&Planned| matches!(planned.operation, Operation::Heal { .. });
    let heals = buffers.plan.iter().filter(is_heal).count();
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    RangeCounts { all: number(locked.len() + heals), since, more: number(new + heals) }
}

fn request(buffers: &Buffers<'_>, durability: Durability) -> Request {
    let bytes = buffers.plan.iter().map(|planned| record_bytes(planned.operation.body_len())).sum();
    let any = |is_so: fn(&Operation) -> bool| buffers.plan.iter().any(|planned| is_so(&planned.operation));
    Request {
        records: u32::try_from(buffers.plan.len()).unwrap_or(u32::MAX),
        bytes,
        durability,
        // A batch with entries would fill the segment that is reserved for operations that free space.
        frees_space: any(Operation::frees) && !any(Operation::adds_entries),
    }
}

/// Writes all records.
fn write(reservation: &mut Reservation, buffers: &mut Buffers<'_>, locked: &mut [LockedShard<'_>]) {
    for at in 0..buffers.plan.len() {
        let Planned { slot, operation, .. } = buffers.plan[at];
        let shard = &mut locked[slot];
        let meta = operation.meta(shard.cell.id, shard.view.sequence);
        let written = reservation.record(&meta, operation.body_len(), |body| operation.put_body(buffers, body));
        buffers.plan[at].place = written.place;
        // The record after a destruction links to none.
        let ends = matches!(operation, Operation::Destroy);
        shard.view.sequence = if ends { Sequence::NONE } else { written.sequence };
    }
}

/// Applies the records to the shards.
fn apply(buffers: &mut Buffers<'_>, locked: &mut [LockedShard<'_>], states: &mut [MutexGuard<'_, State>]) {
    let mut delta = std::mem::take(&mut buffers.delta);
    for Planned { slot, operation, place } in &buffers.plan {
        let Some(change) = operation.change(|part| buffers.bytes(part)) else { continue };
        let shard = &mut locked[*slot];
        let (id, extent) = (shard.cell.id, shard.view.extent);
        let after = states[*slot].apply(id, extent, &change, *place, &mut delta);
        debug_assert!(after.is_ok(), "{change:?} was planned on {extent:?}");
        shard.view.extent = after.unwrap_or(extent);
        shard.view.quarantined = shard.view.quarantined && states[*slot].missing().is_some();
    }
    buffers.delta = delta;
}
