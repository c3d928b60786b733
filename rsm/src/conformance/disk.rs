//! Machines that keep their own state, and what a crash may leave of it.

use super::{OnDiskSubject, Rule, Violation, bench::Bench, saving};
use crate::machine::OnDisk;

const ROUNDS: usize = 8;

pub(super) fn check<S: OnDiskSubject<Machine: OnDisk>>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    for round in 0..ROUNDS {
        check_updates(bench)?;
        check_recovery(bench, round % 2 == 0)?;
    }
    Ok(())
}

/// Updates, with a sync somewhere among them, and crashes.
fn check_updates<S: OnDiskSubject<Machine: OnDisk>>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let mut machine = bench.machine()?;
    let (mut next, mut synced) = (1, 1);
    for _ in 0..3 {
        let middle = bench.random.u64(next..=bench.log.end());
        bench.update_in_pieces(&mut machine, next..middle)?;
        if bench.random.bool() {
            sync(bench, &machine)?;
            synced = middle;
        }
        let end = bench.log.end().min(middle + bench.random.u64(..20));
        bench.update_in_pieces(&mut machine, middle..end)?;
        (machine, next) = crash(bench, machine)?;
        if next < synced {
            let what = format!("synced up to {}, after a crash at {}", synced - 1, next - 1);
            return Err(bench.violation(Rule::SyncedSurvives, what));
        }
        if next > end {
            let what = format!("applied up to {}, after a crash at {}", end - 1, next - 1);
            return Err(bench.violation(Rule::OpensAtItsIndex, what));
        }
        // What survived this crash was found by it, and may be lost in the next.
        synced = synced.min(next);
    }
    let mut untouched = bench.machine_at(next)?;
    bench.same_from(Rule::OpensAtItsIndex, "opened after crashes", &mut machine, &mut untouched, next)
}

/// A recovery from a snapshot over another state, synced or not, and a crash.
fn check_recovery<S: OnDiskSubject<Machine: OnDisk>>(bench: &mut Bench<'_, S>, synced: bool) -> Result<(), Violation> {
    let (end, before) = (bench.end(), bench.end());
    let saved = bench.machine_at(end)?;
    let snapshot = saving::save_at(bench, saving::prepared(), &saved, end)?;
    let mut machine = bench.machine_at(before)?;
    saving::recover(bench, &snapshot, &mut machine)?;
    if synced {
        sync(bench, &machine)?;
    }
    let (_, next) = crash(bench, machine)?;
    if synced && next != end {
        let what = format!("recovered up to {} and synced, after a crash at {}", end - 1, next - 1);
        return Err(bench.violation(Rule::SyncedSurvives, what));
    }
    Ok(())
}

pub(super) fn sync<S: OnDiskSubject<Machine: OnDisk>>(
    bench: &Bench<'_, S>,
    machine: &S::Machine,
) -> Result<(), Violation> {
    bench.unfailing("sync", machine.sync())
}

/// Crashes, opens what is left, and compares it with what it says to be. Gives one past its last entry.
pub(super) fn crash<S: OnDiskSubject<Machine: OnDisk>>(
    bench: &mut Bench<'_, S>,
    machine: S::Machine,
) -> Result<(S::Machine, u64), Violation> {
    let mut found = bench.subject.crash(machine);
    let next = bench.open(&mut found)?.map_or(1, |index| index.saturating_add(1));
    if next == 0 || next > bench.log.end() {
        let what = format!("opened at {}, of a log up to {}", next.wrapping_sub(1), bench.log.end() - 1);
        return Err(bench.violation(Rule::OpensAtItsIndex, what));
    }
    let then = bench.machine_at(next)?;
    bench.same(Rule::OpensAtItsIndex, &format!("opened after a crash at {}", next - 1), &found, &then)?;
    Ok((found, next))
}
