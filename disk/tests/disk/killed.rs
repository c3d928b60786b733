//! A process that is killed while it writes.

use std::{
    env,
    fs::File,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use logboom_disk::{
    Backend, BackendChoice, Disk, DiskOptions, Mode, Op, OpKind, Pool, Region, Sync, Wait, open, open_read_only,
};

use rustix::fs::{FlockOperation, flock};

use crate::{dir, filled, options_with, real};

/// The kernel goes on with what a killed process had in flight in its rings. The lock is not to be had before that
/// has ended, or an old write would land in a file that its next owner has already read; neither of the two locks.
#[test]
fn nothing_changes_once_the_next_owner_has_the_lock() {
    for choice in [BackendChoice::Ring, BackendChoice::Blocking] {
        for name in [".", "LOCK", "."] {
            let dir = dir();
            if real(dir.path(), choice).is_none() {
                continue;
            }
            kill_while_writing(dir.path(), choice);
            // By hand: opening syncs first, and that alone would wait for most of what is in flight.
            let lock = File::open(dir.path().join(name)).unwrap();
            flock(&lock, FlockOperation::LockExclusive).unwrap();
            let disk = open_read_only(dir.path(), &DiskOptions::default()).unwrap();
            let found = content(&disk);
            thread::sleep(Duration::from_millis(60));
            assert!(found == content(&disk), "a write of the dead process landed late");
        }
    }
}

/// Not a test of its own: what the process that is killed runs.
#[test]
fn victim() {
    let (Ok(dir), Ok(backend)) = (env::var(DIR), env::var(BACKEND)) else { return };
    let backend = if backend == "ring" { BackendChoice::Ring } else { BackendChoice::Blocking };
    let disk = open(
        Path::new(&dir),
        &options_with(|it| {
            it.backend = backend;
            it.queue_depth = 256;
        }),
    )
    .unwrap();
    let file = disk.open("a", Mode::Create).unwrap();
    file.allocate(WRITES * WRITE as u64).unwrap();
    let mut queue = disk.queue().unwrap();
    let mut completions = Vec::new();
    for round in 1.. {
        let slice = filled(round, WRITE);
        for token in 0..WRITES {
            let kind = OpKind::Write { slices: vec![slice.clone()], offset: token * WRITE as u64, sync: Sync::None };
            queue.submit(Op { token, file: Arc::clone(&file), kind });
        }
        queue.reap(Wait::No, &mut completions);
        if round == 1 {
            writeln!(std::io::stdout(), "{READY}").unwrap();
        }
        while queue.in_flight() > 0 {
            queue.reap(Wait::Forever, &mut completions);
        }
    }
}

const DIR: &str = "LOGBOOM_TEST_VICTIM_DIR";
const BACKEND: &str = "LOGBOOM_TEST_VICTIM_BACKEND";
const READY: &str = "the victim writes";
const WRITE: usize = 256 * 1024;
const WRITES: u64 = 256;

fn kill_while_writing(dir: &Path, choice: BackendChoice) {
    let backend = if choice == BackendChoice::Ring { Backend::Ring } else { Backend::Blocking };
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "killed::victim", "--nocapture"])
        .envs([(DIR, dir.to_str().unwrap()), (BACKEND, &backend.to_string())])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains(READY)), "the victim died by itself");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The last pad unit of each write: zero, or what a process has written.
fn content(disk: &Arc<dyn Disk>) -> Vec<Vec<u8>> {
    let unit = disk.facts().pad_unit;
    let file = disk.open("a", Mode::Read).unwrap();
    let pool = Pool::new(0);
    let last = |write: u64| (Arc::clone(&file), pool.region(unit), (write + 1) * WRITE as u64 - unit as u64);
    let read = |(region, result): (Region, std::io::Result<()>)| result.map(|()| region.to_vec()).unwrap();
    disk.read_many((0..WRITES).map(last).collect()).into_iter().map(read).collect()
}
