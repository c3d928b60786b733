//! The files of a directory as bytes: read from a disk, edited, and given to a [`MemoryDisk`](super::MemoryDisk).

use std::collections::BTreeMap;

use logboom_disk::{Disk, Mode, Pool, SimDisk, SimOptions};

use super::checksums;

/// The pad unit of every image, in bytes: the least, so that images are small.
pub const PAD: usize = SimDisk::SECTOR;

/// The files of a directory, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The bytes of each file.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Image {
    /// The options of a disk that an image is taken from.
    pub fn options() -> SimOptions {
        SimOptions { pad_unit: PAD, physical_block: PAD, ..SimOptions::default() }
    }

    /// The bytes that a process would read from `disk` now.
    pub fn of(disk: &dyn Disk) -> Self {
        let pool = Pool::new(0);
        let content = |name: &String| {
            let file = disk.open(name, Mode::Read).unwrap();
            let mut region = pool.region(file.size().unwrap() as usize);
            file.read_at(&mut region, 0).unwrap();
            region.to_vec()
        };
        Self { files: disk.list().unwrap().iter().map(|name| (name.clone(), content(name))).collect() }
    }

    /// Recomputes every checksum, and every field that refers to a checksum.
    pub fn fix_checksums(&mut self) {
        checksums::fix_checksums(self);
    }
}
