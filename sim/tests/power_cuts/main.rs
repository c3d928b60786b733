//! Power cuts on real file systems: whatever the kernel made of the engine's writes and syncs, and whatever of it a
//! disk had not flushed when the power went, nothing that was acknowledged is lost.
//!
//! An engine writes to ext4 and xfs on a loop device, below which a process of the test is the disk and logs each
//! write and flush. From the log follow the images that a cut at any moment may leave; each is mounted and opened.
//!
//! For root on Linux with FUSE and loop devices; skipped elsewhere. `LOGBOOM_LONG=1` cuts the power many times as
//! often. `LOGBOOM_SEED` repeats what is written and when the power goes; the order of the writes is the kernel's, so
//! the image of a cut that fails is kept.

#![cfg(target_os = "linux")]
#![expect(clippy::cast_possible_truncation, reason = "images and shards are far smaller than memory")]

mod cuts;
mod disk;
mod image;
mod janitor;
mod model;
mod mounts;
mod recording;
mod script;
mod shutdown;
mod skip;
mod survivor;
mod write_log;
mod writer;

use std::{error::Error, io, process::Command};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::{
    mounts::{EXT4, XFS},
    recording::Ground,
    writer::Style,
};

/// Why a test fails.
type Failure = Box<dyn Error + Send + Sync>;

/// Set in a process that is started again: what it is to do.
const ROLE: &str = "LOGBOOM_TEST_ROLE";

const GROUNDS: [Ground; 5] = [
    Ground { name: "ext4", system: EXT4, sector_bytes: 512, style: Style::Ring },
    Ground { name: "xfs", system: XFS, sector_bytes: 4096, style: Style::Ring },
    Ground { name: "xfs_blocking", system: XFS, sector_bytes: 512, style: Style::Blocking },
    Ground { name: "ext4_blocking", system: EXT4, sector_bytes: 4096, style: Style::Blocking },
    Ground { name: "ext4_buffered", system: EXT4, sector_bytes: 512, style: Style::Buffered },
];

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match std::env::var(ROLE).as_deref() {
        Ok(disk::ROLE) => disk::serve(&arguments),
        Ok(writer::ROLE) => writer::write(&arguments),
        Ok(janitor::ROLE) => janitor::sweep(&arguments),
        _ => run_tests(),
    }
}

fn run_tests() -> Result<(), Failure> {
    let seed = match std::env::var("LOGBOOM_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_) => fastrand::u64(..1_000_000),
    };
    let long = std::env::var("LOGBOOM_LONG").is_ok_and(|value| value == "1");
    let (recordings, cuts) = if long { (10, 45) } else { (1, 15) };
    let impossible = skip::reason();
    let _janitor = if impossible.is_none() { janitor::start()? } else { None };
    let mut trials = Vec::new();
    for ground in GROUNDS {
        let test = move || cuts::run(ground, seed, recordings, cuts);
        let skip = impossible.clone().or_else(|| skip::no_file_system(ground.system));
        trials.push(trial(format!("power_cuts::{}", ground.name), skip, test));
    }
    for system in [EXT4, XFS] {
        let test = move || shutdown::run(system, seed, if long { 20 } else { 2 });
        let skip = impossible.clone().or_else(|| skip::no_file_system(system)).or_else(skip::no_python);
        trials.push(trial(format!("shutdown::{}", system.name), skip, test));
    }
    let mut arguments = Arguments::from_args();
    // They wait for the kernel most of the time.
    arguments.test_threads.get_or_insert(4);
    libtest_mimic::run(&arguments, trials).exit()
}

/// A test that is skipped, with the reason, where it cannot run.
fn trial(name: String, skip: Option<String>, test: impl FnOnce() -> Result<(), Failure> + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || match skip {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => test().map(|()| Completion::Completed).map_err(Failed::from),
    })
}

/// The command that runs this binary in another role.
fn role(role: &str) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(ROLE, role);
    Ok(command)
}

#[expect(clippy::print_stdout, reason = "what a run went through is shown")]
fn say(what: &str) {
    println!("{what}");
}
