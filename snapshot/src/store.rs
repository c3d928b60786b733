//! `Store`: opens, builds, receives, finds and removes the snapshots of a log.

use std::{collections::BTreeSet, io, sync::Arc};

use logboom_disk::Disk;

use crate::{
    builder::Builder,
    built::Built,
    draft::Draft,
    error::{Error, Result},
    host::Host,
    keep::Keep,
    lease::Lease,
    manifest::Manifest,
    medium::{BUILDING, COMPLETE, RECEIVING},
    mutants,
    opened::{Entry, Opened},
    receiver::Receiver,
    registered::Registered,
    shared::Shared,
    spec::Spec,
    stop::Stop,
};

/// The snapshots of one log. Clones are handles to the same store; any thread may use them.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

impl Store {
    /// Opens the snapshots in the directory of the log with the identity `log`. `registered` has the log's
    /// registrations by shard. Removes all other snapshot files, except those of a shard for which `spared` returns
    /// true: the log may have lost a registration of it.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory cannot be listed. A missing file of a registered snapshot is not an error here,
    /// but of [`Store::missing`], [`Store::newest`] and [`Store::lease`].
    pub fn open(
        disk: Arc<dyn Disk>,
        log: [u64; 2],
        host: Arc<dyn Host>,
        registered: impl IntoIterator<Item = (u64, Registered)>,
        spared: impl Fn(u64) -> bool,
    ) -> Result<Self> {
        let store = Self::view(disk, log, host, registered);
        store.0.remove_leftovers(&spared)?;
        Ok(store)
    }

    /// [`Store::open`] for a directory that is only read: removes nothing.
    pub fn view(
        disk: Arc<dyn Disk>,
        log: [u64; 2],
        host: Arc<dyn Host>,
        registered: impl IntoIterator<Item = (u64, Registered)>,
    ) -> Self {
        let shared = Shared::new(disk, log, host);
        registered.into_iter().for_each(|(shard, registered)| shared.add_registered(shard, registered));
        Self(shared)
    }

    /// Begins to build a snapshot.
    ///
    /// # Errors
    /// [`Error::Stale`] if the shard has a newer one; [`Error::TooLarge`]; [`Error::Unsupported`]; those of the device.
    pub fn build(&self, spec: Spec, stop: &Stop) -> Result<Builder> {
        spec.check()?;
        stop.check()?;
        self.check_order(spec.shard, (spec.index, spec.term))?;
        Ok(Builder::new(Draft::new(&self.0, BUILDING)?, spec, stop))
    }

    /// Begins to receive the snapshot of `shard` that `manifest`, a [`Lease::manifest_bytes`], describes.
    ///
    /// # Errors
    /// [`Error::Foreign`] if it is of another shard, [`Error::Stale`] if the shard has a newer one or the same,
    /// [`Error::Malformed`], [`Error::NewerFormat`]; those of the device, [`Error::Full`] at once if there is no room
    /// for all of it.
    pub fn receive(&self, shard: u64, manifest: &[u8], stop: &Stop) -> Result<Receiver> {
        stop.check()?;
        let described = Manifest::decode(manifest)?;
        if described.shard != shard {
            return Err(Error::of_shard(described.shard, shard));
        }
        self.check_order(shard, (described.index, described.term))?;
        if let Some(same) = self.list(shard).iter().find(|known| known.id == described.id) {
            return Err(Error::Stale { shard, index: same.index, term: same.term });
        }
        Receiver::new(Draft::new(&self.0, RECEIVING)?, described, manifest, stop)
    }

    /// Refuses a snapshot that must not be registered: of another log or shard, registered before, or older than the
    /// newest of `list`.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::Stale`].
    pub fn check(&self, shard: u64, list: &[Registered], built: &Built) -> Result<()> {
        let foreign = |what: &'static str| Err(Error::Foreign { what: what.into() });
        if !built.is_of(&self.0) {
            return foreign("it was made beside another log");
        }
        if built.manifest().shard != shard {
            return Err(Error::of_shard(built.manifest().shard, shard));
        }
        if !built.is_unclaimed() || list.iter().any(|known| known.id == built.registration().id) {
            return foreign("it was registered already");
        }
        check_order(shard, list.last(), built.registration().order())
    }

    /// Sets the shard's registered snapshots to `list`, which is durable once the log is durable up to `mark`. After
    /// that, a [`Store::sweep`] removes the shard's other snapshots that are not leased.
    pub fn set(&self, shard: u64, list: &[Registered], mark: u64) {
        self.0.set(shard, list, mark);
    }

    /// Removes the files of snapshots that are no longer registered, with the log durable up to `durable`, and not
    /// leased. Returns whether files are left that wait only for the log to be durable; the end of a lease is
    /// [announced](Host::has_work).
    ///
    /// # Errors
    /// [`Error::Io`]: failed removals are retried by the next call.
    pub fn sweep(&self, durable: u64) -> Result<bool> {
        self.0.sweep(durable)
    }

