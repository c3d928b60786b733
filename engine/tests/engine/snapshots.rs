//! Snapshots beside the log: registered, leased, shipped and unregistered, and after crashes.

use std::{
    io::{self, Read, Write},
    sync::Arc,
    thread,
    time::Duration,
};

use logboom::{
    Durability, Engine, EntryId, Error, Limit, ShardId,
    disk::{Disk, Fault, FaultKind, SimDisk, SimOptions},
    snapshot::{Built, Error as SnapshotError, Host, Lease, Receiver, Spec, Stop, Store},
};

use crate::{
    quarantine::{crash, damage},
    support::*,
};

fn content(shard: ShardId, index: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(shard.0 ^ index);
    let mut bytes = format!("{shard} as of {index}").into_bytes();
    bytes.extend((0..700_000 + index % 1000).map(|_| rng.u8(..)));
    bytes
}

fn try_build(engine: &Engine, shard: ShardId, index: u64) -> logboom::Result<Built> {
    let mut spec = Spec::new(shard.0, EntryId { index, term: 1 });
    spec.membership = b"1, 2, 3".to_vec();
    let mut builder = engine.snapshots().build(spec, &Stop::new())?;
    // The builder repeats the error.
    drop(builder.file("state")?.write_all(&content(shard, index)));
    builder.file("sst/1")?.write_all(b"external").unwrap_or_default();
    Ok(builder.finish()?)
}

fn build(engine: &Engine, shard: ShardId, index: u64) -> Built {
    try_build(engine, shard, index).unwrap()
}

/// Builds, and registers with the compaction that goes with it.
fn snapshot(engine: &Engine, shard: ShardId, index: u64) {
    let built = build(engine, shard, index);
    write(engine, |batch| {
        batch.compact_through(shard, index)?;
        batch.register_snapshot(shard, &built).map(drop)
    });
}

fn check_content(lease: &Lease, shard: ShardId) {
    let manifest = lease.manifest();
    assert_eq!((manifest.shard, manifest.term, &manifest.membership[..]), (shard.0, 1, &b"1, 2, 3"[..]));
    let mut bytes = Vec::new();
    lease.open("state").unwrap().read_to_end(&mut bytes).unwrap();
    assert!(bytes == content(shard, manifest.index), "index {}", manifest.index);
    assert_eq!(lease.open("sst/1").unwrap().len(), 8);
}

/// The newest snapshot's index, after looking at all of it.
fn newest(engine: &Engine, shard: ShardId) -> Option<u64> {
    let lease = engine.snapshots().newest(shard).unwrap()?;
    check_content(&lease, shard);
    Some(lease.manifest().index)
}

fn indexes(engine: &Engine, shard: ShardId) -> Vec<u64> {
    engine.snapshots().list(shard).iter().map(|registered| registered.index).collect()
}

/// The files of snapshots that are no registered one's.
fn leftovers(disk: &SimDisk, engine: &Engine) -> Vec<String> {
    let registered = |name: &String| {
        let snapshots = engine.snapshots();
        engine
            .shards()
            .into_iter()
            .flat_map(|shard| snapshots.list(shard))
            .any(|one| name.ends_with(&format!("{:016x}", one.file)))
    };
    let is_ours = |name: &String| ["snapshot-", "building-", "receiving-"].iter().any(|of| name.starts_with(of));
    disk.list().unwrap().into_iter().filter(|name| is_ours(name) && !registered(name)).collect()
}

fn ship(lease: &Lease, receiver: &mut Receiver) {
    let Some(at) = receiver.position() else { return };
    lease.chunks(Some(at)).unwrap().for_each(|chunk| assert!(receiver.accept(&chunk.unwrap()).unwrap()));
}

