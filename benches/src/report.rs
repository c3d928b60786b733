//! `Comparison`: the report of a run, with the median of each figure over the rounds and the ratios of the systems.

use std::io::Write;
use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::serialization::{
    V2DeflateSerializer,
    interval_log::{IntervalLogWriterBuilder, Tag},
};
use serde_json::{Map, Value, json};

use crate::{
    Error, Result,
    job::{Outcome, round},
    system::System,
};

/// A system and its rounds.
#[derive(Debug)]
pub struct Contender {
    /// The system.
    pub system: System,
    /// Its rounds, in the order in which they ran.
    pub rounds: Vec<Outcome>,
}

impl Contender {
    /// A contender without rounds.
    pub fn new(system: System) -> Self {
        Contender { system, rounds: Vec::new() }
    }

    fn report(mut self) -> Option<Reported> {
        let rounds: Vec<_> = self.rounds.iter().map(figures).collect();
        let figures = rounds.first()?.keys().filter_map(|name| {
            let values = rounds.iter().filter_map(|round| round.get(name)?.as_f64()).collect();
            Some((name.clone(), Value::from(round(median(values)?))))
        });
        let figures = figures.collect();
        self.rounds.sort_by(|one, other| one.ops_per_s().total_cmp(&other.ops_per_s()));
        let middle = (self.rounds.len() - 1) / 2;
        Some(Reported { system: self.system, figures, median: self.rounds.swap_remove(middle) })
    }
}

/// The summary of a system's rounds.
#[derive(Debug)]
struct Reported {
    system: System,
    /// The median of each figure over the rounds, so that one round with a busy machine or a slow device spoils no
    /// figure.
    figures: Map<String, Value>,
    /// The round with the median throughput, the slower of the middle two of an even number. Its notes and its
    /// histogram are reported.
    median: Outcome,
}

/// The median of `values`; of an even number, the mean of the middle two.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// The report of the systems that ran a workload.
#[derive(Debug)]
pub struct Comparison {
    workload: &'static str,
    reported: Vec<Reported>,
}

impl Comparison {
    /// Summarizes the rounds of each contender.
    pub fn new(workload: &'static str, contenders: Vec<Contender>) -> Self {
        Comparison { workload, reported: contenders.into_iter().filter_map(Contender::report).collect() }
    }

    /// Prints one JSON object a line: one per system, then the ratios.
    pub fn print_json(&self, out: &mut impl Write) -> Result<()> {
        for Reported { system, figures, median } in &self.reported {
            let mut line = Map::new();
            line.insert("workload".to_owned(), self.workload.into());
            line.insert("system".to_owned(), system.name().into());
            line.extend(figures.clone());
            line.extend(median.notes.clone());
            writeln!(out, "{}", Value::Object(line))?;
        }
        for system in others(std::slice::from_ref(self)) {
            let name = if system == System::RaftEngine { "ratio".to_owned() } else { format!("ratio_{system}") };
            if let Some(ratios) = self.ratios(system) {
                writeln!(out, "{}", json!({ "workload": self.workload, name: ratios }))?;
            }
        }
        Ok(())
    }

    /// Logboom's figures divided by those of `other`, if both ran.
    fn ratios(&self, other: System) -> Option<Map<String, Value>> {
        let (ours, theirs) = (&self.of(System::Logboom)?.figures, &self.of(other)?.figures);
        let ratio = |(name, ours): (&String, &Value)| {
            let (ours, theirs) = (ours.as_f64()?, theirs.get(name)?.as_f64()?);
            (theirs != 0.0).then(|| (ratio_name(name), Value::from(round(ours / theirs))))
        };
        Some(ours.iter().filter_map(ratio).collect())
    }

    fn of(&self, system: System) -> Option<&Reported> {
        self.reported.iter().find(|reported| reported.system == system)
    }
}

