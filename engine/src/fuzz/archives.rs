//! Footers and checkpoints, damaged behind their checksums.

use logboom_disk::{Pool, Slice};
use logboom_wal::{
    FooterParts, SegmentId,
    fuzz::{Input, Meter},
};

use super::{engines::open_edited, fixtures};
use crate::{
    checkpoint::body::Checkpoint,
    index::{
        footer::{Footer, FooterBuilder},
        log_index::{EntryLocation, Row},
    },
    types::ids::ShardId,
};

/// Bytes of an archive that an edit may address.
const ADDRESSED: usize = 1 << 12;

/// Decodes a footer or a checkpoint that was edited, or is nothing but input; or opens an engine whose log, footers
/// and checkpoints were edited.
///
/// What is decoded answers every question without a panic, and comes back when it is written again.
pub fn metadata_archive(bytes: &[u8], meter: Meter<'_>) {
    let mut input = Input::new(bytes);
    match input.byte() % 8 {
        0 => {
            let at = usize::from(input.byte());
            let (head, rows) = input.rest().split_at_checked(at).unwrap_or_default();
            footer(head, rows, meter);
        }
        1 => {
            let (head, rows) = sample_footer();
            match input.byte() % 2 {
                0 => footer(&edited(head, &mut input), &rows, meter),
                _ => footer(&head, &edited(rows, &mut input), meter),
            }
        }
        2 => checkpoint(input.rest(), meter),
        3 => checkpoint(&edited(fixtures::checkpoint(), &mut input), meter),
        _ => open_edited(input, meter),
    }
}

/// Sets bytes and words of `bytes`, and at times cuts it.
fn edited(mut bytes: Vec<u8>, input: &mut Input<'_>) -> Vec<u8> {
    while !input.is_empty() {
        let kind = input.byte() % 8;
        let at = input.below(bytes.len().min(ADDRESSED));
        match kind {
            0 => bytes.truncate(at),
            1..=3 => put(&mut bytes, at, &[input.byte()]),
            4..=6 => put(&mut bytes, at / 4 * 4, &(input.number() as u32).to_le_bytes()),
            _ => put(&mut bytes, at / 8 * 8, &input.number().to_le_bytes()),
        }
    }
    bytes
}

fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    if let Some(old) = bytes.get_mut(at..at + new.len()) {
        old.copy_from_slice(new);
    }
}

/// Its head, and its rows.
fn sample_footer() -> (Vec<u8>, Vec<u8>) {
    let mut builder = FooterBuilder::default();
    for shard in 0..4 {
        let first = shard * 100;
        let rows: Vec<Row> = (0..3).map(|nth| Row { first: first + 5 * nth, offset8: 100, len8: 16 }).collect();
        builder.add(ShardId(shard), first..first + 20, &rows).unwrap();
    }
    let footer = builder.build();
    (footer.head.encode().unwrap(), footer.encode_rows().unwrap())
}

fn footer(head: &[u8], rows: &[u8], meter: Meter<'_>) {
    let parts = parts_of(head, rows);
    let before = meter();
    let Ok(footer) = Footer::decode(&parts) else { return };
    let (allocated, len) = (meter() - before, head.len() + rows.len());
    assert!(allocated <= 4 * len as u64 + (16 << 10), "{allocated} allocated for {len}");
    const SEGMENT: SegmentId = SegmentId(1);
    for (shard, claim) in footer.head.claims(SEGMENT) {
        for range in [claim.first..claim.end, claim.first.saturating_add(1)..claim.end, 0..u64::MAX] {
            let mut locations = Vec::new();
            let wanted = EntryLocation { range, term: 1, segment: SEGMENT, place: None };
            footer.locate(shard, &wanted, u64::MAX, &mut locations);
        }
    }
    let again = parts_of(&footer.head.encode().unwrap(), &footer.encode_rows().unwrap());
    let again = Footer::decode(&again).unwrap().head;
    assert!(again.claims(SEGMENT).eq(footer.head.claims(SEGMENT)) && again.recency(7) == footer.head.recency(7));
}

fn parts_of(head: &[u8], rows: &[u8]) -> FooterParts {
    let pool = Pool::new(0);
    FooterParts { head: Slice::copy_from(&pool, head), body: Slice::copy_from(&pool, rows) }
}

fn checkpoint(bytes: &[u8], meter: Meter<'_>) {
    let before = meter();
    let mut shards = 0;
    drop(Checkpoint::decode(bytes, |shard| {
        assert!(shard.view.extent.first <= shard.view.extent.next);
        shards += 1;
    }));
    let allocated = meter() - before;
    assert!(shards <= bytes.len() && allocated <= 64 * bytes.len() as u64 + (16 << 10), "{allocated} allocated");
}
