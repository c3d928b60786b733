//! The snapshots beside a log, read in full.

use logboom::{
    ReadOnly, ShardId,
    snapshot::{Progress, Registered, Stop},
};
use serde::Serialize;

use crate::{finding::Finding, output::count, verdict::Damage};

/// What reading every registered snapshot found.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Snapshots {
    registered: u64,
    /// The bytes of their files, before compression.
    bytes: u64,
    #[serde(skip)]
    pub(crate) damages: Vec<Damage>,
}

impl Snapshots {
    /// Reads those that the log names.
    pub(crate) fn verify(log: &ReadOnly) -> Self {
        let mut found = Self::default();
        for (shard, snapshot) in log.snapshots() {
            found.registered += 1;
            match verify(log, shard, &snapshot) {
                Ok(bytes) => found.bytes += bytes,
                Err(error) => {
                    found.damages.push(Damage::unplaced(
                        Finding::Snapshot,
                        &format!("snapshot-{:016x}: {error}", snapshot.file),
                    ));
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
fn verify(log: &ReadOnly, shard: ShardId, snapshot: &Registered) -> logboom::Result<u64> {
    let Some(lease) = log.lease(shard, snapshot.id)? else { return Ok(0) };
    lease.verify(&Stop::new(), &Progress::default())?;
    Ok(lease.manifest().bytes())
}
