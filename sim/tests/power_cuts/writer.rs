//! The writer: an engine on the file system under test, and what is known of it at each moment.
//!
//! It runs in a process of its own, which is killed in some sessions, and marks on the disk what it was told.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use fastrand::Rng;
use logboom::{
    Config, Durability, Engine, Ticket,
    disk::{BackendChoice, DirectChoice},
};

use crate::{
    Failure,
    model::{State, observe, outline},
    script::{self, BATCHES, LANES, Script},
};

/// The role of the writer's process.
pub(crate) const ROLE: &str = "writer";

/// How the disk is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Ring,
    Blocking,
    Buffered,
}

const STYLES: [(&str, Style); 3] =
    [("ring", Style::Ring), ("blocking", Style::Blocking), ("buffered", Style::Buffered)];

/// Small segments: a session crosses many.
pub(crate) fn config(dir: &Path, style: Style) -> Config {
    let mut config = Config::new(dir.join("log"));
    config.segment_bytes = 256 << 10;
    config.reserve_segments = 1;
    config.cache_bytes = 1 << 20;
    config.lazy_age = Duration::from_millis(10);
    config.idle_promise = Duration::from_millis(10);
    config.disk.lock_wait = Duration::from_secs(10);
    match style {
        // Where there is no ring, blocking calls do.
        Style::Ring => {}
        Style::Blocking => config.disk.backend = BackendChoice::Blocking,
        Style::Buffered => config.disk.direct = DirectChoice::Off,
    }
    config
}

/// What a test knows of the batches of a writer: everything that a mark says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// For each opening, after how many batches of the session before the log was found to end.
    pub(crate) opened: Vec<usize>,
    /// The batches of the last session that are acknowledged.
    pub(crate) acknowledged: usize,
}

impl Known {
    fn opened(lane: u64, at: usize) -> String {
        format!("{lane} opened {at}")
    }

    fn acknowledged(lane: u64, batches: usize) -> String {
        format!("{lane} acknowledged {batches}")
    }

    /// Takes in a mark.
    pub(crate) fn learn(lanes: &mut [Known], mark: &str) -> Result<(), Failure> {
        let mut words = mark.split(' ');
        let (lane, what, number) = (words.next(), words.next(), words.next());
        let lane: usize = lane.unwrap_or("").parse()?;
        let number: usize = number.unwrap_or("").parse()?;
        let known = lanes.get_mut(lane).ok_or("a mark of an unknown writer")?;
        match what {
            Some("opened") => {
                known.opened.push(number);
                known.acknowledged = 0;
            }
            Some("acknowledged") => known.acknowledged = known.acknowledged.max(number),
            _ => return Err(format!("a mark that nobody wrote: {mark}").into()),
        }
        Ok(())
    }
}

/// The states that a writer can have left: which one depends on where the log ends.
pub(crate) struct Possible {
    /// For each session: before its first batch, and after each.
    sessions: Vec<Vec<State>>,
}

impl Possible {
    pub(crate) fn new(seed: u64, lane: u64, opened: &[usize]) -> Self {
        let mut sessions = vec![vec![State::new()]];
        for (session, at) in opened.iter().enumerate() {
            let start = sessions[session][*at].clone();
            sessions.push(script::states(seed, session, lane, start));
        }
        Self { sessions }
    }

    /// After how many batches of the last known session the writer was in this state, if it ever was, of those that
    /// agree with what is known.
    pub(crate) fn find(&self, known: &Known, state: &State) -> Option<usize> {
        let states = &self.sessions[known.opened.len()];
        (known.acknowledged..states.len()).find(|at| states[*at] == *state)
    }
}

/// One opening of the log: what a writer's process does.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) seed: u64,
    pub(crate) style: Style,
    /// The process kills itself after this many batches of all writers; if 0, it closes the log.
    pub(crate) killed_after: usize,
}

impl Session {
    /// Runs the session in a process, and adds where it found the log to `opened`.
    pub(crate) fn run(&self, dir: &Path, marks: &Path, opened: &mut [Vec<usize>]) -> Result<(), Failure> {
        let style = STYLES.iter().find(|(_, style)| *style == self.style).map_or("", |(name, _)| *name);
        let mut command = crate::role(ROLE)?;
        command.arg(dir).arg(marks).args([self.seed.to_string(), style.into(), self.killed_after.to_string()]);
        for found in opened.iter() {
            command.arg(found.iter().map(usize::to_string).collect::<Vec<_>>().join(","));
        }
        let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped()).output()?;
        let (said, complaint) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
        let ended = if self.killed_after == 0 { output.status.success() } else { output.status.code().is_none() };
        let found: Vec<usize> = said.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        if !ended || found.len() != opened.len() {
            return Err(format!("the writer ended with {}, said {said:?}: {complaint}", output.status).into());
        }
        opened.iter_mut().zip(found).for_each(|(opened, found)| opened.push(found));
        Ok(())
    }
}

