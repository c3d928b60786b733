//! Several writes in flight, and rotations between them: groups are acknowledged in order, and when they are durable.
//! The device checks the order of writes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use loom::thread;

use super::{
    SEGMENT_BYTES, World,
    device::{Order, PAD},
    fill, model,
};
use crate::{format::options::FooterSpace, group_commit::ticket::Ticket, types::ids::SegmentId};

const ORDERS: [Order; 4] = [Order::FirstFirst, Order::LastFirst, Order::ReportedLastFirst, Order::OneByOne];

/// A group is still being filled when those before it are written: they are written separately.
#[test]
fn writes_in_flight_are_acknowledged_in_order() {
    for order in ORDERS {
        let most = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&most);
        model(2, move || groups_behind_each_other(&World::with(order, FooterSpace::default(), &counted)));
        assert!(most.load(Ordering::Relaxed) > 1, "{order:?}: never two in flight");
    }
}

/// Each segment has room for one group: every group causes a rotation.
#[test]
fn a_segment_is_begun_when_all_before_it_is_durable() {
    for order in ORDERS {
        model(2, move || {
            let world = World::with(order, one_group_each(), &Arc::default());
            groups_behind_each_other(&world);
            assert_eq!(world.shared.state.staging.lock().segment().id, SegmentId(4), "three rotations");
        });
    }
}

/// Waiting writers commit the rotation for each other, without the committer thread.
#[test]
fn waiting_writers_rotate() {
    model(2, || {
        let world = World::with(Order::LastFirst, one_group_each(), &Arc::default());
        let shared = Arc::clone(&world.shared);
        let other = thread::spawn(move || super::write(&shared));
        let group = super::write(&world.shared);
        world.assert_durable(group);
        world.assert_durable(other.join().unwrap());
        world.assert_at_rest();
    });
}

fn one_group_each() -> FooterSpace {
    let fixed = usize::try_from(SEGMENT_BYTES).unwrap() - 3 * PAD;
    FooterSpace { fixed, ..FooterSpace::default() }
}

fn groups_behind_each_other(world: &World) {
    let mut early = world.reserve();
    let between = world.shared.add_empty(0).unwrap();
    let mut late = world.reserve();
    let (first, last) = (early.group(), late.group());
    assert!(first < between && between < last);
    fill(&mut early);
    let early = early.finish();
    let committer = world.committer(|_| ());
    let writer = thread::spawn(move || {
        fill(&mut late);
        drop(late.finish());
    });
    loom::future::block_on(early).unwrap();
    world.assert_durable(first);
    loom::future::block_on(Ticket::new(Arc::clone(&world.shared), last)).unwrap();
    world.assert_durable(last);
    writer.join().unwrap();
    committer.stop(world);
    world.assert_at_rest();
}
