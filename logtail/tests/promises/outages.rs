//! A store that takes nothing for a while.

use std::time::Duration;

use logboom::Clock;
use logboom_logtail::{CheckpointKind, Error, FlushProgress};
use logboom_logtail_core::store::StoreErrorKind;

use crate::machine::{Machine, begin_flush, create, rows, upsert};

/// Commits go on until memory is full and are refused then; it is said since when and why; all is well afterwards.
#[test]
fn commits_outlast_credentials_that_have_expired() {
    let mut machine = Machine::new();
    machine.options.memory_bytes_max = 128 << 10;
    let process = machine.start();
    let tail = &process.tail;
    let table = create(tail);
    let mut next = 0;
    let mut commit = || {
        let committed = upsert(tail, table, &(next..next + 20).map(|id| (id, Some(-id))).collect::<Vec<_>>());
        next += if committed.is_ok() { 20 } else { 0 };
        committed
    };
    commit().unwrap();
    let outage = Duration::from_secs(600);
    machine.store.expire_credentials(outage);
    let mut flushing = begin_flush(tail, table);
    let (mut committed, mut refused) = (0, 0);
    for second in 1..600 {
        machine.clock.set_unix(machine.clock.unix() + Duration::from_secs(1));
        match commit() {
            Ok(_) if refused == 0 => committed += 1,
            Err(Error::Full { table: None, bytes, max }) if bytes >= max => refused += 1,
            other => panic!("{other:?} in second {second}, behind {refused} that were refused"),
        }
        assert_ne!(flushing.step().unwrap(), FlushProgress::Done, "in second {second}");
        tail.clone().close().unwrap();
        machine.store.pass(Duration::from_secs(1));
        let health = tail.store_health();
        if second > 10 {
            assert_eq!(health.failing, 1, "in second {second}");
            assert!(health.since.is_some_and(|since| since < Duration::from_secs(10)), "{health:?}");
            assert_eq!(health.last.unwrap().kind, StoreErrorKind::CredentialsExpired);
        }
    }
    assert!(committed > 50 && refused > 50, "{committed} were committed, {refused} refused");
    assert_eq!(machine.store.objects(), 0);

    // It comes back: the flush ends, which began before, and there is memory behind the next one.
    for _ in 0..120 {
        _ = flushing.step().unwrap();
        tail.clone().close().unwrap();
        machine.store.pass(Duration::from_secs(1));
    }
    assert_eq!(flushing.step().unwrap(), FlushProgress::Done);
    assert_eq!(tail.store_health().failing, 0);
    machine.store.hold(false);
    tail.flush(table).unwrap();
    commit().unwrap();
    let expected: Vec<_> = (0..next).map(|id| (id, Some(-id))).collect();
    assert_eq!(rows(tail, table, tail.watermark()), expected);
    tail.checkpoint(CheckpointKind::Global).unwrap();
    let process = machine.restart(process);
    assert_eq!(rows(&process.tail, table, process.tail.watermark()), expected);
}
