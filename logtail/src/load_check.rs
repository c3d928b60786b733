//! Looks for rows that have a key of a load.

use std::{cell::LazyCell, collections::BTreeMap, sync::Arc};

use logboom_logtail_blocks::Found;
use logboom_logtail_core::{
    RowId, Timestamp,
    block_meta::ObjectMeta,
    catalog::KeyColumns,
    load::LoadCheck,
    mutants::{self, Mutant},
    table::{Memtable, Object},
};

use crate::{
    block_bounds::{BlockBounds, ObjectBounds, overlapping},
    error::{Error, Result},
    key_merge::KeyMerge,
    key_search::KeySearch,
    store::{ReadFrom, Store},
};

/// Keys that are looked up at once.
const KEYS_MAX: usize = 8192;

/// Refuses a load with a key that another row has. Blocks are read whose bounds say that they may have keys in common:
/// of a load behind all other keys, none. `goes_on` is asked before each piece of work.
///
/// # Errors
/// Those of `goes_on`; [`Error::DuplicateInLoad`], [`Error::DuplicateKey`], [`Error::Conflict`]; [`Error::Store`] and
/// [`Error::Object`] where objects cannot be read.
pub(crate) fn check(store: &Store, check: &LoadCheck, goes_on: GoesOn<'_>) -> Result<()> {
    let Some(key) = check.schema.key_columns().filter(|_| !is_left_out(check)) else { return Ok(()) };
    check_objects(store, check, key, goes_on)?;
    check_memory(store, check, ReadFrom::Store, goes_on).map(|_| ())
}

/// Refuses to go on with a check.
type GoesOn<'a> = &'a dyn Fn() -> Result<()>;

/// As [`check`] of what is in memory, but reads nothing from the store: transactions wait for it. Returns whether it
/// could do without.
///
/// # Errors
/// [`Error::Conflict`], and [`Error::Object`] where what is cached cannot be decoded.
pub(crate) fn check_sealed(store: &Store, check: &LoadCheck) -> Result<bool> {
    if check.schema.key_columns().is_none() || is_left_out(check) {
        return Ok(true);
    }
    let is_told = check.others().next().is_none() && check_memory(store, check, ReadFrom::Cache, &|| Ok(()))?;
    Ok(is_told || mutants::is_on(Mutant::LoadDoesNotGiveWay))
}

fn is_left_out(check: &LoadCheck) -> bool {
    check.after.is_some() && mutants::is_on(Mutant::LoadNotChecked)
}

/// Objects that are searched, with the bounds of their keys.
struct Objects<T> {
    objects: Vec<(Arc<ObjectMeta>, BlockBounds, T)>,
    all: BlockBounds,
}

impl<T> Objects<T> {
    fn new(objects: impl IntoIterator<Item = (Arc<ObjectMeta>, T)>) -> Self {
        let bounds = |(meta, own): (Arc<ObjectMeta>, T)| (Arc::clone(&meta), BlockBounds::of(&meta.blocks), own);
        let objects: Vec<_> = objects.into_iter().map(bounds).collect();
        let all = BlockBounds::of(objects.iter().flat_map(|(meta, ..)| &meta.blocks));
        Self { objects, all }
    }

    /// Calls `found` with the rows of each object that have one of `keys`.
    fn find(
        &self,
        store: &Store,
        check: &LoadCheck,
        keys: &[Vec<u8>],
        mut found: impl FnMut(&T, Vec<Found>) -> Result<()>,
    ) -> Result<()> {
        for (meta, bounds, own) in &self.objects {
            let wanted: Vec<&[u8]> = keys.iter().map(Vec::as_slice).filter(|key| bounds.may_have(key)).collect();
            if !wanted.is_empty() {
                found(own, store.find(meta, check.schema.key(), &wanted)?)?;
            }
        }
        Ok(())
    }
}

