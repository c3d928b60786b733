//! `Place`: the directory for the logs of a run, and its removal.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

use rustix::fs::statfs;

use crate::{Error, Result};

/// A directory for this run, removed with everything in it when dropped.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
}

impl Place {
    /// Makes a fresh directory in `parent` or, without one, beside the executable: the build is there, so the user has
    /// chosen this disk to write gigabytes to.
    ///
    /// # Errors
    /// If the file system is in memory: figures from there say nothing about a disk.
    pub fn new(parent: Option<&Path>) -> Result<Self> {
        let parent = match parent {
            Some(parent) => parent.to_owned(),
            None => beside_the_build()?,
        };
        fs::create_dir_all(&parent).map_err(|error| at(&parent, &error))?;
        if matches!(statfs(&parent)?.f_type, TMPFS | RAMFS) {
            return Err(format!("{} is in memory; name a directory on a disk with --dir", parent.display()).into());
        }
        remove_leftovers(&parent);
        let path = parent.join(format!("{PREFIX}{}", process::id()));
        fs::create_dir_all(&path).map_err(|error| at(&path, &error))?;
        Ok(Place { path: path.canonicalize()? })
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes an empty directory `name` in it; an old one is removed first.
    pub fn fresh(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        self.clear(name)?;
        fs::create_dir(&path).map_err(|error| at(&path, &error))?;
        Ok(path)
    }

    /// Removes the directory `name` in it, if there is one.
    pub fn clear(&self, name: &str) -> Result<()> {
        match fs::remove_dir_all(self.path.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(&self.path.join(name), &error)),
            _ => Ok(()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{} is left behind: {error}", self.path.display());
        }
    }
}

const PREFIX: &str = "logboom-bench-";

/// `TMPFS_MAGIC` and `RAMFS_MAGIC` of `linux/magic.h`.
const TMPFS: i64 = 0x0102_1994;
const RAMFS: i64 = 0x8584_58f6;

fn beside_the_build() -> Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let folder = executable.parent().ok_or("the executable is in no directory")?;
    Ok(folder.join("bench-data"))
}

/// Removes the directories of killed runs, whose processes no longer exist.
fn remove_leftovers(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists())
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            eprintln!("{} is left behind: {error}", entry.path().display());
        }
    }
}

fn at(path: &Path, error: &std::io::Error) -> Error {
    format!("{}: {error}", path.display()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_goes_with_its_files_and_with_those_of_the_dead() {
        let parent = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
        let dead = parent.path().join(format!("{PREFIX}{}", u32::MAX));
        fs::create_dir(&dead).unwrap();
        let place = Place::new(Some(parent.path())).unwrap();
        assert!(!dead.exists());
        let fresh = place.fresh("round").unwrap();
        fs::write(fresh.join("file"), "x").unwrap();
        assert_eq!(place.fresh("round").unwrap(), fresh);
        assert!(!fresh.join("file").exists());
        let path = place.path().to_owned();
        drop(place);
        assert!(!path.exists());
    }
}
