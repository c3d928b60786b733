//! Tickets as futures, callbacks and blocking waits, and lazy batches.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use logboom::{Durability, Engine, EntryId, Ticket};

use crate::support::*;

fn submit(engine: &Engine, index: u64, durability: Durability) -> Ticket {
    let mut batch = engine.batch();
    batch.append_payload(A, EntryId { index, term: 1 }, b"payload").unwrap();
    engine.submit(batch, durability).unwrap()
}

#[test]
fn a_ticket_in_every_form() {
    each(|ground| {
        let engine = ground.open();
        submit(&engine, 1, Durability::Durable).wait().unwrap();
        let ticket = submit(&engine, 2, Durability::Durable);
        drive_on(ground, &engine, ticket).unwrap();
        match submit(&engine, 3, Durability::Durable).wait_timeout(Duration::from_secs(5)) {
            Ok(outcome) => outcome.unwrap(),
            Err(ticket) => panic!("{ticket:?}"),
        }
        let (sender, receiver) = mpsc::channel();
        submit(&engine, 4, Durability::Durable).on_complete(move |outcome| drop(sender.send(outcome)));
        ground.pass(&engine, Duration::from_millis(20));
        receiver.recv_timeout(Duration::from_secs(5)).unwrap().unwrap();
        drop(submit(&engine, 5, Durability::Durable));
        engine.barrier().unwrap().wait().unwrap();
        assert_eq!(engine.shard(A).durable(), Some(5), "dropping a ticket cancels nothing");
        let ticket = submit(&engine, 6, Durability::Durable);
        engine.barrier().unwrap().wait().unwrap();
        assert!(ticket.is_done());
        ticket.wait().unwrap();
        engine.close().unwrap();
    });
}

/// Nothing else is written meanwhile: whatever becomes of the ticket, the batch does not wait for company.
#[test]
fn a_deferred_batch_is_written_whatever_becomes_of_its_ticket() {
    let ends: [fn(&Ground, &Engine, Ticket); 6] = [
        |_, _, ticket| ticket.wait().unwrap(),
        |_, _, ticket| drop(ticket.wait_timeout(Duration::ZERO)),
        |_, _, ticket| ticket.on_complete(|outcome| outcome.unwrap()),
        |ground, engine, ticket| drive_on(ground, engine, ticket).unwrap(),
        |ground, engine, mut ticket| {
            ticket.begin();
            ground.until(engine, "what was begun", || ticket.is_done());
        },
        |_, _, ticket| drop(ticket),
    ];
    each(|ground| {
        let engine = ground.open();
        for (index, end) in (1..).zip(ends) {
            let mut batch = engine.batch();
            batch.append_payload(A, EntryId { index, term: 1 }, b"payload").unwrap();
            let ticket = engine.try_submit_deferred(batch).unwrap();
            assert_eq!(engine.shard(A).last(), Some(index), "it can be read");
            end(ground, &engine, ticket);
            ground.until(&engine, "its write", || engine.shard(A).durable() == Some(index));
        }
        let mut batch = engine.batch();
        batch.append_payload(A, EntryId { index: 99, term: 1 }, b"payload").unwrap();
        assert!(matches!(engine.try_submit_deferred(batch).unwrap_err().error, logboom::Error::Gap { .. }));
        engine.close().unwrap();
    });
}

#[test]
fn callbacks_come_in_order_and_once() {
    each(|ground| {
        let engine = ground.open();
        let seen = Arc::new(Mutex::new(Vec::new()));
        for index in 0..100 {
            let seen = Arc::clone(&seen);
            let ticket = submit(&engine, index, Durability::Durable);
            ticket.on_complete(move |outcome| {
                outcome.unwrap();
                seen.lock().unwrap().push(index);
            });
        }
        ground.until(&engine, "all callbacks", || seen.lock().unwrap().len() == 100);
        assert!(seen.lock().unwrap().iter().copied().eq(0..100));
        engine.close().unwrap();
    });
}

#[test]
fn a_lazy_batch_waits_for_company_or_age() {
    let ground = Ground::sim(1);
    let engine = ground.open();
    let lazy = submit(&engine, 1, Durability::Lazy);
    drive(&engine);
    assert!(!lazy.is_done(), "it is not written by itself");
    assert_eq!(engine.shard(A).last(), Some(1), "but it can be read");
    let durable = submit(&engine, 2, Durability::Durable);
    drive(&engine);
    assert!(lazy.is_done() && durable.is_done(), "it is written with the next group");

    let lazy = submit(&engine, 3, Durability::Lazy);
    drive(&engine);
    assert!(!lazy.is_done());
    ground.pass(&engine, ground.config.lazy_age + Duration::from_millis(20));
    assert!(lazy.is_done(), "it has become old");

    let lazy = submit(&engine, 4, Durability::Lazy);
    lazy.wait().unwrap();
    let lazy = submit(&engine, 5, Durability::Lazy);
    engine.barrier().unwrap().wait().unwrap();
    assert!(lazy.is_done(), "a barrier does not leave it behind");
}

#[test]
fn closing_writes_what_is_lazy() {
    each(|ground| {
        let engine = ground.open();
        drop(submit(&engine, 1, Durability::Lazy));
        let engine = ground.reopen(engine);
        assert_eq!(engine.shard(A).last(), Some(1));
        drop(submit(&engine, 2, Durability::Lazy));
        drop(engine);
        let engine = ground.open();
        assert_eq!(engine.shard(A).last(), Some(2), "so does dropping the last handle");
        engine.close().unwrap();
    });
}

#[test]
fn many_threads_write_durably() {
    let ground = Ground::real();
    let engine = ground.open();
    std::thread::scope(|scope| {
        for id in 0..8 {
            let engine = &engine;
            scope.spawn(move || {
                for index in 0..50 {
                    append(engine, logboom::ShardId(id), index..index + 1, 1);
                    assert_eq!(engine.shard(logboom::ShardId(id)).durable(), Some(index));
                }
            });
        }
    });
    let engine = ground.reopen(engine);
    for id in 0..8 {
        check(&engine.shard(logboom::ShardId(id)), 0..50, 1);
    }
    engine.close().unwrap();
}
