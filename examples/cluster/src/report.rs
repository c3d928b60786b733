//! `Report`: the figures of a run.

use std::{fmt, time::Duration};

use crate::{
    history::{Answer, Call, Operation},
    status::Status,
};

/// The figures of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How long clients ran.
    pub(crate) seconds: f64,
    pub(crate) kills: u32,
    pub(crate) partitions: u32,
    /// The time from each kill until the cluster had recovered.
    pub(crate) recoveries: Vec<Duration>,
    /// The totals of the nodes, from their last statuses.
    pub(crate) nodes: Status,
    reads: usize,
    writes: usize,
    refused_swaps: usize,
    unknown: usize,
    /// Sorted, in microseconds.
    latencies: Vec<u64>,
}

impl Report {
    /// Counts the operations of clients.
    pub(crate) fn count(&mut self, history: &[Operation]) {
        for operation in history {
            match (operation.call, operation.answered) {
                (Call::Get, Some(_)) => self.reads += 1,
                (_, Some((_, Answer::Kept(_)))) => self.refused_swaps += 1,
                (_, Some(_)) => self.writes += 1,
                (_, None) => self.unknown += 1,
            }
            self.latencies.extend(operation.answered.map(|(at, _)| (at - operation.invoked) / 1000));
        }
        self.latencies.sort_unstable();
    }

    /// The latency that `per_mille` of a thousand operations do not exceed, in milliseconds.
    fn quantile(&self, per_mille: usize) -> f64 {
        let at = self.latencies.len() * per_mille / 1000;
        let micros = self.latencies.get(at.min(self.latencies.len().saturating_sub(1))).copied().unwrap_or(0);
        micros as f64 / 1000.0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations = self.reads + self.writes + self.refused_swaps;
        let seconds = |duration: Option<&Duration>| duration.copied().unwrap_or_default().as_secs_f64();
        let mut recoveries = self.recoveries.clone();
        recoveries.sort_unstable();
        let Status { elections, saved, sent, installed, applied, batches, messages, frames, .. } = self.nodes;
        let rows = [
            ("operations", format!("{operations} in {:.0} s", self.seconds)),
            ("  reads", self.reads.to_string()),
            ("  writes acknowledged", format!("{}, and {} swaps refused", self.writes, self.refused_swaps)),
            ("  writes with unknown outcome", self.unknown.to_string()),
            ("  latency p50, p99, p99.9", {
                let [half, most, nearly] = [500, 990, 999].map(|per_mille| self.quantile(per_mille));
                format!("{half:.1}, {most:.1}, {nearly:.1} ms")
            }),
            ("kills", self.kills.to_string()),
            ("partitions", self.partitions.to_string()),
            ("recovery from a kill p50, max", {
                let (half, most) = (recoveries.get(recoveries.len() / 2), recoveries.last());
                format!("{:.1}, {:.1} s", seconds(half), seconds(most))
            }),
            ("elections won", elections.to_string()),
            ("snapshots saved, sent, installed", format!("{saved}, {sent}, {installed}")),
            ("entries applied", applied.to_string()),
            ("batches written", batches.to_string()),
            ("messages, in frames", format!("{messages}, {frames}")),
        ];
        rows.iter().try_for_each(|(name, value)| writeln!(f, "{name:<33} {value}"))
    }
}
