//! The files of snapshots beside an open log: matched with the log at opening, and removed when no shard needs them.

use std::{fmt, io, sync::Arc, time::Duration};

use logboom_disk::Disk;
use logboom_snapshot::{Error as SnapshotError, Host, Registered, Store};
use logboom_wal::{
    Step, Wal,
    mutants::{self, Mutant},
};

use crate::{
    maintenance::core::Core,
    shard_state::shard_map::ShardMap,
    types::{
        config::Config,
        error::{Error, Result},
        ids::ShardId,
    },
};

/// The snapshots of an open engine.
pub(crate) struct SnapshotFiles {
    pub(crate) store: Store,
    /// How many snapshots a shard keeps when another is registered.
    pub(crate) kept: u32,
}

/// Opens the snapshots that the log names, and removes all other files of snapshots. The recovered log must be durable.
pub(crate) fn open(disk: Arc<dyn Disk>, wal: &Wal, shards: &ShardMap, config: &Config) -> Result<SnapshotFiles> {
    // Keep the files of shards that may have lost a registration: only the file tells that it is theirs.
    let spared = |shard| mutants::is_on(Mutant::LeftoverKept) || may_lack(shards, ShardId(shard));
    let host = Arc::new(LogHost(wal.clone()));
    let opened = Store::open(disk, wal.log_id(), host, registered(shards), spared);
    let store = opened.map_err(|error| match error {
        // An IO error of the opening, like any other.
        SnapshotError::Io { what, error } => Error::shared_io(what, error),
        error => error.into(),
    })?;
    Ok(SnapshotFiles { store, kept: config.snapshots_kept })
}

/// The snapshots beside a log that is open read-only.
pub(crate) fn view(disk: Arc<dyn Disk>, log: [u64; 2], shards: &ShardMap) -> Store {
    Store::view(disk, log, Arc::new(ReadOnlyHost), registered(shards))
}

/// All snapshots that the log names.
fn registered(shards: &ShardMap) -> Vec<(u64, Registered)> {
    let of_shard = |id: ShardId| {
        let cell = shards.get(id)?;
        let snapshots = cell.state.lock().snapshots().to_vec();
        Some(snapshots.into_iter().map(move |snapshot| (id.0, snapshot)))
    };
    shards.ids().into_iter().filter_map(of_shard).flatten().collect()
}

/// Whether a registration of the shard is lost, or may be.
pub(crate) fn may_lack(shards: &ShardMap, shard: ShardId) -> bool {
    let found = shards.find(shard);
    let cell = found.as_ref().unwrap_or_else(|| shards.absent());
    if !cell.published.load().quarantined {
        return false;
    }
    let state = cell.state.lock();
    state.missing().is_some_and(|missing| missing.snapshot.is_some() || missing.suffix)
}

/// How soon to poll for what wakes no machine.
const SOON: Duration = Duration::from_millis(5);

/// Removes the files of snapshots that neither a shard nor a lease needs.
pub(crate) fn step(core: &Core, now: Duration) -> Result<Step> {
    let waits = core.snapshots.store.sweep(core.wal.durable())?;
    Ok(if waits { Step::At(now.saturating_add(SOON)) } else { Step::Parked })
}

/// The host of snapshots that are open read-only: creates and syncs nothing.
#[derive(Debug)]
struct ReadOnlyHost;

impl Host for ReadOnlyHost {
    fn nonce(&self) -> u64 {
        0
    }

    fn sync_failed(&self, _what: &str, _error: &io::Error) {}
}

/// The log as the host of the snapshots beside it.
struct LogHost(Wal);

impl fmt::Debug for LogHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogHost")
    }
}

impl Host for LogHost {
    fn nonce(&self) -> u64 {
        self.0.nonce()
    }

    fn sync_failed(&self, what: &str, error: &io::Error) {
        // `io::Error` is not `Clone`, and the log needs one of its own.
        let copy = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
        self.0.sync_failed(what, copy);
    }

    fn has_work(&self) {
        self.0.worker().kick();
    }
}
