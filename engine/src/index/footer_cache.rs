//! Footers of sealed segments in memory, loaded on first use and evicted above a byte limit.

use std::{collections::BTreeMap, sync::Arc};

use logboom_wal::SegmentId;
use parking_lot::Mutex;

use crate::index::footer::Footer;

/// A cache of footers that evicts the least recently used.
#[derive(Debug)]
pub(crate) struct FooterCache {
    bytes_max: u64,
    loaded: Mutex<Loaded>,
}

#[derive(Debug, Default)]
struct Loaded {
    footers: BTreeMap<SegmentId, (Arc<Footer>, u64)>,
    bytes: u64,
    uses: u64,
}

impl FooterCache {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, loaded: Mutex::default() }
    }

    /// The footer of a segment, if it is cached.
    pub(crate) fn get(&self, segment: SegmentId) -> Option<Arc<Footer>> {
        let mut loaded = self.loaded.lock();
        loaded.uses += 1;
        let now = loaded.uses;
        let (footer, used) = loaded.footers.get_mut(&segment)?;
        *used = now;
        Some(Arc::clone(footer))
    }

    /// Adds or replaces a footer, and evicts others above the limit.
    pub(crate) fn keep(&self, segment: SegmentId, footer: Arc<Footer>) {
        let mut loaded = self.loaded.lock();
        loaded.uses += 1;
        let now = loaded.uses;
        loaded.bytes += footer.bytes();
        if let Some((old, _)) = loaded.footers.insert(segment, (footer, now)) {
            loaded.bytes -= old.bytes();
        }
        while loaded.bytes > self.bytes_max && loaded.evict() {}
    }

    /// Drops the footer of a segment.
    pub(crate) fn forget(&self, segment: SegmentId) {
        self.loaded.lock().remove(segment);
    }

    /// The bytes of the cached footers.
    pub(crate) fn bytes(&self) -> u64 {
        self.loaded.lock().bytes
    }
}

impl Loaded {
    fn evict(&mut self) -> bool {
        let oldest = self.footers.iter().min_by_key(|(_, (_, used))| *used).map(|(segment, _)| *segment);
        oldest.is_some_and(|segment| self.remove(segment))
    }

    fn remove(&mut self, segment: SegmentId) -> bool {
        let removed = self.footers.remove(&segment);
        self.bytes -= removed.as_ref().map_or(0, |(footer, _)| footer.bytes());
        removed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        index::{footer::FooterBuilder, log_index::Row},
        types::ids::ShardId,
    };

    fn footer() -> Arc<Footer> {
        let mut builder = FooterBuilder::default();
        builder.add(ShardId(1), 0..1, &[Row { first: 0, offset8: 0, len8: 0 }]).unwrap();
        Arc::new(builder.build())
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let each = footer().bytes();
        let cache = FooterCache::new(2 * each);
        cache.keep(SegmentId(1), footer());
        cache.keep(SegmentId(2), footer());
        assert!(cache.get(SegmentId(1)).is_some());
        cache.keep(SegmentId(3), footer());
        let kept = [1, 2, 3].map(|segment| cache.get(SegmentId(segment)).is_some());
        assert_eq!(kept, [true, false, true]);
        assert_eq!(cache.bytes(), 2 * each);
        cache.keep(SegmentId(3), footer());
        cache.forget(SegmentId(1));
        assert_eq!(cache.bytes(), each);
    }

    #[test]
    fn a_budget_of_nothing_keeps_nothing() {
        let cache = FooterCache::new(0);
        cache.keep(SegmentId(1), footer());
        assert_eq!((cache.bytes(), cache.get(SegmentId(1)).is_none()), (0, true));
    }
}