#[test]
fn registered_snapshots_survive_a_reopening() {
    each(|ground| {
        let mut engine = ground.open();
        append(&engine, A, 1..40, 1);
        append(&engine, B, 1..10, 1);
        assert_eq!(newest(&engine, A), None);
        for index in [10, 20, 30] {
            snapshot(&engine, A, index);
            assert_eq!((newest(&engine, A), indexes(&engine, A)), (Some(index), vec![index]));
            check(&engine.shard(A), index + 1..40, 1);
        }
        snapshot(&engine, B, 5);
        for _ in 0..3 {
            engine = ground.reopen(engine);
            assert_eq!((newest(&engine, A), newest(&engine, B)), (Some(30), Some(5)));
            check(&engine.shard(A), 31..40, 1);
            assert!(engine.snapshots().missing().unwrap().is_empty());
            if ground.is_sim() {
                assert!(leftovers(&ground.disk(), &engine).is_empty());
            }
        }
        engine.close().unwrap();
    });
}

#[test]
fn registrations_are_replayed_after_a_crash() {
    let ground = Ground::sim(1);
    let engine = ground.open();
    append(&engine, A, 1..40, 1);
    snapshot(&engine, A, 10);
    snapshot(&engine, A, 20);
    ground.replace_disk(ground.disk().power_cut());
    drop(engine);
    let engine = ground.open();
    assert_eq!((newest(&engine, A), indexes(&engine, A)), (Some(20), vec![20]));
    assert!(leftovers(&ground.disk(), &engine).is_empty());
}

#[test]
fn the_newest_are_kept_even_if_fewer_were_before() {
    let mut ground = Ground::sim(1);
    for (kept, index, expected) in
        [(1, 10, vec![10]), (3, 11, vec![10, 11]), (3, 12, vec![10, 11, 12]), (2, 13, vec![12, 13])]
    {
        ground.config.snapshots_kept = kept;
        let engine = ground.open();
        let built = build(&engine, A, index);
        engine.snapshots().register(&built).unwrap();
        assert_eq!(indexes(&engine, A), expected);
        ground.replace_disk(ground.disk().power_cut());
    }
    // What was let go of when fewer were kept is not expected back by a replay that keeps more.
    ground.config.snapshots_kept = 9;
    let engine = ground.open();
    assert_eq!((indexes(&engine, A), newest(&engine, A)), (vec![12, 13], Some(13)));
    let id = engine.snapshots().list(A)[0].id;
    check_content(&engine.snapshots().lease(A, id).unwrap().unwrap(), A);
    write(&engine, |batch| batch.forget_snapshot(A, id).map(drop));
    assert_eq!(indexes(&ground.reopen(engine), A), [13]);
}

#[test]
fn files_are_removed_in_the_background_when_nothing_needs_them() {
    each(|ground| {
        let engine = ground.open();
        append(&engine, A, 1..40, 1);
        snapshot(&engine, A, 10);
        let lease = engine.snapshots().newest(A).unwrap().unwrap();
        engine.snapshots().register(&build(&engine, A, 11)).unwrap();
        ground.pass(&engine, Duration::from_millis(100));
        check_content(&lease, A);
        let dir = ground.config.dir.clone();
        let count = || match ground.is_sim() {
            true => ground.disk().list().unwrap().iter().filter(|name| name.starts_with("snapshot-")).count(),
            false => {
                let names = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name());
                names.filter(|name| name.to_str().unwrap().starts_with("snapshot-")).count()
            }
        };
        assert_eq!(count(), 2);
        drop(lease);
        ground.until(&engine, "the file of the old snapshot to go", || count() == 1);
        assert_eq!(newest(&engine, A), Some(11));
        write(&engine, |batch| batch.destroy(A).map(drop));
        ground.until(&engine, "the files of a destroyed shard to go", || count() == 0);
        assert_eq!(newest(&engine, A), None);
        let engine = ground.reopen(engine);
        assert_eq!(newest(&engine, A), None);
        engine.close().unwrap();
    });
}

