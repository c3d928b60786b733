//! The driver by hand, on the simulated disk.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use logboom::{Durability, Entry, EntryId, ReadError, snapshot::Stop};
use logboom_rsm::{CatchUp, Driver, Error, Holder, Options, Recovered, Trigger};

use crate::{
    model::{Disk, Model, State},
    world::{SHARD, World, append, apply_all, payload, receive_all, run, settle, small_policy, upkeep},
};

pub(crate) fn options() -> Options {
    let mut options = Options::default();
    options.policy = small_policy();
    options
}

/// The state that the entries up to and including `last` make.
pub(crate) fn expected(last: u64) -> State {
    let mut state = State { index: (last > 0).then_some(last), puts: last, ..State::default() };
    for index in 1..=last {
        let payload = payload(index);
        let (key, value) = payload.split_once('=').unwrap();
        state.map.insert(key.into(), value.into());
    }
    state
}

/// Refuses a driver whose machine has another state than the entries up to and including `last` make.
pub(crate) fn check_state(driver: &Driver<Model>, last: u64) {
    let state = expected(last);
    assert_eq!(driver.applied(), state.index);
    for key in 0..13 {
        let key = format!("key {key}");
        assert_eq!(driver.reader().lookup(&key).unwrap(), state.map.get(&key).cloned(), "{key} at {last}");
    }
}

fn blocking(engine: &logboom::Engine) -> (Driver<Model>, Recovered) {
    Driver::blocking(engine, SHARD, Model::new(None), options()).unwrap()
}

#[test]
fn entries_are_applied_once_when_they_are_committed_and_durable() {
    let world = World::new(1);
    let engine = world.open().unwrap();
    let (mut driver, recovered) = blocking(&engine);
    assert_eq!((recovered.applied, recovered.last, driver.applied()), (None, None, None));
    driver.commit(3);
    assert!(driver.apply().unwrap().is_none(), "there is no log");

    append(&engine, 1..11).unwrap();
    assert_eq!(apply_all(&mut driver).unwrap(), [1, 2, 3]);
    assert!(!driver.is_behind());
    let mut batch = engine.batch();
    batch.append(SHARD, Entry::new(EntryId { index: 11, term: 1 }, payload(11).into_bytes())).unwrap();
    let ticket = engine.submit(batch, Durability::Durable).unwrap();
    driver.commit(100);
    driver.commit(5);
    assert_eq!(apply_all(&mut driver).unwrap(), (4..11).collect::<Vec<_>>(), "entry 11 is not durable");
    assert_eq!(engine.shard(SHARD).applied_floor(), Some(10));
    ticket.wait().unwrap();
    assert_eq!(apply_all(&mut driver).unwrap(), [11]);
    check_state(&driver, 11);
}

#[test]
fn one_update_takes_a_bounded_piece() {
    let world = World::new(2);
    let engine = world.open().unwrap();
    let mut options = options();
    options.update_bytes = 60;
    let (mut driver, _) = Driver::blocking(&engine, SHARD, Model::new(None), options).unwrap();
    append(&engine, 1..21).unwrap();
    driver.commit(20);
    let first = driver.apply().unwrap().unwrap();
    assert_eq!(first.entries.len(), 4);
    assert_eq!(apply_all(&mut driver).unwrap(), (5..21).collect::<Vec<_>>());
}

#[test]
fn a_log_may_begin_anywhere() {
    let world = World::new(3);
    let engine = world.open().unwrap();
    let (mut driver, _) = blocking(&engine);
    append(&engine, 5..9).unwrap();
    driver.commit(8);
    assert_eq!(apply_all(&mut driver).unwrap(), [5, 6, 7, 8]);
}

