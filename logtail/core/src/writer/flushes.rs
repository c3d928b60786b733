//! The flushes of a writer.

use std::{sync::Arc, time::Duration};

use super::{PendingRecord, Stopped, Writer, flush::Flush, flush_error::FlushError};
use crate::{
    flush::{FlushParts, MovedDeletes},
    ids::TableId,
    log::{Log, Refusal},
    record::{self, Flushed, Intent},
    table::{Memtable, Object, Transfer},
    timestamp::Timestamp,
};

/// The numbers that a flush takes for its objects of rows, and again for those of tombstones.
pub(super) const OBJECTS_MAX: u64 = 1 << 16;

impl Writer {
    /// Begins a flush of `parts` of a table: its memtables take no more rows, if rows are flushed. `None` where it has
    /// nothing of them that is committed, or is being flushed. Of memtables of several schemas, those of the oldest are
    /// flushed.
    ///
    /// Once the rows are encoded, readers cannot ask for timestamps below `horizon` any more, or below the oldest
    /// snapshot that is open then.
    pub fn begin_flush(&mut self, table: TableId, parts: FlushParts, horizon: Timestamp) -> Option<Flush> {
        if self.stopped.is_some() || self.flushing.contains(&table) {
            return None;
        }
        let placed = self.applier.table(table)?;
        let oldest: Option<&Arc<Memtable>> = placed.memtables().next().filter(|_| parts.rows);
        let watermark = self.state().watermark();
        let is_dirty = |object: &Arc<Object>| object.oldest_delete().is_some_and(|oldest| oldest <= watermark);
        let deletes = parts.deletes && placed.objects().any(is_dirty);
        let schema = match oldest {
            Some(oldest) => Arc::clone(oldest.schema()),
            // Of a table that was dropped, deletes may stay.
            None => Arc::clone(self.applier.catalog().table(table).filter(|_| deletes)?),
        };
        let same = |memtable: &&Arc<Memtable>| memtable.schema().version() == schema.version();
        let memtables = placed.memtables().take_while(same).filter(|_| parts.rows).cloned().collect();
        if parts.rows {
            self.applier.freeze(table);
        }
        self.flushing.insert(table);
        let (objects, tombstones) = (self.take_objects(), self.take_objects());
        Some(Flush::new(table, schema, memtables, horizon, deletes, (objects, tombstones)))
    }

    /// Whether a table is being flushed.
    pub fn is_flushing(&self, table: TableId) -> bool {
        self.flushing.contains(&table)
    }

    /// A flush is done, or failed: the table may be flushed again.
    pub fn end_flush(&mut self, flush: Flush) {
        self.flushing.remove(&flush.table());
    }

    /// The index of the last record that is committed.
    pub fn committed_index(&self) -> u64 {
        self.committed_index
    }

    pub(super) fn propose_intent<L: Log>(&mut self, log: &L, intent: &Intent) -> Result<u64, Refusal<L::Error>> {
        let record = record::intent(self.position, intent);
        let (index, _) = log.propose(&record)?;
        self.proposed(index, PendingRecord::Intent);
        self.intended.extend(&intent.objects);
        Ok(index)
    }

    /// Gives a flush its timestamp, proposes its record, and places it. Returns the record's index.
    pub(super) fn propose_flushed<L: Log>(
        &mut self,
        log: &L,
        flushed: &mut Flushed,
        transfer: &Arc<Transfer>,
        moved: &MovedDeletes,
        unix: Duration,
    ) -> Result<u64, FlushError<L::Error>> {
        if let Some(stopped) = &self.stopped {
            return Err(FlushError::Stopped(stopped.clone()));
        }
        flushed.timestamp = self.clock.next(unix)?;
        for block in flushed.objects.iter_mut().flat_map(|object| &mut object.blocks) {
            block.created = block.low_commit;
        }
        let record = record::flushed(self.position, flushed)?;
        if record.len() > log.bytes_max() {
            return Err(FlushError::TooLarge { bytes: record.len(), max: log.bytes_max() });
        }
        let (index, _) = log.propose(&record)?;
        self.proposed(index, PendingRecord::Commit(flushed.timestamp));
        flushed.object_ids().for_each(|id| _ = self.intended.remove(&id));
        if let Some(placed) = self.applier.table_mut(flushed.table) {
            placed.retire(transfer, moved.objects());
        }
        if let Err(fault) = self.applier.place_flushed(flushed) {
            let fault = Stopped::Fault(fault.to_string());
            self.stopped = Some(fault.clone());
            return Err(FlushError::Stopped(fault));
        }
        Ok(index)
    }
}
