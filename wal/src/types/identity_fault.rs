//! Faults of a log's identity: which files belong to which log, if they do not all belong to one.

use std::fmt;

/// `LOGBOOM` is damaged, or some files of the directory belong to another log than it names.
///
/// Names of files are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdentityFault {
    /// What is wrong with `LOGBOOM` itself, if anything. The identity was read from the other files in that case, as
    /// far as they have it.
    pub logboom: Option<String>,
    /// Files that belong to the log.
    pub ours: Vec<String>,
    /// Files that belong to another log, each with that log's identity if the file states it.
    pub foreign: Vec<(String, Option<[u64; 2]>)>,
    /// Files with headers whose checksums are all wrong for this log: they are damaged, or belong to another log.
    pub unverified: Vec<String>,
}

impl IdentityFault {
    /// Whether nothing can be read: no file belongs to the log.
    pub fn is_total(&self) -> bool {
        self.ours.is_empty()
    }

    /// Whether [`restore_identity`](crate::restore_identity) can help: `LOGBOOM` is damaged, or names another log than
    /// all other files belong to.
    pub fn is_restorable(&self) -> bool {
        match &*self.foreign {
            [] => self.logboom.is_some() && !self.is_total(),
            [(_, log), more @ ..] => {
                self.is_total() && self.logboom.is_none() && more.iter().all(|(_, other)| other == log)
            }
        }
    }

    /// The files that are in the way: those of other logs, and those that cannot be verified.
    pub fn strangers(&self) -> impl Iterator<Item = &str> {
        self.foreign.iter().map(|(name, _)| name).chain(&self.unverified).map(String::as_str)
    }

    /// Whether the log may not be written to in this state. Unverified files do not prevent it: they are not touched.
    pub(crate) fn forbids_writing(&self) -> bool {
        self.logboom.is_some() || self.is_total() || !self.foreign.is_empty()
    }

    fn is_alone(&self) -> bool {
        self.logboom.is_none() && self.is_total() && self.strangers().next().is_none()
    }
}

impl fmt::Display for IdentityFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { logboom, ours, foreign, unverified } = self;
        if self.is_alone() {
            return f.write_str("LOGBOOM is intact, and all other files of the log are gone");
        }
        match logboom {
            Some(what) if ours.is_empty() => write!(f, "{what}, and no other file says which log this is")?,
            Some(what) => write!(f, "{what}; {} name the log", list(ours))?,
            None if ours.is_empty() => f.write_str("no file belongs to the log that LOGBOOM names")?,
            None => write!(f, "LOGBOOM names the log of {}", list(ours))?,
        }
        let mut rest: Vec<&(String, Option<[u64; 2]>)> = foreign.iter().collect();
        while let Some(&&(_, log)) = rest.first() {
            let (same, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(_, other)| *other == log);
            let names: Vec<String> = same.into_iter().map(|(name, _)| name.clone()).collect();
            match log {
                Some([one, other]) => write!(f, "; of the log {one:016x}{other:016x}: {}", list(&names))?,
                None => write!(f, "; of another log: {}", list(&names))?,
            }
            rest = others;
        }
        if !unverified.is_empty() {
            write!(f, "; with headers that no checksum verifies: {}", list(unverified))?;
        }
        if self.is_restorable() { f.write_str(": `logboom repair --identity` restores LOGBOOM") } else { Ok(()) }
    }
}

/// The first few names, and the number of the others.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