#[test]
fn a_restart_takes_the_snapshot_and_what_lies_above() {
    let mut world = World::new(4);
    let engine = world.open().unwrap();
    let (mut driver, _) = blocking(&engine);
    driver.set_membership(Bytes::from_static(b"1, 2, 3")).unwrap();
    assert_eq!(run(&engine, &mut driver, 1..51).unwrap(), 2, "one each 20 entries");
    assert_eq!((driver.saved(), engine.shard(SHARD).first()), (Some(40), Some(36)), "5 entries stay behind it");
    let mut batch = engine.batch();
    batch.hard_state(SHARD, b"commit 50").unwrap();
    engine.write(batch).unwrap();
    world.power_cut();

    let engine = world.open().unwrap();
    let machine = Model::new(None);
    let calls = machine.calls.clone();
    let (mut driver, recovered) = Driver::blocking(&engine, SHARD, machine, options()).unwrap();
    let snapshot = recovered.snapshot.unwrap();
    assert_eq!((snapshot.index, snapshot.term, &snapshot.membership[..]), (40, 4, &b"1, 2, 3"[..]));
    assert_eq!((recovered.applied, recovered.last), (Some(40), Some(50)));
    assert_eq!(recovered.hard_state.as_deref(), Some(&b"commit 50"[..]));
    check_state(&driver, 40);
    driver.commit(50);
    assert_eq!(apply_all(&mut driver).unwrap(), (41..51).collect::<Vec<_>>(), "what the snapshot covers is skipped");
    assert_eq!((calls.of("recover"), calls.of("update")), (1, 1));
    check_state(&driver, 50);
    run(&engine, &mut driver, 51..61).unwrap();
    let lease = engine.snapshots().newest(SHARD).unwrap().unwrap();
    assert_eq!((lease.manifest().index, &lease.manifest().membership[..]), (60, &b"1, 2, 3"[..]));
}

/// A crash at every operation of the disk, and what is found afterwards.
#[test]
fn a_crash_anywhere_leaves_a_state_that_goes_on() {
    let mut halts = 0;
    for n in 1..400 {
        let mut world = World::new(n);
        let engine = world.open().unwrap();
        let (mut driver, _) = blocking(&engine);
        run(&engine, &mut driver, 1..19).unwrap();
        world.disk.halt_after(n);
        // What fails is not looked at: the machine has stopped.
        let done = run(&engine, &mut driver, 19..48);
        drop((driver, engine));
        let finished = !world.disk.has_halted();
        assert!(!finished || done.is_ok(), "not halted at {n}: {done:?}");
        world.power_cut();

        let engine = world.open().unwrap_or_else(|error| panic!("halted at {n}: {error}"));
        let (mut driver, recovered) = Driver::blocking(&engine, SHARD, Model::new(None), options())
            .unwrap_or_else(|error| panic!("halted at {n}: {error}"));
        let last = recovered.last.unwrap();
        assert!((18..48).contains(&last), "halted at {n}: the log ends at {last}");
        driver.commit(last);
        apply_all(&mut driver).unwrap();
        check_state(&driver, last);
        run(&engine, &mut driver, last + 1..last + 30).unwrap();
        settle(&engine);
        assert_eq!(world.snapshot_files(), 1, "halted at {n}: files are left");
        if finished {
            break;
        }
        halts += 1;
    }
    assert!((20..398).contains(&halts), "{halts} places to halt at");
}

#[test]
fn a_state_prepared_is_saved_beside_updates() {
    let mut world = World::new(5);
    let engine = world.open().unwrap();
    let (mut driver, _) = Driver::concurrent(&engine, SHARD, Model::new(None), options()).unwrap();
    append(&engine, 1..21).unwrap();
    driver.commit(20);
    apply_all(&mut driver).unwrap();
    let job = driver.upkeep().unwrap().job.unwrap();
    assert_eq!(job.trigger(), Trigger::Entries { count: 20 });
    let saving = std::thread::spawn(|| job.run());
    append(&engine, 21..51).unwrap();
    driver.commit(50);
    apply_all(&mut driver).unwrap();
    assert!(driver.upkeep().unwrap().job.is_none(), "one is under way");
    let finished = driver.finish(saving.join().unwrap()).unwrap();
    assert_eq!((finished.index, finished.decision.compaction.unwrap().through), (20, 15));
    finished.ticket.wait().unwrap();
    world.power_cut();

    let engine = world.open().unwrap();
    let (mut driver, recovered) = Driver::concurrent(&engine, SHARD, Model::new(None), options()).unwrap();
    assert_eq!(recovered.applied, Some(20));
    check_state(&driver, 20);
    driver.commit(50);
    apply_all(&mut driver).unwrap();
    check_state(&driver, 50);
}

