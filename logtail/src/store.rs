//! `Store`: the objects of a tail, with what is cached of them.

use std::{ops::Range, sync::Arc};

use logboom_logtail_blocks::{CheckedBytes, Footer, Found, KeyFilters, Lookup, LookupStep, Scan, Step};
use logboom_logtail_core::{
    ColumnId, ObjectId,
    block_meta::ObjectMeta,
    store::{ObjectName, ObjectStore},
};
use logboom_logtail_objects::Objects;
use quick_cache::{Weighter, sync::Cache};

use crate::{
    error::Result,
    fetch::Fetch,
    metrics::ReadCounts,
    options::{Options, StoreChoice},
    tombstone_block::TombstoneBlock,
};

/// The objects of a tail. Footers and pages that were read are cached, up to a bound.
pub(crate) struct Store {
    objects: Arc<dyn ObjectStore>,
    footers: Cache<ObjectId, Arc<Footer>, Weight>,
    pages: Cache<(ObjectId, u64, u64), CheckedBytes, Weight>,
    key_filters: Cache<ObjectId, Arc<KeyFilters>, Weight>,
    pub(crate) tombstones: Cache<(ObjectId, usize), Arc<TombstoneBlock>, Weight>,
    pub(crate) counts: ReadCounts,
}

#[derive(Clone)]
pub(crate) struct Weight;

impl Weighter<ObjectId, Arc<Footer>> for Weight {
    fn weight(&self, _: &ObjectId, footer: &Arc<Footer>) -> u64 {
        footer.memory_bytes() as u64
    }
}

impl Weighter<(ObjectId, u64, u64), CheckedBytes> for Weight {
    fn weight(&self, _: &(ObjectId, u64, u64), bytes: &CheckedBytes) -> u64 {
        bytes.bytes().len() as u64 + 128
    }
}

impl Weighter<ObjectId, Arc<KeyFilters>> for Weight {
    fn weight(&self, _: &ObjectId, filters: &Arc<KeyFilters>) -> u64 {
        filters.memory_bytes() as u64
    }
}

impl Weighter<(ObjectId, usize), Arc<TombstoneBlock>> for Weight {
    fn weight(&self, _: &(ObjectId, usize), block: &Arc<TombstoneBlock>) -> u64 {
        block.memory_bytes() as u64 + 128
    }
}

/// Where a read may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadFrom {
    /// In the caches, and of what is not there in the store.
    Store,
    /// In the caches alone: others wait for the reader, and shall not wait for the store.
    Cache,
}

/// About what an object's footer takes.
const FOOTER_BYTES: u64 = 64 << 10;
/// About what a column's pages of a row group take.
const PAGES_BYTES: u64 = 256 << 10;
/// About what the filters of an object's keys take.
const KEY_FILTERS_BYTES: u64 = 1 << 20;
/// What a block of tombstones takes.
const TOMBSTONES_BYTES: u64 = 96 << 10;

impl Store {
    /// Opens the store of the log with this identity, which has objects there or none yet.
    pub(crate) fn open(options: &Options, identity: &[u8], has_objects: bool) -> Result<Self> {
        let objects: Arc<dyn ObjectStore> = match &options.store {
            StoreChoice::Location { location, options } => {
                let mut options = options.clone();
                options.has_objects |= has_objects;
                Arc::new(Objects::open(location, identity, options)?)
            }
            StoreChoice::Given(store) => Arc::clone(store),
        };
        let (footer_bytes, page_bytes) = (options.footer_cache_bytes, options.page_cache_bytes);
        let (filter_bytes, tombstone_bytes) = (options.key_filter_cache_bytes, options.tombstone_cache_bytes);
        let items = |bytes: u64, each: u64| usize::try_from(bytes / each).unwrap_or(usize::MAX).max(64);
        Ok(Self {
            objects,
            footers: Cache::with_weighter(items(footer_bytes, FOOTER_BYTES), footer_bytes, Weight),
            pages: Cache::with_weighter(items(page_bytes, PAGES_BYTES), page_bytes, Weight),
            key_filters: Cache::with_weighter(items(filter_bytes, KEY_FILTERS_BYTES), filter_bytes, Weight),
            tombstones: Cache::with_weighter(items(tombstone_bytes, TOMBSTONES_BYTES), tombstone_bytes, Weight),
            counts: ReadCounts::default(),
        })
    }

