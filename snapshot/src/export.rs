//! Exports a snapshot's files into a directory of the embedder.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    lease::Lease,
    name::check_name,
    progress::Progress,
    reader::Reader,
    stop::Stop,
};

impl Lease {
    /// Writes the snapshot's files into `dir`, which must not exist yet or be empty, under their names. Durable on
    /// return; after an error the written files are removed.
    ///
    /// # Errors
    /// As [`Lease::verify`].
    pub fn export(&self, dir: &Path, stop: &Stop, progress: &Progress) -> Result<()> {
        progress.set_total(self.manifest().bytes());
        export(self, dir, stop, progress)
    }
}

/// Writes all files into `dir`. Removes them again after an error.
pub(crate) fn export(lease: &Lease, dir: &Path, stop: &Stop, progress: &Progress) -> Result<()> {
    let made = make_empty(dir)?;
    let exported = write_files(lease, dir, stop, progress).and_then(|()| if made { sync_name(dir) } else { Ok(()) });
    if exported.is_err() {
        // The embedder has to remove files that cannot be removed here.
        drop(remove_content(dir));
        if made {
            drop(fs::remove_dir(dir));
        }
    }
    exported
}

/// Creates the directory, or checks that it is empty. Returns whether it was created.
fn make_empty(dir: &Path) -> Result<bool> {
    let failed = |error| Error::io(format!("making {}", dir.display()), error);
    match fs::create_dir(dir) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::read_dir(dir).map_err(failed)?.next() {
            Some(_) => Err(failed(io::ErrorKind::DirectoryNotEmpty.into())),
            None => Ok(false),
        },
        Err(error) => Err(failed(error)),
    }
}

fn remove_content(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
    }
    Ok(())
}

fn write_files(lease: &Lease, dir: &Path, stop: &Stop, progress: &Progress) -> Result<()> {
    let mut folders = vec![dir.to_path_buf()];
    for (number, info) in (0..).zip(&lease.manifest().files) {
        // The name was checked when the manifest was read; that check alone protects the file system.
        check_name(&info.name)?;
        let path = dir.join(&info.name);
        let failed = |error| Error::io(format!("writing {}", path.display()), error);
        make_folders(dir, &info.name, &mut folders).map_err(failed)?;
        // The directory was empty, so an existing file appeared since: it is neither overwritten nor followed.
        let mut file = File::create_new(&path).map_err(failed)?;
        copy(&mut Reader::new(lease.clone(), number), stop, progress, |bytes| file.write_all(bytes).map_err(failed))?;
        file.sync_all().map_err(failed)?;
    }
    let synced = folders.iter().try_for_each(|folder| File::open(folder)?.sync_all());
    synced.map_err(|error| Error::io(format!("syncing {}", dir.display()), error))
}

/// Makes the directory's own name durable.
fn sync_name(dir: &Path) -> Result<()> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(parent).and_then(|parent| parent.sync_all());
    synced.map_err(|error| Error::io(format!("syncing {}", parent.display()), error))
}

fn make_folders(dir: &Path, name: &str, folders: &mut Vec<PathBuf>) -> io::Result<()> {
    let above = name.match_indices('/').map(|(at, _)| dir.join(&name[..at]));
    for folder in above {
        if !folders.contains(&folder) {
            fs::create_dir(&folder)?;
            folders.push(folder);
        }
    }
    Ok(())
}

fn copy(
    reader: &mut Reader,
    stop: &Stop,
    progress: &Progress,
    mut write: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    while reader.fill()? {
        stop.check()?;
        write(reader.rest())?;
        progress.add(reader.pass_block()?.unwrap_or(0) as u64);
    }
    Ok(())
}