/// Looks for the load's keys among each other, at the first check, and in the objects of the table.
fn check_objects(store: &Store, check: &LoadCheck, key: &KeyColumns, goes_on: GoesOn<'_>) -> Result<()> {
    let table = Objects::new(check.others().map(|object| (Arc::clone(object.meta()), Arc::clone(object))));
    if check.after.is_some() && table.objects.is_empty() {
        return Ok(());
    }
    let blocks = overlapping(&check.objects, check.after.is_none(), &table.all);
    let of_load = check.objects.iter().cloned().zip(blocks);
    goes_on()?;
    let mut merge = KeyMerge::new(store, &check.schema, key, of_load)?;
    let (mut key, mut last) = (Vec::new(), None);
    let (mut keys, mut merged) = (Vec::<Vec<u8>>::new(), 0_usize);
    while merge.next(&mut key)? {
        if last.as_ref() == Some(&key) {
            return Err(Error::DuplicateInLoad { table: check.schema.id(), key });
        }
        if table.all.may_have(&key) {
            keys.push(key.clone());
        }
        merged += 1;
        if merged.is_multiple_of(KEYS_MAX) {
            goes_on()?;
        }
        if keys.len() >= KEYS_MAX {
            check_table(store, check, &table, &keys, goes_on)?;
            keys.clear();
        }
        last = Some(std::mem::replace(&mut key, last.unwrap_or_default()));
    }
    check_table(store, check, &table, &keys, goes_on)
}

fn check_table(
    store: &Store,
    check: &LoadCheck,
    table: &Objects<Arc<Object>>,
    keys: &[Vec<u8>],
    goes_on: GoesOn<'_>,
) -> Result<()> {
    table.find(store, check, keys, |object, mut found| {
        goes_on()?;
        found.retain(|found| check.concerns(found.commit, None));
        found.sort_by_key(|found| found.row);
        let rows: Vec<u32> = found.iter().map(|found| found.row).collect();
        // What was written since the first check counts, whether or not it is deleted again.
        let gone = if check.after.is_none() { store.deleted_among(object, &rows, check.through)? } else { Vec::new() };
        let found = found.into_iter().find(|found| gone.binary_search(&found.row).is_err());
        found.map_or(Ok(()), |found| {
            Err(refusal(check, RowId { rowset: object.rowset(), row: found.row }, found.commit))
        })
    })
}

/// Looks for the keys of memtables in the load. Returns whether that took no reads but those that are allowed.
fn check_memory(store: &Store, check: &LoadCheck, from: ReadFrom, goes_on: GoesOn<'_>) -> Result<bool> {
    // Mostly nothing was written since the last check.
    let load = LazyCell::new(|| ObjectBounds::of(&check.objects));
    for memtable in check.memtables() {
        if !check_memtable(store, check, || &load, memtable, from, goes_on)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// As [`check_memory`], of one memtable. Its rows are visited for a moment each time, as commits wait then.
fn check_memtable<'l>(
    store: &Store,
    check: &LoadCheck,
    load: impl Fn() -> &'l ObjectBounds,
    memtable: &Memtable,
    from: ReadFrom,
    goes_on: GoesOn<'_>,
) -> Result<bool> {
    let mut next = check.after.map(|after| memtable.committed_rows(after)).or(Some(0));
    while let Some(first) = next {
        goes_on()?;
        let (mut keys, mut rows) = (Vec::new(), Vec::new());
        next = memtable.visit_keys(first, check.through, |key, row| {
            if check.concerns(row.committed, row.deleted) && load().may_have(key) {
                keys.push(key.to_vec());
                rows.push(row);
            }
        });
        if keys.is_empty() {
            continue;
        }
        let mut candidates: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
        for (number, key) in keys.iter().enumerate() {
            for object in load().having(key) {
                let meta = &check.objects[object];
                let blocks = meta.blocks_of_key(key, meta.is_sorted()).map(|block| (number, block));
                candidates.entry(object).or_default().extend(blocks);
            }
        }
        let mut search = KeySearch::new(store, &check.schema, &keys, from);
        for (object, candidates) in candidates {
            goes_on()?;
            let Some(found) = search.find(&check.objects[object], candidates)? else { return Ok(false) };
            if let Some(found) = found.first() {
                let row = rows[found.key];
                return Err(refusal(check, row.row, row.committed));
            }
        }
    }
    Ok(true)
}

/// Why a load is refused that has the key of a row which was there at the first check, or was written since.
fn refusal(check: &LoadCheck, row: RowId, committed: Timestamp) -> Error {
    let table = check.schema.id();
    match check.after {
        None => Error::DuplicateKey { table, row },
        Some(_) => Error::Conflict { table, at: committed },
    }
}