    /// The store itself.
    pub(crate) fn objects(&self) -> &dyn ObjectStore {
        self.objects.as_ref()
    }

    /// The footer of an object, from the cache or the store.
    pub(crate) fn footer(&self, meta: &ObjectMeta) -> Result<Arc<Footer>> {
        match self.cached_footer(meta) {
            Some(footer) => Ok(footer),
            None => self.take_footer(meta, self.fetch_footer(meta)),
        }
    }

    /// The footer of an object; `None` where it is not cached and only the caches may be read.
    fn footer_from(&self, meta: &ObjectMeta, from: ReadFrom) -> Result<Option<Arc<Footer>>> {
        match from {
            ReadFrom::Store => self.footer(meta).map(Some),
            ReadFrom::Cache => Ok(self.cached_footer(meta)),
        }
    }

    /// The footer of an object, if it is cached.
    pub(crate) fn cached_footer(&self, meta: &ObjectMeta) -> Option<Arc<Footer>> {
        let footer = self.footers.get(&meta.id)?;
        self.counts.footer_hits.add(1);
        Some(footer)
    }

    /// Asks for the footer of an object.
    pub(crate) fn fetch_footer(&self, meta: &ObjectMeta) -> Fetch {
        self.fetch(meta, vec![meta.footer_range()])
    }

    /// Waits for the footer of an object that was asked for.
    pub(crate) fn take_footer(&self, meta: &ObjectMeta, fetch: Fetch) -> Result<Arc<Footer>> {
        let (_, bytes) = fetch.wait(self.objects())?;
        self.counts.footer_misses.add(1);
        let footer = Footer::parse(meta, bytes.into_iter().next().unwrap_or_default())?;
        self.footers.insert(meta.id, Arc::clone(&footer));
        Ok(footer)
    }

    /// The next step of a scan that is a batch or the end; what it needs before that is read.
    pub(crate) fn step(&self, footer: &Footer, meta: &ObjectMeta, scan: &mut Scan) -> Result<Step> {
        loop {
            match scan.step()? {
                Step::Need(ranges) => self.read(footer, meta, ranges, |bytes| scan.feed_checked(bytes))?,
                step => return Ok(step),
            }
        }
    }

    /// The filters of an object's keys, with those that the blocks need; `None` where they are not cached and only the
    /// caches may be read.
    pub(crate) fn key_filters(
        &self,
        meta: &ObjectMeta,
        key: &[ColumnId],
        blocks: impl Iterator<Item = usize>,
        from: ReadFrom,
    ) -> Result<Option<Arc<KeyFilters>>> {
        let filters = match self.key_filters.get(&meta.id) {
            Some(filters) => filters,
            None => {
                let Some(footer) = self.footer_from(meta, from)? else { return Ok(None) };
                let filters = Arc::new(KeyFilters::new(&footer, key));
                self.key_filters.insert(meta.id, Arc::clone(&filters));
                filters
            }
        };
        for block in blocks {
            let missing = filters.missing(block);
            if !missing.is_empty() {
                let Some(footer) = self.footer_from(meta, from)? else { return Ok(None) };
                let mut read = Vec::new();
                if !self.read_from(&footer, meta, missing, from, |bytes| read.push(bytes))? {
                    return Ok(None);
                }
                filters.read(block, &read);
            }
        }
        Ok(Some(filters))
    }

    /// The rows of an object with these keys.
    pub(crate) fn find(&self, meta: &Arc<ObjectMeta>, key: &[ColumnId], keys: &[&[u8]]) -> Result<Vec<Found>> {
        let footer = self.footer(meta)?;
        let lookup = Lookup::new(&footer, meta, key, keys.iter().copied())?;
        Ok(self.look(meta, &footer, lookup, ReadFrom::Store)?.unwrap_or_default())
    }

