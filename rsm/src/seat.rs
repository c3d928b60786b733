//! Where a machine sits: shared by the driver that updates it, those who ask it, and those who save it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{
    error::{Error, Result},
    machine::StateMachine,
};

/// A machine, and what its state stands for.
pub(crate) struct Seated<M> {
    pub(crate) machine: M,
    /// The last index that is part of the state, and its term.
    pub(crate) applied: Option<(u64, u64)>,
    /// The membership as of that index, as far as the core said it.
    pub(crate) membership: Bytes,
}

/// Locked for writing by updates and recoveries, for reading by lookups and saves. Empty when the driver was closed.
pub(crate) struct Seat<M> {
    seated: RwLock<Option<Seated<M>>>,
    /// Saves that keep the machine standing still.
    saves: AtomicUsize,
}

impl<M> Seat<M> {
    pub(crate) fn new(seated: Seated<M>) -> Arc<Self> {
        Arc::new(Self { seated: RwLock::new(Some(seated)), saves: AtomicUsize::new(0) })
    }

    /// Waits for an update, and behind one that waits: lookups without end must not keep updates out. While a save
    /// does that anyway, and for long, lookups pass the update that waits.
    pub(crate) fn read(&self) -> Occupied<RwLockReadGuard<'_, Option<Seated<M>>>> {
        match self.saves.load(Ordering::Acquire) {
            0 => Occupied(self.seated.read()),
            _ => Occupied(self.seated.read_recursive()),
        }
    }

    pub(crate) fn write(&self) -> Occupied<RwLockWriteGuard<'_, Option<Seated<M>>>> {
        Occupied(self.seated.write())
    }

    /// Calls `save` with what sits here, while nothing of it changes.
    pub(crate) fn standing<T>(&self, save: impl FnOnce(&Seated<M>) -> Result<T>) -> Result<T> {
        let _saving = Saving::new(&self.saves);
        save(self.seated.read().as_ref().ok_or(Error::Closed)?)
    }

    pub(crate) fn take(&self) -> Option<Seated<M>> {
        self.seated.write().take()
    }
}

/// Counts a save, until it ends in whatever way.
struct Saving<'s>(&'s AtomicUsize);

impl<'s> Saving<'s> {
    fn new(saves: &'s AtomicUsize) -> Self {
        saves.fetch_add(1, Ordering::AcqRel);
        Self(saves)
    }
}

impl Drop for Saving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A locked seat, which may be empty.
pub(crate) struct Occupied<G>(G);

impl<M> Occupied<RwLockReadGuard<'_, Option<Seated<M>>>> {
    pub(crate) fn get(&self) -> Result<&Seated<M>> {
        self.0.as_ref().ok_or(Error::Closed)
    }
}

impl<M> Occupied<RwLockWriteGuard<'_, Option<Seated<M>>>> {
    pub(crate) fn get(&mut self) -> Result<&mut Seated<M>> {
        self.0.as_mut().ok_or(Error::Closed)
    }
}

/// Asks a machine from any thread, whatever its driver does. Clones ask the same machine.
pub struct Reader<M>(pub(crate) Arc<Seat<M>>);

impl<M: StateMachine> Reader<M> {
    /// The machine's answer, as of what was applied when it was asked. Waits for an update that is under way, and for
    /// no save.
    ///
    /// # Errors
    /// [`Error::Machine`]; [`Error::Closed`] when the driver was closed.
    pub fn lookup(&self, query: &M::Query) -> Result<M::Answer> {
        let seat = self.0.read();
        seat.get()?.machine.lookup(query).map_err(|failure| Error::machine("lookup", failure))
    }

    /// The last index that is part of the state; `None` before the first, or when the driver was closed.
    pub fn applied(&self) -> Option<u64> {
        Some(self.0.read().get().ok()?.applied?.0)
    }
}

impl<M> Clone for Reader<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for Reader<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}
