//! Saving to a stream and recovering from it, with everything that may disturb the two.

use std::io::Write;

use logboom::snapshot::Stop;

use super::{
    Rule, Subject, Violation,
    bench::Bench,
    memory::{Disturbance, Memory},
};
use crate::{
    error::Failure,
    files::Files,
    machine::{PrepareSnapshot, SnapshotView},
};

/// How a machine of this kind is saved.
pub(super) type Saver<'s, M> = &'s dyn Fn(&M, &mut dyn Write, &mut Files, &Stop) -> Result<(), Failure>;

/// Writes that a machine may try after one has failed; a buffer or two may be on the way.
const TRIED_AFTER_MAX: u64 = 16;

const ROUNDS: usize = 5;

/// What is known of a save that was disturbed.
enum Ending {
    Fails,
    Stops,
}

pub(super) fn prepared<M: PrepareSnapshot>() -> Saver<'static, M> {
    &|machine, to, files, stop| machine.prepare_snapshot()?.save(to, files, stop)
}

pub(super) fn check<S: Subject>(bench: &mut Bench<'_, S>, save: Saver<'_, S::Machine>) -> Result<(), Violation> {
    for round in 0..ROUNDS {
        let end = if round == 0 { 2 } else { bench.end() };
        check_round_trip(bench, save, end)?;
        check_chunking(bench, save, end)?;
        check_reader(bench, save, end)?;
        for ending in [Ending::Fails, Ending::Stops] {
            check_writer(bench, save, end, &ending)?;
        }
    }
    Ok(())
}

/// Saves a machine that the entries below `end` were applied to.
pub(super) fn save_at<S: Subject>(
    bench: &Bench<'_, S>,
    save: Saver<'_, S::Machine>,
    machine: &S::Machine,
    end: u64,
) -> Result<Memory, Violation> {
    let outcome = Memory::save(&Disturbance::default(), |to, files, stop| save(machine, to, files, stop));
    label(bench, outcome.result, end)
}

fn label<S: Subject>(bench: &Bench<'_, S>, saved: Result<Memory, Failure>, end: u64) -> Result<Memory, Violation> {
    let term = bench.log.term(end - 1);
    let (saved, term) = (bench.unfailing("save_snapshot", saved)?, bench.unfailing("the log", term)?);
    Ok(Memory { index: end - 1, term, ..saved })
}

pub(super) fn recover<S: Subject>(
    bench: &Bench<'_, S>,
    from: &Memory,
    machine: &mut S::Machine,
) -> Result<(), Violation> {
    let recovered = from.recover(machine);
    match bench.unfailing("recover_from_snapshot", recovered)? {
        0 => Ok(()),
        left => Err(bench.violation(Rule::RecoveryReadsAll, format!("{left} bytes of the state were not read"))),
    }
}

fn check_round_trip<S: Subject>(
    bench: &mut Bench<'_, S>,
    save: Saver<'_, S::Machine>,
    end: u64,
) -> Result<(), Violation> {
    let mut saved = bench.machine_at(end)?;
    let snapshot = save_at(bench, save, &saved, end)?;
    let untouched = bench.machine_at(end)?;
    bench.same(Rule::SavingChangesNothing, "a machine that was saved", &saved, &untouched)?;

    let mut fresh = bench.machine()?;
    recover(bench, &snapshot, &mut fresh)?;
    bench.same_from(Rule::RecoveryIsWhole, "recovered", &mut fresh, &mut saved, end)?;

    let before = bench.end();
    let mut used = bench.machine_at(before)?;
    recover(bench, &snapshot, &mut used)?;
    let mut saved = bench.machine_at(end)?;
    bench.same_from(Rule::RecoveryReplaces, "recovered over another state", &mut used, &mut saved, end)
}

fn check_chunking<S: Subject>(
    bench: &mut Bench<'_, S>,
    save: Saver<'_, S::Machine>,
    end: u64,
) -> Result<(), Violation> {
    let mut saved = bench.machine_at(end)?;
    let pieces = Disturbance { write_max: bench.random.usize(1..5), ..Disturbance::default() };
    let outcome = Memory::save(&pieces, |to, files, stop| save(&saved, to, files, stop));
    let snapshot = Memory { read_max: bench.random.usize(1..5), ..label(bench, outcome.result, end)? };
    let mut fresh = bench.machine()?;
    let recovered = snapshot.recover(&mut fresh);
    let what = "written and read a few bytes at a time";
    if let Err(failure) = recovered {
        return Err(bench.violation(Rule::AnyChunking, format!("{what}: {failure:#}")));
    }
    bench.same_from(Rule::AnyChunking, what, &mut fresh, &mut saved, end)
}

