//! Why a test cannot run on this machine.

use std::{fs::OpenOptions, process::Command};

use crate::mounts::{FileSystem, LoopDevice, output};

/// Why none of the tests can run, if so.
pub(crate) fn reason() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root may mount".into());
    }
    for device in ["/dev/fuse", "/dev/loop-control"] {
        if let Err(error) = OpenOptions::new().read(true).write(true).open(device) {
            return Some(format!("{device}: {error}"));
        }
    }
    no_loop_device()
}

/// Why there is no making and mounting this file system, if so.
pub(crate) fn no_file_system(system: FileSystem) -> Option<String> {
    let make = system.mkfs.first()?;
    if let Err(failure) = output(Command::new(make).arg("-V")) {
        return Some(failure.to_string());
    }
    let known = |()| std::fs::read_to_string("/proc/filesystems").is_ok_and(|list| list.contains(system.name));
    // The kernel may have it as a module.
    let loaded = known(()) || (output(Command::new("modprobe").arg(system.name)).is_ok() && known(()));
    (!loaded).then(|| format!("the kernel has no {}", system.name))
}

/// Why nobody can ask the kernel to shut a file system down, if so.
pub(crate) fn no_python() -> Option<String> {
    output(Command::new("python3").args(["-c", "import fcntl"])).err().map(|failure| failure.to_string())
}

fn no_loop_device() -> Option<String> {
    let attempt = || {
        let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR"))?;
        file.as_file().set_len(1 << 20)?;
        LoopDevice::new(file.path(), 512).map(drop)
    };
    attempt().err().map(|failure| format!("no loop device: {failure}"))
}
