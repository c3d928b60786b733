//! Whether the engine is well: two questions, for two who ask.

use std::{fmt, time::Duration};

use logboom_wal::{Ended, Error as WalError, Rot};

use crate::{maintenance::core::Core, types::error::Error};

/// What is wrong at this moment, if anything.
///
/// [`Health::serves`] is for who decides whether to send requests to this node; [`Health::is_degraded`] for who looks
/// after it. One shard that is held back makes an engine degraded, which serves all others.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Health {
    /// All that is wrong, what keeps the engine from serving first; empty if nothing is.
    pub reasons: Vec<Reason>,
}

/// Something that is wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// This process is a child that was forked from the one that opened the log: every call answers
    /// [`Error::Forked`]. It does not serve. Nothing else is looked at: what its threads had locked stays locked here.
    Forked {
        /// The process that opened the log.
        owner: u32,
    },
    /// A failure after which nothing is acknowledged any more: the engine must be opened again. It does not serve.
    Poisoned(Error),
    /// A thread or a machine of the engine's has ended, which is a bug of it or of a disk of the embedder's own: the
    /// engine must be opened again. It does not serve.
    Ended(Ended),
    /// The disk has not answered an operation for longer than [`Config::stall_after`](crate::Config::stall_after),
    /// whichever thread waits for it: for this long. It does not serve, until it is answered.
    Stalled(Duration),
    /// Shards are in [quarantine](crate::Engine::quarantined), so many.
    Quarantined(usize),
    /// Shards that nothing is known of are [held back](crate::Engine::has_unknown_losses).
    UnknownLosses,
    /// Background work has failed and not succeeded since; it is tried again. Opening takes longer meanwhile, space
    /// does not come back, or who appends must make segments.
    Background {
        /// What fails: `seal`, `checkpoint`, `compact`, `reclaim`, `verify`, `room`, `snapshots`, `prefill`,
        /// `open segments` or `give back segments`.
        machine: &'static str,
        /// How it failed last.
        error: Error,
    },
    /// The background reading has found something in a live segment that is not what was written; until a reading finds
    /// it well, or the segment is given back.
    Rot(Rot),
}

impl Health {
    pub(crate) fn of(core: &Core) -> Self {
        if let Err(WalError::Forked { owner }) = core.wal.check_process() {
            return Self { reasons: vec![Reason::Forked { owner }] };
        }
        let (log, shards) = (core.wal.health(), &core.store.shards);
        let mut reasons = Vec::new();
        reasons.extend(log.poisoned.map(|error| Reason::Poisoned(error.into())));
        reasons.extend(log.ended.into_iter().map(Reason::Ended));
        reasons.extend(log.stalled.map(Reason::Stalled));
        reasons.extend(Some(shards.count_quarantined()).filter(|&count| count > 0).map(Reason::Quarantined));
        reasons.extend(shards.has_unknown_losses().then_some(Reason::UnknownLosses));
        let of_log = log.failing.into_iter().map(|(machine, error)| (machine, Error::from(error)));
        let failing = of_log.chain(core.background_failures());
        reasons.extend(failing.map(|(machine, error)| Reason::Background { machine, error }));
        reasons.extend(log.rot.into_iter().map(Reason::Rot));
        Self { reasons }
    }

    /// Whether requests may be sent here: the engine accepts, writes and reads.
    pub fn serves(&self) -> bool {
        !self.reasons.iter().any(Reason::ends_service)
    }

    /// Whether something is to be looked after that keeps the engine as a whole from nothing.
    pub fn is_degraded(&self) -> bool {
        !self.reasons.iter().all(Reason::ends_service)
    }

    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.reasons.is_empty()
    }

    /// The failure after which nothing is acknowledged any more.
    pub fn poisoned(&self) -> Option<&Error> {
        self.reasons.iter().find_map(|reason| match reason {
            Reason::Poisoned(error) => Some(error),
            _ => None,
        })
    }
}

impl Reason {
    /// Whether an engine of which this holds does not [serve](Health::serves).
    pub fn ends_service(&self) -> bool {
        matches!(self, Self::Forked { .. } | Self::Poisoned(_) | Self::Ended(_) | Self::Stalled(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forked { owner } => write!(f, "process {owner} opened the log, and this one is forked from it"),
            Self::Poisoned(error) => write!(f, "the log has failed, nothing is acknowledged any more: {error}"),
            Self::Ended(ended) => write!(f, "{} has ended, with a panic: {}", ended.name, ended.panic),
            Self::Stalled(lasts) => write!(f, "the disk has not answered for {} ms", lasts.as_millis()),
            Self::Quarantined(1) => f.write_str("1 shard is in quarantine"),
            Self::Quarantined(count) => write!(f, "{count} shards are in quarantine"),
            Self::UnknownLosses => f.write_str("shards that nothing is known of are held back"),
            Self::Background { machine, error } => write!(f, "{machine} fails: {error}"),
            Self::Rot(rot) if rot.damages == 1 => write!(f, "segment {} is damaged in 1 place", rot.segment),
            Self::Rot(rot) => write!(f, "segment {} is damaged in {} places", rot.segment, rot.damages),
        }
    }
}
