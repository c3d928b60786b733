//! Finds what committed since a transaction's snapshot, and writes what it writes.

use std::{error::Error, sync::Arc};

use super::error::CommitError;
use crate::{
    catalog::system::is_system,
    ids::{RowId, TableId},
    record::CommitBuilder,
    state::Applier,
    table::Version,
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
    for operations in workspace.tables() {
        let table = operations.schema().id();
        check_schema(applier, workspace, operations)?;
        if let Some(row) = operations.duplicate() {
            return Err(CommitError::DuplicateKey { table, row });
        }
        if let Some(version) = applier.version(table) {
            check_keys(&version, operations, workspace.snapshot())?;
        }
    }
    for section in record.sections() {
        let Some(version) = applier.version(section.table) else { continue };
        section.deleted.iter().try_for_each(|row| check_row(&version, section.table, *row, workspace.snapshot()))?;
    }
    Ok(())
}

/// Refuses rows of a table that was changed or dropped since the snapshot, and a change of a catalog that was changed.
fn check_schema<E: Error>(
    applier: &Applier,
    workspace: &Workspace,
    operations: &Operations,
) -> Result<(), CommitError<E>> {
    let table = operations.schema().id();
    let same = match is_system(table) {
        true => Arc::ptr_eq(applier.catalog(), workspace.catalog()),
        false => applier.catalog().table(table).is_some_and(|now| now.version() == operations.schema().version()),
    };
    if same { Ok(()) } else { Err(CommitError::SchemaChanged(table)) }
}

/// Refuses keys that somebody else wrote since the snapshot.
fn check_keys<E: Error>(version: &Version, operations: &Operations, snapshot: Timestamp) -> Result<(), CommitError<E>> {
    let keys = || operations.inserted_keys();
    let newer = version.memtables().iter().find_map(|memtable| memtable.written_after(keys(), snapshot));
    newer.map_or(Ok(()), |at| Err(CommitError::Conflict { table: operations.schema().id(), at }))
}

/// Refuses a row that is not there, or that somebody else deleted since the snapshot.
fn check_row<E: Error>(
    version: &Version,
    table: TableId,
    row: RowId,
    snapshot: Timestamp,
) -> Result<(), CommitError<E>> {
    match version.get(row) {
        Some(found) if found.is_live(snapshot) => {
            found.deleted.map_or(Ok(()), |at| Err(CommitError::Conflict { table, at }))
        }
        _ => Err(CommitError::NoRow { table, row }),
    }
}
