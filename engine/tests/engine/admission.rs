//! Backpressure: what is accepted and not yet durable is bounded in bytes.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use logboom::{Batch, Durability, Engine, EntryId, Error};

use crate::support::*;

fn large<'a>(engine: &Engine, index: u64) -> Batch<'a> {
    let mut batch = engine.batch();
    batch.append_payload(A, EntryId { index, term: 1 }, Bytes::from(vec![3; 30_000])).unwrap();
    batch
}

#[test]
fn a_full_engine_is_busy_and_gives_the_batch_back() {
    let mut ground = Ground::sim(1);
    ground.config.admission_bytes = 64 << 10;
    let engine = ground.open();
    for index in 0..2 {
        drop(engine.try_submit(large(&engine, index), Durability::Lazy).unwrap());
    }
    let rejected = engine.try_submit(large(&engine, 2), Durability::Lazy).unwrap_err();
    assert!(matches!(rejected.error, Error::Busy));
    assert_eq!((rejected.batch.len(), engine.shard(A).last()), (1, Some(1)));

    let mut waiting = pin!(engine.submit_async(rejected.batch, Durability::Durable));
    let mut context = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    engine.barrier().unwrap().wait().unwrap();
    let Poll::Ready(ticket) = waiting.poll(&mut context) else { panic!("admitted now") };
    ticket.unwrap().wait().unwrap();

    // The waiting form lets the log catch up.
    for index in 3..20 {
        drop(engine.submit(large(&engine, index), Durability::Durable).unwrap());
    }
    assert_eq!(engine.shard(A).last(), Some(19));
}

/// The thread that waits for room has the tickets of the batches that take it, and wakes somebody to write them.
#[test]
fn a_batch_behind_deferred_ones_gets_through() {
    let mut ground = Ground::real();
    ground.config.admission_bytes = 64 << 10;
    let engine = ground.open();
    let mut tickets = Vec::new();
    for index in 0..2 {
        tickets.push(engine.try_submit_deferred(large(&engine, index)).unwrap());
    }
    let rejected = engine.try_submit_deferred(large(&engine, 2)).unwrap_err();
    assert!(matches!(rejected.error, Error::Busy));
    tickets.push(engine.submit(rejected.batch, Durability::Durable).unwrap());
    for index in 3..5 {
        tickets.extend(engine.try_submit_deferred(large(&engine, index)));
    }
    let index = engine.shard(A).next().unwrap();
    tickets.push(block_on(engine.submit_async(large(&engine, index), Durability::Durable)).unwrap());
    tickets.into_iter().for_each(|ticket| ticket.wait().unwrap());
    assert_eq!(engine.shard(A).durable(), Some(index));
}

#[test]
fn writers_that_wait_get_through() {
    let mut ground = Ground::real();
    ground.config.admission_bytes = 64 << 10;
    let engine = ground.open();
    std::thread::scope(|scope| {
        for id in 0..4 {
            let engine = &engine;
            scope.spawn(move || {
                for index in 0..30 {
                    let mut batch = engine.batch();
                    let payload = Bytes::from(vec![id as u8; 30_000]);
                    batch.append_payload(logboom::ShardId(id), EntryId { index, term: 1 }, payload).unwrap();
                    if index % 2 == 0 {
                        drop(engine.submit(batch, Durability::Durable).unwrap());
                    } else {
                        drop(block_on(engine.submit_async(batch, Durability::Durable)).unwrap());
                    }
                }
            });
        }
    });
    engine.barrier().unwrap().wait().unwrap();
    for id in 0..4 {
        assert_eq!(engine.shard(logboom::ShardId(id)).durable(), Some(29));
    }
    ground.until(&engine, "all is released", || engine.metrics().log.admitted_bytes == 0);
    engine.close().unwrap();
}