#[test]
fn the_old_one_stays_until_the_new_one_is_durable() {
    let ground = Ground::sim(1);
    let engine = ground.open();
    snapshot_of_each(&engine, &[A]);
    let mut batch = engine.batch();
    batch.register_snapshot(A, &build(&engine, A, 15)).unwrap();
    let ticket = engine.submit(batch, Durability::Lazy).unwrap();
    drive(&engine);
    assert!(!ticket.is_done() && newest(&engine, A) == Some(15), "it is in order, and not durable");
    assert_eq!(leftovers(&ground.disk(), &engine).len(), 1, "the file of the old one");
    let cut = Ground::on(ground.disk().fork(1).power_cut(), 2);
    assert_eq!(newest(&cut.open(), A), Some(10));
    ground.until(&engine, "the lazy batch to be written", || ticket.is_done());
    drive(&engine);
    assert!(leftovers(&ground.disk(), &engine).is_empty());
    let cut = Ground::on(ground.disk().fork(1).power_cut(), 2);
    assert_eq!(newest(&cut.open(), A), Some(15));
}

#[test]
fn a_lease_holds_the_log_above_its_index() {
    let ground = Ground::sim(1);
    let engine = ground.open();
    append(&engine, A, 1..40, 1);
    snapshot(&engine, A, 10);
    let lease = engine.snapshots().newest(A).unwrap().unwrap();
    let compact = |index| {
        let mut batch = engine.batch();
        batch.compact_through(A, index).unwrap();
        engine.write(batch)
    };
    assert!(matches!(compact(11), Err(Error::Leased { shard: A, index: 11, held: 10 })));
    compact(10).unwrap();
    let built = build(&engine, A, 20);
    let mut batch = engine.batch();
    batch.compact_through(A, 20).unwrap().register_snapshot(A, &built).unwrap();
    assert!(matches!(engine.write(batch), Err(Error::Leased { .. })));
    engine.snapshots().register(&built).unwrap();
    assert_eq!(newest(&engine, A), Some(20));
    assert!(matches!(compact(20), Err(Error::Leased { held: 10, .. })), "an older one is leased still");
    append(&engine, B, 1..10, 1);
    write(&engine, |batch| batch.compact_through(B, 5).map(drop));
    write(&engine, |batch| batch.compact_past_leases(A, 15).map(drop));
    assert_eq!(engine.shard(A).first(), Some(16));
    compact(12).unwrap();
    check_content(&lease, A);
    drop(lease);
    compact(20).unwrap();
    assert_eq!(engine.shard(A).first(), Some(21));
}

/// It would be the newest for ever, and no log could continue behind it.
#[test]
fn a_snapshot_of_an_index_that_no_entry_has_is_refused() {
    each(|ground| {
        let engine = ground.open();
        let refused = try_build(&engine, A, u64::MAX).unwrap_err();
        assert!(matches!(refused, Error::TooLarge { what: Limit::Index, .. }), "{refused}");
        let built = build(&engine, A, u64::MAX - 1);
        engine.snapshots().install(&built, None).unwrap();
        assert_eq!((engine.shard(A).next(), newest(&engine, A)), (Some(u64::MAX), Some(u64::MAX - 1)));
        drop(built);
        engine.close().unwrap();
    });
}

/// A manifest from elsewhere may name it all the same.
#[test]
fn a_manifest_of_an_index_that_no_entry_has_is_refused() {
    #[derive(Debug)]
    struct Sender;

    impl Host for Sender {
        fn nonce(&self) -> u64 {
            7
        }

        fn sync_failed(&self, what: &str, error: &io::Error) {
            panic!("{what}: {error}");
        }
    }

    let disk: Arc<dyn Disk> = SimDisk::new(1, SimOptions::default());
    let sender = Store::open(disk, [1, 2], Arc::new(Sender), [], |_| false).unwrap();
    let spec = Spec::new(A.0, EntryId { index: u64::MAX, term: 1 });
    let manifest = sender.build(spec, &Stop::new()).unwrap().finish().unwrap().lease().manifest_bytes();
    let engine = Ground::sim(2).open();
    let refused = engine.snapshots().receive(A, &manifest, &Stop::new()).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { what: Limit::Index, .. }), "{refused}");
    engine.close().unwrap();
}

