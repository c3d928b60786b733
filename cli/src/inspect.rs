//! `logboom inspect`: shows the content of a log, and what recovery would do.

use std::path::PathBuf;

use logboom::{ReadOnly, SegmentId, SegmentSpace, Shard, ShardId, snapshot::Registered};
use serde::Serialize;

use crate::{
    examine::Examination,
    output::{Failure, Format, Report, count, field, hex, or_dash, size, table},
    verdict::{Damage, Missing, TailCut, UNKNOWN_LOSSES, Verdict},
};

/// Runs of terms that a row of the table shows; `--json` has them all.
const RUNS_SHOWN: usize = 3;

/// List segments and shards of a log, and what recovery would do.
///
/// Reads the whole log, as `verify` does, unless `--quick` is given. Neither writes nor locks: a log in use is shown as
/// it is at this moment. Damage counts when two passes in a row find it: if a writer changes the log so fast that no
/// two passes agree, the command fails.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// The directory of the log.
    dir: PathBuf,

    /// Show this shard only; may be repeated.
    #[arg(long = "shard", value_name = "ID")]
    shards: Vec<u64>,

    /// Read only as much as opening the log does; misses damage to older records.
    #[arg(long)]
    quick: bool,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  the log could be opened as it is
  1  likewise, but for an unpromised tail, which a writable open would cut
  2  damage: a writable open would hold back the shards that it hit, or refuse if too much is missing
  3  could not be looked at";

pub(crate) fn run(args: &Args, format: Format) -> Result<Report, Failure> {
    let found = Examination::of(&args.dir, args.quick, format)?;
    let inspection = Inspection::of(args, &found);
    Ok(Report::new(format, found.verdict.exit(), &inspection, text))
}

/// The report, as it is printed.
#[derive(Debug, Serialize)]
struct Inspection {
    directory: String,
    recovery: Recovery,
    segments: Vec<SegmentRow>,
    shards: Vec<ShardRow>,
    /// Requested shards that the log does not have.
    absent: Vec<u64>,
}

/// The outcome of a writable open.
#[derive(Debug, Default, Serialize)]
struct Recovery {
    verdict: Verdict,
    /// Whether every record was read, and not only those that an opening reads.
    all_read: bool,
    /// Too much is missing to open it.
    refused: bool,
    /// Whether the writer closed the log, with nothing in flight.
    closed: bool,
    /// The last epoch: how often the log was opened for writing.
    epoch: u64,
    /// The number of the checkpoint, `null` for none.
    checkpoint: Option<u64>,
    segments_replayed: u64,
    records_replayed: u64,
    bytes_read: u64,
    cut: Option<TailCut>,
    damages: Vec<Damage>,
    /// Shards that lost data.
    quarantined: usize,
    /// Whether unlisted shards are in quarantine, because lost records may have been theirs.
    has_unknown_losses: bool,
}

#[derive(Debug, Serialize)]
struct SegmentRow {
    segment: u64,
    /// The number in the file's name.
    slot: u32,
    bytes_used: u32,
    first_group: u64,
    last_group: u64,
    footer: bool,
    /// Entries in it that are in the log of a shard.
    live_entries: u64,
    live_bytes: u64,
    /// Whether it holds moved records.
    cold: bool,
}

#[derive(Debug, Serialize)]
struct ShardRow {
    shard: u64,
    first: Option<u64>,
    last: Option<u64>,
    boundary: Option<Boundary>,
    terms: Vec<TermRun>,
    /// In hexadecimal.
    hard_state: Option<String>,
    /// In hexadecimal.
    commit_hint: Option<String>,
    /// Unknown when one of them may be lost.
    keys: Option<usize>,
    /// Registered, oldest first; `logboom verify` reads them.
    snapshots: Vec<SnapshotRow>,
    quarantine: Option<Missing>,
}

#[derive(Debug, Serialize)]
struct SnapshotRow {
    index: u64,
    term: u64,
    /// The name of its file.
    file: String,
}

#[derive(Debug, Serialize)]
struct Boundary {
    index: u64,
    term: u64,
}

/// Entries from `first` up to the next run have `term`.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct TermRun {
    first: u64,
    term: u64,
}

