//! A file's bytes: those that are durable, and those that would be lost.

use std::ops::Range;

use bytes::Bytes;

use super::pages::Pages;

/// The unit in which bytes reach the medium.
pub(super) const SECTOR: usize = 512;

/// The content of one file: what is durable, and over it what was written since, in the order of completion. A read
/// sees the last of it; a power cut leaves of each sector any version, or what was durable before.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) durable: Pages,
    size: u64,
    durable_size: u64,
    pending: Vec<Extent>,
}

/// Whole sectors of a write that has completed, in a row.
#[derive(Clone, Debug)]
pub(super) struct Extent {
    /// When the write completed, in the machine's count of writes. All sectors of a write have the same.
    pub(super) order: u64,
    pub(super) offset: u64,
    pub(super) bytes: Bytes,
    /// Lost by a failed sync: still in the page cache, and taken there to be on the disk.
    clean: bool,
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The growth of the file since its size was durable.
    pub(super) fn growth(&self) -> Range<u64> {
        self.durable_size..self.size
    }

    pub(super) fn grow(&mut self, size: u64) {
        self.size = self.size.max(size);
    }

    /// Takes back what lies beyond `size`. Where that is durable, a power cut before the size is finds it again.
    pub(super) fn shrink(&mut self, size: u64) {
        if size < self.size {
            self.pending.retain(|extent| extent.range().end <= size);
            self.size = size;
        }
    }

    pub(super) fn sync_size(&mut self) {
        if self.size < self.durable_size {
            self.durable.truncate(self.size);
        }
        self.durable_size = self.size;
    }

    /// Fills `out` from `offset`, inside the file.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) {
        self.durable.read(offset, out);
        let wanted = offset..offset + out.len() as u64;
        for extent in &self.pending {
            if let Some(common) = common(&extent.range(), &wanted) {
                out[relative(&common, offset)].copy_from_slice(&extent.bytes[relative(&common, extent.offset)]);
            }
        }
    }

    /// Fills `out` with something older than [`Content::read`] gives: what is durable if anything newer is not, or
    /// else what was durable before.
    pub(super) fn read_stale(&self, offset: u64, out: &mut [u8]) {
        let wanted = offset..offset + out.len() as u64;
        if self.pending.iter().any(|extent| common(&extent.range(), &wanted).is_some()) {
            self.durable.read(offset, out);
        } else {
            self.durable.read_before(offset, out);
        }
    }

    /// Writes sectors that are readable and may be lost.
    pub(super) fn write(&mut self, order: u64, offset: u64, bytes: Bytes) {
        self.uncover(offset, bytes.len(), |extent| extent.clean);
        self.pending.push(Extent::new(order, offset, bytes));
    }

    /// Writes sectors that are not lost any more.
    pub(super) fn write_durable(&mut self, offset: u64, bytes: &[u8]) {
        self.uncover(offset, bytes.len(), |_| true);
        self.durable.write(offset, bytes);
    }

    /// Makes durable what had completed by `order`; what is newer stays volatile.
    pub(super) fn sync(&mut self, order: u64) {
        let (pending, durable) = (&mut self.pending, &mut self.durable);
        for extent in pending.extract_if(.., |extent| extent.order <= order && !extent.clean) {
            durable.write(extent.offset, &extent.bytes);
        }
    }

    /// Loses what is unsynced, as a failed sync does. Through a page cache it can still be read, until power fails.
    pub(super) fn fail_sync(&mut self, direct: bool) {
        if direct {
            self.pending.clear();
        }
        self.pending.iter_mut().for_each(|extent| extent.clean = true);
    }

    /// Drops what only a page cache still has.
    pub(super) fn forget_cached(&mut self) {
        self.pending.retain(|extent| !extent.clean);
    }

    /// The sectors that a power cut decides on, in the order of their writes.
    pub(super) fn unsynced(&self) -> impl Iterator<Item = &Extent> {
        self.pending.iter().filter(|extent| !extent.clean)
    }

    /// Keeps the durable bytes only, after the power cut has added surviving writes to them.
    pub(super) fn end_power_cut(&mut self) {
        self.pending.clear();
        self.durable.truncate(self.durable_size);
        self.size = self.durable_size;
    }

    /// Takes a range out of those extents that `covered` says so of.
    fn uncover(&mut self, offset: u64, len: usize, covered: impl Fn(&Extent) -> bool) {
        let range = offset..offset + len as u64;
        let hit = |extent: &Extent| covered(extent) && common(&extent.range(), &range).is_some();
        if !self.pending.iter().any(hit) {
            return;
        }
        for extent in std::mem::take(&mut self.pending) {
            if hit(&extent) {
                let (before, behind) = (extent.part(&(0..range.start)), extent.part(&(range.end..u64::MAX)));
                self.pending.extend([before, behind].into_iter().flatten());
            } else {
                self.pending.push(extent);
            }
        }
    }
}

