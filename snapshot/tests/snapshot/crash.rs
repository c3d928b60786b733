//! A crash or an error anywhere leaves what was registered, and nothing else.

use std::{io, sync::Arc};

use logboom_disk::{Fault, FaultKind, SimDisk};
use logboom_snapshot::{Codec, Error, Registered, Result, Stop, Store};

use crate::support::*;

const OLD: u64 = 10;
const NEW: u64 = 20;

/// What is done while something goes wrong.
#[derive(Clone, Copy, Debug)]
enum Work {
    Build,
    Receive,
}

struct Scene {
    disk: Arc<SimDisk>,
    old: Vec<Registered>,
    old_files: Files,
    new_files: Files,
    sent: logboom_snapshot::Lease,
}

impl Scene {
    /// A log with a registered snapshot, and another log's newer one.
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (old_files, mut new_files) = (random_files(&mut rng), random_files(&mut rng));
        new_files.insert("state".into(), (0..1_300_000).map(|_| rng.u8(..)).collect());
        let sent = build(&open_with(&sim(seed), &[], &TestHost::new(50)), spec(NEW, Codec::Lz4), &new_files).unwrap();
        let disk = sim(seed);
        let mut old = Vec::new();
        let store = open(&disk, &[]);
        register(&store, &mut old, &build(&store, spec(OLD, Codec::Lz4), &old_files).unwrap(), 1, 0);
        Self { disk, old, old_files, new_files, sent: sent.lease() }
    }

    /// Does the work; what is registered then, and the error if there was one.
    fn work(&self, store: &Store, work: Work) -> (Vec<Registered>, Option<Error>) {
        let made = match work {
            Work::Build => build(store, spec(NEW, Codec::Lz4), &self.new_files),
            Work::Receive => self.receive(store),
        };
        let mut list = self.old.clone();
        match made {
            Ok(built) => {
                register(store, &mut list, &built, 1, 1);
                (list, store.sweep(1).err())
            }
            Err(error) => (list, Some(error)),
        }
    }

    fn receive(&self, store: &Store) -> Result<logboom_snapshot::Built> {
        let mut receiver = store.receive(SHARD, &self.sent.manifest_bytes(), &Stop::new())?;
        ship(&self.sent, &mut receiver)?;
        receiver.finish()
    }

    /// That the disk holds what is registered, whole, and nothing else once it was opened.
    fn check(&self, disk: &Arc<SimDisk>, list: &[Registered], context: &str) {
        let store = open_with(disk, list, &TestHost::new(3));
        let lease = store.newest(SHARD).unwrap().unwrap_or_else(|| panic!("{context}: nothing is registered"));
        let files = if lease.manifest().index == OLD { &self.old_files } else { &self.new_files };
        assert!(read(&lease).unwrap_or_else(|error| panic!("{context}: {error}")) == *files, "{context}");
        assert!(leftovers(disk, list).is_empty(), "{context}: {:?}", leftovers(disk, list));
    }
}

#[test]
fn a_crash_at_any_operation_leaves_the_old_or_the_new() {
    for (seed, work) in [(1, Work::Build), (2, Work::Receive)] {
        let scene = Scene::new(seed);
        let mut crashes = 0;
        for at in 1.. {
            let disk = scene.disk.fork(at);
            let store = open_with(&disk, &scene.old, &TestHost::new(2));
            disk.halt_after(at);
            let (list, _) = scene.work(&store, work);
            if !disk.has_halted() {
                break;
            }
            drop(store);
            crashes += 1;
            for nth in 0..4 {
                let context = format!("{work:?} seed {seed} operation {at} future {nth}");
                let future = disk.fork(at * 10 + nth);
                let found = if nth == 0 { future.process_crash() } else { future.power_cut() };
                scene.check(&found, &list, &context);
            }
        }
        assert!(crashes > 10, "{work:?}: {crashes}");
    }
}

#[test]
fn a_crash_while_leftovers_are_removed_changes_nothing() {
    let scene = Scene::new(3);
    let disk = scene.disk.fork(1);
    let store = open_with(&disk, &scene.old, &TestHost::new(2));
    let _built = build(&store, spec(NEW, Codec::None), &scene.new_files).unwrap();
    let mut receiver = store.receive(SHARD, &scene.sent.manifest_bytes(), &Stop::new()).unwrap();
    receiver.accept(&scene.sent.chunk(receiver.position().unwrap()).unwrap()).unwrap();
    let mut disk = disk.process_crash();
    for at in 1..5 {
        disk.halt_after(at);
        let list = scene.old.iter().map(|registered| (SHARD, *registered)).collect::<Vec<_>>();
        drop(Store::open(disk.clone(), LOG, TestHost::new(4), list, |_| false));
        disk = disk.power_cut();
    }
    scene.check(&disk, &scene.old, "after crashes of openings");
}

#[test]
fn an_error_at_any_operation_costs_only_that_snapshot() {
    for work in [Work::Build, Work::Receive] {
        let scene = Scene::new(6);
        for kind in FaultKind::ALL {
            for nth in 1.. {
                let disk = scene.disk.fork(nth);
                let host = TestHost::new(2);
                let store = open_with(&disk, &scene.old, &host);
                disk.inject(Fault::error(kind, io::ErrorKind::Other).nth(nth));
                let before = disk.operations().len();
                let (list, error) = scene.work(&store, work);
                let hit = disk.operations()[before..].iter().filter(|operation| operation.kind == kind).count() as u64;
                if hit < nth {
                    break;
                }
                let context = format!("{work:?}, {kind:?} number {nth}: {error:?}");
                let synced = matches!(kind, FaultKind::Sync | FaultKind::SyncDir);
                match &error {
                    Some(Error::Sync { .. }) => assert!(synced, "{context}"),
                    Some(Error::Io { .. }) => assert!(!synced, "{context}"),
                    _ => panic!("{context}"),
                }
                assert_eq!(host.failed_syncs.lock().unwrap().len(), usize::from(synced), "{context}");
                disk.clear_faults();
                store.sweep(1).unwrap();
                if !synced {
                    assert!(leftovers(&disk, &list).is_empty(), "{context}: {:?}", leftovers(&disk, &list));
                }
                drop(store);
                scene.check(&disk.power_cut(), &list, &context);
            }
        }
    }
}

#[test]
fn a_full_disk_costs_only_that_snapshot() {
    for work in [Work::Build, Work::Receive] {
        let scene = Scene::new(8);
        let mut full = 0;
        for kib in (0..3000).step_by(150) {
            let disk = scene.disk.fork(kib);
            let store = open_with(&disk, &scene.old, &TestHost::new(2));
            disk.set_capacity(2 * 1024 * kib);
            let (list, error) = scene.work(&store, work);
            let context = format!("{work:?} with {kib} KiB: {error:?}");
            match error {
                Some(Error::Full { .. }) => full += 1,
                None => {}
                Some(error) => panic!("{context}: {error}"),
            }
            assert!(leftovers(&disk, &list).is_empty(), "{context}");
            drop(store);
            scene.check(&disk.power_cut(), &list, &context);
        }
        assert!(full > 3, "{full}");
    }
}

#[test]
fn the_files_of_a_shard_that_may_have_lost_a_registration_are_spared() {
    let scene = Scene::new(9);
    let disk = scene.disk.fork(1);
    let open = |spared: u64| {
        let store = Store::open(disk.clone(), LOG, TestHost::new(1), [], |shard| shard == spared);
        drop(store.unwrap());
        leftovers(&disk, &[]).len()
    };
    assert_eq!(open(SHARD), 1);
    assert_eq!(open(SHARD + 1), 0);
}
