//! Looks for rows that have a key of a load.

use std::{cell::LazyCell, sync::Arc};

use logboom_logtail_core::{
    RowId, Timestamp,
    block_meta::ObjectMeta,
    catalog::KeyColumns,
    load::LoadCheck,
    mutants::{self, Mutant},
    table::{Memtable, Object},
};

use crate::{
    block_bounds::{BlockBounds, overlapping},
    error::{Error, Result},
    key_merge::KeyMerge,
    key_search::KeySearch,
    store::{ReadFrom, Store},
};

/// Keys that are looked up at once.
const KEYS_MAX: usize = 8192;

/// Refuses a load with a key that another row has. Blocks are read whose bounds say that they may have keys in common:
/// of a load behind all other keys, none.
///
/// # Errors
/// [`Error::DuplicateInLoad`], [`Error::DuplicateKey`], [`Error::Conflict`]; [`Error::Store`] and [`Error::Object`]
/// where objects cannot be read.
pub(crate) fn check(store: &Store, check: &LoadCheck) -> Result<()> {
    let Some(key) = check.schema.key_columns().filter(|_| !is_left_out(check)) else { return Ok(()) };
    check_objects(store, check, key)?;
    check_memory(store, check, ReadFrom::Store).map(|_| ())
}

/// As [`check`] of what is in memory, but reads nothing from the store: transactions wait for it. Returns whether it
/// could do without.
///
/// # Errors
/// [`Error::Conflict`], and [`Error::Object`] where what is cached cannot be decoded.
pub(crate) fn check_sealed(store: &Store, check: &LoadCheck) -> Result<bool> {
    if check.schema.key_columns().is_none() || is_left_out(check) {
        return Ok(true);
    }
    let is_told = check.others().next().is_none() && check_memory(store, check, ReadFrom::Cache)?;
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

    /// Calls `found` with each row that has one of `keys`: with the number of the key, its object, position and commit.
    fn find(
        &self,
        store: &Store,
        check: &LoadCheck,
        keys: &[Vec<u8>],
        mut found: impl FnMut(usize, &T, u32, Timestamp) -> Result<()>,
    ) -> Result<()> {
        for (meta, bounds, own) in &self.objects {
            let numbers: Vec<usize> = (0..keys.len()).filter(|number| bounds.may_have(&keys[*number])).collect();
            if numbers.is_empty() {
                continue;
            }
            let wanted: Vec<&[u8]> = numbers.iter().map(|number| keys[*number].as_slice()).collect();
            for row in store.find(meta, check.schema.key(), &wanted)? {
                found(numbers[row.key], own, row.row, row.commit)?;
            }
        }
        Ok(())
    }
}

/// Looks for the load's keys among each other, at the first check, and in the objects of the table.
fn check_objects(store: &Store, check: &LoadCheck, key: &KeyColumns) -> Result<()> {
    let table = Objects::new(check.others().map(|object| (Arc::clone(object.meta()), Arc::clone(object))));
    if check.after.is_some() && table.objects.is_empty() {
        return Ok(());
    }
    let blocks = overlapping(&check.objects, check.after.is_none(), &table.all);
    let of_load = check.objects.iter().cloned().zip(blocks);
    let mut merge = KeyMerge::new(store, &check.schema, key, of_load)?;
    let (mut key, mut last) = (Vec::new(), None);
    let mut keys: Vec<Vec<u8>> = Vec::new();
    while merge.next(&mut key)? {
        if last.as_ref() == Some(&key) {
            return Err(Error::DuplicateInLoad { table: check.schema.id(), key });
        }
        if table.all.may_have(&key) {
            keys.push(key.clone());
        }
        if keys.len() >= KEYS_MAX {
            check_table(store, check, &table, &keys)?;
            keys.clear();
        }
        last = Some(std::mem::replace(&mut key, last.unwrap_or_default()));
    }
    check_table(store, check, &table, &keys)
}

fn check_table(store: &Store, check: &LoadCheck, table: &Objects<Arc<Object>>, keys: &[Vec<u8>]) -> Result<()> {
    table.find(store, check, keys, |_, object, row, committed| {
        refuse(check, RowId { rowset: object.rowset(), row }, committed, store.deleted_at(object, row)?)
    })
}

/// Looks for the keys of memtables in the load. Returns whether that took no reads but those that are allowed.
fn check_memory(store: &Store, check: &LoadCheck, from: ReadFrom) -> Result<bool> {
    // Mostly nothing was written since the last check.
    let load = LazyCell::new(|| Objects::new(check.objects.iter().map(|meta| (Arc::clone(meta), meta.is_sorted()))));
    for memtable in check.memtables() {
        if !check_memtable(store, check, || &load, memtable, from)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// As [`check_memory`], of one memtable. Its rows are visited for a moment each time, as commits wait then.
fn check_memtable<'l>(
    store: &Store,
    check: &LoadCheck,
    load: impl Fn() -> &'l Objects<bool>,
    memtable: &Memtable,
    from: ReadFrom,
) -> Result<bool> {
    let mut next = check.after.map(|after| memtable.committed_rows(after)).or(Some(0));
    while let Some(first) = next {
        let (mut keys, mut rows) = (Vec::new(), Vec::new());
        next = memtable.visit_keys(first, check.through, |key, row| {
            if check.concerns(row.committed, row.deleted) && load().all.may_have(key) {
                keys.push(key.to_vec());
                rows.push(row);
            }
        });
        if keys.is_empty() {
            continue;
        }
        let mut search = KeySearch::new(store, &check.schema, &keys, from);
        for (meta, _, is_sorted) in &load().objects {
            let blocks = |(at, key)| meta.blocks_of_key(key, *is_sorted).map(move |block| (at, block));
            let candidates = keys.iter().map(Vec::as_slice).enumerate().flat_map(blocks).collect();
            let Some(found) = search.find(meta, candidates)? else { return Ok(false) };
            for found in found {
                let row = rows[found.key];
                refuse(check, row.row, row.committed, row.deleted)?;
            }
        }
    }
    Ok(true)
}

/// Refuses a row that has a key of the load, if it was there at the first check, or was written since.
fn refuse(check: &LoadCheck, row: RowId, committed: Timestamp, deleted: Option<Timestamp>) -> Result<()> {
    let table = check.schema.id();
    match check.after {
        _ if !check.concerns(committed, deleted) => Ok(()),
        None => Err(Error::DuplicateKey { table, row }),
        Some(_) => Err(Error::Conflict { table, at: committed }),
    }
}
