//! `logboom repair`: ends quarantines by giving up lost data, on explicit demand.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use logboom::{
    Engine, EntryId, IdentityFault, Quarantine, ReadOnly, Runtime, SegmentId, Shard, ShardId,
    disk::{self, Disk, DiskOptions},
};
use serde::Serialize;

use crate::{
    aside::{Aside, utc},
    examine::{Examination, config, steady},
    identity::{self, IdentityAction},
    output::{Exit, FIELD_WIDTH, Failure, Format, Outcome, Report, count, field, hex, unconfirmed},
    plan::{Action, HardState, Plan, Step, boundary, hard_state, needs_hard_state},
    verdict::{Damage, Missing, Verdict},
};

/// Files besides segments that tell how the log was: copied aside as well, where they are there.
const SMALL_FILES: [&str; 3] = ["LOGBOOM", "checkpoint-0", "checkpoint-1"];

/// List the shards that lost data, or end their quarantines by giving up that data.
///
/// The last resort: healing a shard from another replica, through the library, loses nothing. Writes nothing without
/// `--yes`; lists a log in use as `verify` does. With `--yes`, first copies the damaged files to DIR/damaged/<time>,
/// and keeps a record there.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
#[command(group = clap::ArgGroup::new("action").args(ACTIONS))]
pub(crate) struct Args {
    /// The directory of the log.
    dir: PathBuf,

    /// The shard to repair.
    #[arg(long, value_name = "ID", requires = "action", conflicts_with_all = OF_NO_SHARD)]
    shard: Option<u64>,

    /// Drop the entries from the first lost one on; if the end of the log is lost, accept the log as it is.
    #[arg(long, requires = "shard")]
    cut: bool,

    /// Empty the log: it continues behind this entry, as after installing a snapshot of that entry.
    #[arg(long, value_name = "INDEX:TERM", value_parser = boundary, requires = "shard")]
    reset: Option<EntryId>,

    /// Forget the shard: log, hard state, commit hint and keys.
    #[arg(long, requires = "shard")]
    destroy: bool,

    /// Accept that unknown shards do not exist, where records are lost without a trace.
    #[arg(long)]
    accept_unknown_losses: bool,

    /// Write LOGBOOM again if it is damaged, missing or of another log, from the identity in all other files.
    #[arg(long)]
    identity: bool,

    /// Move files of another log, or that cannot be assigned to this one, out of the way.
    #[arg(long)]
    strangers: bool,

    /// The hard state to continue with: bytes in hexadecimal, `keep` for the last known one, `none` if there was none.
    /// Required if it is lost.
    #[arg(long, value_name = "HEX|keep|none", value_parser = hard_state, requires = "shard")]
    #[arg(conflicts_with = "destroy", conflicts_with_all = OF_NO_SHARD)]
    hard_state: Option<HardState>,

    /// Carry out the repair.
    #[arg(long, requires = "action")]
    yes: bool,
}

const ACTIONS: [&str; 6] = ["cut", "reset", "destroy", "accept_unknown_losses", "identity", "strangers"];
const OF_NO_SHARD: [&str; 3] = ["accept_unknown_losses", "identity", "strangers"];

const HELP: &str = "\
Examples:
  logboom repair DIR                                            what is lost, and what could be done
  logboom repair DIR --shard 7 --cut                            what cutting shard 7 would do
  logboom repair DIR --shard 7 --cut --yes                      do it
  logboom repair DIR --shard 7 --cut --hard-state keep --yes    likewise, its vote is lost too
  logboom repair DIR --shard 7 --reset 5000:12 --yes            begin behind a snapshot of entry 5000 of term 12
  logboom repair DIR --accept-unknown-losses --yes              no shard is missing altogether
  logboom repair DIR --identity --yes                           LOGBOOM as the other files name the log
  logboom repair DIR --strangers --yes                          put the files of other logs aside

Exit codes:
  0  the log is clean, or is now
  1  nothing was done, for want of --yes; or an unpromised tail, which a writable open would cut
  2  damage, as `verify` finds it: something is to be repaired, or still is
  3  could not be done";

