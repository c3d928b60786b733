//! The directory: its lock, directories that are no log, and read-only views beside a writer.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use bytes::Bytes;
use logboom::{Durability, Engine, EntryId, Error, disk::BackendChoice};

use crate::support::*;

#[test]
fn one_engine_at_a_time() {
    let mut ground = Ground::real();
    ground.config.disk.lock_wait = std::time::Duration::from_millis(50);
    let engine = ground.open();
    append(&engine, A, 1..3, 1);
    let is_locked = || {
        let error = ground.try_open().unwrap_err();
        let ends = "close it, and drop its engine, shard and snapshot handles";
        assert!(matches!(error, Error::Locked { .. }), "{error:?}");
        let dir = ground.config.dir.display();
        assert_eq!(error.to_string(), format!("the log in {dir} is in use by this process already: {ends}"));
    };
    is_locked();
    append(&engine, A, 3..5, 1);
    // What is read through it is no part of what the next engine may write over.
    let (shard, snapshots) = (engine.shard(A), engine.snapshots());
    engine.close().unwrap();
    check(&shard, 1..5, 1);
    is_locked();
    drop(shard);
    is_locked();
    drop(snapshots);
    let engine = ground.open();
    check(&engine.shard(A), 1..5, 1);
    engine.close().unwrap();
}

#[test]
fn directories_that_are_not_ours() {
    let dir = temp_dir();
    let mut config = small(dir.path().join("absent"));
    config.create = false;
    let absent = config.dir.clone();
    let is_absent = |refused: logboom::Result<()>| match refused {
        Err(Error::Foreign { dir, what }) => assert!(dir == Some(absent.clone()) && what.ends_with("does not exist")),
        other => panic!("{other:?}"),
    };
    is_absent(Engine::open_read_only(config.clone()).map(drop));
    is_absent(Engine::open(config).map(drop));

    let path = dir.path().join("file");
    fs::write(&path, b"text").unwrap();
    assert!(matches!(Engine::open(small(&path)), Err(Error::Foreign { .. })));

    let path = dir.path().join("documents");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("letter.txt"), b"text").unwrap();
    assert!(matches!(Engine::open(small(&path)), Err(Error::Foreign { .. })));
    assert_eq!(fs::read(path.join("letter.txt")).unwrap(), b"text");

    let mut config = small(dir.path().join("empty"));
    fs::create_dir(&config.dir).unwrap();
    config.create = false;
    let said = |opened: logboom::Result<()>, ends: &str| match opened {
        Err(error @ Error::Foreign { .. }) => assert!(error.to_string().ends_with(ends), "{error}"),
        other => panic!("{other:?}"),
    };
    said(Engine::open(config.clone()).map(drop), "holds no log, and `create` is false");
    said(Engine::open_read_only(config).map(drop), "opening it for writing creates one, unless `create` is false");
}

#[test]
fn a_newer_format_and_a_damaged_identity() {
    let ground = Ground::real();
    ground.open().close().unwrap();
    let path = ground.config.dir.join("LOGBOOM");
    let good = fs::read(&path).unwrap();
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        fs::write(&path, bytes).unwrap();
    };
    let mut newer = good[..60].to_vec();
    newer[8] = 9;
    let crc = crc32fast::hash(&newer);
    fs::write(&path, [&newer, &crc.to_le_bytes()[..], &good[64..]].concat()).unwrap();
    assert!(matches!(ground.try_open(), Err(Error::NewerFormat { found: 9, .. })));
    assert!(matches!(Engine::open_read_only(ground.config.clone()), Err(Error::NewerFormat { .. })));
    for at in [8, 30] {
        with(at, good[at] ^ 1);
        match ground.try_open() {
            Err(Error::Identity { what }) => assert!(what.contains("LOGBOOM") && what.contains("segment-"), "{what}"),
            other => panic!("{other:?}"),
        }
        let view = Engine::open_read_only(ground.config.clone()).unwrap();
        assert!(view.open_report().to_string().contains("identity     "), "{}", view.open_report());
        assert!(view.open_report().recovery.identity.is_some());
    }
    fs::write(&path, &good).unwrap();
    ground.open().close().unwrap();
}

#[test]
fn the_segment_size_is_the_logs_own() {
    let mut ground = Ground::real();
    let engine = ground.open();
    append(&engine, A, 1..3, 1);
    engine.close().unwrap();
    ground.config.segment_bytes = 1 << 20;
    let engine = ground.open();
    let mut batch = engine.batch();
    assert!(batch.append_payload(A, EntryId { index: 3, term: 1 }, Bytes::from(vec![0; 100_000])).is_err());
    drop(batch);
    engine.close().unwrap();
}

#[test]
fn backends_write_the_same_log() {
    let mut ground = Ground::real();
    let choices = [BackendChoice::Blocking, BackendChoice::Auto, BackendChoice::Blocking, BackendChoice::Auto];
    for (round, choice) in (0..).zip(choices) {
        ground.config.disk.backend = choice;
        let engine = ground.open();
        append(&engine, A, round * 100..(round + 1) * 100, 1);
        write(&engine, |batch| {
            batch.append_payload(B, EntryId { index: round, term: 1 }, Bytes::from(vec![0; 40_000])).map(drop)
        });
        check(&engine.shard(A), 0..(round + 1) * 100, 1);
        engine.close().unwrap();
    }
}

