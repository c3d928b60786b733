//! Damage that no crash explains, and what must hold in spite of it.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use logboom::disk::Disk;
use logboom_disk::{Mode, Rot};
use logboom_wal::{Options, Passed, marks};

use crate::{
    check::{Check, Failure},
    choices::Choices,
    world::World,
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
        Err(error) => Err(fail(error.to_string())),
    }
}

/// Damages one of the checkpoint slots, if both are intact: losing one of them is to lose nothing.
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
    let names: Vec<String> = world.disk.list().unwrap_or_default();
    let segments: Vec<&String> = names.iter().filter(|name| name.starts_with("segment-")).collect();
    if segments.is_empty() {
        return None;
    }
    let records = records(world);
    let name = segments[choices.size(segments.len())];
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

/// Where each record of the log lies, and of which shard it is.
fn records(world: &World) -> Vec<(String, Range<u64>, u64)> {
    let disk: Arc<dyn Disk> = Arc::clone(&world.disk) as Arc<dyn Disk>;
    let Ok(mut opening) = logboom_wal::open_read_only(disk, Options::default()) else { return Vec::new() };
    let mut records = Vec::new();
    let mut note = |passed| {
        if let Passed::Record(record, place) = passed {
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
    let name = |id| segments.iter().find(|info| info.id == id).map(|info| format!("segment-{:06}", info.slot));
    records.into_iter().filter_map(|(id, range, shard)| Some((name(id)?, range, shard))).collect()
}
