//! Operations on whole segments: writing their footers, replaying their entries, and loading their footers.

use std::hint::black_box;

use crate::{
    Result,
    guard::{
        counted,
        fixture::{Ended, Fixture, SMALL_SEGMENT, payload},
    },
};

/// Seals full segments, which the background does.
pub(super) fn seal() -> Result<u64> {
    let fixture = filled()?;
    counted(&mut || {
        fixture.settle();
        Ok(())
    })?;
    match fixture.engine.segments().iter().filter(|segment| segment.info.footer).count() {
        0 => Err("nothing was sealed".into()),
        _ => Ok(TOTAL),
    }
}

/// Opens a log whose writer was killed before it sealed a segment.
pub(super) fn replay() -> Result<u64> {
    opened(&filled()?.kill(), TOTAL)
}

/// Opens a log that its writer closed.
pub(super) fn open() -> Result<u64> {
    let fixture = filled()?;
    fixture.settle();
    opened(&fixture.close()?, SHARDS)
}

fn opened(ended: &Ended, units: u64) -> Result<u64> {
    let mut engine = None;
    counted(&mut || {
        engine = Some(black_box(ended.open()?));
        Ok(())
    })?;
    let shards = engine.map_or(0, |engine| engine.shards().len() as u64);
    if shards == SHARDS { Ok(units) } else { Err(format!("{shards} shards are there of {SHARDS}").into()) }
}

/// A log of about four segments, of which three are full and none is sealed.
fn filled() -> Result<Fixture> {
    let fixture = Fixture::with_segments(SMALL_SEGMENT)?;
    fixture.fill(SHARDS, TOTAL / SHARDS, 1, &payload(256))?;
    Ok(fixture)
}

const SHARDS: u64 = 200;
const TOTAL: u64 = SHARDS * 64;