#[test]
fn a_view_needs_no_lock_and_changes_nothing() {
    let ground = Ground::real();
    let engine = ground.open();
    append(&engine, A, 1..100, 1);
    write(&engine, |batch| batch.hard_state(B, b"vote")?.put(B, b"k", b"v").map(drop));
    let view = Engine::open_read_only(ground.config.clone()).unwrap();
    append(&engine, A, 100..200, 1);
    assert_eq!(view.shards(), [A, B]);
    check(&view.shard(A), 1..100, 1);
    assert_eq!(view.shard(B).hard_state().unwrap(), Some(Bytes::from_static(b"vote")));
    assert_eq!(view.shard(B).get(b"k").unwrap(), Some(Bytes::from_static(b"v")));
    assert_eq!(view.open_report().shards, 2);
    assert!(view.segments().iter().map(|segment| segment.live_entries).sum::<u64>() == 99);
    let entries = block_on(view.shard(A).entries_async(5..9, u64::MAX)).unwrap();
    assert_eq!(entries.len(), 4);
    drop(view);

    let files = |dir: &std::path::Path| {
        let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    engine.close().unwrap();
    let before = files(&ground.config.dir);
    let view = Engine::open_read_only(ground.config.clone()).unwrap();
    check(&view.shard(A), 1..200, 1);
    drop(view);
    assert!(files(&ground.config.dir) == before);
}

#[test]
fn views_while_a_writer_runs() {
    let ground = Ground::real();
    let engine = ground.open();
    append(&engine, A, 0..1, 1);
    let done = AtomicBool::new(false);
    let opened = std::thread::scope(|scope| {
        let viewer = scope.spawn(|| {
            let mut opened = 0;
            while !done.load(Ordering::Acquire) {
                // A segment that is recycled or sealed while it is read makes a view fail; it never lies.
                let Ok(view) = Engine::open_read_only(ground.config.clone()) else { continue };
                let shard = view.shard(A);
                let (first, last) = (shard.first().unwrap(), shard.last().unwrap());
                if let Ok(entries) = shard.entries(first..last + 1, u64::MAX) {
                    opened += 1;
                    for entry in &entries {
                        assert_eq!(entry.payload, payload(A, entry.index, 1));
                    }
                }
            }
            opened
        });
        for round in 0..300 {
            append(&engine, A, round * 10 + 1..(round + 1) * 10 + 1, 1);
        }
        done.store(true, Ordering::Release);
        viewer.join().unwrap()
    });
    assert!(opened > 0);
    engine.close().unwrap();
}

/// Segments are freed and used again while they are read: what a look finds then is of no one moment. Several look at
/// once, so that each takes longer.
#[test]
fn a_view_of_a_log_that_reuses_its_segments_finds_no_damage() {
    let mut ground = Ground::real();
    ground.config.space_bytes_max = Some(3 << 20);
    let engine = ground.open();
    let done = AtomicBool::new(false);
    let unsteady = AtomicUsize::new(0);
    let look = || match Engine::open_read_only(ground.config.clone()) {
        Ok(view) if view.quarantined().is_empty() && !view.has_unknown_losses() => None,
        Ok(view) => Some(format!("{:?} {:?}", view.quarantined(), view.open_report().recovery.damages)),
        Err(Error::Io { error, .. }) if error.kind() == std::io::ErrorKind::ResourceBusy => {
            unsteady.fetch_add(1, Ordering::Relaxed);
            None
        }
        Err(error) => Some(error.to_string()),
    };
    let looks = || (0..100).filter_map(|_| look()).collect::<Vec<_>>();
    let odd: Vec<String> = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut last = 0;
            while !done.load(Ordering::Acquire) {
                let mut batch = engine.batch();
                for shard in [A, B] {
                    for index in last + 1..last + 3 {
                        batch.append_payload(shard, EntryId { index, term: 1 }, Bytes::from(vec![7; 8 << 10])).unwrap();
                    }
                    if last > 8 {
                        batch.compact_through(shard, last - 8).unwrap();
                    }
                }
                match engine.submit(batch, Durability::Durable) {
                    // What was compacted is not durable yet.
                    Err(Error::Full { .. }) => {}
                    submitted => {
                        drop(submitted.unwrap());
                        last += 2;
                    }
                }
            }
            last
        });
        let viewers: Vec<_> = (0..4).map(|_| scope.spawn(looks)).collect();
        let odd = viewers.into_iter().flat_map(|viewer| viewer.join().unwrap()).collect();
        done.store(true, Ordering::Release);
        assert!(writer.join().unwrap() > 1000);
        odd
    });
    engine.close().unwrap();
    assert!(odd.is_empty(), "{} of 400: {odd:#?}", odd.len());
    // How often depends on the machine; not at all would be a log that is never seen.
    assert!(unsteady.into_inner() < 400);
}
