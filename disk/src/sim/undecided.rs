//! `Undecided`: the changes that may or may not survive a power cut.

use std::ops::Range;

use super::{
    content::{Extent, SECTOR},
    machine::Machine,
};

/// Something that is found done or not done, or half done, when power is cut now; see
/// [`SimDisk::undecided`](super::SimDisk::undecided).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// The kind of change.
    pub what: Unsynced,
    /// The name of the file; of a change of names, the name that is given or removed; empty for a file without a name.
    pub file: String,
    /// The bytes of the file from the first that is written to the last, or for a change of size, those between the
    /// two sizes.
    pub range: Range<u64>,
}

/// The kinds of undecided changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// A write that has completed, and is not synced.
    Write,
    /// A write that has not completed.
    InFlight,
    /// The growth of a file.
    Size,
    /// A file's creation, renaming or removal.
    Name,
}

/// The outcome for a change that is [`Undecided`], in a [`SimDisk::power_cut_with`](super::SimDisk::power_cut_with).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is lost.
    Old,
    /// It is there.
    New,
    /// Of a write, each sector is old, new or garbage, one of them garbage; and each other sector of the same
    /// physical blocks may be garbage. What is not a write is there.
    Torn,
    /// Of a write, the `n`-th sector is there if bit `n` is set, and lost if it is not, the 64th and later ones as
    /// the 64th. What is not a write is there if any bit is set.
    Sectors(u64),
}

impl Undecided {
    /// The fates to try: old and new, and for a write torn.
    pub fn fates(&self) -> &'static [Fate] {
        match self.what {
            Unsynced::Write | Unsynced::InFlight => &[Fate::Old, Fate::New, Fate::Torn],
            Unsynced::Size | Unsynced::Name => &[Fate::Old, Fate::New],
        }
    }
}

impl Fate {
    /// Whether something that cannot be torn is there.
    pub(super) fn keeps(self) -> bool {
        !matches!(self, Fate::Old | Fate::Sectors(0))
    }

    /// Whether a sector of a write is there; of a torn one, that is for chance to say.
    pub(super) fn keeps_sector(self, number: u64) -> bool {
        match self {
            Fate::Old | Fate::Torn => false,
            Fate::New => true,
            Fate::Sectors(bits) => bits >> number.min(63) & 1 == 1,
        }
    }
}

/// The sectors that one write has left undecided.
pub(super) struct Unit {
    pub(super) what: Unsynced,
    pub(super) inode: u64,
    pub(super) parts: Vec<Extent>,
}

impl Unit {
    pub(super) fn range(&self) -> Range<u64> {
        let start = self.parts.iter().map(|part| part.offset).min().unwrap_or(0);
        let end = self.parts.iter().map(|part| part.range().end).max().unwrap_or(0);
        start..end
    }

    /// The number that a sector of the file has within the unit.
    pub(super) fn number(&self, sector: u64) -> u64 {
        sector - self.range().start / SECTOR as u64
    }
}

impl Machine {
    /// The writes that are undecided: the completed ones by file and in their order, then those in flight.
    pub(super) fn undecided_writes(&self) -> Vec<Unit> {
        let mut units: Vec<Unit> = Vec::new();
        for (inode, file) in &self.inodes {
            let mut last = None;
            for extent in file.content.unsynced() {
                match units.last_mut() {
                    Some(unit) if last == Some(extent.order) => unit.parts.push(extent.clone()),
                    _ => units.push(Unit { what: Unsynced::Write, inode: *inode, parts: vec![extent.clone()] }),
                }
                last = Some(extent.order);
            }
        }
        let late = self.late.iter().map(|(_, write)| write);
        let flying = self.in_flight.values().chain(late).filter(|write| self.inodes.contains_key(&write.inode));
        units.extend(flying.map(|write| {
            let parts = vec![Extent::new(self.order, write.offset, write.bytes.clone())];
            Unit { what: Unsynced::InFlight, inode: write.inode, parts }
        }));
        units.retain(|unit| !unit.range().is_empty());
        units
    }

    /// The files whose growth is undecided.
    pub(super) fn undecided_sizes(&self) -> Vec<u64> {
        let undecided = self.inodes.iter().filter(|(_, inode)| !inode.content.growth().is_empty());
        undecided.map(|(number, _)| *number).collect()
    }

    /// Everything that is undecided: writes, sizes, names.
    pub(super) fn undecided(&self) -> Vec<Undecided> {
        let name = |inode| self.directory.name_of(inode).unwrap_or("").to_owned();
        let writes = self.undecided_writes().into_iter();
        let writes = writes.map(|unit| Undecided { what: unit.what, file: name(unit.inode), range: unit.range() });
        let sizes = self.inodes.iter().filter(|(_, inode)| !inode.content.growth().is_empty());
        let sizes = sizes.map(|(number, inode)| Undecided {
            what: Unsynced::Size,
            file: name(*number),
            range: inode.content.growth(),
        });
        let names = self.directory.unsynced();
        let names = names.map(|change| Undecided { what: Unsynced::Name, file: change.name.clone(), range: 0..0 });
        writes.chain(sizes).chain(names).collect()
    }
}