#[test]
fn a_save_that_is_stopped_leaves_nothing() {
    let world = World::new(6);
    let engine = world.open().unwrap();
    let (mut driver, _) = blocking(&engine);
    append(&engine, 1..21).unwrap();
    driver.commit(20);
    apply_all(&mut driver).unwrap();
    let job = driver.upkeep().unwrap().job.unwrap();
    job.stop_signal().stop();
    let error = driver.finish(job.run()).unwrap_err();
    assert!(error.is_stopped(), "{error}");
    assert_eq!((world.snapshot_files(), driver.saved()), (0, None));

    assert!(driver.upkeep().unwrap().job.is_none(), "it is not tried again at once");
    driver.request_snapshot();
    let job = driver.upkeep().unwrap().job.unwrap();
    job.stop_signal().stop();
    assert!(driver.finish(job.run()).unwrap_err().is_stopped());
    assert!(driver.upkeep().unwrap().job.is_none(), "nor what was asked for");
    append(&engine, 21..24).unwrap();
    driver.commit(23);
    apply_all(&mut driver).unwrap();
    assert!(upkeep(&mut driver).unwrap());
    assert_eq!((world.snapshot_files(), driver.saved()), (1, Some(23)));
}

#[test]
fn a_job_that_is_dropped_was_never_asked_for() {
    let world = World::new(7);
    let engine = world.open().unwrap();
    let (mut driver, _) = blocking(&engine);
    append(&engine, 1..21).unwrap();
    driver.commit(20);
    apply_all(&mut driver).unwrap();
    drop(driver.upkeep().unwrap());
    let saved = driver.upkeep().unwrap().job.unwrap().run();
    assert!(driver.is_saving());
    drop(saved);
    assert!(!driver.is_saving());
    settle(&engine);
    assert_eq!(world.snapshot_files(), 0, "what nobody took is removed");
    assert!(upkeep(&mut driver).unwrap());
}

#[test]
fn a_snapshot_can_be_asked_for() {
    let world = World::new(8);
    let engine = world.open().unwrap();
    let (mut driver, _) = blocking(&engine);
    driver.request_snapshot();
    assert!(driver.upkeep().unwrap().job.is_none(), "nothing was applied");
    append(&engine, 1..4).unwrap();
    driver.commit(3);
    apply_all(&mut driver).unwrap();
    let job = driver.upkeep().unwrap().job.unwrap();
    assert_eq!(job.trigger(), Trigger::Request);
    let mut watched = None;
    let saved = job.run_watched(|progress| watched = Some(progress));
    assert!(watched.unwrap().done_bytes() > 0);
    driver.finish(saved).unwrap().ticket.wait().unwrap();
    driver.request_snapshot();
    assert!(driver.upkeep().unwrap().job.is_none(), "there is one of all that was applied");
}

#[test]
fn leases_and_followers_hold_the_log() {
    let world = World::new(9);
    let engine = world.open().unwrap();
    let (mut driver, _) = blocking(&engine);
    run(&engine, &mut driver, 1..41).unwrap();
    assert_eq!(engine.shard(SHARD).first(), Some(36));
    let lease = engine.snapshots().newest(SHARD).unwrap().unwrap();
    driver.follow(3, 38);
    run(&engine, &mut driver, 41..101).unwrap();
    assert_eq!(engine.shard(SHARD).first(), Some(38), "the follower's");
    assert_eq!(driver.decide().held_by.unwrap().holder, Holder::Follower(3));
    driver.unfollow(3);
    driver.upkeep().unwrap();
    assert_eq!(engine.shard(SHARD).first(), Some(41), "what lies behind the lease");
    assert_eq!(driver.decide().held_by.unwrap().holder, Holder::Lease(40));
    drop(lease);
    driver.upkeep().unwrap();
    assert_eq!((driver.saved(), engine.shard(SHARD).first()), (Some(100), Some(96)));
}

