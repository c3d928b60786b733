//! `Draft`: a container that is written under a temporary name and then renamed.

use std::{io, sync::Arc};

use logboom_disk::{File, Mode, Slice};

use crate::{
    built::Built,
    error::{Error, Result},
    header::Header,
    manifest::{Manifest, padded},
    medium::complete_name,
    mutants,
    opened::Opened,
    pipe::Pipe,
    registered::Registered,
    shared::Shared,
};

/// The most bytes of a manifest per write.
const PIECE: usize = 512 << 10;

/// A container that is being written. Dropping it removes the file.
#[derive(Debug)]
pub(crate) struct Draft {
    shared: Arc<Shared>,
    file: Arc<dyn File>,
    number: u64,
    /// The file's current name; empty once the draft must not remove it any more.
    name: String,
    pipe: Option<Pipe>,
}

impl Draft {
    /// Makes an empty file whose name begins with `prefix`.
    pub(crate) fn new(shared: &Arc<Shared>, prefix: &str) -> Result<Self> {
        let number = shared.take_number();
        let name = format!("{prefix}{number:016x}");
        let made = shared.medium.disk.open(&name, Mode::Create);
        let file = made.map_err(|error| {
            shared.free_number(number);
            Error::io(format!("making {name}"), error)
        })?;
        let pipe = Pipe::new(&*shared.medium.disk, Arc::clone(&file), shared.medium.pad() as u64);
        Ok(Self { shared: Arc::clone(shared), file, number, name, pipe: Some(pipe) })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Reserves the space for a container of this manifest.
    pub(crate) fn reserve(&mut self, manifest: &Manifest, manifest_len: usize) -> Result<()> {
        let pad = self.shared.medium.pad() as u64;
        let blocks = manifest.blocks.iter().map(|block| padded(block.stored, pad));
        let size = pad + blocks.sum::<u64>() + (manifest_len as u64).next_multiple_of(pad);
        self.pipe()?.reserve(size)
    }

    /// Writes whole pad units behind what was written before.
    pub(crate) fn write(&mut self, slice: Slice) -> Result<()> {
        self.pipe()?.write(slice)
    }

    /// Completes the container: manifest, then header, then sync, then its name. Durable on return.
    pub(crate) fn publish(mut self, manifest: Manifest, manifest_bytes: Vec<u8>) -> Result<Built> {
        let (shared, pad) = (Arc::clone(&self.shared), self.shared.medium.pad());
        let manifest_at = self.pipe()?.end();
        for piece in manifest_bytes.chunks(PIECE) {
            self.write(Slice::padded_copy(&shared.medium.pool, piece, pad))?;
        }
        let registered = Registered {
            index: manifest.index,
            term: manifest.term,
            id: manifest.id,
            file: self.number,
            manifest_crc: crc32fast::hash(&manifest_bytes),
        };
        let header = Header {
            shard: manifest.shard,
            registered,
            pad: u32::try_from(pad).unwrap_or(u32::MAX),
            manifest_at,
            manifest_len: manifest_bytes.len() as u64,
        };
        let beginning = Slice::padded_copy(&shared.medium.pool, &header.encode(shared.medium.log), pad);
        // Nothing is in flight after this; the queue is dropped with it.
        self.pipe.take().ok_or_else(over)?.finish(beginning)?;
        self.name_it()?;
        let opened = Opened::new(Arc::clone(&self.file), Arc::new(manifest), manifest_bytes.into(), pad);
        let opened = Arc::new(opened);
        let entry = shared.add_unclaimed(opened.manifest.shard, registered, &opened);
        // From here on the file belongs to the snapshot.
        self.name.clear();
        Ok(Built::new(shared, entry, opened))
    }

    /// Syncs the file and then renames it: its content must be durable before its final name exists.
    fn name_it(&mut self) -> Result<()> {
        if !mutants::is_on("SnapshotNotSynced") {
            self.file.sync_all().map_err(|error| self.sync_failed("syncing a snapshot", error))?;
        }
        let name = complete_name(self.number);
        let disk = &self.shared.medium.disk;
        disk.rename(&self.name, &name).map_err(|error| Error::io(format!("renaming {}", self.name), error))?;
        self.name = name;
        if mutants::is_on("SnapshotNameNotSynced") {
            return Ok(());
        }
        disk.sync_dir().map_err(|error| self.sync_failed("syncing the directory for a snapshot", error))
    }

    fn sync_failed(&self, what: &'static str, error: io::Error) -> Error {
        self.shared.host.sync_failed(what, &error);
        Error::Sync { what: what.into(), error: error.into() }
    }

    fn pipe(&mut self) -> Result<&mut Pipe> {
        self.pipe.as_mut().ok_or_else(over)
    }
}

/// Unreachable: publishing consumes the draft.
fn over() -> Error {
    Error::io("writing a snapshot", io::Error::other("it is complete already"))
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.name.is_empty() {
            return;
        }
        // Waits for operations in flight: nothing may be written to a removed file.
        self.pipe = None;
        // A file that cannot be removed now is removed when the log is opened again.
        drop(self.shared.medium.disk.remove(&self.name));
        self.shared.free_number(self.number);
    }
}