    /// Keeps every file of a complete snapshot until it is dropped.
    pub fn keep(&self) -> Keep {
        Keep::new(&self.0)
    }

    /// The registered snapshots of a shard, oldest first: by index, then term.
    pub fn list(&self, shard: u64) -> Vec<Registered> {
        self.0.list(shard).iter().map(|entry| entry.registered).collect()
    }

    /// All registered snapshots, by shard, and of a shard oldest first.
    pub fn all(&self) -> Vec<(u64, Registered)> {
        self.0.all().iter().map(|entry| (entry.shard, entry.registered)).collect()
    }

    /// The registered snapshots whose files are missing.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory cannot be listed.
    pub fn missing(&self) -> Result<Vec<(u64, Registered)>> {
        let there = self.0.files()?;
        let missing = |(_, registered): &(u64, Registered)| !there.contains(&(COMPLETE, registered.file));
        Ok(self.all().into_iter().filter(missing).collect())
    }

    /// A lease of the shard's newest snapshot; `None` if it has none.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Damaged`] for a registered snapshot whose file is missing or damaged: an older one
    /// is never returned instead. [`Error::Io`].
    pub fn newest(&self, shard: u64) -> Result<Option<Lease>> {
        self.lease_of(shard, |entries| entries.last().cloned())
    }

    /// A lease of the shard's snapshot of this id; `None` if it is not registered.
    ///
    /// # Errors
    /// As [`Store::newest`].
    pub fn lease(&self, shard: u64, id: u64) -> Result<Option<Lease>> {
        self.lease_of(shard, |entries| entries.iter().find(|entry| entry.registered.id == id).cloned())
    }

    /// The lowest index of the shard's leased snapshots: the log above it is needed. `None` if none is leased.
    pub fn held(&self, shard: u64) -> Option<u64> {
        self.0.held(shard)
    }

    /// Whether any snapshot of any shard is leased.
    pub fn has_leases(&self) -> bool {
        self.0.has_leases()
    }

    fn lease_of(&self, shard: u64, find: impl FnOnce(&[Arc<Entry>]) -> Option<Arc<Entry>>) -> Result<Option<Lease>> {
        // Counted before it is read, so that it cannot be removed meanwhile.
        let Some(entry) = self.0.lease(shard, find) else { return Ok(None) };
        match entry.opened.get(&self.0.medium, &entry) {
            Ok(opened) => Ok(Some(Lease::new(Arc::clone(&self.0), entry, opened))),
            Err(error) => {
                self.0.release(&entry);
                Err(error)
            }
        }
    }

    fn check_order(&self, shard: u64, order: (u64, u64)) -> Result<()> {
        check_order(shard, self.list(shard).last(), order)
    }
}

fn check_order(shard: u64, newest: Option<&Registered>, order: (u64, u64)) -> Result<()> {
    match newest {
        Some(newest) if newest.order() > order => Err(Error::Stale { shard, index: newest.index, term: newest.term }),
        _ => Ok(()),
    }
}

impl Shared {
    /// Removes files that a crash left: partially built or received ones, and unregistered ones.
    fn remove_leftovers(&self, spared: &dyn Fn(u64) -> bool) -> Result<()> {
        let registered: BTreeSet<u64> = self.all().iter().map(|entry| entry.registered.file).collect();
        for (prefix, number) in self.files()? {
            if prefix == COMPLETE
                && mutants::is_on("LeftoverRegistered")
                && let Some(header) = Opened::header(&self.medium, number).filter(|_| !registered.contains(&number))
            {
                self.add_registered(header.shard, header.registered);
                continue;
            }
            if prefix == COMPLETE && (registered.contains(&number) || self.is_spared(number, spared)) {
                // The number stays reserved, whichever shard the file belongs to.
                self.keep_number(number);
            } else {
                // A file that cannot be removed does no harm; the next opening tries again.
                drop(self.medium.disk.remove(&format!("{prefix}{number:016x}")));
            }
        }
        Ok(())
    }

    /// The files with names of snapshots, by prefix and number.
    pub(crate) fn files(&self) -> Result<Vec<(&'static str, u64)>> {
        let names = self.medium.disk.list().map_err(|error: io::Error| Error::io("listing the directory", error))?;
        Ok(names.iter().filter_map(|name| parse(name)).collect())
    }
}

/// Parses a file's name, if it is that of a snapshot.
fn parse(name: &str) -> Option<(&'static str, u64)> {
    let prefix = [COMPLETE, BUILDING, RECEIVING].into_iter().find(|prefix| name.starts_with(prefix))?;
    let digits = &name[prefix.len()..];
    let number = u64::from_str_radix(digits, 16).ok()?;
    (format!("{number:016x}") == digits).then_some((prefix, number))
}
