//! After a failed read, the log reads again what it was opened by, to see whether the device still works.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    sync::{Arc, Mutex},
};

use logboom_disk::{Disk, Facts, Fault, FaultKind, File, Mode, Queue, Region, SimDisk, SimOptions, Slice, Sync};
use logboom_wal::{Error, ManualClock, Runtime, open, open_read_only};

use crate::{
    damage::{Written, account, scanned},
    lost_end::sealed,
    support::*,
};

/// A disk whose page cache keeps the first block of `LOGBOOM` once it was read, until it is told to forget it.
#[derive(Debug)]
struct Cached {
    disk: Arc<SimDisk>,
    block: Arc<Mutex<Option<Vec<u8>>>>,
}

#[derive(Debug)]
struct CachedFile(Arc<dyn File>, Arc<Mutex<Option<Vec<u8>>>>);

impl Disk for Cached {
    fn open(&self, name: &str, mode: Mode) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(name, mode)?;
        Ok(if name == "LOGBOOM" { Arc::new(CachedFile(file, Arc::clone(&self.block))) } else { file })
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        self.disk.queue()
    }
    fn facts(&self) -> &Facts {
        self.disk.facts()
    }
}

impl File for CachedFile {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
    fn allocate(&self, size: u64) -> io::Result<()> {
        self.0.allocate(size)
    }
    fn write_at(&self, slices: &[Slice], offset: u64, sync: Sync) -> io::Result<()> {
        self.0.write_at(slices, offset, sync)
    }
    fn read_at(&self, region: &mut Region, offset: u64) -> io::Result<()> {
        let (mut block, len) = (self.1.lock().unwrap(), region.len());
        match &*block {
            Some(block) => region.copy_from_slice(&block[..len]),
            None => {
                self.0.read_at(region, offset)?;
                *block = Some(region.to_vec());
            }
        }
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }
    fn forget_cached(&self) -> io::Result<()> {
        *self.1.lock().unwrap() = None;
        self.0.forget_cached()
    }
}

fn gone() -> Fault {
    Fault::error(FaultKind::Read, ErrorKind::Other).sticky()
}

/// What a device that is gone does not give is not lost, though the page cache still has `LOGBOOM`.
#[test]
fn a_page_cache_does_not_answer_for_the_device() {
    let clock = ManualClock::new(1);
    let disk = SimDisk::new(1, SimOptions { direct: false, ..SimOptions::default() });
    let sim = Sim::open(disk, clock.clone()).unwrap();
    let place = write(&sim.wal, &body(1, 900)).unwrap();
    sim.wal.close().unwrap();
    let disk = sim.disk.power_cut();
    let cached = Cached { disk: Arc::clone(&disk), block: Arc::default() };
    let wal = open(Arc::new(cached), options(), Runtime::Manual(clock)).unwrap().start().unwrap();
    disk.inject(gone());
    let error = wal.read(&[place], &mut Vec::new()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    // A sector is lost where the rest is given.
    disk.clear_faults();
    disk.inject(gone().on("segment"));
    let error = wal.read(&[place], &mut Vec::new()).unwrap_err();
    assert!(matches!(error, Error::Corruption(_)), "{error}");
}

#[test]
fn a_log_without_its_name_asks_the_device_for_another_file() {
    let mut written = Written::new();
    let (sim, ..) = sealed(4, &mut written);
    sim.wal.write_checkpoint(sim.wal.segments()[1].id, b"").unwrap();
    let disk = sim.disk.power_cut();
    disk.remove("LOGBOOM").unwrap();
    let reads = {
        let disk = disk.fork(1);
        scanned(disk.clone());
        disk.operations().iter().filter(|operation| operation.kind == FaultKind::Read).count() as u64
    };
    let mut refused = BTreeMap::new();
    for nth in 1..=reads {
        let disk = disk.fork(nth);
        disk.inject(gone().nth(nth));
        let opened = open_read_only(disk, options()).and_then(|mut opening| {
            opening.replay(&mut |_| Ok(()))?;
            Ok(opening.report().clone())
        });
        match opened {
            Ok(report) => assert!(report.damages.is_empty() && report.odd_files.is_empty(), "read {nth}: {report:?}"),
            Err(error) => *refused.entry(matches!(error, Error::Io { .. })).or_insert(0) += 1,
        }
    }
    assert!(refused[&true] > 5, "{refused:?} of {reads}");
}

/// The device gives the other files: what it does not give of one is lost, and no more.
#[test]
fn a_log_whose_name_cannot_be_read_is_read_around_other_bad_sectors() {
    let mut written = Written::new();
    let (sim, ..) = sealed(4, &mut written);
    let at = *written.values().map(|row| &row.0).find(|place| place.segment == sim.wal.segments()[1].id).unwrap();
    let disk = sim.disk.power_cut();
    disk.inject(gone().on("LOGBOOM"));
    let (from, slot) = (u64::from(at.offset), sim.wal.segments()[1].slot);
    disk.inject(gone().on(format!("segment-{slot:06}")).within(from..from + 1));
    let (found, opening) = scanned(disk);
    let lost = account(&written, &found);
    assert!(!lost.is_empty() && lost.iter().all(|lost| written[lost].0.segment == at.segment), "{lost:?}");
    let fault = opening.report().identity.clone().unwrap();
    assert!(fault.to_string().contains("LOGBOOM cannot be read"), "{fault}");
}
