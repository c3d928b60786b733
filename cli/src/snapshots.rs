//! Reads the snapshots of a log in full.

use logboom::{
    ReadOnly, ShardId,
    snapshot::{Progress, Registered, Stop},
};
use serde::Serialize;

use crate::{finding::Finding, output::count, verdict::Damage};

/// The result of reading every registered snapshot.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Snapshots {
    registered: u64,
    /// The bytes of their files, before compression.
    bytes: u64,
    #[serde(skip)]
    pub(crate) damages: Vec<Damage>,
}

impl Snapshots {
    /// Reads the registered snapshots of `log`. A running writer may remove one meanwhile, which is not damage: `again`
    /// opens the log as it is then.
    pub(crate) fn verify(log: &ReadOnly, again: impl Fn() -> logboom::Result<ReadOnly>) -> Self {
        let mut found = Self::default();
        for (shard, snapshot) in log.snapshots().all() {
            found.registered += 1;
            match verify(log, shard, &snapshot) {
                Ok(bytes) => found.bytes += bytes,
                Err(_) if !is_registered(&again, shard, &snapshot) => {}
                Err(error) => {
                    found.damages.push(Damage::unplaced(
                        Finding::Snapshot,
                        &format!("snapshot-{:016x}: {error:#}", snapshot.file),
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

/// Whether the log names the snapshot at this moment.
fn is_registered(again: impl Fn() -> logboom::Result<ReadOnly>, shard: ShardId, snapshot: &Registered) -> bool {
    again().map_or(true, |log| log.snapshots().list(shard).iter().any(|other| other.id == snapshot.id))
}

/// Reads a snapshot in full; the bytes of its files.
fn verify(log: &ReadOnly, shard: ShardId, snapshot: &Registered) -> logboom::Result<u64> {
    let Some(lease) = log.snapshots().lease(shard, snapshot.id)? else { return Ok(0) };
    lease.verify(&Stop::new(), &Progress::default())?;
    Ok(lease.manifest().bytes())
}
