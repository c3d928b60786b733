//! Whether the engine is well.

use crate::{Error, core::Core};

/// What is wrong at this moment, if anything.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// The failure after which nothing is acknowledged any more; the engine must be opened again.
    pub poisoned: Option<Error>,
    /// How long the disk has not answered, in microseconds; 0 while it does.
    pub stalled_for_us: u64,
    /// A failure of sealing, checkpointing or reclaiming, until that succeeds: the log goes on meanwhile, but opening
    /// it takes longer, and space does not come back.
    pub background: Option<Error>,
    /// Shards in [quarantine](crate::Engine::quarantined).
    pub quarantined: usize,
    /// Shards that nothing is known of are [held back](crate::Engine::holds_back_unseen).
    pub holds_back_unseen: bool,
}

impl Health {
    pub(crate) fn of(core: &Core) -> Self {
        let log = core.wal.health();
        Self {
            poisoned: log.poisoned.map(Error::from),
            stalled_for_us: u64::try_from(log.waiting.as_micros()).unwrap_or(u64::MAX),
            background: core.background_failures().into_iter().next().map(|(_, error)| error),
            quarantined: core.store.shards.quarantined().len(),
            holds_back_unseen: core.store.shards.holds_back_unseen(),
        }
    }

    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        let goes_on = self.poisoned.is_none() && self.stalled_for_us == 0 && self.background.is_none();
        goes_on && self.quarantined == 0 && !self.holds_back_unseen
    }
}
