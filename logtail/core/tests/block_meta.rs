//! Metadata of objects: what is written comes back, in few bytes, and nothing else is taken for them.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not find is its failure")]

use fastrand::Rng;
use logboom_logtail_core::{
    ObjectId, TableId, Timestamp,
    block_meta::{BLOCK_ROWS_MAX, BLOCKS_MAX, BlockMeta, MetaError, ObjectKind, ObjectMeta, TombstoneRange},
    key::BOUND_BYTES_MAX,
};

fn rng() -> (u64, Rng) {
    let seed = std::env::var("LOGBOOM_SEED").ok().map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    (seed, Rng::with_seed(seed))
}

fn timestamp(rng: &mut Rng) -> Timestamp {
    Timestamp::from_i64(rng.i64(0..=i64::MAX)).unwrap()
}

fn id(rng: &mut Rng) -> ObjectId {
    ObjectId { nonce: rng.u64(..), number: rng.u64(..) }
}

fn key(rng: &mut Rng, first: u8) -> Option<Vec<u8>> {
    rng.bool().then(|| std::iter::once(first).chain((0..rng.usize(..BOUND_BYTES_MAX)).map(|_| rng.u8(..))).collect())
}

fn block(rng: &mut Rng, first_row: u32) -> BlockMeta {
    let (one, other) = (timestamp(rng), timestamp(rng));
    BlockMeta {
        first_row,
        rows: rng.u32(1..=BLOCK_ROWS_MAX),
        low_key: key(rng, 1),
        high_key: key(rng, 2),
        low_commit: one.min(other),
        high_commit: one.max(other),
        sorted: rng.bool(),
        created: timestamp(rng),
        deleted: rng.bool().then(|| timestamp(rng)),
        appendable: rng.bool(),
        tombstones: rng.bool().then(|| TombstoneRange {
            object: id(rng),
            first: rng.u32(..1000),
            count: rng.u32(1..1000),
        }),
        truncation_point: timestamp(rng),
    }
}

fn object(rng: &mut Rng, blocks: usize) -> ObjectMeta {
    let mut meta = ObjectMeta {
        id: id(rng),
        table: TableId(rng.u64(..)),
        kind: *rng.choice(&[ObjectKind::Rows, ObjectKind::Tombstones]).unwrap(),
        schema_version: rng.i32(..),
        bytes: rng.u64(1 << 32..),
        footer_offset: rng.u64(..1 << 32),
        footer_crc: rng.u32(..),
        blocks: Vec::new(),
    };
    for _ in 0..blocks {
        let next = block(rng, meta.rows());
        meta.blocks.push(next);
    }
    meta
}

#[test]
fn metadata_come_back() {
    let (seed, mut rng) = rng();
    for _ in 0..300 {
        let count = rng.usize(1..9);
        let meta = object(&mut rng, count);
        let bytes = meta.encode().unwrap();
        assert_eq!(ObjectMeta::decode(&bytes).unwrap(), meta, "LOGBOOM_SEED={seed}");
        // Wherever the bytes lie in memory.
        for pad in 1..8 {
            let moved = [&vec![0; pad][..], &bytes].concat();
            assert_eq!(ObjectMeta::decode(&moved[pad..]).unwrap(), meta, "LOGBOOM_SEED={seed}");
        }
        ObjectMeta::read(&bytes, |read| {
            let last = meta.blocks.last().unwrap();
            assert_eq!(read.block(count - 1).unwrap().low_key(), last.low_key.as_deref());
            assert_eq!(read.block(count - 1).unwrap().high_commit(), last.high_commit);
            assert!(read.block(count).is_none());
        })
        .unwrap();
    }
}

#[test]
fn a_block_takes_at_most_256_bytes() {
    let (_, mut rng) = rng();
    let mut meta = object(&mut rng, BLOCKS_MAX);
    for block in &mut meta.blocks {
        block.low_key = Some(vec![1; BOUND_BYTES_MAX]);
        block.high_key = Some(vec![2; BOUND_BYTES_MAX]);
        block.deleted = Some(Timestamp::MAX);
        block.tombstones = Some(TombstoneRange { object: meta.id, first: 0, count: u32::MAX });
    }
    let bytes = meta.encode().unwrap().len();
    assert!(bytes <= 256 * BLOCKS_MAX, "{bytes}");
    // And one of a table with a short key as many as it needs.
    for block in &mut meta.blocks {
        (block.low_key, block.high_key) = (Some(vec![1; 9]), Some(vec![2; 9]));
    }
    let bytes = meta.encode().unwrap().len();
    assert!(bytes <= 144 * BLOCKS_MAX, "{bytes}");
}

