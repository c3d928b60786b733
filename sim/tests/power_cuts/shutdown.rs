//! A file system that is shut down below an engine: every write fails from one moment on, as on a disk that is gone.

use std::{
    fs::File,
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError, atomic::AtomicUsize},
};

use fastrand::Rng;
use logboom::{Engine, Error};

use crate::{
    Failure, janitor,
    model::{State, observe, outline},
    mounts::{FileSystem, LoopDevice, Mount, output},
    script::{self, LANES, Script},
    writer::{Known, Possible, Style, Writers, config},
};

/// What becomes of the journal: it is written out, or not, or with everything else (`XFS_FSOP_GOING_FLAGS_*`).
const FLAGS: [u32; 3] = [0, 1, 2];
/// `_IOR('X', 125, __u32)`: the same number for ext4 and xfs.
const SHUTDOWN: u32 = 0x8004_587D;

/// Shuts a file system down with each flag, some times.
pub(crate) fn run(system: FileSystem, seed: u64, rounds: u64) -> Result<(), Failure> {
    for seed in seed..seed + rounds {
        for flag in FLAGS {
            let failed = |failure| format!("{}, seed {seed}, flag {flag}: {failure}", system.name);
            shut_down(system, seed, flag).map_err(failed)?;
        }
    }
    crate::say(&format!("shutdown of {}, seed {seed}: {} rounds", system.name, rounds * FLAGS.len() as u64));
    Ok(())
}

fn shut_down(system: FileSystem, seed: u64, flag: u32) -> Result<(), Failure> {
    let mut rng = Rng::with_seed(seed ^ u64::from(flag));
    let style = [Style::Ring, Style::Blocking, Style::Buffered][rng.usize(..3)];
    let dir = janitor::temp_dir()?;
    let image = dir.path().join("image");
    File::create(&image)?.set_len(system.bytes)?;
    let device = LoopDevice::new(&image, 512)?;
    device.make(system)?;
    let mount = Mount::new(device, system, dir.path().join("mounted"))?;
    let known = write_until_shut_down(mount.path(), style, seed, flag, rng.usize(20..400))?;
    mount.unmount()?;

    let mount = Mount::new(LoopDevice::new(&image, 512)?, system, dir.path().join("mounted"))?;
    let engine = Engine::open(config(mount.path(), style))?;
    for (lane, known) in (0..).zip(&known) {
        let state = observe(&engine, script::shards(lane))?;
        let found = Possible::new(seed, lane, &known.opened).find(known, &state);
        if found.is_none() {
            let state = outline(&state);
            return Err(format!("{style:?}: writer {lane} was never in this state: {state}\n{known:?}").into());
        }
    }
    engine.close()?;
    mount.unmount()
}

/// Returns what was acknowledged before, and until, every write failed.
fn write_until_shut_down(dir: &Path, style: Style, seed: u64, flag: u32, after: usize) -> Result<Vec<Known>, Failure> {
    let known = Mutex::new(vec![Known { opened: vec![0], acknowledged: 0 }; LANES as usize]);
    let shut = Mutex::new(Ok(String::new()));
    let engine = Engine::open(config(dir, style))?;
    let at_batch = |submitted| {
        if submitted == after {
            *shut.lock().unwrap_or_else(PoisonError::into_inner) = ask_kernel(dir, flag);
        }
    };
    let writers = Writers { engine: &engine, seed, submitted: AtomicUsize::new(0), at_batch: &at_batch };
    let tell = |mark: &str| Known::learn(&mut known.lock().unwrap_or_else(PoisonError::into_inner), mark);
    let outcomes = writers.run(0, vec![State::new(); LANES as usize], &tell);
    shut.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    let mut failures = 0;
    for failure in outcomes.into_iter().filter_map(Result::err) {
        match failure.downcast_ref() {
            // Or it was to begin a segment, and the file of that could not be opened.
            Some(Error::Poisoned { .. } | Error::Io { .. }) => failures += 1,
            _ => return Err(format!("{style:?}: a writer ended with {failure}").into()),
        }
    }
    if failures == 0 {
        return Err(format!("{style:?}: nothing failed").into());
    }
    refuses_more(&engine, seed)?;
    Ok(known.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// An engine whose file system is gone acknowledges nothing, reads what it can, and says so when it is closed. It is
/// poisoned, unless nothing of the log was on its way: where the next segment cannot be opened that is no failed write.
fn refuses_more(engine: &Engine, seed: u64) -> Result<(), Failure> {
    let mut batch = engine.batch();
    for (shard, operation) in Script::new(seed, 0, LANES).next(&mut State::new()).operations {
        operation.add_to(&mut batch, shard)?;
    }
    match engine.write(batch) {
        Err(Error::Poisoned { .. } | Error::Io { .. }) => {}
        other => return Err(format!("a write after the failure: {other:?}").into()),
    }
    for lane in 0..LANES {
        // Entries that the cache holds come back, others are an error of the disk; nothing else may come of it.
        drop(observe(engine, script::shards(lane)));
    }
    match engine.clone().close() {
        Err(Error::Poisoned { .. } | Error::Io { .. }) => Ok(()),
        other => Err(format!("closing after the failure: {other:?}").into()),
    }
}

fn ask_kernel(dir: &Path, flag: u32) -> Result<String, Failure> {
    let program = "import fcntl, os, struct, sys\n\
        fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), int(sys.argv[2]), struct.pack('I', int(sys.argv[3])))";
    output(Command::new("python3").args(["-c", program]).arg(dir).args([SHUTDOWN.to_string(), flag.to_string()]))
}
