//! Bloom filters: which row groups have no row with a value.

use std::{collections::HashMap, ops::Range};

use logboom_logtail_core::predicate::{Op, Predicate, Term};

use crate::{bloom::Bloom, fetched::Fetched, footer::Footer, key_values::bloom_hash};

impl Footer {
    /// The places of the filters of a row group that may rule out rows that `predicate` wants.
    pub(crate) fn filter_places(&self, predicate: &Predicate, group: usize) -> Vec<Range<u64>> {
        let leaves = predicate.terms().iter().filter_map(|term| self.filtered(term));
        let own = leaves.filter_map(|leaf| self.bloom_filter(group, leaf)).map(|place| place.bytes);
        let any = predicate.alternatives().flatten().flat_map(|own| self.filter_places(own, group));
        own.chain(any).collect()
    }

    /// The leaf whose filter a term asks.
    fn filtered(&self, term: &Term) -> Option<usize> {
        let column = self.column(term.column).filter(|_| term.op == Op::Equal)?;
        self.leaves(column).next()
    }
}

/// The filters of an object that were read, each parsed once.
pub(crate) struct Filters<'a> {
    footer: &'a Footer,
    fetched: &'a Fetched,
    parsed: HashMap<(usize, usize), Option<Bloom>>,
}

impl<'a> Filters<'a> {
    /// The filters of this object among the bytes of it.
    pub(crate) fn new(footer: &'a Footer, fetched: &'a Fetched) -> Self {
        Self { footer, fetched, parsed: HashMap::new() }
    }

    /// Whether a row group may have a row that `predicate` wants. What was not read rules out nothing.
    pub(crate) fn may_match(&mut self, predicate: &Predicate, group: usize) -> bool {
        predicate.may_hold(&mut |term| self.may_hold(term, group).unwrap_or(true), &mut |_| true)
    }

    fn may_hold(&mut self, term: &Term, group: usize) -> Option<bool> {
        let leaf = self.footer.filtered(term)?;
        let hash = bloom_hash(&term.value, self.footer.leaf_type(leaf)?)?;
        let filter = self.parsed.entry((group, leaf)).or_insert_with(|| {
            let place = self.footer.bloom_filter(group, leaf)?;
            Bloom::parse(&self.fetched.get(&place.bytes)?)
        });
        Some(filter.as_ref()?.may_hold(hash))
    }
}
