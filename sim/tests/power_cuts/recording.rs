//! What a writer did to a disk, from making the file system on.

use std::{fs::File, path::Path};

use fastrand::Rng;

use crate::{
    Failure,
    disk::{CONTENT, Disk},
    janitor,
    mounts::{FileSystem, LoopDevice, Mount},
    script::LANES,
    write_log::{Event, WriteLog},
    writer::{Known, Possible, Session, Style},
};

/// What the power is cut on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground {
    pub(crate) name: &'static str,
    pub(crate) system: FileSystem,
    pub(crate) sector_bytes: u32,
    pub(crate) style: Style,
}

impl Ground {
    /// Mounts what is on a disk, or in a file.
    pub(crate) fn mount(&self, image: &Path, at: &Path) -> Result<Mount, Failure> {
        Mount::new(LoopDevice::new(image, self.sector_bytes)?, self.system, at.to_path_buf())
    }
}

/// From this mark on there is a mounted file system.
const MOUNTED: &str = "mounted";

/// A recorded history.
pub(crate) struct Recording {
    pub(crate) log: WriteLog,
    /// Each writer's states.
    pub(crate) possible: Vec<Possible>,
    /// For each writer, where its sessions began.
    opened: Vec<Vec<usize>>,
}

impl Recording {
    /// Records four sessions of a writer on a fresh file system; two of them end by being killed.
    pub(crate) fn new(ground: &Ground, seed: u64) -> Result<Self, Failure> {
        let mut rng = Rng::with_seed(seed);
        let dir = janitor::temp_dir()?;
        File::create(dir.path().join(CONTENT))?.set_len(ground.system.bytes)?;
        let disk = Disk::start(dir.path(), seed)?;
        LoopDevice::new(&disk.image(), ground.sector_bytes)?.make(ground.system)?;
        let mount = ground.mount(&disk.image(), &dir.path().join("mounted"))?;
        rustix::fs::syncfs(File::open(mount.path())?)?;
        disk.mark(MOUNTED)?;
        let mut opened = vec![Vec::new(); LANES as usize];
        for killed in [true, false, true, false] {
            let killed_after = if killed { rng.usize(50..400) } else { 0 };
            let session = Session { seed, style: ground.style, killed_after };
            session.run(mount.path(), &disk.marks(), &mut opened)?;
        }
        mount.unmount()?;
        let log = WriteLog::read(&disk.finish()?)?;
        let possible = (0..).zip(&opened).map(|(lane, opened)| Possible::new(seed, lane, opened)).collect();
        Ok(Self { log, possible, opened })
    }

    /// Moments to cut the power at, in order.
    pub(crate) fn moments(&self, count: usize, rng: &mut Rng) -> Result<Vec<usize>, Failure> {
        Ok(self.log.moments(self.log.position(MOUNTED)? + 1, count, rng))
    }

    /// What is known of each writer before an event.
    pub(crate) fn known(&self, at: usize) -> Result<Vec<Known>, Failure> {
        let mut known = vec![Known::default(); LANES as usize];
        for event in &self.log.events[..at] {
            match event {
                Event::Mark(mark) if mark != MOUNTED => Known::learn(&mut known, mark)?,
                _ => {}
            }
        }
        match known.iter().zip(&self.opened).all(|(known, opened)| opened.starts_with(&known.opened)) {
            true => Ok(known),
            false => Err("the marks do not say what the writer said".into()),
        }
    }
}