impl Inspection {
    fn of(args: &Args, found: &Examination) -> Self {
        let wanted = |id: &ShardId| args.shards.is_empty() || args.shards.contains(&id.0);
        let log = found.log.as_ref();
        let segments = log.map(ReadOnly::segments).unwrap_or_default();
        let known = log.map(ReadOnly::shards).unwrap_or_default();
        let is_absent = |id: &u64| log.is_some() && !known.contains(&ShardId(*id));
        let row = |log: &ReadOnly| {
            known.iter().copied().filter(wanted).map(|id| ShardRow::new(log, &log.shard(id))).collect()
        };
        Self {
            directory: args.dir.display().to_string(),
            recovery: Recovery::new(found, !args.quick),
            segments: segments.iter().map(SegmentRow::new).collect(),
            absent: args.shards.iter().copied().filter(is_absent).collect(),
            shards: log.map(row).unwrap_or_default(),
        }
    }
}

impl Recovery {
    fn new(found: &Examination, all_read: bool) -> Self {
        let known = Self {
            verdict: found.verdict,
            all_read,
            refused: found.log.is_none(),
            cut: found.cut(),
            damages: found.damages(),
            ..Self::default()
        };
        let Some(log) = &found.log else { return known };
        let report = &log.open_report().recovery;
        Self {
            closed: report.closed,
            epoch: report.epoch,
            checkpoint: report.checkpoint,
            segments_replayed: report.segments_replayed,
            records_replayed: report.records_replayed,
            bytes_read: report.bytes_read,
            quarantined: log.quarantined().len(),
            has_unknown_losses: log.has_unknown_losses(),
            ..known
        }
    }
}

impl SegmentRow {
    fn new(row: &SegmentSpace) -> Self {
        let SegmentSpace { info, live_entries, live_bytes, .. } = *row;
        Self {
            segment: info.id.0,
            slot: info.slot,
            bytes_used: info.end,
            first_group: info.first.group(),
            last_group: info.limit.group().saturating_sub(1),
            footer: info.footer,
            live_entries,
            live_bytes,
            cold: info.id.is_cold(),
        }
    }

    fn cells(&self) -> [String; 8] {
        [
            SegmentId(self.segment).to_string(),
            self.slot.to_string(),
            size(self.bytes_used.into()),
            self.first_group.to_string(),
            self.last_group.to_string(),
            self.live_entries.to_string(),
            size(self.live_bytes),
            if self.footer { "yes" } else { "no" }.to_owned(),
        ]
    }
}

impl ShardRow {
    fn new(log: &ReadOnly, shard: &Shard) -> Self {
        let bounds = shard.bounds();
        Self {
            shard: shard.id().0,
            first: bounds.first,
            last: bounds.last,
            boundary: bounds.boundary.map(|boundary| Boundary { index: boundary.index, term: boundary.term }),
            terms: match (bounds.first, bounds.last) {
                (Some(first), Some(last)) => runs((first..=last).filter_map(|at| Some((at, shard.term(at).ok()?)))),
                _ => Vec::new(),
            },
            hard_state: shard.hard_state().ok().flatten().map(|bytes| hex(&bytes)),
            commit_hint: shard.commit_hint().ok().flatten().map(|bytes| hex(&bytes)),
            keys: shard.scan(..).ok().map(|keys| keys.len()),
            snapshots: log.snapshots().list(shard.id()).iter().map(SnapshotRow::new).collect(),
            quarantine: shard.quarantine().map(Missing::from),
        }
    }

    fn cells(&self) -> [String; 8] {
        [
            self.shard.to_string(),
            or_dash(self.first),
            or_dash(self.last),
            or_dash(self.boundary.as_ref().map(|boundary| format!("{} (term {})", boundary.index, boundary.term))),
            terms(&self.terms),
            or_dash(self.hard_state.as_ref()),
            or_dash(self.commit_hint.as_ref()),
            or_dash(self.keys),
        ]
    }
}

impl SnapshotRow {
    fn new(snapshot: &Registered) -> Self {
        let &Registered { index, term, file, .. } = snapshot;
        Self { index, term, file: format!("snapshot-{file:016x}") }
    }
}

