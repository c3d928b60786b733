//! `logboom repair`: ends what damage has begun, by giving up what is lost, on explicit demand.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use logboom::{
    Boundary, Config, Engine, Quarantine, ReadOnly, Runtime, Shard, ShardId,
    disk::{self, Disk, DiskOptions},
};
use logboom_wal::Options;
use serde::Serialize;

use crate::{
    aside::{Aside, utc},
    output::{Exit, FIELD_WIDTH, Failure, Format, Progress, Report, count, field, hex},
    plan::{Action, HardState, Plan, Step, boundary, hard_state, needs_hard_state},
    verdict::{Damage, Missing},
};

/// Files besides segments that tell how the log was: copied aside as well, where they are there.
const SMALL_FILES: [&str; 3] = ["LOGBOOM", "checkpoint-0", "checkpoint-1"];

/// List the shards of which something is lost, or end that by giving it up.
///
/// The last resort: a shard that is healed from another replica, through the library, loses nothing. Nothing is written
/// without `--yes`. With it, the damaged files are first copied to DIR/damaged/<time>, where a record is kept too.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
#[command(group = clap::ArgGroup::new("action").args(["cut", "reset", "destroy", "unseen"]))]
pub(crate) struct Args {
    /// The directory of the log.
    dir: PathBuf,

    /// The shard to repair.
    #[arg(long, value_name = "ID", requires = "action", conflicts_with = "unseen")]
    shard: Option<u64>,

    /// Drop the entries from the first lost one on; where the end of the log is lost, take it as it is.
    #[arg(long, requires = "shard")]
    cut: bool,

    /// Empty the log: it goes on behind this entry, as after a snapshot of that point was installed.
    #[arg(long, value_name = "INDEX:TERM", value_parser = boundary, requires = "shard")]
    reset: Option<Boundary>,

    /// Forget the shard: log, hard state, commit hint and keys.
    #[arg(long, requires = "shard")]
    destroy: bool,

    /// Say that no shard exists but those that are known, where records are lost without a trace.
    #[arg(long)]
    unseen: bool,

    /// The hard state that the shard goes on with: bytes in hexadecimal, `keep` for the last one that is known, `none`
    /// if there was none. Must be given where it is lost.
    #[arg(long, value_name = "HEX|keep|none", value_parser = hard_state, conflicts_with_all = ["destroy", "unseen"])]
    #[arg(requires = "shard")]
    hard_state: Option<HardState>,

    /// Do it.
    #[arg(long, requires = "action")]
    yes: bool,
}

const HELP: &str = "\
Examples:
  logboom repair DIR                                            what is lost, and what could be done
  logboom repair DIR --shard 7 --cut                            what cutting shard 7 would do
  logboom repair DIR --shard 7 --cut --yes                      do it
  logboom repair DIR --shard 7 --cut --hard-state keep --yes    likewise, its vote is lost too
  logboom repair DIR --shard 7 --reset 5000:12 --yes            begin behind a snapshot of entry 5000 of term 12
  logboom repair DIR --unseen --yes                             no shard is missing altogether

Exit codes:
  0  nothing to repair, or nothing any more
  1  nothing was done, for want of --yes
  2  something is to be repaired, or still is
  3  could not be done";

pub(crate) fn run(args: &Args, format: Format) -> Result<Report, Failure> {
    let fail = |error: String| Failure::new(&args.dir, &error);
    let view = view(&args.dir).map_err(fail)?;
    let repair = match plan(args, |id| view.shard(id), view.holds_back_unseen()).map_err(fail)? {
        None => Repair::new(args, Outcome::Listed, State::of_view(&view)),
        Some(plan) if !args.yes => {
            let repair = Repair::new(args, Outcome::Unconfirmed, State::of_view(&view));
            Repair { steps: plan.words(), ..repair }
        }
        Some(_) => carry_out(args, format).map_err(fail)?,
    };
    Ok(Report::new(format, repair.exit(), &repair, text))
}

/// What was found or done, as it is printed.
#[derive(Debug, Serialize)]
struct Repair {
    directory: String,
    outcome: Outcome,
    /// After the repair, if there was one.
    #[serde(flatten)]
    state: State,
    /// What was done, or would be.
    steps: Vec<String>,
    /// Where the files are that were copied before, and the record.
    aside: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Listed,
    Unconfirmed,
    Repaired,
}

/// What is to be repaired.
#[derive(Debug, Serialize)]
struct State {
    quarantined: Vec<Row>,
    /// Shards that are not listed are held back: records are lost that may have been theirs.
    holds_back_unseen: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    shard: u64,
    first: Option<u64>,
    last: Option<u64>,
    quarantine: Missing,
    /// In hexadecimal. Not to be voted by: a later one may be lost.
    last_known_hard_state: Option<String>,
    /// A repair must say which hard state the shard goes on with.
    needs_hard_state: bool,
    /// What cutting it would do to its log.
    cut: String,
}

impl Repair {
    fn new(args: &Args, outcome: Outcome, state: State) -> Self {
        Self { directory: args.dir.display().to_string(), outcome, state, steps: Vec::new(), aside: None }
    }

    fn exit(&self) -> Exit {
        match self.outcome {
            Outcome::Unconfirmed => Exit::Pending,
            _ if self.state.is_good() => Exit::Clean,
            _ => Exit::Damage,
        }
    }
}

impl State {
    fn of_view(view: &ReadOnly) -> Self {
        Self::new(view.quarantined(), |id| view.shard(id), view.holds_back_unseen())
    }

    fn of_engine(engine: &Engine) -> Self {
        Self::new(engine.quarantined(), |id| engine.shard(id), engine.holds_back_unseen())
    }

