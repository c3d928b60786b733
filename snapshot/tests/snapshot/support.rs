//! What the tests have in common: a log that records nothing but registrations, and snapshots by chance.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use logboom_disk::{Disk, SimDisk, SimOptions};
use logboom_snapshot::{Built, Codec, EntryId, Host, Lease, Manifest, Receiver, Registered, Result, Spec, Stop, Store};

pub(crate) const LOG: [u64; 2] = [1, 2];
pub(crate) const SHARD: u64 = 7;

/// Numbers that follow from a seed, and what it was told.
#[derive(Debug)]
pub(crate) struct TestHost {
    nonces: AtomicU64,
    pub(crate) failed_syncs: Mutex<Vec<String>>,
}

impl TestHost {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { nonces: AtomicU64::new(seed << 32), failed_syncs: Mutex::default() })
    }
}

impl Host for TestHost {
    fn nonce(&self) -> u64 {
        self.nonces.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn sync_failed(&self, what: &str, _error: &std::io::Error) {
        self.failed_syncs.lock().unwrap().push(what.to_owned());
    }
}

pub(crate) fn sim(seed: u64) -> Arc<SimDisk> {
    SimDisk::new(seed, SimOptions::default())
}

pub(crate) fn open(disk: &Arc<SimDisk>, registered: &[Registered]) -> Store {
    open_with(disk, registered, &TestHost::new(1))
}

pub(crate) fn open_with(disk: &Arc<SimDisk>, registered: &[Registered], host: &Arc<TestHost>) -> Store {
    let disk = Arc::clone(disk) as Arc<dyn Disk>;
    let list = registered.iter().map(|registered| (SHARD, *registered)).collect::<Vec<_>>();
    Store::open(disk, LOG, Arc::clone(host) as Arc<dyn Host>, list, |_| false).unwrap()
}

/// The content of a snapshot, file by file.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Files by chance: empty ones and some of several blocks, of noise and of what compresses.
pub(crate) fn random_files(rng: &mut fastrand::Rng) -> Files {
    let names = ["state", "sst/1", "sst/2", "sst/deep/3", "z"];
    let count = rng.usize(..=names.len());
    names.iter().take(count).map(|name| ((*name).to_owned(), random_bytes(rng))).collect()
}

fn random_bytes(rng: &mut fastrand::Rng) -> Vec<u8> {
    let len = match rng.u32(..5) {
        0 => 0,
        1 => rng.usize(1..100),
        2 => rng.usize(..700_000),
        3 => 524_224 * rng.usize(1..3),
        _ => rng.usize(..2_000_000),
    };
    match rng.bool() {
        true => (0..len).map(|_| rng.u8(..)).collect(),
        false => (0..len).map(|at| u8::try_from(at / 50 % 250).unwrap()).collect(),
    }
}

pub(crate) fn spec(index: u64, codec: Codec) -> Spec {
    let mut spec = Spec::new(SHARD, EntryId { index, term: index / 10 + 1 });
    spec.membership = b"1, 2, 3".to_vec();
    spec.metadata = index.to_string().into_bytes();
    spec.codec = codec;
    spec
}

/// Builds a snapshot of these files, in pieces of uneven length.
pub(crate) fn build(store: &Store, spec: Spec, files: &Files) -> Result<Built> {
    let mut builder = store.build(spec, &Stop::new())?;
    for (nth, (name, bytes)) in files.iter().enumerate() {
        let mut file = builder.file(name)?;
        for piece in bytes.chunks(1 + nth * 100_003 + 7777) {
            // The builder repeats the error.
            if file.write_all(piece).is_err() {
                break;
            }
        }
    }
    builder.finish()
}

/// Registers what was built, as a log would.
pub(crate) fn register(store: &Store, list: &mut Vec<Registered>, built: &Built, kept: usize, mark: u64) {
    store.check(SHARD, list, built).unwrap();
    built.registration().registered_in(list, kept);
    store.set(SHARD, list, mark);
}

pub(crate) fn read(lease: &Lease) -> Result<Files> {
    let read = |name: &str| -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match lease.open(name)?.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(error.into_inner().unwrap().downcast_ref::<logboom_snapshot::Error>().unwrap().clone()),
        }
    };
    names(lease.manifest()).map(|name| Ok((name.to_owned(), read(name)?))).collect()
}

pub(crate) fn names(manifest: &Manifest) -> impl Iterator<Item = &str> {
    manifest.files.iter().map(|file| file.name.as_str())
}

/// Sends everything that the receiver still wants.
pub(crate) fn ship(lease: &Lease, receiver: &mut Receiver) -> Result<()> {
    let Some(at) = receiver.position() else { return Ok(()) };
    lease.chunks(Some(at))?.try_for_each(|chunk| receiver.accept(&chunk?).map(drop))
}

/// The files of the directory that are no registered snapshot's.
pub(crate) fn leftovers(disk: &SimDisk, registered: &[Registered]) -> Vec<String> {
    let mut names = disk.list().unwrap();
    names.retain(|name| !registered.iter().any(|registered| *name == format!("snapshot-{:016x}", registered.file)));
    names
}
