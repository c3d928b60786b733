//! `BlockBounds`: the ranges of keys that blocks have.

use std::{cmp::Ordering, sync::Arc};

use logboom_logtail_core::block_meta::{BlockMeta, ObjectMeta};

/// The ranges of keys that blocks have, in the order of their lower bounds.
pub(crate) struct BlockBounds {
    /// The lower bound of each block, and the highest upper bound of it and those before it.
    blocks: Vec<(Vec<u8>, High)>,
}

/// An upper bound of keys, inclusive. `None` is above all keys.
#[derive(Clone, PartialEq, Eq)]
struct High(Option<Vec<u8>>);

impl High {
    fn of(block: &BlockMeta) -> Self {
        Self(block.high_key.clone())
    }

    fn is_below(&self, key: &[u8]) -> bool {
        self.0.as_deref().is_some_and(|high| high < key)
    }
}

impl Ord for High {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Some(own), Some(other)) => own.cmp(other),
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
        }
    }
}

impl PartialOrd for High {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The lower bound of a block's keys.
fn low(block: &BlockMeta) -> &[u8] {
    block.low_key.as_deref().unwrap_or_default()
}

impl BlockBounds {
    /// Those of some blocks.
    pub(crate) fn of<'b>(blocks: impl IntoIterator<Item = &'b BlockMeta>) -> Self {
        let mut blocks: Vec<_> = blocks.into_iter().map(|block| (low(block).to_vec(), High::of(block))).collect();
        blocks.sort();
        let mut highest = None;
        for (_, high) in &mut blocks {
            let next = highest.take().map_or_else(|| high.clone(), |highest: High| highest.max(high.clone()));
            *high = next.clone();
            highest = Some(next);
        }
        Self { blocks }
    }

    /// Whether a block may have a key.
    pub(crate) fn may_have(&self, key: &[u8]) -> bool {
        let begun = self.blocks.partition_point(|(low, _)| low.as_slice() <= key);
        begun.checked_sub(1).and_then(|last| self.blocks.get(last)).is_some_and(|(_, high)| !high.is_below(key))
    }

    /// Whether a block may have a key in common with `block`.
    fn overlap(&self, block: &BlockMeta) -> bool {
        let begun = self.blocks.partition_point(|(low, _)| !High::of(block).is_below(low));
        let last = begun.checked_sub(1).and_then(|last| self.blocks.get(last));
        last.is_some_and(|(_, high)| !high.is_below(low(block)))
    }
}

/// The ranges of keys that objects have, in the order of their lower bounds.
pub(crate) struct ObjectBounds {
    /// Lower and upper bound of each object, with its number.
    objects: Vec<(Vec<u8>, High, usize)>,
    /// The highest upper bound of each and those before it.
    highest: Vec<High>,
    blocks: BlockBounds,
}

impl ObjectBounds {
    pub(crate) fn of(objects: &[Arc<ObjectMeta>]) -> Self {
        let range = |(number, meta): (usize, &Arc<ObjectMeta>)| {
            let low_key = meta.blocks.iter().map(low).min().unwrap_or_default().to_vec();
            Some((low_key, meta.blocks.iter().map(High::of).max()?, number))
        };
        let mut ranges: Vec<_> = objects.iter().enumerate().filter_map(range).collect();
        ranges.sort();
        let mut highest: Vec<High> = Vec::with_capacity(ranges.len());
        for (_, high, _) in &ranges {
            highest.push(highest.last().map_or(high, |last| last.max(high)).clone());
        }
        let blocks = BlockBounds::of(objects.iter().flat_map(|meta| &meta.blocks));
        Self { objects: ranges, highest, blocks }
    }

    /// Whether a block of an object may have a key.
    pub(crate) fn may_have(&self, key: &[u8]) -> bool {
        self.blocks.may_have(key)
    }

    /// The numbers of the objects that may have a key. Takes a search, and a look at each of those and at objects that
    /// reach as far.
    pub(crate) fn having<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let begun = self.objects.partition_point(|(low, ..)| low.as_slice() <= key);
        let reached = (0..begun).rev().take_while(move |at| !self.highest[*at].is_below(key));
        reached.map(|at| &self.objects[at]).filter(move |(_, high, _)| !high.is_below(key)).map(|(.., number)| *number)
    }
}

/// The blocks of each object that may have a key in common with a block of another one of them, or of `others`.
pub(crate) fn overlapping(objects: &[Arc<ObjectMeta>], among: bool, others: &BlockBounds) -> Vec<Vec<usize>> {
    let mut found: Vec<Vec<usize>> = objects
        .iter()
        .map(|object| (0..object.blocks.len()).filter(|at| others.overlap(&object.blocks[*at])).collect())
        .collect();
    if among {
        overlapping_among(objects, &mut found);
    }
    for blocks in &mut found {
        blocks.sort_unstable();
        blocks.dedup();
    }
    found
}

