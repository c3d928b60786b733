//! Committing: no thread sleeps for ever, nothing is acknowledged before it is durable, nothing is left in flight.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};

use loom::thread;

use super::{World, failure, fill, model, write};
use crate::{
    group_commit::{log::Shared, scheduler::Caller, ticket::Ticket},
    types::error::Error,
};

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

/// A writer that commits leaves when its own group is durable; another group that it took may still be filled then.
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

/// Of two waiters for a group one may be about to leave when the hand-over wakes it to commit the next group, for which
/// no thread waits. Here the committer thread has seen that the group was requested, and that the turn was taken.
#[test]
fn a_waiter_that_leaves_is_not_taken_for_one_that_commits() {
    model(2, || {
        let world = World::new();
        let mut reservation = world.reserve();
        let group = reservation.group();
        fill(&mut reservation);
        drop(reservation.finish_for_waiter());
        let shared = Arc::clone(&world.shared);
        let waiter = thread::spawn(move || shared.wait(group, Caller::Unlocked).unwrap());
        let committer = world.committer(|shared| drop(shared.add_empty(0)));
        world.shared.wait(group, Caller::Unlocked).unwrap();
        world.assert_durable(group);
        waiter.join().unwrap();
        loom::future::block_on(Ticket::new(Arc::clone(&world.shared), group + 1)).unwrap();
        committer.stop(&world);
        world.assert_at_rest();
    });
}

/// A waker that writes, as any code may, and counts how often it is called.
struct Writes(Arc<Shared>, Arc<AtomicUsize>);

impl Wake for Writes {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::Relaxed);
        write(&self.0);
    }
}

/// A writer that commits wakes futures after it has released the turn, or leaves them to the notifier: a waker that
/// writes, which takes the turn or waits for its holder, ends in either case.
#[test]
fn a_waker_may_write_wherever_it_is_called() {
    for caller in [Caller::Unlocked, Caller::Locked] {
        model(2, move || {
            let world = World::new();
            world.notifier();
            let calls = Arc::new(AtomicUsize::new(0));
            let waker = Waker::from(Arc::new(Writes(Arc::clone(&world.shared), Arc::clone(&calls))));
            let mut reservation = world.reserve();
            let group = reservation.group();
            fill(&mut reservation);
            let mut ticket = reservation.finish_for_waiter();
            let shared = Arc::clone(&world.shared);
            let writer = thread::spawn(move || shared.wait(group, caller).unwrap());
            let polled = Pin::new(&mut ticket).poll(&mut Context::from_waker(&waker));
            writer.join().unwrap();
            world.assert_durable(group);
            if world.shared.notices.notifier.get().unwrap().is_kicked() {
                world.shared.wake_due();
            }
            // One that was done by the second look may be woken as well.
            let calls = calls.load(Ordering::Relaxed);
            assert!(calls == 1 || calls == 0 && polled.is_ready(), "{calls} {polled:?}");
            world.assert_at_rest();
        });
    }
}

/// All threads get the same outcome of a group, however poison and durability race.
#[test]
fn poison_and_acknowledgement_do_not_contradict_each_other() {
    model(2, || {
        let world = World::new();
        let mut reservation = world.reserve();
        let group = reservation.group();
        fill(&mut reservation);
        drop(reservation.finish_for_waiter());
        let shared = Arc::clone(&world.shared);
        let waiter = thread::spawn(move || shared.wait(group, Caller::Unlocked));
        let shared = Arc::clone(&world.shared);
        let poisoner = thread::spawn(move || {
            shared.poison(failure());
            shared.state.watermark.outcome(group).expect("poison ends every wait")
        });
        let outcomes = [world.shared.wait(group, Caller::Unlocked), waiter.join().unwrap(), poisoner.join().unwrap()];
        if outcomes.iter().any(Result::is_ok) {
            world.assert_durable(group);
        }
        let at_last = world.shared.state.watermark.outcome(group).unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.is_ok() == at_last.is_ok()), "{outcomes:?}, at last {at_last:?}");
        assert!(
            outcomes.iter().flat_map(|outcome| outcome.as_ref().err()).all(|e| matches!(e, Error::Poisoned { .. }))
        );
    });
}
