//! The disks, through their traits: what holds on one holds on all.

#![expect(clippy::unwrap_used, reason = "a test states its expectation by unwrapping")]

mod buffers;
mod conformance;
mod cuts;
mod faults;
mod killed;
mod locks;
mod opening;
mod queues;
mod shape;
mod simulated;

use std::{path::Path, sync::Arc};

use logboom_disk::{
    BackendChoice, Disk, DiskOptions, File, Mode, OpenError, Pool, Region, SimDisk, SimOptions, Slice, open,
};

/// Runs a test on a ring, on blocking system calls and on a simulated disk.
fn on_each_disk(test: impl Fn(&Arc<dyn Disk>)) {
    for choice in [BackendChoice::Ring, BackendChoice::Blocking] {
        let dir = dir();
        if let Some(disk) = real(dir.path(), choice) {
            test(&disk);
        }
    }
    test(&(SimDisk::new(7, SimOptions::default()) as Arc<dyn Disk>));
}

/// The real disk, unless this machine refuses io_uring; then it says so.
/// The default options but for what is changed.
fn options_with(change: impl FnOnce(&mut DiskOptions)) -> DiskOptions {
    let mut options = DiskOptions::default();
    change(&mut options);
    options
}

fn real(dir: &Path, backend: BackendChoice) -> Option<Arc<dyn Disk>> {
    match open(dir, &options_with(|it| it.backend = backend)) {
        Ok(disk) => Some(disk),
        Err(error @ OpenError::Backend { .. }) if backend == BackendChoice::Ring => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A directory on the file system of the build, which is not one in memory.
fn dir() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A file of `units` pad units, durable with its name.
fn prepared(disk: &Arc<dyn Disk>, name: &str, units: u64) -> Arc<dyn File> {
    let file = disk.open(name, Mode::Create).unwrap();
    file.allocate(units * unit(disk) as u64).unwrap();
    file.sync_all().unwrap();
    disk.sync_dir().unwrap();
    file
}

fn unit(disk: &Arc<dyn Disk>) -> usize {
    disk.facts().pad_unit
}

/// `len` bytes, all the same.
fn filled(byte: u8, len: usize) -> Slice {
    let mut region = Pool::new(0).region(len);
    region.fill(byte);
    region.freeze()
}

fn read(file: &Arc<dyn File>, offset: usize, len: usize) -> Region {
    let mut region = Pool::new(0).region(len);
    region.fill(0xEE);
    file.read_at(&mut region, offset as u64).unwrap();
    region
}

fn assert_filled(bytes: &[u8], byte: u8) {
    assert!(bytes.iter().all(|other| *other == byte), "expected {byte} throughout, found {:?}..", &bytes[..8]);
}
