//! `ObjectWriter`: rows become the bytes of an object.

use std::{collections::VecDeque, sync::Arc};

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, cast::AsArray, types::Int64Type};
use arrow_schema::Schema;
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use logboom_logtail_core::{
    ColumnId, ObjectId, TableId,
    block_meta::{BLOCK_ROWS_MAX, BLOCKS_MAX, BlockMeta, ObjectKind, ObjectMeta},
};
use parquet::file::writer::SerializedFileWriter;

use crate::{
    checksums::{self, Checksums},
    error::WriteError,
    object_bytes::ObjectBytes,
    object_memory::ObjectMemory,
    object_schema::ObjectSchema,
    open_block::{KeyBounds, OpenBlock, ends, extremes},
    options::WriteOptions,
    row_group::{Encoding, RowGroup},
    size::value_bytes,
};

/// Rows are encoded in pieces of a sixteenth of what a row group may have, within these bounds, so that it is noticed
/// in time that a block must end.
const PIECE_BYTES: std::ops::RangeInclusive<usize> = 4 << 10..=4 << 20;

/// The rows of a block.
const BLOCK_ROWS: usize = BLOCK_ROWS_MAX as usize;

/// Writes the rows of one object, block by block, to memory.
///
/// The bytes depend on the rows, the schema and the options alone, not on the batches that the rows come in.
pub struct ObjectWriter {
    spec: ObjectSpec,
    options: WriteOptions,
    schema: ObjectSchema,
    encoding: Encoding,
    file: SerializedFileWriter<ObjectBytes>,
    /// Rows that do not make a block yet, with their commit timestamps.
    pending: VecDeque<RecordBatch>,
    pending_rows: usize,
    group: Option<RowGroup>,
    block: OpenBlock,
    blocks: Vec<BlockMeta>,
    /// The highest key of the last block.
    last_key: Option<Vec<u8>>,
    checksums: Checksums,
}

/// Which object is written.
#[derive(Clone, Debug)]
pub struct ObjectSpec {
    /// Its id.
    pub id: ObjectId,
    /// The table that it is of.
    pub table: TableId,
    /// The version of the table's schema.
    pub schema_version: i32,
    /// What its rows are.
    pub kind: ObjectKind,
    /// The columns, which carry their ids as `PARQUET:field_id` in their metadata. What else is in the metadata of the
    /// schema is not stored.
    pub schema: Arc<Schema>,
    /// The columns of the primary key; none for a table without one.
    pub key: Vec<ColumnId>,
    /// Whether the rows come sorted by the key, which is noticed where batches meet, and in debug builds everywhere. If
    /// not, the keys of all rows are encoded to find the bounds of blocks.
    pub sorted: bool,
}

/// An object that was written.
#[derive(Clone, Debug)]
pub struct WrittenObject {
    /// Its bytes, a Parquet file.
    pub bytes: Bytes,
    /// Its metadata. Timestamps of creation and truncation points are zero until the flush or merge sets them.
    pub meta: ObjectMeta,
}

impl ObjectWriter {
    /// Begins an object.
    ///
    /// # Errors
    /// [`WriteError`] for a schema, key or option that objects cannot have.
    pub fn new(spec: ObjectSpec, options: WriteOptions) -> Result<Self, WriteError> {
        Self::with(spec, options, true)
    }

    /// Begins an object of a load, whose rows all commit at one timestamp, which is not known yet: they are written
    /// without, and [`BlockMeta`]s state it once it is known.
    ///
    /// # Errors
    /// As [`ObjectWriter::new`].
    pub fn of_load(spec: ObjectSpec, options: WriteOptions) -> Result<Self, WriteError> {
        Self::with(spec, options, false)
    }

    /// Has the bytes lie in this memory, which they are left in when they are dropped.
    #[must_use]
    pub fn reusing(mut self, memory: &ObjectMemory) -> Self {
        self.file.inner_mut().reuse(memory);
        self
    }

    fn with(spec: ObjectSpec, options: WriteOptions, has_commits: bool) -> Result<Self, WriteError> {
        let schema = ObjectSchema::new(&spec.schema, &spec.key, has_commits)?;
        let encoding = Encoding::new(&schema, &options)?;
        let file = encoding.file()?;
        Ok(Self {
            checksums: Checksums::new(encoding.leaves()),
            spec,
            options,
            schema,
            encoding,
            file,
            pending: VecDeque::new(),
            pending_rows: 0,
            group: None,
            block: OpenBlock::new(0),
            blocks: Vec::new(),
            last_key: None,
        })
    }

