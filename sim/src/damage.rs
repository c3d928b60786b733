//! Damage that no crash explains, and what must hold in spite of it.

use std::sync::Arc;

use logboom::{Error, disk::Disk};
use logboom_disk::Mode;
use logboom_wal::{Options, marks};

use crate::{
    check::{Check, Entries, Failure, differences},
    choices::Choices,
    model::Models,
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

/// Damages a few bytes of a closed log, and opens it: it serves what is right, and says what it lacks.
///
/// # Errors
/// [`Check::DamageShows`].
pub(crate) fn after_damage(
    world: &mut World,
    choices: &mut Choices,
    models: &Models,
    shards: u64,
) -> Result<(), Failure> {
    let names: Vec<String> = world.disk.list().unwrap_or_default();
    let segments: Vec<&String> = names.iter().filter(|name| name.starts_with("segment-")).collect();
    if segments.is_empty() {
        return Ok(());
    }
    let name = segments[choices.size(segments.len())];
    let size = world.disk.open(name, Mode::Read).and_then(|file| file.size()).unwrap_or_default();
    if size < world.config.segment_bytes {
        return Ok(());
    }
    // Within a sector: one group, and not the one that promises it. Footers lie at the end.
    let sector = if choices.percent(20) { size / 512 - 1 - choices.below(20) } else { choices.below(size / 512) };
    let from = sector * 512 + choices.below(448);
    if world.disk.damage(name, from..from + 1 + choices.below(64)).is_err() {
        return Ok(());
    }
    marks::hit("damage: a segment");
    world.free_space();
    match world.open() {
        Ok(engine) => match differences(&engine, models, shards, Entries::Damaged) {
            None => Ok(()),
            Some(what) => Err(Failure::new(Check::DamageShows, format!("{name} at {from}: {what}"))),
        },
        Err(Error::Corruption { .. }) => {
            marks::hit("damage: refused by the opening");
            Ok(())
        }
        Err(error) => Err(Failure::new(Check::DamageShows, format!("{name} at {from}: {error}"))),
    }
}
