//! Code that is not the engine's: callbacks, wakers and observers may panic, use the engine and close it.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use logboom::{
    Damage, Durability, Engine, EntryId, Error, Observer, Runtime, Stall, Ticket,
    disk::{FaultKind, SimDisk, SimOptions},
};

use crate::{
    hooked::{NO_STALL, Told, fill, next, open_hooked},
    support::*,
};

fn submit(engine: &Engine, index: u64, durability: Durability) -> Ticket {
    let mut batch = engine.batch();
    batch.append_payload(A, EntryId { index, term: 1 }, b"payload").unwrap();
    engine.submit(batch, durability).unwrap()
}

/// A waker that calls something, each time.
struct Calls<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Calls<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn waker(call: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Calls(call)))
}

/// Polls a ticket that is not done; it must be kept to be woken for.
fn awaited(mut ticket: Ticket, waker: &Waker) -> Ticket {
    match Pin::new(&mut ticket).poll(&mut Context::from_waker(waker)) {
        Poll::Pending => ticket,
        Poll::Ready(outcome) => panic!("it is done: {outcome:?}"),
    }
}

#[test]
fn a_panic_in_a_callback_costs_nothing_else() {
    for is_sim in [true, false] {
        let mut ground = if is_sim { Ground::sim(7) } else { Ground::real() };
        let (observer, heard) = Told::channel();
        ground.config.observer = Some(observer);
        let engine = ground.open();
        let (sender, called) = mpsc::channel();
        for index in 0..10 {
            let sender = sender.clone();
            submit(&engine, index, Durability::Durable).on_complete(move |outcome| {
                outcome.unwrap();
                sender.send(index).unwrap();
                assert!(index % 3 > 0, "index {index}");
            });
        }
        ground.until(&engine, "the panics are counted", || engine.metrics().log.caught_panics == 4);
        assert!(called.try_iter().eq(0..10), "each was called, once and in order");
        ground.pass(&engine, Duration::from_millis(10));
        for index in [0, 3, 6, 9] {
            assert_eq!(next(&heard), format!("a callback: index {index}"));
        }
        assert!(engine.health().is_good(), "{:?}", engine.health());
        engine.close().unwrap();
    }
}

/// A waker may do what any other code may: a write, which waits for the log, most of all.
#[test]
fn a_waker_may_write() {
    let ground = Ground::real();
    let engine = ground.open();
    for round in 0..50 {
        let (sender, woken) = mpsc::channel();
        let theirs = engine.clone();
        let waker = waker(move || {
            append(&theirs, B, round..round + 1, 1);
            sender.send(thread::current().id()).unwrap();
        });
        // Either somebody who waits commits it, in a thread of the caller's, or the thread that commits for all.
        let is_lazy = round % 2 == 0;
        let durability = if is_lazy { Durability::Lazy } else { Durability::Durable };
        let mut batch = engine.batch();
        batch.append_payload(A, EntryId { index: round, term: 1 }, b"payload").unwrap();
        let mut ticket = engine.submit(batch, durability).unwrap();
        let polled = Pin::new(&mut ticket).poll(&mut Context::from_waker(&waker));
        if is_lazy {
            append(&engine, C, round / 2..round / 2 + 1, 1);
        }
        if polled.is_pending() {
            next(&woken);
            assert!(ticket.is_done());
        } else {
            append(&engine, B, round..round + 1, 1);
        }
    }
    assert_eq!(engine.shard(B).durable(), Some(49));
    engine.close().unwrap();
}

#[test]
fn a_panic_in_a_waker_costs_nothing_else() {
    let mut ground = Ground::sim(7);
    let (observer, heard) = Told::channel();
    ground.config.observer = Some(observer);
    let engine = ground.open();
    let (sender, woken) = mpsc::channel();
    let first = awaited(submit(&engine, 1, Durability::Durable), &waker(|| panic!("woken")));
    let second = awaited(submit(&engine, 2, Durability::Durable), &waker(move || sender.send(()).unwrap()));
    drive(&engine);
    assert!(first.is_done() && second.is_done());
    next(&woken);
    assert_eq!(next(&heard), "a waker: woken");
    assert!(engine.health().is_good());
    engine.close().unwrap();
}

