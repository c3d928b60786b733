//! Reference-counted handles to the memory of a batch's entries.

use std::{fmt, sync::OnceLock};

use bytes::Bytes;
use logboom_disk::Slice;

/// The regions of memory that hold a batch's records, by address, created on first use. A region has one reference
/// count, and so one allocation, for all payloads in it. There are few: consecutive records share a chunk.
#[derive(Clone, Default)]
pub(crate) struct SharedPayloads(OnceLock<Vec<Bytes>>);

/// The memory of one record's entries.
pub(crate) enum EntryMemory<'b> {
    /// A part of a chunk.
    Chunk(&'b Slice),
    /// An allocation of its own.
    Own(&'b Bytes),
}

impl SharedPayloads {
    /// A handle to `part`, which lies in the memory of one of the records; `None` if it does not.
    pub(crate) fn part<'b>(&self, part: &[u8], memory: impl Iterator<Item = EntryMemory<'b>>) -> Option<Bytes> {
        let regions = self.0.get_or_init(|| regions(memory));
        let after = regions.partition_point(|region| region.as_ptr() <= part.as_ptr());
        let region = regions.get(after.checked_sub(1)?)?;
        let at = part.as_ptr().addr() - region.as_ptr().addr();
        (at < region.len() && part.len() <= region.len() - at).then(|| region.slice(at..at + part.len()))
    }
}

/// Sorts by address and joins adjacent slices of a chunk.
///
/// The entries may be in another order: healed and moved ones lie behind later ones. Regions must not overlap, or a
/// payload would be looked for in the wrong one.
fn regions<'b>(memory: impl Iterator<Item = EntryMemory<'b>>) -> Vec<Bytes> {
    let mut memory: Vec<EntryMemory<'b>> = memory.collect();
    memory.sort_by_key(EntryMemory::address);
    let mut regions = Vec::new();
    let mut last: Option<Slice> = None;
    for region in memory {
        match region {
            EntryMemory::Own(bytes) => regions.push(bytes.clone()),
            EntryMemory::Chunk(slice) if last.as_mut().is_some_and(|last| last.extend_to(slice)) => {}
            EntryMemory::Chunk(slice) => regions.extend(last.replace(slice.clone()).map(Slice::into_bytes)),
        }
    }
    regions.extend(last.map(Slice::into_bytes));
    // Regions of chunks were added after the allocations that follow them.
    regions.sort_by_key(|region| region.as_ptr());
    regions
}

impl EntryMemory<'_> {
    fn address(&self) -> *const u8 {
        match self {
            Self::Chunk(slice) => slice.as_ptr(),
            Self::Own(bytes) => bytes.as_ptr(),
        }
    }
}

impl fmt::Debug for SharedPayloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.get().into_iter().flatten().map(Bytes::len)).finish()
    }
}

#[cfg(test)]
mod tests {
    use logboom_disk::Pool;

    use super::*;

    #[test]
    fn every_part_is_found_whatever_the_order_of_the_places() {
        let whole = Slice::copy_from(&Pool::new(0), &[7; 600]);
        let records: Vec<Slice> = (0..6).map(|nth| whole.slice(nth * 100..nth * 100 + 80)).collect();
        for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [0, 5, 2, 3, 1, 4], [3, 0, 4, 1, 5, 2]] {
            let shares = SharedPayloads::default();
            for record in &records {
                let part = &record[10..70];
                let shared = shares.part(part, order.iter().map(|nth| EntryMemory::Chunk(&records[*nth]))).unwrap();
                assert_eq!((shared.as_ptr(), shared.len()), (part.as_ptr(), 60), "{order:?}");
            }
        }
    }
}
