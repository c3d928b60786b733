//! What rots below a driver is never taken for a state.

use logboom::{
    Entry, EntryId, ReadError,
    disk::{Disk, Rot},
};
use logboom_rsm::{Driver, Error};

use crate::{
    driver::{check_state, options},
    model::{Fault, Model},
    world::{SHARD, World, append, apply_all, payload},
};

#[test]
fn a_rotten_snapshot_is_refused_and_no_older_state_is_given() {
    let mut refused = 0;
    for seed in 0..20 {
        let (world, file) = World::with_a_snapshot(seed);
        world.disk.rot(&file, Rot::Block).unwrap();
        let engine = world.open().unwrap();
        match Driver::blocking(&engine, SHARD, Model::new(None), options()) {
            Err(Error::Engine(logboom::Error::Snapshot(_))) => refused += 1,
            Err(error) => panic!("{error}"),
            // What rotted was nothing that anybody reads.
            Ok((driver, _)) => check_state(&driver, 20),
        }
    }
    assert!(refused > 10, "{refused} times");
}

/// A machine that takes what it could read for a state does not get away with it.
#[test]
fn a_machine_that_swallows_errors_is_not_believed() {
    let mut refused = 0;
    for seed in 0..20 {
        let (world, file) = World::with_a_snapshot(seed);
        world.disk.rot(&file, Rot::Block).unwrap();
        let engine = world.open().unwrap();
        let machine = Model::new(Some(Fault::SwallowsReadErrors));
        match Driver::blocking(&engine, SHARD, machine, options()) {
            Err(_) => refused += 1,
            Ok((driver, _)) => check_state(&driver, 20),
        }
    }
    assert!(refused > 10, "{refused} times");
}

#[test]
fn a_snapshot_that_is_gone_is_missed() {
    let (world, file) = World::with_a_snapshot(1);
    world.disk.remove(&file).unwrap();
    let engine = world.open().unwrap();
    let error = Driver::blocking(&engine, SHARD, Model::new(None), options()).unwrap_err();
    assert!(error.to_string().contains("shard 7"), "{error}");
}

#[test]
fn entries_that_rotted_are_not_applied_before_they_are_healed() {
    let world = World::new(2);
    let engine = world.open().unwrap();
    append(&engine, 1..41).unwrap();
    engine.close().unwrap();
    let engine = world.open().unwrap();
    let (mut driver, _) = Driver::blocking(&engine, SHARD, Model::new(None), options()).unwrap();
    driver.commit(40);
    // Everything but the head of the segment, which was read when it was opened.
    world.disk.damage(&world.files("segment-")[0], 4096..16 << 10).unwrap();
    let error = driver.apply().unwrap_err();
    assert!(matches!(error, Error::Read(ReadError::Corrupted { .. })), "{error}");
    assert_eq!((driver.applied(), driver.upkeep().unwrap().job.is_none()), (None, true));

    engine
        .heal(SHARD, (1..41).map(|index| Entry::new(EntryId { index, term: index / 10 }, payload(index).into_bytes())))
        .unwrap();
    assert_eq!(apply_all(&mut driver).unwrap().len(), 40);
    check_state(&driver, 40);
}
