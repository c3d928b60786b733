//! Damage that no crash explains, and the checks that must hold in spite of it.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use logboom::disk::Disk;
use logboom_disk::{Fault, FaultKind, Mode, Rot};
use logboom_wal::{Options, Scanned, marks};

use crate::{
    check::{Check, Failure},
    choices::Choices,
    world::{World, segment_names},
};

/// Checks a log that only crashes have touched, as the `verify` command does.
///
/// # Errors
/// [`Check::Verifies`].
pub(crate) fn verify(world: &World) -> Result<(), Failure> {
    let disk: Arc<dyn Disk> = Arc::clone(&world.disk) as Arc<dyn Disk>;
    let fail = |what: String| Failure::new(Check::Verifies, what);
    match logboom_wal::verify(disk, Options::default(), &mut |_, _| {}) {
        Ok(report) if report.damages.is_empty() && report.identity.is_none() => Ok(()),
        Ok(report) => Err(fail(format!("{:?} {:?}", report.damages, report.identity))),
        // A log whose making was interrupted; and what a planned fault does.
        Err(logboom_wal::Error::Foreign(_)) => Ok(()),
        Err(_) if world.is_faulty => Ok(()),
        Err(error) => Err(fail(format!("{error:#}"))),
    }
}

/// Damages one of the checkpoint slots if both are intact: the loss of one must cost nothing.
///
/// # Errors
/// [`Check::Verifies`].
pub(crate) fn rot_a_checkpoint(world: &World, choices: &mut Choices) -> Result<(), Failure> {
    let disk: Arc<dyn Disk> = Arc::clone(&world.disk) as Arc<dyn Disk>;
    let Ok(report) = logboom_wal::verify(disk, Options::default(), &mut |_, _| {}) else { return Ok(()) };
    if !report.bad_checkpoints.is_empty() {
        return Ok(());
    }
    let name = choices.pick(&["checkpoint-0", "checkpoint-1"]);
    let from = choices.pick(&[0, 20, 4096, 4200]);
    if world.disk.damage(name, from..from + 8).is_ok() {
        marks::hit("damage: a checkpoint slot");
    }
    Ok(())
}

/// Damages a few bytes of a segment of a closed log, within what one group holds. Returns the shards of which records
/// lie there; `None` if there is nothing to hit.
pub(crate) fn hurt_a_segment(world: &World, choices: &mut Choices) -> Option<BTreeSet<u64>> {
    let segments = segment_names(&*world.disk);
    if segments.is_empty() {
        return None;
    }
    let records = records(world);
    let name = &segments[choices.size(segments.len())];
    let size = world.disk.open(name, Mode::Read).and_then(|file| file.size()).unwrap_or_default();
    if size < world.config.segment_bytes {
        return None;
    }
    let hit = if choices.percent(60) {
        world.disk.rot(name, choices.pick(&[Rot::Bit, Rot::Sector])).ok()?
    } else {
        // Within a sector: one group, and not the one that promises it. Footers lie at the end.
        let sector = if choices.percent(50) { size / 512 - 1 - choices.below(20) } else { choices.below(size / 512) };
        let from = sector * 512 + choices.below(448);
        let range = from..from + 1 + choices.below(64);
        world.disk.damage(name, range.clone()).map(|()| range).ok()?
    };
    marks::hit("damage: a segment");
    let is_hit =
        |(file, range, _): &&(String, Range<u64>, u64)| file == name && range.start < hit.end && hit.start < range.end;
    Some(records.iter().filter(is_hit).map(|(_, _, shard)| *shard).collect())
}

/// Removes the newest segment file, or cuts it to nothing, if something else says that it existed; false if nothing
/// does, as a log that ended before it looks the same then.
pub(crate) fn lose_the_newest(world: &World, choices: &mut Choices) -> bool {
    let disk: Arc<dyn Disk> = Arc::clone(&world.disk) as Arc<dyn Disk>;
    let Ok(mut opening) = logboom_wal::open_read_only(disk, Options::default()) else { return false };
    if opening.replay(&mut |_| Ok(())).is_err() {
        return false;
    }
    let log: Vec<_> = opening.segments().into_iter().filter(|info| !info.id.is_cold()).collect();
    let Some((newest, before)) = log.split_last() else { return false };
    let sealed = before.last().is_some_and(|info| opening.read_footer(info.id).is_ok_and(|footer| footer.is_some()));
    if !sealed && opening.replay_from() != newest.id {
        return false;
    }
    let (name, size) = (newest.file_name(), choices.pick(&[0, 0, 4096]));
    let removed = world.disk.remove(&name);
    if choices.percent(50)
        && let Ok(file) = world.disk.open(&name, Mode::Create)
    {
        drop(file.allocate(size).and_then(|()| file.sync_all()));
    }
    marks::hit("damage: the newest segment is gone");
    removed.and_then(|()| world.disk.sync_dir()).is_ok()
}

/// Makes a part of a segment, or all of it, unreadable for the next opening.
pub(crate) fn unread_a_segment(world: &World, choices: &mut Choices) -> bool {
    let segments = segment_names(&*world.disk);
    if segments.is_empty() {
        return false;
    }
    let name = segments[choices.size(segments.len())].as_str();
    let size = world.config.segment_bytes;
    let anywhere = choices.below(size / 512) * 512;
    let from = choices.pick(&[0, 0, anywhere]);
    let to = choices.pick(&[from + 1, from + 10_000, size]);
    let fault = Fault::error(FaultKind::Read, std::io::ErrorKind::Other);
    world.disk.inject(fault.on(name).within(from..to.max(from + 1)).sticky());
    marks::hit("damage: a segment cannot be read");
    true
}

/// Swaps the names of two segment files. That must cost nothing.
pub(crate) fn exchange_names(world: &World, choices: &mut Choices) {
    let disk = &world.disk;
    let segments = segment_names(&**disk);
    if segments.len() < 2 {
        return;
    }
    let (one, other) = (&segments[choices.size(segments.len())], &segments[choices.size(segments.len())]);
    let renamed = disk.rename(one, "between").and_then(|()| {
        if one != other {
            disk.rename(other, one)?;
        }
        disk.rename("between", other)
    });
    if renamed.and_then(|()| disk.sync_dir()).is_ok() && one != other {
        marks::hit("damage: segments have each other's names");
    }
}

/// The place and the shard of each record of the log.
fn records(world: &World) -> Vec<(String, Range<u64>, u64)> {
    let disk: Arc<dyn Disk> = Arc::clone(&world.disk) as Arc<dyn Disk>;
    let Ok(mut opening) = logboom_wal::open_read_only(disk, Options::default()) else { return Vec::new() };
    let mut records = Vec::new();
    let mut note = |scanned| {
        if let Scanned::Record(record, place) = scanned {
            let start = u64::from(place.offset);
            records.push((place.segment, start..start + u64::from(place.len), record.owner()));
        }
        Ok(())
    };
    let replayed = opening.replay(&mut note);
    let from = opening.replay_from();
    let segments = opening.segments();
    let mut covered = segments.iter().filter(|info| info.id < from || info.id.is_cold());
    let all = replayed.and_then(|()| covered.try_for_each(|info| opening.scan(info.id, &mut note)));
    if all.is_err() {
        return Vec::new();
    }
    let name = |id| segments.iter().find(|info| info.id == id).map(|info| info.file_name());
    records.into_iter().filter_map(|(id, range, shard)| Some((name(id)?, range, shard))).collect()
}
