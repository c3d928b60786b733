//! `Examination` of a log: one full read and one verdict, shared by all commands.

use std::{collections::BTreeSet, path::Path};

use logboom::{Config, Engine, Error, ReadOnly, SegmentId, disk::DiskOptions};
use logboom_wal::{Error as WalError, Options, VerifyReport};

use crate::{
    finding::Finding,
    output::{Failure, Format, Progress},
    snapshots::Snapshots,
    verdict::{Damage, QuarantinedShard, TailCut, UNKNOWN_LOSSES, Verdict},
};

/// A log and its snapshots, read in full. Shards that have lost anything are in quarantine in the view.
pub(crate) struct Examination {
    /// The log as a writable open would find it; `None` when so much is missing that it would be refused.
    pub(crate) log: Option<ReadOnly>,
    pub(crate) report: VerifyReport,
    /// Further damage, found when the log was opened and its damaged segments were read.
    beside: Vec<Damage>,
    pub(crate) snapshots: Snapshots,
    pub(crate) verdict: Verdict,
}

impl Examination {
    /// Reads the log in `dir`, or with `quick` only as much as an opening reads; repeats until one pass finds no
    /// damage, or two passes in a row find the same damage.
    ///
    /// # Errors
    /// If the log cannot be read, or no two passes in a row agree.
    pub(crate) fn of(dir: &Path, quick: bool, format: Format) -> Result<Self, Failure> {
        steady(dir, || Self::look(dir, quick, format), |found| found.reasons().join("\n"))
    }

    fn look(dir: &Path, quick: bool, format: Format) -> Result<Self, Failure> {
        let checked = if quick { None } else { Some(verify(dir, format)?) };
        // Opened last: on a log in use this view is the newest.
        let (log, refused) = match Engine::open_read_only(config(dir)) {
            Ok(log) => (Some(log), None),
            Err(error @ (Error::Corruption { .. } | Error::Identity { .. })) => (None, Some(format!("{error:#}"))),
            Err(error) => return Err(Failure::new(dir, &error)),
        };
        let report = match (checked, &log) {
            (Some(report), _) => report,
            (None, Some(log)) => seen_by(log),
            (None, None) => verify(dir, format)?,
        };
        let mut found =
            Self { report, log, beside: Vec::new(), snapshots: Snapshots::default(), verdict: Verdict::Clean };
        if found.report.damages.is_empty() && found.report.identity.is_none() {
            found.beside.extend(refused.map(|what| Damage::unplaced(Finding::Records, &what)));
        }
        if let (Some(log), false) = (&found.log, quick) {
            if let Err(error) = log.report_damage(found.damaged()) {
                found.beside.push(Damage::unplaced(Finding::Unreadable, &format!("{error:#}")));
            }
            found.snapshots = Snapshots::verify(log, || Engine::open_read_only(config(dir)));
        }
        found.verdict = Verdict::of(found.report.cut.is_some(), !found.reasons().is_empty());
        Ok(found)
    }

    /// The segments of the log in which something is damaged.
    pub(crate) fn damaged(&self) -> BTreeSet<SegmentId> {
        self.report.damages.iter().map(|damage| damage.segment).collect()
    }

    /// All damage, as it is printed.
    pub(crate) fn damages(&self) -> Vec<Damage> {
        let files = self.log.as_ref().map(ReadOnly::segments).unwrap_or_default();
        let placed = self.report.damages.iter().map(|damage| {
            let segment = files.iter().find(|segment| segment.info.id == damage.segment);
            Damage::new(damage, segment.map(|segment| segment.info.file_name()))
        });
        let report = &self.report;
        let identity = report.identity.iter().map(|fault| Damage::unplaced(Finding::Identity, &fault.to_string()));
        let odd = report.odd_files.iter().map(|file| Damage::unplaced(Finding::OddFile, &file.to_string()));
        let others = self.beside.iter().chain(&self.snapshots.damages).cloned();
        identity.chain(odd).chain(placed).chain(others).collect()
    }

