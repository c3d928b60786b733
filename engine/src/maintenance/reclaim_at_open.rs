//! Frees space during an opening, before new segments are prepared. Each opening begins a segment, and in a process
//! that restarts again and again the background never has the time to free the earlier ones.
//!
//! It is little work: two checkpoints, and moving the records of nearly empty segments.

use crate::{
    maintenance::{core::Core, space, victim},
    types::error::Result,
};

/// The most segments without live entries that an opening leaves to the background.
pub(crate) const FREE_SEGMENTS_MAX: u64 = 4;

/// Frees segments that earlier openings left, if there are too many, and then starts the preparation of segments.
///
/// # Errors
/// The log is poisoned. Any other failure is logged: the background tries again.
pub(crate) fn reclaim_at_open(core: &Core) -> Result<()> {
    if let Err(error) = give_back(core) {
        tracing::warn!(error = format_args!("{error:#}"), "an opening could not give back space");
    }
    core.wal.prepare_ahead();
    core.wal.poisoned().map_or(Ok(()), |error| Err(error.into()))
}

fn give_back(core: &Core) -> Result<()> {
    let is_free = |info: &&logboom_wal::SegmentInfo| !info.active && core.usage.is_free(info.id);
    let free = core.wal.segments().iter().filter(is_free).count() as u64;
    let is_short = free > 0 && core.wal.is_short();
    if is_short || free > FREE_SEGMENTS_MAX || core.wal.is_tight() || victim::is_crowded(core) {
        space::give_back(core)?;
    }
    if core.wal.is_tight() || victim::is_crowded(core) {
        core.sealer.lock().finish(core)?;
        core.reclaimer.lock().move_sparse(core)?;
        space::give_back(core)?;
    }
    Ok(())
}
