//! A container as each version of the format left it, which every later build must read.
//!
//! `LOGBOOM_GOLDEN=write cargo test -p logboom-snapshot golden` makes that of the present version anew; one that was
//! released is never written again.

use std::{fs, path::PathBuf, sync::Arc};

use logboom_disk::{Disk, Mode, Pool, SimDisk, Slice, Sync};
use logboom_snapshot::{Codec, Registered, Stop};

use crate::support::*;

/// What the log would say of it.
const REGISTERED: Registered =
    Registered { index: 42, term: 5, id: 0x9e37_79b9_7f4a_7c15, file: 0, manifest_crc: 0xbf5c_eaa3 };

fn files() -> Files {
    let lines = (0..60_000).flat_map(|line| format!("line {line}\n").into_bytes()).collect();
    Files::from([("empty".into(), Vec::new()), ("sst/1".into(), b"external".to_vec()), ("state".into(), lines)])
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/snapshot-0000000000000000")
}

#[test]
fn a_container_of_version_1_is_read() {
    if std::env::var_os("LOGBOOM_GOLDEN").is_some() {
        write();
    }
    let bytes = fs::read(path()).unwrap();
    let disk = sim(1);
    let file = disk.open("snapshot-0000000000000000", Mode::Create).unwrap();
    file.allocate(bytes.len() as u64).unwrap();
    file.write_at(&[Slice::copy_from(&Pool::new(0), &bytes)], 0, Sync::Data).unwrap();
    let lease = open(&disk, &[REGISTERED]).newest(SHARD).unwrap().unwrap();
    assert_eq!(read(&lease).unwrap(), files());
    let manifest = lease.manifest();
    assert_eq!((&manifest.membership[..], &manifest.metadata[..]), (&b"1, 2, 3"[..], &b"42"[..]));
    // And shipped.
    let other = open(&sim(2), &[]);
    let mut receiver = other.receive(SHARD, &lease.manifest_bytes(), &Stop::new()).unwrap();
    ship(&lease, &mut receiver).unwrap();
    assert_eq!(read(&receiver.finish().unwrap().lease()).unwrap(), files());
}

fn write() {
    let disk: Arc<SimDisk> = sim(1);
    let store = open_with(&disk, &[], &TestHost::new(0));
    let built = build(&store, spec(42, Codec::Lz4), &files()).unwrap();
    assert_eq!(built.registration(), REGISTERED, "what is to be stated above");
    let name = disk.list().unwrap().pop().unwrap();
    let file = disk.open(&name, Mode::Read).unwrap();
    let mut region = Pool::new(0).region(usize::try_from(file.size().unwrap()).unwrap());
    file.read_at(&mut region, 0).unwrap();
    fs::create_dir_all(path().parent().unwrap()).unwrap();
    fs::write(path(), &region[..]).unwrap();
}