    /// The kinds of findings, each once.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let report = &self.report;
        let of = |is_found: bool, finding| is_found.then_some(finding);
        let others = [
            of(report.cut.is_some(), Finding::Tail),
            of(!report.without_footer.is_empty(), Finding::Footer),
            of(!report.bad_checkpoints.is_empty(), Finding::Checkpoint),
        ];
        let damages = self.damages().into_iter().map(|damage| damage.finding);
        let mut found: Vec<Finding> = Vec::new();
        for finding in damages.chain(others.into_iter().flatten()) {
            if !found.contains(&finding) {
                found.push(finding);
            }
        }
        found
    }

    /// The tail that a writable open would cut.
    pub(crate) fn cut(&self) -> Option<TailCut> {
        self.report.cut.as_ref().map(TailCut::new)
    }

    /// The shards that lost data.
    pub(crate) fn quarantined(&self) -> Vec<QuarantinedShard> {
        let log = self.log.as_ref().map(ReadOnly::quarantined).unwrap_or_default();
        log.into_iter().map(|(shard, lost)| QuarantinedShard { shard: shard.0, lost: lost.into() }).collect()
    }

    pub(crate) fn has_unknown_losses(&self) -> bool {
        self.log.as_ref().is_some_and(ReadOnly::has_unknown_losses)
    }

    /// The reasons for a verdict of damage, as they are printed; none for other verdicts.
    fn reasons(&self) -> Vec<String> {
        let damages = self.damages().iter().map(Damage::text).collect::<Vec<_>>();
        let unknown = self.has_unknown_losses().then(|| UNKNOWN_LOSSES.to_owned());
        let held = self.quarantined();
        damages.into_iter().chain(held.iter().map(QuarantinedShard::text)).chain(unknown).collect()
    }
}

/// Reads the log in `dir` until two passes agree: see [`logboom::steady`].
///
/// # Errors
/// The error of two passes in a row, or that no two passes agreed.
pub(crate) fn steady<T>(
    dir: &Path,
    look: impl Fn() -> Result<T, Failure>,
    wrong: impl Fn(&T) -> String,
) -> Result<T, Failure> {
    let said = |found: &Result<T, Failure>| {
        let said = found.as_ref().map_or_else(|failure| failure.error().to_owned(), &wrong);
        (!said.is_empty()).then_some(said)
    };
    logboom::steady(look, said).unwrap_or_else(|| Err(Failure::new(dir, &UNSTEADY)))
}

const UNSTEADY: &str = "the log is in use, and could not be looked at in a steady state: each look has found something \
                        else. Try again, or when the writer has closed it";

/// How the commands open the log in `dir`.
pub(crate) fn config(dir: &Path) -> Config {
    let mut config = Config::new(dir);
    config.create = false;
    config
}

/// Reads every checksum of the log.
fn verify(dir: &Path, format: Format) -> Result<VerifyReport, Failure> {
    let disk =
        logboom::disk::open_read_only(dir, &DiskOptions::default()).map_err(|error| Failure::new(dir, &error))?;
    let progress = Progress::new("verifying", format);
    match logboom_wal::verify(disk, Options::default(), &mut |done, total| progress.set(done, total)) {
        // Too much is missing to assign damage to parts of the log.
        Err(WalError::Corruption(damage)) => {
            let mut report = VerifyReport::default();
            report.damages.push(damage);
            Ok(report)
        }
        Err(WalError::Identity(fault)) => {
            let mut report = VerifyReport::default();
            report.identity = Some(fault);
            Ok(report)
        }
        read => read.map_err(|error| Failure::new(dir, &error)),
    }
}

/// The damage that opening the log found.
fn seen_by(log: &ReadOnly) -> VerifyReport {
    let (found, mut report) = (&log.open_report().recovery, VerifyReport::default());
    report.cut = found.cut;
    report.damages.clone_from(&found.damages);
    report.identity.clone_from(&found.identity);
    report.odd_files.clone_from(&found.odd_files);
    report
}
