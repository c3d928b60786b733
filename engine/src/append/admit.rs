//! Submits a batch: waits for admission, appends and counts it; in a full log reclaims and tries again.

use std::sync::{Arc, atomic::Ordering};

use logboom_wal::{Durability, Permit, Reservation, Ticket as WalTicket};

use crate::{
    append::{
        batch::Batch,
        submit::{append, preflight},
    },
    maintenance::{core::Core, space},
    types::error::{Error, Result},
};

/// How a reservation ends: see [`Reservation`].
type Finish = fn(Reservation) -> WalTicket;

/// An empty batch.
pub(crate) fn batch<'a>(core: &Core) -> Batch<'a> {
    Batch::new(Arc::clone(&core.pool), core.wal.batch_bytes_max()).keeping_snapshots(core.snapshots.kept)
}

/// See [`Engine::submit`](crate::Engine::submit).
pub(crate) fn submit(core: &Core, batch: &mut Batch<'_>, durability: Durability, finish: Finish) -> Result<WalTicket> {
    with_room(core, || {
        check(core, batch, durability)?;
        let permit = core.wal.admit(batch.bytes())?;
        append_counted(core, batch, permit, durability, finish)
    })
}

/// See [`Engine::try_submit`](crate::Engine::try_submit).
pub(crate) fn try_submit(
    core: &Core,
    batch: &mut Batch<'_>,
    durability: Durability,
    finish: Finish,
) -> Result<WalTicket> {
    let admit = || {
        check(core, batch, durability)?;
        core.wal.try_admit(batch.bytes()).map_err(Error::from)
    };
    let permit = admit();
    let submitted = permit.and_then(|permit| append_counted(core, batch, permit, durability, finish));
    if matches!(submitted, Err(Error::Full { .. })) {
        core.space_requests.request(core);
    }
    submitted
}

/// See [`Engine::submit_async`](crate::Engine::submit_async).
pub(crate) async fn submit_async(core: &Core, batch: &mut Batch<'_>, durability: Durability) -> Result<WalTicket> {
    let mut is_last = false;
    loop {
        check(core, batch, durability)?;
        let permit = core.wal.admit_async(batch.bytes()).await?;
        match append_counted(core, batch, permit, durability, Reservation::finish) {
            Err(Error::Full { .. }) if core.wal.has_room() || !is_last => is_last = true,
            submitted => return submitted,
        }
        // See `with_room`.
        core.space_requests.wait(core.space_requests.request(core)).await;
    }
}

/// Appends a batch. Durable on return.
pub(crate) fn write(core: &Core, mut batch: Batch<'_>) -> Result<()> {
    let ticket = submit(core, &mut batch, Durability::Durable, Reservation::finish_for_waiter)?;
    Ok(ticket.wait()?)
}

fn check(core: &Core, batch: &Batch<'_>, durability: Durability) -> Result<()> {
    core.check_open()?;
    preflight(batch, durability)
}

fn append_counted(
    core: &Core,
    batch: &mut Batch<'_>,
    permit: Permit,
    durability: Durability,
    finish: Finish,
) -> Result<WalTicket> {
    let ticket = append(core, batch, permit, durability, finish)?;
    batch.recycle();
    core.counts.batches.fetch_add(1, Ordering::Relaxed);
    Ok(ticket)
}

/// Calls `accept` again while it returns [`Error::Full`] and reclaiming makes room.
fn with_room<T>(core: &Core, mut accept: impl FnMut() -> Result<T>) -> Result<T> {
    // Once more after the last reclaim: room may be left in a segment that reclaiming has begun itself.
    let mut is_last = false;
    loop {
        match accept() {
            Err(Error::Full { .. }) if space::make_room(core)? || !is_last => is_last = true,
            outcome => return outcome,
        }
    }
}
