//! Snapshots, logs and machines that do not fit each other.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use logboom::{
    Engine, EntryId,
    snapshot::{Built, Spec, Stop},
};
use logboom_rsm::{CatchUp, Driver, Error, Options, Recovered, SnapshotPolicy};

use crate::{
    driver::{check_state, options},
    model::{Disk, Model},
    world::{SHARD, World, append, receive_all, run, upkeep},
};

fn open(engine: &Engine) -> logboom_rsm::Result<(Driver<Model>, Recovered)> {
    Driver::blocking(engine, SHARD, Model::new(None), options())
}

/// A snapshot that nobody's machine has saved.
fn build(engine: &Engine, index: u64, term: u64) -> Built {
    let mut builder = engine.snapshots().build(Spec::new(SHARD.0, EntryId { index, term }), &Stop::new()).unwrap();
    builder.file("state").unwrap().write_all(b"0\n-\n").unwrap();
    builder.finish().unwrap()
}

fn compact_through(engine: &Engine, index: u64) {
    let mut batch = engine.batch();
    batch.compact_through(SHARD, index).unwrap();
    engine.write(batch).unwrap();
}

#[test]
fn a_snapshot_of_another_history_is_refused() {
    let engine = World::new(1).open().unwrap();
    append(&engine, 1..31).unwrap();
    engine.snapshots().register(&build(&engine, 20, 9)).unwrap();
    assert!(matches!(open(&engine), Err(Error::Term { index: 20, log: 2, state: 9 })));
}

#[test]
fn a_snapshot_of_more_than_the_log_has_is_refused() {
    let engine = World::new(2).open().unwrap();
    append(&engine, 1..31).unwrap();
    engine.snapshots().register(&build(&engine, 40, 4)).unwrap();
    assert!(matches!(open(&engine), Err(Error::Ahead { applied: 40, last: Some(30) })));
}

/// Somebody compacted the log past the newest snapshot: neither a restart nor a follower can use that.
#[test]
fn a_snapshot_from_which_the_log_does_not_go_on_is_of_no_use() {
    let engine = World::new(3).open().unwrap();
    let (mut driver, _) = open(&engine).unwrap();
    run(&engine, &mut driver, 1..31).unwrap();
    compact_through(&engine, 25);
    assert!(matches!(open(&engine), Err(Error::NoSnapshot { first: 26 })));
    assert!(matches!(driver.catch_up(3, 100).unwrap(), CatchUp::Later));
    assert!(upkeep(&mut driver).unwrap(), "a new one was asked for");
    assert!(matches!(driver.catch_up(3, 100).unwrap(), CatchUp::Snapshot(_)));
    let (driver, _) = open(&engine).unwrap();
    check_state(&driver, 30);
}

/// A core that takes no snapshot without itself in the membership is sent one of its own entry, however many there are
/// before that: the newest one, and one that is being saved.
#[test]
fn a_member_that_joins_behind_the_newest_snapshot_is_sent_the_next_one() {
    let engine = World::new(5).open().unwrap();
    let mut policy = SnapshotPolicy::default();
    policy.every_entries = None;
    let mut on_request = Options::default();
    on_request.policy = policy;
    let (mut driver, _) = Driver::blocking(&engine, SHARD, Model::new(None), on_request).unwrap();
    run(&engine, &mut driver, 1..11).unwrap();
    driver.request_snapshot();
    assert!(upkeep(&mut driver).unwrap());
    compact_through(&engine, 8);
    run(&engine, &mut driver, 11..13).unwrap();
    driver.request_snapshot();
    let earlier = driver.upkeep().unwrap().job.unwrap();

    // The entry at 14 is to make it one.
    assert!(matches!(driver.catch_up_member(3, 14, 100).unwrap(), CatchUp::Later), "there is one of 10");
    assert!(matches!(driver.catch_up(3, 100).unwrap(), CatchUp::Snapshot(_)), "which serves all others");
    assert_eq!(driver.finish(earlier.run()).unwrap().index, 12);
    assert!(matches!(driver.catch_up_member(3, 14, 100).unwrap(), CatchUp::Later), "there is one of 12");
    assert!(driver.upkeep().unwrap().job.is_none(), "14 is not applied");
    assert_eq!(run(&engine, &mut driver, 13..17).unwrap(), 1, "it was asked for, once");
    let CatchUp::Snapshot(lease) = driver.catch_up_member(3, 14, 100).unwrap() else { panic!("it stalls") };
    assert_eq!(lease.manifest().index, 14);
}

#[test]
fn a_snapshot_at_the_boundary_is_enough() {
    let engine = World::new(4).open().unwrap();
    let (mut driver, _) = open(&engine).unwrap();
    run(&engine, &mut driver, 1..31).unwrap();
    compact_through(&engine, 20);
    let (driver, recovered) = open(&engine).unwrap();
    assert_eq!((recovered.applied, recovered.last), (Some(20), Some(30)));
    check_state(&driver, 20);
    compact_through(&engine, 20);
}

/// The process dies when the machine has its new state and has not synced it. The next one finds the state, and has the
/// log follow; a power cut after that must not find the machine where it was.
#[test]
fn a_state_that_was_installed_is_synced_before_the_log_follows() {
    let sender = World::new(1).open().unwrap();
    let (mut from, _) = open(&sender).unwrap();
    run(&sender, &mut from, 1..31).unwrap();
    let on_disk = |engine: &Engine, kept: &Arc<Mutex<Disk>>| {
        Driver::on_disk(engine, SHARD, Model::on_disk(None, Arc::clone(kept)), options()).unwrap()
    };
    let mut settled = 0;
    for n in 1..40 {
        let mut world = World::new(n);
        let kept = Arc::<Mutex<Disk>>::default();
        let engine = world.open().unwrap();
        let (mut driver, _) = on_disk(&engine, &kept);
        run(&engine, &mut driver, 1..11).unwrap();
        let mut stream = from.read_objects(10).unwrap().unwrap();
        let transfer = receive_all(&driver, &mut stream);
        world.disk.halt_after(n);
        kept.lock().unwrap().stop_syncing();
        let installed = driver.install_objects(transfer, stream.at, stream.membership, None);
        assert!(installed.is_err());
        drop((driver, engine));
        world.process_crash();
        kept.lock().unwrap().sync_again();

        let engine = world.open().unwrap();
        let (driver, recovered) = on_disk(&engine, &kept);
        settled += u64::from(recovered.applied == Some(30));
        drop((driver, engine));
        world.power_cut();
        let engine = world.open().unwrap();
        let (driver, again) = on_disk(&engine, &Model::crash(&kept, 0));
        assert_eq!(again.applied, recovered.applied, "at {n}");
        check_state(&driver, again.applied.unwrap());
    }
    assert!(settled > 0);
}