/// The writer's process.
pub(crate) fn write(arguments: &[String]) -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let [dir, marks, seed, style, killed_after, opened @ ..] = arguments else {
        return Err("the writer needs more arguments".into());
    };
    let style = STYLES.iter().find(|(name, _)| name == style).ok_or("an unknown style")?.1;
    let opened: Vec<Vec<usize>> = opened.iter().map(|list| numbers(list)).collect::<Result<_, _>>()?;
    let killed_after: usize = killed_after.parse()?;
    let kill = |submitted| {
        // The process ends at once, whatever is on its way to the disk.
        if submitted + 1 == killed_after {
            let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            killed.unwrap_or_else(|_| std::process::abort());
        }
    };
    let marks = OpenOptions::new().write(true).open(marks)?;
    let engine = Engine::open(config(Path::new(dir), style))?;
    let writers = Writers { engine: &engine, seed: seed.parse()?, submitted: AtomicUsize::new(0), at_batch: &kill };
    let mut starts = Vec::new();
    for (lane, opened) in (0..).zip(&opened) {
        let state = observe(&engine, script::shards(lane))?;
        // What was acknowledged to a process that is gone, the test knows.
        let known = Known { opened: opened.clone(), acknowledged: 0 };
        let at = Possible::new(writers.seed, lane, opened).find(&known, &state);
        let at = at.ok_or_else(|| format!("writer {lane} finds what it never left: {}", outline(&state)))?;
        mark(&marks, &Known::opened(lane, at))?;
        say(&format!("{at} "))?;
        starts.push(state);
    }
    let outcomes = writers.run(opened.first().map_or(0, Vec::len), starts, &|known| mark(&marks, known));
    for outcome in outcomes {
        outcome?;
    }
    engine.close()?;
    Ok(())
}

fn numbers(list: &str) -> Result<Vec<usize>, Failure> {
    Ok(list.split(',').filter(|number| !number.is_empty()).map(str::parse).collect::<Result<_, _>>()?)
}

fn say(text: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes())?;
    Ok(output.flush()?)
}

/// One call, one mark.
fn mark(mut marks: &File, text: &str) -> Result<(), Failure> {
    Ok(marks.write_all(text.as_bytes())?)
}

/// Writers on one engine, each with its thread.
pub(crate) struct Writers<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) seed: u64,
    pub(crate) submitted: AtomicUsize,
    /// Is called for each batch with the number of those before it.
    pub(crate) at_batch: &'e (dyn Fn(usize) + Sync),
}

/// Told what was acknowledged.
type Tell<'a> = &'a (dyn Fn(&str) -> Result<(), Failure> + Sync);

impl Writers<'_> {
    /// Has each writer submit its batches of a session, and wait for them all. Stops a writer at the first error.
    pub(crate) fn run(&self, session: usize, starts: Vec<State>, tell: Tell<'_>) -> Vec<Result<(), Failure>> {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..LANES)
                .zip(starts)
                .map(|(lane, state)| scope.spawn(move || self.run_lane(session, lane, state, tell)))
                .collect();
            let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
            joined.map(|outcome| outcome.unwrap_or_else(|_| Err("a writer panicked".into()))).collect()
        })
    }

    fn run_lane(&self, session: usize, lane: u64, mut state: State, tell: Tell<'_>) -> Result<(), Failure> {
        let mut script = Script::new(self.seed, session, lane);
        let mut rng = Rng::with_seed(self.seed ^ (session as u64) << 8 ^ lane);
        let mut waiting: Vec<Ticket> = Vec::new();
        for submitted in 1..=BATCHES {
            (self.at_batch)(self.submitted.fetch_add(1, Ordering::Relaxed));
            let plan = script.next(&mut state);
            let mut batch = self.engine.batch();
            for (shard, operation) in &plan.operations {
                operation.add_to(&mut batch, *shard)?;
            }
            if !plan.lazy && rng.u32(..12) == 0 {
                self.engine.write(batch)?;
                waiting.clear();
                tell(&Known::acknowledged(lane, submitted))?;
                continue;
            }
            let durability = if plan.lazy { Durability::Lazy } else { Durability::Durable };
            waiting.push(self.engine.submit(batch, durability)?);
            if rng.u32(..10) == 0 {
                let at = rng.usize(..waiting.len());
                let left = waiting.split_off(at + 1);
                // A ticket stands for all before it.
                if let Some(ticket) = std::mem::replace(&mut waiting, left).pop() {
                    ticket.wait()?;
                }
                tell(&Known::acknowledged(lane, submitted - waiting.len()))?;
            }
            if rng.u32(..40) == 0 {
                thread::sleep(Duration::from_millis(rng.u64(1..30)));
            }
        }
        self.engine.barrier()?.wait()?;
        tell(&Known::acknowledged(lane, BATCHES))
    }
}
