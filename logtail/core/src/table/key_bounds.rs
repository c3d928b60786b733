//! `KeyBounds`: which blocks of an object may have a key.

use crate::{block_meta::ObjectMeta, key::prefix};

/// The bounds of the keys of an object's blocks, by their first eight bytes as numbers.
///
/// Each key of a transaction is looked for in each object of its table. Most objects are ruled out by two numbers that
/// lie in the object, and the blocks of the others are searched for in one piece of memory. The bounds themselves, each
/// of which has memory of its own, are compared only with keys that these numbers do not tell apart.
#[derive(Clone, Debug)]
pub(crate) struct KeyBounds {
    low: u64,
    high: u64,
    /// Of each block, the lowest and the highest.
    blocks: Box<[(u64, u64)]>,
    /// Whether the blocks have rising keys.
    is_sorted: bool,
}

impl KeyBounds {
    pub(crate) fn of(meta: &ObjectMeta) -> Self {
        let low = |bound: &Option<Vec<u8>>| bound.as_deref().map_or(0, prefix);
        let high = |bound: &Option<Vec<u8>>| bound.as_deref().map_or(u64::MAX, prefix);
        let blocks: Box<[_]> = meta.blocks.iter().map(|block| (low(&block.low_key), high(&block.high_key))).collect();
        Self {
            low: blocks.iter().map(|block| block.0).min().unwrap_or_default(),
            high: blocks.iter().map(|block| block.1).max().unwrap_or_default(),
            blocks,
            is_sorted: meta.is_sorted(),
        }
    }

    /// The blocks that may have `key`, by their numbers. `meta` are those that the bounds are of.
    pub(crate) fn blocks_of(&self, meta: &ObjectMeta, key: &[u8]) -> impl Iterator<Item = usize> {
        let prefix = prefix(key);
        let is_outside = prefix < self.low || prefix > self.high;
        // Sorted blocks have rising keys; of others each is looked at.
        let first = match self.is_sorted {
            _ if is_outside => self.blocks.len(),
            true => self.blocks.partition_point(|(_, high)| *high < prefix),
            false => 0,
        };
        let (blocks, is_sorted) = (self.blocks.get(first..).unwrap_or_default(), self.is_sorted);
        let reachable = blocks.iter().zip(first..).take_while(move |((low, _), _)| !is_sorted || *low <= prefix);
        let held = reachable.filter(move |((low, high), _)| (*low..=*high).contains(&prefix));
        let may_have = move |number: &usize| meta.blocks.get(*number).is_some_and(|block| block.may_have_key(key));
        held.map(|(_, number)| number).filter(may_have)
    }

    pub(crate) fn allocated_bytes(&self) -> usize {
        size_of_val(&*self.blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        block_meta::{BlockMeta, ObjectKind},
        ids::TableId,
        object_id::ObjectId,
        timestamp::Timestamp,
    };

    fn block((low, high): (Vec<u8>, Vec<u8>), is_bounded: [bool; 2], sorted: bool) -> BlockMeta {
        BlockMeta {
            first_row: 0,
            rows: 1,
            low_key: is_bounded[0].then_some(low),
            high_key: is_bounded[1].then_some(high),
            low_commit: Timestamp::ZERO,
            high_commit: Timestamp::ZERO,
            sorted,
            created: Timestamp::ZERO,
            deleted: None,
            appendable: false,
            tombstones: None,
            truncation_point: Timestamp::ZERO,
        }
    }

    /// Keys of up to twelve bytes, many of which begin alike.
    fn key(rng: &mut fastrand::Rng) -> Vec<u8> {
        let alike = [0, rng.u8(..2), 255, 0, 0, 0, 0, rng.u8(..3), rng.u8(..4), 0, 7, 1];
        alike[..rng.usize(..=12)].to_vec()
    }

    #[test]
    fn the_blocks_of_a_key_are_those_of_the_metadata() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..3000 {
            let sorted = rng.bool();
            let mut keys: Vec<Vec<u8>> = (0..2 * rng.usize(..6)).map(|_| key(&mut rng)).collect();
            keys.sort();
            let mut bounds: Vec<_> = keys.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
            if !sorted {
                rng.shuffle(&mut bounds);
            }
            let is_bounded = [rng.u8(..4) > 0, rng.u8(..4) > 0];
            let last = bounds.len().saturating_sub(1);
            let bounded = |at: usize| match sorted {
                true => [is_bounded[0] || at > 0, is_bounded[1] || at < last],
                false => is_bounded,
            };
            let blocks = bounds.into_iter().enumerate().map(|(at, bound)| block(bound, bounded(at), sorted)).collect();
            let (id, table, kind) = (ObjectId { nonce: 1, number: 1 }, TableId(1), ObjectKind::Rows);
            let meta =
                ObjectMeta { id, table, kind, schema_version: 1, bytes: 2, footer_offset: 1, footer_crc: 0, blocks };
            let own = KeyBounds::of(&meta);
            for _ in 0..20 {
                let key = key(&mut rng);
                let expected: Vec<usize> = meta.blocks_of_key(&key, meta.is_sorted()).collect();
                assert_eq!(own.blocks_of(&meta, &key).collect::<Vec<_>>(), expected, "{key:?} in {meta:?}");
            }
        }
    }
}
