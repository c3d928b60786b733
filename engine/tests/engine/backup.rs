//! Copies of an engine that is in use. `LOGBOOM_SEED` runs one seed of the random histories.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use logboom::{
    Backup, Capacity, Durability, Engine, EntryId, Error, ManualClock, Runtime, ShardId,
    disk::{Disk, Fault, FaultKind, SimDisk, SimOptions},
    snapshot::{Progress, Spec, Stop},
};

use crate::{
    model::{History, differences},
    quarantine::{check_hit, hit},
    support::*,
};

/// An empty disk that has a device of its own.
fn target(seed: u64) -> Arc<SimDisk> {
    SimDisk::new(seed, SimOptions { device: Some("other".to_owned()), ..SimOptions::default() })
}

fn open_on(disk: Arc<SimDisk>, create: bool) -> logboom::Result<Engine> {
    let mut config = small("simulated");
    config.create = create;
    Engine::open_on(disk, config, Runtime::Manual(ManualClock::new(1)))
}

/// Opens what is found after a power cut.
fn open_copy(disk: &SimDisk) -> Engine {
    open_on(disk.power_cut(), false).unwrap_or_else(|error| panic!("{error}"))
}

/// The entries that shard A has.
const FILLED: u64 = 4000;

/// Shards A and B with entries and other state, in several segments; others were recycled behind C.
fn filled(ground: &Ground) -> Engine {
    let engine = ground.open();
    for first in (0..FILLED).step_by(400) {
        append(&engine, A, first..first + 400, 1);
        append(&engine, C, first..first + 400, 1);
        if first > 0 {
            write(&engine, |batch| batch.compact_through(C, first - 1).map(drop));
        }
        ground.pass(&engine, Duration::from_millis(20));
    }
    write(&engine, |batch| batch.hard_state(B, b"vote")?.put(B, b"k", b"v").map(drop));
    append(&engine, B, 5..9, 3);
    assert!(engine.metrics().index_checkpoints > 1 && engine.metrics().index_sealed > 1, "{:?}", engine.metrics());
    engine
}

fn check_filled(engine: &Engine) {
    check(&engine.shard(A), 0..FILLED, 1);
    check(&engine.shard(C), FILLED - 400..FILLED, 1);
    check(&engine.shard(B), 5..9, 3);
    assert_eq!(engine.shard(B).hard_state().unwrap().unwrap(), "vote");
    assert_eq!(engine.shard(B).get(b"k").unwrap().unwrap(), "v");
    assert_eq!(engine.quarantined(), []);
}

#[test]
fn a_copy_opens_and_goes_on_and_is_copied_again() {
    let ground = Ground::sim(1);
    let engine = filled(&ground);
    let disk = target(1);
    let mut backup = engine.backup_on(disk.clone()).unwrap();
    assert!(backup.step().unwrap());
    append(&engine, A, FILLED..FILLED + 100, 1);
    let report = backup.finish().unwrap();
    assert_eq!(report.copied.segments, report.copied.segments_total);
    assert_eq!(report.copied.bytes, report.copied.bytes_total);
    assert!(report.copied.segments > 2 && report.quarantined.is_empty() && !report.has_unknown_losses);

    let copy = open_copy(&disk);
    check_filled(&copy);
    assert!(copy.open_report().recovery.cut.is_none() && copy.open_report().recovery.damages.is_empty());
    append(&copy, B, 9..20, 4);
    let again = target(2);
    copy.backup_on(again.clone()).unwrap().finish().unwrap();
    copy.close().unwrap();
    let copy = open_copy(&again);
    check(&copy.shard(A), 0..FILLED, 1);
    assert_eq!(copy.shard(B).last(), Some(19));
    check(&engine.shard(A), 0..FILLED + 100, 1);
}

