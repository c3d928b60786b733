//! The names of files: those that are there, and those that a power cut would leave.

use std::{collections::BTreeMap, io};

use super::content::Fate;

/// A directory whose changes are volatile until it is synced.
#[derive(Debug, Default)]
pub(super) struct Directory {
    names: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    pending: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Insert { name: String, inode: u64 },
    Rename { from: String, to: String, inode: u64 },
    Remove { name: String },
}

impl Directory {
    pub(super) fn get(&self, name: &str) -> io::Result<u64> {
        let inode = self.names.get(name).copied();
        inode.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{name} does not exist")))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.names.keys()
    }

    /// Whether a name leads to the file, now or after a power cut.
    pub(super) fn refers_to(&self, inode: u64) -> bool {
        self.names.values().chain(self.durable.values()).any(|named| *named == inode)
            || self.pending.iter().any(|change| change.inode() == Some(inode))
    }

    pub(super) fn insert(&mut self, name: &str, inode: u64) -> io::Result<()> {
        if self.names.contains_key(name) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{name} exists")));
        }
        self.change(Change::Insert { name: name.into(), inode });
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let inode = self.get(from)?;
        self.change(Change::Rename { from: from.into(), to: to.into(), inode });
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.get(name)?;
        self.change(Change::Remove { name: name.into() });
        Ok(())
    }

    pub(super) fn sync(&mut self) {
        self.durable = self.names.clone();
        self.pending.clear();
    }

    /// Leaves of the unsynced changes what a power cut leaves: any of them, in their order, each whole or not at all.
    pub(super) fn power_cut(&mut self, fate: &mut Fate<'_>) {
        for change in std::mem::take(&mut self.pending) {
            if !fate.loses() {
                change.apply(&mut self.durable);
            }
        }
        self.names = self.durable.clone();
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Change::Insert { name, inode } => drop(names.insert(name.clone(), *inode)),
            Change::Remove { name } => drop(names.remove(name)),
            Change::Rename { from, to, inode } => {
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
        }
    }

    fn inode(&self) -> Option<u64> {
        match self {
            Change::Insert { inode, .. } | Change::Rename { inode, .. } => Some(*inode),
            Change::Remove { .. } => None,
        }
    }
}
