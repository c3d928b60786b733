//! `Transfer`: where a flush moved rows to.

use std::collections::BTreeMap;

use crate::ids::{RowId, RowsetId};

/// Marks a row that was not moved: it was deleted below the horizon.
const DROPPED: u32 = u32::MAX;

/// Where the rows of memtables are after a flush.
///
/// Rows keep their commit timestamps, but not their places. Who deletes a row that it saw at its old place, in a
/// transaction that began before the flush, deletes it at the new one.
#[derive(Debug, Default)]
pub struct Transfer {
    /// By memtable and position: the row's position among all rows of the flush.
    positions: BTreeMap<RowsetId, Vec<u32>>,
    /// The objects of the flush, each with the position of its first row among all.
    objects: Vec<(RowsetId, u32)>,
}

impl Transfer {
    /// Rows of these memtables, with as many positions each, none of which is moved yet.
    pub(crate) fn new(memtables: impl IntoIterator<Item = (RowsetId, u32)>) -> Self {
        let dropped = |(id, len): (_, u32)| (id, vec![DROPPED; len as usize]);
        Self { positions: memtables.into_iter().map(dropped).collect(), objects: Vec::new() }
    }

    pub(crate) fn set(&mut self, row: RowId, position: u32) {
        if let Some(to) = self.positions.get_mut(&row.rowset).and_then(|rows| rows.get_mut(row.row as usize)) {
            *to = position;
        }
    }

    /// The rows from position `first` on, in the order of the flush, are in this object.
    pub fn begin_object(&mut self, object: RowsetId, first: u32) {
        self.objects.push((object, first));
    }

    /// Whether the flush moved the rows of a memtable.
    pub fn has(&self, rowset: RowsetId) -> bool {
        self.positions.contains_key(&rowset)
    }

    /// The memtables whose rows were moved.
    pub fn memtables(&self) -> impl Iterator<Item = RowsetId> + '_ {
        self.positions.keys().copied()
    }

    /// Where a row is now; `None` where it is dropped, or the flush did not move it.
    pub fn get(&self, row: RowId) -> Option<RowId> {
        let position = *self.positions.get(&row.rowset)?.get(row.row as usize)?;
        if position == DROPPED {
            return None;
        }
        let at = self.objects.partition_point(|(_, first)| *first <= position).checked_sub(1)?;
        let (rowset, first) = self.objects[at];
        Some(RowId { rowset, row: position - first })
    }
}
