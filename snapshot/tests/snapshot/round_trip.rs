//! What was written is what is read.

use std::{
    io::{Read, Seek, SeekFrom, Write},
    thread,
};

use logboom_disk::{BackendChoice, Disk, DiskOptions, SimDisk, SimOptions};
use logboom_snapshot::{
    Builder, Codec, Error, FILES_MAX, MEMBERSHIP_BYTES_MAX, METADATA_BYTES_MAX, Progress, Spec, Stop, Store, What,
};

use crate::support::*;

#[test]
fn snapshots_by_chance_come_back_over_a_power_cut() {
    for seed in 0..30 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let pad_unit = 512 << rng.u32(..6);
        let options = SimOptions { pad_unit, physical_block: pad_unit, direct: rng.bool(), ..SimOptions::default() };
        let disk = SimDisk::new(seed, options);
        let (store, mut list) = (open(&disk, &[]), Vec::new());
        let files = random_files(&mut rng);
        let codec = if rng.bool() { Codec::Lz4 } else { Codec::None };
        let built = build(&store, spec(10, codec), &files).unwrap();
        register(&store, &mut list, &built, 1, 0);
        let disk = disk.power_cut();
        let lease = open(&disk, &list).newest(SHARD).unwrap().unwrap();
        assert_eq!(read(&lease).unwrap(), files, "seed {seed}");
        let manifest = lease.manifest();
        assert_eq!((manifest.shard, manifest.index, manifest.term), (SHARD, 10, 2));
        assert_eq!((&manifest.membership[..], &manifest.metadata[..]), (&b"1, 2, 3"[..], &b"10"[..]));
        let progress = Progress::default();
        lease.verify(&Stop::new(), &progress).unwrap();
        assert_eq!((progress.done_bytes(), progress.total_bytes()), (manifest.bytes(), Some(manifest.bytes())));
        assert!(leftovers(&disk, &list).is_empty(), "seed {seed}");
    }
}

#[test]
fn what_compresses_takes_less_room() {
    let size = |codec, noise: bool| {
        let disk = sim(1);
        let mut rng = fastrand::Rng::with_seed(1);
        let bytes = (0..1_000_000).map(|at| if noise { rng.u8(..) } else { u8::try_from(at / 5000).unwrap() });
        let built = build(&open(&disk, &[]), spec(1, codec), &Files::from([("state".into(), bytes.collect())]));
        let built = built.unwrap();
        let name = format!("snapshot-{:016x}", built.registration().file);
        disk.open(&name, logboom_disk::Mode::Read).unwrap().size().unwrap()
    };
    let raw = size(Codec::None, true);
    // Two blocks, header and manifest: what was allocated beyond is given back.
    assert!(raw < 1_000_000 + 5 * 4096, "{raw}");
    assert_eq!(size(Codec::Lz4, true), raw);
    assert!(size(Codec::Lz4, false) < 50_000);
}

#[test]
fn a_file_is_read_from_any_place() {
    let disk = sim(3);
    let mut rng = fastrand::Rng::with_seed(3);
    let bytes: Vec<u8> = (0..1_700_000).map(|_| rng.u8(..)).collect();
    let store = open(&disk, &[]);
    let built = build(&store, spec(1, Codec::Lz4), &Files::from([("state".into(), bytes.clone())])).unwrap();
    let mut reader = built.lease().open("state").unwrap();
    assert_eq!(reader.len(), 1_700_000);
    for _ in 0..200 {
        let at = rng.usize(..=bytes.len() + 10);
        let mut piece = vec![0; rng.usize(..100_000)];
        assert_eq!(reader.seek(SeekFrom::Start(at as u64)).unwrap(), at as u64);
        let mut read = 0;
        while read < piece.len() {
            match reader.read(&mut piece[read..]).unwrap() {
                0 => break,
                len => read += len,
            }
        }
        let expected = bytes.get(at..(at + piece.len()).min(bytes.len())).unwrap_or_default();
        assert!(piece[..read] == *expected, "{} bytes at {at}", piece.len());
    }
    assert!(reader.seek(SeekFrom::Current(-9_000_000)).is_err());
    assert!(matches!(built.lease().open("other"), Err(Error::Absent { .. })));
}

#[test]
fn names_and_sizes_are_checked() {
    let disk = sim(1);
    let store = open(&disk, &[]);
    let mut builder = store.build(spec(1, Codec::None), &Stop::new()).unwrap();
    builder.file("a").unwrap().write_all(b"first").unwrap();
    for bad in ["../b", "/b", "a", "a/b", "", "x/../../y"] {
        assert!(matches!(builder.file(bad), Err(Error::Name { .. })), "{bad}");
    }
    builder.file("b/c").unwrap().write_all(b"second").unwrap();
    let built = builder.finish().unwrap();
    let files = Files::from([("a".into(), b"first".to_vec()), ("b/c".into(), b"second".to_vec())]);
    assert_eq!(read(&built.lease()).unwrap(), files);
}

