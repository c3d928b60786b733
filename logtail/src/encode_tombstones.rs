//! `TombstoneEncoder`: encodes the deletes that a flush takes from memory.

use logboom_logtail_blocks::{Tombstone, TombstoneWriter, WriteOptions};
use logboom_logtail_core::{
    TableId, Timestamp,
    flush::{MovedDeletes, TombstoneBlocks, TombstoneJob},
    table::Object,
};

use crate::{
    encode::EncodedNext,
    error::{Error, Result},
    pace::Pacer,
    store::Store,
};

/// Encodes the tombstones of a flush, one object after the other. Takes CPU, and memory for an object's; reads the
/// tombstones that blocks have already from the store.
#[derive(Debug)]
pub(crate) struct TombstoneEncoder {
    table: TableId,
    pacer: Pacer,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Begun(TombstoneJob),
    Collected(TombstoneBlocks),
    Ended,
}

impl TombstoneEncoder {
    pub(crate) fn new(job: TombstoneJob, pacer: Pacer) -> Self {
        Self { table: job.table, pacer, phase: Phase::Begun(job) }
    }

    /// What comes next; nothing is asked for behind the end.
    ///
    /// # Errors
    /// [`Error::Write`]; [`Error::Store`] and [`Error::Object`] of a tombstone object that is read.
    pub(crate) fn next(&mut self, store: &Store, options: &WriteOptions) -> Result<EncodedNext> {
        self.pacer.begin();
        let mut blocks = match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Begun(job) => job.collect(&mut || self.pacer.pause()),
            Phase::Collected(blocks) => blocks,
            Phase::Ended => return Ok(EncodedNext::TombstonesEnd(MovedDeletes::default())),
        };
        let Some(id) = blocks.next_id() else { return Ok(EncodedNext::TombstonesEnd(blocks.into_moved())) };
        // Each is one object, whatever its size.
        let mut options = options.clone();
        options.object_bytes = u64::MAX;
        let mut writer = TombstoneWriter::new(id, self.table, options)?;
        let mut written: Vec<Tombstone> = Vec::new();
        let read = |object: &Object, block| store.tombstones(object, block);
        let write = |object, deletes: &[(u32, Timestamp)]| {
            let tombstone = |(row, deleted): &(u32, Timestamp)| Tombstone { object, row: *row, deleted: *deleted };
            let first = written.len();
            written.extend(deletes.iter().map(tombstone));
            writer.write(&written[first..])?;
            self.pacer.pause();
            Ok::<_, Error>(())
        };
        let collected = blocks.next_object(read, write)?;
        let object = writer.finish()?;
        if object.meta.rows() as usize != written.len() {
            return Err(Error::Bug(format!("{} tombstones do not fit an object", written.len())));
        }
        store.cache_tombstones(&object.meta, &written);
        self.phase = Phase::Collected(blocks);
        Ok(EncodedNext::Tombstones(collected.tombstones(object.meta), object.bytes))
    }
}
