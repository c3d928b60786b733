//! `Shared`: the table of a log's snapshots, their shards and leases, shared by all handles.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use logboom_disk::Disk;
use parking_lot::{Mutex, MutexGuard};

use crate::{
    error::{Error, Result},
    host::Host,
    medium::{Medium, complete_name},
    mutants,
    opened::{Cache, Entry, Opened},
    registered::Registered,
};

/// See the module.
pub(crate) struct Shared {
    pub(crate) medium: Medium,
    pub(crate) host: Arc<dyn Host>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Every number of a file that is in use, those of unfinished ones included.
    numbers: BTreeSet<u64>,
    /// Registered, by shard, oldest first.
    shards: BTreeMap<u64, Vec<Arc<Entry>>>,
    /// Complete and not registered, by the number of the file.
    unclaimed: BTreeMap<u64, Arc<Entry>>,
    /// No longer registered: removed when `mark` is durable and no lease is left.
    doomed: Vec<Doomed>,
    /// How many leases there are of each file that has any: by shard, index and number of the file.
    leases: BTreeMap<(u64, u64, u64), u64>,
    /// The number of `Keep`s.
    keepers: u64,
}

#[derive(Debug)]
struct Doomed {
    entry: Arc<Entry>,
    mark: u64,
}

impl Shared {
    pub(crate) fn new(disk: Arc<dyn Disk>, log: [u64; 2], host: Arc<dyn Host>) -> Arc<Self> {
        Arc::new(Self { medium: Medium::new(disk, log), host, state: Mutex::default() })
    }

    /// Reserves a number that no file of the directory has in its name, until [`Shared::free_number`].
    pub(crate) fn take_number(&self) -> u64 {
        loop {
            let number = self.host.nonce();
            if self.state().numbers.insert(number) {
                return number;
            }
        }
    }

    /// Adds the number of an existing file.
    pub(crate) fn keep_number(&self, number: u64) {
        self.state().numbers.insert(number);
    }

    pub(crate) fn free_number(&self, number: u64) {
        self.state().numbers.remove(&number);
    }

    /// Adds the log's registrations of a shard, at opening.
    pub(crate) fn add_registered(&self, shard: u64, registered: Registered) {
        let mut state = self.state();
        state.numbers.insert(registered.file);
        let entry = Arc::new(Entry { shard, registered, opened: Cache::default() });
        let entries = state.shards.entry(shard).or_default();
        entries.push(entry);
        entries.sort_by_key(|entry| entry.registered.order());
    }

    /// Adds a complete, unregistered snapshot.
    pub(crate) fn add_unclaimed(&self, shard: u64, registered: Registered, opened: &Arc<Opened>) -> Arc<Entry> {
        let entry = Arc::new(Entry { shard, registered, opened: Cache::of(opened) });
        self.state().unclaimed.insert(registered.file, Arc::clone(&entry));
        entry
    }

    /// Whether a complete snapshot was not registered yet.
    pub(crate) fn is_unclaimed(&self, file: u64) -> bool {
        self.state().unclaimed.contains_key(&file)
    }

    /// Drops the right to register the snapshot.
    pub(crate) fn abandon(&self, file: u64) {
        let mut state = self.state();
        if let Some(entry) = state.unclaimed.remove(&file) {
            state.doomed.push(Doomed { entry, mark: 0 });
            drop(state);
            self.host.has_work();
        }
    }

    /// Sets the shard's snapshots. Its other files are removed once the log is durable up to `mark`.
    pub(crate) fn set(&self, shard: u64, list: &[Registered], mark: u64) {
        let mut state = self.state();
        let had = state.shards.remove(&shard).unwrap_or_default();
        let mut entries = Vec::with_capacity(list.len());
        for registered in list {
            let known = had.iter().find(|entry| entry.registered.file == registered.file).map(Arc::clone);
            let known = known.or_else(|| state.unclaimed.remove(&registered.file));
            let fresh = || Arc::new(Entry { shard, registered: *registered, opened: Cache::default() });
            entries.push(known.unwrap_or_else(fresh));
            state.numbers.insert(registered.file);
        }
        let gone = had.into_iter().filter(|entry| !list.iter().any(|kept| kept.file == entry.registered.file));
        let before = state.doomed.len();
        state.doomed.extend(gone.map(|entry| Doomed { entry, mark }));
        let work = state.doomed.len() > before;
        if !entries.is_empty() {
            state.shards.insert(shard, entries);
        }
        drop(state);
        if work {
            self.host.has_work();
        }
    }