#[test]
fn a_copy_of_a_real_engine_while_others_write() {
    let ground = Ground::real();
    let engine = filled(&ground);
    register(&engine, B, 6, 1);
    let dir = temp_dir();
    let path = dir.path().join("copy");
    let (done, written) = (AtomicBool::new(false), AtomicU64::new(FILLED));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                let next = written.load(Ordering::Acquire);
                append(&engine, A, next..next + 20, 1);
                append(&engine, C, next..next + 20, 1);
                write(&engine, |batch| batch.compact_through(C, next + 10).map(drop));
                written.store(next + 20, Ordering::Release);
            }
        });
        let _ends = Ends(&done);
        for round in 0..4 {
            let before = written.load(Ordering::Acquire);
            let report = engine.backup(&path).unwrap();
            let after = written.load(Ordering::Acquire) + 20;
            let mut config = ground.config.clone();
            config.dir = path.clone();
            let copy = Engine::open(config).unwrap();
            let last = copy.shard(A).last().unwrap();
            assert!((before - 1..after).contains(&last), "round {round}: {before} {last} {after}");
            check(&copy.shard(A), 0..last + 1, 1);
            assert_eq!(copy.quarantined(), []);
            copy.snapshots().newest(B).unwrap().unwrap().verify(&Stop::new(), &Progress::default()).unwrap();
            assert_eq!(copy.open_report().segments as u64, report.copied.segments + 1);
            copy.close().unwrap();
            fs::remove_dir_all(&path).unwrap();
        }
    });
    engine.close().unwrap();
}

/// Ends the writer, also when an assertion fails.
struct Ends<'d>(&'d AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// What the models do not know: a shard that makes segments full, and free again but for what others have there.
fn churn(ground: &Ground, engine: &Engine, rng: &mut Rng) {
    let next = engine.shard(C).next().unwrap_or(0);
    append(engine, C, next..next + 400, 1);
    append(engine, C, next + 400..next + 800, 1);
    write(engine, |batch| batch.compact_through(C, next + 799).map(drop));
    ground.pass(engine, Duration::from_millis(20));
    if rng.u32(..4) == 0 {
        engine.reclaim().unwrap();
    }
}

#[test]
fn random_histories_are_copied_as_of_the_beginning() {
    let seeds = match std::env::var("LOGBOOM_SEED") {
        Ok(seed) => seed.parse().map(|seed| seed..seed + 1).unwrap(),
        Err(_) => 0..12,
    };
    let all = seeds.end - seeds.start > 1;
    let (mut recycled, mut checkpoints, mut moved) = (0, 0, 0);
    for seed in seeds {
        let ground = Ground::sim(seed);
        let mut rng = Rng::with_seed(seed);
        let (mut engine, mut history) = (ground.open(), History::new(seed));
        for round in 0..6 {
            for _ in 0..rng.usize(1..80) {
                history.submit(&engine);
            }
            for _ in 0..rng.usize(..4) {
                churn(&ground, &engine, &mut rng);
            }
            let disk = target(seed);
            let mut backup = engine.backup_on(disk.clone()).unwrap();
            let models = history.models().clone();
            let before = engine.metrics();
            while backup.step().unwrap() {
                for _ in 0..rng.usize(..20) {
                    history.submit(&engine);
                }
                churn(&ground, &engine, &mut rng);
            }
            backup.finish().unwrap();
            recycled += engine.metrics().segments_freed - before.segments_freed;
            checkpoints += engine.metrics().index_checkpoints - before.index_checkpoints;
            moved += engine.metrics().log.moved_records;
            let copy = open_copy(&disk);
            assert_eq!(differences(&copy, &models), "", "LOGBOOM_SEED={seed}, round {round}");
            assert!(copy.open_report().recovery.damages.is_empty(), "LOGBOOM_SEED={seed}");
            if rng.u32(..3) == 0 {
                ground.replace_disk(ground.disk().process_crash());
                drop(engine);
                engine = ground.open();
                history.resume(&engine);
            }
        }
    }
    let enough = recycled > 20 && checkpoints > 50 && moved > 100;
    assert!(!all || enough, "{recycled} recycled, {checkpoints} checkpoints, {moved} moved");
}

#[test]
fn a_power_cut_of_the_copy_leaves_nothing_or_all() {
    let ground = Ground::sim(3);
    let engine = filled(&ground);
    let (mut nothing, mut all) = (0, 0);
    for n in 1.. {
        let disk = target(n);
        let before = engine.backup_on(disk.clone()).unwrap();
        disk.halt_after(n);
        let finished = before.finish();
        assert_eq!(finished.is_err(), disk.has_halted());
        let (is_done, is_whole) = (finished.is_ok(), check_whole_or_nothing(&disk.power_cut(), n));
        if is_whole {
            all += 1;
        } else {
            assert!(!is_done, "a copy that was finished is gone");
            nothing += 1;
        }
        if is_done {
            break;
        }
    }
    assert!(nothing > 20 && all > 0, "{nothing} {all}");
    check_filled(&engine);
}