#[test]
fn a_refused_registration_can_be_tried_again() {
    let (ground, other) = (Ground::sim(1), Ground::sim(2));
    let (engine, elsewhere) = (ground.open(), other.open());
    append(&engine, A, 1..40, 1);
    let built = build(&engine, A, 20);
    let mut batch = engine.batch();
    let foreign = |error: &Error| matches!(error, Error::Snapshot(SnapshotError::Foreign { .. }));
    assert!(foreign(&batch.register_snapshot(B, &built).unwrap_err()));
    assert!(foreign(&engine.snapshots().register(&build(&elsewhere, A, 20)).unwrap_err()));
    batch.register_snapshot(A, &built).unwrap();
    batch.append_payload(A, EntryId { index: 90, term: 1 }, b"a gap").unwrap();
    assert!(matches!(engine.write(batch), Err(Error::Gap { .. })));
    assert_eq!(newest(&engine, A), None);
    let older = build(&engine, A, 15);
    engine.snapshots().register(&built).unwrap();
    assert!(foreign(&engine.snapshots().register(&built).unwrap_err()), "registered once");
    let stale = |error: &Error| matches!(error, Error::Snapshot(SnapshotError::Stale { index: 20, .. }));
    assert!(stale(&engine.snapshots().register(&older).unwrap_err()));
    assert!(stale(&try_build(&engine, A, 19).unwrap_err()));
    let twice = build(&engine, A, 21);
    let mut batch = engine.batch();
    batch.register_snapshot(A, &twice).unwrap().register_snapshot(A, &twice).unwrap();
    assert!(foreign(&engine.write(batch).unwrap_err()));
    drop((built, older, twice));
    drive(&engine);
    assert_eq!(newest(&engine, A), Some(20));
    assert!(leftovers(&ground.disk(), &engine).is_empty(), "{:?}", leftovers(&ground.disk(), &engine));
}

#[test]
fn a_follower_that_is_behind_catches_up_by_snapshot() {
    let (ground, other) = (Ground::sim(1), Ground::sim(2));
    let (leader, follower) = (ground.open(), other.open());
    append(&leader, A, 1..50, 1);
    append(&follower, A, 1..9, 1);
    snapshot(&leader, A, 30);
    let lease = leader.snapshots().newest(A).unwrap().unwrap();
    let mut receiver = follower.snapshots().receive(A, &lease.manifest_bytes(), &Stop::new()).unwrap();
    // Newer ones replace it again and again meanwhile.
    for index in 31..40 {
        if let Some(at) = receiver.position() {
            receiver.accept(&lease.chunk(at).unwrap()).unwrap();
        }
        leader.snapshots().register(&build(&leader, A, index)).unwrap();
        drive(&leader);
    }
    ship(&lease, &mut receiver);
    let received = receiver.finish().unwrap();
    check_content(&received.lease(), A);
    follower.snapshots().install(&received, Some(b"term 1")).unwrap();
    drop(received);
    let follower = other.reopen(follower);
    assert_eq!(newest(&follower, A), Some(30));
    assert_eq!(follower.shard(A).boundary(), Some(EntryId { index: 30, term: 1 }));
    assert_eq!(follower.shard(A).hard_state().unwrap().unwrap(), "term 1");
    // The lease has kept what follows.
    let behind = leader.shard(A).entries(31..50, u64::MAX).unwrap();
    for entry in &behind {
        write(&follower, |batch| {
            batch.append_payload(A, EntryId { index: entry.index, term: entry.term }, entry.payload.to_vec()).map(drop)
        });
    }
    check(&follower.shard(A), 31..50, 1);
    drop(lease);
    write(&leader, |batch| batch.compact_through(A, 39).map(drop));
}

/// What was acknowledged when something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Nothing,
    Written,
    Closed,
}

/// A newer snapshot, with all that goes with it, on an engine that has one of index 10.
fn publish(engine: Engine, installs: Option<&Lease>) -> Reached {
    let built = match installs {
        None => try_build(&engine, A, 20),
        Some(lease) => engine.snapshots().receive(A, &lease.manifest_bytes(), &Stop::new()).and_then(|mut receiver| {
            lease.chunks(None)?.try_for_each(|chunk| receiver.accept(&chunk?).map(drop))?;
            Ok(receiver.finish()?)
        }),
    };
    let Ok(built) = built else { return Reached::Nothing };
    let mut batch = engine.batch();
    match installs {
        None => batch.compact_through(A, 20).unwrap(),
        Some(_) => batch.reset_to(A, Some(EntryId { index: 20, term: 1 })).unwrap(),
    };
    batch.register_snapshot(A, &built).unwrap().hard_state(A, b"new").unwrap();
    if engine.write(batch).is_err() {
        return Reached::Nothing;
    }
    for _ in 0..50 {
        engine.drive_once();
    }
    if engine.close().is_ok() { Reached::Closed } else { Reached::Written }
}