    /// The shard's registered snapshots, oldest first.
    pub(crate) fn list(&self, shard: u64) -> Vec<Arc<Entry>> {
        self.state().shards.get(&shard).cloned().unwrap_or_default()
    }

    /// Every registered snapshot, by shard and then oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        self.state().shards.values().flatten().cloned().collect()
    }

    /// Counts a lease of the shard's entry that `find` selects, under the lock, so that it cannot be removed meanwhile.
    pub(crate) fn lease(
        &self,
        shard: u64,
        find: impl FnOnce(&[Arc<Entry>]) -> Option<Arc<Entry>>,
    ) -> Option<Arc<Entry>> {
        let mut state = self.state();
        let entry = find(state.shards.get(&shard)?)?;
        *state.leases.entry(entry.lease_key()).or_default() += 1;
        Some(entry)
    }

    /// Counts one more lease of an entry that its caller keeps from being removed.
    pub(crate) fn lease_again(&self, entry: &Entry) {
        *self.state().leases.entry(entry.lease_key()).or_default() += 1;
    }

    /// Counts one lease less.
    pub(crate) fn release(&self, entry: &Entry) {
        let mut state = self.state();
        let Some(count) = state.leases.get_mut(&entry.lease_key()) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        state.leases.remove(&entry.lease_key());
        let work = state.doomed.iter().any(|doomed| doomed.entry.registered.file == entry.registered.file);
        drop(state);
        if work {
            self.host.has_work();
        }
    }

    /// Keeps all files until the matching call of [`Shared::let_go`].
    pub(crate) fn keep(&self) {
        self.state().keepers += 1;
    }

    pub(crate) fn let_go(&self) {
        self.state().keepers -= 1;
        self.host.has_work();
    }

    /// Whether anything is leased.
    pub(crate) fn has_leases(&self) -> bool {
        !self.state().leases.is_empty()
    }

    /// The lowest index of the shard's leased snapshots.
    pub(crate) fn held(&self, shard: u64) -> Option<u64> {
        let state = self.state();
        state.leases.range((shard, 0, 0)..=(shard, u64::MAX, u64::MAX)).next().map(|((_, index, _), _)| *index)
    }

    /// Removes the files that are durably unregistered and not leased. Returns whether files are left that wait only
    /// for the log to be durable.
    ///
    /// # Errors
    /// [`Error::Io`]; failed removals are retried.
    pub(crate) fn sweep(&self, durable: u64) -> Result<bool> {
        let ready = {
            let mut state = self.state();
            if state.keepers > 0 {
                return Ok(false);
            }
            let State { doomed, leases, .. } = &mut *state;
            let is_leased = |entry: &Entry| leases.contains_key(&entry.lease_key()) && !mutants::is_on("LeaseIgnored");
            let ready = |doomed: &mut Doomed| doomed.mark <= durable && !is_leased(&doomed.entry);
            doomed.extract_if(.., ready).collect::<Vec<_>>()
        };
        let mut failed = Ok(());
        for doomed in ready {
            let name = complete_name(doomed.entry.registered.file);
            match self.medium.disk.remove(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    failed = Err(Error::io(format!("removing {name}"), error));
                    self.state().doomed.push(doomed);
                }
                _ => self.free_number(doomed.entry.registered.file),
            }
        }
        failed.map(|()| self.state().doomed.iter().any(|doomed| doomed.mark > durable))
    }

    /// Whether an unregistered file belongs to a shard that may have lost a registration.
    pub(crate) fn is_spared(&self, number: u64, spared: &dyn Fn(u64) -> bool) -> bool {
        Opened::header(&self.medium, number).is_some_and(|header| spared(header.shard))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("log", &self.medium.log).finish_non_exhaustive()
    }
}
