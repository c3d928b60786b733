//! The record of a checkpoint.

use super::{
    flushed::{read_ids, read_metas, write_ids, write_metas},
    timestamp,
};
use crate::{
    block_meta::MetaError,
    checkpoint::Checkpoint,
    varint::{self, Reader},
};

pub(super) fn write(checkpoint: &Checkpoint, out: &mut Vec<u8>) -> Result<(), MetaError> {
    out.extend(checkpoint.identity.to_le_bytes());
    for at in [checkpoint.timestamp, checkpoint.horizon, checkpoint.bound] {
        out.extend(at.to_i64().to_le_bytes());
    }
    varint::put(out, checkpoint.next_number);
    write_ids(&checkpoint.intended, out);
    write_metas(&checkpoint.objects, out)
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Checkpoint> {
    Some(Checkpoint {
        identity: u64::from_le_bytes(reader.array()?),
        timestamp: timestamp(reader)?,
        horizon: timestamp(reader)?,
        bound: timestamp(reader)?,
        next_number: reader.varint()?,
        intended: read_ids(reader)?,
        objects: read_metas(reader)?,
    })
}
