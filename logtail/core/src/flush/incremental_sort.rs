//! `IncrementalSort`: rows that become sorted from the first on, as far as they are asked for.

use super::sort::{Row, sort};

/// Parts of no more rows are sorted at once: a tenth of a millisecond.
const PART: usize = 8192;
/// So many rows are compared with a pivot at once.
const COMPARED: usize = 32 * 1024;
/// A pivot is the median of so many rows.
const SAMPLE: usize = 31;

/// Rows that become sorted from the first on, as far as they are asked for: an incremental quicksort, in small pieces
/// of work unless a pivot happens to be near an end. Who takes the rows in order may begin before the last are sorted.
#[derive(Debug)]
pub(crate) struct IncrementalSort {
    rows: Vec<Row>,
    sorted: usize,
    /// Where the parts behind the sorted rows end, the nearest part last. No row of a part belongs behind one of a part
    /// further on.
    ends: Vec<usize>,
}

impl IncrementalSort {
    /// Rows that are to be sorted.
    pub(crate) fn new(rows: Vec<Row>) -> Self {
        Self { sorted: 0, ends: vec![rows.len()], rows }
    }

    /// Rows that stand in their order.
    pub(crate) fn of_sorted(rows: Vec<Row>) -> Self {
        Self { sorted: rows.len(), ends: Vec::new(), rows }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The first `count` rows in order, or all: sorted by their keys, those of one key as they stand in their sources.
    /// `between` is called between pieces of the work.
    pub(crate) fn first<'k>(
        &mut self,
        count: usize,
        key: &impl Fn(Row) -> &'k [u8],
        between: &mut dyn FnMut(),
    ) -> &[Row] {
        let count = count.min(self.rows.len());
        while self.sorted < count
            && let Some(end) = self.ends.pop()
        {
            let part = &mut self.rows[self.sorted..end];
            match divide(part, key, between) {
                Some(middle) => self.ends.extend([end, self.sorted + middle]),
                None => {
                    sort(part, key);
                    self.sorted = end;
                    between();
                }
            }
        }
        &self.rows[..count]
    }
}

/// Moves the rows that belong before a pivot before the others, and returns how many they are. `None`, with the rows in
/// any order, if they are few or the pivot is near an end: such rows would be divided in vain again and again.
fn divide<'k>(rows: &mut [Row], key: &impl Fn(Row) -> &'k [u8], between: &mut dyn FnMut()) -> Option<usize> {
    if rows.len() <= PART {
        return None;
    }
    // Not evenly: rows of several writers that take turns would be those of one.
    let mut rng = fastrand::Rng::with_seed(rows.len() as u64);
    let mut sample: [Row; SAMPLE] = std::array::from_fn(|_| rows[rng.usize(..rows.len())]);
    sort(&mut sample, key);
    let pivot = sample[sample.len() / 2];
    let is_before = |row: Row| {
        row.prefix < pivot.prefix || row.prefix == pivot.prefix && (key(row), row.rank()) < (key(pivot), pivot.rank())
    };
    let (mut before, mut at) = (0, 0);
    while at < rows.len() {
        let end = rows.len().min(at + COMPARED);
        // Each row changes places whether it belongs there or not: there is no branch to be guessed.
        while at < end {
            rows.swap(before, at);
            before += usize::from(is_before(rows[before]));
            at += 1;
        }
        between();
    }
    (before.min(rows.len() - before) > rows.len() / 32).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_the_order_of_their_keys() {
        let seed = fastrand::u64(..);
        let mut rng = fastrand::Rng::with_seed(seed);
        for round in 0..24 {
            let count = rng.usize(..4 * PART);
            // All keys alike, few of them, those that differ behind their prefix alone, in order, in reverse.
            let number = |at: usize, rng: &mut fastrand::Rng| match round % 6 {
                0 => 7,
                1 => rng.u64(..5),
                2 => rng.u64(..),
                3 => at as u64,
                4 => (count - at) as u64,
                _ => rng.u64(..1000) << 40,
            };
            let keys: Vec<Vec<u8>> = (0..count)
                .map(|at| {
                    let number = number(at, &mut rng).to_string();
                    if round % 2 == 0 { format!("the same {number}") } else { number }.into_bytes()
                })
                .collect();
            let key = |row: Row| keys[row.source as usize * PART + row.at as usize].as_slice();
            let row = |at: usize| {
                let part = |number: usize| u32::try_from(number).unwrap();
                Row { prefix: crate::key::prefix(&keys[at]), source: part(at / PART), at: part(at % PART) }
            };
            let rows: Vec<Row> = (0..count).map(row).collect();
            let mut expected = rows.clone();
            expected.sort_by(|one, other| (key(*one), one.rank()).cmp(&(key(*other), other.rank())));
            let mut sort = IncrementalSort::new(rows);
            let (mut asked, mut pieces) = (0, 0);
            while asked < count {
                asked += rng.usize(1..2 * PART);
                let got = sort.first(asked, &key, &mut || pieces += 1);
                let same = got.iter().zip(&expected).all(|(got, expected)| got.rank() == expected.rank());
                assert!(same && got.len() == asked.min(count), "round {round}, seed {seed}");
            }
            assert!(count <= PART || pieces > 1, "round {round}, seed {seed}");
        }
    }
}
