//! A large snapshot: built from a stream, sent to another engine, installed and read back there.
//!
//! Each phase runs between two runs of a bare loop of direct IO that moves the same number of bytes in blocks of the
//! same size on the same file system, and is compared with their mean time. Building is compared with writing a file,
//! sending with copying one, and installing, which ends with reading the snapshot into a state machine, with reading
//! one.

use std::{
    io::{Read, Write},
    path::Path,
    sync::{Arc, mpsc::sync_channel},
    thread,
    time::{Duration, Instant},
};

use logboom::{
    Config, Engine, EntryId, ShardId,
    disk::{Disk, DiskOptions, Mode},
    snapshot::{Built, Chunk, Spec, Stop},
};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result, bare,
    job::{self, Job, Outcome, Task},
    payload::Payloads,
    usage,
    workload::Round,
};

/// The snapshot to build, send and install.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Load {
    /// The snapshot's size in bytes.
    bytes: u64,
}

const BYTES: u64 = 4 << 30;
const SHARD: ShardId = ShardId(1);
const INDEX: u64 = 1_000_000;
/// The bytes of a read or write of the state machine.
const PIECE: usize = 64 << 10;
/// The chunks in flight between the two engines.
const ON_THE_WAY: usize = 8;

/// Runs all phases in a child process.
pub fn round(round: &Round<'_>) -> Result<Outcome> {
    round.run(Task::Snapshot(Load { bytes: round.bytes.unwrap_or(BYTES) }))
}

/// Measures all phases in this process.
pub fn measure(job: &Job, load: &Load) -> Result<Outcome> {
    let [sender, receiver, bare] = ["sender", "receiver", "bare"].map(|name| job.dir.join(name));
    std::fs::create_dir_all(&bare)?;
    let disk = logboom::disk::open(&bare, &DiskOptions::default())?;
    let (sending, receiving) = (open(&sender)?, open(&receiver)?);
    // The state of the state machine does not count as memory of the snapshot.
    let mut payloads = Payloads::new(PIECE, 1);
    payloads.next();
    let mut outcome = Outcome { bytes: 3 * load.bytes, ops: 3 * load.bytes / PIECE as u64, ..Outcome::default() };
    let mut phases = Phases { disk: &disk, load, outcome: &mut outcome };
    let resident = usage::resident_bytes();

    let built = phases.run(
        "build",
        resident,
        || build(&sending, load.bytes, &mut payloads),
        |disk| bare::write(disk, "written", load.bytes),
    )?;
    sending.snapshots().register(&built)?;
    drop(built);
    let from = file(&sender)?;
    let built = phases.run(
        "ship",
        resident,
        || ship(&sending, &receiving),
        |disk| bare::copy(disk, Arc::clone(&from), "copied"),
    )?;
    let to = file(&receiver)?;
    phases.run(
        "install",
        resident,
        || install(&receiving, &built, load.bytes),
        |disk| bare::read(disk, Arc::clone(&to)),
    )?;
    outcome.note("method", "direct, 512 KiB blocks, 8 in flight");
    sending.close()?;
    receiving.close()?;
    Ok(outcome)
}

struct Phases<'a> {
    disk: &'a Arc<dyn Disk>,
    load: &'a Load,
    outcome: &'a mut Outcome,
}

