//! Putting segment files aside: the log renames or removes files that it goes on without.

use std::io;

use logboom_disk::{Disk, Mode};

use crate::{
    segments::{
        segment::{aside_name, slot_name},
        slots::Failure,
    },
    types::error::Error,
};

/// A segment file that the log goes on without.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aside {
    pub(crate) slot: u32,
    /// The file holds nothing of the log, or the segment was freed: it is removed, not kept for inspection.
    pub(crate) is_empty: bool,
}

impl Aside {
    /// The file of a segment that was freed durably.
    pub(crate) fn freed(slot: u32) -> Self {
        Self { slot, is_empty: true }
    }
}

/// Renames or removes files that the log has gone on without, so that no later opening takes one for a missing segment.
/// If a file cannot be renamed, an empty file of the new name marks it.
///
/// # Errors
/// The first, after all were tried. The next opening reports a file again that is neither renamed nor marked.
pub(crate) fn put_aside(disk: &dyn Disk, aside: &[Aside]) -> Result<(), Failure> {
    let mut outcome = Ok(());
    for Aside { slot, is_empty } in aside {
        let name = slot_name(*slot);
        tracing::warn!(name, is_empty, "a segment file is put aside");
        let done = if *is_empty { disk.remove(&name) } else { disk.rename(&name, &aside_name(*slot)) };
        // Another caller may have removed it first.
        let done = if *is_empty { done.or_else(is_gone) } else { done };
        if let Err(error) = done {
            let marked = match disk.open(&aside_name(*slot), Mode::Create) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => Ok(()),
            };
            tracing::warn!(name, %error, is_marked = marked.is_ok(), "the file could not be renamed or removed");
            outcome = outcome.and(marked);
        }
    }
    if !aside.is_empty() {
        disk.sync_dir().map_err(Failure::Sync)?;
    }
    outcome.map_err(Failure::Write)
}

fn is_gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Whether an opening put a segment file aside that it could not rename. The marker is empty; a renamed file is not, as
/// empty ones are removed.
pub(crate) fn is_marked(disk: &dyn Disk, slot: u32) -> Result<bool, Error> {
    let name = aside_name(slot);
    let size = disk.open(&name, Mode::Read).and_then(|file| file.size());
    size.map(|size| size == 0).map_err(|error| Error::io(format!("opening {name}"), error))
}
