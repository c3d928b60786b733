//! The names of files: those that are there, and those that a power cut would leave.

use std::{collections::BTreeMap, io};

/// A directory whose changes are volatile until it is synced. A file has one name at most.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    names: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    pending: Vec<Change>,
}

/// A file gets a name, or loses the one that it has.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) name: String,
    inode: u64,
    removes: bool,
}

impl Directory {
    pub(super) fn get(&self, name: &str) -> io::Result<u64> {
        let inode = self.names.get(name).copied();
        inode.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{name} does not exist")))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.names.keys()
    }

    /// A name that leads to the file, now or after a power cut.
    pub(super) fn name_of(&self, inode: u64) -> Option<&str> {
        let named = self.names.iter().chain(&self.durable).map(|(name, inode)| (name, *inode));
        let pending = self.pending.iter().filter(|change| !change.removes).map(|change| (&change.name, change.inode));
        named.chain(pending).find(|(_, named)| *named == inode).map(|(name, _)| name.as_str())
    }

    pub(super) fn insert(&mut self, name: &str, inode: u64) -> io::Result<()> {
        if self.names.contains_key(name) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{name} exists")));
        }
        self.change(Change { name: name.into(), inode, removes: false });
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let inode = self.get(from)?;
        self.change(Change { name: to.into(), inode, removes: false });
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        let inode = self.get(name)?;
        self.change(Change { name: name.into(), inode, removes: true });
        Ok(())
    }

    pub(super) fn sync(&mut self) {
        if !self.pending.is_empty() {
            self.durable = self.names.clone();
            self.pending.clear();
        }
    }

    /// The changes that a power cut decides on, in their order.
    pub(super) fn unsynced(&self) -> impl Iterator<Item = &Change> {
        self.pending.iter()
    }

    /// Leaves what was durable and those of the unsynced changes that `keeps` says so of.
    pub(super) fn power_cut(&mut self, mut keeps: impl FnMut() -> bool) {
        for change in std::mem::take(&mut self.pending) {
            if keeps() {
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
    /// Takes the file's other names away too: a change can survive without those before it, whose effect it includes.
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        names.retain(|_, inode| *inode != self.inode);
        if self.removes {
            names.remove(&self.name);
        } else {
            names.insert(self.name.clone(), self.inode);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a power cut leaves of `changes` if it keeps those that `kept` has a bit of.
    fn after(changes: impl FnOnce(&mut Directory) -> io::Result<()>, kept: u32) -> Vec<(String, u64)> {
        let mut directory = Directory::default();
        assert!(directory.insert("a", 1).and(directory.insert("b", 2)).is_ok());
        directory.sync();
        assert!(changes(&mut directory).is_ok());
        let mut number = 0;
        directory.power_cut(|| {
            number += 1;
            kept & 1 << (number - 1) != 0
        });
        directory.names.into_iter().collect()
    }

    #[test]
    fn a_file_never_has_two_names() {
        let twice = |directory: &mut Directory| directory.rename("a", "c").and(directory.rename("c", "d"));
        assert_eq!(after(twice, 0b00), [("a".into(), 1), ("b".into(), 2)]);
        assert_eq!(after(twice, 0b01), [("b".into(), 2), ("c".into(), 1)]);
        assert_eq!(after(twice, 0b10), [("b".into(), 2), ("d".into(), 1)]);
        assert_eq!(after(twice, 0b11), [("b".into(), 2), ("d".into(), 1)]);
    }

    #[test]
    fn a_removal_holds_though_the_renaming_before_it_is_lost() {
        let replaced = |directory: &mut Directory| directory.rename("a", "b").and(directory.remove("b"));
        assert_eq!(after(replaced, 0b01), [("b".into(), 1)]);
        assert_eq!(after(replaced, 0b10), []);
        assert_eq!(after(replaced, 0b11), []);
    }
}