#[test]
fn a_copy_has_the_identity_that_the_engine_has() {
    let ground = Ground::sim(5);
    let engine = filled(&ground);
    ground.disk().remove("LOGBOOM").unwrap();
    let disk = target(1);
    engine.backup_on(disk.clone()).unwrap().finish().unwrap();
    check_filled(&open_on(disk.power_cut(), false).unwrap());
}

/// Whether a disk holds a whole copy; otherwise it holds none.
fn check_whole_or_nothing(disk: &Arc<SimDisk>, n: u64) -> bool {
    match open_on(disk.clone(), false) {
        Ok(copy) => {
            check_filled(&copy);
            true
        }
        Err(Error::Foreign { .. }) => false,
        Err(error) => panic!("operation {n}: {error}"),
    }
}

#[test]
fn a_target_that_fails_fails_the_copy_alone() {
    let ground = Ground::sim(4);
    let engine = filled(&ground);
    let mut failed = 0;
    for kind in [FaultKind::Write, FaultKind::Sync, FaultKind::SyncDir, FaultKind::Create, FaultKind::Rename] {
        for n in 1.. {
            let disk = target(n);
            disk.fail_nth(kind, n, ErrorKind::Other);
            let outcome = engine.backup_on(disk.clone()).and_then(Backup::finish);
            assert!(engine.health().is_good(), "{kind:?} {n}: {:?}", engine.health());
            match outcome {
                Ok(_) => break,
                Err(Error::Target { error }) => assert!(matches!(*error, Error::Io { .. }), "{error:?}"),
                Err(error) => panic!("{kind:?} {n}: {error:?}"),
            }
            failed += 1;
            assert_eq!(disk.list().unwrap(), [""; 0], "what there was of it is removed");
            engine.backup_on(disk.clone()).unwrap().finish().unwrap();
            if n % 4 == 1 {
                check_filled(&open_copy(&disk));
            }
        }
    }
    assert!(failed > 30, "{failed}");
    append(&engine, A, FILLED..FILLED + 10, 1);
    check(&engine.shard(A), 0..FILLED + 10, 1);
}

#[test]
fn a_copy_that_fails_at_its_end_is_taken_back_in_the_right_order() {
    let ground = Ground::sim(12);
    let engine = filled(&ground);
    let failing = |nth, halt| {
        let disk = target(halt);
        disk.fail_nth(FaultKind::SyncDir, nth, ErrorKind::Other);
        disk.halt_after(halt);
        (engine.backup_on(disk.clone()).and_then(Backup::finish).is_err(), disk)
    };
    let last = (1..).find(|&nth| !failing(nth, u64::MAX).0).unwrap() - 1;
    let operations = failing(last, u64::MAX).1.operations().len() as u64;
    for halt in operations - 15..=operations {
        let (_, disk) = failing(last, halt);
        for seed in 0..8 {
            check_whole_or_nothing(&disk.fork(seed).power_cut(), halt);
        }
    }
}

#[test]
fn a_copy_that_failed_once_is_never_finished() {
    let ground = Ground::sim(16);
    let engine = filled(&ground);
    for kind in [FaultKind::Write, FaultKind::Allocate, FaultKind::Create] {
        let disk = target(16);
        disk.inject(Fault::error(kind, ErrorKind::Other).on("segment-").nth(2).times(1));
        let mut backup = engine.backup_on(disk.clone()).unwrap();
        let failed = (0..100).find(|_| backup.step().is_err());
        assert!(failed.is_some() && backup.step().is_err(), "{kind:?}");
        assert!(matches!(backup.finish(), Err(Error::Target { .. })), "{kind:?}");
        assert_eq!(disk.list().unwrap(), [""; 0]);
    }
}

#[test]
fn a_target_that_is_full() {
    let ground = Ground::sim(5);
    let engine = filled(&ground);
    let disk = target(5);
    disk.set_capacity(600 << 10);
    let refused = engine.backup_on(disk.clone()).unwrap().finish();
    let Err(Error::Target { error }) = refused else { panic!("{refused:?}") };
    assert!(matches!(*error, Error::Full { capacity: Capacity::Device, .. }), "{error:#}");
    assert!(engine.health().is_good());
    disk.set_capacity(u64::MAX);
    engine.backup_on(disk.clone()).unwrap().finish().unwrap();
    check_filled(&open_copy(&disk));
}

