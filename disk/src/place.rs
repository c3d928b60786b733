//! Where a directory was found, and whether it is still there.

use std::path::{Path, PathBuf};

use rustix::{fs, io::Errno};

/// A path without links, in the tree of names that the process had.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    root: Inode,
}

impl Place {
    /// Where `path` leads; none if that cannot be told.
    ///
    /// # Errors
    /// If it leads nowhere.
    pub(crate) fn of(path: &Path) -> Result<Option<Self>, Errno> {
        let resolved = path.canonicalize().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
        match (resolved, Inode::root()) {
            (Err(Errno::NOENT | Errno::NOTDIR), _) => Err(Errno::NOENT),
            (Ok(path), Some(root)) => Ok(Some(Place { path, root })),
            _ => Ok(None),
        }
    }

    /// What is wrong if `dir` is not there any more.
    ///
    /// A process that has changed its root, or may not follow the path any more, cannot tell.
    pub(crate) fn misses(&self, dir: Inode) -> Option<String> {
        if Inode::root() != Some(self.root) {
            return None;
        }
        match fs::stat(&self.path) {
            Err(Errno::NOENT | Errno::NOTDIR) => {
                Some(format!("the directory is not at {} any more", self.path.display()))
            }
            Ok(found) if Inode::of(&found) != dir => {
                Some(format!("another directory is at {} now", self.path.display()))
            }
            Ok(_) | Err(_) => None,
        }
    }
}

/// What tells one file from another, its names aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inode {
    device: u64,
    number: u64,
}

impl Inode {
    #[expect(clippy::useless_conversion, reason = "the types are others on other systems")]
    pub(crate) fn of(stat: &fs::Stat) -> Self {
        Inode { device: u64::try_from(stat.st_dev).unwrap_or_default(), number: stat.st_ino.into() }
    }

    fn root() -> Option<Self> {
        fs::stat("/").ok().map(|stat| Inode::of(&stat))
    }
}
