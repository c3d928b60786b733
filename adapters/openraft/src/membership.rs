//! Encodes memberships.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    field::{Field, only, put_len, take_len},
    log_id::{self, Leader, put_version, version},
};

/// The parts of a membership of any version of openraft: voters by configuration, and all nodes.
pub(crate) type Members<I, N> = (Vec<BTreeSet<I>>, BTreeMap<I, N>);

/// A membership, and the log id that it came with.
pub(crate) type Stored<L, I, N> = (Option<(L, u64)>, Members<I, N>);

/// Appends a membership: version, the configurations with their voters, the nodes with their ids.
pub(crate) fn put<'m, I: Field + 'm, N: Field + 'm>(
    configs: &[BTreeSet<I>],
    nodes: impl Iterator<Item = (&'m I, &'m N)>,
    to: &mut Vec<u8>,
) {
    put_version(to);
    put_len(configs.len(), to);
    for config in configs {
        put_len(config.len(), to);
        config.iter().for_each(|id| id.put(to));
    }
    let nodes: Vec<_> = nodes.collect();
    put_len(nodes.len(), to);
    for (id, node) in nodes {
        id.put(to);
        node.put(to);
    }
}

/// Takes a membership off the front of `from`.
pub(crate) fn take<I: Field + Ord, N: Field>(from: &mut &[u8]) -> Option<Members<I, N>> {
    version(from)?;
    // Allocates nothing by the stated number, which is not trusted: too high a number runs out of bytes first.
    let mut configs = Vec::new();
    for _ in 0..take_len(from)? {
        let mut config = BTreeSet::new();
        for _ in 0..take_len(from)? {
            config.insert(I::take(from)?);
        }
        configs.push(config);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..take_len(from)? {
        nodes.insert(I::take(from)?, N::take(from)?);
    }
    Some((configs, nodes))
}

/// The bytes of a membership and of the log id that it came with: version, the id behind its length, the membership.
pub(crate) fn encode_stored<'m, L: Leader, I: Field + 'm, N: Field + 'm>(
    id: Option<(&L, u64)>,
    configs: &[BTreeSet<I>],
    nodes: impl Iterator<Item = (&'m I, &'m N)>,
) -> Vec<u8> {
    let (mut bytes, id) = (Vec::new(), log_id::encode_option(id));
    put_version(&mut bytes);
    put_len(id.len(), &mut bytes);
    bytes.extend_from_slice(&id);
    put(configs, nodes, &mut bytes);
    bytes
}

/// A membership, and the log id that it came with.
pub(crate) fn decode_stored<L: Leader, I: Field + Ord, N: Field>(bytes: &[u8]) -> Option<Stored<L, I, N>> {
    only(bytes, |from| {
        version(from)?;
        let len = take_len(from)?;
        let (id, rest) = from.split_at_checked(len)?;
        *from = rest;
        Some((log_id::decode_option(id)?, take(from)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_for_good() {
        let configs = vec![BTreeSet::from([1_u8, 2]), BTreeSet::from([3])];
        let nodes = BTreeMap::from([(1_u8, "a".to_owned()), (2, String::new()), (3, "c".into()), (9, "l".into())]);
        let mut bytes = Vec::new();
        put(&configs, nodes.iter(), &mut bytes);
        #[rustfmt::skip]
        let expected = [
            1, // version
            2, 0, 0, 0, 2, 0, 0, 0, 1, 2, 1, 0, 0, 0, 3, // configurations
            4, 0, 0, 0, 1, 1, 0, 0, 0, b'a', 2, 0, 0, 0, 0, 3, 1, 0, 0, 0, b'c', 9, 1, 0, 0, 0, b'l', // nodes
        ];
        assert_eq!(bytes, expected);
        assert_eq!(only(&bytes, take::<u8, String>).unwrap(), (configs, nodes));
        (0..bytes.len()).for_each(|len| assert!(only(&bytes[..len], take::<u8, String>).is_none(), "{len}"));
        assert!(only(&[1, 0xff, 0xff, 0xff, 0xff], take::<(), ()>).is_none());
    }
}
