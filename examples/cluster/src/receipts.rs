//! `Receipts`: the numbers of the writes that a state includes, which acknowledgements are checked against.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, TryGetError};

/// The numbers of applied writes by client, as ranges. A client numbers its writes to a shard from 1 and waits for
/// each, so the numbers form one range, interrupted only by writes that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Receipts {
    /// By client: the inclusive end of each range, by its beginning.
    clients: BTreeMap<u32, BTreeMap<u64, u64>>,
}

impl Receipts {
    /// Adds a write. Returns false if it was already there, which means that it was applied twice.
    pub(crate) fn add(&mut self, client: u32, number: u64) -> bool {
        let ranges = self.clients.entry(client).or_default();
        let (mut start, mut end) = (number, number);
        if let Some((&before, &last)) = ranges.range(..=number).next_back() {
            if last >= number {
                return false;
            }
            if last + 1 == number {
                start = before;
            }
        }
        if let Some(last) = ranges.remove(&(number + 1)) {
            end = last;
        }
        ranges.insert(start, end);
        true
    }

    /// Whether the write was applied.
    pub(crate) fn contains(&self, client: u32, number: u64) -> bool {
        let ranges = self.clients.get(&client);
        ranges.and_then(|ranges| ranges.range(..=number).next_back()).is_some_and(|(_, last)| *last >= number)
    }

    /// The number of writes that were applied.
    pub(crate) fn count(&self) -> u64 {
        self.clients.values().flatten().map(|(start, end)| end - start + 1).sum()
    }

    pub(crate) fn put(&self, to: &mut Vec<u8>) {
        to.put_u64_le(self.clients.values().map(BTreeMap::len).sum::<usize>() as u64);
        for (client, ranges) in &self.clients {
            for (start, end) in ranges {
                to.put_u32_le(*client);
                to.put_u64_le(*start);
                to.put_u64_le(*end);
            }
        }
    }

    pub(crate) fn take(from: &mut &[u8]) -> Result<Self, TryGetError> {
        let mut receipts = Self::default();
        for _ in 0..from.try_get_u64_le()? {
            let client = from.try_get_u32_le()?;
            let (start, end) = (from.try_get_u64_le()?, from.try_get_u64_le()?);
            receipts.clients.entry(client).or_default().insert(start, end);
        }
        Ok(receipts)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_is_a_set() {
        let mut chance = fastrand::Rng::with_seed(7);
        let (mut receipts, mut model) = (Receipts::default(), BTreeSet::new());
        for _ in 0..2000 {
            let (client, number) = (chance.u32(0..3), chance.u64(1..200));
            assert_eq!(receipts.add(client, number), model.insert((client, number)));
        }
        for client in 0..4 {
            for number in 0..220 {
                assert_eq!(receipts.contains(client, number), model.contains(&(client, number)), "{client} {number}");
            }
        }
        assert_eq!(receipts.count(), model.len() as u64);
        let mut bytes = Vec::new();
        receipts.put(&mut bytes);
        assert_eq!(Receipts::take(&mut &bytes[..]), Ok(receipts));
    }

    #[test]
    fn neighbours_are_one_range() {
        let mut receipts = Receipts::default();
        for number in [1, 2, 5, 4, 3] {
            assert!(receipts.add(1, number));
        }
        assert_eq!(receipts.clients[&1].len(), 1);
        assert!(!receipts.add(1, 3));
    }
}
