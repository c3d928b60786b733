//! The layout of entries in the body of a record.
//!
//! A table of one row for each entry, then contexts and payloads in order. The bytes are laid out in FORMAT.md,
//! "Entries".

use crate::encoding::buffers::BatchEntry;

/// The size of a row of the table in bytes.
pub(crate) const ROW: usize = 8;
/// Rows that are written at once.
const ROWS_AT_ONCE: usize = 64;

/// The verified table of a record's body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryTable<'b> {
    rows: &'b [[u8; ROW]],
    data: &'b [u8],
}

/// One entry of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawEntry<'b> {
    pub(crate) kind: u8,
    pub(crate) context: &'b [u8],
    pub(crate) payload: &'b [u8],
}

/// Writes the table and the bytes of `items` by calls of `put`.
pub(crate) fn put(items: &[BatchEntry<'_>], put: &mut impl FnMut(&[u8])) {
    let mut end = 0_usize;
    for items in items.chunks(ROWS_AT_ONCE) {
        let mut rows = [[0; ROW]; ROWS_AT_ONCE];
        for (row, item) in rows.iter_mut().zip(items) {
            end += item.context.len() + item.payload.as_bytes().len();
            *row = encode_row(end, item);
        }
        put(rows[..items.len()].as_flattened());
    }
    for item in items {
        put(item.context);
        put(item.payload.as_bytes());
    }
}

fn encode_row(end: usize, item: &BatchEntry<'_>) -> [u8; ROW] {
    let mut row = [0; ROW];
    // Both fit: the batch checked its limits when the entry was added.
    row[..4].copy_from_slice(&u32::try_from(end).unwrap_or(u32::MAX).to_le_bytes());
    row[4..6].copy_from_slice(&u16::try_from(item.context.len()).unwrap_or(u16::MAX).to_le_bytes());
    row[6] = item.kind;
    row
}

impl<'b> EntryTable<'b> {
    /// The table of a body of `count` entries; `None` unless every entry lies within the body.
    pub(crate) fn parse(body: &'b [u8], count: u32) -> Option<Self> {
        let (table, data) = body.split_at_checked((count as usize).checked_mul(ROW)?)?;
        let (rows, _) = table.as_chunks::<ROW>();
        let mut start = 0;
        for row in rows {
            let end = row_end(row);
            if end < start || end - start < row_context_len(row) {
                return None;
            }
            start = end;
        }
        (start <= data.len()).then_some(Self { rows, data })
    }

    /// The table of a body that [`EntryTable::parse`] has accepted before.
    pub(crate) fn trusted(body: &'b [u8], count: u32) -> Self {
        let (table, data) = body.split_at_checked(count as usize * ROW).unwrap_or_default();
        Self { rows: table.as_chunks::<ROW>().0, data }
    }

    /// Entry `at` of the record, counted from 0; `None` beyond the last.
    pub(crate) fn get(&self, at: usize) -> Option<RawEntry<'b>> {
        let row = self.rows.get(at)?;
        let bytes = self.data.get(self.start(at)..row_end(row))?;
        let (context, payload) = bytes.split_at_checked(row_context_len(row))?;
        Some(RawEntry { kind: row[6], context, payload })
    }

    /// The number of bytes of context and payload of the entries `from..to`.
    pub(crate) fn bytes(&self, from: usize, to: usize) -> u64 {
        (self.start(to) as u64).saturating_sub(self.start(from) as u64)
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).and_then(|before| self.rows.get(before)).map_or(0, row_end)
    }
}

fn row_end(row: &[u8; ROW]) -> usize {
    u32::from_le_bytes([row[0], row[1], row[2], row[3]]) as usize
}

fn row_context_len(row: &[u8; ROW]) -> usize {
    usize::from(u16::from_le_bytes([row[4], row[5]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::payload::Payload;

    fn items<'a>(parts: &[(&'a [u8], &'a [u8], u8)]) -> Vec<BatchEntry<'a>> {
        parts
            .iter()
            .map(|&(context, payload, kind)| BatchEntry { kind, context, payload: Payload::from(payload) })
            .collect()
    }

    fn encode(items: &[BatchEntry<'_>]) -> Vec<u8> {
        let mut body = Vec::new();
        put(items, &mut |bytes| body.extend_from_slice(bytes));
        body
    }

    #[test]
    fn entries_come_back() {
        let parts: Vec<(&[u8], &[u8], u8)> =
            vec![(b"", b"payload", 1), (b"ctx", b"", 2), (b"", b"", 3), (b"a", b"b", 4)];
        let body = encode(&items(&parts));
        let table = EntryTable::parse(&body, 4).unwrap();
        for (at, (context, payload, kind)) in parts.iter().enumerate() {
            assert_eq!(table.get(at), Some(RawEntry { kind: *kind, context, payload }));
        }
        assert_eq!(table.get(4), None);
        assert_eq!(table.bytes(0, 4), 12);
        assert_eq!(table.bytes(1, 2), 3);
    }

    #[test]
    fn tables_longer_than_one_write() {
        let parts = vec![(&b"k"[..], &b"payload"[..], 7); 3 * ROWS_AT_ONCE + 1];
        let body = encode(&items(&parts));
        let table = EntryTable::parse(&body, 3 * 64 + 1).unwrap();
        assert_eq!(table.get(3 * 64).unwrap().payload, b"payload");
    }

    #[test]
    fn malformed_bodies_are_rejected() {
        let body = encode(&items(&[(b"ab", b"cd", 0), (b"", b"ef", 0)]));
        assert!(EntryTable::parse(&body, 3).is_none(), "more entries than bytes");
        assert!(EntryTable::parse(&body, u32::MAX).is_none());
        for (at, value) in [(0, 1), (0, 200), (4, 9), (8, 0), (8, 99)] {
            let mut body = body.clone();
            body[at] = value;
            assert!(EntryTable::parse(&body, 2).is_none(), "byte {at} = {value}");
        }
    }
}
