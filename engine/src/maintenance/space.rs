//! Reports the use of space, and frees what can be freed at once.

use std::{sync::atomic::Ordering, time::Duration};

use logboom_wal::SegmentId;

use crate::{
    maintenance::{compact, core::Core},
    types::{
        error::{Error, Result},
        ids::ShardId,
    },
};

/// The most shards in a report.
const SHARDS_MAX: usize = 64;

/// The use of the log's space.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SpaceReport {
    /// Segments in use, the active one and the cold ones included.
    pub segments: usize,
    /// Cold segments: those that live records were moved to.
    pub cold_segments: usize,
    /// Prepared segments that are not in use.
    pub free_segments: usize,
    /// The bytes of the segments in use.
    pub bytes_in_use: u64,
    /// The bytes of the live records in them.
    pub live_bytes: u64,
    /// Segments freed since the engine was opened.
    pub segments_freed: u64,
    /// Bytes written since then to move live records.
    pub moved_bytes: u64,
    /// The shards with the most live bytes outside the active segment, at most 64, the largest first. Snapshot and
    /// compact these to free space.
    pub shards: Vec<ShardSpace>,
    /// Segments with damaged live records: they are kept until the losses are healed or accepted.
    pub damaged: Vec<SegmentId>,
}

/// A shard whose live entries keep segments in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardSpace {
    /// The shard.
    pub shard: ShardId,
    /// Its live entries outside the active segment.
    pub entries: u64,
    /// The bytes of the records that hold them.
    pub bytes: u64,
}

/// See [`crate::Engine::space`].
pub(crate) fn report(core: &Core) -> SpaceReport {
    let segments = core.wal.segments();
    let metrics = core.wal.metrics();
    SpaceReport {
        segments: segments.len(),
        cold_segments: segments.iter().filter(|info| info.id.is_cold()).count(),
        free_segments: usize::try_from(metrics.prepared_segments).unwrap_or(usize::MAX),
        bytes_in_use: segments.len() as u64 * core.wal.segment_bytes(),
        live_bytes: segments.iter().map(|info| core.usage.live(info.id).bytes).sum(),
        segments_freed: core.counts.retired.load(Ordering::Relaxed),
        moved_bytes: metrics.moved_bytes,
        shards: shards(core),
        damaged: core.reclaimer.lock().damaged(core),
    }
}

/// Frees dead segments, empties those that are worth it, and frees those too. Durable on return.
pub(crate) fn reclaim(core: &Core) -> Result<()> {
    // A segment that cannot be sealed is still freed if it is dead: report the failure last.
    let sealed = core.sealer.lock().finish(core);
    // Before records are moved: there may be no space to move them to.
    give_back(core)?;
    let moved = core.reclaimer.lock().finish(core);
    // Even after a failure, emptied segments can be freed.
    give_back(core)?;
    match moved {
        Ok(()) | Err(Error::Full { .. }) => sealed,
        failed => failed,
    }
}

/// Frees dead segments, after checkpoints if they need them. Durable on return.
pub(crate) fn give_back(core: &Core) -> Result<()> {
    core.wal.barrier().wait_locked()?;
    core.checkpointer.lock().cover(core)?;
    compact::step(core, Duration::ZERO)?;
    core.wal.barrier().wait_locked()?;
    core.wal.recycle();
    Ok(())
}

/// Reclaims if the log is full. Returns whether the log has room now.
pub(crate) fn make_room(core: &Core) -> Result<bool> {
    if !core.wal.has_room() {
        let reclaimed = reclaim(core);
        if !core.wal.has_room() {
            return reclaimed.map(|()| false);
        }
    }
    Ok(true)
}

fn shards(core: &Core) -> Vec<ShardSpace> {
    let active = core.wal.active();
    let space_of = |shard: ShardId| {
        let cell = core.store.shards.get(shard)?;
        let state = cell.state.lock();
        let mut space = ShardSpace { shard, entries: 0, bytes: 0 };
        for (segment, amount) in state.log.held(&cell.published.load().extent) {
            if segment != active {
                space.entries += amount.entries;
                space.bytes += amount.bytes;
            }
        }
        (space.entries > 0).then_some(space)
    };
    let mut shards: Vec<ShardSpace> = core.store.shards.ids().into_iter().filter_map(space_of).collect();
    shards.sort_unstable_by_key(|space| (std::cmp::Reverse(space.bytes), space.shard));
    shards.truncate(SHARDS_MAX);
    shards
}