/// Closing from a callback, a waker or an observer ends all threads but the one that it runs on, and that one soon.
#[test]
fn foreign_code_may_close_and_drop_the_last_handle() {
    for is_waker in [false, true] {
        for closes in [false, true] {
            let ground = Ground::real();
            let engine = ground.open();
            let ticket = submit(&engine, 1, Durability::Lazy);
            let (sender, closed) = mpsc::channel();
            let barrier = engine.barrier().unwrap();
            let handle = Mutex::new(Some(engine));
            let close = move || {
                if let Some(engine) = handle.lock().unwrap().take() {
                    if closes {
                        engine.close().unwrap();
                    } else {
                        drop(engine);
                    }
                    sender.send(()).unwrap();
                }
            };
            let kept = if is_waker {
                let waker = waker(close);
                let mut ticket = ticket;
                if Pin::new(&mut ticket).poll(&mut Context::from_waker(&waker)).is_ready() {
                    waker.wake();
                }
                Some(ticket)
            } else {
                ticket.on_complete(move |_| close());
                None
            };
            barrier.wait().unwrap();
            next(&closed);
            drop(kept);
            let engine = ground.open();
            assert_eq!(engine.shard(A).last(), Some(1));
            engine.close().unwrap();
        }
    }
}

#[test]
fn a_callback_that_comes_after_the_end_is_called() {
    each(|ground| {
        let engine = ground.open();
        let tickets: Vec<_> = (0..3).map(|index| submit(&engine, index, Durability::Durable)).collect();
        engine.clone().close().unwrap();
        let called = Arc::new(Mutex::new(Vec::new()));
        for (index, ticket) in tickets.into_iter().enumerate() {
            let called = Arc::clone(&called);
            ticket.on_complete(move |outcome| called.lock().unwrap().push((index, outcome.is_ok())));
        }
        assert_eq!(*called.lock().unwrap(), [(0, true), (1, true), (2, true)]);
    });
}

/// An executor that polls where it is woken.
struct Inline<F> {
    future: Mutex<Option<Pin<Box<F>>>>,
    done: mpsc::Sender<bool>,
}

impl<F: Future<Output = bool> + Send + 'static> Wake for Inline<F> {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self));
        let Some(mut future) = self.future.lock().unwrap().take() else { return };
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => self.done.send(outcome).unwrap(),
            Poll::Pending => *self.future.lock().unwrap() = Some(future),
        }
    }
}

/// A commit admits a waiting future, which may commit in its waker.
#[test]
fn a_future_that_is_admitted_may_write_in_its_waker() {
    for is_sim in [true, false] {
        let mut ground = if is_sim { Ground::sim(7) } else { Ground::real() };
        ground.config.admission_bytes = 1;
        let engine = ground.open();
        let (done, is_done) = mpsc::channel();
        let submitted = submit(&engine, 1, Durability::Lazy);
        let theirs = engine.clone();
        let future = async move {
            let mut batch = theirs.batch();
            batch.append_payload(B, EntryId { index: 1, term: 1 }, b"payload").unwrap();
            let ticket = theirs.submit_async(batch, Durability::Durable).await.unwrap();
            ticket.wait().is_ok()
        };
        let task = Arc::new(Inline { future: Mutex::new(Some(Box::pin(future))), done });
        Arc::clone(&task).wake();
        submitted.wait().unwrap();
        ground.pass(&engine, Duration::from_millis(1));
        assert!(next(&is_done));
        assert_eq!(engine.shard(B).durable(), Some(1));
        engine.close().unwrap();
    }
}

/// One that panics whatever it is told.
#[derive(Debug, Default)]
struct Panics {
    told: Mutex<Vec<&'static str>>,
}

impl Panics {
    fn panic(&self, what: &'static str) {
        self.told.lock().unwrap().push(what);
        panic!("{what}");
    }
}