pub(crate) fn run(args: &Args, format: Format) -> Result<Report, Failure> {
    let fail = |error: String| Failure::new(&args.dir, &error);
    let mend = match (args.identity, args.strangers) {
        (true, _) => Some(IdentityAction::Restore),
        (_, true) => Some(IdentityAction::PutAside),
        _ => (args.shard.is_none() && !args.accept_unknown_losses).then_some(IdentityAction::List),
    };
    if let Some(mend) = mend {
        match (mend, identity_fault(&args.dir)?) {
            (mend, Some(fault)) => return identity::repair(&args.dir, mend, args.yes, &fault, format).map_err(fail),
            (IdentityAction::List, None) => {}
            (_, None) => return Err(fail("the identity is intact, and no file is in the way".to_owned())),
        }
    }
    let found = Examination::of(&args.dir, false, format)?;
    let Some(view) = &found.log else { return Err(fail(too_much_is_missing(&found))) };
    let repair = match plan(args, |id| view.shard(id), view.has_unknown_losses()).map_err(fail)? {
        None => Repair::new(args, Outcome::Listed, State::of(&found, view)),
        Some(plan) if !args.yes => {
            let repair = Repair::new(args, Outcome::Unconfirmed, State::of(&found, view));
            Repair { steps: plan.words(), ..repair }
        }
        Some(_) => carry_out(args, format)?,
    };
    Ok(Report::new(format, repair.exit(), &repair, text))
}

/// A running writer can hide a file, or make it look like another log's, for a moment.
fn identity_fault(dir: &Path) -> Result<Option<Arc<IdentityFault>>, Failure> {
    let look = || identity::fault(dir).map_err(|error| Failure::new(dir, &error));
    steady(dir, look, |fault| fault.as_ref().map_or_else(String::new, ToString::to_string))
}

fn too_much_is_missing(found: &Examination) -> String {
    let damages: Vec<String> = found.damages().iter().map(Damage::text).collect();
    format!("corruption: the log cannot be opened, and so not repaired: {}", damages.join("; "))
}

/// The report, as it is printed.
#[derive(Debug, Serialize)]
struct Repair {
    directory: String,
    outcome: Outcome,
    /// After the repair, if there was one.
    #[serde(flatten)]
    state: State,
    /// The steps that were done, or would be.
    steps: Vec<String>,
    /// The folder of the copied files and the record.
    aside: Option<String>,
}

/// The faults to repair.
#[derive(Debug, Serialize)]
struct State {
    verdict: Verdict,
    quarantined: Vec<Row>,
    /// Whether unlisted shards are in quarantine, because lost records may have been theirs.
    has_unknown_losses: bool,
    /// All findings of a check of every checksum.
    damages: Vec<Damage>,
}

#[derive(Debug, Serialize)]
struct Row {
    shard: u64,
    first: Option<u64>,
    last: Option<u64>,
    quarantine: Missing,
    /// In hexadecimal. Do not vote by it: a later one may be lost.
    last_known_hard_state: Option<String>,
    /// Whether a repair must choose the hard state.
    needs_hard_state: bool,
    /// The effect of cutting its log.
    cut: String,
}

impl Repair {
    fn new(args: &Args, outcome: Outcome, state: State) -> Self {
        Self { directory: args.dir.display().to_string(), outcome, state, steps: Vec::new(), aside: None }
    }

    fn exit(&self) -> Exit {
        match self.outcome {
            Outcome::Unconfirmed => Exit::Pending,
            Outcome::Listed | Outcome::Repaired => self.state.verdict.exit(),
        }
    }
}

impl State {
    fn of(found: &Examination, view: &ReadOnly) -> Self {
        let row = |(id, quarantine)| Row::new(&view.shard(id), quarantine);
        Self {
            verdict: found.verdict,
            quarantined: view.quarantined().into_iter().map(row).collect(),
            has_unknown_losses: view.has_unknown_losses(),
            damages: found.damages(),
        }
    }
}

