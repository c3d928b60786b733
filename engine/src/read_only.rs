//! A log that is looked at, and not touched.

use std::{fmt, io, sync::Arc};

use logboom_snapshot::{Lease, Registered, Store as Snapshots};
use logboom_wal::SegmentId;

use crate::{
    index::usage::UsageTable,
    maintenance::snapshot_files,
    read::{shard::Shard, store::Store},
    recovery::{
        open,
        report::{OpenReport, Segment},
        steady::steady,
    },
    shard_state::quarantine::Quarantine,
    types::{
        config::Config,
        error::{Error, Result},
        ids::ShardId,
    },
};

/// The log of a directory as it was when this was opened: what a writable open would have found.
///
/// It takes no lock and writes nothing. A writer that goes on meanwhile is not followed; when it has used segments
/// again that were read here, reads of their entries fail.
pub struct ReadOnly {
    store: Arc<Store>,
    report: OpenReport,
    usage: UsageTable,
    snapshots: Snapshots,
}

/// The snapshots of a [`ReadOnly`], by the names of [`Snapshots`](crate::Snapshots).
#[derive(Clone, Copy, Debug)]
pub struct ReadOnlySnapshots<'v>(&'v Snapshots);

const UNSTEADY: &str = "the log is in use, and each look at it has found something else: try again";

impl ReadOnly {
    /// See [`steady`].
    pub(crate) fn open(config: &Config) -> Result<Self> {
        let looked = steady(
            || Self::look(config),
            |looked| match looked {
                Ok(view) => view.wrong(),
                Err(error @ (Error::Corruption { .. } | Error::Identity { .. } | Error::Io { .. })) => {
                    Some(error.to_string())
                }
                Err(_) => None,
            },
        );
        looked.unwrap_or_else(|| {
            let error = io::Error::new(io::ErrorKind::ResourceBusy, UNSTEADY);
            Err(Error::io(config.dir.display().to_string(), error))
        })
    }

    /// All that was found to be wrong, as far as two looks can be compared by it.
    fn wrong(&self) -> Option<String> {
        let (found, quarantined, unknown_losses) =
            (&self.report.recovery, self.quarantined(), self.has_unknown_losses());
        let is_well = found.damages.is_empty() && found.odd_files.is_empty() && found.identity.is_none();
        let is_whole = quarantined.is_empty() && !unknown_losses;
        let wrong = (&found.damages, &found.odd_files, &found.identity, quarantined, unknown_losses);
        (!is_well || !is_whole).then(|| format!("{wrong:?}"))
    }

    fn look(config: &Config) -> Result<Self> {
        let disk = open::disk_read_only(config)?;
        let (store, report, usage) = open::view(Arc::clone(&disk), config)?;
        let snapshots = snapshot_files::view(disk, store.source.log_id(), &store.shards);
        Ok(Self { store, report, usage, snapshots })
    }

    /// A handle to a shard; one that holds nothing is empty.
    pub fn shard(&self, id: ShardId) -> Shard {
        Shard::new(Arc::clone(&self.store), id)
    }

    /// The shards that hold anything, sorted.
    pub fn shards(&self) -> Vec<ShardId> {
        self.store.shard_ids()
    }

    /// The shards of which something is lost, sorted. All others are whole.
    pub fn quarantined(&self) -> Vec<(ShardId, Quarantine)> {
        self.store.shards.quarantined()
    }

    /// Whether shards that nothing is known of are held back: records are lost that may have been theirs.
    pub fn has_unknown_losses(&self) -> bool {
        self.store.shards.has_unknown_losses()
    }

    /// Reads every live entry in these segments, in which a verification has found damage: those that are lost put
    /// their shards in quarantine, in this view. See [`Engine::report_damage`](crate::Engine::report_damage).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the disk does not answer.
    pub fn report_damage(&self, segments: impl IntoIterator<Item = SegmentId>) -> Result<()> {
        self.store.verify_segments(segments)
    }

    /// The snapshots beside the log.
    pub fn snapshots(&self) -> ReadOnlySnapshots<'_> {
        ReadOnlySnapshots(&self.snapshots)
    }

    /// What opening found, and what a writable open would cut.
    pub fn open_report(&self) -> &OpenReport {
        &self.report
    }

    /// The segments of the log, oldest first, and how much of each is live.
    pub fn segments(&self) -> Vec<Segment> {
        let live = |info: logboom_wal::SegmentInfo| Segment::new(info, self.usage.live(info.id));
        self.store.source.segments().into_iter().map(live).collect()
    }
}

impl ReadOnlySnapshots<'_> {
    /// All registered snapshots, by shard, and of a shard oldest first. Their files are not looked at.
    pub fn all(&self) -> Vec<(ShardId, Registered)> {
        self.0.all().into_iter().map(|(shard, registered)| (ShardId(shard), registered)).collect()
    }

    /// The registered snapshots of a shard, oldest first.
    pub fn list(&self, shard: ShardId) -> Vec<Registered> {
        self.0.list(shard.0)
    }

    /// A lease of a shard's snapshot of this id, of no effect on a writer; `None` if it is not registered.
    ///
    /// # Errors
    /// [`Error::Snapshot`](crate::Error::Snapshot) with `Missing` or `Damaged` when it is not there, or not as it was
    /// written: also when a writer that goes on has removed it.
    pub fn lease(&self, shard: ShardId, id: u64) -> Result<Option<Lease>> {
        Ok(self.0.lease(shard.0, id)?)
    }
}

impl fmt::Debug for ReadOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOnly").field("shards", &self.report.shards).finish_non_exhaustive()
    }
}
