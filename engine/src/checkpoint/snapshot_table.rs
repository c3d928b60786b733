//! The section of a checkpoint that lists registered snapshots, and the shards of which a registration is lost.
//!
//! It precedes the checkpoint's tables, and is absent if there are neither. The bytes are laid out in FORMAT.md,
//! "Checkpoint".

use std::collections::BTreeMap;

use logboom_snapshot::Registered;
use logboom_wal::{
    Sequence,
    mutants::{self, Mutant},
};
use rkyv::{Archive, Serialize};

use crate::{
    encoding::archive::ArchiveFormat,
    shard_state::state::State,
    types::{error::Result, ids::ShardId},
};

const FORMAT: ArchiveFormat = ArchiveFormat { name: *b"snapsh", version: 1 };

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct SnapshotTable {
    shards: BTreeMap<ShardId, Snapshots>,
}

/// The snapshots of a shard.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    /// Oldest first.
    pub(crate) registered: Vec<Registered>,
    /// The lost record of a registration.
    pub(crate) lost: Option<Sequence>,
}

#[derive(Archive, Debug, Default, Serialize)]
struct TableArchive {
    shards: Vec<ShardArchive>,
}

#[derive(Archive, Debug, Serialize)]
struct ShardArchive {
    shard: u64,
    registered: Vec<RegisteredArchive>,
    /// The sequence of the lost record, 0 for none.
    lost: u64,
}

#[derive(Archive, Debug, Serialize)]
struct RegisteredArchive {
    index: u64,
    term: u64,
    id: u64,
    file: u64,
    manifest_crc: u32,
}

impl SnapshotTable {
    pub(crate) fn add(&mut self, shard: ShardId, state: &State) {
        let lost = state.missing().and_then(|missing| missing.snapshot);
        let is_known = !state.snapshots().is_empty() && !mutants::is_on(Mutant::SnapshotForgotten);
        if lost.is_some() || is_known {
            self.shards.insert(shard, Snapshots { registered: state.snapshots().to_vec(), lost });
        }
    }

    pub(crate) fn remove(&mut self, shard: ShardId) -> Snapshots {
        self.shards.remove(&shard).unwrap_or_default()
    }

    /// The bytes; none if the table is empty.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        if self.shards.is_empty() {
            return Ok(Vec::new());
        }
        let shard = |(shard, snapshots): (&ShardId, &Snapshots)| ShardArchive {
            shard: shard.0,
            registered: snapshots.registered.iter().map(RegisteredArchive::from).collect(),
            lost: snapshots.lost.unwrap_or(Sequence::NONE).0,
        };
        FORMAT.encode_section(&TableArchive { shards: self.shards.iter().map(shard).collect() })
    }

    /// Splits this section from the front of what follows the damages.
    pub(crate) fn split(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let Some((section, rest)) = FORMAT.split_section(bytes)? else { return Ok((Self::default(), bytes)) };
        let shard = |row: &ArchivedShardArchive| {
            let registered = row.registered.iter().map(Registered::from).collect();
            let lost = row.lost.to_native();
            let snapshots = Snapshots { registered, lost: (lost != 0).then_some(Sequence(lost)) };
            (ShardId(row.shard.to_native()), snapshots)
        };
        let table = FORMAT.decode::<TableArchive, Self>(&section, |archive| {
            Ok(Self { shards: archive.shards.iter().map(shard).collect() })
        })?;
        Ok((table, rest))
    }
}

impl From<&Registered> for RegisteredArchive {
    fn from(snapshot: &Registered) -> Self {
        let &Registered { index, term, id, file, manifest_crc } = snapshot;
        Self { index, term, id, file, manifest_crc }
    }
}

impl From<&ArchivedRegisteredArchive> for Registered {
    fn from(row: &ArchivedRegisteredArchive) -> Self {
        Self {
            index: row.index.to_native(),
            term: row.term.to_native(),
            id: row.id.to_native(),
            file: row.file.to_native(),
            manifest_crc: row.manifest_crc.to_native(),
        }
    }
}
