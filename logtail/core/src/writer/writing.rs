//! `Writing`: the objects of a flush, on their way to the store.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    block_meta::ObjectMeta, flush::MovedDeletes, object_id::ObjectId, record::Tombstones, table::Transfer,
    timestamp::Timestamp,
};

/// Objects, on their way from the jobs to the store.
#[derive(Debug, Default)]
pub(super) struct Writing {
    /// Those of rows that are encoded.
    pub(super) metas: Vec<Arc<ObjectMeta>>,
    /// The bytes of their metadata.
    pub(super) meta_bytes: usize,
    /// The most bytes of the tombstones that are encoded.
    pub(super) tombstone_bytes: usize,
    /// The most blocks of older objects whose tombstones the record has.
    pub(super) blocks_max: usize,
    /// Those without an intent.
    pub(super) encoded: Vec<(ObjectId, Bytes)>,
    /// Those with an intent that are not put yet. It has this index in the log.
    pub(super) intended: (u64, VecDeque<(ObjectId, Bytes)>),
    /// How many are being put.
    pub(super) running: usize,
    /// Whether a job has more of them.
    pub(super) is_encoding: bool,
    /// Where the rows are, once all are encoded.
    pub(super) transfer: Option<Arc<Transfer>>,
    /// Up to when deletes are in tombstone objects, those of all blocks with some; `None` before the first job.
    pub(super) through: Option<Timestamp>,
    pub(super) tombstones: Vec<Tombstones>,
    /// The deletes of flushed rows that have tombstones.
    pub(super) moved: MovedDeletes,
}

impl Writing {
    /// Leaves out tombstone objects all of whose blocks have others by now: they stay named by their intents alone.
    pub(super) fn leave_out_replaced(&mut self) {
        let mut seen = BTreeSet::new();
        let mut is_needed = |tombstones: &Tombstones| {
            let new = tombstones.blocks.iter().filter(|block| seen.insert((block.rowset, block.block)));
            new.count() > 0
        };
        let needed: Vec<bool> = self.tombstones.iter().rev().map(&mut is_needed).collect();
        let mut needed = needed.into_iter().rev();
        self.tombstones.retain(|_| needed.next().unwrap_or(true));
    }
}
