//! What is leased is not deleted, and everything else is.

use logboom_snapshot::{Codec, Stop};

use crate::support::*;

#[test]
fn retention_keeps_the_newest_by_index_and_what_is_leased() {
    let disk = sim(1);
    let store = open(&disk, &[]);
    let (mut list, mut leases) = (Vec::new(), Vec::new());
    let mut contents = Vec::new();
    for index in 1..9 {
        let files = Files::from([("state".into(), index.to_string().into_bytes())]);
        register(&store, &mut list, &build(&store, spec(index, Codec::None), &files).unwrap(), 2, index);
        if index % 3 == 0 {
            leases.push(store.newest(SHARD).unwrap().unwrap());
            contents.push(files);
        }
        store.sweep(index).unwrap();
        let indexes: Vec<u64> = list.iter().map(|registered| registered.index).collect();
        assert_eq!(indexes, if index == 1 { vec![1] } else { vec![index - 1, index] });
    }
    assert_eq!(store.held(SHARD), Some(3));
    assert_eq!(store.held(SHARD + 1), None);
    assert_eq!(leftovers(&disk, &list).len(), 2);
    for (lease, files) in leases.iter().zip(&contents) {
        assert_eq!(read(lease).unwrap(), *files);
    }
    let another = leases[0].clone();
    drop(leases);
    assert!(!store.sweep(8).unwrap(), "what is leased waits for no group");
    assert_eq!(read(&another).unwrap(), contents[0]);
    let reader = another.open("state").unwrap();
    drop(another);
    assert_eq!(store.held(SHARD), Some(3), "a reader holds what it reads");
    drop(reader);
    assert_eq!((store.sweep(8).unwrap(), store.held(SHARD)), (false, None));
    assert!(leftovers(&disk, &list).is_empty());
}

#[test]
fn the_order_is_by_index_and_only_then_by_term() {
    let disk = sim(1);
    let store = open(&disk, &[]);
    let build = |index, term| {
        let mut spec = spec(index, Codec::None);
        spec.term = term;
        store.build(spec, &Stop::new()).unwrap().finish().unwrap()
    };
    let (a, b, c) = (build(10, 9), build(11, 2), build(11, 3));
    let mut list = Vec::new();
    for built in [&a, &b, &c] {
        register(&store, &mut list, built, 3, 0);
    }
    let orders: Vec<_> = list.iter().map(|registered| registered.order()).collect();
    assert_eq!(orders, [(10, 9), (11, 2), (11, 3)]);
    assert_eq!(store.newest(SHARD).unwrap().unwrap().manifest().term, 3);
}

#[test]
fn nothing_is_removed_before_what_replaces_it_is_durable() {
    let disk = sim(1);
    let store = open(&disk, &[]);
    let mut list = Vec::new();
    for mark in [5, 6] {
        register(&store, &mut list, &build(&store, spec(mark, Codec::None), &Files::new()).unwrap(), 1, mark);
    }
    assert!(store.sweep(5).unwrap());
    assert_eq!(leftovers(&disk, &list).len(), 1);
    assert!(!store.sweep(6).unwrap());
    assert!(leftovers(&disk, &list).is_empty());
    store.set(SHARD, &[], 7);
    assert!(!store.sweep(7).unwrap());
    assert!(leftovers(&disk, &[]).is_empty());
}

#[test]
fn a_slow_follower_finishes_while_newer_ones_replace_what_it_is_sent() {
    let disk = sim(1);
    let store = open(&disk, &[]);
    let mut rng = fastrand::Rng::with_seed(1);
    let bytes: Vec<u8> = (0..4_000_000).map(|_| rng.u8(..)).collect();
    let files = Files::from([("state".into(), bytes)]);
    let mut list = Vec::new();
    register(&store, &mut list, &build(&store, spec(1, Codec::None), &files).unwrap(), 1, 1);
    let lease = store.newest(SHARD).unwrap().unwrap();
    let follower = open_with(&sim(2), &[], &TestHost::new(77));
    let mut receiver = follower.receive(SHARD, &lease.manifest_bytes(), &Stop::new()).unwrap();
    let mut index = 1;
    while let Some(at) = receiver.position() {
        for _ in 0..3 {
            index += 1;
            register(&store, &mut list, &build(&store, spec(index, Codec::None), &Files::new()).unwrap(), 1, index);
            store.sweep(index).unwrap();
        }
        assert_eq!(store.held(SHARD), Some(1));
        receiver.accept(&lease.chunk(at).unwrap()).unwrap();
    }
    assert!(index > 20);
    assert_eq!(read(&receiver.finish().unwrap().lease()).unwrap(), files);
    drop(lease);
    store.sweep(index).unwrap();
    assert!(leftovers(&disk, &list).is_empty());
}
