//! Shipping by chunk, in any weather.

use logboom_snapshot::{Chunk, Codec, Error, Position, Stop};

use crate::support::*;

fn pair(seed: u64, codec: Codec) -> (logboom_snapshot::Built, Files) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut files = random_files(&mut rng);
    files.insert("m".into(), (0..1_200_000).map(|_| rng.u8(..)).collect());
    (build(&open_with(&sim(seed), &[], &TestHost::new(seed)), spec(20, codec), &files).unwrap(), files)
}

#[test]
fn what_arrives_is_what_was_sent() {
    for seed in 0..10 {
        let (sent, files) = pair(seed, if seed % 2 == 0 { Codec::None } else { Codec::Lz4 });
        let lease = sent.lease();
        let disk = sim(seed + 100);
        let store = open_with(&disk, &[], &TestHost::new(99));
        let mut receiver = store.receive(SHARD, &lease.manifest_bytes(), &Stop::new()).unwrap();
        let mut rng = fastrand::Rng::with_seed(seed);
        // Pulled and pushed, with chunks that come twice.
        while let Some(at) = receiver.position() {
            match rng.u32(..3) {
                0 => assert!(receiver.accept(&lease.chunk(at).unwrap()).unwrap()),
                1 => {
                    for chunk in lease.chunks(Some(at)).unwrap().take(rng.usize(..3)) {
                        receiver.accept(&chunk.unwrap()).unwrap();
                    }
                }
                _ => {
                    let first = lease.chunks(None).unwrap().next().unwrap().unwrap();
                    let is_new = receiver.position() == Some(first.position());
                    assert_eq!(receiver.accept(&first).unwrap(), is_new);
                }
            }
        }
        assert_eq!(receiver.progress().done_bytes(), lease.manifest().bytes());
        let received = receiver.finish().unwrap();
        assert_eq!(received.manifest(), lease.manifest());
        let mut list = Vec::new();
        register(&store, &mut list, &received, 1, 0);
        let disk = disk.power_cut();
        let store = open(&disk, &list);
        assert_eq!(read(&store.newest(SHARD).unwrap().unwrap()).unwrap(), files, "seed {seed}");
        // And on to the next one.
        let third = open(&sim(7), &[]);
        let lease = store.newest(SHARD).unwrap().unwrap();
        let mut receiver = third.receive(SHARD, &lease.manifest_bytes(), &Stop::new()).unwrap();
        ship(&lease, &mut receiver).unwrap();
        assert_eq!(read(&receiver.finish().unwrap().lease()).unwrap(), files, "seed {seed}");
    }
}

#[test]
fn what_is_not_of_the_transfer_is_refused_and_harms_nothing() {
    let (sent, files) = pair(1, Codec::None);
    let (other, _) = pair(2, Codec::None);
    let (lease, other) = (sent.lease(), other.lease());
    let store = open(&sim(3), &[]);
    let mut receiver = store.receive(SHARD, &lease.manifest_bytes(), &Stop::new()).unwrap();
    let chunks: Vec<Chunk> = lease.chunks(None).unwrap().map(Result::unwrap).collect();
    assert!(matches!(receiver.accept(&chunks[1]), Err(Error::OutOfOrder { offset: 0, .. })));
    for chunk in other.chunks(None).unwrap() {
        let refused = receiver.accept(&chunk.unwrap());
        assert!(matches!(refused, Err(Error::Foreign { .. })), "{refused:?}");
    }
    let refused = receiver.accept(&other.chunk(Position { file: 0, offset: 0 }).unwrap()).unwrap_err();
    let (came, expected) = (other.manifest().id, lease.manifest().id);
    let text = format!("and one of shard {SHARD}, snapshot {expected:016x} is expected");
    assert_eq!(refused.to_string(), format!("not of this transfer: the chunk is of snapshot {came:016x}, {text}"));
    let nowhere = Chunk { offset: 3, ..chunks[0].clone() };
    assert!(matches!(receiver.accept(&nowhere), Err(Error::Foreign { .. })));
    let elsewhere = Chunk { file: chunks[1].file, offset: chunks[1].offset, bytes: chunks[0].bytes.clone() };
    assert!(matches!(receiver.accept(&elsewhere), Err(Error::Foreign { .. })));
    for bit in (0..chunks[0].bytes.len() * 8).step_by(9973).chain(0..64 * 8) {
        let mut bytes = chunks[0].bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let refused = receiver.accept(&Chunk { bytes: bytes.into(), ..chunks[0].clone() });
        assert!(matches!(refused, Err(Error::Foreign { .. } | Error::Damaged { .. })), "bit {bit}: {refused:?}");
    }
    for len in [0, 63, 64, chunks[0].bytes.len() - 1] {
        let cut = Chunk { bytes: chunks[0].bytes.slice(..len), ..chunks[0].clone() };
        assert!(receiver.accept(&cut).is_err());
    }
    ship(&lease, &mut receiver).unwrap();
    assert_eq!(read(&receiver.finish().unwrap().lease()).unwrap(), files);
}

