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

/// The number of tables that shards are spread over, to reduce lock contention.
const PARTITIONS: usize = 64;

/// The cells of the shards that have state or a writer; handles share them.
///
/// Reading any other shard adds no cell: all of those share one, [`ShardMap::absent`].
#[derive(Debug)]
pub(crate) struct ShardMap {
    partitions: [RwLock<HashTable<Arc<ShardCell>>>; PARTITIONS],
    count: AtomicU32,
    /// The cells of all shards without one of their own, while those are not held back and while they are. Never
    /// written to.
    absent: Arc<ShardCell>,
    absent_held_back: Arc<ShardCell>,
    /// Shards without any known record are held back.
    unknown_losses: AtomicBool,
    /// There may be shards in quarantine. False without damage, and saves looking for them.
    damaged: AtomicBool,
}

impl Default for ShardMap {
    fn default() -> Self {
        Self {
            partitions: std::array::from_fn(|_| RwLock::default()),
            count: AtomicU32::new(0),
            absent: Arc::new(ShardCell::new(ShardId(0))),
            absent_held_back: Arc::new(ShardCell::unknown(ShardId(0))),
            unknown_losses: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
        }
    }
}

impl ShardMap {
    /// The cell of a shard, if it has one.
    pub(crate) fn get(&self, id: ShardId) -> Option<Arc<ShardCell>> {
        self.partition(id).read().find(hash(id), |cell| cell.id == id).cloned()
    }

    /// The cell of a shard, if the shard has state. A caller may keep it: while it does, the shard gets no other cell.
    pub(crate) fn find(&self, id: ShardId) -> Option<Arc<ShardCell>> {
        let table = self.partition(id).read();
        // A reference to a blank cell would keep its writer from removing it.
        table.find(hash(id), |cell| cell.id == id).filter(|cell| !self.is_blank(cell)).cloned()
    }

    /// The cell that all shards without state share. Its id has no meaning.
    pub(crate) fn absent(&self) -> &Arc<ShardCell> {
        if self.has_unknown_losses() { &self.absent_held_back } else { &self.absent }
    }

    /// The cell of a shard for its writer, created if there is none. The writer calls
    /// [`remove_blank`](Self::remove_blank) if it writes nothing.
    pub(crate) fn get_or_insert(&self, id: ShardId) -> Arc<ShardCell> {
        if let Some(cell) = self.get(id) {
            return cell;
        }
        let mut table = self.partition(id).write();
        let entry = table.entry(hash(id), |cell| cell.id == id, |cell| hash(cell.id));
        let cell = entry.or_insert_with(|| {
            self.count.fetch_add(1, Ordering::Relaxed);
            let unknown = self.has_unknown_losses();
            Arc::new(if unknown { ShardCell::unknown(id) } else { ShardCell::new(id) })
        });
        Arc::clone(cell.get())
    }

    /// Adds a recovered cell.
    pub(crate) fn insert(&self, cell: ShardCell) {
        if cell.published.load().quarantined {
            self.damaged.store(true, Ordering::Relaxed);
        }
        let mut table = self.partition(cell.id).write();
        table.insert_unique(hash(cell.id), Arc::new(cell), |cell| hash(cell.id));
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether shards without any known record are in quarantine, because lost records may have been theirs.
    pub(crate) fn has_unknown_losses(&self) -> bool {
        self.unknown_losses.load(Ordering::Acquire)
    }

    pub(crate) fn hold_back_unknown(&self) {
        self.unknown_losses.store(true, Ordering::Release);
        self.damaged.store(true, Ordering::Relaxed);
    }

    /// States that a shard is put in quarantine after recovery.
    pub(crate) fn expect_quarantined(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    /// Undoes [`ShardMap::hold_back_unknown`], also for cells that were created since.
    pub(crate) fn accept_unknown_losses(&self) {
        self.unknown_losses.store(false, Ordering::Release);
        for id in self.ids() {
            let Some(cell) = self.get(id) else { continue };
            let _writer = cell.published.writer();
            let mut state = cell.state.lock();
            if state.missing().is_some_and(|missing| missing.unknown) {
                state.end_quarantine();
                cell.published.store(View { quarantined: false, ..cell.published.load() });
            }
        }
    }

    /// The shards that have lost something, sorted by id; not those that are only held back.
    pub(crate) fn quarantined(&self) -> Vec<(ShardId, Quarantine)> {
        if !self.damaged.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let quarantine = |id: ShardId| {
            let cell = self.get(id).filter(|cell| cell.published.load().quarantined)?;
            let state = cell.state.lock();
            let missing = state.missing().filter(|missing| !missing.unknown)?;
            Some((id, Quarantine::from(missing)))
        };
        self.ids().into_iter().filter_map(quarantine).collect()
    }

    /// The number of shards in [`ShardMap::quarantined`].
    pub(crate) fn count_quarantined(&self) -> usize {
        if !self.damaged.load(Ordering::Relaxed) {
            return 0;
        }
        let has_lost = |cell: &&Arc<ShardCell>| {
            cell.published.load().quarantined && cell.state.lock().missing().is_some_and(|missing| !missing.unknown)
        };
        self.partitions.iter().map(|partition| partition.read().iter().filter(has_lost).count()).sum()
    }

    /// Removes the cell of a shard without state, unless a writer has it.
    pub(crate) fn remove_blank(&self, id: ShardId) {
        let mut table = self.partition(id).write();
        // References to cells are taken under this lock: a count of one cannot rise while it is held.
        let unused = |cell: &Arc<ShardCell>| cell.id == id && Arc::strong_count(cell) == 1 && self.is_blank(cell);
        if let Ok(entry) = table.find_entry(hash(id), unused) {
            entry.remove();
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether the cell states no more than [`ShardMap::absent`]: the shard was never written to, or was destroyed.
    /// While unknown shards are held back, the cell of a shard that is known to be empty is not blank.
    pub(crate) fn is_blank(&self, cell: &ShardCell) -> bool {
        let view = cell.published.load();
        view.sequence == Sequence::NONE
            && match view.quarantined {
                true => cell.state.lock().missing().is_none_or(|missing| missing.unknown),
                false => !self.has_unknown_losses(),
            }
    }

    /// The ids of all cells, blank ones included, sorted.
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

/// splitmix64's mix: ids are often consecutive, or have structure in some of their bits.
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
    fn find_does_not_keep_a_blank_cell() {
        let map = ShardMap::default();
        let writer = map.get_or_insert(ShardId(3));
        let found = map.find(ShardId(3));
        drop(writer);
        map.remove_blank(ShardId(3));
        assert!(found.is_none() && map.len() == 0);
    }

    #[test]
    fn a_shard_that_is_known_to_be_empty_is_not_held_back() {
        let map = ShardMap::default();
        map.hold_back_unknown();
        let (empty, unknown) = (map.get_or_insert(ShardId(3)), map.get_or_insert(ShardId(4)));
        empty.state.lock().end_quarantine();
        empty.published.store(View::default());
        drop((empty, unknown));
        [3, 4].into_iter().for_each(|id| map.remove_blank(ShardId(id)));
        assert!(map.find(ShardId(3)).is_some_and(|cell| !cell.published.load().quarantined));
        assert!(map.get(ShardId(4)).is_none() && map.absent().published.load().quarantined);
        map.accept_unknown_losses();
        map.remove_blank(ShardId(3));
        assert!(map.len() == 0 && !map.absent().published.load().quarantined);
    }
}