#[test]
fn the_cap_overrides_what_holds_the_log_but_no_leased_snapshot() {
    let world = World::new(10);
    let engine = world.open().unwrap();
    let mut policy = small_policy();
    policy.log_bytes_max = Some(1000);
    let mut options = Options::default();
    options.policy = policy;
    let (mut driver, _) = Driver::blocking(&engine, SHARD, Model::new(None), options).unwrap();
    run(&engine, &mut driver, 1..21).unwrap();
    let lease = engine.snapshots().newest(SHARD).unwrap().unwrap();
    driver.follow(3, 1);
    let mut overridden = Vec::new();
    for index in 21..121 {
        append(&engine, index..index + 1).unwrap();
        driver.commit(index);
        apply_all(&mut driver).unwrap();
        let upkeep = driver.upkeep().unwrap();
        overridden.extend(upkeep.decision.compaction.filter(|compaction| compaction.over_cap.is_some()));
        if let Some(job) = upkeep.job {
            driver.finish(job.run()).unwrap().ticket.wait().unwrap();
        }
    }
    let holders = |holder: Holder| overridden.iter().any(|by| by.overridden.iter().any(|hold| hold.holder == holder));
    assert!(holders(Holder::Follower(3)) && holders(Holder::Lease(20)), "{overridden:?}");
    assert!(engine.shard(SHARD).first() > Some(50), "{:?}", engine.shard(SHARD));
    settle(&engine);
    assert_eq!(world.snapshot_files(), 2, "the leased one and the newest");
    lease.verify(&Stop::new(), &Default::default()).unwrap();
    drop(lease);
    settle(&engine);
    assert_eq!(world.snapshot_files(), 1);
}

#[test]
fn what_a_follower_is_sent() {
    let world = World::new(11);
    let engine = world.open().unwrap();
    let (mut driver, _) = blocking(&engine);
    run(&engine, &mut driver, 1..31).unwrap();
    let shard = engine.shard(SHARD);
    assert!(matches!(shard.entries(3..5, 100), Err(ReadError::Compacted { first: 16, .. })));
    assert!(matches!(shard.entries(30..35, 100), Err(ReadError::Unavailable { last: Some(30), .. })));
    for (next, entries) in [(16, 15), (30, 1), (31, 0)] {
        match driver.catch_up(next, u64::MAX).unwrap() {
            CatchUp::Entries(batch) => assert_eq!(batch.len(), entries, "from {next}"),
            other => panic!("from {next}: {other:?}"),
        }
    }
    let CatchUp::Snapshot(lease) = driver.catch_up(15, u64::MAX).unwrap() else { panic!("no snapshot") };
    assert_eq!(lease.manifest().index, 20);
    let beyond = driver.catch_up(32, u64::MAX).unwrap_err();
    assert!(matches!(beyond, Error::Read(ReadError::Unavailable { last: Some(30), .. })), "{beyond}");
}

#[test]
fn a_machine_that_fails_stops_its_driver() {
    let world = World::new(12);
    let engine = world.open().unwrap();
    let machine = Model::new(Some(crate::model::Fault::ForgetsOutputs));
    let (mut driver, _) = Driver::blocking(&engine, SHARD, machine, options()).unwrap();
    let reader = driver.reader();
    let mut batch = engine.batch();
    batch
        .append_payload(SHARD, EntryId { index: 1, term: 1 }, b"a=b")
        .unwrap()
        .append_payload(SHARD, EntryId { index: 2, term: 1 }, b"")
        .unwrap();
    engine.write(batch).unwrap();
    driver.commit(2);
    assert!(matches!(driver.apply(), Err(Error::Outputs { expected: 2, got: 1 })));
    let halted = driver.apply().unwrap_err();
    assert!(matches!(&halted, Error::Halted { first } if matches!(**first, Error::Outputs { .. })), "{halted}");
    assert!(matches!(driver.upkeep(), Err(Error::Halted { .. })));
    driver.close().unwrap();
    assert!(matches!(reader.lookup("a"), Err(Error::Closed)));
}

