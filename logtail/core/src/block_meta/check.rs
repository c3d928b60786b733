//! Whether the fields of an archive agree with each other.

use super::{
    BLOCK_ROWS_MAX, BLOCKS_MAX, MetaError,
    stored::{APPENDABLE, ArchivedStoredBlock, ArchivedStoredObject, CHECKPOINT, ROWS, SORTED, TOMBSTONES},
};
use crate::{key::BOUND_BYTES_MAX, timestamp::Timestamp};

/// Views of the metadata rely on this check and make none of their own, so it is also made before metadata are written.
pub(super) fn check(object: &ArchivedStoredObject) -> Result<(), MetaError> {
    require([ROWS, TOMBSTONES, CHECKPOINT].contains(&object.kind), "an unknown kind of object")?;
    require(object.footer_offset < object.bytes, "the footer lies outside of the object")?;
    require((1..=BLOCKS_MAX).contains(&object.blocks.len()), "the number of blocks")?;
    let mut next_row = 0;
    for block in object.blocks.iter() {
        require(block.first_row == next_row, "the blocks do not follow each other")?;
        check_block(block)?;
        next_row += block.rows.to_native();
    }
    Ok(())
}

fn check_block(block: &ArchivedStoredBlock) -> Result<(), MetaError> {
    require((1..=BLOCK_ROWS_MAX).contains(&block.rows.to_native()), "the number of a block's rows")?;
    require(block.flags & !(SORTED | APPENDABLE) == 0, "an unknown flag of a block")?;
    let times = [&block.low_commit, &block.high_commit, &block.created, &block.truncation_point];
    let mut times = times.into_iter().chain(block.deleted.as_ref());
    require(times.all(|time| time.to_native() <= Timestamp::MAX.to_i64().cast_unsigned()), "a timestamp too high")?;
    require(block.low_commit <= block.high_commit, "commit timestamps in the wrong order")?;
    let (low, high) = (block.low_key.as_deref(), block.high_key.as_deref());
    require(low.into_iter().chain(high).all(|key| key.len() <= BOUND_BYTES_MAX), "the bound of a key is too long")?;
    require(low.zip(high).is_none_or(|(low, high)| low <= high), "the bounds of keys in the wrong order")?;
    let tombstones = block.tombstones.as_ref().map(|range| range.range());
    require(tombstones.is_none_or(|range| range.last().is_some()), "a range of tombstones that is none")
}

fn require(holds: bool, what: &'static str) -> Result<(), MetaError> {
    if holds { Ok(()) } else { Err(MetaError::Inconsistent(what)) }
}