impl Phases<'_> {
    /// Measures a phase between two runs of the loop. `resident` is the memory of the process before the first one, so
    /// memory that an earlier phase left in pools is counted.
    fn run<T>(
        &mut self,
        name: &str,
        resident: u64,
        phase: impl FnOnce() -> Result<T>,
        bare: impl Fn(&Arc<dyn Disk>) -> Result<()>,
    ) -> Result<T> {
        let before = self.bare(&bare)?;
        let (done, took) = self.phase(name, resident, phase)?;
        let beside = (before + self.bare(&bare)?) / 2;
        let rate = |time: Duration| self.load.bytes as f64 / 1e6 / time.as_secs_f64();
        self.outcome.figure(&format!("{name}_mb_s"), rate(took));
        self.outcome.figure(&format!("{name}_of_bare"), rate(took) / rate(beside));
        self.outcome.note(&format!("{name}_bare_mb_s"), job::round(rate(beside)));
        Ok(done)
    }

    fn phase<T>(&mut self, name: &str, resident: u64, phase: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
        usage::forget_peak()?;
        let (began, cpu) = (Instant::now(), usage::cpu());
        let done = phase()?;
        let took = began.elapsed();
        let peak = usage::peak_rss_bytes().saturating_sub(resident);
        self.outcome.cpu += usage::cpu().saturating_sub(cpu);
        self.outcome.elapsed += took;
        self.outcome.figure(&format!("{name}_peak_mib"), peak as f64 / f64::from(1 << 20));
        self.settle();
        Ok((done, took))
    }

    /// Measures the loop, and removes the files that it wrote.
    fn bare(&self, bare: impl Fn(&Arc<dyn Disk>) -> Result<()>) -> Result<Duration> {
        let began = Instant::now();
        bare(self.disk)?;
        let took = began.elapsed();
        for name in self.disk.list()?.iter().filter(|name| *name != "LOCK") {
            self.disk.remove(name)?;
        }
        self.disk.sync_dir()?;
        self.settle();
        Ok(took)
    }

    /// Waits for pending work of the device and the file system. A file system that discards freed blocks does so when
    /// its journal commits: for 4 GiB that took more than half a second, during which writing ran at 2.3 to 2.6 GB/s
    /// instead of 2.8 to 3.0.
    fn settle(&self) {
        thread::sleep(SETTLE + SETTLE_PER_GIB.mul_f64(self.load.bytes as f64 / f64::from(1 << 30)));
    }
}

const SETTLE: Duration = Duration::from_millis(200);
const SETTLE_PER_GIB: Duration = Duration::from_millis(450);

fn open(dir: &Path) -> Result<Engine> {
    let mut config = Config::new(dir);
    config.segment_bytes = 4 << 20;
    Ok(Engine::open(config)?)
}

fn build(engine: &Engine, bytes: u64, payloads: &mut Payloads) -> Result<Built> {
    let mut builder = engine.snapshots().build(Spec::new(SHARD.0, EntryId { index: INDEX, term: 1 }), &Stop::new())?;
    let mut file = builder.file("state")?;
    for _ in 0..bytes / PIECE as u64 {
        file.write_all(payloads.next())?;
    }
    Ok(builder.finish()?)
}

/// Sends the snapshot: one thread reads chunks at the sender, and another accepts them at the receiver.
fn ship(from: &Engine, to: &Engine) -> Result<Built> {
    let lease = from.snapshots().newest(SHARD)?.ok_or("the snapshot is gone")?;
    let mut receiver = to.snapshots().receive(SHARD, &lease.manifest_bytes(), &Stop::new())?;
    let (send, receive) = sync_channel::<Chunk>(ON_THE_WAY);
    thread::scope(|scope| {
        let sender = scope.spawn(move || -> Result<()> {
            for chunk in lease.chunks(None)? {
                send.send(chunk?)?;
            }
            Ok(())
        });
        for chunk in receive {
            receiver.accept(&chunk)?;
        }
        sender.join().map_err(|_| Error::from("the sender panicked"))?
    })?;
    Ok(receiver.finish()?)
}

fn install(engine: &Engine, built: &Built, bytes: u64) -> Result<()> {
    engine.snapshots().install(built, Some(b"term 1"))?;
    let lease = engine.snapshots().newest(SHARD)?.ok_or("the snapshot is gone")?;
    let (mut reader, mut piece, mut total) = (lease.open("state")?, vec![0; PIECE], 0);
    loop {
        match reader.read(&mut piece)? {
            0 if total == bytes / PIECE as u64 * PIECE as u64 => return Ok(()),
            0 => return Err(format!("{total} bytes came back").into()),
            len => total += len as u64,
        }
        std::hint::black_box(&piece);
    }
}

/// Opens the container file in a directory.
fn file(dir: &Path) -> Result<Arc<dyn logboom::disk::File>> {
    let disk = logboom::disk::open_read_only(dir, &DiskOptions::default())?;
    let names = disk.list()?;
    let name = names.iter().find(|name| name.starts_with("snapshot-")).ok_or("no snapshot is there")?;
    Ok(disk.open(name, Mode::Read)?)
}
