//! What an opening does for space before more of it is prepared: each begins a segment, and where a process is started
//! again and again, the background never has the time to give the last ones back.
//!
//! It is little work: two checkpoints, and the records of segments that hold next to nothing.

use crate::{
    maintenance::{core::Core, space, victim},
    types::error::Result,
};

/// Segments without a live entry that an opening leaves to the background.
pub(crate) const FREE_SEGMENTS_MAX: u64 = 4;

/// Gives back what earlier openings have left, when that is too much, and has segments prepared from then on.
///
/// # Errors
/// The log is poisoned. Any other failure is left to the background, which comes by it again.
pub(crate) fn settle(core: &Core) -> Result<()> {
    if let Err(error) = give_back(core) {
        tracing::warn!(%error, "an opening could not give back space");
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
        core.reclaimer.lock().gather(core)?;
        space::give_back(core)?;
    }
    Ok(())
}