#[test]
fn a_log_that_lost_what_was_applied_is_refused() {
    let world = World::new(13);
    let engine = world.open().unwrap();
    let (mut driver, _) = blocking(&engine);
    append(&engine, 1..11).unwrap();
    driver.commit(10);
    apply_all(&mut driver).unwrap();
    let mut batch = engine.batch();
    batch.truncate_after(SHARD, 7).unwrap();
    engine.write(batch).unwrap();
    assert!(matches!(driver.apply(), Err(Error::Rewound { applied: 10, last: Some(7) })));

    let (mut driver, _) = blocking(&engine);
    driver.commit(7);
    apply_all(&mut driver).unwrap();
    let mut batch = engine.batch();
    batch.overwrite(SHARD, (7..10).map(|index| Entry::new(EntryId { index, term: 9 }, b"other"))).unwrap();
    engine.write(batch).unwrap();
    assert!(matches!(driver.apply(), Err(Error::Term { index: 7, log: 9, state: 0 })));
}

#[test]
fn a_log_without_its_beginning_needs_a_snapshot() {
    let world = World::new(14);
    let engine = world.open().unwrap();
    append(&engine, 1..11).unwrap();
    let mut batch = engine.batch();
    batch.compact_through(SHARD, 4).unwrap();
    engine.write(batch).unwrap();
    let opened = Driver::blocking(&engine, SHARD, Model::new(None), options());
    assert!(matches!(opened, Err(Error::NoSnapshot { first: 5 })));
}

/// Some raft cores begin a log behind a boundary that stands for the empty state.
#[test]
fn a_log_may_begin_behind_a_boundary() {
    let world = World::new(14);
    let engine = world.open().unwrap();
    let mut batch = engine.batch();
    batch.reset_to(SHARD, Some(EntryId { index: 0, term: 0 })).unwrap();
    engine.write(batch).unwrap();
    append(&engine, 1..11).unwrap();
    let open = |options| Driver::blocking(&engine, SHARD, Model::new(None), options);
    assert!(matches!(open(options()), Err(Error::NoSnapshot { first: 1 })));
    let mut options = options();
    options.begins_behind = Some(1);
    assert!(matches!(open(options.clone()), Err(Error::NoSnapshot { first: 1 })));

    options.begins_behind = Some(0);
    let (mut driver, recovered) = open(options.clone()).unwrap();
    assert_eq!(recovered.applied, None);
    driver.commit(10);
    assert_eq!(apply_all(&mut driver).unwrap(), (1..11).collect::<Vec<_>>());
    let mut batch = engine.batch();
    batch.compact_through(SHARD, 4).unwrap();
    engine.write(batch).unwrap();
    assert!(matches!(open(options), Err(Error::NoSnapshot { first: 5 })), "what was compacted is not empty");
}

/// The machine of a node that keeps its own state.
fn on_disk(engine: &logboom::Engine, disk: &Arc<Mutex<Disk>>) -> logboom_rsm::Result<(Driver<Model>, Recovered)> {
    Driver::on_disk(engine, SHARD, Model::on_disk(None, Arc::clone(disk)), options())
}

#[test]
fn a_machine_that_keeps_its_state_skips_what_it_has() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let mut kept = Arc::<Mutex<Disk>>::default();
        let engine = world.open().unwrap();
        let machine = Model::on_disk(None, Arc::clone(&kept));
        let calls = machine.calls.clone();
        let (mut driver, _) = Driver::on_disk(&engine, SHARD, machine, options()).unwrap();
        assert_eq!(run(&engine, &mut driver, 1..51).unwrap(), 0, "it is synced, not saved");
        assert_eq!(
            (driver.saved(), engine.shard(SHARD).first(), calls.of("sync")),
            (Some(40), Some(36), 3),
            "once when it is opened"
        );
        drop((driver, engine));
        world.power_cut();
        kept = Model::crash(&kept, seed);

        let engine = world.open().unwrap();
        let (mut driver, recovered) = on_disk(&engine, &kept).unwrap();
        let applied = recovered.applied.unwrap();
        assert!((40..=50).contains(&applied) && recovered.snapshot.is_none());
        check_state(&driver, applied);
        driver.commit(50);
        assert_eq!(apply_all(&mut driver).unwrap(), (applied + 1..51).collect::<Vec<_>>());
        check_state(&driver, 50);
    }
}