    fn new(rows: Vec<(ShardId, Quarantine)>, shard: impl Fn(ShardId) -> Shard, holds_back_unseen: bool) -> Self {
        let quarantined = rows.into_iter().map(|(id, quarantine)| Row::new(&shard(id), quarantine)).collect();
        Self { quarantined, holds_back_unseen }
    }

    fn is_good(&self) -> bool {
        self.quarantined.is_empty() && !self.holds_back_unseen
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

/// What `args` demand, on the shards as they are; `None` if nothing.
fn plan(args: &Args, shard: impl Fn(ShardId) -> Shard, holds_back_unseen: bool) -> Result<Option<Plan>, String> {
    let action = match args.reset {
        _ if args.unseen && holds_back_unseen => return Ok(Some(Plan::Unseen)),
        _ if args.unseen => return Err("no shard is held back that nothing is known of: nothing to repair".to_owned()),
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
    /// All that a check of every checksum finds.
    damages: Vec<Damage>,
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

/// Does what `args` demand. From the lock on nobody else changes anything, so that what is copied aside is what is
/// there before the repair: opening the log for writing may already use a damaged segment again.
fn carry_out(args: &Args, format: Format) -> Result<Repair, String> {
    let options = DiskOptions { create: false, ..DiskOptions::default() };
    let disk = disk::open(&args.dir, &options).map_err(said)?;
    let view = view(&args.dir)?;
    let planned = plan(args, |id| view.shard(id), view.holds_back_unseen())?.ok_or("nothing is demanded")?;
    let steps = planned.words();
    let damages = damages(&args.dir, format)?;
    let files = files(&args.dir, &view, &damages).map_err(said)?;
    let now = SystemTime::now();
    let mut aside = Aside::make(&args.dir, &files, now)?;
    let state = State::of_view(&view);
    let damages = damages.iter().map(|damage| Damage::new(damage)).collect();
    let version = env!("CARGO_PKG_VERSION");
    aside.note(&Before { at: utc(now), version, steps: &steps, state: &state, damages, files: &files })?;
    drop(view);

    let repaired = change(disk, args, &planned);
    let (error, state) = (repaired.as_ref().err().map(String::as_str), repaired.as_ref().ok());
    let noted = aside.note(&After { at: utc(SystemTime::now()), error, state });
    let state = repaired?;
    noted.map_err(|error| format!("repaired, but {error}"))?;
    let aside = Some(aside.path().display().to_string());
    Ok(Repair { steps, aside, ..Repair::new(args, Outcome::Repaired, state) })
}

fn change(disk: Arc<dyn Disk>, args: &Args, planned: &Plan) -> Result<State, String> {
    let engine = Engine::open_on(disk, config(&args.dir), Runtime::Threads).map_err(said)?;
    let plan = plan(args, |id| engine.shard(id), engine.holds_back_unseen())?;
    if plan.as_ref() != Some(planned) {
        return Err("the log is not as it was when it was only looked at: nothing was done".to_owned());
    }
    planned.apply(&engine).map_err(said)?;
    let state = State::of_engine(&engine);
    engine.close().map_err(|error| format!("repaired, but closing the log failed: {error}"))?;
    Ok(state)
}

fn config(dir: &Path) -> Config {
    let mut config = Config::new(dir);
    config.create = false;
    config
}

fn view(dir: &Path) -> Result<ReadOnly, String> {
    Engine::open_read_only(config(dir)).map_err(said)
}

/// All that is damaged, below the checkpoint as well.
fn damages(dir: &Path, format: Format) -> Result<Vec<Arc<logboom_wal::Damage>>, String> {
    let disk = disk::open_read_only(dir, &DiskOptions::default()).map_err(said)?;
    let progress = Progress::new("verifying", format);
    let report = logboom_wal::verify(disk, Options::default(), &mut |done, total| progress.set(done, total));
    Ok(report.map_err(said)?.damages)
}

/// The names of the files to be copied aside: those of the damaged segments. A segment that is not there may be in any
/// file that states nothing, so those are kept then too.
fn files(dir: &Path, view: &ReadOnly, damages: &[Arc<logboom_wal::Damage>]) -> std::io::Result<Vec<String>> {
    let name = |slot: u32| format!("segment-{slot:06}");
    let live: Vec<_> = view.segments().into_iter().map(|row| (row.info.id, name(row.info.slot))).collect();
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
    error.to_string()
}

fn text(repair: &Repair) -> String {
    let mut text = field("directory", &repair.directory);
    for step in &repair.steps {
        text += &field(if repair.outcome == Outcome::Repaired { "done" } else { "would" }, step);
    }
    if let Some(aside) = &repair.aside {
        text += &field("aside", &format!("the files as they were, and a record, are in {aside}"));
    }
    let state = &repair.state;
    let still = if repair.outcome == Outcome::Repaired { "left" } else { "to repair" };
    text += &field(still, &summary(state));
    if repair.outcome == Outcome::Unconfirmed {
        return text + &field("nothing", "was changed: add --yes to do it");
    }
    for row in &state.quarantined {
        text += &field("quarantine", &row.text());
    }
    if repair.outcome == Outcome::Listed && !state.is_good() {
        text += &field("ways out", "heal it from another replica (Engine::heal): gives up nothing");
        text += &format!("{:FIELD_WIDTH$}or give up what is lost: see `logboom repair --help`\n", "");
    }
    text
}

fn summary(state: &State) -> String {
    let shards = count(state.quarantined.len() as u64, "shard");
    match (state.quarantined.len(), state.holds_back_unseen) {
        (0, false) => "nothing".to_owned(),
        (0, true) => "every shard that nothing is known of: --unseen".to_owned(),
        (_, false) => shards,
        (_, true) => format!("{shards}, and every one that nothing is known of: --unseen"),
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
