//! Damage that no crash explains, and what must hold in spite of it.

use std::sync::Arc;

use logboom::disk::Disk;
use logboom_disk::{Mode, Rot};
use logboom_wal::{Options, marks};

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
        Ok(report) if report.damages.is_empty() => Ok(()),
        Ok(report) => Err(fail(format!("{:?}", report.damages))),
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

/// Damages a few bytes of a segment of a closed log, within what one group holds; false if there is nothing to hit.
pub(crate) fn hurt_a_segment(world: &World, choices: &mut Choices) -> bool {
    let names: Vec<String> = world.disk.list().unwrap_or_default();
    let segments: Vec<&String> = names.iter().filter(|name| name.starts_with("segment-")).collect();
    if segments.is_empty() {
        return false;
    }
    let name = segments[choices.size(segments.len())];
    let size = world.disk.open(name, Mode::Read).and_then(|file| file.size()).unwrap_or_default();
    if size < world.config.segment_bytes {
        return false;
    }
    let is_hit = if choices.percent(60) {
        world.disk.rot(name, choices.pick(&[Rot::Bit, Rot::Sector])).is_ok()
    } else {
        // Within a sector: one group, and not the one that promises it. Footers lie at the end.
        let sector = if choices.percent(50) { size / 512 - 1 - choices.below(20) } else { choices.below(size / 512) };
        let from = sector * 512 + choices.below(448);
        world.disk.damage(name, from..from + 1 + choices.below(64)).is_ok()
    };
    marks::hit_if(is_hit, "damage: a segment");
    is_hit
}