/// What a killed process had applied may be in the machine's files, and gone after a later power cut: nothing of the
/// log may go on its account before it was synced.
#[test]
fn what_is_found_after_a_killed_process_is_synced_first() {
    let world = World::new(15);
    let kept = Arc::<Mutex<Disk>>::default();
    let engine = world.open().unwrap();
    let (mut driver, _) = on_disk(&engine, &kept).unwrap();
    append(&engine, 1..31).unwrap();
    driver.commit(30);
    apply_all(&mut driver).unwrap();
    drop(driver);
    let (mut driver, _) = on_disk(&engine, &kept).unwrap();
    assert_eq!((driver.applied(), driver.saved()), (Some(30), Some(30)));
    driver.upkeep().unwrap();
    assert_eq!(engine.shard(SHARD).first(), Some(26));
    drop(driver);
    let (driver, _) = on_disk(&engine, &Model::crash(&kept, 0)).unwrap();
    check_state(&driver, 30);
}

#[test]
fn a_machine_that_is_ahead_of_its_log_is_refused() {
    let kept = Arc::<Mutex<Disk>>::default();
    let engine = World::new(16).open().unwrap();
    let (mut driver, _) = on_disk(&engine, &kept).unwrap();
    append(&engine, 1..31).unwrap();
    driver.commit(30);
    apply_all(&mut driver).unwrap();
    let other = World::new(17).open().unwrap();
    append(&other, 1..11).unwrap();
    assert!(matches!(on_disk(&other, &kept), Err(Error::Ahead { applied: 30, last: Some(10) })));
}

#[test]
fn a_machine_that_keeps_its_state_is_synced_while_a_snapshot_is_saved_for_another() {
    let engine = World::new(23).open().unwrap();
    let (mut driver, _) = on_disk(&engine, &Arc::default()).unwrap();
    run(&engine, &mut driver, 1..11).unwrap();
    driver.request_snapshot();
    let job = driver.upkeep().unwrap().job.unwrap();
    run(&engine, &mut driver, 11..51).unwrap();
    assert_eq!((driver.saved(), engine.shard(SHARD).first()), (Some(40), Some(36)));
    assert_eq!(driver.finish(job.run()).unwrap().index, 10);
    assert_eq!(driver.saved(), Some(40), "what is older takes nothing back");
}

#[test]
fn a_machine_that_lost_its_state_recovers_from_a_snapshot() {
    let engine = World::new(18).open().unwrap();
    let (mut driver, _) = on_disk(&engine, &Arc::default()).unwrap();
    run(&engine, &mut driver, 1..31).unwrap();
    assert!(matches!(on_disk(&engine, &Arc::default()), Err(Error::NoSnapshot { first: 16 })));
    assert!(matches!(driver.catch_up(3, 100).unwrap(), CatchUp::Later), "it asks for one");
    assert!(upkeep(&mut driver).unwrap());
    assert!(matches!(driver.catch_up(3, 100).unwrap(), CatchUp::Snapshot(_)));
    let (driver, recovered) = on_disk(&engine, &Arc::default()).unwrap();
    assert_eq!(recovered.snapshot.unwrap().index, 30);
    check_state(&driver, 30);
}

/// A crash at every operation while a state is installed that came as objects: machine and log are both of before, or
/// both of after, or the machine is to be sent a snapshot.
#[test]
fn a_crash_anywhere_in_an_installation_of_objects_leaves_log_and_machine_together() {
    let sender = World::new(1).open().unwrap();
    let (mut from, _) = blocking(&sender);
    run(&sender, &mut from, 1..31).unwrap();
    let (mut old, mut new) = (0, 0);
    for n in 1..200 {
        let mut world = World::new(n);
        let mut kept = Arc::<Mutex<Disk>>::default();
        let engine = world.open().unwrap();
        let (mut driver, _) = on_disk(&engine, &kept).unwrap();
        run(&engine, &mut driver, 1..11).unwrap();
        let mut stream = from.read_objects(10).unwrap().unwrap();
        let transfer = receive_all(&driver, &mut stream);
        world.disk.halt_after(n);
        let installed = driver.install_objects(transfer, stream.at, stream.membership, Some(b"term 3"));
        drop((driver, engine));
        let finished = !world.disk.has_halted();
        world.power_cut();
        kept = Model::crash(&kept, n);

        let engine = world.open().unwrap();
        let (mut driver, recovered) = on_disk(&engine, &kept).unwrap();
        let shard = engine.shard(SHARD);
        if recovered.applied == Some(30) {
            assert_eq!((shard.next(), recovered.hard_state.as_deref()), (Some(31), Some(&b"term 3"[..])), "at {n}");
            new += 1;
        } else {
            assert!(installed.is_err(), "halted at {n}");
            assert_eq!((shard.last(), recovered.hard_state), (Some(10), None), "at {n}");
            old += 1;
        }
        let next = shard.next().unwrap();
        driver.commit(next - 1);
        apply_all(&mut driver).unwrap();
        run(&engine, &mut driver, next..40).unwrap();
        check_state(&driver, 39);
        assert_eq!(shard.scan(..).unwrap(), [], "the note is gone");
        if finished {
            break;
        }
    }
    assert!(old > 0 && new > 1, "{old} times the old, {new} times the new");
}

