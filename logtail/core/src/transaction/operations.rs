//! `Operations`: what a transaction does to a table.

use std::{borrow::Cow, cmp::Ordering, ops::Range, sync::Arc};

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_schema::ArrowError;
use arrow_select::filter::FilterBuilder;
use bumpalo::{Bump, collections::Vec as BumpVec};
use hashbrown::HashSet;

use super::error::OperationError;
use crate::{
    catalog::TableSchema,
    ids::RowId,
    key::Keys,
    record::CommitBuilder,
    rows::{self, EncodeError},
    table::KeyIndex,
};

/// What a transaction does to a table: batches of rows and of keys, in their order.
///
/// Each row of a batch is an operation on its key. The first operation on a key says what must be there at the
/// snapshot, the last one what is there afterwards; those in between are never logged.
#[derive(Debug)]
pub struct Operations {
    schema: Arc<TableSchema>,
    batches: Vec<Batch>,
    /// The key of each operation, and the newest operation of each key; for tables with a key.
    keys: Keys,
    newest: KeyIndex,
    /// By operation: the row that is at the snapshot, where the operation is the first one on its key. Rows that are
    /// inserted without a key need not be there.
    found: Vec<Option<RowId>>,
    /// By operation: whether it is the last one on its key; for tables with a key.
    last: Vec<bool>,
    /// The rows that are deleted by their ids.
    deleted: HashSet<RowId>,
}

#[derive(Debug)]
struct Batch {
    kind: Kind,
    /// The table's columns, or the key's for deletes by key.
    columns: Vec<ArrayRef>,
    /// The number of its first operation.
    first: u32,
    len: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Insert,
    Upsert,
    Delete,
    /// By their ids, which are in `found`.
    DeleteRows,
}

/// A key whose row at the snapshot is to be found before the commit.
#[derive(Clone, Copy, Debug)]
pub struct KeyToFind<'a> {
    /// The number of its operation, for [`Operations::set_found`].
    pub operation: u32,
    /// The encoded key.
    pub key: &'a [u8],
    /// Whether a row that is there is a duplicate, rather than one that is deleted.
    pub must_be_absent: bool,
}

impl Operations {
    pub(super) fn new(schema: Arc<TableSchema>) -> Self {
        let keys = schema.key_columns().map_or_else(Keys::default, |key| key.no_keys());
        let (batches, found, last) = (Vec::new(), Vec::new(), Vec::new());
        Self { schema, batches, keys, newest: KeyIndex::default(), found, last, deleted: HashSet::new() }
    }

