//! The files of snapshots beside an open log: taken over at opening, and removed when no shard needs them.

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

/// What an open engine has of snapshots.
pub(crate) struct Kept {
    pub(crate) store: Store,
    /// How many of a shard stay when another is registered.
    pub(crate) kept: u32,
}

/// Takes over the snapshots beside the log, and removes what a crash left. The log must be durable as it was
/// recovered: what it does not name is gone after this.
pub(crate) fn open(disk: Arc<dyn Disk>, wal: &Wal, shards: &ShardMap, config: &Config) -> Result<Kept> {
    // A registration may be among what is lost: then only the file says whose it is.
    let spared = |shard| mutants::is_on(Mutant::LeftoverKept) || may_lack(shards, ShardId(shard));
    let host = Arc::new(Beside(wal.clone()));
    let opened = Store::open(disk, wal.log_id(), host, registered(shards), spared);
    let store = opened.map_err(|error| match error {
        // Of the opening, as any other.
        SnapshotError::Io { what, error } => Error::shared_io(what, error),
        error => error.into(),
    })?;
    Ok(Kept { store, kept: config.snapshots_kept })
}

/// The snapshots beside a log that is only looked at.
pub(crate) fn view(disk: Arc<dyn Disk>, log: [u64; 2], shards: &ShardMap) -> Store {
    Store::view(disk, log, Arc::new(Onlooker), registered(shards))
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

/// How soon to look again for something that no kick announces.
const SOON: Duration = Duration::from_millis(5);

/// Removes the files of snapshots that no shard and no lease needs any more.
pub(crate) fn step(core: &Core, now: Duration) -> Result<Step> {
    let waits = core.snapshots.store.sweep(core.wal.durable())?;
    Ok(if waits { Step::At(now.saturating_add(SOON)) } else { Step::Parked })
}

/// In the place of a log that cannot be written to: nothing is made, and nothing synced.
#[derive(Debug)]
struct Onlooker;

impl Host for Onlooker {
    fn nonce(&self) -> u64 {
        0
    }

    fn sync_failed(&self, _what: &str, _error: &io::Error) {}
}

/// The log, as the snapshots beside it see it.
struct Beside(Wal);

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Beside")
    }
}

impl Host for Beside {
    fn nonce(&self) -> u64 {
        self.0.nonce()
    }

    fn sync_failed(&self, what: &str, error: &io::Error) {
        // An error is of one owner, and the log tells everyone of this one.
        let copy = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
        self.0.sync_failed(what, copy);
    }

    fn has_work(&self) {
        self.0.worker().kick();
    }
}
