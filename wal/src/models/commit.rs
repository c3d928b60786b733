//! Who commits: nobody sleeps for ever, nothing is acknowledged that is not durable, the tail is left at rest.

use std::sync::Arc;

use loom::thread;

use super::{World, failure, fill, model, write};
use crate::{Error, Ticket};

#[test]
fn two_waiting_writers_commit_for_each_other() {
    model(2, || {
        let world = World::new();
        let shared = Arc::clone(&world.shared);
        let other = thread::spawn(move || write(&shared));
        let group = write(&world.shared);
        world.assert_durable(group);
        world.assert_durable(other.join().unwrap());
        world.assert_at_rest();
    });
}

#[test]
fn a_waiting_writer_and_the_committer_thread_do_not_miss_each_other() {
    model(2, || {
        let world = World::new();
        let committer = world.committer(|_| ());
        let shared = Arc::clone(&world.shared);
        let writer = thread::spawn(move || write(&shared));
        // Nobody waits for this one before the writer has gone.
        let mut reservation = world.reserve();
        let group = reservation.group();
        fill(&mut reservation);
        let ticket = reservation.finish();
        world.assert_durable(writer.join().unwrap());
        loom::future::block_on(ticket).unwrap();
        world.assert_durable(group);
        committer.stop(&world);
        world.assert_at_rest();
    });
}

#[test]
fn a_group_waits_for_the_last_of_its_writers() {
    model(2, || {
        let world = World::new();
        let committer = world.committer(|_| ());
        let (mut early, mut late) = (world.reserve(), world.reserve());
        assert_eq!(early.group(), late.group());
        let group = early.group();
        let writer = thread::spawn(move || {
            fill(&mut late);
            drop(late.finish());
        });
        fill(&mut early);
        loom::future::block_on(early.finish()).unwrap();
        world.assert_durable(group);
        writer.join().unwrap();
        committer.stop(&world);
        world.assert_at_rest();
    });
}

/// Who commits leaves when its own group is durable; another one that it took may still be filled then.
#[test]
fn a_group_that_was_taken_is_not_forgotten() {
    model(2, || {
        let world = World::new();
        let mut early = world.reserve();
        world.shared.add_empty(0).unwrap();
        let mut late = world.reserve();
        assert!(early.group() < late.group());
        let (first, second) = (early.group(), late.group());
        let writer = thread::spawn(move || {
            fill(&mut late);
            late.finish_for_waiter().wait().unwrap();
        });
        fill(&mut early);
        early.finish_for_waiter().wait().unwrap();
        world.assert_durable(first);
        writer.join().unwrap();
        world.assert_durable(second);
        world.assert_at_rest();
    });
}

/// Of two that wait for a group one may be on its way out when the hand-over takes it for somebody who will commit
/// the next group, for which nobody waits. Here the committer thread has seen that it was wanted, and the tail held.
#[test]
fn a_waiter_that_leaves_is_not_taken_for_one_that_commits() {
    model(2, || {
        let world = World::new();
        let mut reservation = world.reserve();
        let group = reservation.group();
        fill(&mut reservation);
        drop(reservation.finish_for_waiter());
        let shared = Arc::clone(&world.shared);
        let waiter = thread::spawn(move || shared.wait(group).unwrap());
        let committer = world.committer(|shared| drop(shared.add_empty(0)));
        world.shared.wait(group).unwrap();
        world.assert_durable(group);
        waiter.join().unwrap();
        loom::future::block_on(Ticket::new(Arc::clone(&world.shared), group + 1)).unwrap();
        committer.stop(&world);
        world.assert_at_rest();
    });
}

/// Everyone who asks after a group is told the same, however poison and durability race.
#[test]
fn poison_and_acknowledgement_do_not_contradict_each_other() {
    model(2, || {
        let world = World::new();
        let mut reservation = world.reserve();
        let group = reservation.group();
        fill(&mut reservation);
        drop(reservation.finish_for_waiter());
        let shared = Arc::clone(&world.shared);
        let waiter = thread::spawn(move || shared.wait(group));
        let shared = Arc::clone(&world.shared);
        let poisoner = thread::spawn(move || {
            shared.poison(failure());
            shared.watermark.outcome(group).expect("poison ends every wait")
        });
        let told = [world.shared.wait(group), waiter.join().unwrap(), poisoner.join().unwrap()];
        if told.iter().any(Result::is_ok) {
            world.assert_durable(group);
        }
        let at_last = world.shared.watermark.outcome(group).unwrap();
        assert!(told.iter().all(|outcome| outcome.is_ok() == at_last.is_ok()), "{told:?}, at last {at_last:?}");
        assert!(told.iter().flat_map(|outcome| outcome.as_ref().err()).all(|e| matches!(e, Error::Poisoned { .. })));
    });
}
