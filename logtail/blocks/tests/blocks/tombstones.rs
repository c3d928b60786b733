//! Tombstone objects.

use logboom_logtail_blocks::{Tombstone, TombstoneWriter, WriteError, WriteOptions};
use logboom_logtail_core::{ObjectId, TableId, Timestamp, block_meta::ObjectKind};

use crate::model::{ID, footer, read, rng};

fn tombstone(number: u64, row: u32, deleted: i64) -> Tombstone {
    let object = ObjectId { nonce: u64::MAX - 1, number };
    Tombstone { object, row, deleted: Timestamp::from_i64(deleted).unwrap() }
}

#[test]
fn tombstones_come_back() {
    let (_seed, mut rng) = rng();
    let mut all: Vec<Tombstone> =
        (0..20_000).map(|_| tombstone(rng.u64(..5), rng.u32(..1 << 21), rng.i64(0..1000))).collect();
    all.sort_unstable();
    all.dedup_by_key(|tombstone| (tombstone.object, tombstone.row));
    let mut writer = TombstoneWriter::new(ID, TableId(3), WriteOptions::default()).unwrap();
    all.chunks(777).for_each(|chunk| writer.write(chunk).unwrap());
    let object = writer.finish().unwrap();
    assert_eq!((object.meta.kind, object.meta.blocks.len()), (ObjectKind::Tombstones, 3));
    let batches = read(&footer(&object), &object.meta, &object.bytes, Tombstone::scan(0..3)).unwrap();
    let back: Vec<Tombstone> = batches.iter().flat_map(|batch| Tombstone::of(batch).unwrap()).collect();
    assert_eq!(back, all);
}

#[test]
fn tombstones_are_sorted_and_one_a_row() {
    for second in [tombstone(1, 5, 9), tombstone(1, 4, 9), tombstone(0, 6, 9)] {
        let mut writer = TombstoneWriter::new(ID, TableId(3), WriteOptions::default()).unwrap();
        writer.write(&[tombstone(1, 5, 8)]).unwrap();
        assert!(matches!(writer.write(&[second]), Err(WriteError::Unsorted { row: 1 })));
    }
}
