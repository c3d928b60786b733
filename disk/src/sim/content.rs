//! A file's bytes: those that are durable, and those that would be lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use fastrand::Rng;

/// What reaches the medium as one, in bytes.
pub(super) const SECTOR: usize = 512;

/// The content of one file.
///
/// Each unsynced sector has its versions, oldest first. A read sees the last; a power cut leaves any of them, or what
/// was durable before.
#[derive(Debug, Default)]
pub(super) struct Content {
    durable: Vec<u8>,
    durable_size: u64,
    pending: BTreeMap<u64, Vec<Version>>,
}

/// One sector of a write that has completed.
#[derive(Clone, Debug)]
struct Version {
    /// When the write completed, in the machine's count of writes.
    order: u64,
    bytes: Arc<[u8]>,
    /// Where in `bytes` the sector begins.
    at: usize,
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        self.durable.len() as u64
    }

    pub(super) fn grow(&mut self, size: u64) {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > self.durable.len() {
            self.durable.resize(size, 0);
        }
    }

    pub(super) fn sync_size(&mut self) {
        self.durable_size = self.size();
    }

    /// Fills `out` from `offset`; both in whole sectors, and inside the file.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) {
        out.copy_from_slice(&self.durable[span(offset, out.len())]);
        for (sector, versions) in self.pending.range(sectors(offset, out.len())) {
            if let Some(version) = versions.last() {
                let at = span(sector * SECTOR as u64 - offset, SECTOR);
                out[at].copy_from_slice(version.sector());
            }
        }
    }

    /// Writes sectors that are readable and may be lost.
    pub(super) fn write(&mut self, sector: u64, bytes: &Arc<[u8]>, at: usize, order: u64) {
        let version = Version { order, bytes: Arc::clone(bytes), at };
        self.pending.entry(sector).or_default().push(version);
    }

    /// Makes durable, of the sectors of a range, what was written last.
    pub(super) fn sync_range(&mut self, offset: u64, len: usize) {
        let sectors: Vec<u64> = self.pending.range(sectors(offset, len)).map(|(sector, _)| *sector).collect();
        for sector in sectors {
            if let Some(version) = self.pending.remove(&sector).and_then(|versions| versions.last().cloned()) {
                self.settle(sector, version.sector());
            }
        }
    }

    /// Makes durable what had completed by `order`; what is newer stays volatile.
    pub(super) fn sync(&mut self, order: u64) {
        let mut kept = BTreeMap::new();
        for (sector, mut versions) in std::mem::take(&mut self.pending) {
            let newer = versions.split_off(versions.partition_point(|version| version.order <= order));
            if let Some(version) = versions.last() {
                self.settle(sector, version.sector());
            }
            if !newer.is_empty() {
                kept.insert(sector, newer);
            }
        }
        self.pending = kept;
    }

    /// Loses what is unsynced, as a failed sync does.
    pub(super) fn drop_pending(&mut self) {
        self.pending.clear();
    }

    /// Inverts the bits of a range inside the file.
    pub(super) fn invert(&mut self, range: Range<u64>) {
        self.sync(u64::MAX);
        let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        for byte in &mut self.durable[span(range.start, len)] {
            *byte = !*byte;
        }
    }

    /// Leaves of what is unsynced what a power cut leaves.
    pub(super) fn power_cut(&mut self, fate: &mut Fate<'_>) {
        let pending = std::mem::take(&mut self.pending);
        let mut blocks = BTreeSet::new();
        for (sector, versions) in &pending {
            if let Some(version) = fate.choose(versions) {
                self.settle(*sector, version.sector());
            }
            blocks.insert(sector * SECTOR as u64 / fate.physical_block as u64);
        }
        for block in blocks {
            if fate.tears() {
                self.tear(block, fate);
            }
        }
        if fate.loses() {
            let size = usize::try_from(self.durable_size).unwrap_or(usize::MAX);
            self.durable.truncate(size);
        }
        self.sync_size();
    }

    /// Damages a physical block: each sector of it is what it was, or garbage.
    fn tear(&mut self, block: u64, fate: &mut Fate<'_>) {
        let start = block * fate.physical_block as u64;
        let end = self.size().min(start + fate.physical_block as u64);
        for sector in start / SECTOR as u64..end / SECTOR as u64 {
            if fate.rng.bool() {
                fate.rng.fill(&mut self.durable[span(sector * SECTOR as u64, SECTOR)]);
            }
        }
    }

    fn settle(&mut self, sector: u64, bytes: &[u8]) {
        self.durable[span(sector * SECTOR as u64, SECTOR)].copy_from_slice(bytes);
    }
}

/// The numbers of the sectors of a range.
pub(super) fn sectors(offset: u64, len: usize) -> Range<u64> {
    let sector = SECTOR as u64;
    debug_assert!(offset.is_multiple_of(sector) && len.is_multiple_of(SECTOR), "{len} bytes at {offset}");
    offset / sector..(offset + len as u64) / sector
}

/// What becomes of unsynced things when power fails.
///
/// Each cut has its own bias, from losing all to keeping all, and every other tears nothing: with even odds for each
/// of a thousand sectors, the interesting extremes would never come.
pub(super) struct Fate<'a> {
    rng: &'a mut Rng,
    kept_percent: u32,
    torn_per_mille: u32,
    physical_block: usize,
}

impl<'a> Fate<'a> {
    pub(super) fn new(rng: &'a mut Rng, torn_per_mille: u32, physical_block: usize) -> Self {
        let kept_percent = [0, 10, 50, 90, 100][rng.usize(..5)];
        let torn_per_mille = if rng.bool() { torn_per_mille } else { 0 };
        Fate { rng, kept_percent, torn_per_mille, physical_block }
    }

    /// Whether one unsynced change is lost.
    pub(super) fn loses(&mut self) -> bool {
        self.rng.u32(..100) >= self.kept_percent
    }

    fn tears(&mut self) -> bool {
        self.rng.u32(..1000) < self.torn_per_mille
    }

    /// Mostly the newest, if any: an older version survives only where the device wrote it before the newer came.
    fn choose<'v>(&mut self, versions: &'v [Version]) -> Option<&'v Version> {
        match () {
            () if self.loses() => None,
            () if self.rng.u32(..4) == 0 => self.rng.choice(versions),
            () => versions.last(),
        }
    }
}

impl Version {
    fn sector(&self) -> &[u8] {
        &self.bytes[self.at..self.at + SECTOR]
    }
}

fn span(offset: u64, len: usize) -> Range<usize> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    start..start.saturating_add(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(byte: u8) -> Arc<[u8]> {
        Arc::from([byte; SECTOR])
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
        content.write(0, &filled(1), 0, 1);
        content.write(0, &filled(2), 0, 2);
        content.write(1, &filled(3), 0, 2);
        content.sync(1);
        assert_eq!((seen(&content, 0), seen(&content, 1)), (2, 3));
        content.drop_pending();
        assert_eq!((seen(&content, 0), seen(&content, 1)), (1, 0));
    }

    #[test]
    fn a_durable_write_outdoes_what_was_pending_below_it() {
        let mut content = Content::default();
        content.grow(4096);
        content.write(0, &filled(1), 0, 1);
        content.write(0, &filled(2), 0, 2);
        content.write(1, &filled(3), 0, 3);
        content.sync_range(0, SECTOR);
        content.drop_pending();
        assert_eq!((seen(&content, 0), seen(&content, 1)), (2, 0));
    }
}
