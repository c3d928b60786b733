//! A local directory, beside what `object_store` does for it.

mod file;

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use logboom_logtail_core::store::{Marker, Name, Urgency};
use parking_lot::Mutex;

/// A directory with objects.
///
/// `object_store` reads and lists them. What it would put it would sync as a whole, and it does not sync a folder that
/// another put created a moment before and has not synced yet, so a put could be answered that a power cut loses
/// together with its folder. Here folders are created, and synced, before the first put into them is made.
#[derive(Debug)]
pub(crate) struct LocalDirectory {
    root: PathBuf,
    /// Folders that are durable.
    folders: Mutex<HashSet<PathBuf>>,
}

impl LocalDirectory {
    /// The directory, which is there.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        Ok(Self { root: root.canonicalize()?, folders: Mutex::default() })
    }

    /// The directory, durably there; with those above it that were missing. For the owner alone where it is new.
    pub(crate) fn create(root: &Path) -> io::Result<Self> {
        let root = std::path::absolute(root)?;
        let new = root.ancestors().take_while(|ancestor| !ancestor.exists()).count();
        DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        // Those that are new, and the one that has the topmost of them.
        for folder in root.ancestors().take(new + 1) {
            sync_folder(folder)?;
        }
        Self::open(&root)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the directory is the one that was opened, and not, say, the mount point of a file system that is gone.
    pub(crate) fn has_marker(&self) -> bool {
        self.root.join(Marker::NAME).exists()
    }

    /// The size of an object.
    pub(crate) fn size(&self, name: &Name) -> io::Result<u64> {
        Ok(fs::metadata(self.path(name))?.len())
    }

    /// Makes the folders of the name durable.
    fn create_folders(&self, name: &Name) -> io::Result<()> {
        let path = self.path(name);
        let folders = path.ancestors().skip(1).take_while(|folder| *folder != self.root);
        let mut durable = self.folders.lock();
        let new: Vec<&Path> = folders.take_while(|folder| !durable.contains(*folder)).collect();
        for folder in new.into_iter().rev() {
            match DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => sync_folder(folder.parent().unwrap_or(&self.root))?,
            }
            durable.insert(folder.to_path_buf());
        }
        Ok(())
    }

    /// Creates an object, which is durable then.
    pub(crate) fn put(&self, name: &Name, bytes: &[u8], urgency: Urgency) -> io::Result<()> {
        let path = self.path(name);
        self.create_folders(name)?;
        let staged = match stage(&path) {
            // Somebody has removed a folder, or it was a file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.folders.lock().retain(|folder| !path.starts_with(folder));
                self.create_folders(name)?;
                stage(&path)
            }
            staged => staged,
        };
        let (file, staged) = staged?;
        let put = file::write(&file, bytes, urgency).and_then(|()| fs::hard_link(&staged, &path));
        // One that stays is swept at the next opening.
        _ = fs::remove_file(&staged);
        put?;
        sync_folder(path.parent().unwrap_or(&self.root))
    }

    /// Makes an object durable whose put was not answered: its name may be there without having been synced.
    pub(crate) fn sync(&self, name: &Name) -> io::Result<()> {
        let path = self.path(name);
        File::open(&path)?.sync_all()?;
        self.create_folders(name)?;
        sync_folder(path.parent().unwrap_or(&self.root))
    }

    /// Removes files that a crash left while they were being written. What cannot be removed stays, and takes space:
    /// listings leave such names out.
    pub(crate) fn sweep(&self) {
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    Ok(kind) if kind.is_file() && is_staged(&entry.file_name().to_string_lossy()) => {
                        _ = fs::remove_file(entry.path());
                    }
                    _ => {}
                }
            }
        }
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.root.join(name.as_str())
    }
}

/// A new file beside the one of an object.
fn stage(path: &Path) -> io::Result<(File, PathBuf)> {
    let mut number: u64 = 1;
    loop {
        let mut staged = path.as_os_str().to_owned();
        staged.push(format!("#{number}"));
        let staged = PathBuf::from(staged);
        match File::create_new(&staged) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            file => return Ok((file?, staged)),
        }
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Whether the file is one that was being written: the name of the object, `#` and a number.
fn is_staged(file: &str) -> bool {
    let Some((name, number)) = file.rsplit_once('#') else { return false };
    Name::new(name).is_ok() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staged_files_are_told_from_all_others() {
        assert!(is_staged("a.parquet#1") && is_staged("LOGBOOM#12"));
        assert!(
            !is_staged("a.parquet") && !is_staged("a#") && !is_staged("#1") && !is_staged("a#b") && !is_staged("a b#1")
        );
    }
}
