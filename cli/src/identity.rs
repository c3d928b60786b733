//! `logboom repair` of the log's identity: restores `LOGBOOM`, and moves files of other logs away.

use std::{path::Path, sync::Arc, time::SystemTime};

use logboom::{
    IdentityFault,
    disk::{self, Disk, DiskOptions},
};
use logboom_wal::{Error, Options, open_read_only, restore_identity};
use serde::Serialize;

use crate::{
    aside::{Aside, utc},
    output::{Exit, FIELD_WIDTH, Format, Outcome, Report, field, unconfirmed},
};

/// The file that is restored.
const LOGBOOM: &str = "LOGBOOM";

/// The requested action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentityAction {
    /// List the faults.
    List,
    /// Write `LOGBOOM` again, as the other files name the log.
    Restore,
    /// Put the files aside that are not of the log.
    PutAside,
}

/// The fault of the identity of the log in `dir`, if there is one.
///
/// # Errors
/// If the directory cannot be read.
pub(crate) fn fault(dir: &Path) -> Result<Option<Arc<IdentityFault>>, String> {
    let disk = disk::open_read_only(dir, &DiskOptions::default()).map_err(|error| format!("{error:#}"))?;
    fault_on(disk)
}

fn fault_on(disk: Arc<dyn Disk>) -> Result<Option<Arc<IdentityFault>>, String> {
    match open_read_only(disk, Options::default()) {
        Ok(opening) => Ok(opening.report().identity.clone()),
        Err(Error::Identity(fault)) => Ok(Some(fault)),
        // Too much is missing to open it: the repair of shards reports that.
        Err(Error::Corruption(_)) => Ok(None),
        Err(error) => Err(format!("{error:#}")),
    }
}

/// Performs the action if `yes`, and otherwise prints the plan.
///
/// # Errors
/// Why the action failed.
pub(crate) fn repair(
    dir: &Path,
    mend: IdentityAction,
    yes: bool,
    fault: &IdentityFault,
    format: Format,
) -> Result<Report, String> {
    let (steps, names) = match mend {
        IdentityAction::List => (Vec::new(), Vec::new()),
        IdentityAction::Restore if fault.is_restorable() => (vec![restoring(fault)], Vec::new()),
        IdentityAction::Restore => return Err(format!("the identity cannot be restored: {fault}")),
        IdentityAction::PutAside if fault.strangers().next().is_none() => {
            return Err("no file is in the way".to_owned());
        }
        // Otherwise a foreign `LOGBOOM` could cause the log itself to be put aside.
        IdentityAction::PutAside if fault.is_total() || fault.logboom.is_some() => {
            return Err(format!("no file is put aside before LOGBOOM is the log's own: {fault}"));
        }
        IdentityAction::PutAside => {
            let names: Vec<String> = fault.strangers().map(str::to_owned).collect();
            (names.iter().map(|name| format!("put {name} aside")).collect(), names)
        }
    };
    let mut mended = Mended::new(dir, fault, steps);
    if mend != IdentityAction::List {
        mended.outcome = Outcome::Unconfirmed;
    }
    if yes && mend != IdentityAction::List {
        carry_out(dir, fault, &names, &mut mended)?;
    }
    Ok(Report::new(format, mended.exit(), &mended, text))
}

fn restoring(fault: &IdentityFault) -> String {
    let from =
        if fault.is_total() { "the log that all other files are of" } else { "the log that the other files name" };
    format!("write {LOGBOOM} again, for {from}")
}

/// Runs under the lock, so that no other process changes the log. Copies files that it replaces, and moves files that
/// are in the way.
fn carry_out(dir: &Path, before: &IdentityFault, names: &[String], mended: &mut Mended) -> Result<(), String> {
    let mut options = DiskOptions::default();
    options.create = false;
    let disk = disk::open(dir, &options).map_err(|error| format!("{error:#}"))?;
    if fault_on(Arc::clone(&disk))?.as_deref() != Some(before) {
        return Err("the log is not as it was when it was only looked at: nothing was done".to_owned());
    }
    let copied = if names.is_empty() && dir.join(LOGBOOM).exists() { vec![LOGBOOM.to_owned()] } else { Vec::new() };
    let mut aside = Aside::make(dir, &copied, SystemTime::now())?;
    aside.note(&Line { at: utc(SystemTime::now()), found: mended.found.clone(), steps: &mended.steps, error: None })?;
    let done = match names {
        [] => restore_identity(Arc::clone(&disk)).map(drop).map_err(|error| format!("{error:#}")),
        names => aside.take(dir, names),
    };
    let left = fault_on(disk)?;
    let found = left.as_ref().map(ToString::to_string);
    let line = Line { at: utc(SystemTime::now()), found: found.clone(), steps: &[], error: done.as_ref().err() };
    let noted = aside.note(&line);
    done?;
    noted.map_err(|error| format!("repaired, but {error:#}"))?;
    mended.outcome = Outcome::Repaired;
    mended.aside = Some(aside.path().display().to_string());
    mended.found = found;
    Ok(())
}

/// A line of a repair's record: one is written before, and one after.
#[derive(Serialize)]
struct Line<'a> {
    at: String,
    found: Option<String>,
    steps: &'a [String],
    error: Option<&'a String>,
}

/// The report, as it is printed.
#[derive(Debug, Serialize)]
struct Mended {
    directory: String,
    outcome: Outcome,
    /// The fault of the identity, after the repair if there was one.
    found: Option<String>,
    ours: Vec<String>,
    /// Files of another log, or that cannot be told to be of this one.
    strangers: Vec<String>,
    is_restorable: bool,
    steps: Vec<String>,
    aside: Option<String>,
}

impl Mended {
    fn new(dir: &Path, fault: &IdentityFault, steps: Vec<String>) -> Self {
        Self {
            directory: dir.display().to_string(),
            outcome: Outcome::Listed,
            found: Some(fault.to_string()),
            ours: fault.ours.clone(),
            strangers: fault.strangers().map(str::to_owned).collect(),
            is_restorable: fault.is_restorable(),
            steps,
            aside: None,
        }
    }

    fn exit(&self) -> Exit {
        match (self.outcome, &self.found) {
            (Outcome::Unconfirmed, _) => Exit::Pending,
            (_, Some(_)) => Exit::Damage,
            (_, None) => Exit::Clean,
        }
    }
}

fn text(mended: &Mended) -> String {
    let mut text = field("directory", &mended.directory);
    let is_done = mended.outcome == Outcome::Repaired;
    for step in &mended.steps {
        text += &mended.outcome.step(step);
    }
    if let Some(aside) = &mended.aside {
        text += &field("aside", &format!("what was replaced or put aside, and a record, are in {aside}"));
    }
    text += &field(if is_done { "left" } else { "identity" }, mended.found.as_deref().unwrap_or("nothing"));
    match mended.outcome {
        Outcome::Unconfirmed => text += &unconfirmed(),
        Outcome::Listed if mended.is_restorable => text += &field("ways out", "logboom repair DIR --identity --yes"),
        Outcome::Listed if !mended.strangers.is_empty() && !mended.ours.is_empty() => {
            text +=
                &field("ways out", "logboom repair DIR --strangers --yes puts the files aside that are not its own");
        }
        Outcome::Listed => {
            text +=
                &field("ways out", "bring the log's files back from where they are, or LOGBOOM from a backup of it;");
            text += &format!("{:FIELD_WIDTH$}or begin a new replica in an empty directory\n", "");
        }
        _ => {}
    }
    text
}
