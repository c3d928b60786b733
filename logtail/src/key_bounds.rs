//! `KeyBounds`: the ranges of keys that blocks have.

use std::{cmp::Ordering, sync::Arc};

use logboom_logtail_core::block_meta::{BlockMeta, ObjectMeta};

/// The ranges of keys that blocks have, in the order of their lower bounds.
pub(crate) struct KeyBounds {
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

impl KeyBounds {
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

/// The blocks of each object that may have a key in common with a block of another one of them, or of `others`.
pub(crate) fn overlapping(objects: &[Arc<ObjectMeta>], among: bool, others: &KeyBounds) -> Vec<Vec<usize>> {
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