#[test]
fn a_crash_at_any_operation_leaves_the_old_or_the_new() {
    let source = Ground::sim(9);
    let sender = source.open();
    let sent = build(&sender, A, 20).lease();
    for installs in [None, Some(&sent)] {
        let ground = Ground::sim(3);
        let engine = ground.open();
        append(&engine, A, 1..30, 1);
        snapshot(&engine, A, 10);
        write(&engine, |batch| batch.hard_state(A, b"old").map(drop));
        engine.close().unwrap();
        let before = ground.disk();
        let (mut crashes, mut old, mut new) = (0, 0, 0);
        for at in 1.. {
            let disk = before.fork(at);
            let ground = Ground::on(disk.clone(), at + 100);
            let engine = ground.open();
            disk.halt_after(at);
            let reached = publish(engine, installs);
            if !disk.has_halted() {
                break;
            }
            crashes += 1;
            for future in 0..3 {
                let found = disk.fork(10 * at + future);
                ground.replace_disk(if future == 0 { found.process_crash() } else { found.power_cut() });
                let context = format!("installs {}, operation {at}, future {future}", installs.is_some());
                let engine = ground.open();
                let shard = engine.shard(A);
                let state = (newest(&engine, A), shard.first(), shard.hard_state().unwrap().unwrap());
                match state.0 {
                    Some(10) => {
                        assert_eq!(reached, Reached::Nothing, "{context}");
                        assert_eq!((state.1, &state.2[..]), (Some(11), &b"old"[..]), "{context}");
                        old += 1;
                    }
                    Some(20) => {
                        let first = if installs.is_some() { None } else { Some(21) };
                        assert_eq!((state.1, &state.2[..]), (first, &b"new"[..]), "{context}");
                        new += 1;
                    }
                    other => panic!("{context}: {other:?}"),
                }
                assert!(leftovers(&ground.disk(), &engine).is_empty(), "{context}");
            }
        }
        assert!(crashes > 10 && old > 10 && new > 3, "{crashes} crashes, {old} old, {new} new");
    }
}

#[test]
fn a_missing_file_is_an_error_of_its_shard_alone() {
    let ground = Ground::sim(1);
    let engine = ground.open();
    snapshot_of_each(&engine, &[A, B]);
    let file = engine.snapshots().list(A)[0];
    engine.close().unwrap();
    ground.disk().remove(&format!("snapshot-{:016x}", file.file)).unwrap();
    let engine = ground.open();
    let refused = engine.snapshots().newest(A).unwrap_err();
    assert!(matches!(&refused, Error::Snapshot(SnapshotError::Missing { shard: 1, .. })), "{refused}");
    assert_eq!(engine.snapshots().missing().unwrap(), [(A, file)]);
    assert_eq!(newest(&engine, B), Some(10));
    check(&engine.shard(A), 11..20, 1);
    // A newer one is as good as ever.
    snapshot(&engine, A, 15);
    assert_eq!(newest(&ground.reopen(engine), A), Some(15));
}

fn snapshot_of_each(engine: &Engine, shards: &[ShardId]) {
    for shard in shards {
        append(engine, *shard, 1..20, 1);
        snapshot(engine, *shard, 10);
    }
}

