//! `KeyRange`: the keys that rows can have of which a predicate holds.

use crate::{
    ids::ColumnId,
    key::KeyEncoder,
    predicate::{Op, Predicate, Term},
};

/// The encoded keys that rows may have of which a predicate holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// Where comparisons that all hold leave them.
    span: Span,
    /// Of each of these lists, one has them.
    any: Vec<Vec<KeyRange>>,
}

/// Consecutive keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Span {
    /// Inclusive.
    low: Vec<u8>,
    /// Exclusive; `None` is no bound.
    high: Option<Vec<u8>>,
}

impl KeyEncoder {
    /// The keys, of these columns, of which `predicate` may hold: by its equalities with the key's first columns, and
    /// by its other comparisons with the column behind those; of alternatives, each by its own and those beside all.
    pub fn range(&self, columns: &[ColumnId], predicate: &Predicate) -> KeyRange {
        self.range_within(columns, predicate, &[])
    }

    /// The keys of which `predicate` and the comparisons `outer` may hold.
    fn range_within(&self, columns: &[ColumnId], predicate: &Predicate, outer: &[&Term]) -> KeyRange {
        let terms: Vec<&Term> = outer.iter().copied().chain(predicate.terms()).collect();
        let within = |own: &Predicate| self.range_within(columns, own, &terms);
        let any = predicate.alternatives().map(|any| any.iter().map(within).collect());
        KeyRange { span: self.span(columns, &terms), any: any.collect() }
    }

    fn span(&self, columns: &[ColumnId], terms: &[&Term]) -> Span {
        let mut prefix = Vec::new();
        for (number, column) in columns.iter().enumerate() {
            let terms = || terms.iter().filter(|term| term.column == *column);
            let with = |value| {
                let mut key = prefix.clone();
                self.put_value(number, value, &mut key).then_some(key)
            };
            let equal = terms().filter(|term| term.op == Op::Equal).find_map(|term| with(&term.value));
            if let Some(longer) = equal {
                prefix = longer;
                continue;
            }
            let mut range = Span::of_prefix(&prefix);
            for (op, key) in terms().filter_map(|term| Some((term.op, with(&term.value)?))) {
                range.narrow(op, key);
            }
            return range;
        }
        Span::of_prefix(&prefix)
    }
}

impl KeyRange {
    /// Whether a key from `low` to `high`, both inclusive, may be in the range; `None` is no bound.
    pub fn overlaps(&self, low: Option<&[u8]>, high: Option<&[u8]>) -> bool {
        let either = |any: &Vec<Self>| any.iter().any(|own| own.overlaps(low, high));
        self.span.overlaps(low, high) && self.any.iter().all(either)
    }
}

impl Span {
    /// The keys that begin with `prefix`.
    fn of_prefix(prefix: &[u8]) -> Self {
        Self { low: prefix.to_vec(), high: behind(prefix) }
    }

    /// Leaves out the keys of which it does not hold that they compare with `key`, or one that begins with it.
    fn narrow(&mut self, op: Op, key: Vec<u8>) {
        match op {
            Op::Less => self.end_at(Some(key)),
            Op::LessOrEqual => self.end_at(behind(&key)),
            Op::GreaterOrEqual => self.begin_at(key),
            Op::Greater => match behind(&key) {
                Some(low) => self.begin_at(low),
                None => self.high = Some(Vec::new()),
            },
            Op::Equal | Op::NotEqual => {}
        }
    }

    fn begin_at(&mut self, low: Vec<u8>) {
        if low > self.low {
            self.low = low;
        }
    }

    fn end_at(&mut self, high: Option<Vec<u8>>) {
        if let Some(high) = high.filter(|high| self.high.as_ref().is_none_or(|own| high < own)) {
            self.high = Some(high);
        }
    }

    fn overlaps(&self, low: Option<&[u8]>, high: Option<&[u8]>) -> bool {
        let is_below = high.is_some_and(|high| high < self.low.as_slice());
        let is_above = low.zip(self.high.as_deref()).is_some_and(|(low, end)| low >= end);
        !is_below && !is_above
    }
}

/// The lowest bytes above all that begin with `prefix`; `None` where there are none.
fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut behind = prefix.get(..=last)?.to_vec();
    if let Some(byte) = behind.last_mut() {
        *byte += 1;
    }
    Some(behind)
}
