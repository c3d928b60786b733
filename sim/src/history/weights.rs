//! The weights of a history: how often it does each thing.

use super::Scope;
use crate::choices::Choices;

/// The weights of a history, chosen once.
pub(super) struct Weights {
    pub(super) rounds: u64,
    pub(super) batches_max: u64,
    /// In percent: batches that are lazy, that are waited for, and after which time passes; steps between batches.
    pub(super) lazy: u64,
    pub(super) waits: u64,
    pub(super) pauses: u64,
    /// In percent: batches that come in bursts without a step in between, so that several writes are in flight.
    pub(super) bursts: u64,
    pub(super) steps_max: u64,
    /// In percent: rounds with a failure of the device; openings that are interrupted.
    pub(super) faults: u64,
    pub(super) interruptions: u64,
    /// In percent: rounds in which the machine stops in the middle of an operation.
    pub(super) halts: u64,
    /// In percent: before an opening, a checkpoint slot rots.
    pub(super) rots: u64,
    /// In percent: batches after which the engine is asked to reclaim space.
    pub(super) reclaims: u64,
    /// In percent: batches after which something is done with snapshots; with a copy of the log.
    pub(super) snapshots: u64,
    pub(super) copies: u64,
    /// In percent: batches that compact everything, lazily, and may be the last ones for this engine.
    pub(super) releases: u64,
    /// In percent: rounds at whose end the lock is removed, and another process opens the log.
    pub(super) second_processes: u64,
    /// In percent: rounds after which the log is opened again and again with almost no writes.
    pub(super) restarts: u64,
    /// In percent: callbacks and wakers that panic, or use the engine.
    pub(super) foreign: u64,
    /// In percent: rounds in which the disk silently damages data.
    pub(super) damages: u64,
    /// Whether no two entries that a shard ever had at an index have the same term, as in raft. A lost entry is told by
    /// its term from one that it replaced, so no other history is damaged.
    pub(super) unique_terms: bool,
}

impl Weights {
    pub(super) fn choose(choices: &mut Choices, scope: Scope) -> Self {
        let everything = scope == Scope::Everything;
        let chosen = Self {
            rounds: choices.pick(&[4, 8, 14]),
            batches_max: choices.pick(&[4, 12, 30, 100]),
            lazy: choices.pick(&[0, 25, 25, 60]),
            waits: choices.pick(&[0, 10, 33, 90]),
            pauses: choices.pick(&[0, 5, 20]),
            bursts: choices.pick(&[0, 0, 20, 60]),
            steps_max: choices.pick(&[1, 2, 4, 4, 12]),
            faults: if everything { choices.pick(&[0, 0, 20, 50]) } else { 0 },
            interruptions: if scope == Scope::Operations { 0 } else { choices.pick(&[0, 30, 60]) },
            halts: if scope == Scope::Operations { 0 } else { choices.pick(&[0, 30, 80]) },
            rots: if everything { choices.pick(&[0, 0, 20, 50]) } else { 0 },
            reclaims: choices.pick(&[0, 0, 3, 20]),
            snapshots: choices.pick(&[0, 0, 5, 15]),
            copies: 0,
            second_processes: 0,
            restarts: 0,
            foreign: 0,
            releases: choices.pick(&[0, 0, 3, 15, 30]),
            // Few histories: after damage much less can be asked for.
            damages: if everything && choices.percent(8) { choices.pick(&[30, 60]) } else { 0 },
            unique_terms: false,
        };
        // A copy is as damaged as the log: there is nothing to hold it against.
        let copies = if chosen.damages > 0 { 0 } else { choices.pick(&[0, 0, 0, 0, 0, 5]) };
        let second_processes = if everything { choices.pick(&[0, 0, 0, 15]) } else { 0 };
        let restarts = if scope == Scope::Operations { 0 } else { choices.pick(&[0, 0, 0, 0, 0, 0, 0, 10]) };
        // What callbacks write is in no model, by which it could be mended.
        let foreign = if chosen.damages > 0 { 0 } else { choices.pick(&[0, 0, 20, 60]) };
        let unique_terms = chosen.damages > 0 || everything && choices.percent(25);
        Self { copies, second_processes, restarts, foreign, unique_terms, ..chosen }
    }
}
