//! `logboom verify`: reads every checksum of a log and of its snapshots, in as much memory as an opening takes.

use std::path::PathBuf;

use logboom::SegmentId;
use serde::Serialize;

use crate::{
    examine::Examination,
    finding::Finding,
    output::{Failure, Format, Report, count, field, size},
    snapshots::Snapshots,
    verdict::{Damage, QuarantinedShard, TailCut, UNKNOWN_LOSSES, Verdict},
};

/// Read every checksum of a log and of its snapshots, and report whether everything that the log promised is there.
///
/// Neither writes nor locks. A log in use can be verified; its newest groups may then look torn. Damage counts when two
/// passes in a row find it: if a writer changes the log so fast that no two passes agree, the command fails.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// The directory of the log.
    dir: PathBuf,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  clean
  1  an unpromised tail, which a writable open would cut
  2  damage: something that was durable is gone or changed
  3  could not be checked";

pub(crate) fn run(args: &Args, format: Format) -> Result<Report, Failure> {
    let found = Examination::of(&args.dir, false, format)?;
    let verification = Verification::new(args.dir.display().to_string(), &found);
    Ok(Report::new(format, found.verdict.exit(), &verification, text))
}

/// The report, as it is printed.
#[derive(Debug, Serialize)]
struct Verification {
    directory: String,
    verdict: Verdict,
    segments: u64,
    groups: u64,
    records: u64,
    /// Payload and context of the records; the bytes read also include headers and padding.
    bytes: u64,
    /// Segments whose footer is missing or damaged; their groups were read instead.
    without_footer: Vec<u64>,
    /// Damaged checkpoint slots; the other one is used.
    bad_checkpoints: Vec<u8>,
    cut: Option<TailCut>,
    snapshots: Snapshots,
    damages: Vec<Damage>,
    /// Shards that lost data.
    quarantined: Vec<QuarantinedShard>,
    /// Whether unknown shards are in quarantine, because lost records may have been theirs.
    has_unknown_losses: bool,
    /// The kinds of findings, each once: docs/repair.md has their remedies.
    findings: Vec<Finding>,
}

impl Verification {
    fn new(directory: String, found: &Examination) -> Self {
        let report = &found.report;
        Self {
            directory,
            verdict: found.verdict,
            segments: report.segments,
            groups: report.groups,
            records: report.records,
            bytes: report.bytes,
            without_footer: report.without_footer.iter().map(|&SegmentId(id)| id).collect(),
            bad_checkpoints: report.bad_checkpoints.clone(),
            cut: found.cut(),
            snapshots: found.snapshots.clone(),
            damages: found.damages(),
            quarantined: found.quarantined(),
            has_unknown_losses: found.has_unknown_losses(),
            findings: found.findings(),
        }
    }
}

fn text(found: &Verification) -> String {
    let read = [
        count(found.segments, "segment"),
        count(found.groups, "group"),
        count(found.records, "record"),
        size(found.bytes),
    ];
    let mut text = field("directory", &found.directory);
    text += &field("verdict", found.verdict.text());
    text += &field("read", &read.join(", "));
    if !found.snapshots.is_empty() {
        text += &field("snapshots", &found.snapshots.text());
    }
    if !found.without_footer.is_empty() {
        let ids: Vec<String> = found.without_footer.iter().map(|&id| SegmentId(id).to_string()).collect();
        let what = format!("[footer] segments {}: their groups are read instead", ids.join(", "));
        text += &field("no footer", &what);
    }
    for slot in &found.bad_checkpoints {
        let what = format!("[checkpoint] slot {slot} is not intact, as after a crash while it was written");
        text += &field("checkpoint", &what);
    }
    if let Some(cut) = &found.cut {
        text += &field("tail", &format!("[tail] {}", cut.text()));
    }
    for damage in &found.damages {
        text += &field("damage", &damage.text());
    }
    for held in &found.quarantined {
        text += &field("quarantine", &held.text());
    }
    if found.has_unknown_losses {
        text += &field("quarantine", UNKNOWN_LOSSES);
    }
    for finding in &found.findings {
        text += &field("mend", &format!("[{}] {}", finding.name(), finding.mend()));
    }
    text
}
