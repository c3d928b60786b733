//! The report of an opening.

use std::{fmt, time::Duration};

use logboom_disk::Facts;
use logboom_wal::{Damage, RecoveryReport, SegmentInfo};

use crate::{
    shard_state::quarantine::Quarantine,
    types::{delta::Amount, ids::ShardId},
};

/// What opening an engine found and decided. `Display` prints it in a few lines.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenReport {
    /// The properties of the disk, how it is used, and why.
    pub disk: Facts,
    /// What recovery read of the log, and whether it cut a tail.
    pub recovery: RecoveryReport,
    /// The size of the checkpoint in bytes, if there was one.
    pub checkpoint_bytes: Option<u64>,
    /// The number of shards that hold anything.
    pub shards: usize,
    /// The number of segments in use.
    pub segments: usize,
    /// The shards that have lost something, and what: also what an earlier opening or a read has found. The damage
    /// itself is in [`RecoveryReport::damages`] only when this opening has read it.
    pub quarantined: Vec<(ShardId, Quarantine)>,
    /// Whether shards without any known record are held back, because lost records may have been theirs.
    pub has_unknown_losses: bool,
    /// How long opening took.
    pub elapsed: Duration,
}

/// A segment of the log, and how much of it is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentSpace {
    /// The segment itself.
    pub info: SegmentInfo,
    /// The number of live entries in it: those that are in the log of a shard.
    pub live_entries: u64,
    /// The bytes of the records that hold them; a partly live record counts in proportion.
    pub live_bytes: u64,
}

impl SegmentSpace {
    pub(crate) fn new(info: SegmentInfo, live: Amount) -> Self {
        Self { info, live_entries: live.entries, live_bytes: live.bytes }
    }
}

impl fmt::Display for OpenReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { disk, recovery, checkpoint_bytes, shards, segments, elapsed, .. } = self;
        writeln!(f, "{disk}")?;
        match (recovery.created, recovery.checkpoint) {
            (true, _) => writeln!(f, "log          created")?,
            (false, None) => writeln!(f, "checkpoint   none")?,
            (false, Some(number)) => {
                writeln!(f, "checkpoint   number {number}, {} bytes", checkpoint_bytes.unwrap_or_default())?;
            }
        }
        writeln!(
            f,
            "replayed     {} records of {} segments, {} bytes read",
            recovery.records_replayed, recovery.segments_replayed, recovery.bytes_read
        )?;
        match &recovery.cut {
            Some(cut) => writeln!(f, "cut          {cut}")?,
            None => writeln!(f, "cut          nothing")?,
        }
        writeln!(f, "found        {shards} shards in {segments} segments")?;
        if let Some(fault) = &recovery.identity {
            writeln!(f, "identity     {fault}")?;
        }
        for damage in &recovery.damages {
            let Damage { segment, offset, what, .. } = &**damage;
            writeln!(f, "damage       segment {segment}, byte {offset}: {what}")?;
        }
        for file in &recovery.odd_files {
            writeln!(f, "file         {file}")?;
        }
        for (shard, quarantine) in &self.quarantined {
            writeln!(f, "quarantine   {shard}: {quarantine}")?;
        }
        if self.has_unknown_losses {
            writeln!(f, "quarantine   every shard without any known record")?;
        }
        write!(f, "took         {:.1} ms", elapsed.as_secs_f64() * 1e3)
    }
}
