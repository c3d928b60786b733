//! Blocks of a row group that are decoded one after the other.

use std::{cell::OnceCell, ops::Range};

use crate::{fetched::joined, footer::Footer};

/// Blocks of one row group, in their order, and what is decoded of them.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) group: usize,
    /// Numbers of blocks in the object.
    pub(crate) blocks: Vec<usize>,
    /// Positions of the user's columns in the object, in its order.
    pub(crate) columns: Vec<usize>,
    /// Whether commit timestamps are decoded.
    pub(crate) commits: bool,
    /// Whether rows are left out, or may be.
    pub(crate) leaves_out: bool,
    ranges: OnceCell<Vec<Range<u64>>>,
}

impl Run {
    /// A run of one block.
    pub(crate) fn new(group: usize, block: usize, columns: Vec<usize>, commits: bool, leaves_out: bool) -> Self {
        Self { group, blocks: vec![block], columns, commits, leaves_out, ranges: OnceCell::new() }
    }

    /// Whether a block of `other`, which is behind those of this run, may be decoded with them.
    pub(crate) fn takes(&self, other: &Self) -> bool {
        self.group == other.group
            && self.columns == other.columns
            && self.commits == other.commits
            && self.leaves_out == other.leaves_out
    }

    /// The bytes that decoding takes, in the order of the object; asked for when all blocks of the run are there.
    pub(crate) fn ranges(&self, footer: &Footer) -> &[Range<u64>] {
        self.ranges.get_or_init(|| self.find_ranges(footer))
    }

    fn find_ranges(&self, footer: &Footer) -> Vec<Range<u64>> {
        let commits = footer.commit_column().filter(|_| self.commits);
        let mut places = Vec::new();
        for leaf in self.columns.iter().copied().chain(commits).flat_map(|column| footer.leaves(column)) {
            let pages =
                self.blocks.iter().filter_map(|block| footer.page(self.group, leaf, self.within(footer, *block)?));
            places.extend(footer.dictionary(self.group, leaf).into_iter().chain(pages).map(|place| place.bytes));
        }
        joined(places)
    }

    /// The number of a block within its row group.
    pub(crate) fn within(&self, footer: &Footer, block: usize) -> Option<usize> {
        block.checked_sub(footer.groups().get(self.group)?.start)
    }
}