#[test]
fn a_transfer_that_ends_early_leaves_nothing() {
    let (sent, _) = pair(1, Codec::None);
    let lease = sent.lease();
    let disk = sim(3);
    let store = open(&disk, &[]);
    let mut receiver = store.receive(SHARD, &lease.manifest_bytes(), &Stop::new()).unwrap();
    receiver.accept(&lease.chunk(receiver.position().unwrap()).unwrap()).unwrap();
    let at = receiver.position().unwrap();
    let refused = receiver.finish();
    let Err(Error::Incomplete { file, offset }) = refused else { panic!("{refused:?}") };
    assert_eq!(at, Position { file, offset });
    assert!(leftovers(&disk, &[]).is_empty());
    let stop = Stop::new();
    let mut receiver = store.receive(SHARD, &lease.manifest_bytes(), &stop).unwrap();
    stop.stop();
    assert!(matches!(ship(&lease, &mut receiver), Err(Error::Stopped)));
    assert!(matches!(receiver.finish(), Err(Error::Stopped)));
    assert!(leftovers(&disk, &[]).is_empty());
}

#[test]
fn stale_and_foreign_manifests_are_refused() {
    let (sent, _) = pair(1, Codec::None);
    let manifest = sent.lease().manifest_bytes();
    let disk = sim(3);
    let store = open(&disk, &[]);
    let receive = |bytes: &[u8]| store.receive(SHARD, bytes, &Stop::new());
    let refused = store.receive(SHARD + 1, &manifest, &Stop::new()).map(drop).unwrap_err();
    let text = format!("it is of shard {SHARD}, and one of shard {} is expected", SHARD + 1);
    assert_eq!(refused.to_string(), format!("not of this transfer: {text}"));
    for bit in 0..manifest.len() * 8 {
        let mut bad = manifest.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(receive(&bad), Err(Error::Malformed { .. } | Error::NewerFormat { .. })), "bit {bit}");
    }
    let mut list = Vec::new();
    let mut receiver = receive(&manifest).unwrap();
    ship(&sent.lease(), &mut receiver).unwrap();
    let received = receiver.finish().unwrap();
    register(&store, &mut list, &received, 1, 0);
    assert!(matches!(receive(&manifest), Err(Error::Stale { index: 20, term: 3, .. })), "it is there already");
    assert!(matches!(store.check(SHARD, &list, &received), Err(Error::Foreign { .. })), "registered once");
    // A newer one came while this was on its way.
    let newer = build(&store, spec(30, Codec::None), &Files::new()).unwrap();
    let older = build(&store, spec(25, Codec::None), &Files::new()).unwrap();
    register(&store, &mut list, &newer, 1, 0);
    assert!(matches!(store.check(SHARD, &list, &older), Err(Error::Stale { index: 30, .. })));
    assert!(matches!(receive(&manifest), Err(Error::Stale { index: 30, .. })));
    assert!(matches!(store.build(spec(29, Codec::None), &Stop::new()), Err(Error::Stale { .. })));
    drop(older);
    store.sweep(0).unwrap();
    assert!(leftovers(&disk, &list).is_empty());
}
