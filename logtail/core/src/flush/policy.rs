//! `FlushPolicy`: which tables are due.

use std::{fmt, time::Duration};

use super::parts::FlushParts;
use crate::ids::TableId;

/// Decides which tables are flushed, and says why. A pure function: it keeps nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FlushPolicy {
    /// A table whose rows take this much memory, in bytes, or whose deletes of flushed rows do. Default: 64 MiB.
    pub table_bytes: usize,
    /// Once all tables take this much, the largest ones are flushed, until the rest takes half. Default: 512 MiB.
    pub memory_bytes: usize,
    /// A table whose oldest row, or oldest delete of a flushed row, is in memory for this long. Default: 1 minute.
    pub age: Duration,
}

impl Default for FlushPolicy {
    fn default() -> Self {
        Self { table_bytes: 64 << 20, memory_bytes: 512 << 20, age: Duration::from_secs(60) }
    }
}

/// What a table has in memory.
#[derive(Clone, Copy, Debug)]
pub struct TableMemory {
    /// The table.
    pub table: TableId,
    /// Its rows, with their deletes.
    pub rows: MemoryUse,
    /// Deletes of its rows in objects.
    pub deletes: MemoryUse,
}

/// What takes memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryUse {
    /// How much, in bytes: 0 for nothing.
    pub bytes: usize,
    /// For how long the oldest of it is there.
    pub age: Duration,
}

/// A table that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The table.
    pub table: TableId,
    /// Why its rows are flushed, if they are.
    pub rows: Option<FlushReason>,
    /// Why its deletes are, if they are.
    pub deletes: Option<FlushReason>,
}

/// Why something is flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushReason {
    /// It takes [`FlushPolicy::table_bytes`].
    Size,
    /// Something of it is [`FlushPolicy::age`] old.
    Age,
    /// All tables take [`FlushPolicy::memory_bytes`], and this one is one of the largest.
    Memory,
}

impl fmt::Display for FlushReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "it takes as much memory as a table may",
            Self::Age => "it has been in memory for as long as it may",
            Self::Memory => "all tables take as much memory as they may, and this one has the most",
        })
    }
}

impl TableMemory {
    /// All bytes.
    pub fn bytes(&self) -> usize {
        self.rows.bytes.saturating_add(self.deletes.bytes)
    }
}

impl Due {
    /// What is to be flushed.
    pub fn parts(&self) -> FlushParts {
        FlushParts { rows: self.rows.is_some(), deletes: self.deletes.is_some() }
    }
}

impl FlushPolicy {
    /// The tables that are due, of those that have something in memory, the largest first.
    pub fn due(&self, tables: &[TableMemory]) -> Vec<Due> {
        let mut tables = tables.to_vec();
        tables.sort_by_key(|table| std::cmp::Reverse((table.bytes(), table.table)));
        let total: usize = tables.iter().map(TableMemory::bytes).sum();
        let mut over = if total >= self.memory_bytes { total - self.memory_bytes / 2 } else { 0 };
        let mut due = Vec::new();
        for table in tables {
            let needs_memory = over > 0;
            let (rows, deletes) = (self.reason(table.rows, needs_memory), self.reason(table.deletes, needs_memory));
            let bytes = |reason: Option<_>, part: MemoryUse| reason.map_or(0, |_| part.bytes);
            over = over.saturating_sub(bytes(rows, table.rows) + bytes(deletes, table.deletes));
            if rows.is_some() || deletes.is_some() {
                due.push(Due { table: table.table, rows, deletes });
            }
        }
        due
    }

    fn reason(&self, part: MemoryUse, needs_memory: bool) -> Option<FlushReason> {
        match part {
            MemoryUse { bytes: 0, .. } => None,
            MemoryUse { bytes, .. } if bytes >= self.table_bytes => Some(FlushReason::Size),
            _ if needs_memory => Some(FlushReason::Memory),
            MemoryUse { age, .. } => (age >= self.age).then_some(FlushReason::Age),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(mib: usize, seconds: u64) -> MemoryUse {
        MemoryUse { bytes: mib << 20, age: Duration::from_secs(seconds) }
    }

    fn table(table: u64, rows: MemoryUse, deletes: MemoryUse) -> TableMemory {
        TableMemory { table: TableId(table), rows, deletes }
    }

    fn due(tables: &[TableMemory]) -> Vec<(u64, Option<FlushReason>, Option<FlushReason>)> {
        FlushPolicy::default().due(tables).into_iter().map(|due| (due.table.0, due.rows, due.deletes)).collect()
    }

    #[test]
    fn tables_are_due_by_size_and_age() {
        let none = MemoryUse::default();
        assert_eq!(due(&[table(1, part(1, 0), none), table(2, part(63, 59), part(1, 59))]), []);
        let (size, age) = (Some(FlushReason::Size), Some(FlushReason::Age));
        assert_eq!(
            due(&[table(1, part(1, 60), none), table(2, part(64, 0), part(1, 0)), table(3, part(2, 0), part(1, 61))]),
            [(2, size, None), (3, None, age), (1, age, None)]
        );
        assert_eq!(due(&[table(1, part(0, 70), part(64, 0))]), [(1, None, size)]);
    }

    #[test]
    fn the_largest_go_until_half_of_the_memory_is_free() {
        let mib = |id: u64| if id.is_multiple_of(2) { 50 } else { 3 };
        let tables: Vec<_> = (0..20).map(|id| table(id, part(mib(id) - 1, 0), part(1, 0))).collect();
        let due = due(&tables);
        // 530 MiB of 512: 274 are to go, in pieces of 50.
        assert_eq!(due.len(), 6);
        let memory = Some(FlushReason::Memory);
        assert!(due.iter().all(|(id, rows, deletes)| id % 2 == 0 && *rows == memory && *deletes == memory));
    }
}