impl Row {
    fn new(shard: &Shard, quarantine: Quarantine) -> Self {
        Self {
            shard: shard.id().0,
            first: shard.first(),
            last: shard.last(),
            last_known_hard_state: shard.last_known_hard_state().map(|bytes| hex(&bytes)),
            needs_hard_state: needs_hard_state(&quarantine),
            cut: Step::cut(shard, &quarantine)
                .map_or_else(|| "take the log as it is".to_owned(), |cut| cut.to_string()),
            quarantine: quarantine.into(),
        }
    }
}

/// The plan for `args` on the current state; `None` if they request nothing.
fn plan(args: &Args, shard: impl Fn(ShardId) -> Shard, has_unknown_losses: bool) -> Result<Option<Plan>, String> {
    let action = match args.reset {
        _ if args.accept_unknown_losses && has_unknown_losses => return Ok(Some(Plan::UnknownLosses)),
        _ if args.accept_unknown_losses => {
            return Err("no shard is held back that nothing is known of: nothing to repair".to_owned());
        }
        _ if args.destroy => Action::Destroy,
        Some(boundary) => Action::Reset(boundary),
        None => Action::Cut,
    };
    let shard = args.shard.map(|id| shard(ShardId(id)));
    shard.map(|shard| Plan::new(&shard, action, args.hard_state.as_ref())).transpose()
}

/// The first line of a repair's record: written before anything is changed.
#[derive(Debug, Serialize)]
struct Before<'a> {
    at: String,
    version: &'static str,
    steps: &'a [String],
    #[serde(flatten)]
    state: &'a State,
    files: &'a [String],
}

/// The second line.
#[derive(Debug, Serialize)]
struct After<'a> {
    at: String,
    error: Option<&'a str>,
    #[serde(flatten)]
    state: Option<&'a State>,
}

/// Carries out `args`. Under the lock no other process changes the log, so that the copies show it before the repair:
/// opening the log for writing may already recycle a damaged segment.
fn carry_out(args: &Args, format: Format) -> Result<Repair, Failure> {
    let fail = |error: String| Failure::new(&args.dir, &error);
    let mut options = DiskOptions::default();
    options.create = false;
    let disk = disk::open(&args.dir, &options).map_err(|error| Failure::new(&args.dir, &error))?;
    let found = Examination::of(&args.dir, false, format)?;
    let Some(view) = &found.log else { return Err(fail(too_much_is_missing(&found))) };
    let planned = plan(args, |id| view.shard(id), view.has_unknown_losses()).map_err(fail)?;
    let planned = planned.ok_or_else(|| fail("nothing is demanded".to_owned()))?;
    let steps = planned.words();
    let files = files(&args.dir, view, &found.report.damages).map_err(|error| Failure::new(&args.dir, &error))?;
    let mut aside = Aside::make(&args.dir, &files, SystemTime::now()).map_err(fail)?;
    let state = State::of(&found, view);
    let version = env!("CARGO_PKG_VERSION");
    let before = Before { at: utc(SystemTime::now()), version, steps: &steps, state: &state, files: &files };
    aside.note(&before).map_err(fail)?;
    let damaged = found.damaged();
    drop(found);

    let repaired = change(disk, args, &planned, damaged).map_err(fail).and_then(|()| {
        let found = Examination::of(&args.dir, false, format)?;
        let view = found.log.as_ref().ok_or_else(|| fail(too_much_is_missing(&found)))?;
        Ok(State::of(&found, view))
    });
    let error = repaired.as_ref().err().map(Failure::error);
    let noted = aside.note(&After { at: utc(SystemTime::now()), error, state: repaired.as_ref().ok() });
    let state = repaired?;
    noted.map_err(|error| fail(format!("repaired, but {error:#}")))?;
    let aside = Some(aside.path().display().to_string());
    Ok(Repair { steps, aside, ..Repair::new(args, Outcome::Repaired, state) })
}

