//! A process that is killed while it writes.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use logboom_disk::{Backend, BackendChoice, Disk, DiskOptions, Mode, Op, OpKind, Pool, Sync, Wait, open};

use crate::{dir, filled, real};

/// The kernel goes on with what a killed process had in flight in its rings. The lock is not to be had before that
/// has ended, or an old write would land in a file that its next owner has already read.
#[test]
fn nothing_changes_once_the_next_owner_has_the_lock() {
    for choice in [BackendChoice::Ring, BackendChoice::Blocking] {
        for _ in 0..3 {
            let dir = dir();
            if real(dir.path(), choice).is_none() {
                continue;
            }
            kill_while_writing(dir.path(), choice);
            let disk = open(dir.path(), &DiskOptions::default()).unwrap();
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
    let disk = open(Path::new(&dir), &DiskOptions { backend, ..DiskOptions::default() }).unwrap();
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
const WRITE: usize = 512 * 1024;
const WRITES: u64 = 64;

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

fn content(disk: &Arc<dyn Disk>) -> Vec<u8> {
    let file = disk.open("a", Mode::Read).unwrap();
    let mut region = Pool::new(0).region(WRITE * usize::try_from(WRITES).unwrap());
    file.read_at(&mut region, 0).unwrap();
    region.to_vec()
}
