//! The section of a checkpoint that lists what is lost of which shard: later openings do not replay the segments in
//! which the losses were found.
//!
//! It precedes the checkpoint's tables, and is absent if nothing is lost. The bytes are laid out in
//! FORMAT.md, "Checkpoint".

use std::collections::BTreeMap;

use logboom_wal::Sequence;
use rkyv::{Archive, Serialize};

use crate::{
    encoding::archive::ArchiveFormat,
    shard_state::quarantine::Missing,
    types::{error::Result, ids::ShardId, ranges::Ranges},
};

const FORMAT: ArchiveFormat = ArchiveFormat { name: *b"damage", version: 1 };

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Damages {
    pub(crate) missing: BTreeMap<ShardId, Missing>,
    pub(crate) unknown_losses: Option<UnknownLosses>,
}

/// Records of unknown shards are lost: shards without any known record are held back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnknownLosses {
    /// The checkpoint reflects the records before this.
    pub(crate) upto: Sequence,
    /// Shards that are known to be empty, and so are not held back.
    pub(crate) empty: Vec<ShardId>,
}

#[derive(Archive, Debug, Default, Serialize)]
struct DamagesArchive {
    shards: Vec<ShardArchive>,
    has_unknown_losses: bool,
    upto: u64,
    empty: Vec<u64>,
}

#[derive(Archive, Debug, Serialize)]
struct ShardArchive {
    shard: u64,
    /// Half-open.
    entries: Vec<(u64, u64)>,
    /// The sequence of the lost record, 0 for none.
    hard_state: u64,
    keys: u32,
    suffix: bool,
}

impl Damages {
    pub(crate) fn add(&mut self, shard: ShardId, missing: &Missing) {
        self.missing.insert(shard, missing.clone());
    }

    /// Adds a shard that is known to be empty.
    pub(crate) fn add_empty(&mut self, shard: ShardId) {
        self.unknown_losses.get_or_insert_default().empty.push(shard);
    }

    /// Sets whether shards without any known record are held back, and if so, as of which record.
    pub(crate) fn close(&mut self, upto: Option<Sequence>) {
        let empty = self.unknown_losses.take().unwrap_or_default().empty;
        self.unknown_losses = upto.map(|upto| UnknownLosses { upto, empty });
    }

    /// The bytes; none if nothing is lost.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        if self.missing.is_empty() && self.unknown_losses.is_none() {
            return Ok(Vec::new());
        }
        let shard = |(shard, missing): (&ShardId, &Missing)| ShardArchive {
            shard: shard.0,
            entries: missing.entries.iter().map(|range| (range.start, range.end)).collect(),
            hard_state: missing.hard_state.unwrap_or(Sequence::NONE).0,
            keys: missing.keys,
            suffix: missing.suffix,
        };
        let unknown_losses = self.unknown_losses.clone().unwrap_or_default();
        FORMAT.encode_section(&DamagesArchive {
            shards: self.missing.iter().map(shard).collect(),
            has_unknown_losses: self.unknown_losses.is_some(),
            upto: unknown_losses.upto.0,
            empty: unknown_losses.empty.iter().map(|shard| shard.0).collect(),
        })
    }

    /// Splits this section from the front of a checkpoint.
    pub(crate) fn split(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let Some((section, rest)) = FORMAT.split_section(bytes)? else { return Ok((Self::default(), bytes)) };
        let damages = FORMAT.decode::<DamagesArchive, Self>(&section, |archive| Ok(Self::from(archive)))?;
        Ok((damages, rest))
    }
}

impl From<&ArchivedDamagesArchive> for Damages {
    fn from(archive: &ArchivedDamagesArchive) -> Self {
        let missing = |row: &ArchivedShardArchive| {
            let hard_state = row.hard_state.to_native();
            let entries: Ranges = row.entries.iter().map(|range| range.0.to_native()..range.1.to_native()).collect();
            let missing = Missing {
                entries,
                hard_state: (hard_state != 0).then_some(Sequence(hard_state)),
                keys: row.keys.to_native(),
                snapshot: None,
                suffix: row.suffix,
                unknown: false,
            };
            (ShardId(row.shard.to_native()), missing)
        };
        let unknown_losses = UnknownLosses {
            upto: Sequence(archive.upto.to_native()),
            empty: archive.empty.iter().map(|shard| ShardId(shard.to_native())).collect(),
        };
        Self {
            missing: archive.shards.iter().map(missing).collect(),
            unknown_losses: archive.has_unknown_losses.then_some(unknown_losses),
        }
    }
}
