//! Loop devices and mounts that go away with what holds them, and the commands that make them.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::Failure;

/// A file system to test on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileSystem {
    pub(crate) name: &'static str,
    pub(crate) mkfs: &'static [&'static str],
    /// The smallest comfortable size.
    pub(crate) bytes: u64,
    /// The bytes that it needs a disk to write as a whole: torn within, it may not be mountable any more.
    pub(crate) sector: usize,
}

/// No discards: the disk does not know them. A torn superblock, of 1024 bytes, does not pass its checksum.
pub(crate) const EXT4: FileSystem = FileSystem {
    name: "ext4",
    mkfs: &["mkfs.ext4", "-q", "-E", "nodiscard,lazy_itable_init=0", "-J", "size=4"],
    bytes: 64 << 20,
    sector: 1024,
};

/// Its recovery skips a block whose first sector is new enough, and then does not mount if the others are old.
/// `mkfs.xfs` makes nothing below 300 MiB.
pub(crate) const XFS: FileSystem =
    FileSystem { name: "xfs", mkfs: &["mkfs.xfs", "-q", "-K"], bytes: 300 << 20, sector: 4096 };

/// A loop device on a file.
pub(crate) struct LoopDevice {
    path: PathBuf,
}

impl LoopDevice {
    /// Puts a device with sectors of a size on a file.
    pub(crate) fn new(file: &Path, sector_bytes: u32) -> Result<Self, Failure> {
        let mut command = Command::new("losetup");
        command.args(["--find", "--show", "--direct-io=on", "--sector-size", &sector_bytes.to_string()]).arg(file);
        // Another one may take the free device that it found.
        let said = retried(|| output(&mut command))?;
        Ok(Self { path: PathBuf::from(said.trim()) })
    }

    pub(crate) fn make(&self, system: FileSystem) -> Result<(), Failure> {
        let [program, arguments @ ..] = system.mkfs else { return Err("no command".into()) };
        output(Command::new(program).args(arguments).arg(&self.path)).map(drop)
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // One that is still in use goes with its last user.
        drop(output(Command::new("losetup").arg("-d").arg(&self.path)));
    }
}

/// A mounted file system on a loop device.
pub(crate) struct Mount {
    path: PathBuf,
    mounted: bool,
}

impl Mount {
    /// Mounts what is on a device, in a directory that is made for it. The device goes with the mount, even if this
    /// process is killed: it was let go of, and is in use.
    pub(crate) fn new(device: LoopDevice, system: FileSystem, path: PathBuf) -> Result<Self, Failure> {
        if !path.exists() {
            std::fs::create_dir(&path)?;
        }
        output(Command::new("mount").args(["-t", system.name]).arg(&device.path).arg(&path))?;
        Ok(Self { path, mounted: true })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Unmounts, and fails where that is not possible.
    pub(crate) fn unmount(mut self) -> Result<(), Failure> {
        self.mounted = false;
        // The kernel lets go of a ring's files a little after the ring was closed.
        retried(|| output(Command::new("umount").arg(&self.path))).map(drop)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted {
            drop(output(Command::new("umount").arg("--lazy").arg(&self.path)));
        }
    }
}

/// What a command prints, if it succeeds.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let output = command.output().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// Tries for some seconds.
fn retried<T>(mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(_) if begun.elapsed() < Duration::from_secs(10) => thread::sleep(Duration::from_millis(10)),
            outcome => return outcome,
        }
    }
}
