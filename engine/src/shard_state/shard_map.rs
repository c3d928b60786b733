//! All shards of an engine, by id.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use hashbrown::HashTable;
use logboom_wal::Sequence;
use parking_lot::RwLock;

use crate::{
    shard_state::{published::View, quarantine::Quarantine, state::ShardCell},
    types::ids::ShardId,
};

/// Tables that shards are spread over, so that threads which look up different shards seldom meet.
const PARTITIONS: usize = 64;

/// The cells of the shards that there is anything to say of, and of those that are being written to, each shared with
/// the handles to it. The id is in the cell, not beside it.
///
/// Looking at any other shard leaves nothing here: one cell stands for them all.
#[derive(Debug)]
pub(crate) struct ShardMap {
    partitions: [RwLock<HashTable<Arc<ShardCell>>>; PARTITIONS],
    count: AtomicU32,
    /// Stand for the shards without a cell, while these are not held back and while they are. Never written to.
    absent: Arc<ShardCell>,
    absent_held_back: Arc<ShardCell>,
    /// Shards that nothing is known of are held back.
    unseen: AtomicBool,
    /// There may be shards in quarantine: never without damage, so that nobody looks for them.
    damaged: AtomicBool,
}

impl Default for ShardMap {
    fn default() -> Self {
        Self {
            partitions: std::array::from_fn(|_| RwLock::default()),
            count: AtomicU32::new(0),
            absent: Arc::new(ShardCell::new(ShardId(0))),
            absent_held_back: Arc::new(ShardCell::unseen(ShardId(0))),
            unseen: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
        }
    }
}

impl ShardMap {
    /// The cell of a shard, if there is one.
    pub(crate) fn get(&self, id: ShardId) -> Option<Arc<ShardCell>> {
        self.partition(id).read().find(hash(id), |cell| cell.id == id).cloned()
    }

    /// The cell of a shard, if there is anything to say of the shard: one to keep, since it stays the shard's for as
    /// long as it is kept.
    pub(crate) fn find(&self, id: ShardId) -> Option<Arc<ShardCell>> {
        let table = self.partition(id).read();
        // What its writer may give up again is not taken from here: that would keep it from being removed.
        table.find(hash(id), |cell| cell.id == id).filter(|cell| !self.is_blank(cell)).cloned()
    }

    /// What stands for every shard that there is nothing to say of. Its id means nothing.
    pub(crate) fn absent(&self) -> &Arc<ShardCell> {
        if self.has_unknown_losses() { &self.absent_held_back } else { &self.absent }
    }

    /// The cell of a shard for its writer, made now if there is none: to be [given up](Self::remove_blank) when nothing
    /// is written.
    pub(crate) fn get_or_insert(&self, id: ShardId) -> Arc<ShardCell> {
        if let Some(cell) = self.get(id) {
            return cell;
        }
        let mut table = self.partition(id).write();
        let entry = table.entry(hash(id), |cell| cell.id == id, |cell| hash(cell.id));
        let cell = entry.or_insert_with(|| {
            self.count.fetch_add(1, Ordering::Relaxed);
            let unseen = self.has_unknown_losses();
            Arc::new(if unseen { ShardCell::unseen(id) } else { ShardCell::new(id) })
        });
        Arc::clone(cell.get())
    }

