//! What a checkpoint remembers of damage: what is missing of which shards, when the segments that told are not read any
//! more.
//!
//! Stands in front of the checkpoint's tables, and only where there is something to say.

use std::collections::BTreeMap;

use logboom_wal::Sequence;
use rkyv::{Archive, Serialize};

use crate::{
    encoding::archive::Form,
    shard_state::quarantine::Missing,
    types::{error::Result, ids::ShardId, ranges::Ranges},
};

const FORM: Form = Form { name: *b"damage", version: 1 };

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Damages {
    pub(crate) missing: BTreeMap<ShardId, Missing>,
    pub(crate) unseen: Option<Unseen>,
}

/// Shards that nothing is known of are held back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unseen {
    /// Records before this are reflected.
    pub(crate) upto: Sequence,
    /// Shards that are known to hold nothing.
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

    /// Notes a shard that is known to hold nothing.
    pub(crate) fn add_empty(&mut self, shard: ShardId) {
        self.unseen.get_or_insert_default().empty.push(shard);
    }

    /// Notes whether shards that nothing is known of are held back: if so, it is as of `upto`.
    pub(crate) fn close(&mut self, upto: Option<Sequence>) {
        let empty = self.unseen.take().unwrap_or_default().empty;
        self.unseen = upto.map(|upto| Unseen { upto, empty });
    }

    /// The bytes; none if there is nothing to say.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        if self.missing.is_empty() && self.unseen.is_none() {
            return Ok(Vec::new());
        }
        let shard = |(shard, missing): (&ShardId, &Missing)| ShardArchive {
            shard: shard.0,
            entries: missing.entries.iter().map(|range| (range.start, range.end)).collect(),
            hard_state: missing.hard_state.unwrap_or(Sequence::NONE).0,
            keys: missing.keys,
            suffix: missing.suffix,
        };
        let unseen = self.unseen.clone().unwrap_or_default();
        FORM.encode_section(&DamagesArchive {
            shards: self.missing.iter().map(shard).collect(),
            has_unknown_losses: self.unseen.is_some(),
            upto: unseen.upto.0,
            empty: unseen.empty.iter().map(|shard| shard.0).collect(),
        })
    }

    /// What a checkpoint begins with, and the rest of it.
    pub(crate) fn split(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let Some((section, rest)) = FORM.split_section(bytes)? else { return Ok((Self::default(), bytes)) };
        let damages = FORM.decode::<DamagesArchive, Self>(&section, |archive| Ok(Self::from(archive)))?;
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
                unseen: false,
            };
            (ShardId(row.shard.to_native()), missing)
        };
        let unseen = Unseen {
            upto: Sequence(archive.upto.to_native()),
            empty: archive.empty.iter().map(|shard| ShardId(shard.to_native())).collect(),
        };
        Self {
            missing: archive.shards.iter().map(missing).collect(),
            unseen: archive.has_unknown_losses.then_some(unseen),
        }
    }
}
