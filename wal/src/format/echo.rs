//! Echoes: copies of a group's descriptors that the next group carries.

use crate::{
    format::group::{Shape, encode_table, table_bytes},
    types::damage::Descriptor,
};

/// The descriptors of a group without a table of its own, for the next group to carry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Echo {
    pub(crate) group: u64,
    pub(crate) descriptors: Vec<Descriptor>,
}

impl Echo {
    /// The echo that the group after `group` must carry, if `group` has this `shape`.
    pub(crate) fn of(group: u64, shape: &Shape, descriptors: Vec<Descriptor>) -> Self {
        if shape.echo_due() > 0 { Self { group, descriptors } } else { Self::default() }
    }

    /// Its length in bytes, 0 if there is nothing to carry.
    pub(crate) fn len(&self) -> usize {
        let rows = u32::try_from(self.descriptors.len()).unwrap_or(u32::MAX);
        if rows > 0 { table_bytes(rows) } else { 0 }
    }

    pub(crate) fn encode(&self, bytes: &mut [u8], seed: u32) {
        bytes.fill(0);
        encode_table(bytes, self.group, &self.descriptors, seed);
    }
}