#[test]
fn a_save_is_stale_when_a_newer_snapshot_was_installed_meanwhile() {
    let sender = World::new(21).open().unwrap();
    let (mut from, _) = blocking(&sender);
    run(&sender, &mut from, 1..41).unwrap();
    let lease = sender.snapshots().newest(SHARD).unwrap().unwrap();

    let world = World::new(22);
    let engine = world.open().unwrap();
    let (mut driver, _) = Driver::concurrent(&engine, SHARD, Model::new(None), options()).unwrap();
    append(&engine, 1..21).unwrap();
    driver.commit(20);
    apply_all(&mut driver).unwrap();
    let job = driver.upkeep().unwrap().job.unwrap();
    let mut receiver = driver.receive(&lease.manifest_bytes(), &Stop::new()).unwrap();
    for chunk in lease.chunks(None).unwrap() {
        receiver.accept(&chunk.unwrap()).unwrap();
    }
    let stop = job.stop_signal();
    let late = job.run();
    let built = receiver.finish().unwrap();
    driver.install(&built, None).unwrap();
    assert!(stop.is_stopped(), "nobody needs it any more");
    check_state(&driver, 40);
    let error = driver.finish(late).unwrap_err();
    assert!(matches!(error, Error::Engine(logboom::Error::Snapshot(_))), "{error}");
    assert!(matches!(driver.install(&built, None), Err(Error::Stale { applied: 40, index: 40 })));
    run(&engine, &mut driver, 41..81).unwrap();
    check_state(&driver, 80);
    settle(&engine);
    assert_eq!(world.snapshot_files(), 1);
}

#[test]
fn entries_are_shown_before_they_are_committed_and_taken_back() {
    let engine = World::new(19).open().unwrap();
    let machine = Model::new(None);
    let calls = machine.calls.clone();
    let (mut driver, _) = Driver::blocking(&engine, SHARD, machine, options()).unwrap();
    append(&engine, 1..1001).unwrap();
    driver.commit(3);
    apply_all(&mut driver).unwrap();
    assert_eq!(driver.pre_commit().unwrap(), Some(1000));
    assert!(matches!(driver.rollback_after(2), Err(Error::Rewound { applied: 3, last: Some(2) })));
    // The model refuses any order but the right one.
    driver.rollback_after(400).unwrap();
    assert_eq!(calls.of("rollback"), 600);
    let mut batch = engine.batch();
    let entries = (401..500).map(|index| Entry::new(EntryId { index, term: index / 10 }, payload(index).into_bytes()));
    batch.overwrite(SHARD, entries).unwrap();
    engine.write(batch).unwrap();
    assert_eq!(driver.pre_commit().unwrap(), Some(499));
    driver.commit(450);
    apply_all(&mut driver).unwrap();
    check_state(&driver, 450);
    driver.rollback_after(450).unwrap();
    assert_eq!(calls.of("rollback"), 649);
}

/// The same calls make the same history.
#[test]
fn a_history_repeats() {
    let history = || {
        let world = World::new(20);
        let engine = world.open().unwrap();
        let (mut driver, _) = blocking(&engine);
        run(&engine, &mut driver, 1..100).unwrap();
        driver.close().unwrap();
        engine.close().unwrap();
        world.disk.operations().into_iter().map(|operation| (operation.kind, operation.range)).collect::<Vec<_>>()
    };
    assert!(history() == history());
}
