//! `LeftOut`: the groups that a round could not save.

use logboom::ShardId;

use crate::error::{Error, Result};

/// The groups that a round could not save because their shards are in [quarantine](logboom::Quarantine): nothing of
/// theirs was written, and their messages were dropped. See [fail stop](crate#fail-stop).
///
/// Drop their nodes without calling `advance`: a node would take the unsaved entries for durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "the nodes of these groups are to be dropped"]
pub struct LeftOut(pub(crate) Vec<ShardId>);

impl LeftOut {
    /// Whether the whole round was saved.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the group of `shard` was left out.
    pub fn contains(&self, shard: ShardId) -> bool {
        self.0.contains(&shard)
    }

    /// The shards of these groups, each once, in no particular order.
    pub fn shards(&self) -> &[ShardId] {
        &self.0
    }

    /// Turns a left-out group into an error, for a loop of a single group.
    ///
    /// # Errors
    /// [`Error::Engine`] with [`logboom::Error::Quarantined`] if any group was left out.
    pub fn into_result(self) -> Result<()> {
        match self.0.first() {
            Some(shard) => Err(Error::Engine(logboom::Error::Quarantined { shard: *shard })),
            None => Ok(()),
        }
    }
}