    /// Puts a recovered cell in its place.
    pub(crate) fn insert(&self, cell: ShardCell) {
        if cell.published.load().quarantined {
            self.damaged.store(true, Ordering::Relaxed);
        }
        let mut table = self.partition(cell.id).write();
        table.insert_unique(hash(cell.id), Arc::new(cell), |cell| hash(cell.id));
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether shards that nothing is known of are in quarantine: they may have been among what is lost.
    pub(crate) fn has_unknown_losses(&self) -> bool {
        self.unseen.load(Ordering::Acquire)
    }

    pub(crate) fn hold_back_unknown(&self) {
        self.unseen.store(true, Ordering::Release);
        self.damaged.store(true, Ordering::Relaxed);
    }

    /// Notes that a shard was put in quarantine after it was recovered.
    pub(crate) fn expect_quarantined(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    /// Ends what [`ShardMap::hold_back_unknown`] began, also for the cells that were made meanwhile.
    pub(crate) fn accept_unknown_losses(&self) {
        self.unseen.store(false, Ordering::Release);
        for id in self.ids() {
            let Some(cell) = self.get(id) else { continue };
            let _writer = cell.published.writer();
            let mut state = cell.state.lock();
            if state.missing().is_some_and(|missing| missing.unseen) {
                state.end_quarantine();
                cell.published.store(View { quarantined: false, ..cell.published.load() });
            }
        }
    }

    /// The shards of which something is missing, sorted, without those that are only held back.
    pub(crate) fn quarantined(&self) -> Vec<(ShardId, Quarantine)> {
        if !self.damaged.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let quarantine = |id: ShardId| {
            let cell = self.get(id).filter(|cell| cell.published.load().quarantined)?;
            let state = cell.state.lock();
            let missing = state.missing().filter(|missing| !missing.unseen)?;
            Some((id, Quarantine::from(missing)))
        };
        self.ids().into_iter().filter_map(quarantine).collect()
    }

    /// How many [`ShardMap::quarantined`] would name, without a list of them.
    pub(crate) fn count_quarantined(&self) -> usize {
        if !self.damaged.load(Ordering::Relaxed) {
            return 0;
        }
        let has_lost = |cell: &&Arc<ShardCell>| {
            cell.published.load().quarantined && cell.state.lock().missing().is_some_and(|missing| !missing.unseen)
        };
        self.partitions.iter().map(|partition| partition.read().iter().filter(has_lost).count()).sum()
    }

    /// Forgets a shard that there is nothing to say of, unless somebody is about to write to it.
    pub(crate) fn remove_blank(&self, id: ShardId) {
        let mut table = self.partition(id).write();
        // Cells are taken under this lock, so a count of one cannot rise while it is held.
        let unused = |cell: &Arc<ShardCell>| cell.id == id && Arc::strong_count(cell) == 1 && self.is_blank(cell);
        if let Ok(entry) = table.find_entry(hash(id), unused) {
            entry.remove();
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether the cell says no more than [`ShardMap::absent`]: the shard has no history, for it was never written to
    /// or is destroyed. While unseen shards are held back, it is something to say of one that it is known to be empty.
    pub(crate) fn is_blank(&self, cell: &ShardCell) -> bool {
        let view = cell.published.load();
        view.sequence == Sequence::NONE
            && match view.quarantined {
                true => cell.state.lock().missing().is_none_or(|missing| missing.unseen),
                false => !self.has_unknown_losses(),
            }
    }

    /// The ids of all cells, those of shards without any state included, sorted.
    pub(crate) fn ids(&self) -> Vec<ShardId> {
        let mut ids = Vec::with_capacity(self.len() as usize);
        for partition in &self.partitions {
            ids.extend(partition.read().iter().map(|cell| cell.id));
        }
        ids.sort_unstable();
        ids
    }

    /// The number of cells.
    pub(crate) fn len(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    fn partition(&self, id: ShardId) -> &RwLock<HashTable<Arc<ShardCell>>> {
        // The table uses the upper and the lower bits of the hash; the partition those between.
        &self.partitions[(hash(id) >> 32) as usize % PARTITIONS]
    }
}

/// Spreads ids, which are small consecutive numbers or carry structure in some of their bits (splitmix64's mix).
fn hash(id: ShardId) -> u64 {
    let mixed = (id.0 ^ id.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_one_per_id() {
        let map = ShardMap::default();
        let cell = map.get_or_insert(ShardId(3));
        assert!(Arc::ptr_eq(&cell, &map.get_or_insert(ShardId(3))));
        for id in 0..5000 {
            map.get_or_insert(ShardId(id << 40));
        }
        assert_eq!(map.len(), 5001);
        assert!(map.ids().is_sorted() && map.ids().len() == 5001);
    }

    #[test]
    fn only_unused_cells_are_removed() {
        let map = ShardMap::default();
        let writer = map.get_or_insert(ShardId(3));
        map.remove_blank(ShardId(3));
        assert!(map.get(ShardId(3)).is_some(), "there is a writer");
        writer.published.store(View { sequence: Sequence(1 << 16), ..View::default() });
        drop(writer);
        map.remove_blank(ShardId(3));
        let written = map.get(ShardId(3)).expect("it has state");
        written.published.store(View::default());
        drop(written);
        map.remove_blank(ShardId(3));
        assert!(map.get(ShardId(3)).is_none() && map.len() == 0);
    }

    #[test]
    fn what_a_writer_may_give_up_is_not_kept_by_others() {
        let map = ShardMap::default();
        let writer = map.get_or_insert(ShardId(3));
        let found = map.find(ShardId(3));
        drop(writer);
        map.remove_blank(ShardId(3));
        assert!(found.is_none() && map.len() == 0);
    }

    #[test]
    fn a_shard_that_is_known_to_be_empty_is_told_from_one_that_is_held_back() {
        let map = ShardMap::default();
        map.hold_back_unknown();
        let (empty, unseen) = (map.get_or_insert(ShardId(3)), map.get_or_insert(ShardId(4)));
        empty.state.lock().end_quarantine();
        empty.published.store(View::default());
        drop((empty, unseen));
        [3, 4].into_iter().for_each(|id| map.remove_blank(ShardId(id)));
        assert!(map.find(ShardId(3)).is_some_and(|cell| !cell.published.load().quarantined));
        assert!(map.get(ShardId(4)).is_none() && map.absent().published.load().quarantined);
        map.accept_unknown_losses();
        map.remove_blank(ShardId(3));
        assert!(map.len() == 0 && !map.absent().published.load().quarantined);
    }
}
