//! `FlushPolicy`: which tables are due.

use std::{fmt, time::Duration};

use crate::ids::TableId;

/// Decides which tables are flushed, and says why. A pure function: it keeps nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FlushPolicy {
    /// A table whose rows take this much memory, in bytes. Default: 64 MiB.
    pub table_bytes: usize,
    /// Once all tables take this much, the largest ones are flushed, until the rest takes half. Default: 512 MiB.
    pub memory_bytes: usize,
    /// A table whose oldest row, or oldest delete, is in memory for this long. Default: 1 minute.
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
    /// The bytes that its rows and deletes take.
    pub bytes: usize,
    /// For how long the oldest of them is there.
    pub age: Duration,
}

/// Why a table is flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushReason {
    /// It takes [`FlushPolicy::table_bytes`].
    Size,
    /// Something in it is [`FlushPolicy::age`] old.
    Age,
    /// All tables take [`FlushPolicy::memory_bytes`], and it is one of the largest.
    Memory,
}

impl fmt::Display for FlushReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "its rows take as much memory as a table may",
            Self::Age => "its rows have been in memory for as long as they may",
            Self::Memory => "all rows take as much memory as they may, and it has the most",
        })
    }
}

impl FlushPolicy {
    /// The tables that are due, of those that have something in memory, the largest first.
    pub fn due(&self, tables: &[TableMemory]) -> Vec<(TableId, FlushReason)> {
        let mut tables = tables.to_vec();
        tables.sort_by_key(|table| std::cmp::Reverse((table.bytes, table.table)));
        let total: usize = tables.iter().map(|table| table.bytes).sum();
        let mut over = if total >= self.memory_bytes { total - self.memory_bytes / 2 } else { 0 };
        let mut due = Vec::new();
        for table in tables {
            let reason = if table.bytes >= self.table_bytes {
                Some(FlushReason::Size)
            } else if over > 0 {
                Some(FlushReason::Memory)
            } else {
                (table.age >= self.age).then_some(FlushReason::Age)
            };
            if let Some(reason) = reason {
                over = over.saturating_sub(table.bytes);
                due.push((table.table, reason));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(table: u64, mib: usize, seconds: u64) -> TableMemory {
        TableMemory { table: TableId(table), bytes: mib << 20, age: Duration::from_secs(seconds) }
    }

    fn due(tables: &[TableMemory]) -> Vec<(u64, FlushReason)> {
        FlushPolicy::default().due(tables).into_iter().map(|(table, reason)| (table.0, reason)).collect()
    }

    #[test]
    fn tables_are_due_by_size_and_age() {
        assert_eq!(due(&[table(1, 1, 0), table(2, 63, 59)]), []);
        assert_eq!(due(&[table(1, 1, 60), table(2, 64, 0)]), [(2, FlushReason::Size), (1, FlushReason::Age)]);
    }

    #[test]
    fn the_largest_go_until_half_of_the_memory_is_free() {
        let tables: Vec<_> = (0..20).map(|id| table(id, if id % 2 == 0 { 50 } else { 3 }, 0)).collect();
        let due = due(&tables);
        // 530 MiB of 512: 274 are to go, in pieces of 50.
        assert_eq!(due.len(), 6);
        assert!(due.iter().all(|(id, reason)| id % 2 == 0 && *reason == FlushReason::Memory));
    }
}
