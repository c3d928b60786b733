//! `Place`: the path of a directory, and whether the directory is still there.

use std::path::{Path, PathBuf};

use rustix::{fs, io::Errno};

/// A path without links, below the root that the process had.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    root: Inode,
}

impl Place {
    /// The resolved `path`; `None` if it cannot be resolved for lack of permission.
    ///
    /// # Errors
    /// If the path does not exist.
    pub(crate) fn of(path: &Path) -> Result<Option<Self>, Errno> {
        let resolved = path.canonicalize().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
        match (resolved, Inode::root()) {
            (Err(Errno::NOENT | Errno::NOTDIR), _) => Err(Errno::NOENT),
            (Ok(path), Some(root)) => Ok(Some(Place { path, root })),
            _ => Ok(None),
        }
    }

    /// Why `dir` is not at this path any more; `None` if it is.
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

/// The identity of a file: device and inode number.
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
