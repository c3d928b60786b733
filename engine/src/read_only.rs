//! A read-only view of a log.

use std::{fmt, io, sync::Arc};

use logboom_snapshot::{Lease, Registered, Store as Snapshots};
use logboom_wal::SegmentId;

use crate::{
    index::usage::UsageTable,
    maintenance::snapshot_files,
    read::{shard::Shard, store::Store},
    recovery::{
        open,
        report::{OpenReport, SegmentSpace},
        steady::steady,
    },
    shard_state::quarantine::Quarantine,
    types::{
        config::Config,
        error::{Error, Result},
        ids::ShardId,
    },
};

/// A read-only view of the log in a directory, as of its opening: what [`Engine::open`](crate::Engine::open) would have
/// recovered.
///
/// It takes no lock and writes nothing. It does not see later writes of a concurrent writer; reads of entries fail when
/// the writer has reused their segments.
pub struct ReadOnly {
    store: Arc<Store>,
    report: OpenReport,
    usage: UsageTable,
    snapshots: Snapshots,
}

/// The snapshots of a [`ReadOnly`], by the names of [`Snapshots`](crate::Snapshots).
#[derive(Clone, Copy, Debug)]
pub struct ReadOnlySnapshots<'v>(&'v Snapshots);

const UNSTEADY: &str = "the log is in use, and changes faster than it can be read: try again";

impl ReadOnly {
    /// See [`steady`].
    pub(crate) fn open(config: &Config) -> Result<Self> {
        let looked = steady(
            || Self::look(config),
            |looked| match looked {
                Ok(view) => view.wrong(),
                Err(error @ (Error::Corruption { .. } | Error::Identity { .. } | Error::Io { .. })) => {
                    Some(format!("{error:#}"))
                }
                Err(_) => None,
            },
        );
        let looked = looked.unwrap_or_else(|| {
            let error = io::Error::new(io::ErrorKind::ResourceBusy, UNSTEADY);
            Err(Error::io(config.dir.display().to_string(), error))
        });
        looked.map_err(|error| error.in_dir(&config.dir))
    }

    /// All faults that were found, in a form that two looks can be compared by.
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

    /// A handle to a shard. Every shard exists; one that was never written to is empty.
    pub fn shard(&self, id: ShardId) -> Shard {
        Shard::new(Arc::clone(&self.store), id)
    }

    /// The shards that hold anything, sorted.
    pub fn shards(&self) -> Vec<ShardId> {
        self.store.shard_ids()
    }

    /// The shards that have lost something, sorted by id.
    pub fn quarantined(&self) -> Vec<(ShardId, Quarantine)> {
        self.store.shards.quarantined()
    }

    /// Whether shards without any known record are held back, because lost records may have been theirs.
    pub fn has_unknown_losses(&self) -> bool {
        self.store.shards.has_unknown_losses()
    }

    /// Reads every live entry in segments in which a verification has found damage. Lost ones put their shards in
    /// quarantine, in this view only. See [`Engine::report_damage`](crate::Engine::report_damage).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the disk fails.
    pub fn report_damage(&self, segments: impl IntoIterator<Item = SegmentId>) -> Result<()> {
        self.store.verify_segments(segments)
    }

    /// The snapshots beside the log.
    pub fn snapshots(&self) -> ReadOnlySnapshots<'_> {
        ReadOnlySnapshots(&self.snapshots)
    }

    /// The report of the opening, with the tail that a writable open would cut.
    pub fn open_report(&self) -> &OpenReport {
        &self.report
    }

    /// The segments of the log, oldest first, and how much of each is live.
    pub fn segments(&self) -> Vec<SegmentSpace> {
        let live = |info: logboom_wal::SegmentInfo| SegmentSpace::new(info, self.usage.live(info.id));
        self.store.source.segments().into_iter().map(live).collect()
    }
}

impl ReadOnlySnapshots<'_> {
    /// All registered snapshots, by shard, each shard's oldest first. Their files are not checked.
    pub fn all(&self) -> Vec<(ShardId, Registered)> {
        self.0.all().into_iter().map(|(shard, registered)| (ShardId(shard), registered)).collect()
    }

    /// The registered snapshots of a shard, oldest first.
    pub fn list(&self, shard: ShardId) -> Vec<Registered> {
        self.0.list(shard.0)
    }

    /// A lease of a shard's snapshot of this id; `None` if it is not registered. It does not keep a concurrent writer
    /// from removing the file.
    ///
    /// # Errors
    /// [`Error::Snapshot`](crate::Error::Snapshot) with `Missing` or `Damaged` when its file is, also because a
    /// concurrent writer has removed it.
    pub fn lease(&self, shard: ShardId, id: u64) -> Result<Option<Lease>> {
        Ok(self.0.lease(shard.0, id)?)
    }
}

impl fmt::Debug for ReadOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOnly").field("shards", &self.report.shards).finish_non_exhaustive()
    }
}
