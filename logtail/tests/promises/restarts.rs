//! Crashes at each step of flushes and checkpoints, and what two restarts find behind them.

use std::collections::BTreeSet;

use logboom_logtail::{CheckpointKind, Result, TableId, Tail, Timestamp};

use crate::machine::{Machine, Process, Row, begin_flush, create, delete, rows, step, upsert};

/// A table with rows and deletes in objects and in memory, and what it has at some timestamps.
fn table(tail: &Tail) -> (TableId, Vec<(Timestamp, Vec<Row>)>) {
    let table = create(tail);
    let mut seen = Vec::new();
    let mut see = |at| seen.push((at, rows(tail, table, at)));
    see(upsert(tail, table, &(0..40).map(|id| (id, Some(1))).collect::<Vec<_>>()).unwrap());
    tail.flush(table).unwrap();
    see(delete(tail, table, &[3, 5, 30]).unwrap());
    see(upsert(tail, table, &(20..60).map(|id| (id, Some(2))).collect::<Vec<_>>()).unwrap());
    see(delete(tail, table, &[21, 4]).unwrap());
    (table, seen)
}

fn check(process: &Process, table: TableId, seen: &[(Timestamp, Vec<Row>)], what: &str) {
    for (at, expected) in seen {
        assert_eq!(rows(&process.tail, table, *at), *expected, "at {at}, {what}");
    }
    let (_, last) = seen.last().unwrap();
    assert_eq!(rows(&process.tail, table, process.tail.watermark()), *last, "{what}");
}

fn check_names(machine: &Machine, what: &str) {
    let puts = machine.store.puts();
    assert_eq!(puts.iter().collect::<BTreeSet<_>>().len(), puts.len(), "a name is given twice, {what}: {puts:?}");
}

/// Restarts twice, flushes and writes a checkpoint, and restarts again.
fn check_restarts(machine: &mut Machine, table: TableId, seen: &[(Timestamp, Vec<Row>)], what: &str) {
    for _ in 0..2 {
        let process = machine.start();
        check(&process, table, seen, what);
        machine.cut_power(process);
    }
    let process = machine.start();
    flush_and_checkpoint(&process.tail, table, CheckpointKind::Incremental).unwrap();
    check(&process, table, seen, what);
    machine.cut_power(process);
    let process = machine.start();
    check(&process, table, seen, what);
    assert!(process.tail.version(table).unwrap().memtables().is_empty());
    machine.cut_power(process);
    check_names(machine, what);
}

fn flush_and_checkpoint(tail: &Tail, table: TableId, kind: CheckpointKind) -> Result<bool> {
    tail.flush(table)?;
    tail.checkpoint(kind)
}

#[test]
fn two_restarts_behind_a_crash_at_each_write_have_all_rows_and_no_name_twice() {
    for kind in [CheckpointKind::Global, CheckpointKind::Incremental] {
        for operation in 1.. {
            let what = format!("{kind:?}, operation {operation}");
            let mut machine = Machine::new();
            let mut process = machine.start();
            let (table, mut seen) = table(&process.tail);
            if kind == CheckpointKind::Incremental {
                process.tail.checkpoint(CheckpointKind::Global).unwrap();
                process = machine.restart(process);
                seen.push((delete(&process.tail, table, &[50]).unwrap(), Vec::new()));
                seen.last_mut().unwrap().1 = rows(&process.tail, table, process.tail.watermark());
            }
            machine.disk.halt_after(operation);
            let done = flush_and_checkpoint(&process.tail, table, kind);
            let has_halted = machine.disk.has_halted();
            assert_eq!(done.is_err(), has_halted, "{what}: {done:?}");
            machine.cut_power(process);
            check_restarts(&mut machine, table, &seen, &what);
            if !has_halted {
                assert!(operation > 5, "there are {operation} writes to crash at");
                break;
            }
        }
    }
}

/// Objects that are on their way to the store arrive behind the crash.
#[test]
fn two_restarts_behind_a_crash_at_each_step_of_a_flush_have_all_rows() {
    for last in 0.. {
        let what = format!("step {last}");
        let mut machine = Machine::new();
        let process = machine.start();
        let (table, seen) = table(&process.tail);
        machine.store.hold(true);
        let mut flushing = begin_flush(&process.tail, table);
        let (mut steps, mut waited) = (0, 0);
        let mut done = false;
        while steps < last && !done {
            let puts = machine.store.puts().len();
            done = step(&process.tail, &mut flushing).unwrap();
            // The store answers a step later than it is asked.
            if waited == puts {
                machine.store.pass(std::time::Duration::from_secs(1));
            }
            waited = puts;
            steps += 1;
        }
        drop(flushing);
        machine.cut_power(process);
        machine.store.hold(false);
        machine.store.pass(std::time::Duration::from_secs(60));
        check_restarts(&mut machine, table, &seen, &what);
        if done {
            assert!(steps > 4, "there are steps to crash at");
            break;
        }
    }
}
