//! Records as the engine reads them: what each says, and what many do to a shard.

use logboom_wal::{
    Place, SegmentId,
    fuzz::{self, Input, Meter},
};

use crate::{
    encoding::{
        buffers::BatchEntry,
        entry_table::{self, EntryTable},
        extent::Extent,
        operation::Change,
    },
    shard_state::state::State,
    types::{delta::Delta, ids::ShardId},
};

/// Kinds of record, and one that there is not.
const KINDS: u8 = 11;

/// Decodes `bytes` as the log does, and as the engine does: as one record, and as what many records say.
///
/// What a record says lies within it and comes back when it is written again; and whatever a shard has been through,
/// its index covers exactly its entries.
pub fn record_decode(bytes: &[u8], meter: Meter<'_>) {
    fuzz::record_decode(bytes, meter);
    let mut input = Input::new(bytes);
    match input.byte() % 4 {
        0 | 1 => {
            if let Some(record) = fuzz::record(input.rest(), true) {
                entries(record.body(), record.count());
                let is_append = matches!(Change::decode(&record), Some(Change::Append { .. }));
                assert!(!is_append || EntryTable::parse(record.body(), record.count()).is_some());
            }
        }
        _ => shard(input, meter),
    }
}

fn entries(body: &[u8], count: u32) {
    let Some(table) = EntryTable::parse(body, count) else { return };
    let all: Vec<_> = (0..count as usize).map(|at| table.get(at).unwrap()).collect();
    assert_eq!(table.get(all.len()), None);
    let bytes: usize = all.iter().map(|entry| entry.context.len() + entry.payload.len()).sum();
    assert_eq!(table.bytes(0, all.len()), bytes as u64);
    let item = |entry: &entry_table::RawEntry<'_>| (entry.kind, entry.context.to_vec(), entry.payload.to_vec());
    let owned: Vec<_> = all.iter().map(item).collect();
    let items: Vec<BatchEntry<'_>> = owned
        .iter()
        .map(|(kind, context, payload)| BatchEntry { kind: *kind, context, payload: payload.as_slice().into() })
        .collect();
    let mut again = Vec::new();
    entry_table::put(&items, &mut |bytes| again.extend_from_slice(bytes));
    let again = EntryTable::parse(&again, count).unwrap();
    assert!((0..all.len()).all(|at| again.get(at).as_ref() == all.get(at)));
}

/// Has one shard do what the records that the input makes up say.
fn shard(mut input: Input<'_>, meter: Meter<'_>) {
    let (mut extent, mut state) = (Extent::default(), State::default());
    let (mut at, mut given, mut allocated) = (0, 0, 0);
    while !input.is_empty() {
        let bytes = made_up(&mut input, extent.next);
        let Some(record) = fuzz::record(&bytes, true) else { continue };
        let Some(change) = Change::decode(&record) else { continue };
        at += 64;
        let place = Place { segment: SegmentId(1 + at / 512), offset: (at % 512) as u32 * 8, len: bytes.len() as u32 };
        let before = meter();
        let applied = state.apply(ShardId(1), extent, &change, place, &mut Delta::default());
        given += bytes.len() as u64;
        allocated += meter() - before;
        if let Ok(after) = applied {
            assert_eq!(change.extent_after(extent), Ok(after));
            extent = after;
        }
        check(&extent, &state);
    }
    assert!(allocated <= 64 * given + (4 << 10), "{allocated} allocated for {given}");
}

/// The bytes of a record: any kind, most of them with numbers that fit a log that goes on at `next`.
fn made_up(input: &mut Input<'_>, next: u64) -> Vec<u8> {
    let kind = input.byte();
    let first = match kind >> 6 {
        0 | 1 => next,
        2 => next.wrapping_sub(u64::from(input.byte())),
        _ => input.number(),
    };
    let count = u32::from(input.byte() % 8);
    let mut bytes = vec![0; 64];
    bytes[32..40].copy_from_slice(&first.to_le_bytes());
    bytes[40..48].copy_from_slice(&u64::from(input.byte() % 4).to_le_bytes());
    bytes[48..52].copy_from_slice(&count.to_le_bytes());
    bytes[56] = kind % KINDS;
    // Zeros are a table of entries without a byte.
    bytes.resize(64 + 8 * count as usize, 0);
    let len = usize::from(input.byte() % 16);
    bytes.extend_from_slice(input.bytes(len));
    let body = bytes.len() as u32 - 64;
    bytes[52..56].copy_from_slice(&body.to_le_bytes());
    bytes
}

/// The index has a term and a place for each entry of the log, and for nothing else.
fn check(extent: &Extent, state: &State) {
    assert!(extent.first <= extent.next);
    if extent.is_empty() {
        return;
    }
    let (first, last) = (extent.first, extent.next - 1);
    assert!(state.log.term(first).is_some() && state.log.term(last).is_some(), "{extent:?}");
    let mut expected = first;
    for location in state.log.locate(extent, &extent.range(), u64::MAX) {
        assert_eq!(location.range.start, expected, "{extent:?}");
        expected = location.range.end;
    }
    assert_eq!(expected, extent.next, "{extent:?}");
}
