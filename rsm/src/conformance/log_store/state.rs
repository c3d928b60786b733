//! Rules for the state that a server keeps beside its log.

use std::ops::Deref;

use super::{
    Row, Rule, Subject, Violation,
    bench::{Bench, entries},
};
use crate::log_store::{ServerState, StateStore};

pub(super) fn rows<'s, S: Subject<Store: Deref<Target: StateStore>>>() -> [Row<'s, S>; 2] {
    [(Rule::StateSurvives, state_survives), (Rule::StateIsBehindTheLog, state_is_behind_the_log)]
}

fn state_survives<S: Subject<Store: Deref<Target: StateStore>>>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let mut store = bench.subject.store();
    bench.same("read_state of a new one", bench.ok("read_state", store.read_state())?, None)?;
    bench.same("load_config of a new one", bench.ok("load_config", store.load_config())?, None)?;
    for term in 1..6 {
        let (voted_for, flags) = (bench.random.i32(-1..5), bench.random.u8(0..8));
        let state = ServerState {
            term,
            voted_for,
            election_timer_allowed: flags & 1 != 0,
            catching_up: flags & 2 != 0,
            receiving_snapshot: flags & 4 != 0,
        };
        let config = vec![flags; bench.random.usize(0..3000)];
        bench.ok("save_state", store.save_state(&state))?;
        bench.ok("save_config", store.save_config(&config))?;
        if term % 2 == 0 {
            store = bench.subject.crash(store);
        }
        bench.same("read_state", bench.ok("read_state", store.read_state())?, Some(state))?;
        bench.same("load_config", bench.ok("load_config", store.load_config())?, Some(config.into()))?;
    }
    Ok(())
}

/// A vote that survives the entries that it was given on was given on another log.
fn state_is_behind_the_log<S: Subject<Store: Deref<Target: StateStore>>>(
    bench: &mut Bench<'_, S>,
) -> Result<(), Violation> {
    let store = bench.log(5)?;
    bench.append_all(&store, 5..12)?;
    bench.ok("save_state", store.save_state(&ServerState { term: 2, voted_for: 3, ..ServerState::default() }))?;
    let store = bench.subject.crash(store);
    bench.holds(&store, 1, &entries(1..12))
}
