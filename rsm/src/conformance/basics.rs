//! Rules for every machine: it is deterministic, and lookups have no side effects.

use super::{Rule, Subject, Violation, bench::Bench};

const ROUNDS: usize = 5;

pub(super) fn check<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    for _ in 0..ROUNDS {
        check_determinism(bench)?;
        check_lookups(bench)?;
    }
    Ok(())
}

fn check_determinism<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let (mut one, mut other) = (bench.machine()?, bench.machine()?);
    bench.same(Rule::Deterministic, "empty machines", &one, &other)?;
    let end = bench.end();
    let outputs = (bench.update_in_pieces(&mut one, 1..end)?, bench.update_in_pieces(&mut other, 1..end)?);
    if outputs.0 != outputs.1 {
        return Err(bench.violation(Rule::Deterministic, "the same entries, other outputs"));
    }
    bench.same_from(Rule::Deterministic, "the same entries", &mut one, &mut other, end)
}

fn check_lookups<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let end = bench.end();
    let (mut asked, mut other) = (bench.machine_at(end)?, bench.machine_at(end)?);
    for _ in 0..20 {
        let random = bench.random.u64(..);
        let answers = (bench.lookup(&asked, random), bench.lookup(&asked, random));
        if answers.0 != answers.1 {
            return Err(bench.violation(Rule::LookupChangesNothing, "the same query, another answer"));
        }
    }
    bench.same_from(Rule::LookupChangesNothing, "a machine that was asked", &mut asked, &mut other, end)
}
