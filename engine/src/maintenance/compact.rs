//! Stage *compact*: frees dead segments, for the log to reuse.
//!
//! A segment is dead when no entry in it is live, the operation that freed the last one is durable, and both
//! checkpoints reflect its other records. Only then may it be overwritten: recovery does not need it, whichever
//! checkpoint survives.

use std::{sync::atomic::Ordering, time::Duration};

use logboom_wal::{SegmentId, Step, marks};

use crate::{
    maintenance::core::{COMPACT, Core},
    types::error::Result,
};

/// How soon to poll for what wakes no machine.
const SOON: Duration = Duration::from_millis(5);

/// Frees the dead segments.
pub(crate) fn step(core: &Core, now: Duration) -> Result<Step> {
    let (covered, durable) = (core.wal.covered(), core.wal.durable());
    let mut dead = Vec::new();
    let mut dying = false;
    for info in core.wal.segments() {
        // A cold segment holds only entries: no checkpoint needs to reflect it. A covered segment is durable, and all
        // its records are counted. Its footer does not matter: it would list nothing.
        let is_covered = info.id < covered || info.id.is_cold();
        if info.active || !is_covered || !core.usage.is_free(info.id) {
            continue;
        }
        match core.usage.is_dead(info.id, durable) {
            true => dead.push(info.id),
            false => {
                marks::hit("compact: a segment waits for what freed it");
                dying = true;
            }
        }
    }
    retire(core, &dead)?;
    Ok(if dying { Step::At(now.saturating_add(SOON)) } else { Step::Parked })
}

fn retire(core: &Core, dead: &[SegmentId]) -> Result<()> {
    if dead.is_empty() {
        return Ok(());
    }
    let _span = tracing::debug_span!("compact", segments = dead.len()).entered();
    core.wal.retire(dead)?;
    for segment in dead {
        core.usage.forget(*segment);
        core.store.footers.forget(*segment);
    }
    core.counts.retired.fetch_add(dead.len() as u64, Ordering::Relaxed);
    core.recovered(COMPACT);
    Ok(())
}