#[test]
fn a_failed_sync_on_the_engines_own_device_poisons_it() {
    for (device, kind, poisons) in [
        (None, FaultKind::Sync, true),
        (None, FaultKind::Write, false),
        (Some("other".to_owned()), FaultKind::Sync, false),
    ] {
        let ground = Ground::sim(6);
        let engine = filled(&ground);
        let disk = SimDisk::new(6, SimOptions { device, ..SimOptions::default() });
        disk.inject(Fault::error(kind, ErrorKind::Other).on("segment-"));
        let outcome = engine.backup_on(disk).unwrap().finish();
        assert!(matches!(outcome, Err(Error::Target { .. })), "{outcome:?}");
        assert_eq!(engine.health().poisoned().is_some(), poisons);
    }
}

#[test]
fn a_source_that_cannot_be_read_fails_the_copy_and_nothing_else() {
    let ground = Ground::sim(7);
    let engine = filled(&ground);
    let mut failed = 0;
    for n in 1.. {
        let disk = target(n);
        ground.disk().fail_nth(FaultKind::Read, n, ErrorKind::Other);
        let outcome = engine.backup_on(disk.clone()).and_then(Backup::finish);
        ground.disk().clear_faults();
        assert!(engine.health().is_good());
        match outcome {
            Ok(_) => break,
            Err(error) => assert!(matches!(error, Error::Io { .. }), "{error:?}"),
        }
        assert_eq!(disk.list().unwrap(), [""; 0]);
        failed += 1;
    }
    assert!(failed > 5, "{failed}");
    append(&engine, A, FILLED..FILLED + 10, 1);
}

#[test]
fn a_rotten_checkpoint_is_replaced_by_the_other() {
    let ground = Ground::sim(8);
    let engine = filled(&ground);
    for (damaged, good) in [("checkpoint-0", true), ("checkpoint-1", false)] {
        ground.disk().damage(damaged, 8..12).unwrap();
        let disk = target(8);
        let outcome = engine.backup_on(disk.clone()).and_then(Backup::finish);
        assert_eq!(outcome.is_ok(), good, "{outcome:?}");
        for lost in ["checkpoint-0", "checkpoint-1"].into_iter().filter(|_| good) {
            let copy = disk.fork(8);
            copy.damage(lost, 8..12).unwrap();
            check_filled(&open_copy(&copy));
        }
    }
    assert!(engine.health().is_good());
}

#[test]
fn quarantine_is_copied_and_named() {
    let (ground, mut engine) = hit(9);
    for _ in 0..2 {
        let disk = target(9);
        let report = engine.backup_on(disk.clone()).unwrap().finish().unwrap();
        assert_eq!(report.quarantined, engine.quarantined());
        let copy = open_copy(&disk);
        check_hit(&copy);
        copy.heal(A, entries(A, 4..7, 1)).unwrap();
        check(&copy.shard(A), 1..10, 1);
        // Then the damage is in the checkpoint.
        engine = ground.reopen(engine);
    }
    engine.close().unwrap();
}

/// A snapshot of a shard up to `index`, of some blocks, all bytes of which are `byte`.
fn register(engine: &Engine, shard: ShardId, index: u64, byte: u8) {
    let mut builder = engine.snapshots().build(Spec::new(shard.0, EntryId { index, term: 1 }), &Stop::new()).unwrap();
    builder.file("state").unwrap().write_all(&vec![byte; 2_500_000]).unwrap();
    let built = builder.finish().unwrap();
    write(engine, |batch| batch.register_snapshot(shard, &built)?.compact_through(shard, index).map(drop));
}

