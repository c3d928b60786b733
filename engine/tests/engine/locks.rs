//! One writer only: the lock or the directory of a running engine is removed, or its process is forked.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use fork::{Fork, fork, waitpid};
use logboom::{
    Durability, Engine, EntryId, Error, ManualClock, Reason, Runtime,
    disk::{DiskOptions, open},
    snapshot::{Codec, Spec, Stop},
};

use crate::support::*;

/// How somebody takes a directory from an engine, and what the engine says to that.
type Loss = (&'static str, fn(&Path));

const LOSSES: [Loss; 3] = [
    ("LOCK was removed", |dir| fs::remove_file(dir.join("LOCK")).unwrap()),
    ("the directory was removed", |dir| fs::remove_dir_all(dir).unwrap()),
    ("the directory is not at", |dir| fs::rename(dir, dir.with_extension("old")).unwrap()),
];

/// A second passes, by the engine's clock.
#[test]
fn an_engine_notices_within_a_second_that_its_directory_is_gone() {
    for (what, lose) in LOSSES {
        let (dir, clock) = (temp_dir(), ManualClock::new(1));
        let engine = by_hand(&dir.path().join("log"), &clock);
        append(&engine, A, 1..4, 1);
        clock.advance(Duration::from_secs(1));
        drive(&engine);
        assert!(engine.health().poisoned().is_none());
        lose(&dir.path().join("log"));
        append(&engine, A, 4..6, 1);
        clock.advance(Duration::from_secs(1));
        drive(&engine);
        assert_ends_for(&engine, what);
        check(&engine.shard(A), 1..6, 1);
    }
}

/// No time passes: the next segment is not begun.
#[test]
fn no_segment_is_begun_in_a_directory_that_is_gone() {
    for (what, lose) in LOSSES {
        let (dir, clock) = (temp_dir(), ManualClock::new(1));
        let engine = by_hand(&dir.path().join("log"), &clock);
        append(&engine, A, 1..4, 1);
        let begun = engine.segments().len();
        lose(&dir.path().join("log"));
        let failed = (4..200).find(|&index| {
            let mut batch = engine.batch();
            batch.append_payload(A, EntryId { index, term: 1 }, payload(A, index, 1).repeat(100)).unwrap();
            engine.write(batch).is_err()
        });
        assert!(failed.is_some());
        assert!(engine.segments().len() <= begun + 1, "{:?} after {begun:?}", engine.segments());
        assert_ends_for(&engine, what);
    }
}

/// The threads do the same: sooner or later, no look at the clock here.
#[test]
fn an_engine_with_threads_notices_it_by_itself() {
    let ground = Ground::real();
    let engine = ground.open();
    append(&engine, A, 1..4, 1);
    fs::remove_file(ground.config.dir.join("LOCK")).unwrap();
    while engine.health().poisoned().is_none() {
        thread::sleep(Duration::from_millis(10));
    }
    assert_ends_for(&engine, "LOCK was removed");
    assert!(matches!(engine.close(), Err(Error::Poisoned { .. })));
    let engine = ground.open();
    check(&engine.shard(A), 1..4, 1);
    engine.close().unwrap();
}

/// Both would acknowledge, and the one's writes be lost.
#[test]
fn removing_the_lock_admits_no_second_writer() {
    let mut ground = Ground::real();
    ground.config.disk.lock_wait = Duration::from_millis(20);
    let engine = ground.open();
    append(&engine, A, 1..4, 1);
    fs::remove_file(ground.config.dir.join("LOCK")).unwrap();
    match ground.try_open() {
        Err(error @ Error::Locked { .. }) => assert!(error.to_string().contains(" is in use"), "{error}"),
        other => panic!("{other:?}"),
    }
    drop(engine);
    let engine = ground.open();
    check(&engine.shard(A), 1..4, 1);
    engine.close().unwrap();
}

/// What a copy is made in can be taken away as well: it is not finished then.
#[test]
fn a_copy_needs_its_directory() {
    let (ground, dir) = (Ground::real(), temp_dir());
    let engine = ground.open();
    append(&engine, A, 1..4, 1);
    let mut backup = engine.backup_on(open(dir.path(), &DiskOptions::default()).unwrap()).unwrap();
    fs::remove_file(dir.path().join("LOCK")).unwrap();
    let finished = loop {
        match backup.step() {
            Ok(true) => {}
            Ok(false) => break backup.finish().map(drop),
            Err(error) => break Err(error),
        }
    };
    let error = finished.unwrap_err();
    assert!(matches!(error, Error::Target { .. }) && format!("{error:#}").contains("LOCK was removed"), "{error:#}");
    assert!(!dir.path().join("LOGBOOM").exists());
    append(&engine, A, 4..6, 1);
    engine.close().unwrap();
}

#[test]
fn a_forked_child_can_do_nothing_and_take_nothing_away() {
    let mut ground = Ground::real();
    ground.config.disk.lock_wait = Duration::from_millis(20);
    let engine = ground.open();
    append(&engine, A, 1..4, 1);
    let mut batch = engine.batch();
    batch.append_payload(A, EntryId { index: 4, term: 1 }, payload(A, 4, 1)).unwrap();
    let ticket = engine.submit(batch, Durability::Lazy).unwrap();
    let mut copy = Some((engine, ticket));
    let parent = std::process::id();
    in_a_child(|| {
        let is_refused = |error: Error| assert!(matches!(error, Error::Forked { owner } if owner == parent), "{error}");
        let (engine, ticket) = copy.take().unwrap();
        is_refused(ticket.wait().unwrap_err());
        let mut batch = engine.batch();
        batch.append_payload(A, EntryId { index: 5, term: 1 }, b"the child's".to_vec()).unwrap();
        is_refused(engine.submit(batch, Durability::Durable).unwrap_err());
        let mut batch = engine.batch();
        batch.append_payload(A, EntryId { index: 5, term: 1 }, b"the child's".to_vec()).unwrap();
        is_refused(engine.write(batch).unwrap_err());
        is_refused(engine.clone().close().unwrap_err());
        drop(engine);
        match ground.try_open() {
            Err(Error::Locked { owner: Some(owner), .. }) => assert_eq!(owner, format!("process {parent}")),
            other => panic!("{other:?}"),
        }
    });
    let (engine, ticket) = copy.take().unwrap();
    assert!(matches!(ground.try_open(), Err(Error::Locked { .. })), "the child has unlocked it");
    ticket.wait().unwrap();
    append(&engine, A, 5..8, 1);
    let engine = ground.reopen(engine);
    check(&engine.shard(A), 1..8, 1);
    engine.close().unwrap();
}

/// With a lazy batch pending, which the calls of the child would have to write.
#[test]
fn every_call_in_a_forked_child_fails_with_forked() {
    let mut ground = Ground::real();
    ground.config.lazy_age = Duration::from_secs(3600);
    let engine = ground.open();
    append(&engine, A, 1..4, 1);
    let begun = temp_dir();
    let backup = engine.backup_on(open(begun.path(), &DiskOptions::default()).unwrap()).unwrap();
    let mut batch = engine.batch();
    batch.append_payload(A, EntryId { index: 4, term: 1 }, payload(A, 4, 1)).unwrap();
    let ticket = engine.submit(batch, Durability::Lazy).unwrap();
    let mut batch = engine.batch();
    batch.append_payload(A, EntryId { index: 5, term: 1 }, payload(A, 5, 1)).unwrap();
    let late = engine.submit(batch, Durability::Lazy).unwrap();
    let parent = std::process::id();
    let mut copy = Some((ticket, late, backup));
    in_a_child(|| {
        let (ticket, late, mut backup) = copy.take().unwrap();
        let to = temp_dir();
        let spec =
            Spec { shard: A.0, index: 2, term: 1, membership: Vec::new(), metadata: Vec::new(), codec: Codec::None };
        let snapshots = engine.snapshots();
        let (called, told) = mpsc::channel();
        late.on_complete(move |outcome| called.send(outcome).unwrap());
        for (what, outcome) in [
            ("barrier", engine.barrier().map(drop)),
            ("reclaim", engine.reclaim().map(drop)),
            ("accept_unknown_losses", engine.accept_unknown_losses()),
            ("report_damage", engine.report_damage([])),
            ("heal", engine.heal(A, [])),
            ("backup", engine.backup(to.path().join("copy")).map(drop)),
            ("step of a backup", backup.step().map(drop)),
            ("finish of a backup", backup.finish().map(drop)),
            ("build", snapshots.build(spec, &Stop::new()).map(drop)),
            ("receive", snapshots.receive(A, &[], &Stop::new()).map(drop)),
            ("newest", snapshots.newest(A).map(drop)),
            ("lease", snapshots.lease(A, 1).map(drop)),
            ("try_submit", engine.try_submit(engine.batch(), Durability::Lazy).map(drop).map_err(|no| no.error)),
            ("wait_timeout", ticket.wait_timeout(Duration::ZERO).unwrap()),
            ("on_complete", told.recv_timeout(Duration::ZERO).unwrap()),
        ] {
            assert!(matches!(outcome, Err(Error::Forked { owner }) if owner == parent), "{what}: {outcome:?}");
        }
        assert!(!to.path().join("copy").exists());
        let health = engine.health();
        let is_told = matches!(health.reasons[..], [Reason::Forked { owner }] if owner == parent);
        assert!(is_told && !health.serves(), "{health:?}");
        assert!(!engine.drive_once());
    });
    assert!(engine.health().is_good(), "{:?}", engine.health());
    drop(copy);
    let engine = ground.reopen(engine);
    check(&engine.shard(A), 1..6, 1);
    engine.close().unwrap();
}

/// Children are forked while the threads of the engine are anywhere, and none of them waits for a thread it has not.
#[test]
fn children_that_drop_a_busy_engine_end() {
    let ground = Ground::real();
    let engine = ground.open();
    let stop = AtomicBool::new(false);
    let last = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut next = 1;
            while !stop.load(Ordering::Relaxed) {
                append(&engine, A, next..next + 3, 1);
                next += 3;
            }
            next
        });
        for _ in 0..20 {
            let mut copy = Some(engine.clone());
            // A handle that is not the last one closes nothing: the child's is, as far as it can know.
            in_a_child(|| {
                let engine = copy.take().unwrap();
                assert!(matches!(engine.clone().close(), Err(Error::Forked { .. })));
                drop(engine);
            });
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    let engine = ground.reopen(engine);
    check(&engine.shard(A), 1..last, 1);
    engine.close().unwrap();
}