fn check_reader<S: Subject>(bench: &mut Bench<'_, S>, save: Saver<'_, S::Machine>, end: u64) -> Result<(), Violation> {
    let saved = bench.machine_at(end)?;
    let snapshot = save_at(bench, save, &saved, end)?;
    if snapshot.state_len() == 0 {
        return Ok(());
    }
    let fails_at = Some(bench.random.usize(..snapshot.state_len()));
    let mut fresh = bench.machine()?;
    match (Memory { fails_at, ..snapshot }).recover(&mut fresh) {
        Ok(_) => Err(bench.violation(Rule::PassesReadErrors, "recovered, although reading failed")),
        Err(_) => Ok(()),
    }
}

fn check_writer<S: Subject>(
    bench: &mut Bench<'_, S>,
    save: Saver<'_, S::Machine>,
    end: u64,
    ending: &Ending,
) -> Result<(), Violation> {
    let mut saved = bench.machine_at(end)?;
    let len = save_at(bench, save, &saved, end)?.state_len();
    if len == 0 {
        return Ok(());
    }
    let at = Some(bench.random.usize(..len));
    let (disturbance, rule) = match ending {
        Ending::Fails => (Disturbance { fails_at: at, ..Disturbance::default() }, Rule::PassesWriteErrors),
        Ending::Stops => (Disturbance { stops_at: at, ..Disturbance::default() }, Rule::StopLeavesNothing),
    };
    let outcome = Memory::save(&disturbance, |to, files, stop| save(&saved, to, files, stop));
    if outcome.result.is_ok() {
        let seen = if outcome.failed { "although writing failed" } else { "without a write" };
        let what = format!("saved {seen}, after {} of {len} bytes", outcome.written);
        return Err(bench.violation(rule, what));
    }
    if outcome.tried_after > TRIED_AFTER_MAX {
        return Err(bench.violation(rule, format!("{} more writes after one that failed", outcome.tried_after)));
    }
    let mut untouched = bench.machine_at(end)?;
    save_at(bench, save, &saved, end)?;
    bench.same_from(rule, "after a save that came to nothing", &mut saved, &mut untouched, end)
}

/// Views of several moments, saved in another order, while entries are applied.
pub(super) fn check_isolation<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation>
where
    S::Machine: PrepareSnapshot,
{
    for _ in 0..ROUNDS {
        let ends = {
            let mut ends = [bench.end(), bench.end(), bench.end()];
            ends.sort_unstable();
            ends
        };
        let mut machine = bench.machine()?;
        let mut next = 1;
        let mut views = Vec::new();
        for end in ends {
            bench.update_in_pieces(&mut machine, next..end)?;
            next = end;
            let view = machine.prepare_snapshot();
            views.push((end, bench.unfailing("prepare_snapshot", view)?));
        }
        let end = bench.log.end();
        bench.update(&mut machine, next..end)?;
        bench.random.shuffle(&mut views);
        views.truncate(2); // one is let go
        for (end, view) in views {
            check_view(bench, view, end)?;
        }
        let untouched = bench.machine_at(end)?;
        bench.same(Rule::SavingChangesNothing, "a machine that was prepared", &machine, &untouched)?;
    }
    Ok(())
}

/// Saves a view on another thread, and compares what it holds.
fn check_view<S: Subject>(
    bench: &mut Bench<'_, S>,
    view: <S::Machine as PrepareSnapshot>::View,
    end: u64,
) -> Result<(), Violation>
where
    S::Machine: PrepareSnapshot,
{
    let saving = std::thread::spawn(|| {
        Memory::save(&Disturbance::default(), |to, files, stop| view.save(to, files, stop)).result
    });
    let saved = saving.join().unwrap_or_else(|_| Err("the thread that saved it panicked".into()));
    let snapshot = label(bench, saved, end)?;
    let mut fresh = bench.machine()?;
    recover(bench, &snapshot, &mut fresh)?;
    let mut then = bench.machine_at(end)?;
    bench.same_from(Rule::Isolated, "a view, saved after later entries", &mut fresh, &mut then, end)
}
