//! `FlushParts`: what of a table is flushed.

/// What of a table is flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushParts {
    /// The rows that are in memory, with their deletes.
    pub rows: bool,
    /// The deletes of rows that are in objects.
    pub deletes: bool,
}

impl FlushParts {
    /// All that is in memory.
    pub const ALL: Self = Self { rows: true, deletes: true };
    /// Rows alone.
    pub const ROWS: Self = Self { rows: true, deletes: false };
    /// Deletes of objects' rows alone.
    pub const DELETES: Self = Self { rows: false, deletes: true };
}
