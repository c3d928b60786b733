//! Tickets: each completes once in every kind of wait, and dropping one does not affect others.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use loom::{future::block_on, thread};

use super::{World, failure, model};
use crate::{
    group_commit::{log::Shared, ticket::Ticket},
    runtime::worker::Worker,
    types::error::Error,
};

/// Does what the committer does when a group has become durable, and then what the notifier does if it was kicked.
fn publish(shared: &Shared, group: u64) {
    shared.state.watermark.publish(group);
    shared.notify();
    attend(shared);
}

fn attend(shared: &Shared) {
    if shared.notices.notifier.get().is_some_and(Worker::is_kicked) {
        while shared.wake_due() {}
    }
}

/// A ticket of the second group, which the model makes durable.
fn ticket(world: &World) -> Ticket {
    Ticket::new(Arc::clone(&world.shared), 2)
}

#[test]
fn an_awaited_ticket_is_woken() {
    model(2, || {
        let world = World::new();
        world.notifier();
        let shared = Arc::clone(&world.shared);
        let publisher = thread::spawn(move || publish(&shared, 2));
        block_on(ticket(&world)).unwrap();
        publisher.join().unwrap();
        assert_eq!(world.shared.state.watermark.registered(), (0, 0));
    });
}

/// The timeout is never reached: loom has no time.
#[test]
fn a_wait_with_a_timeout_is_woken() {
    model(2, || {
        let world = World::new();
        world.notifier();
        let shared = Arc::clone(&world.shared);
        let publisher = thread::spawn(move || publish(&shared, 2));
        ticket(&world).wait_timeout(Duration::MAX).unwrap().unwrap();
        publisher.join().unwrap();
        assert_eq!(world.shared.state.watermark.registered(), (0, 0));
    });
}

#[test]
fn a_dropped_ticket_does_not_affect_others() {
    model(2, || {
        let world = World::new();
        world.notifier();
        let mut dropped = Box::pin(ticket(&world));
        assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let shared = Arc::clone(&world.shared);
        let publisher = thread::spawn(move || publish(&shared, 2));
        let waits = ticket(&world);
        let waiter = thread::spawn(move || block_on(waits).unwrap());
        drop(dropped);
        publisher.join().unwrap();
        waiter.join().unwrap();
        assert_eq!(world.shared.state.watermark.registered(), (0, 0));
    });
}

#[test]
fn a_callback_is_called_once() {
    model(2, || {
        let world = World::new();
        world.notifier();
        let calls = Arc::new(AtomicUsize::new(0));
        let (shared, called) = (Arc::clone(&world.shared), Arc::clone(&calls));
        let publisher = thread::spawn(move || publish(&shared, 2));
        ticket(&world).on_complete(move |outcome| {
            outcome.unwrap();
            called.fetch_add(1, Ordering::Relaxed);
        });
        publisher.join().unwrap();
        assert!(world.shared.notices.notifier.get().unwrap().is_kicked(), "no thread would run the callback");
        while let Some((callback, outcome)) = world.shared.state.watermark.take_callback() {
            callback(outcome);
        }
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert_eq!(world.shared.state.watermark.registered(), (0, 0));
    });
}

#[test]
fn a_failure_reaches_sleepers_and_polled_futures() {
    model(2, || {
        let world = World::new();
        world.notifier();
        let shared = Arc::clone(&world.shared);
        let poisoner = thread::spawn(move || {
            shared.poison(failure());
            attend(&shared);
        });
        let awaited = ticket(&world);
        let waiter = thread::spawn(move || block_on(awaited));
        world.shared.state.watermark.park(2, || true);
        assert!(matches!(waiter.join().unwrap(), Err(Error::Poisoned { .. })));
        poisoner.join().unwrap();
        let again = pin!(ticket(&world)).as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(again, Poll::Ready(Err(_))));
    });
}