#[test]
fn a_lost_registration_is_never_answered_with_an_older_one() {
    let ground = Ground::sim(1);
    let engine = ground.open();
    snapshot_of_each(&engine, &[A, B]);
    engine.snapshots().register(&build(&engine, A, 15)).unwrap();
    append(&engine, A, 20..25, 1);
    let records = crash(&ground, engine);
    let (_, place) = *records.iter().rfind(|(record, _)| record.owner() == A.0 && record.kind() == 13).unwrap();
    damage(&ground, place, 64..place.len);
    let mut engine = ground.open();
    for _ in 0..3 {
        assert!(engine.quarantined()[0].1.snapshot, "{:?}", engine.quarantined());
        assert!(matches!(engine.snapshots().newest(A), Err(Error::Quarantined { shard: A })));
        assert_eq!((newest(&engine, B), indexes(&engine, A)), (Some(10), vec![]));
        assert_eq!(leftovers(&ground.disk(), &engine).len(), 1, "the file that it may have been of is spared");
        check(&engine.shard(A), 11..25, 1);
        engine = ground.reopen(engine);
    }
    let built = build(&engine, A, 20);
    write(&engine, |batch| batch.accept_loss(A)?.register_snapshot(A, &built).map(drop));
    assert_eq!((newest(&engine, A), engine.quarantined()), (Some(20), vec![]));
    drop(built);
    let engine = ground.reopen(engine);
    assert_eq!((newest(&engine, A), engine.quarantined()), (Some(20), vec![]));
    assert!(leftovers(&ground.disk(), &engine).is_empty());
}

#[test]
fn a_failed_write_costs_the_snapshot_and_a_failed_sync_the_log() {
    for (kind, poisons) in [(FaultKind::Write, false), (FaultKind::Rename, false), (FaultKind::Sync, true)] {
        let ground = Ground::sim(1);
        let engine = ground.open();
        snapshot_of_each(&engine, &[A]);
        ground.pass(&engine, Duration::from_secs(1));
        ground.disk().inject(Fault::error(kind, io::ErrorKind::Other).on("building-"));
        assert!(matches!(try_build(&engine, A, 15), Err(Error::Snapshot(_))), "{kind:?}");
        let mut batch = engine.batch();
        batch.hard_state(A, b"x").unwrap();
        let written = engine.write(batch);
        match poisons {
            true => {
                assert!(matches!(written, Err(Error::Poisoned { .. })), "{written:?}");
                assert!(matches!(try_build(&engine, A, 15), Err(Error::Poisoned { .. })));
            }
            false => {
                written.unwrap();
                assert!(leftovers(&ground.disk(), &engine).is_empty(), "{kind:?}");
                snapshot(&engine, A, 15);
            }
        }
        ground.replace_disk(ground.disk().power_cut());
        drop(engine);
        let engine = ground.open();
        assert_eq!(newest(&engine, A), Some(if poisons { 10 } else { 15 }));
        assert!(leftovers(&ground.disk(), &engine).is_empty());
    }
}

#[test]
fn threads_build_register_lease_and_read_at_once() {
    let ground = Ground::real();
    let engine = ground.open();
    [A, B].into_iter().for_each(|shard| append(&engine, shard, 1..40, 1));
    thread::scope(|scope| {
        for shard in [A, B] {
            let engine = &engine;
            scope.spawn(move || {
                for index in 1..20 {
                    let built = build(engine, shard, index);
                    let mut batch = engine.batch();
                    batch.register_snapshot(shard, &built).unwrap().compact_past_leases(shard, index).unwrap();
                    engine.write(batch).unwrap();
                }
            });
            for _ in 0..2 {
                scope.spawn(move || {
                    let mut last = 0;
                    while last < 19 {
                        let Some(lease) = engine.snapshots().newest(shard).unwrap() else { continue };
                        assert!(lease.manifest().index >= last, "{shard} goes back");
                        last = lease.manifest().index;
                        check_content(&lease, shard);
                    }
                });
            }
        }
    });
    let engine = ground.reopen(engine);
    for shard in [A, B] {
        assert_eq!((newest(&engine, shard), indexes(&engine, shard)), (Some(19), vec![19]));
        check(&engine.shard(shard), 20..40, 1);
    }
    engine.close().unwrap();
    let names = std::fs::read_dir(&ground.config.dir).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| name.to_str().unwrap().contains("ing-")).count(), 0);
}