    /// Appends rows, each with its commit timestamp; without any in an [object of a load](ObjectWriter::of_load). An
    /// object that [is full](ObjectWriter::is_full) leaves them out.
    ///
    /// # Errors
    /// [`WriteError`] for rows that are not of the object's schema or not sorted. The object is of no use then.
    pub fn write<'c>(
        &mut self,
        rows: &RecordBatch,
        commits: impl Into<Option<&'c Int64Array>>,
    ) -> Result<(), WriteError> {
        self.write_in_pieces(rows, commits, &mut || {})
    }

    /// As [`ObjectWriter::write`], in pieces of a column each, which take a fraction of a millisecond unless values are
    /// large. `between` is called between them.
    ///
    /// # Errors
    /// As [`ObjectWriter::write`].
    pub fn write_in_pieces<'c>(
        &mut self,
        rows: &RecordBatch,
        commits: impl Into<Option<&'c Int64Array>>,
        between: &mut dyn FnMut(),
    ) -> Result<(), WriteError> {
        let commits = commits.into();
        check_commits(if self.schema.has_commits { rows.num_rows() } else { 0 }, commits)?;
        let commits = commits.map(|commits| Arc::new(commits.clone()) as ArrayRef);
        let columns = rows.columns().iter().cloned().chain(commits.filter(|_| self.schema.has_commits)).collect();
        let rows = RecordBatch::try_new(Arc::clone(&self.schema.arrow), columns).map_err(WriteError::Rows)?;
        if rows.num_rows() > 0 && !self.is_full() {
            self.pending_rows += rows.num_rows();
            self.pending.push_back(rows);
        }
        while self.pending_rows >= BLOCK_ROWS && !self.is_full() {
            self.write_pending(between)?;
        }
        Ok(())
    }

    /// Whether the object takes no more rows.
    pub fn is_full(&self) -> bool {
        // Without rows it has bytes too, and takes some however few it may have.
        let is_large = || !self.blocks.is_empty() && self.bytes_written() >= self.options.object_bytes;
        self.blocks.len() >= BLOCKS_MAX || (self.group.is_none() && is_large())
    }

    /// The bytes of memory that are held: what of the object is written, and the row group that is not yet. Left out
    /// are rows of less than a block that wait for more: they are in the batches that they came in, or in a copy of the
    /// rows of a block where such have several.
    pub fn memory_bytes(&self) -> usize {
        self.file.inner().allocated_bytes() + self.group.as_ref().map_or(0, RowGroup::memory_bytes)
    }

    /// The object, with at least one row. It has the first of the rows that were written, and all of them if it has not
    /// become full; [`ObjectMeta::rows`] says how many. The next object begins behind them.
    ///
    /// # Errors
    /// [`WriteError::Empty`] without rows.
    pub fn finish(self) -> Result<WrittenObject, WriteError> {
        self.finish_in_pieces(&mut || {})
    }

    /// As [`ObjectWriter::finish`], in pieces as [`ObjectWriter::write_in_pieces`] has them.
    ///
    /// # Errors
    /// As [`ObjectWriter::finish`].
    pub fn finish_in_pieces(mut self, between: &mut dyn FnMut()) -> Result<WrittenObject, WriteError> {
        while self.pending_rows > 0 && !self.is_full() {
            self.write_pending(between)?;
        }
        self.end_group(between)?;
        if self.blocks.is_empty() {
            return Err(WriteError::Empty);
        }
        let footer_offset = self.bytes_written();
        let checksums = self.checksums.encode();
        self.file.write_all(&checksums).map_err(|error| parquet::errors::ParquetError::External(error.into()))?;
        let bytes = self.file.into_inner()?.finish();
        let start = usize::try_from(footer_offset).unwrap_or(usize::MAX);
        let meta = ObjectMeta {
            id: self.spec.id,
            table: self.spec.table,
            kind: self.spec.kind,
            schema_version: self.spec.schema_version,
            bytes: bytes.len() as u64,
            footer_offset,
            footer_crc: checksums::of_range(&bytes, start..bytes.len()),
            blocks: self.blocks,
        };
        Ok(WrittenObject { bytes, meta })
    }

    fn bytes_written(&self) -> u64 {
        self.file.bytes_written() as u64
    }

    /// Writes a block of the pending rows: all of them, as many as a block has, or fewer where they are too large.
    fn write_pending(&mut self, between: &mut dyn FnMut()) -> Result<(), WriteError> {
        let rows = self.take_pending()?;
        let piece_bytes = (self.options.row_group_bytes / 16).clamp(*PIECE_BYTES.start(), *PIECE_BYTES.end());
        let piece_rows = rows_of(&rows, piece_bytes);
        let mut start = 0;
        while start < rows.num_rows() {
            let piece = rows.slice(start, piece_rows.min(rows.num_rows() - start));
            start += piece.num_rows();
            if self.write_piece(&piece, &rows, between)? {
                break;
            }
        }
        if start < rows.num_rows() {
            let rest = rows.slice(start, rows.num_rows() - start);
            self.pending_rows += rest.num_rows();
            self.pending.push_front(rest);
        }
        self.end_block();
        // It is full where the block has ended early, so all blocks of a row group but its last have as many rows.
        if self.group.as_ref().is_some_and(|group| group.is_full(&self.options)) {
            self.end_group(between)?;
        }
        Ok(())
    }

    /// Takes the rows of the next block.
    fn take_pending(&mut self) -> Result<RecordBatch, WriteError> {
        let (mut block, mut room) = (Vec::new(), BLOCK_ROWS);
        while room > 0
            && let Some(first) = self.pending.pop_front()
        {
            let len = first.num_rows().min(room);
            block.push(first.slice(0, len));
            if len < first.num_rows() {
                self.pending.push_front(first.slice(len, first.num_rows() - len));
            }
            room -= len;
        }
        self.pending_rows -= BLOCK_ROWS - room;
        match block.as_slice() {
            [one] => Ok(one.clone()),
            several => concat_batches(&self.schema.arrow, several).map_err(WriteError::Rows),
        }
    }

    /// Writes rows of the open block, of which `block` are all. Whether the block must end with them.
    fn write_piece(
        &mut self,
        rows: &RecordBatch,
        block: &RecordBatch,
        between: &mut dyn FnMut(),
    ) -> Result<bool, WriteError> {
        let keys = self.keys_of(rows)?;
        let group = match &mut self.group {
            Some(group) => group,
            none => none.insert(self.encoding.row_group(block.columns())?),
        };
        group.write(&self.schema.arrow, rows.columns(), between)?;
        let commits = rows.columns().last().filter(|_| self.schema.has_commits);
        let commits = commits.and_then(|column| column.as_primitive_opt::<Int64Type>());
        self.block.add(u32::try_from(rows.num_rows()).unwrap_or(u32::MAX), keys, commits);
        Ok(group.memory_bytes() >= self.options.row_group_bytes)
    }

    /// The lowest and the highest key of `rows`.
    fn keys_of(&self, rows: &RecordBatch) -> Result<KeyBounds, WriteError> {
        let Some(encoder) = &self.schema.encoder else { return Ok(None) };
        let key: Vec<ArrayRef> = self.schema.key.iter().map(|at| Arc::clone(rows.column(*at))).collect();
        if !self.spec.sorted {
            return Ok(extremes(encoder, &key)?.0);
        }
        let unsorted = |row| WriteError::Unsorted { row: self.block.next_row().saturating_add(row) };
        let bounds = match cfg!(debug_assertions) {
            false => ends(encoder, &key)?,
            true => match extremes(encoder, &key)? {
                (_, Some(row)) => return Err(unsorted(u32::try_from(row).unwrap_or(u32::MAX))),
                (bounds, None) => bounds,
            },
        };
        let before = self.block.high_key().or(self.last_key.as_deref());
        match &bounds {
            Some((low, high)) if low > high || before.is_some_and(|before| before > low.as_slice()) => Err(unsorted(0)),
            _ => Ok(bounds),
        }
    }

    fn end_block(&mut self) {
        let next = OpenBlock::new(self.block.next_row());
        let block = std::mem::replace(&mut self.block, next);
        self.last_key = block.high_key().map(<[u8]>::to_vec);
        self.blocks.push(block.finish(self.spec.sorted));
        self.group.iter_mut().for_each(RowGroup::end_block);
    }

    fn end_group(&mut self, between: &mut dyn FnMut()) -> Result<(), WriteError> {
        if let Some(group) = self.group.take() {
            let (blocks, columns) = group.finish(&mut self.file, self.options.object_bytes, between)?;
            self.checksums.push(blocks, &columns);
        }
        Ok(())
    }
}

fn check_commits(rows: usize, commits: Option<&Int64Array>) -> Result<(), WriteError> {
    let len = commits.map_or(0, Int64Array::len);
    let found = len - commits.map_or(0, |commits| commits.null_count());
    if len != rows || found != rows {
        return Err(WriteError::Commits { rows, found });
    }
    match commits.into_iter().flat_map(|commits| commits.values()).find(|value| **value < 0) {
        Some(value) => Err(WriteError::Timestamp { value: *value }),
        None => Ok(()),
    }
}

/// How many rows of `rows` have so many bytes, at least one.
fn rows_of(rows: &RecordBatch, piece_bytes: usize) -> usize {
    let row_bytes = rows.columns().iter().map(value_bytes).sum::<usize>() / rows.num_rows().max(1);
    (piece_bytes / row_bytes.max(1)).max(1)
}
