//! Footers and checkpoints, damaged behind their checksums.

use logboom_wal::{
    SegmentId,
    fuzz::{Input, Meter},
};

use super::{engines::open_edited, scenes};
use crate::{
    ShardId,
    checkpoint::Checkpoint,
    footer::{Footer, FooterBuilder},
    log::{Row, Stretch},
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
        0 => footer(input.rest(), meter),
        1 => footer(&edited(sample_footer(), &mut input), meter),
        2 => checkpoint(input.rest(), meter),
        3 => checkpoint(&edited(scenes::checkpoint(), &mut input), meter),
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

fn sample_footer() -> Vec<u8> {
    let mut builder = FooterBuilder::default();
    for shard in 0..4 {
        let first = shard * 100;
        let rows: Vec<Row> = (0..3).map(|nth| Row { first: first + 5 * nth, offset8: 100, len8: 16 }).collect();
        builder.add(ShardId(shard), first..first + 20, &rows).unwrap();
    }
    builder.build().encode().unwrap()
}

fn footer(bytes: &[u8], meter: Meter<'_>) {
    let before = meter();
    let Ok(footer) = Footer::decode(bytes) else { return };
    let allocated = meter() - before;
    assert!(allocated <= 4 * bytes.len() as u64 + (16 << 10), "{allocated} allocated for {}", bytes.len());
    const SEGMENT: SegmentId = SegmentId(1);
    for (shard, claim) in footer.claims(SEGMENT) {
        for range in [claim.first..claim.end, claim.first.saturating_add(1)..claim.end, 0..u64::MAX] {
            let mut stretches = Vec::new();
            let wanted = Stretch { range, term: 1, segment: SEGMENT, place: None };
            footer.outline(shard, &wanted, u64::MAX, &mut stretches);
        }
    }
    let again = Footer::decode(&footer.encode().unwrap()).unwrap();
    assert!(again.claims(SEGMENT).eq(footer.claims(SEGMENT)) && again.age(7) == footer.age(7));
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