/// Adds the blocks that may have a key in common with one of another object: in the order of their lower bounds, with
/// one that began before and reaches as far, or with one that begins before its end.
fn overlapping_among(objects: &[Arc<ObjectMeta>], found: &mut [Vec<usize>]) {
    let of_object = |(object, meta): (usize, &'_ Arc<ObjectMeta>)| {
        (0..meta.blocks.len()).map(move |block| (object, block)).collect::<Vec<_>>()
    };
    let mut all: Vec<(usize, usize)> = objects.iter().enumerate().flat_map(of_object).collect();
    let block = |(object, block): &(usize, usize)| &objects[*object].blocks[*block];
    all.sort_by(|a, b| low(block(a)).cmp(low(block(b))));
    // The highest upper bound of an object, and that of the others.
    let mut reached: [Option<(High, usize)>; 2] = [None, None];
    for place in &all {
        let other = reached.iter().flatten().find(|(_, object)| *object != place.0);
        if other.is_some_and(|(high, _)| !high.is_below(low(block(place)))) {
            found[place.0].push(place.1);
        }
        let own = (High::of(block(place)), place.0);
        let [first, second] = std::mem::take(&mut reached);
        let mut ranked: Vec<_> = [first, second, Some(own)].into_iter().flatten().collect();
        ranked.sort_by(|a, b| b.0.cmp(&a.0));
        let first = ranked.first().cloned();
        let second = ranked.into_iter().find(|(_, object)| first.as_ref().is_some_and(|first| first.1 != *object));
        reached = [first, second];
    }
    // The next block of an object, and the next one of another.
    let mut next: [Option<(usize, usize)>; 2] = [None, None];
    for place in all.iter().rev() {
        let other = next.iter().flatten().find(|other| other.0 != place.0);
        if other.is_some_and(|other| !High::of(block(place)).is_below(low(block(other)))) {
            found[place.0].push(place.1);
        }
        if next[0].is_some_and(|first| first.0 != place.0) {
            next[1] = next[0];
        }
        next[0] = Some(*place);
    }
}

#[cfg(test)]
mod tests {
    use logboom_logtail_core::{ObjectId, TableId, Timestamp, block_meta::ObjectKind};

    use super::*;

    fn block(low: Option<u8>, high: Option<u8>) -> BlockMeta {
        BlockMeta {
            first_row: 0,
            rows: 1,
            low_key: low.map(|low| vec![low]),
            high_key: high.map(|high| vec![high]),
            low_commit: Timestamp::ZERO,
            high_commit: Timestamp::ZERO,
            sorted: true,
            created: Timestamp::ZERO,
            deleted: None,
            appendable: false,
            tombstones: None,
            truncation_point: Timestamp::ZERO,
        }
    }

    /// Blocks with rising keys, the last perhaps without an upper bound.
    fn object(rng: &mut fastrand::Rng) -> ObjectMeta {
        let (mut next, mut blocks) = (rng.u8(0..60), Vec::new());
        for _ in 0..rng.usize(1..5) {
            let high = next + rng.u8(0..20);
            blocks.push(block(Some(next), Some(high)));
            next = high + rng.u8(0..10);
        }
        if let Some(last) = blocks.last_mut().filter(|_| rng.u8(..) < 20) {
            last.high_key = None;
        }
        let id = ObjectId { nonce: 1, number: 1 };
        let (table, kind) = (TableId(1), ObjectKind::Rows);
        ObjectMeta { id, table, kind, schema_version: 1, bytes: 2, footer_offset: 1, footer_crc: 0, blocks }
    }

    fn may_share(a: &BlockMeta, b: &BlockMeta) -> bool {
        (0..=u8::MAX).any(|key| a.may_have_key(&[key]) && b.may_have_key(&[key]))
    }

    #[test]
    fn blocks_that_may_share_keys_are_found_and_no_others() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..3000 {
            let load: Vec<_> = (0..rng.usize(1..5)).map(|_| Arc::new(object(&mut rng))).collect();
            let table: Vec<_> = (0..rng.usize(0..3)).map(|_| object(&mut rng)).collect();
            let others = BlockBounds::of(table.iter().flat_map(|object| &object.blocks));
            let among = rng.bool();
            let found = overlapping(&load, among, &others);
            for (number, object) in load.iter().enumerate() {
                let own = load.iter().enumerate().filter(|(other, _)| among && *other != number);
                let rest: Vec<_> =
                    own.flat_map(|(_, own)| &own.blocks).chain(table.iter().flat_map(|own| &own.blocks)).collect();
                let shares = |at: &usize| rest.iter().any(|other| may_share(&object.blocks[*at], other));
                let expected: Vec<usize> = (0..object.blocks.len()).filter(shares).collect();
                assert_eq!(found[number], expected, "object {number} of {load:?} beside {table:?}");
            }
            let all: Vec<_> = table.iter().flat_map(|object| &object.blocks).collect();
            let of_objects = ObjectBounds::of(&load);
            for key in 0..=u8::MAX {
                let is_within = |object: &ObjectMeta| {
                    let high = object.blocks.iter().map(High::of).max();
                    low(&object.blocks[0]) <= &[key][..] && high.is_some_and(|high| !high.is_below(&[key]))
                };
                let mut having: Vec<usize> = of_objects.having(&[key]).collect();
                having.sort_unstable();
                let expected: Vec<usize> = (0..load.len()).filter(|number| is_within(&load[*number])).collect();
                assert_eq!(having, expected, "{key} in {load:?}");
                let has = all.iter().any(|block| block.may_have_key(&[key]));
                assert_eq!(others.may_have(&[key]), has, "{key} in {table:?}");
            }
        }
    }
}
