//! `KeySearch`: looks for keys in objects, by their bloom filters and then in the key's columns.

use std::sync::Arc;

use arrow_array::ArrayRef;
use logboom_logtail_blocks::{Found, KeyHashes};
use logboom_logtail_core::{block_meta::ObjectMeta, catalog::TableSchema};

use crate::{
    error::{Error, Result},
    store::{ReadFrom, Store},
};

/// Looks for a few encoded keys in one object after another. Filters that it reads are kept.
pub(crate) struct KeySearch<'a, K> {
    store: &'a Store,
    schema: &'a TableSchema,
    keys: &'a [K],
    /// Those of the keys, as the filters of the last object know them.
    hashes: Option<KeyHashes>,
    from: ReadFrom,
}

impl<'a, K: AsRef<[u8]>> KeySearch<'a, K> {
    pub(crate) fn new(store: &'a Store, schema: &'a TableSchema, keys: &'a [K], from: ReadFrom) -> Self {
        Self { store, schema, keys, hashes: None, from }
    }

    /// The rows of an object with the keys. `candidates` are the number of a key, rising, and that of a block that may
    /// have it by its bounds. `None` where this takes bytes that are not cached, and only the caches may be read.
    pub(crate) fn find(
        &mut self,
        meta: &Arc<ObjectMeta>,
        mut candidates: Vec<(usize, usize)>,
    ) -> Result<Option<Vec<Found>>> {
        let Self { store, schema, keys, .. } = *self;
        if candidates.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let blocks = candidates.iter().map(|(_, block)| *block);
        let Some(filters) = store.key_filters(meta, schema.key(), blocks, self.from)? else { return Ok(None) };
        let hashes = match &self.hashes {
            Some(hashes) if filters.knows(hashes) => hashes,
            _ => self.hashes.insert(filters.hashes(&decoded(schema, keys)?)),
        };
        candidates.retain(|(key, block)| filters.may_have(*block, hashes, *key));
        if candidates.is_empty() {
            return Ok(Some(Vec::new()));
        }
        // The lookup decodes the keys that it is given: those that are left, by numbers of their own.
        let mut numbers: Vec<usize> = candidates.iter().map(|(key, _)| *key).collect();
        numbers.dedup();
        let left: Vec<&[u8]> = numbers.iter().map(|key| keys[*key].as_ref()).collect();
        let number = |key: usize| numbers.partition_point(|other| *other < key);
        let candidates = candidates.into_iter().map(|(key, block)| (number(key), block));
        let found = store.find_in_blocks(meta, schema.key(), &left, candidates, self.from)?;
        let by_number = |found: Found| Found { key: numbers[found.key], ..found };
        Ok(found.map(|found| found.into_iter().map(by_number).collect()))
    }
}

/// The columns of keys.
fn decoded<K: AsRef<[u8]>>(schema: &TableSchema, keys: &[K]) -> Result<Vec<ArrayRef>> {
    let Some(key) = schema.key_columns() else { return Ok(Vec::new()) };
    let decoded = key.encoder().decode(keys.iter().map(AsRef::as_ref));
    decoded.map_err(|source| Error::Object(source.into()))
}
