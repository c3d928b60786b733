//! `Transaction`: reads at a timestamp, and writes at another.

use std::{cell::Cell, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch};
use bumpalo::Bump;
use logboom_logtail_core::{RowId, TableId, Timestamp, catalog::Catalog, transaction::Workspace, writer::Outcome};

use crate::{
    admission::{Admission, admit},
    commit::Commit,
    error::Result,
    lookup::find_keys,
    shared::Shared,
};

/// A transaction: it reads at its snapshot, and writes all at its commit, or nothing. Dropping it rolls it back.
///
/// What it writes is checked at the commit against what others committed since the snapshot: of two transactions that
/// write the same key or delete the same row, the second is refused (snapshot isolation).
#[derive(Debug)]
pub struct Transaction {
    shared: Arc<Shared>,
    workspace: Workspace,
}

impl Transaction {
    pub(crate) fn new(shared: Arc<Shared>, workspace: Workspace) -> Self {
        Self { shared, workspace }
    }

    /// The timestamp at which the transaction reads.
    pub fn snapshot(&self) -> Timestamp {
        self.workspace.snapshot()
    }

    /// The catalog at the snapshot.
    pub fn catalog(&self) -> &Arc<Catalog> {
        self.workspace.catalog()
    }

    /// Names the transaction by a number of the client's choice. Committing another one with the same number, as a
    /// client does that did not hear of the first, gives the first one's timestamp and writes nothing. The last 65,536
    /// numbers are remembered.
    pub fn set_client_id(&mut self, id: u128) {
        self.workspace.set_client_id(id);
    }

    /// Inserts rows, whose columns are the table's. With a primary key, none of the keys may be there: neither at the
    /// snapshot, which is looked at when the transaction is committed, nor in the transaction.
    ///
    /// # Errors
    /// [`Error::Operation`](crate::Error::Operation); all rows are inserted, or none.
    pub fn insert(&mut self, table: TableId, rows: &RecordBatch) -> Result<()> {
        Ok(self.workspace.insert(table, rows)?)
    }

    /// Inserts rows, which replace those with the same keys. In a table without a key it inserts.
    ///
    /// # Errors
    /// As [`Transaction::insert`].
    pub fn upsert(&mut self, table: TableId, rows: &RecordBatch) -> Result<()> {
        Ok(self.workspace.upsert(table, rows)?)
    }

    /// Deletes the rows with these keys, given as the key's columns in its order. Keys that are not there at the
    /// snapshot are no error, and nothing is written for them: a row that another transaction has inserted since stays,
    /// and is no conflict.
    ///
    /// # Errors
    /// As [`Transaction::insert`].
    pub fn delete(&mut self, table: TableId, keys: &[ArrayRef]) -> Result<()> {
        Ok(self.workspace.delete(table, keys)?)
    }

    /// Deletes rows of a table without a key, by the places that a scan at the snapshot gave
    /// ([`Projection::row_ids`](crate::Projection::row_ids)). One that is named again is deleted already.
    ///
    /// # Errors
    /// As [`Transaction::insert`].
    pub fn delete_rows(&mut self, table: TableId, rows: &[RowId]) -> Result<()> {
        Ok(self.workspace.delete_rows(table, rows)?)
    }

    /// Commits, and waits until the transaction is durable and every reader that begins then sees it. Returns its
    /// timestamp; that of its snapshot where it writes nothing.
    ///
    /// # Errors
    /// As [`Transaction::submit`] and [`Commit::wait`].
    pub fn commit(self) -> Result<Timestamp> {
        self.place()?.wait()
    }

    /// Ends when there is memory for the transaction's rows: for those who must not wait in [`Transaction::submit`].
    pub fn admission(&self) -> Admission {
        Admission::new(Arc::clone(&self.shared), &self.workspace)
    }

    /// Gives the transaction its timestamp and its place in the log, and returns without waiting for the log's disk.
    /// Keys that may be in objects are looked up there. It waits where memory has no room for the rows
    /// ([`Transaction::admission`]), where the log has none, and while a [bulk load](crate::Load) of a table that it
    /// writes gets its place.
    ///
    /// # Errors
    /// [`Error::DuplicateKey`](crate::Error::DuplicateKey), [`Error::Conflict`](crate::Error::Conflict),
    /// [`Error::SnapshotTooOld`](crate::Error::SnapshotTooOld),
    /// [`Error::SchemaChanged`](crate::Error::SchemaChanged), [`Error::NoRow`](crate::Error::NoRow),
    /// [`Error::TooLarge`](crate::Error::TooLarge), [`Error::Full`](crate::Error::Full),
    /// [`Error::Log`](crate::Error::Log) and [`Error::Stopped`](crate::Error::Stopped); the transaction has no effect
    /// then.
    pub fn submit(self) -> Result<Commit> {
        let mut commit = self.place()?;
        commit.begin();
        Ok(commit)
    }

    /// Drops the transaction, which so has no effect.
    pub fn rollback(self) {}

    /// Gives the transaction its timestamp and its place in the log, which is not written yet.
    pub(crate) fn place(self) -> Result<Commit> {
        let shared = Arc::clone(&self.shared);
        self.try_place().inspect_err(|error| {
            let counts = &shared.counts;
            if error.is_refusal() { counts.refused.add(1) } else { counts.failed.add(1) }
        })
    }

    fn try_place(mut self) -> Result<Commit> {
        self.find_keys()?;
        admit(&self.shared, &self.workspace)?;
        let arena = Arena::take();
        let mut record = self.workspace.encode(&arena.0)?;
        let outcome = self.shared.commit(&self.workspace, &mut record)?;
        let (timestamp, ticket) = match outcome {
            Outcome::Proposed { timestamp, ticket, .. } => (timestamp, Some(ticket)),
            Outcome::Repeated { timestamp } => (timestamp, self.shared.ticket_of(timestamp)?),
            Outcome::Empty => (self.workspace.snapshot(), None),
        };
        Ok(Commit::new(self.shared, timestamp, ticket))
    }

    /// Looks the keys up at the snapshot.
    fn find_keys(&mut self) -> Result<()> {
        let snapshot = self.workspace.snapshot();
        let shared = &self.shared;
        self.workspace.tables_mut().iter_mut().try_for_each(|table| find_keys(shared, table, snapshot))
    }
}

/// An arena of the thread, which the next transaction uses again.
struct Arena(Bump);

/// What an arena may hold for the next transaction.
const ARENA_BYTES_MAX: usize = 4 << 20;

thread_local! {
    static ARENA: Cell<Option<Bump>> = const { Cell::new(None) };
}

impl Arena {
    fn take() -> Self {
        Self(ARENA.take().unwrap_or_default())
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let mut arena = std::mem::take(&mut self.0);
        arena.reset();
        if arena.allocated_bytes() <= ARENA_BYTES_MAX {
            ARENA.try_with(|kept| kept.set(Some(arena))).ok(); // At the end of a thread there is no next transaction.
        }
    }
}
