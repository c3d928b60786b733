//! What every command says of a log: one reading of all of it, one verdict.

use std::{collections::BTreeSet, path::Path};

use logboom::{Config, Engine, Error, ReadOnly, SegmentId, disk::DiskOptions};
use logboom_wal::{Error as WalError, Options, VerifyReport};

use crate::{
    finding::Finding,
    output::{Failure, Format, Progress},
    snapshots::Snapshots,
    verdict::{Cut, Damage, Verdict},
};

/// A log and its snapshots, read in full. Shards that have lost anything are in quarantine in the view.
pub(crate) struct Examination {
    /// The log as a writable open would find it; `None` when so much is missing that it would be refused.
    pub(crate) log: Option<ReadOnly>,
    pub(crate) report: VerifyReport,
    /// What was found besides, when the log was opened and its damaged segments were read.
    beside: Vec<Damage>,
    pub(crate) snapshots: Snapshots,
    pub(crate) verdict: Verdict,
}

impl Examination {
    /// Reads the log in `dir`, or with `quick` no more of it than an opening does.
    ///
    /// # Errors
    /// What keeps the log from being read.
    pub(crate) fn of(dir: &Path, quick: bool, format: Format) -> Result<Self, Failure> {
        let checked = if quick { None } else { Some(verify(dir, format)?) };
        // After that: of a log in use, the view is the newer one.
        let (log, refused) = match Engine::open_read_only(config(dir)) {
            Ok(log) => (Some(log), None),
            Err(error @ (Error::Corruption { .. } | Error::Identity { .. })) => (None, Some(error.to_string())),
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
                found.beside.push(Damage::unplaced(Finding::Unreadable, &error.to_string()));
            }
            found.snapshots = Snapshots::verify(dir, log);
        }
        found.verdict = Verdict::of(found.report.cut.is_some(), found.is_damaged());
        Ok(found)
    }

    /// The segments of the log in which something is damaged.
    pub(crate) fn damaged(&self) -> BTreeSet<SegmentId> {
        self.report.damages.iter().map(|damage| damage.segment).collect()
    }

    /// All that is damaged, as it is printed.
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

    /// What was found, each kind once.
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
    pub(crate) fn cut(&self) -> Option<Cut> {
        self.report.cut.as_ref().map(Cut::new)
    }

    fn is_damaged(&self) -> bool {
        let is_hit = |log: &ReadOnly| log.holds_back_unseen() || !log.quarantined().is_empty();
        let VerifyReport { damages, odd_files, identity, .. } = &self.report;
        let is_whole = damages.is_empty() && odd_files.is_empty() && identity.is_none() && self.beside.is_empty();
        !is_whole || !self.snapshots.damages.is_empty() || self.log.as_ref().is_none_or(is_hit)
    }
}

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
        // So much is missing that no part of the log can be told from another.
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

/// What opening the log has found by itself.
fn seen_by(log: &ReadOnly) -> VerifyReport {
    let (found, mut report) = (&log.report().recovery, VerifyReport::default());
    report.cut = found.cut;
    report.damages.clone_from(&found.damages);
    report.identity.clone_from(&found.identity);
    report.odd_files.clone_from(&found.odd_files);
    report
}
