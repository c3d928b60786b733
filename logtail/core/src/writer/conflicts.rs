//! Finds what committed since a transaction's snapshot, and writes what it writes.

use std::{error::Error, sync::Arc};

use hashbrown::HashSet;

use super::error::CommitError;
use crate::{
    catalog::system::is_system,
    ids::{RowId, TableId},
    mutants::{self, Mutant},
    record::{CommitBuilder, NewSection},
    state::{Applier, Placed},
    table::Memtable,
    timestamp::Timestamp,
    transaction::{Operations, Workspace},
};

/// Checks a transaction whose keys were looked up at its snapshot: what was found then is right but for what committed
/// since, and that is in memory.
pub(super) fn check<E: Error>(
    applier: &Applier,
    workspace: &Workspace,
    record: &mut CommitBuilder<'_>,
) -> Result<(), CommitError<E>> {
    // Of a table of which all operations were refused, nothing is written.
    for operations in workspace.tables().iter().filter(|operations| !operations.is_empty()) {
        let table = operations.schema().id();
        check_schema(applier, workspace, operations)?;
        if let Some(row) = operations.duplicate()
            && !mutants::is_on(Mutant::DuplicatesIgnored)
        {
            return Err(CommitError::DuplicateKey { table, row });
        }
        if let Some(placed) = applier.table(table) {
            if placed.is_sealed() {
                return Err(CommitError::Loading(table));
            }
            if workspace.snapshot() < placed.known_since() {
                return Err(CommitError::SnapshotTooOld { table, oldest: placed.known_since() });
            }
            check_keys(placed, operations, workspace.snapshot())?;
        }
    }
    let mut has_moved = false;
    for section in record.sections() {
        let Some(placed) = applier.table(section.table) else { continue };
        for row in section.deleted.iter_mut() {
            let current = check_row(placed, section.table, *row, workspace.snapshot())?;
            has_moved |= current != *row;
            *row = current;
        }
    }
    if has_moved {
        let mut deleted = HashSet::new();
        record.sections().iter_mut().for_each(|section| delete_once(section, &mut deleted));
    }
    Ok(())
}

/// Deletes a row once that the transaction names by the place that it had, and by the one that a flush gave it.
fn delete_once(section: &mut NewSection<'_>, deleted: &mut HashSet<RowId>) {
    let rows = std::mem::take(&mut section.deleted);
    let mut kept = 0;
    for at in 0..rows.len() {
        if deleted.insert(rows[at]) {
            rows[kept] = rows[at];
            kept += 1;
        }
    }
    section.deleted = &mut rows[..kept];
}

/// Refuses rows of a table that was changed or dropped since the snapshot, and a change of a catalog that was changed.
fn check_schema<E: Error>(
    applier: &Applier,
    workspace: &Workspace,
    operations: &Operations,
) -> Result<(), CommitError<E>> {
    let table = operations.schema().id();
    if mutants::is_on(Mutant::SchemaNotChecked) {
        return Ok(());
    }
    let same = match is_system(table) {
        true => Arc::ptr_eq(applier.catalog(), workspace.catalog()),
        false => applier.catalog().table(table).is_some_and(|now| now.version() == operations.schema().version()),
    };
    if same { Ok(()) } else { Err(CommitError::SchemaChanged(table)) }
}

/// Refuses keys that somebody else wrote since the snapshot.
fn check_keys<E: Error>(placed: &Placed, operations: &Operations, snapshot: Timestamp) -> Result<(), CommitError<E>> {
    if mutants::is_on(Mutant::ConflictsIgnored) {
        return Ok(());
    }
    let written = |memtable: &Arc<Memtable>| memtable.written_after(operations.inserted_keys(), snapshot);
    let newer = placed.memtables_since(snapshot).find_map(written);
    newer.map_or(Ok(()), |at| Err(CommitError::Conflict { table: operations.schema().id(), at }))
}

/// Where a row is that the transaction deletes, which a flush may have moved since the snapshot. Refuses a row that is
/// not there, or that somebody else deleted.
fn check_row<E: Error>(
    placed: &Placed,
    table: TableId,
    row: RowId,
    snapshot: Timestamp,
) -> Result<RowId, CommitError<E>> {
    let missing = CommitError::NoRow { table, row };
    let Some(current) = placed.current(row) else { return Err(missing) };
    match placed.deleted(current, snapshot) {
        None => Err(missing),
        Some(None) => Ok(current),
        Some(Some(_)) if mutants::is_on(Mutant::ConflictsIgnored) => Ok(current),
        Some(Some(at)) => Err(CommitError::Conflict { table, at }),
    }
}
