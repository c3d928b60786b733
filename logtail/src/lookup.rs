//! Finds rows by their keys.

use std::collections::{BTreeMap, HashMap, HashSet};

use logboom_logtail_blocks::{Scan, ScanRequest, Step};
use logboom_logtail_core::{
    RowId, Timestamp,
    catalog::{KeyColumns, TableSchema},
    table::{Object, Version},
    transaction::Operations,
};

use crate::{
    error::{Error, Result},
    shared::Shared,
    store::Store,
};

/// Looks up the keys of a transaction at its snapshot: in memory, where newer versions hide those in objects, and then
/// in the blocks of objects that may have them.
pub(crate) fn find_keys(shared: &Shared, operations: &mut Operations, snapshot: Timestamp) -> Result<()> {
    let Some(table) = shared.state.table(operations.schema().id()) else { return Ok(()) };
    let version = table.version();
    let mut missing: Vec<Vec<u8>> = Vec::new();
    operations.find(|key| match version.find_in_memory(key, snapshot) {
        Some(found) => found.is_live(snapshot).then_some(found.row),
        None => {
            if !version.objects().is_empty() {
                missing.push(key.to_vec());
            }
            None
        }
    });
    if missing.is_empty() {
        return Ok(());
    }
    let found = find_in_objects(&shared.store, &version, operations.schema(), &missing, snapshot)?;
    operations.find_more(|key| found.get(key).copied());
    Ok(())
}

/// The rows in objects with these keys that are visible at `timestamp`.
fn find_in_objects(
    store: &Store,
    version: &Version,
    schema: &TableSchema,
    keys: &[Vec<u8>],
    timestamp: Timestamp,
) -> Result<HashMap<Vec<u8>, RowId>> {
    let mut found = HashMap::new();
    let Some(columns) = schema.key_columns() else { return Ok(found) };
    for object in version.objects() {
        // Of a key one row at most is visible.
        let left = keys.iter().filter(|key| !found.contains_key(*key));
        let mut blocks: BTreeMap<usize, HashSet<&[u8]>> = BTreeMap::new();
        for key in left {
            for block in object.blocks_of_key(key, timestamp) {
                blocks.entry(block).or_default().insert(key);
            }
        }
        if !blocks.is_empty() {
            find_in_blocks(store, object, columns, schema, &blocks, timestamp, &mut found)?;
        }
    }
    Ok(found)
}

fn find_in_blocks(
    store: &Store,
    object: &Object,
    columns: &KeyColumns,
    schema: &TableSchema,
    blocks: &BTreeMap<usize, HashSet<&[u8]>>,
    timestamp: Timestamp,
    found: &mut HashMap<Vec<u8>, RowId>,
) -> Result<()> {
    let key_schema = schema.arrow().project(columns.positions())?;
    let mut request = ScanRequest::new(key_schema.into(), blocks.keys().copied());
    for block in &mut request.blocks {
        if let Some(meta) = object.meta().blocks.get(block.number) {
            block.left_out = object.deleted(meta.row_range(), timestamp).into();
        }
    }
    request.up_to = timestamp;
    request.positions = true;
    let footer = store.footer(object.meta())?;
    let mut scan = Scan::new(&footer, object.meta(), request)?;
    while let Step::Batch(batch) = store.step(&footer, object.meta(), &mut scan)? {
        let encoded = columns.encoder().encode(batch.rows.columns()).map_err(Error::Key)?;
        let positions = batch.positions.as_ref().map(|positions| positions.values().as_ref()).unwrap_or_default();
        let Some(wanted) = blocks.get(&batch.block) else { continue };
        for (key, row) in encoded.iter().zip(positions) {
            if wanted.contains(key) {
                found.insert(key.to_vec(), RowId { rowset: object.rowset(), row: *row });
            }
        }
    }
    Ok(())
}
