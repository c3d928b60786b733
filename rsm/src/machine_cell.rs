//! `MachineCell`: a machine shared by the driver that updates it, readers that query it and jobs that save it.

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

/// A machine, and the index that its state includes.
pub(crate) struct MachineState<M> {
    pub(crate) machine: M,
    /// The last index that is part of the state, and its term.
    pub(crate) applied: Option<(u64, u64)>,
    /// The membership as of that index, as far as the core set it.
    pub(crate) membership: Bytes,
}

/// Updates and recoveries lock it for writing, lookups and saves for reading. Empty after the driver was closed.
pub(crate) struct MachineCell<M> {
    current: RwLock<Option<MachineState<M>>>,
    /// Running saves that block updates.
    saves: AtomicUsize,
}

impl<M> MachineCell<M> {
    pub(crate) fn new(current: MachineState<M>) -> Arc<Self> {
        Arc::new(Self { current: RwLock::new(Some(current)), saves: AtomicUsize::new(0) })
    }

    /// Waits for a running update, and for a waiting one too: endless lookups must not starve updates. While a save
    /// blocks updates anyway, lookups overtake the waiting update.
    pub(crate) fn read(&self) -> LockedCell<RwLockReadGuard<'_, Option<MachineState<M>>>> {
        match self.saves.load(Ordering::Acquire) {
            0 => LockedCell(self.current.read()),
            _ => LockedCell(self.current.read_recursive()),
        }
    }

    pub(crate) fn write(&self) -> LockedCell<RwLockWriteGuard<'_, Option<MachineState<M>>>> {
        LockedCell(self.current.write())
    }

    /// Calls `save` with the machine while updates wait.
    pub(crate) fn read_blocking<T>(&self, save: impl FnOnce(&MachineState<M>) -> Result<T>) -> Result<T> {
        let _saving = Saving::new(&self.saves);
        save(self.current.read().as_ref().ok_or(Error::Closed)?)
    }

    pub(crate) fn take(&self) -> Option<MachineState<M>> {
        self.current.write().take()
    }
}

/// Counts a save until it is dropped.
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

/// A locked cell, which may be empty.
pub(crate) struct LockedCell<G>(G);

impl<M> LockedCell<RwLockReadGuard<'_, Option<MachineState<M>>>> {
    pub(crate) fn get(&self) -> Result<&MachineState<M>> {
        self.0.as_ref().ok_or(Error::Closed)
    }
}

impl<M> LockedCell<RwLockWriteGuard<'_, Option<MachineState<M>>>> {
    pub(crate) fn get(&mut self) -> Result<&mut MachineState<M>> {
        self.0.as_mut().ok_or(Error::Closed)
    }
}

/// Queries a machine from any thread. Clones query the same machine.
pub struct Reader<M>(pub(crate) Arc<MachineCell<M>>);

impl<M: StateMachine> Reader<M> {
    /// Returns the machine's answer as of the entries applied at the call. Waits for a running update, never for a
    /// save.
    ///
    /// # Errors
    /// [`Error::Machine`]; [`Error::Closed`] when the driver was closed.
    pub fn lookup(&self, query: &M::Query) -> Result<M::Answer> {
        let cell = self.0.read();
        cell.get()?.machine.lookup(query).map_err(|failure| Error::machine("lookup", failure))
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