#[test]
fn damaged_bytes_are_refused() {
    let (seed, mut rng) = rng();
    let bytes = object(&mut rng, 4).encode().unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << rng.u32(..8);
        assert!(ObjectMeta::decode(&damaged).is_err(), "LOGBOOM_SEED={seed}: byte {at}");
        assert!(ObjectMeta::decode(&bytes[..at]).is_err(), "LOGBOOM_SEED={seed}: the first {at} bytes");
    }
    assert!(ObjectMeta::decode(&[&bytes[..], &[0]].concat()).is_err());
    assert_eq!(ObjectMeta::decode(b"PAR1").unwrap_err(), MetaError::Foreign);
    assert_eq!(ObjectMeta::decode(b"LB").unwrap_err(), MetaError::Length { len: 2, expected: 16 });
    let newer = [&bytes[..4], &[2, 0], &bytes[6..]].concat();
    assert_eq!(ObjectMeta::decode(&newer).unwrap_err(), MetaError::Newer { found: 2, supported: 1 });
}

#[test]
fn fields_that_contradict_each_other_are_neither_written_nor_read() {
    fn check(what: &str, change: impl Fn(&mut ObjectMeta)) {
        let mut meta = object(&mut Rng::with_seed(1), 3);
        meta.encode().unwrap();
        change(&mut meta);
        assert!(matches!(meta.encode(), Err(MetaError::Inconsistent(_))), "{what}");
    }
    check("no blocks", |meta| meta.blocks.clear());
    check("a footer outside", |meta| meta.footer_offset = meta.bytes);
    check("a gap between blocks", |meta| meta.blocks[2].first_row += 1);
    check("a first row that is not the first", |meta| meta.blocks.iter_mut().for_each(|block| block.first_row += 1));
    check("an empty block", |meta| meta.blocks[2].rows = 0);
    check("a large block", |meta| meta.blocks[2].rows = BLOCK_ROWS_MAX + 1);
    check("a long key", |meta| meta.blocks[0].low_key = Some(vec![0; BOUND_BYTES_MAX + 1]));
    check("keys swapped", |meta| {
        (meta.blocks[0].low_key, meta.blocks[0].high_key) = (Some(vec![2]), Some(vec![1, 9]));
    });
    check("commits swapped", |meta| {
        (meta.blocks[0].low_commit, meta.blocks[0].high_commit) = (Timestamp::MAX, Timestamp::ZERO);
    });
    check("no tombstones", |meta| {
        meta.blocks[0].tombstones = Some(TombstoneRange { object: meta.id, first: 7, count: 0 });
    });
    check("tombstones without positions", |meta| {
        meta.blocks[0].tombstones = Some(TombstoneRange { object: meta.id, first: 7, count: u32::MAX });
    });
    check("too many blocks", |meta| {
        let next = |first_row| BlockMeta { first_row, rows: 1, ..meta.blocks[0].clone() };
        meta.blocks = (0..257).map(next).collect();
    });
}

#[test]
fn bounds_tell_where_a_key_may_be() {
    let block = |low: Option<&[u8]>, high: Option<&[u8]>| BlockMeta {
        low_key: low.map(<[u8]>::to_vec),
        high_key: high.map(<[u8]>::to_vec),
        ..block(&mut Rng::with_seed(1), 0)
    };
    let between = block(Some(b"b"), Some(b"d"));
    let has = |key: &[u8]| between.may_have_key(key);
    assert!(!has(b"a") && has(b"b") && has(b"cz") && has(b"d") && !has(b"d0"));
    assert!(block(None, None).may_have_key(b"x"));
    assert!(block(None, Some(b"x")).may_have_key(b"") && !block(Some(b"x"), None).may_have_key(b""));
}