#[test]
fn snapshots_are_copied_though_others_replace_them() {
    let ground = Ground::sim(13);
    let engine = filled(&ground);
    register(&engine, A, 100, 1);
    let (disk, unfinished) = (target(13), target(14));
    let mut backup = engine.backup_on(disk.clone()).unwrap();
    drop(engine.backup_on(unfinished.clone()).unwrap());
    for (index, byte) in [(200, 2), (300, 3)] {
        register(&engine, A, index, byte);
        ground.pass(&engine, Duration::from_secs(1));
        backup.step().unwrap();
    }
    let report = backup.finish().unwrap();
    assert!(report.copied.files == 1 && report.copied.file_bytes > 2_500_000, "{report:?}");
    ground.pass(&engine, Duration::from_secs(1));
    let snapshots = |disk: &SimDisk| disk.list().unwrap().iter().filter(|name| name.starts_with("snapshot-")).count();
    assert_eq!((snapshots(&ground.disk()), snapshots(&unfinished)), (1, 0), "the old ones go when they are copied");

    let copy = open_copy(&disk);
    check(&copy.shard(A), 101..FILLED, 1);
    let lease = copy.snapshots().newest(A).unwrap().unwrap();
    assert_eq!((lease.manifest().index, copy.snapshots().list(A).len()), (100, 1));
    let mut bytes = Vec::new();
    lease.open("state").unwrap().read_to_end(&mut bytes).unwrap();
    assert!(bytes.len() == 2_500_000 && bytes.iter().all(|&byte| byte == 1));
    assert_eq!(engine.snapshots().newest(A).unwrap().unwrap().manifest().index, 300);
}

#[test]
fn a_copy_has_the_batches_accepted_before_it_and_no_later_ones() {
    let ground = Ground::sim(10);
    let engine = ground.open();
    let mut batch = engine.batch();
    batch.append_payload(A, EntryId { index: 1, term: 1 }, b"lazy").unwrap();
    drop(engine.submit(batch, Durability::Lazy).unwrap());
    let disk = target(10);
    let backup = engine.backup_on(disk.clone()).unwrap();
    let mut batch = engine.batch();
    batch.append_payload(A, EntryId { index: 2, term: 1 }, b"later").unwrap();
    engine.write(batch).unwrap();
    engine.close().unwrap();
    assert!(backup.progress().segments == 0);
    backup.finish().unwrap();
    assert_eq!(open_copy(&disk).shard(A).last(), Some(1));
}

#[test]
fn directories_that_no_copy_is_made_in() {
    let ground = Ground::real();
    let engine = ground.open();
    append(&engine, A, 1..10, 1);
    let dir = temp_dir();
    let refused = |path: &std::path::Path| match engine.backup(path) {
        Err(Error::Target { error }) => error.into_inner(),
        other => panic!("{other:?}"),
    };
    assert!(matches!(refused(&ground.config.dir), Error::Foreign { .. }), "the engine's own");
    assert!(matches!(refused(&dir.path().join("no/parent")), Error::Foreign { dir: Some(_), .. }));
    fs::create_dir_all(dir.path().join("folder/inside")).unwrap();
    assert!(matches!(refused(&dir.path().join("folder")), Error::Foreign { .. }));
    fs::write(dir.path().join("file"), b"text").unwrap();
    assert!(matches!(refused(&dir.path().join("file")), Error::Foreign { .. }));
    fs::create_dir(dir.path().join("mine")).unwrap();
    fs::write(dir.path().join("mine/letter.txt"), b"text").unwrap();
    assert!(matches!(refused(&dir.path().join("mine")), Error::Foreign { .. }));
    assert_eq!(fs::read(dir.path().join("mine/letter.txt")).unwrap(), b"text");

    // Empty, or what a copy that failed leaves.
    fs::create_dir(dir.path().join("empty")).unwrap();
    engine.backup(dir.path().join("empty")).unwrap();
    fs::create_dir(dir.path().join("failed")).unwrap();
    fs::write(dir.path().join("failed/LOCK"), b"").unwrap();
    engine.backup(dir.path().join("failed")).unwrap();

    let other = engine.clone();
    engine.close().unwrap();
    assert!(matches!(other.backup(dir.path().join("late")), Err(Error::Closed)));
    assert!(!dir.path().join("late").exists());
}

#[test]
fn a_disk_that_writes_in_other_units() {
    let ground = Ground::sim(11);
    let engine = filled(&ground);
    let with = |pad_unit| SimDisk::new(1, SimOptions { pad_unit, physical_block: pad_unit, ..SimOptions::default() });
    let refused = engine.backup_on(with(8192)).map(drop);
    assert!(matches!(refused, Err(Error::Target { error }) if matches!(*error, Error::Config { .. })));
    let disk = with(512);
    engine.backup_on(disk.clone()).unwrap().finish().unwrap();
    check_filled(&open_copy(&disk));
    let mut batch = engine.batch();
    batch.append_payload(A, EntryId { index: FILLED, term: 1 }, Bytes::new()).unwrap();
    engine.write(batch).unwrap();
}