/// Runs of indexes with the same term.
fn runs(terms: impl Iterator<Item = (u64, u64)>) -> Vec<TermRun> {
    let mut runs: Vec<TermRun> = Vec::new();
    for (first, term) in terms {
        if runs.last().is_none_or(|run| run.term != term) {
            runs.push(TermRun { first, term });
        }
    }
    runs
}

/// The last few runs: `.. 4 from 70, 5 from 91`.
fn terms(runs: &[TermRun]) -> String {
    if runs.is_empty() {
        return "-".to_owned();
    }
    let hidden = runs.len().saturating_sub(RUNS_SHOWN);
    let shown: Vec<String> = runs[hidden..].iter().map(|run| format!("{} from {}", run.term, run.first)).collect();
    let dots = if hidden > 0 { ".. " } else { "" };
    format!("{dots}{}", shown.join(", "))
}

fn text(found: &Inspection) -> String {
    let recovery = &found.recovery;
    let mut text = field("directory", &found.directory);
    let quick = if recovery.all_read { "" } else { ", as far as opening reads it" };
    text += &field("verdict", &format!("{}{quick}", recovery.verdict.text()));
    text += &field("on open", &on_open(recovery));
    for damage in &recovery.damages {
        text += &field("damage", &damage.text());
    }
    for row in &found.shards {
        if let Some(missing) = &row.quarantine {
            text += &field("quarantine", &format!("shard {} {}", row.shard, missing.text));
        }
    }
    if recovery.has_unknown_losses {
        text += &field("quarantine", UNKNOWN_LOSSES);
    }
    for shard in &found.absent {
        text += &field("no shard", &format!("{shard}: the log holds nothing of it"));
    }
    let snapshots: usize = found.shards.iter().map(|row| row.snapshots.len()).sum();
    if snapshots > 0 {
        let shards = found.shards.iter().filter(|row| !row.snapshots.is_empty()).count();
        text += &field("snapshots", &format!("{snapshots} of {}", count(shards as u64, "shard")));
    }
    if !found.segments.is_empty() {
        text += &history(recovery);
        text += "\n";
        text += &table(
            ["#segment", "#slot", "#used", "#first group", "#last group", "#live entries", "#live", "footer"],
            found.segments.iter().map(SegmentRow::cells),
        );
    }
    if !found.shards.is_empty() {
        text += "\n";
        text += &table(
            ["#shard", "#first", "#last", "boundary", "terms", "hard state", "commit hint", "#keys"],
            found.shards.iter().map(ShardRow::cells),
        );
    }
    text
}

fn history(recovery: &Recovery) -> String {
    let replayed = [
        count(recovery.segments_replayed, "segment"),
        count(recovery.records_replayed, "record"),
        format!("{} read", size(recovery.bytes_read)),
    ];
    let end = if recovery.closed { "closed" } else { "not closed: in use, or it crashed" };
    let checkpoint = match recovery.checkpoint {
        None => "none".to_owned(),
        Some(number) => format!("number {number}"),
    };
    let mut text = field("epoch", &format!("{}, {end}", recovery.epoch));
    text += &field("checkpoint", &checkpoint);
    text += &field("replayed", &replayed.join(", "));
    text
}

/// What a writable open would do.
fn on_open(recovery: &Recovery) -> String {
    match (&recovery.cut, recovery.quarantined) {
        _ if recovery.refused => "refused".to_owned(),
        _ if recovery.has_unknown_losses => "holds back every shard that is not proven whole".to_owned(),
        (_, hit @ 1..) => format!("holds back {}", count(hit as u64, "shard")),
        (Some(cut), 0) => format!("cuts {}", cut.text()),
        (None, 0) => "nothing is cut".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_gathered_in_runs_and_the_last_are_shown() {
        let found = runs([(3, 1), (4, 1), (5, 2), (6, 7), (7, 7), (8, 5)].into_iter());
        let run = |first, term| TermRun { first, term };
        assert_eq!(found, [run(3, 1), run(5, 2), run(6, 7), run(8, 5)]);
        assert_eq!(terms(&found), ".. 2 from 5, 7 from 6, 5 from 8");
        assert_eq!(terms(&found[..2]), "1 from 3, 2 from 5");
        assert_eq!(terms(&[]), "-");
    }
}
