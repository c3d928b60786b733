//! A closed log whose `LOGBOOM` rots, is lost or is replaced, or that has files of another log: openings refuse it
//! unchanged, reads report it, and after the repair nothing is missing.

use std::sync::Arc;

use logboom::{Engine, Error, IdentityFault, disk::Disk};
use logboom_disk::{Mode, Pool, SimDisk, Slice, Sync};
use logboom_wal::{Error as WalError, Options, marks, restore_identity, verify};

use super::History;
use crate::{
    check::{Check, Failure},
    world::World,
};

const LOGBOOM: &str = "LOGBOOM";
/// A number of a segment file that no history reaches.
const STRAY: &str = "segment-900000";

/// A fault of the identity of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hit {
    Rotten,
    Lost,
    Replaced,
    Strayed,
    Alone,
}

impl History {
    /// Damages the identity of the closed log, checks that it is reported, repairs it, and opens the log again.
    pub(super) fn hit_the_identity(&mut self, engine: Engine) -> Result<(), Failure> {
        self.handles.clear();
        if engine.close().is_err() {
            return Ok(());
        }
        self.world.free_space();
        let hit = self.choices.pick(&[Hit::Rotten, Hit::Lost, Hit::Replaced, Hit::Replaced, Hit::Strayed, Hit::Alone]);
        marks::hit(hit.mark());
        let other = self.another_log()?;
        let world = self.world.on(self.world.disk.fork(self.choices.below(u64::MAX)));
        self.hit(hit, &world.disk, &other).map_err(|error| failed(hit, &format!("the disk: {error:#}")))?;
        check_refused(hit, &world)?;
        match hit {
            // The log is gone.
            Hit::Alone => return Ok(()),
            Hit::Strayed => {
                let removed = world.disk.remove(STRAY).and_then(|()| world.disk.sync_dir());
                removed.map_err(|error| failed(hit, &format!("{error:#}")))?;
            }
            Hit::Rotten | Hit::Lost | Hit::Replaced => {
                restore_identity(Arc::clone(&world.disk) as _).map_err(|error| failed(hit, &format!("{error:#}")))?;
            }
        }
        let disk = if self.choices.percent(50) { world.disk.power_cut() } else { Arc::clone(&world.disk) };
        let engine = self.world.on(disk).open().map_err(|error| failed(hit, &format!("mended: {error:#}")))?;
        self.compare(&engine)
    }

    /// The disk of an unrelated log.
    fn another_log(&mut self) -> Result<Arc<SimDisk>, Failure> {
        let world = self.world.on(self.world.another_disk(&mut self.choices));
        let engine = world.open().map_err(|error| Failure::new(Check::Opens, format!("another log: {error:#}")))?;
        drop(engine.close());
        Ok(world.disk)
    }

    fn hit(&mut self, hit: Hit, disk: &SimDisk, other: &SimDisk) -> std::io::Result<()> {
        match hit {
            Hit::Rotten => {
                let at = self.choices.below(64);
                disk.damage(LOGBOOM, at..at + 1)
            }
            Hit::Lost => disk.remove(LOGBOOM),
            Hit::Replaced => {
                disk.remove(LOGBOOM)?;
                copy(other, LOGBOOM, disk, LOGBOOM)
            }
            Hit::Strayed => {
                let segment = other.list()?.into_iter().find(|name| name.starts_with("segment-"));
                copy(other, segment.as_deref().unwrap_or(LOGBOOM), disk, STRAY)
            }
            Hit::Alone => disk.list()?.iter().filter(|name| *name != LOGBOOM).try_for_each(|name| disk.remove(name)),
        }?;
        disk.sync_dir()
    }
}

impl Hit {
    fn mark(self) -> &'static str {
        match self {
            Self::Rotten => "identity: it rots",
            Self::Lost => "identity: it is lost",
            Self::Replaced => "identity: it is another log's",
            Self::Strayed => "identity: a segment is another log's",
            Self::Alone => "identity: all else is lost",
        }
    }

    /// Whether a view of the log reports this fault.
    fn is_in(self, fault: &IdentityFault) -> bool {
        match self {
            Self::Rotten | Self::Lost => fault.logboom.is_some() && fault.is_restorable() && !fault.is_total(),
            Self::Replaced => fault.is_total() && fault.is_restorable(),
            Self::Strayed => !fault.is_total() && fault.strangers().eq([STRAY]),
            Self::Alone => fault.is_total() && fault.strangers().next().is_none(),
        }
    }
}

/// Checks that the log is neither opened for writing nor called intact, and is not changed.
fn check_refused(hit: Hit, world: &World) -> Result<(), Failure> {
    let before = contents(&world.disk);
    match world.open() {
        Err(Error::Identity { .. }) => {}
        Err(error) => return Err(failed(hit, &format!("it is refused with another reason: {error:#}"))),
        Ok(_) => return Err(failed(hit, "it opens")),
    }
    let found = match verify(Arc::clone(&world.disk) as Arc<dyn Disk>, Options::default(), &mut |_, _| {}) {
        Ok(report) => report.identity,
        Err(WalError::Identity(fault)) => Some(fault),
        Err(error) => return Err(failed(hit, &format!("it cannot be verified: {error:#}"))),
    };
    match found {
        Some(fault) if !hit.is_in(&fault) => return Err(failed(hit, &format!("what is found is {fault:?}"))),
        None => return Err(failed(hit, "it is verified")),
        Some(_) => {}
    }
    if contents(&world.disk) == before { Ok(()) } else { Err(failed(hit, "files of it were changed")) }
}

fn failed(hit: Hit, what: &str) -> Failure {
    Failure::new(Check::Identity, format!("{}: {what}", hit.mark()))
}

fn contents(disk: &SimDisk) -> Vec<(String, Option<Vec<u8>>)> {
    let names = disk.list().unwrap_or_default();
    names.into_iter().map(|name| (read(disk, &name).ok(), name)).map(|(bytes, name)| (name, bytes)).collect()
}

fn read(disk: &SimDisk, name: &str) -> std::io::Result<Vec<u8>> {
    let file = disk.open(name, Mode::Read)?;
    let mut region = Pool::new(0).region(usize::try_from(file.size()?).unwrap_or_default());
    file.read_at(&mut region, 0)?;
    Ok(region.to_vec())
}

fn copy(from: &SimDisk, name: &str, to: &SimDisk, target: &str) -> std::io::Result<()> {
    let bytes = read(from, name)?;
    let file = to.open(target, Mode::Create)?;
    file.allocate(bytes.len() as u64)?;
    let slice = Slice::padded_copy(&Pool::new(0), &bytes, to.facts().pad_unit);
    file.write_at(&[slice], 0, Sync::None)?;
    file.sync_all()
}