    /// The table, at the transaction's snapshot.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    pub(super) fn insert(&mut self, rows: &RecordBatch) -> Result<(), OperationError> {
        check_columns(&self.schema, rows)?;
        self.add(Kind::Insert, rows.columns().to_vec(), rows.num_rows())
    }

    pub(super) fn upsert(&mut self, rows: &RecordBatch) -> Result<(), OperationError> {
        check_columns(&self.schema, rows)?;
        self.upsert_columns(rows.columns().to_vec())
    }

    /// Upserts rows whose columns are those of the table.
    pub(super) fn upsert_columns(&mut self, columns: Vec<ArrayRef>) -> Result<(), OperationError> {
        let rows = columns.first().map_or(0, |column| column.len());
        let kind = if self.schema.key_columns().is_some() { Kind::Upsert } else { Kind::Insert };
        self.add(kind, columns, rows)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.operations() == 0
    }

    pub(super) fn delete(&mut self, keys: &[ArrayRef]) -> Result<(), OperationError> {
        if self.schema.key_columns().is_none() {
            return Err(OperationError::NoKey(self.schema.id()));
        }
        self.add(Kind::Delete, keys.to_vec(), keys.first().map_or(0, |column| column.len()))
    }

    pub(super) fn delete_rows(&mut self, rows: &[RowId]) -> Result<(), OperationError> {
        if self.schema.key_columns().is_some() {
            return Err(OperationError::HasKey(self.schema.id()));
        }
        let first = self.operations();
        // A row can be deleted once.
        let rows: Vec<RowId> = rows.iter().copied().filter(|row| self.deleted.insert(*row)).collect();
        self.add(Kind::DeleteRows, Vec::new(), rows.len())?;
        for (found, row) in self.found.iter_mut().skip(first as usize).zip(rows) {
            *found = Some(row);
        }
        Ok(())
    }

    /// The keys to look up at the snapshot before the commit.
    pub fn keys_to_find(&self) -> impl Iterator<Item = KeyToFind<'_>> {
        let batches =
            self.batches.iter().flat_map(|batch| (batch.first..batch.first + batch.len).map(move |at| (at, batch)));
        batches.filter(|(at, _)| self.newest.older(*at).is_none()).filter_map(|(operation, batch)| {
            let key = self.keys.get(operation as usize)?;
            Some(KeyToFind { operation, key, must_be_absent: batch.kind == Kind::Insert })
        })
    }

    /// Looks up each key that is to be found, by `find`, which gives the row that has it at the snapshot.
    pub fn find(&mut self, mut find: impl FnMut(&[u8]) -> Option<RowId>) {
        let found: Vec<_> = self.keys_to_find().map(|wanted| (wanted.operation, find(wanted.key))).collect();
        found.into_iter().for_each(|(operation, row)| self.set_found(operation, row));
    }

    /// The rows that are deleted by their ids: they must be there at the snapshot.
    pub fn deleted_rows(&self) -> impl Iterator<Item = RowId> + '_ {
        self.deleted.iter().copied()
    }

    /// Says which row has the key of `operation` at the snapshot, if any has.
    pub fn set_found(&mut self, operation: u32, row: Option<RowId>) {
        if let Some(found) = self.found.get_mut(operation as usize) {
            *found = row;
        }
    }

    /// The keys of the rows that will be there.
    pub(crate) fn inserted_keys(&self) -> impl Iterator<Item = &[u8]> {
        let writing = self.batches.iter().filter(|batch| matches!(batch.kind, Kind::Insert | Kind::Upsert));
        let rows = writing.flat_map(|batch| batch.first..batch.first + batch.len);
        rows.filter(|at| self.last.get(*at as usize) == Some(&true)).filter_map(|at| self.keys.get(at as usize))
    }

    /// A row at the snapshot with a key that must be absent there.
    pub(crate) fn duplicate(&self) -> Option<RowId> {
        let inserts = self.batches.iter().filter(|batch| batch.kind == Kind::Insert);
        let found = inserts.flat_map(|batch| batch.first..batch.first + batch.len);
        found.filter_map(|at| *self.found.get(at as usize)?).next()
    }

    pub(super) fn sections(&self) -> usize {
        self.batches.len()
    }

    pub(super) fn deleted(&self) -> usize {
        self.found.iter().flatten().count()
    }

    /// Adds a section for each batch: the rows that stay, and the rows at the snapshot that go.
    pub(super) fn encode<'b>(&self, arena: &'b Bump, builder: &mut CommitBuilder<'b>) -> Result<(), OperationError> {
        let table = (self.schema.id(), self.schema.version());
        let rows_failed = |source| OperationError::Rows { table: table.0, source };
        let filter_failed = |source: ArrowError| OperationError::Filter { table: table.0, why: source.to_string() };
        for batch in &self.batches {
            let range = batch.first as usize..(batch.first + batch.len) as usize;
            let found = self.found.get(range.clone()).unwrap_or_default();
            let mut deleted = BumpVec::with_capacity_in(found.iter().flatten().count(), arena);
            deleted.extend(found.iter().flatten().copied());
            let rows = match batch.kind {
                Kind::Insert | Kind::Upsert => self.surviving(batch, range).map_err(filter_failed)?,
                Kind::Delete | Kind::DeleteRows => Rows::none(),
            };
            let keys = self.keys_of(batch, found).map_err(filter_failed)?;
            if rows.len == 0 && deleted.is_empty() {
                continue;
            }
            builder
                .section(table, rows.len, |out| rows.encode(out), deleted.into_bump_slice_mut(), |out| keys.encode(out))
                .map_err(rows_failed)?;
        }
        Ok(())
    }

    /// The rows of a batch that are there after the transaction.
    fn surviving<'a>(&self, batch: &'a Batch, range: Range<usize>) -> Result<Rows<'a>, ArrowError> {
        match self.last.get(range) {
            Some(last) if last.contains(&false) => Rows::filtered(&batch.columns, last.iter().copied()),
            _ => Ok(Rows { columns: Cow::Borrowed(&batch.columns), len: batch.len }),
        }
    }

    /// The keys of the rows at the snapshot that a batch deletes.
    fn keys_of(&self, batch: &Batch, found: &[Option<RowId>]) -> Result<Rows<'static>, ArrowError> {
        let Some(key) = self.schema.key_columns().filter(|_| found.iter().any(Option::is_some)) else {
            return Ok(Rows::none());
        };
        let columns = match batch.kind {
            Kind::Delete => batch.columns.clone(),
            _ => key.of(&batch.columns).cloned().collect(),
        };
        Rows::filtered(&columns, found.iter().map(Option::is_some))
    }

    /// Adds a batch, after checking its keys.
    fn add(&mut self, kind: Kind, columns: Vec<ArrayRef>, len: usize) -> Result<(), OperationError> {
        if len == 0 {
            return Ok(());
        }
        let first = self.operations();
        // At most `ROWS_MAX` operations, which the workspace has checked.
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let end = (first + len) as usize;
        if let Some(key) = self.schema.key_columns() {
            let table = self.schema.id();
            let own: Vec<_> = if kind == Kind::Delete { columns.clone() } else { key.of(&columns).cloned().collect() };
            let encoded = key.encoder().encode_into(&own, &mut self.keys);
            encoded.map_err(|source| OperationError::Key { table, source })?;
            self.found.resize(end, None);
            self.last.resize(end, true);
            self.batches.push(Batch { kind, columns, first, len });
            if let Err(duplicate) = self.index(kind, first..first + len) {
                self.batches.pop();
                self.keys.truncate(first as usize);
                self.found.truncate(first as usize);
                self.last.truncate(first as usize);
                return Err(OperationError::DuplicateKey { table, row: (duplicate - first) as usize });
            }
            return Ok(());
        }
        if kind == Kind::DeleteRows {
            self.found.resize(end, None);
        }
        self.batches.push(Batch { kind, columns, first, len });
        Ok(())
    }

    /// Indexes the keys of new operations; all of them, or none where one inserts a key that the transaction wrote
    /// before, of which it returns the number.
    fn index(&mut self, kind: Kind, operations: Range<u32>) -> Result<(), u32> {
        let Self { keys, newest, last, batches, .. } = self;
        newest.reserve(operations.len());
        let key = |operation: u32| keys.get(operation as usize).unwrap_or_default();
        for operation in operations.clone() {
            newest.insert(operation, key);
            let Some(before) = newest.older(operation) else { continue };
            if kind == Kind::Insert && writes(batches, before) {
                for operation in (operations.start..=operation).rev() {
                    if let Some(before) = newest.older(operation) {
                        last[before as usize] = true;
                    }
                    newest.remove(operation, key);
                }
                return Err(operation);
            }
            last[before as usize] = false;
        }
        Ok(())
    }

    fn operations(&self) -> u32 {
        self.batches.last().map_or(0, |batch| batch.first + batch.len)
    }
}

