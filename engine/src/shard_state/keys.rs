//! The keys of one shard and their values.

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;

/// Keys in order of their bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys(BTreeMap<Bytes, Bytes>);

impl Keys {
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) {
        let value = Bytes::copy_from_slice(value);
        match self.0.get_mut(key) {
            Some(old) => *old = value,
            None => drop(self.0.insert(Bytes::copy_from_slice(key), value)),
        }
    }

    /// [`Keys::put`] without a copy.
    pub(crate) fn put_shared(&mut self, key: Bytes, value: Bytes) {
        self.0.insert(key, value);
    }

    pub(crate) fn delete(&mut self, key: &[u8]) {
        self.0.remove(key);
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.0.get(key).cloned()
    }

    /// The keys in the range, in order; none if it ends before it begins.
    pub(crate) fn scan(&self, range: (Bound<&[u8]>, Bound<&[u8]>)) -> Vec<(Bytes, Bytes)> {
        if is_inverted(&range) {
            return Vec::new();
        }
        self.0.range::<[u8], _>(range).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.0.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether `BTreeMap::range` would panic.
fn is_inverted(range: &(Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match range {
        (Bound::Excluded(start), Bound::Excluded(end)) => start >= end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => start > end,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_every_kind() {
        let mut keys = Keys::default();
        for key in [b"a", b"b", b"c"] {
            keys.put(key, key);
        }
        keys.put(b"b", b"new");
        let scan = |range| keys.scan(range).iter().map(|(key, _)| key[0]).collect::<Vec<_>>();
        assert_eq!(scan((Bound::Unbounded, Bound::Unbounded)), b"abc");
        assert_eq!(scan((Bound::Excluded(b"a"), Bound::Included(b"c"))), b"bc");
        assert_eq!(scan((Bound::Included(b"c"), Bound::Included(b"a"))), b"");
        assert_eq!(scan((Bound::Excluded(b"b"), Bound::Excluded(b"b"))), b"");
        assert_eq!(scan((Bound::Included(b"b"), Bound::Excluded(b"b"))), b"");
        assert_eq!(keys.get(b"b"), Some(Bytes::from_static(b"new")));
        keys.delete(b"b");
        assert_eq!(keys.get(b"b"), None);
    }
}