/// Carries out the plan, and frees damaged segments that no quarantine needs any more.
fn change(disk: Arc<dyn Disk>, args: &Args, planned: &Plan, damaged: BTreeSet<SegmentId>) -> Result<(), String> {
    let engine = Engine::open_on(disk, config(&args.dir), Runtime::Threads).map_err(said)?;
    engine.report_damage(damaged).map_err(said)?;
    let plan = plan(args, |id| engine.shard(id), engine.has_unknown_losses())?;
    if plan.as_ref() != Some(planned) {
        return Err("the log is not as it was when it was only looked at: nothing was done".to_owned());
    }
    planned.apply(&engine).map_err(said)?;
    let emptied = engine.reclaim().map(drop);
    let closed = engine.close();
    emptied.and(closed).map_err(|error| format!("repaired, but the log was not closed well: {error:#}"))
}

/// The names of the files to copy: those of the damaged segments. A missing segment may be in any unidentified file, so
/// those are copied then too.
fn files(dir: &Path, view: &ReadOnly, damages: &[Arc<logboom_wal::Damage>]) -> std::io::Result<Vec<String>> {
    let live: Vec<_> = view.segments().into_iter().map(|row| (row.info.id, row.info.file_name())).collect();
    let mut names = BTreeSet::new();
    let mut is_missing = false;
    for damage in damages {
        let found = live.iter().find(|(id, _)| *id == damage.segment);
        is_missing |= found.is_none();
        names.extend(found.map(|(_, name)| name.clone()));
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_free = name.starts_with("segment-") && live.iter().all(|(_, other)| *other != name);
        if entry.file_type()?.is_file() && (SMALL_FILES.contains(&&*name) || (is_missing && is_free)) {
            names.insert(name);
        }
    }
    Ok(names.into_iter().collect())
}

fn said(error: impl fmt::Display) -> String {
    format!("{error:#}")
}

fn text(repair: &Repair) -> String {
    let mut text = field("directory", &repair.directory);
    for step in &repair.steps {
        text += &repair.outcome.step(step);
    }
    if let Some(aside) = &repair.aside {
        text += &field("aside", &format!("the files as they were, and a record, are in {aside}"));
    }
    let state = &repair.state;
    let still = if repair.outcome == Outcome::Repaired { "left" } else { "to repair" };
    text += &field(still, &summary(state));
    if repair.outcome == Outcome::Unconfirmed {
        return text + &unconfirmed();
    }
    for damage in &state.damages {
        text += &field("damage", &damage.text());
    }
    for row in &state.quarantined {
        text += &field("quarantine", &row.text());
    }
    if repair.outcome == Outcome::Listed && (!state.quarantined.is_empty() || state.has_unknown_losses) {
        text += &field("ways out", "heal it from another replica (Engine::heal): gives up nothing");
        text += &format!("{:FIELD_WIDTH$}or give up what is lost: see `logboom repair --help`\n", "");
    }
    text
}

fn summary(state: &State) -> String {
    let shards = count(state.quarantined.len() as u64, "shard");
    if !state.damages.is_empty() && state.quarantined.is_empty() && !state.has_unknown_losses {
        return "no shard has lost anything: see docs/repair.md for what mends the damage".to_owned();
    }
    match (state.quarantined.len(), state.has_unknown_losses) {
        (0, false) => "nothing".to_owned(),
        (0, true) => "every shard that nothing is known of: --accept-unknown-losses".to_owned(),
        (_, false) => shards,
        (_, true) => format!("{shards}, and every one that nothing is known of: --accept-unknown-losses"),
    }
}

impl Row {
    fn text(&self) -> String {
        let mut text = format!("shard {} {}", self.shard, self.quarantine.text);
        let mut line = |what: &str| text += &format!("\n{:FIELD_WIDTH$}{what}", "");
        match (self.first, self.last) {
            (Some(first), Some(last)) => line(&format!("its log, lost entries included, is {first} to {last}")),
            _ => line("its log is empty"),
        }
        line(&format!("--cut would {}", self.cut));
        if self.needs_hard_state {
            let known = self.last_known_hard_state.as_deref().unwrap_or("none");
            line(&format!("--hard-state is needed: the last one that is known is {known}"));
        }
        text
    }
}
