//! The history of a simulated disk, to compare two runs of a seed.

use std::hash::{DefaultHasher, Hash, Hasher};

/// One line for each event.
#[derive(Debug, Default)]
pub(super) struct Trace {
    lines: Vec<String>,
}

impl Trace {
    pub(super) fn push(&mut self, line: String) {
        self.lines.push(line);
    }

    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }

    pub(super) fn hash(&self) -> u64 {
        hash_of(&self.lines)
    }
}

/// A hash that is the same in every run; not one to keep on a disk.
pub(super) fn hash_of(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
