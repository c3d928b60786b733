//! The groups that a round was saved without.

use logboom::ShardId;

use crate::error::{Error, Result};

/// The groups that a round was saved without, since their shards have gone into [quarantine](logboom::Quarantine):
/// nothing of theirs was written, and their messages are gone. See [fail stop](crate#fail-stop).
///
/// Their nodes are to be dropped, without an `advance` of what was not saved: to them it would be durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "the nodes of these groups are to be dropped"]
pub struct LeftOut(pub(crate) Vec<ShardId>);

impl LeftOut {
    /// Whether the round was saved as it was.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the group of `shard` is one of them.
    pub fn contains(&self, shard: ShardId) -> bool {
        self.0.contains(&shard)
    }

    /// Their shards, each once, in no order.
    pub fn shards(&self) -> &[ShardId] {
        &self.0
    }

    /// For a loop of one group, which ends with it.
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
