//! The snapshots beside a log, read in full.

use std::path::Path;

use logboom::{
    Config, Engine, ShardId,
    snapshot::{Progress, Registered, Stop},
};
use serde::Serialize;

use crate::{output::count, verdict::Damage};

/// What reading every registered snapshot found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Snapshots {
    registered: u64,
    /// The bytes of their files, before compression.
    bytes: u64,
    #[serde(skip)]
    pub(crate) damages: Vec<Damage>,
}

impl Snapshots {
    /// Reads those that the log in `dir` names. A log that cannot be opened names none: what is wrong with it is said
    /// elsewhere.
    pub(crate) fn verify(dir: &Path) -> Self {
        let mut config = Config::new(dir);
        config.create = false;
        let mut found = Self::default();
        let Ok(log) = Engine::open_read_only(config) else { return found };
        for (shard, snapshot) in log.snapshots() {
            found.registered += 1;
            match verify(&log, shard, &snapshot) {
                Ok(bytes) => found.bytes += bytes,
                Err(error) => {
                    found.damages.push(Damage::unplaced(&format!("snapshot-{:016x}: {error}", snapshot.file)));
                }
            }
        }
        found
    }

    pub(crate) fn text(&self) -> String {
        format!("{}, {}", count(self.registered, "snapshot"), crate::output::size(self.bytes))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.registered == 0
    }
}

/// Reads a snapshot in full; the bytes of its files.
fn verify(log: &logboom::ReadOnly, shard: ShardId, snapshot: &Registered) -> logboom::Result<u64> {
    let Some(lease) = log.lease(shard, snapshot.id)? else { return Ok(0) };
    lease.verify(&Stop::new(), &Progress::default())?;
    Ok(lease.manifest().bytes())
}