#[test]
fn what_is_at_a_limit_is_kept_and_one_above_it_is_refused() {
    let disk = sim(1);
    let store = open(&disk, &[]);
    let sized = |membership, metadata| {
        let (membership, metadata) = (vec![1; membership], vec![2; metadata]);
        store.build(Spec { membership, metadata, ..spec(1, Codec::None) }, &Stop::new())
    };
    let refused = |built: Result<Builder, Error>| match built.map(drop) {
        Err(Error::TooLarge { what, size, limit }) => (what, size, limit),
        other => panic!("{other:?}"),
    };
    const MIB: u64 = 1 << 20;
    assert_eq!(refused(sized(MEMBERSHIP_BYTES_MAX + 1, 0)), (What::Membership, MIB + 1, MIB));
    assert_eq!(refused(sized(0, METADATA_BYTES_MAX + 1)), (What::Metadata, MIB + 1, MIB));
    for below in [1, 0] {
        let mut builder = sized(MEMBERSHIP_BYTES_MAX - below, METADATA_BYTES_MAX - below).unwrap();
        for nth in below..FILES_MAX {
            builder.file(&format!("{nth}")).unwrap();
        }
        if below == 0 {
            let one_more = builder.file("more").map(drop);
            let limit = |error| matches!(error, Error::TooLarge { what: What::Files, size: 65_537, limit: 65_536 });
            assert!(one_more.is_err_and(limit));
        }
        let lease = builder.finish().unwrap().lease();
        assert_eq!(lease.manifest().files.len(), FILES_MAX - below);
        assert_eq!(lease.manifest().membership.len(), MEMBERSHIP_BYTES_MAX - below);
    }
}

#[test]
fn a_build_that_is_stopped_leaves_nothing() {
    let disk = sim(1);
    let store = open(&disk, &[]);
    let stop = Stop::new();
    let mut builder = store.build(spec(1, Codec::None), &stop).unwrap();
    let mut file = builder.file("state").unwrap();
    file.write_all(&vec![1; 3 << 20]).unwrap();
    stop.stop();
    let error = file.write_all(&vec![1; 600 << 10]).unwrap_err();
    assert!(matches!(error.get_ref().unwrap().downcast_ref(), Some(Error::Stopped)));
    assert!(matches!(builder.finish(), Err(Error::Stopped)));
    assert!(leftovers(&disk, &[]).is_empty());
    assert!(matches!(store.build(spec(1, Codec::None), &stop), Err(Error::Stopped)));
}

#[test]
fn a_build_that_is_dropped_leaves_nothing() {
    let disk = sim(1);
    let store = open(&disk, &[]);
    let mut builder = store.build(spec(1, Codec::None), &Stop::new()).unwrap();
    builder.file("state").unwrap().write_all(&vec![1; 3 << 20]).unwrap();
    assert_eq!(leftovers(&disk, &[]).len(), 1);
    drop(builder);
    assert!(leftovers(&disk, &[]).is_empty());
    let built = build(&store, spec(1, Codec::None), &Files::new()).unwrap();
    let other = built.clone();
    drop(built);
    assert!(!store.sweep(0).unwrap());
    assert_eq!(leftovers(&disk, &[]).len(), 1, "a clone may still be registered");
    drop(other);
    store.sweep(0).unwrap();
    assert!(leftovers(&disk, &[]).is_empty());
}

#[test]
fn real_disks_keep_snapshots_that_move_between_threads() {
    for backend in [BackendChoice::Auto, BackendChoice::Blocking] {
        let dir = tempfile::tempdir().unwrap();
        let mut options = DiskOptions::default();
        options.backend = backend;
        let disk = || logboom_disk::open(dir.path(), &options).unwrap();
        let mut rng = fastrand::Rng::with_seed(9);
        let bytes: Vec<u8> = (0..9_000_000).map(|_| rng.u8(..)).collect();
        let store = Store::open(disk(), LOG, TestHost::new(1), [], |_| false).unwrap();
        let mut builder = store.build(spec(1, Codec::None), &Stop::new()).unwrap();
        builder.file("state").unwrap();
        // Each thread begins where another left something in flight.
        for (nth, piece) in bytes.chunks(1_000_000).map(<[u8]>::to_vec).enumerate() {
            let fill = move || {
                builder.file(&nth.to_string()).unwrap().write_all(&piece).unwrap();
                builder
            };
            builder = thread::spawn(fill).join().unwrap();
        }
        let built = builder.finish().unwrap();
        let mut list = Vec::new();
        register(&store, &mut list, &built, 1, 0);
        drop((built, store));
        let list = list.into_iter().map(|registered| (SHARD, registered));
        let store = Store::open(disk(), LOG, TestHost::new(2), list, |_| false).unwrap();
        let lease = store.newest(SHARD).unwrap().unwrap();
        let mut back = Vec::new();
        for nth in 0..9 {
            let mut reader = lease.open(&nth.to_string()).unwrap();
            for _ in 0..5 {
                let read = move || {
                    let mut piece = vec![0; 300_000];
                    let len = reader.read(&mut piece).unwrap();
                    piece.truncate(len);
                    (piece, reader)
                };
                let (piece, again) = thread::spawn(read).join().unwrap();
                back.extend(piece);
                reader = again;
            }
            assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        }
        assert!(back == bytes);
    }
}