/// Formats the comparisons as one table, in Markdown.
pub fn table(comparisons: &[Comparison]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let head =
        ["workload", "system", "ops/s", "MB/s", "p50 us", "p99 us", "p99.9 us", "max us", "CPU us/op", "RSS MiB"];
    let others = others(comparisons);
    let ratios = others.iter().map(|other| format!("x {other}"));
    table.set_header(head.into_iter().chain(["also"]).map(str::to_owned).chain(ratios));
    for comparison in comparisons {
        for (place, reported) in comparison.reported.iter().enumerate() {
            let workload = if place == 0 { comparison.workload } else { "" };
            let cells = cells(comparison, reported, &others);
            table.add_row([workload, reported.system.name()].map(str::to_owned).into_iter().chain(cells));
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The systems that Logboom is compared with, in the order of [`System`].
fn others(comparisons: &[Comparison]) -> Vec<System> {
    let ran = |system: &System| comparisons.iter().any(|comparison| comparison.of(*system).is_some());
    System::value_variants().iter().copied().filter(|system| *system != System::Logboom && ran(system)).collect()
}

/// A note below the table that names the workloads for which the page cache should have been dropped and was not.
pub fn caveat(comparisons: &[Comparison]) -> Option<String> {
    let warm = |comparison: &&Comparison| {
        let warm = |reported: &Reported| reported.median.notes.get(CACHE_DROPPED) == Some(&Value::Bool(false));
        comparison.reported.iter().any(warm)
    };
    let warm: Vec<_> = comparisons.iter().filter(warm).map(|comparison| comparison.workload).collect();
    let text = format!("The page cache was not dropped, which only root may do: {} found it warm.", warm.join(", "));
    (!warm.is_empty()).then_some(text)
}

/// The name of the note that says whether the page cache was dropped before a round.
pub const CACHE_DROPPED: &str = "cache_dropped";

/// Writes the latencies of the rounds with the median throughput, in the text format that HdrHistogram's tools plot.
/// The tag is the workload and the system; values are in nanoseconds.
pub fn write_histograms(comparisons: &[Comparison], out: &mut impl Write) -> Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let mut log =
        IntervalLogWriterBuilder::new().with_base_time(SystemTime::UNIX_EPOCH).begin_log_with(out, &mut serializer)?;
    let mut start = Duration::ZERO;
    for comparison in comparisons {
        for Reported { system, median: outcome, .. } in &comparison.reported {
            let tag = format!("{}/{system}", comparison.workload);
            let tag = Tag::new(&tag).ok_or_else(|| Error::from("a name with a separator in it"))?;
            log.write_histogram(outcome.latencies.histogram(), start, outcome.elapsed, Some(tag))
                .map_err(|error| format!("{error:?}"))?;
            start += outcome.elapsed;
        }
    }
    Ok(())
}

/// The figures that are compared, by their names in the report.
fn figures(outcome: &Outcome) -> Map<String, Value> {
    let Outcome { ops, bytes, elapsed, cpu, peak_rss_bytes, latencies, .. } = outcome;
    let seconds = elapsed.as_secs_f64();
    let common = [
        ("ops_per_s", *ops as f64 / seconds),
        ("bytes_per_s", *bytes as f64 / seconds),
        ("p50_us", latencies.quantile_us(0.5)),
        ("p99_us", latencies.quantile_us(0.99)),
        ("p999_us", latencies.quantile_us(0.999)),
        ("max_us", latencies.max_us()),
        ("cpu_us_per_op", cpu.as_secs_f64() * 1e6 / (*ops).max(1) as f64),
    ];
    let mut figures: Map<_, _> =
        common.into_iter().map(|(name, value)| (name.to_owned(), Value::from(round(value)))).collect();
    figures.insert("peak_rss_bytes".to_owned(), Value::from(*peak_rss_bytes));
    figures.extend(outcome.figures.clone());
    figures
}

/// The name of a ratio: it has no unit, so the unit of a common figure is removed.
fn ratio_name(figure: &str) -> String {
    let name = match figure {
        "ops_per_s" => "throughput",
        "cpu_us_per_op" => "cpu_per_op",
        "peak_rss_bytes" => "peak_rss",
        latency => latency.strip_suffix("_us").unwrap_or(latency),
    };
    name.to_owned()
}

fn cells(comparison: &Comparison, reported: &Reported, others: &[System]) -> Vec<String> {
    let Reported { system, figures, median } = reported;
    let figure = |name: &str| figures.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let latencies = ["p50_us", "p99_us", "p999_us", "max_us", "cpu_us_per_op"].map(|name| short(figure(name)));
    let mut cells = vec![short(figure("ops_per_s")), short(figure("bytes_per_s") / 1e6)];
    cells.extend(latencies);
    cells.push(short(figure("peak_rss_bytes") / f64::from(1 << 20)));
    let own = median.figures.keys().map(|name| format!("{name} {}", short(figure(name))));
    cells.push(own.collect::<Vec<_>>().join(", "));
    for other in others {
        let ratio = comparison.ratios(*other).filter(|_| *system == System::Logboom);
        cells.push(ratio.and_then(|ratio| ratio.get("throughput")?.as_f64()).map_or(String::new(), short));
    }
    cells
}

/// Formats with three significant digits, or with all digits before the point.
pub fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.2} M", value / 1e6),
        value if value >= 1e5 => format!("{:.0} k", value / 1e3),
        value if value >= 1e4 => format!("{:.1} k", value / 1e3),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latencies;

    #[test]
    fn each_figure_is_its_median() {
        let rounds = vec![outcome(300, 1), outcome(100, 2), outcome(200, 9)];
        let reported = Contender { system: System::Floor, rounds }.report().unwrap();
        assert_eq!((&reported.figures["ops_per_s"], &reported.figures["max_us"]), (&200.0.into(), &2.0.into()));
        assert_eq!(reported.median.ops, 200);
        let rounds = vec![outcome(300, 3), outcome(100, 1)];
        let reported = Contender { system: System::Floor, rounds }.report().unwrap();
        assert_eq!((&reported.figures["ops_per_s"], reported.median.ops), (&200.0.into(), 100));
        assert!(Contender::new(System::Floor).report().is_none());
    }

    #[test]
    fn ratios_are_ours_by_theirs_for_what_both_have() {
        let comparison = comparison(&[(System::Logboom, 300), (System::RaftEngine, 200)]);
        let ratios = comparison.ratios(System::RaftEngine).unwrap();
        assert_eq!(ratios["throughput"], 1.5);
        assert_eq!(ratios["p50"], 1.0);
        assert_eq!(ratios["open_ms"], 1.5);
        assert!(!ratios.contains_key("only_300"));
        assert!(!ratios.contains_key("loop_threads"));
        assert!(comparison.ratios(System::Floor).is_none());
    }

    #[test]
    fn lines_have_the_promised_names() {
        let mut out = Vec::new();
        comparison(&[(System::Logboom, 2), (System::Floor, 1)]).print_json(&mut out).unwrap();
        let lines: Vec<Value> = String::from_utf8(out).unwrap().lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(lines.len(), 3);
        let names = ["ops_per_s", "bytes_per_s", "p50_us", "p99_us", "p999_us", "max_us", "cpu_us_per_op"];
        for name in names.into_iter().chain(["peak_rss_bytes", "open_ms", "loop_threads"]) {
            assert!(lines[0][name].is_number(), "{name} in {}", lines[0]);
        }
        assert_eq!((&lines[0]["workload"], &lines[0]["system"]), (&"recover-1g".into(), &"logboom".into()));
        assert_eq!(lines[2]["ratio_floor"]["throughput"], 2.0);
    }

    #[test]
    fn the_table_has_a_row_a_system() {
        let table = table(&[comparison(&[(System::Logboom, 3_000_000), (System::RaftEngine, 2_000_000)])]).to_string();
        for cell in ["recover-1g", "3.00 M", "2.00 M", "1.50", "raft-engine"] {
            assert!(table.contains(cell), "{cell} in\n{table}");
        }
    }

    #[test]
    fn a_warm_cache_is_said() {
        let mut comparison = comparison(&[(System::Logboom, 3)]);
        assert!(caveat(std::slice::from_ref(&comparison)).is_none());
        for (dropped, said) in [(true, false), (false, true)] {
            comparison.reported[0].median.note(CACHE_DROPPED, dropped);
            assert_eq!(caveat(std::slice::from_ref(&comparison)).is_some_and(|it| it.contains("recover-1g")), said);
        }
    }

    #[test]
    fn histograms_are_written_with_their_tags() {
        let mut out = Vec::new();
        write_histograms(&[comparison(&[(System::RaftEngine, 3)])], &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("Tag=recover-1g/raft-engine,"));
    }

    fn comparison(ops: &[(System, u64)]) -> Comparison {
        let contenders = ops.iter().map(|(system, ops)| Contender { system: *system, rounds: vec![outcome(*ops, 7)] });
        Comparison::new("recover-1g", contenders.collect())
    }

    fn outcome(ops: u64, latency_us: u64) -> Outcome {
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_micros(latency_us), 10);
        let mut outcome = Outcome { ops, bytes: ops, elapsed: Duration::from_secs(1), latencies, ..Outcome::default() };
        outcome.figure("open_ms", ops as f64);
        outcome.figure(&format!("only_{ops}"), 1.0);
        outcome.note("loop_threads", 2);
        outcome
    }
}
