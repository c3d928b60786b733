//! The health of an engine: whether it serves, and whether it is degraded.

use std::{fmt, time::Duration};

use logboom_wal::{EndedMachine, Error as WalError, SegmentRot};

use crate::{maintenance::core::Core, types::error::Error};

/// The faults of an engine at one moment.
///
/// [`Health::serves`] is for load balancing, [`Health::is_degraded`] for operators. An engine with one shard in
/// quarantine is degraded, and serves all others.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Health {
    /// All faults, those that keep the engine from serving first; empty if there are none.
    pub reasons: Vec<Reason>,
}

/// A fault.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// This process is a forked child of the one that opened the log: calls fail with [`Error::Forked`]. Does not
    /// serve. No other fault is looked for: locks that the parent's threads held stay locked here.
    Forked {
        /// The process that opened the log.
        owner: u32,
    },
    /// The log failed, and no batch is acknowledged any more: the engine must be opened again. Does not serve.
    Poisoned(Error),
    /// A thread or machine of the engine has ended by a panic, which is a bug of the engine or of a disk that the
    /// embedder implements: the engine must be opened again. Does not serve.
    Ended(EndedMachine),
    /// A disk operation of any thread has taken longer than [`Config::stall_after`](crate::Config::stall_after): for
    /// this long so far. Does not serve until it ends.
    Stalled(Duration),
    /// The number of shards in [quarantine](crate::Engine::quarantined).
    Quarantined(usize),
    /// Shards without any known record are [held back](crate::Engine::has_unknown_losses).
    UnknownLosses,
    /// Background work has failed and not succeeded since; it is tried again. Meanwhile openings may take longer, space
    /// may not be freed, or appends may have to create segments.
    Background {
        /// What fails: `seal`, `checkpoint`, `compact`, `reclaim`, `verify`, `room`, `snapshots`, `prefill`,
        /// `open segments` or `give back segments`.
        machine: &'static str,
        /// Its last failure.
        error: Error,
    },
    /// The scrub has found damage in a live segment. Lasts until a scrub finds the segment intact, or it is freed.
    Rot(SegmentRot),
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

    /// Whether requests may be sent to this engine: it accepts, writes and reads.
    pub fn serves(&self) -> bool {
        !self.reasons.iter().any(Reason::ends_service)
    }

    /// Whether there is a fault that does not keep the engine from serving.
    pub fn is_degraded(&self) -> bool {
        !self.reasons.iter().all(Reason::ends_service)
    }

    /// Whether there are no faults.
    pub fn is_good(&self) -> bool {
        self.reasons.is_empty()
    }

    /// The failure of the log, if it has failed.
    pub fn poisoned(&self) -> Option<&Error> {
        self.reasons.iter().find_map(|reason| match reason {
            Reason::Poisoned(error) => Some(error),
            _ => None,
        })
    }
}

impl Reason {
    /// Whether this fault keeps the engine from [serving](Health::serves).
    pub fn ends_service(&self) -> bool {
        matches!(self, Self::Forked { .. } | Self::Poisoned(_) | Self::Ended(_) | Self::Stalled(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forked { owner } => write!(f, "process {owner} opened the log, and this one is forked from it"),
            Self::Poisoned(error) => write!(f, "the log has failed, no batch is acknowledged any more: {error:#}"),
            Self::Ended(ended) => write!(f, "{} has ended with a panic: {}", ended.name, ended.panic),
            Self::Stalled(lasts) => write!(f, "a disk operation has taken {} ms so far", lasts.as_millis()),
            Self::Quarantined(1) => f.write_str("1 shard is in quarantine"),
            Self::Quarantined(count) => write!(f, "{count} shards are in quarantine"),
            Self::UnknownLosses => f.write_str("shards without any known record are held back"),
            Self::Background { machine, error } => write!(f, "{machine} fails: {error:#}"),
            Self::Rot(rot) if rot.damages == 1 => write!(f, "segment {} is damaged in 1 place", rot.segment),
            Self::Rot(rot) => write!(f, "segment {} is damaged in {} places", rot.segment, rot.damages),
        }
    }
}