impl Extent {
    pub(super) fn new(order: u64, offset: u64, bytes: Bytes) -> Self {
        Extent { order, offset, bytes, clean: false }
    }

    pub(super) fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.bytes.len() as u64
    }

    /// The part of the extent within a range of the file, if any.
    fn part(&self, range: &Range<u64>) -> Option<Extent> {
        let common = common(&self.range(), range)?;
        let bytes = self.bytes.slice(relative(&common, self.offset));
        Some(Extent { offset: common.start, bytes, ..self.clone() })
    }
}

/// The rows of sectors of a range of `len` bytes that `lands` lets through, relative to its beginning.
pub(super) fn rows(len: usize, mut lands: impl FnMut(usize) -> bool) -> Vec<Range<usize>> {
    let mut rows: Vec<Range<usize>> = Vec::new();
    for sector in 0..len.div_ceil(SECTOR) {
        let (start, end) = (sector * SECTOR, len.min((sector + 1) * SECTOR));
        match rows.last_mut() {
            _ if !lands(sector) => {}
            Some(row) if row.end == start => row.end = end,
            _ => rows.push(start..end),
        }
    }
    rows
}

fn common(one: &Range<u64>, other: &Range<u64>) -> Option<Range<u64>> {
    let common = one.start.max(other.start)..one.end.min(other.end);
    (common.start < common.end).then_some(common)
}

/// A range of a file, as a range of what begins at `offset` in it.
fn relative(range: &Range<u64>, offset: u64) -> Range<usize> {
    let from = |at: u64| usize::try_from(at - offset).unwrap_or(usize::MAX);
    from(range.start)..from(range.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(byte: u8, sectors: usize) -> Bytes {
        Bytes::from(vec![byte; sectors * SECTOR])
    }

    fn seen(content: &Content, sector: u64) -> u8 {
        let mut out = [0; SECTOR];
        content.read(sector * SECTOR as u64, &mut out);
        assert!(out.iter().all(|byte| *byte == out[0]));
        out[0]
    }

    #[test]
    fn a_sync_covers_what_had_completed_by_its_order() {
        let mut content = Content::default();
        content.grow(4096);
        content.write(1, 0, filled(1, 1));
        content.write(2, 0, filled(2, 1));
        content.write(2, 512, filled(3, 1));
        content.sync(1);
        assert_eq!((seen(&content, 0), seen(&content, 1)), (2, 3));
        content.fail_sync(true);
        assert_eq!((seen(&content, 0), seen(&content, 1)), (1, 0));
    }

    #[test]
    fn a_durable_write_outdoes_what_was_pending_below_it() {
        let mut content = Content::default();
        content.grow(4096);
        content.write(1, 0, filled(1, 4));
        content.write_durable(512, &filled(2, 2));
        assert_eq!([0, 1, 2, 3].map(|sector| seen(&content, sector)), [1, 2, 2, 1]);
        content.fail_sync(true);
        assert_eq!([0, 1, 2, 3].map(|sector| seen(&content, sector)), [0, 2, 2, 0]);
    }

    #[test]
    fn a_page_cache_shows_what_a_failed_sync_has_lost() {
        let mut content = Content::default();
        content.grow(4096);
        content.write(1, 0, filled(1, 2));
        content.fail_sync(false);
        content.write(2, 0, filled(2, 1));
        content.sync(2);
        assert_eq!((seen(&content, 0), seen(&content, 1)), (2, 1));
        assert_eq!(content.unsynced().count(), 0);
        content.sync_size();
        content.end_power_cut();
        assert_eq!((seen(&content, 0), seen(&content, 1)), (2, 0));
    }

    #[test]
    fn what_is_taken_back_is_gone_when_the_size_is_durable() {
        let mut content = Content::default();
        content.grow(4096);
        content.sync_size();
        content.grow(3 * 4096);
        content.shrink(2 * 4096);
        assert_eq!(content.growth(), 4096..2 * 4096);
        content.write_durable(0, &filled(1, 2));
        for is_synced in [false, true] {
            let mut content = content.clone();
            content.shrink(512);
            assert_eq!(content.size(), 512);
            if is_synced {
                content.sync_size();
            }
            content.end_power_cut();
            assert_eq!(content.size(), if is_synced { 512 } else { 4096 });
            content.grow(4096);
            assert_eq!((seen(&content, 0), seen(&content, 1)), (1, u8::from(!is_synced)));
        }
    }

    #[test]
    fn rows_join_neighbours() {
        let rows = rows(5 * SECTOR, |sector| sector != 2);
        assert_eq!(rows, [0..2 * SECTOR, 3 * SECTOR..5 * SECTOR]);
    }
}
