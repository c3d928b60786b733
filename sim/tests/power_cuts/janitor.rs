//! Unmounts and removes what a test leaves that was killed.
//!
//! A process of its own that outlives the test: it waits for the end of its standard input, which only the test holds
//! open. A mount namespace would seem to do without it, but the kernel unmounts what is in one when its last process
//! ends, and if that is the disk's, waits for ever for the disk.

use std::{
    io::{self, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{Failure, mounts::output};

/// The role of the janitor's process.
pub(crate) const ROLE: &str = "janitor";

/// Starts the janitor, which begins when the value goes, or with it the process.
pub(crate) fn start() -> io::Result<Option<ChildStdin>> {
    let mut command = crate::role(ROLE)?;
    // Not among those whom an interrupt from the terminal ends.
    command.arg(prefix(std::process::id())).process_group(0);
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?.stdin)
}

/// A directory beside the build, never a tmpfs, in which the janitor looks.
pub(crate) fn temp_dir() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(&prefix(std::process::id())).tempdir_in(env!("CARGO_TARGET_TMPDIR"))
}

fn prefix(process: u32) -> String {
    format!("power-cuts-{process}-")
}

/// The janitor's process.
pub(crate) fn sweep(arguments: &[String]) -> Result<(), Failure> {
    let [prefix] = arguments else { return Err("the janitor needs an argument".into()) };
    io::stdin().read_to_end(&mut Vec::new())?;
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = place.join(prefix).display().to_string();
    let begun = Instant::now();
    loop {
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        let left: Vec<&str> = points.filter(|point| point.starts_with(&path)).collect();
        if left.is_empty() {
            break;
        }
        // Devices that were not mounted yet, or no more.
        let devices = output(Command::new("losetup").args(["--list", "--noheadings", "--output", "NAME,BACK-FILE"]))?;
        for line in devices.lines().filter(|line| line.contains(&path)) {
            drop(output(Command::new("losetup").arg("-d").args(line.split(' ').next())));
        }
        // A killed writer may have files open for a while.
        let patience = begun.elapsed() < Duration::from_secs(5);
        for point in left.iter().rev() {
            let options: &[&str] = if patience { &["--quiet"] } else { &["--quiet", "--lazy"] };
            drop(output(Command::new("umount").args(options).arg(point)));
        }
        thread::sleep(Duration::from_millis(50));
    }
    for entry in std::fs::read_dir(place)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