    /// The rows of an object with these keys, each in certain blocks alone: see [`Lookup::in_blocks`]. `None` where
    /// those are not cached and only the caches may be read.
    pub(crate) fn find_in_blocks(
        &self,
        meta: &Arc<ObjectMeta>,
        key: &[ColumnId],
        keys: &[&[u8]],
        candidates: impl IntoIterator<Item = (usize, usize)>,
        from: ReadFrom,
    ) -> Result<Option<Vec<Found>>> {
        let Some(footer) = self.footer_from(meta, from)? else { return Ok(None) };
        let lookup = Lookup::in_blocks(&footer, meta, key, keys.iter().copied(), candidates)?;
        self.look(meta, &footer, lookup, from)
    }

    fn look(
        &self,
        meta: &ObjectMeta,
        footer: &Footer,
        mut lookup: Lookup,
        from: ReadFrom,
    ) -> Result<Option<Vec<Found>>> {
        loop {
            match lookup.step()? {
                LookupStep::Done(found) => return Ok(Some(found)),
                LookupStep::Need(ranges) => {
                    if !self.read_from(footer, meta, ranges, from, |bytes| lookup.feed_checked(bytes))? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Reads ranges of an object, from the cache or the store.
    pub(crate) fn read(
        &self,
        footer: &Footer,
        meta: &ObjectMeta,
        ranges: Vec<Range<u64>>,
        feed: impl FnMut(CheckedBytes),
    ) -> Result<()> {
        self.read_from(footer, meta, ranges, ReadFrom::Store, feed).map(|_| ())
    }

    /// Reads ranges of an object. Returns whether all could be read there.
    fn read_from(
        &self,
        footer: &Footer,
        meta: &ObjectMeta,
        ranges: Vec<Range<u64>>,
        from: ReadFrom,
        mut feed: impl FnMut(CheckedBytes),
    ) -> Result<bool> {
        let mut missing = Vec::new();
        for range in ranges {
            match self.pages.get(&(meta.id, range.start, range.end)) {
                Some(bytes) => {
                    self.counts.page_hits.add(1);
                    feed(bytes);
                }
                None => missing.push(range),
            }
        }
        if missing.is_empty() || from == ReadFrom::Cache {
            return Ok(missing.is_empty());
        }
        self.take_pages(footer, meta, self.fetch(meta, missing), feed).map(|()| true)
    }

    /// The ranges of an object that are not cached.
    pub(crate) fn missing(&self, meta: &ObjectMeta, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        let is_cached = |range: &&Range<u64>| self.pages.peek(&(meta.id, range.start, range.end)).is_some();
        ranges.iter().filter(|range| !is_cached(range)).cloned().collect()
    }

    /// Asks for ranges of an object.
    pub(crate) fn fetch(&self, meta: &ObjectMeta, ranges: Vec<Range<u64>>) -> Fetch {
        let fetch = Fetch::submit(self.objects(), ObjectName { table: meta.table, id: meta.id }.name(), ranges);
        self.counts.requests.add(1);
        self.counts.bytes.add(fetch.bytes());
        fetch
    }

    /// Waits for ranges of an object that were asked for.
    pub(crate) fn take_pages(
        &self,
        footer: &Footer,
        meta: &ObjectMeta,
        fetch: Fetch,
        mut feed: impl FnMut(CheckedBytes),
    ) -> Result<()> {
        let (ranges, read) = fetch.wait(self.objects())?;
        self.counts.page_misses.add(ranges.len() as u64);
        for (range, bytes) in ranges.into_iter().zip(read) {
            let key = (meta.id, range.start, range.end);
            let checked = footer.check_bytes(range, bytes)?;
            self.pages.insert(key, checked.clone());
            feed(checked);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.objects.fmt(f)
    }
}
