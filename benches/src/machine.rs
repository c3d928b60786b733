//! `Machine`: the processor, kernel, file system and device of a measurement.

use std::{fmt, fs, path::Path, thread};

/// The machine, its kernel and a file system on it.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// The number of threads that run in parallel.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// The type of the file system, such as `ext4`.
    pub file_system: String,
    /// The mounted device, such as `/dev/vda`.
    pub device: String,
}

impl Machine {
    /// This machine, and the file system that holds `dir`.
    pub fn of(dir: &Path) -> Self {
        let mount = Mount::of(dir);
        Machine {
            processor: processor(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            file_system: mount.file_system,
            device: mount.device,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, kernel, file_system, device } = self;
        write!(f, "{processor}, {cores} cores, Linux {kernel}, {file_system} on {device}")
    }
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// One line of `/proc/self/mountinfo`.
struct Mount {
    file_system: String,
    device: String,
}

impl Mount {
    /// The mount that holds `dir`: the last of those with the longest mount point above it.
    fn of(dir: &Path) -> Self {
        let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let above = table.lines().filter_map(Mount::parse).filter(|(point, _)| dir.starts_with(point));
        let nearest = above.max_by_key(|(point, _)| point.len());
        nearest.map_or(Mount { file_system: "unknown".to_owned(), device: "unknown".to_owned() }, |(_, mount)| mount)
    }

    fn parse(line: &str) -> Option<(&str, Mount)> {
        let (front, back) = line.split_once(" - ")?;
        let point = front.split(' ').nth(4)?;
        let mut back = back.split(' ');
        Some((point, Mount { file_system: back.next()?.to_owned(), device: back.next()?.to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_mount_table_is_parsed() {
        let line = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let (point, mount) = Mount::parse(line).unwrap();
        assert_eq!((point, mount.file_system.as_str(), mount.device.as_str()), ("/mnt2", "ext3", "/dev/root"));
    }

    #[test]
    fn this_machine_is_described() {
        assert!(Machine::of(Path::new("/")).to_string().contains("Linux"));
    }
}
