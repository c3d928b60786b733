//! Looks at what a power cut left.

use std::path::Path;

use logboom::Engine;

use crate::{
    Failure,
    model::{State, observe, outline},
    recording::Ground,
    script::{self, Script},
    writer::{Known, Possible, config},
};

/// A session that no writer has.
const AFTERWARDS: usize = 1000;

/// What must be found.
pub(crate) enum Expected<'a> {
    /// For each writer, a state that agrees with what is known.
    OneOf { known: Vec<Known>, possible: &'a [Possible] },
    /// These states: an opening has reported them.
    Exactly(Vec<State>),
}

/// How cuts ended: a run in which nothing was at stake shows.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    pub(crate) cuts: usize,
    /// Cuts during the opening that followed a cut.
    pub(crate) second_cuts: usize,
    /// Unflushed writes that were kept, lost, torn.
    pub(crate) unflushed: [usize; 3],
    /// Openings that made the log anew: the cut came before it was reported to exist.
    created: usize,
    /// Openings that reported a cut tail.
    tail_cut: usize,
    closed_before: usize,
    with_checkpoint: usize,
    /// Writers of which batches were found that were not acknowledged.
    beyond_acknowledged: usize,
}

/// Opens the log of a mounted image, and compares; returns the engine and the states that were found.
pub(crate) fn open(
    ground: &Ground,
    dir: &Path,
    expected: &Expected<'_>,
    outcomes: &mut Outcomes,
) -> Result<(Engine, Vec<State>), Failure> {
    let engine = Engine::open(config(dir, ground.style))?;
    outcomes.note_opening(&engine);
    let mut states = Vec::new();
    for lane in 0..script::LANES {
        let state = observe(&engine, script::shards(lane))?;
        if !expected.agrees(lane as usize, &state, outcomes) {
            let (found, report) = (outline(&state), engine.open_report());
            return Err(format!("writer {lane} was never in this state: {found}\n{expected}\n{report}").into());
        }
        states.push(state);
    }
    Ok((engine, states))
}

/// Mounts an image, opens the log on it, compares, writes some more and opens it again.
pub(crate) fn check(
    ground: &Ground,
    image: &Path,
    expected: &Expected<'_>,
    outcomes: &mut Outcomes,
) -> Result<(), Failure> {
    let mount = ground.mount(image, &image.with_extension("mounted"))?;
    let (engine, mut states) = open(ground, mount.path(), expected, outcomes)?;
    for (lane, state) in (0..).zip(&mut states) {
        let mut script = Script::new(0, AFTERWARDS, lane);
        for _ in 0..3 {
            let mut batch = engine.batch();
            for (shard, operation) in script.next(state).operations {
                operation.add_to(&mut batch, shard)?;
            }
            engine.write(batch)?;
        }
    }
    engine.close()?;
    let engine = Engine::open(config(mount.path(), ground.style))?;
    for (lane, state) in (0..).zip(&states) {
        let found = observe(&engine, script::shards(lane))?;
        if found != *state {
            let (found, state) = (outline(&found), outline(state));
            return Err(format!("writer {lane}, opened once more: {found}\ninstead of{state}").into());
        }
    }
    engine.close()?;
    mount.unmount()
}

impl Expected<'_> {
    fn agrees(&self, lane: usize, state: &State, outcomes: &mut Outcomes) -> bool {
        match self {
            Expected::Exactly(states) => states[lane] == *state,
            Expected::OneOf { known, possible } => {
                let found = possible[lane].find(&known[lane], state);
                outcomes.beyond_acknowledged += usize::from(found > Some(known[lane].acknowledged));
                found.is_some()
            }
        }
    }
}

impl std::fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Expected::OneOf { known, .. } => write!(f, "known: {known:?}"),
            Expected::Exactly(states) => states.iter().try_for_each(|state| write!(f, "reported:{}", outline(state))),
        }
    }
}

impl Outcomes {
    fn note_opening(&mut self, engine: &Engine) {
        let recovery = &engine.open_report().recovery;
        self.created += usize::from(recovery.created);
        self.tail_cut += usize::from(recovery.cut.is_some());
        self.closed_before += usize::from(recovery.closed);
        self.with_checkpoint += usize::from(recovery.checkpoint.is_some());
    }
}
