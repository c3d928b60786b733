//! Random histories of a group whose power is cut at every step: what is found is what the group was at one moment,
//! and none before what was acknowledged.

use logboom::Engine;

use crate::{
    fixture::{Answer, Fixture, now, poll},
    group::{A, Group, Id, Row, Vote, for_each_core, row},
};

for_each_core! { a_power_cut_leaves_a_moment_that_is_not_before_what_was_acknowledged }

fn a_power_cut_leaves_a_moment_that_is_not_before_what_was_acknowledged<G: Group>() {
    let seeds = match (std::env::var("LOGBOOM_SEED"), std::env::var_os("LOGBOOM_LONG")) {
        (Ok(seed), _) => {
            let seed = seed.parse().unwrap();
            seed..seed + 1
        }
        (_, Some(_)) => 0..300,
        _ => 0..24,
    };
    let mut cuts = 0;
    for seed in seeds {
        cuts += History::<G>::new(seed).run(40);
    }
    println!("{}: {cuts} power cuts", G::CORE);
    assert!(cuts > 100);
}

/// What a group is.
#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    purged: Option<Id>,
    rows: Vec<Row>,
    vote: Option<Vote>,
    committed: Option<Id>,
}

impl State {
    fn last(&self) -> Option<Id> {
        self.rows.last().map(|row| row.id).or(self.purged)
    }

    fn next(&self) -> u64 {
        self.last().map_or(0, |(_, _, index)| index + 1)
    }

    fn read<G: Group>(fixture: &Fixture, engine: &Engine) -> Self {
        let group = G::on(engine, A);
        let (purged, last) = fixture.wait(engine, group.ends()).unwrap();
        let state = Self {
            purged,
            rows: fixture.wait(engine, group.read(0..u64::MAX)).unwrap(),
            vote: now(group.vote()).unwrap(),
            committed: now(group.committed()).unwrap(),
        };
        assert_eq!(state.last(), last);
        state
    }
}

struct History<G> {
    seed: u64,
    random: fastrand::Rng,
    fixture: Fixture,
    engine: Engine,
    group: G,
    /// After each operation, in the order of the calls; the first is before any.
    moments: Vec<State>,
    /// Those that an operation has promised, or will: their places in `moments`.
    promises: Vec<(usize, Answer<()>)>,
    /// The last moment that was promised.
    acknowledged: usize,
    cuts: u64,
}

impl<G: Group> History<G> {
    fn new(seed: u64) -> Self {
        let fixture = Fixture::new(seed);
        let engine = fixture.open();
        let group = G::on(&engine, A);
        Self {
            seed,
            random: fastrand::Rng::with_seed(seed),
            fixture,
            engine,
            group,
            moments: vec![State::default()],
            promises: Vec::new(),
            acknowledged: 0,
            cuts: 0,
        }
    }

    fn run(mut self, operations: usize) -> u64 {
        for _ in 0..operations {
            self.operate();
            self.check_cut();
            for _ in 0..self.random.usize(0..6) {
                self.fixture.step(&self.engine);
                self.collect();
                self.check_cut();
            }
        }
        let found = State::read::<G>(&self.fixture, &self.engine);
        assert_eq!(Some(&found), self.moments.last(), "seed {}", self.seed);
        self.cuts
    }

    fn operate(&mut self) {
        let state = self.moments.last().cloned().unwrap_or_default();
        match self.random.u32(0..100) {
            0..45 => self.append(state),
            45..60 => self.save_vote(state),
            60..75 => self.save_committed(state),
            75..87 => self.truncate(state),
            _ => self.purge(state),
        }
    }

    fn append(&mut self, mut state: State) {
        let (term, node) = (state.last().map_or(0, |id| id.0) + self.random.u64(0..2), self.random.u64(1..4));
        let next = state.next();
        let rows: Vec<Row> = (next..next + self.random.u64(0..4)).map(|index| row(term, node, index)).collect();
        state.rows.extend(rows.clone());
        let answer = self.group.append(rows);
        self.promise(state, true, answer);
    }

    fn save_vote(&mut self, mut state: State) {
        let vote = (state.vote.map_or(1, |vote| vote.0 + 1), self.random.u64(1..4), self.random.bool());
        state.vote = Some(vote);
        let answer = self.group.save_vote(vote);
        self.promise(state, true, answer);
    }

    fn save_committed(&mut self, mut state: State) {
        let Some(row) = self.random.choice(&state.rows) else { return };
        state.committed = state.committed.max(Some(row.id));
        let answer = self.group.save_committed(state.committed);
        self.promise(state, false, answer);
    }

    /// Of what is not committed.
    fn truncate(&mut self, mut state: State) {
        let open = state.rows.iter().position(|row| Some(row.id) > state.committed).unwrap_or(state.rows.len());
        if open == state.rows.len() {
            return;
        }
        let cut = self.random.usize(open..state.rows.len());
        let first = state.rows[cut].id;
        state.rows.truncate(cut);
        let answer = self.group.truncate(first, state.last());
        self.promise(state, false, answer);
    }

    /// Most purges are of what is committed; some follow a snapshot from elsewhere, beyond the last entry.
    fn purge(&mut self, mut state: State) {
        let beyond = (state.last().map_or(1, |id| id.0), 9, state.next() + self.random.u64(0..3));
        let to = if self.random.u32(0..4) == 0 { Some(beyond) } else { state.committed };
        let Some(id) = to.filter(|id| state.purged.is_none_or(|purged| purged.2 < id.2)) else { return };
        state.rows.retain(|row| row.id.2 > id.2);
        state.purged = Some(id);
        let answer = self.group.purge(id);
        self.promise(state, false, answer);
    }

    fn promise(&mut self, state: State, promises: bool, mut answer: Answer<()>) {
        self.moments.push(state);
        let moment = self.moments.len() - 1;
        match poll(&mut answer) {
            Some(outcome) => {
                outcome.unwrap();
                // Truncations, purges and hints promise nothing by themselves.
                self.acknowledged = if promises { moment } else { self.acknowledged };
            }
            None => self.promises.push((moment, answer)),
        }
    }

    fn collect(&mut self) {
        let mut acknowledged = self.acknowledged;
        self.promises.retain_mut(|(moment, answer)| match poll(answer) {
            Some(outcome) => {
                outcome.unwrap();
                acknowledged = acknowledged.max(*moment);
                false
            }
            None => true,
        });
        self.acknowledged = acknowledged;
    }

    fn check_cut(&mut self) {
        self.cuts += 1;
        let fixture = self.fixture.cut(self.seed ^ self.cuts);
        let engine = fixture.open();
        let found = State::read::<G>(&fixture, &engine);
        let at = self.moments.iter().rposition(|moment| *moment == found);
        assert!(
            at.is_some_and(|at| at >= self.acknowledged),
            "LOGBOOM_SEED={}: cut {} found {found:#?}, which was moment {at:?}; {} is acknowledged: {:#?}",
            self.seed,
            self.cuts,
            self.acknowledged,
            self.moments[self.acknowledged],
        );
    }
}
