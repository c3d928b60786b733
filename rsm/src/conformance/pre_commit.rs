//! Entries that are shown before they are committed, and taken back.

use std::ops::Range;

use super::{Rule, Subject, Violation, bench::Bench};
use crate::pre_commit::PreCommit;

const ROUNDS: usize = 8;

pub(super) fn check<S: Subject<Machine: PreCommit>>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    for _ in 0..ROUNDS {
        let mut ends = [bench.end(), bench.end(), bench.end()];
        ends.sort_unstable();
        let [applied, kept, shown] = ends;
        let mut machine = bench.machine_at(applied)?;
        show(bench, &mut machine, applied..shown)?;
        let mut plain = bench.machine_at(applied)?;
        bench.same(Rule::PreparedIsNoState, "a machine that was shown entries", &machine, &plain)?;
        take_back(bench, &mut machine, kept..shown)?;
        bench.same(Rule::RollbackUndoes, "entries were taken back", &machine, &plain)?;
        // Those that stay shown are updated with, those that were taken back come as if for the first time.
        let outputs =
            (bench.update_in_pieces(&mut machine, applied..kept)?, bench.update_in_pieces(&mut plain, applied..kept)?);
        if outputs.0 != outputs.1 {
            return Err(bench.violation(Rule::PreparedIsNoState, "entries that were shown give other outputs"));
        }
        bench.same(Rule::PreparedIsNoState, "updated with what was shown", &machine, &plain)?;
        bench.same_from(Rule::RollbackUndoes, "updated with what was taken back", &mut machine, &mut plain, kept)?;
    }
    Ok(())
}

fn show<S: Subject<Machine: PreCommit>>(
    bench: &mut Bench<'_, S>,
    machine: &mut S::Machine,
    range: Range<u64>,
) -> Result<(), Violation> {
    let mut next = range.start;
    while next < range.end {
        let end = range.end.min(next + bench.random.u64(1..20));
        let read = bench.log.entries(next..end);
        let entries = bench.unfailing("the log", read)?;
        let shown = machine.pre_commit(&entries);
        bench.unfailing("pre_commit", shown)?;
        next = end;
    }
    Ok(())
}

fn take_back<S: Subject<Machine: PreCommit>>(
    bench: &Bench<'_, S>,
    machine: &mut S::Machine,
    range: Range<u64>,
) -> Result<(), Violation> {
    if range.is_empty() {
        return Ok(());
    }
    let read = bench.log.entries(range);
    let entries = bench.unfailing("the log", read)?;
    let all: Vec<_> = entries.iter().collect();
    for entry in all.into_iter().rev() {
        let undone = machine.rollback(entry);
        bench.unfailing("rollback", undone)?;
    }
    Ok(())
}
