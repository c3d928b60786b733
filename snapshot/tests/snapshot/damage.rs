//! Bytes that rot are found, wherever they are, and another snapshot's never pass.

use logboom_disk::{Disk, Mode, Pool, SimDisk, SimOptions};
use logboom_snapshot::{Codec, Error, Progress, Registered, Stop, Store};

use crate::support::*;

fn small(rng: &mut fastrand::Rng) -> Files {
    let mut bytes = |len| (0..len).map(|_| rng.u8(..)).collect::<Vec<u8>>();
    Files::from([("a".into(), bytes(600_000)), ("b".into(), bytes(70)), ("c".into(), vec![1; 5000])])
}

fn read_all(store: &Store) -> Result<Files, Error> {
    let lease = store.newest(SHARD)?.unwrap();
    lease.verify(&Stop::new(), &Progress::default())?;
    read(&lease)
}

#[test]
fn a_flipped_byte_is_found_or_does_not_matter() {
    let mut rng = fastrand::Rng::with_seed(5);
    let files = small(&mut rng);
    let disk = sim(5);
    let store = open(&disk, &[]);
    let built = build(&store, spec(1, Codec::Lz4), &files).unwrap();
    let list = [built.registration()];
    let name = format!("snapshot-{:016x}", list[0].file);
    let size = disk.open(&name, Mode::Read).unwrap().size().unwrap();
    let mut found = 0;
    // Every byte of what frames, and some of the rest.
    let framing = (0..200).chain(4096..4200).chain(size - 4096..size);
    for at in framing.chain((0..size).step_by(997)) {
        let disk = disk.fork(1);
        disk.damage(&name, at..at + 1).unwrap();
        match read_all(&open(&disk, &list)) {
            Err(Error::Damaged { shard: SHARD, .. }) => found += 1,
            Ok(read) => assert_eq!(read, files, "byte {at} of {size}"),
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    assert!(found > 900, "{found}");
}

#[test]
fn a_missing_or_cut_file_is_an_error_that_names_the_shard() {
    let disk = sim(5);
    let store = open(&disk, &[]);
    let mut list = Vec::new();
    for index in 1..3 {
        let built = build(&store, spec(index, Codec::None), &small(&mut fastrand::Rng::with_seed(index))).unwrap();
        register(&store, &mut list, &built, 2, 0);
    }
    let disk = disk.power_cut();
    disk.remove(&format!("snapshot-{:016x}", list[1].file)).unwrap();
    let store = open(&disk, &list);
    assert!(matches!(store.newest(SHARD), Err(Error::Missing { shard: SHARD, .. })), "never an older one instead");
    assert_eq!(store.missing().unwrap(), [(SHARD, list[1])]);
    assert!(store.lease(SHARD, list[0].id).unwrap().is_some());
    assert_eq!(store.held(SHARD), None, "what could not be leased is not");
}

#[test]
fn another_snapshot_under_the_name_never_passes() {
    let disk = sim(5);
    let store = open(&disk, &[]);
    let make = |index| build(&store, spec(index, Codec::None), &Files::from([("a".into(), vec![1; 100])])).unwrap();
    let (one, other) = (make(1), make(1));
    let list: Vec<Registered> = vec![one.registration()];
    let names = [&one, &other].map(|built| format!("snapshot-{:016x}", built.registration().file));
    disk.rename(&names[1], &names[0]).unwrap();
    assert!(matches!(open(&disk.fork(1), &list).newest(SHARD), Err(Error::Damaged { .. })));
}

#[test]
fn blocks_of_another_snapshot_never_pass() {
    let disk = sim(5);
    let store = open(&disk, &[]);
    let make = |byte| build(&store, spec(1, Codec::None), &Files::from([("a".into(), vec![byte; 4000])])).unwrap();
    let (one, other) = (make(1), make(2));
    let open = |built: &logboom_snapshot::Built, mode| {
        disk.open(&format!("snapshot-{:016x}", built.registration().file), mode).unwrap()
    };
    let mut block = Pool::new(0).region(4096);
    open(&other, Mode::Read).read_at(&mut block, 4096).unwrap();
    open(&one, Mode::Write).write_at(&[block.freeze()], 4096, logboom_disk::Sync::Data).unwrap();
    assert!(matches!(read(&one.lease()), Err(Error::Damaged { .. })));
    assert!(read(&other.lease()).is_ok());
}

#[test]
fn a_container_for_smaller_writes_than_the_device_takes_is_refused() {
    for (from, to, readable) in [(512, 4096, false), (4096, 512, true), (4096, 4096, true)] {
        let [source, target] =
            [from, to].map(|pad_unit| SimDisk::new(1, SimOptions { pad_unit, ..SimOptions::default() }));
        let files = small(&mut fastrand::Rng::with_seed(3));
        let built = build(&open(&source, &[]), spec(1, Codec::None), &files).unwrap();
        let name = format!("snapshot-{:016x}", built.registration().file);
        let file = source.open(&name, Mode::Read).unwrap();
        let mut bytes = Pool::new(0).region(usize::try_from(file.size().unwrap()).unwrap());
        file.read_at(&mut bytes, 0).unwrap();
        let copy = target.open(&name, Mode::Create).unwrap();
        let (len, padded) = (bytes.len(), bytes.len().next_multiple_of(to));
        let mut whole = Pool::new(0).region(padded);
        whole[..len].copy_from_slice(&bytes);
        copy.allocate(padded as u64).unwrap();
        copy.write_at(&[whole.freeze()], 0, logboom_disk::Sync::Data).unwrap();
        let lease = open(&target, &[built.registration()]).newest(SHARD);
        match (lease, readable) {
            (Ok(lease), true) => assert_eq!(read(&lease.unwrap()).unwrap(), files),
            (Err(Error::Io { error, .. }), false) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
            (other, _) => panic!("{from} to {to}: {other:?}"),
        }
    }
}
