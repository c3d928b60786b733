//! Finds rows by their keys.

use std::collections::{BTreeMap, HashMap};

use logboom_logtail_core::{RowId, RowsetId, Timestamp, catalog::TableSchema, table::Version, transaction::Operations};

use crate::{
    error::{Error, Result},
    key_search::KeySearch,
    shared::Shared,
    store::{ReadFrom, Store},
};

/// Looks up the keys of a transaction at its snapshot.
pub(crate) fn find_keys(shared: &Shared, operations: &mut Operations, snapshot: Timestamp) -> Result<()> {
    let Some(table) = shared.state.table(operations.schema().id()) else { return Ok(()) };
    let version = table.version();
    check_rows(shared, operations, &version, snapshot)?;
    let (numbers, keys): (Vec<u32>, Vec<&[u8]>) =
        operations.keys_to_find().map(|wanted| (wanted.operation, wanted.key)).unzip();
    let found = find_rows(&shared.store, &version, operations.schema(), keys.into_iter(), snapshot)?;
    numbers.into_iter().zip(found).for_each(|(operation, row)| operations.set_found(operation, row));
    Ok(())
}

/// The rows with these keys that are visible at `timestamp`, by key: in memory, and then in the blocks of objects that
/// may have them. A row that is deleted in memory says nothing of a bulk load behind the delete, whose rows are in
/// objects.
pub(crate) fn find_rows<'k>(
    store: &Store,
    version: &Version,
    schema: &TableSchema,
    keys: impl Iterator<Item = &'k [u8]>,
    timestamp: Timestamp,
) -> Result<Vec<Option<RowId>>> {
    let mut found = Vec::new();
    // Those that are not found in memory, by their places in `found`.
    let (mut places, mut missing): (Vec<usize>, Vec<&[u8]>) = (Vec::new(), Vec::new());
    for key in keys {
        let row = version.find_in_memory(key, timestamp).filter(|found| found.is_live(timestamp));
        if row.is_none() && !version.objects().is_empty() {
            places.push(found.len());
            missing.push(key);
        }
        found.push(row.map(|found| found.row));
    }
    if !missing.is_empty() {
        let in_objects = find_in_objects(store, version, schema, &missing, timestamp)?;
        for (place, key) in places.into_iter().zip(missing) {
            found[place] = in_objects.get(key).copied();
        }
    }
    Ok(found)
}

/// Refuses rows that were deleted before the snapshot, where their tombstones alone say so.
fn check_rows(shared: &Shared, operations: &Operations, version: &Version, snapshot: Timestamp) -> Result<()> {
    let mut by_rowset: BTreeMap<RowsetId, Vec<u32>> = BTreeMap::new();
    for row in operations.deleted_rows() {
        by_rowset.entry(row.rowset).or_default().push(row.row);
    }
    if by_rowset.is_empty() {
        return Ok(());
    }
    for object in version.objects() {
        let rowset = object.rowset();
        let Some(mut rows) = by_rowset.remove(&rowset) else { continue };
        rows.sort_unstable();
        if let Some(row) = shared.store.deleted_among(object, &rows, snapshot)?.first() {
            return Err(Error::NoRow { table: operations.schema().id(), row: RowId { rowset, row: *row } });
        }
    }
    Ok(())
}

/// The rows in objects with these keys that are visible at `timestamp`.
fn find_in_objects<'k>(
    store: &Store,
    version: &Version,
    schema: &TableSchema,
    keys: &[&'k [u8]],
    timestamp: Timestamp,
) -> Result<HashMap<&'k [u8], RowId>> {
    let mut found = HashMap::new();
    let mut search = KeySearch::new(store, schema, keys, ReadFrom::Store);
    // The newest object is the likeliest to have the row that is visible.
    for object in version.objects().iter().rev() {
        // Of a key one row at most is visible. The bounds of blocks, which are in memory, rule out most objects.
        let left = keys.iter().enumerate().filter(|(_, key)| !found.contains_key(*key));
        let blocks = left.flat_map(|(at, key)| object.blocks_of_key(key, timestamp).map(move |block| (at, block)));
        let mut rows = search.find(object.meta(), blocks.collect())?.unwrap_or_default();
        rows.retain(|row| row.commit <= timestamp);
        if rows.is_empty() {
            continue;
        }
        rows.sort_unstable_by_key(|row| row.row);
        let positions: Vec<u32> = rows.iter().map(|row| row.row).collect();
        let deleted = store.deleted_among(object, &positions, timestamp)?;
        for row in rows.iter().filter(|row| deleted.binary_search(&row.row).is_err()) {
            found.insert(keys[row.key], RowId { rowset: object.rowset(), row: row.row });
        }
    }
    Ok(found)
}
