//! `Axis`: a quantity that grows, its points, and the workload at each.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::curve::Figures;
use crate::{
    Result,
    job::{Outcome, Task, round},
    system::{Reach, System},
    workload::{Round, Shape, WRITTEN_CPU, recover, sync},
};

/// A quantity that grows.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// Shards of a log, with a fixed number of entries in all, at least 20 of each shard.
    Shards,
    /// Entries of a log, of 64 B, over 1000 shards.
    Entries,
    /// Bytes of an entry, written by 16 blocking writers.
    Payload,
    /// Blocking writers of 1 KiB, a shard each.
    Writers,
}

impl Axis {
    /// All axes.
    pub const ALL: [Axis; 4] = [Axis::Shards, Axis::Entries, Axis::Payload, Axis::Writers];

    /// The points up to `most`, ascending; the first point is always included.
    pub fn points(self, most: u64) -> impl Iterator<Item = u64> {
        let points = match self {
            Axis::Shards => SHARDS,
            Axis::Entries => ENTRIES,
            Axis::Payload => PAYLOADS,
            Axis::Writers => WRITERS,
        };
        points.iter().copied().enumerate().filter(move |(place, at)| *place == 0 || *at <= most).map(|(_, at)| at)
    }

    /// Whether `system` can be measured along this axis.
    pub fn runs_on(self, system: System) -> bool {
        matches!(self, Axis::Payload | Axis::Writers) || system.reach() >= Reach::Pairs
    }

    /// Measures one round at a point.
    pub fn measure(self, round: &Round<'_>, at: u64) -> Result<Figures> {
        match self {
            Axis::Shards => stored(round, &many_shards(at)),
            Axis::Entries => stored(round, &Shape { entries: at.div_ceil(ENTRY_SHARDS), ..STORED }),
            Axis::Payload => written(round, PAYLOAD_WRITERS, usize::try_from(at)?),
            Axis::Writers => written(round, u32::try_from(at)?, WRITER_PAYLOAD),
        }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Axis::Shards => "shards",
            Axis::Entries => "entries",
            Axis::Payload => "payload",
            Axis::Writers => "writers",
        })
    }
}

const SHARDS: &[u64] = &[10, 100, 1_000, 10_000, 100_000];
const ENTRIES: &[u64] = &[10_000, 100_000, 1_000_000, 10_000_000, 50_000_000];
const PAYLOADS: &[u64] = &[16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
const WRITERS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

const PAYLOAD_WRITERS: u32 = 16;
const WRITER_PAYLOAD: usize = 1 << 10;

/// The entries of all shards together on the axis of shards: enough for a steady figure.
const ENTRIES_OF_ALL: u64 = 400_000;
/// The least entries of each shard on the axis of shards.
const ENTRIES_MIN: u64 = 20;
/// The most shards in one batch: the same at most points, since a batch has a cost of its own.
const WIDTH: u64 = 100;
/// The number of shards on the axis of entries.
const ENTRY_SHARDS: u64 = 1000;

/// A log of small entries, so that the cost is that of framing and index, and not of bytes.
const STORED: Shape = Shape { shards: ENTRY_SHARDS, payload: 64, run: 8, width: 125, ..Shape::RECOVER };

fn many_shards(shards: u64) -> Shape {
    let entries = (ENTRIES_OF_ALL / shards).max(ENTRIES_MIN);
    Shape { shards, entries, run: 1, width: shards.min(WIDTH), states: true, ..STORED }
}

/// Writes a log, kills its writer, and opens it again.
fn stored(round: &Round<'_>, shape: &Shape) -> Result<Figures> {
    let outcome = recover::round(round, shape)?;
    let per_entry = |note: &str| outcome.notes.get(note).and_then(serde_json::Value::as_f64);
    let mut figures = Figures::default();
    figures.extend(per_entry(WRITTEN_CPU).map(|us| ("append_cpu_us".to_owned(), us)));
    figures.extend(["open_ms", "touch_ms"].into_iter().filter_map(|name| own(&outcome, name)));
    figures.insert("touch_p50_us".to_owned(), outcome.latencies.quantile_us(0.5));
    figures.insert("open_rss_mib".to_owned(), round_mib(outcome.peak_rss_bytes));
    Ok(figures)
}

/// Lets writers append, each as soon as its last entry is durable.
fn written(round: &Round<'_>, writers: u32, payload: usize) -> Result<Figures> {
    let outcome = round.run(Task::Sync(sync::Load { writers, payload }))?;
    let seconds = outcome.elapsed.as_secs_f64();
    Ok(Figures::from([
        ("ops_per_s".to_owned(), self::round(outcome.ops_per_s())),
        ("mb_per_s".to_owned(), self::round(outcome.bytes as f64 / 1e6 / seconds)),
        ("p50_us".to_owned(), self::round(outcome.latencies.quantile_us(0.5))),
        ("p99_us".to_owned(), self::round(outcome.latencies.quantile_us(0.99))),
        ("cpu_us_per_op".to_owned(), self::round(outcome.cpu.as_secs_f64() * 1e6 / outcome.ops.max(1) as f64)),
    ]))
}

fn own(outcome: &Outcome, name: &str) -> Option<(String, f64)> {
    Some((name.to_owned(), outcome.figures.get(name)?.as_f64()?))
}

fn round_mib(bytes: u64) -> f64 {
    round(bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_end_where_they_are_told_to() {
        for axis in Axis::ALL {
            let all: Vec<_> = axis.points(u64::MAX).collect();
            assert!(all.is_sorted() && all.len() >= 5, "{axis}");
            assert_eq!(axis.points(0).collect::<Vec<_>>(), all[..1]);
            assert_eq!(axis.points(all[2]).collect::<Vec<_>>(), all[..3]);
        }
    }

    #[test]
    fn shards_share_the_entries_until_they_have_few() {
        assert_eq!((many_shards(10).total(), many_shards(1_000).total()), (ENTRIES_OF_ALL, ENTRIES_OF_ALL));
        assert_eq!(many_shards(100_000).entries, ENTRIES_MIN);
        assert_eq!((many_shards(10).width, many_shards(100_000).width), (10, WIDTH));
    }

    #[test]
    fn names_are_those_of_the_command_line() {
        for axis in Axis::ALL {
            assert_eq!(axis.to_possible_value().unwrap().get_name(), axis.to_string());
            assert_eq!(serde_json::to_value(axis).unwrap(), axis.to_string());
        }
    }
}