/// An engine on a real disk that does nothing by itself.
fn by_hand(dir: &Path, clock: &Arc<ManualClock>) -> Engine {
    let disk = open(dir, &DiskOptions::default()).unwrap();
    let engine = Engine::open_on(disk, small(dir), Runtime::Manual(Arc::clone(clock) as _)).unwrap();
    drive(&engine);
    engine
}

/// Nothing is accepted any more, and the engine says why.
fn assert_ends_for(engine: &Engine, what: &str) {
    let mut batch = engine.batch();
    batch.append_payload(B, EntryId { index: 1, term: 1 }, b"too late".to_vec()).unwrap();
    let error = engine.write(batch).unwrap_err();
    assert!(matches!(error, Error::Poisoned { .. }) && format!("{error:#}").contains(what), "{what}: {error:#}");
    assert!(format!("{:#}", engine.health().poisoned().unwrap()).contains(what));
}

/// Runs `act` in a child that is forked, and sees to it that it ends well.
fn in_a_child(act: impl FnOnce()) {
    match fork().unwrap() {
        Fork::Child => exit(i32::from(catch_unwind(AssertUnwindSafe(act)).is_err())),
        Fork::Parent(child) => assert_eq!(waitpid(child).unwrap(), 0, "the child has failed"),
    }
}