impl Observer for Panics {
    fn recovering(&self, _: logboom::RecoveryProgress) {
        self.panic("recovering");
    }
    fn stalled(&self, _: Stall) {
        self.panic("stalled");
    }
    fn damaged(&self, _: &Damage) {
        self.panic("damaged");
    }
    fn poisoned(&self, _: &Error) {
        self.panic("poisoned");
    }
    fn panicked(&self, _: &str, _: &str) {
        self.panic("panicked");
    }
}

#[test]
fn an_observer_that_panics_ends_no_scrub_and_no_opening() {
    let mut ground = Ground::sim(7);
    let observer = Arc::new(Panics::default());
    ground.config.observer = Some(Arc::clone(&observer) as _);
    (ground.config.scrub_period, ground.config.reclaim_in_background) = (Some(Duration::from_secs(10)), false);
    let engine = ground.open();
    fill(&engine);
    ground.disk().damage(&format!("segment-{:06}", engine.segments()[0].info.slot), 9000..9001).unwrap();
    let damages = |engine: &Engine| engine.metrics().log.scrub_damages;
    ground.until(&engine, "the damage is found", || damages(&engine) > 0);
    let scrubbed = engine.metrics().log.scrubbed_bytes;
    ground.until(&engine, "it is found again", || damages(&engine) > 1);
    assert!(engine.metrics().log.scrubbed_bytes > scrubbed);
    assert!(observer.told.lock().unwrap().contains(&"damaged"));
    let engine = ground.reopen(engine);
    assert!(observer.told.lock().unwrap().contains(&"recovering"));
    assert_eq!(engine.shard(A).first(), Some(0));
}

/// Writers that wait are let go before any callback is told that the log has failed, whatever it is told.
#[test]
fn an_observer_that_panics_leaves_no_writer_waiting() {
    let observer = Arc::new(Panics::default());
    let disk = SimDisk::new(1, SimOptions::default());
    let mut config = small("simulated");
    config.observer = Some(Arc::clone(&observer) as _);
    config.admission_bytes = 1;
    let engine = Engine::open_on(Arc::clone(&disk) as _, config, Runtime::Threads).unwrap();
    let lazy = submit(&engine, 1, Durability::Lazy);
    disk.inject(logboom::disk::Fault::error(FaultKind::Write, std::io::ErrorKind::Other).on("segment-").sticky());
    thread::scope(|scope| {
        let waits = scope.spawn(|| engine.submit(filled(&engine), Durability::Durable).map(drop));
        assert!(matches!(lazy.wait(), Err(Error::Poisoned { .. })));
        assert!(matches!(waits.join().unwrap(), Err(Error::Poisoned { .. })));
    });
    assert!(matches!(engine.close(), Err(Error::Poisoned { .. })));
    assert_eq!(observer.told.lock().unwrap().iter().filter(|&&what| what == "poisoned").count(), 1);
}

fn filled(engine: &Engine) -> logboom::Batch<'static> {
    let mut batch = engine.batch();
    batch.append_payload(B, EntryId { index: 1, term: 1 }, b"payload").unwrap();
    batch
}

/// A reader's thread outlives what it comes by, and answers.
#[test]
fn a_disk_and_a_waker_that_panic_cost_no_reader() {
    let panics = Arc::new(Mutex::new(false));
    let theirs = Arc::clone(&panics);
    let engine = open_hooked(NO_STALL, None, move |kind, name| {
        let panics = kind == FaultKind::Read && name.starts_with("segment-") && *theirs.lock().unwrap();
        assert!(!panics, "a read");
    });
    fill(&engine);
    *panics.lock().unwrap() = true;
    // More often than there are threads.
    for _ in 0..10 {
        let mut future = engine.shard(A).entries_async(0..1, 0);
        let polled = Pin::new(&mut future).poll(&mut Context::from_waker(&waker(|| panic!("woken"))));
        assert!(matches!(polled, Poll::Pending | Poll::Ready(Err(_))));
        let outcome = block_on(engine.shard(A).entries_async(0..1, 0));
        assert!(outcome.is_err(), "{outcome:?}");
    }
    *panics.lock().unwrap() = false;
    assert_eq!(block_on(engine.shard(A).entries_async(0..1, 0)).unwrap().len(), 1);
    engine.close().unwrap();
}
