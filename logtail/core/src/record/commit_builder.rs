//! Builds the record of a transaction: most of it before its timestamp and places are known.

use bumpalo::{Bump, collections::Vec};

use super::{COMMIT, Position, VERSION};
use crate::{
    ids::{RowId, RowsetId, TableId},
    timestamp::Timestamp,
    varint,
};

/// The longest head of a record without its sections: version, kind, position, timestamp, client id, count.
const HEAD_BYTES_MAX: usize = 2 + 2 * varint::BYTES_MAX + 8 + 17 + varint::BYTES_MAX;
/// The longest head of a section without its deleted rows.
const SECTION_BYTES_MAX: usize = 8 * varint::BYTES_MAX;
/// The longest form of a deleted row, in a group of its own.
const DELETED_BYTES_MAX: usize = 3 * varint::BYTES_MAX;

/// Builds the record of a transaction in an arena.
///
/// Rows are encoded first, by the transaction's own thread. The head stands before them in the log, but has the
/// timestamp and the places of the rows, which are known under the writer's lock only. So room is left for it, and it
/// is written at the end of that room: [`CommitBuilder::finish`] copies no rows.
#[derive(Debug)]
pub struct CommitBuilder<'b> {
    client_id: Option<u128>,
    sections: Vec<'b, NewSection<'b>>,
    /// Room for the head, then rows and keys.
    bytes: Vec<'b, u8>,
    room: usize,
}

/// A section of a record that is being built.
#[derive(Debug)]
pub struct NewSection<'b> {
    /// The table.
    pub table: TableId,
    /// The version of its schema.
    pub schema: i32,
    /// How many rows are inserted.
    pub inserted: u32,
    /// The place of the first inserted row; to be set before the record is finished.
    pub first: RowId,
    /// The deleted rows; one that a flush moves before the record is finished is to be replaced by its new place.
    pub deleted: &'b mut [RowId],
    rows: usize,
    keys: usize,
}

impl<'b> CommitBuilder<'b> {
    /// A record of at most `sections` sections, in which `deleted` rows are deleted.
    pub fn new(arena: &'b Bump, client_id: Option<u128>, sections: usize, deleted: usize) -> Self {
        let room = HEAD_BYTES_MAX + sections * SECTION_BYTES_MAX + deleted * DELETED_BYTES_MAX;
        let mut bytes = Vec::with_capacity_in(room + 1024, arena);
        bytes.resize(room, 0);
        Self { client_id, sections: Vec::with_capacity_in(sections, arena), bytes, room }
    }

    /// Adds a section: `rows` and `keys` write the inserted rows and the keys of the deleted ones behind what is there.
    ///
    /// # Errors
    /// What `rows` and `keys` return; the builder is of no use then.
    pub fn section<E>(
        &mut self,
        (table, schema): (TableId, i32),
        inserted: u32,
        rows: impl FnOnce(&mut Vec<'b, u8>) -> Result<(), E>,
        deleted: &'b mut [RowId],
        keys: impl FnOnce(&mut Vec<'b, u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        rows(&mut self.bytes)?;
        let rows = self.bytes.len() - start;
        keys(&mut self.bytes)?;
        let keys = self.bytes.len() - start - rows;
        let first = RowId { rowset: RowsetId(0), row: 0 };
        self.sections.push(NewSection { table, schema, inserted, first, deleted, rows, keys });
        Ok(())
    }

    /// The sections.
    pub fn sections(&mut self) -> &mut [NewSection<'b>] {
        &mut self.sections
    }

    /// How long the record is at most.
    pub fn bytes_max(&self) -> usize {
        self.bytes.len()
    }

    /// The record, of which the head is written now. May be called again, after a log that had no room for it.
    pub fn finish(&mut self, position: Position, timestamp: Timestamp) -> &[u8] {
        let mut head = Vec::with_capacity_in(self.room, self.bytes.bump());
        head.extend([VERSION, COMMIT]);
        varint::put(&mut head, position.epoch);
        varint::put(&mut head, position.sequence);
        head.extend(timestamp.to_i64().to_le_bytes());
        head.push(u8::from(self.client_id.is_some()));
        head.extend(self.client_id.into_iter().flat_map(u128::to_le_bytes));
        varint::put(&mut head, self.sections.len() as u64);
        self.sections.iter().for_each(|section| section.head(&mut head));
        // The room is that of the longest head, unless more was added than was announced.
        let missing = head.len().saturating_sub(self.room);
        if missing > 0 {
            self.bytes.splice(0..0, std::iter::repeat_n(0, missing)).for_each(drop);
            self.room += missing;
        }
        let start = self.room - head.len();
        self.bytes[start..self.room].copy_from_slice(&head);
        &self.bytes[start..]
    }
}

impl NewSection<'_> {
    fn head(&self, out: &mut Vec<'_, u8>) {
        varint::put(out, self.table.0);
        varint::put(out, u64::from(self.schema.cast_unsigned()));
        varint::put(out, u64::from(self.inserted));
        if self.inserted > 0 {
            varint::put(out, self.first.rowset.0);
            varint::put(out, u64::from(self.first.row));
            varint::put(out, self.rows as u64);
        }
        varint::put(out, self.deleted.len() as u64);
        if !self.deleted.is_empty() {
            varint::put(out, self.keys as u64);
        }
        for group in self.deleted.chunk_by(|a, b| a.rowset == b.rowset) {
            varint::put(out, group[0].rowset.0);
            varint::put(out, group.len() as u64);
            let mut last = 0;
            for row in group {
                varint::put(out, varint::zigzag(i64::from(row.row) - last));
                last = i64::from(row.row);
            }
        }
    }
}
