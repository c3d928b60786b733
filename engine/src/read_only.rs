//! A log that is looked at, and not touched.

use std::{fmt, sync::Arc};

use crate::{Config, OpenReport, Quarantine, Result, Segment, Shard, ShardId, open, store::Store, tally::Tallies};

/// The log of a directory as it was when this was opened: what a writable open would have found.
///
/// It takes no lock and writes nothing. A writer that goes on meanwhile is not followed; when it has used segments
/// again that were read here, reads of their entries fail.
pub struct ReadOnly {
    store: Arc<Store>,
    report: OpenReport,
    tallies: Tallies,
}

impl ReadOnly {
    pub(crate) fn open(config: &Config) -> Result<Self> {
        let (store, report, tallies) = open::view(open::disk_read_only(config)?, config)?;
        Ok(Self { store, report, tallies })
    }

    /// A handle to a shard; one that holds nothing is empty.
    pub fn shard(&self, id: ShardId) -> Shard {
        Shard::new(Arc::clone(&self.store), self.store.shards.get_or_insert(id))
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
    pub fn holds_back_unseen(&self) -> bool {
        self.store.shards.holds_back_unseen()
    }

    /// What opening found, and what a writable open would cut.
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// The segments of the log, oldest first, and how much of each is live.
    pub fn segments(&self) -> Vec<Segment> {
        let live = |info: logboom_wal::SegmentInfo| Segment::new(info, self.tallies.live(info.id));
        self.store.source.segments().into_iter().map(live).collect()
    }
}

impl fmt::Debug for ReadOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOnly").field("shards", &self.report.shards).finish_non_exhaustive()
    }
}