/// Refuses rows whose columns are not the table's in name, type and nulls.
pub(crate) fn check_columns(schema: &TableSchema, rows: &RecordBatch) -> Result<(), OperationError> {
    let (table, wanted, given) = (schema.id(), schema.arrow().fields(), rows.schema_ref().fields());
    let refuse = |at, why| Err(OperationError::Schema { table, at, why });
    for (at, (wanted, given)) in wanted.iter().zip(given).enumerate() {
        if wanted.name() != given.name() {
            return refuse(at, "its name is another one");
        }
        if wanted.data_type() != given.data_type() {
            return refuse(at, "its type is another one");
        }
        if !wanted.is_nullable() && rows.columns().get(at).is_some_and(|column| column.null_count() > 0) {
            return refuse(at, "it has nulls");
        }
    }
    match given.len().cmp(&wanted.len()) {
        Ordering::Less => refuse(given.len(), "it is missing"),
        Ordering::Greater => refuse(wanted.len(), "the table has no such column"),
        Ordering::Equal => Ok(()),
    }
}

/// Whether an operation leaves a row with its key.
fn writes(batches: &[Batch], operation: u32) -> bool {
    let at = batches.partition_point(|batch| batch.first <= operation);
    at.checked_sub(1).is_some_and(|at| matches!(batches[at].kind, Kind::Insert | Kind::Upsert))
}

/// Rows to encode.
struct Rows<'a> {
    columns: Cow<'a, [ArrayRef]>,
    len: u32,
}

impl Rows<'_> {
    fn none() -> Self {
        Self { columns: Cow::Borrowed(&[]), len: 0 }
    }

    /// Those rows of `columns` for which `keep` says so.
    fn filtered(columns: &[ArrayRef], keep: impl Iterator<Item = bool>) -> Result<Self, ArrowError> {
        let keep = BooleanArray::new(BooleanBuffer::from_iter(keep), None);
        let predicate = FilterBuilder::new(&keep).optimize().build();
        let columns = columns.iter().map(|column| predicate.filter(column)).collect::<Result<Vec<_>, _>>()?;
        // A column has no more rows than a batch, which `u32` counts.
        Ok(Self { columns: Cow::Owned(columns), len: u32::try_from(predicate.count()).unwrap_or(u32::MAX) })
    }

    fn encode(&self, out: &mut BumpVec<'_, u8>) -> Result<(), EncodeError> {
        if self.len == 0 { Ok(()) } else { rows::encode(&self.columns, 0..self.len as usize, out) }
    }
}
