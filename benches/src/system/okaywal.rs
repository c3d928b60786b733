//! okaywal 0.3: a write-ahead log for data that is stored elsewhere.
//!
//! A batch is one okaywal entry with a chunk for each change. A commit waits until it is synced, and one sync serves
//! all threads that wait. okaywal has no index, so reading an entry means recovering the whole log. Compacted entries
//! are gone when their file is recycled: the manager has nothing to keep.

use std::{ops::Range, path::Path};

use okaywal::{Configuration, EntryWriter, LogVoid, WriteAheadLog};

use super::{
    Log,
    kv::{Change, Kv, KvLog},
};
use crate::{Error, Result};

/// Opens a log in okaywal, with files as large as those of the other logs.
pub fn open(dir: &Path) -> Result<Box<dyn Log>> {
    let files = Configuration::default_for(dir).preallocate_bytes(FILE_BYTES).checkpoint_after_bytes(FILE_BYTES.into());
    Ok(Box::new(KvLog(Okaywal(files.open(LogVoid)?))))
}

const FILE_BYTES: u32 = 64 << 20;

struct Okaywal(WriteAheadLog);

impl Kv for Okaywal {
    /// Every commit is durable: okaywal has no other kind.
    fn commit(&self, changes: &[Change], _durable: bool) -> Result<()> {
        let mut entry = self.0.begin_entry()?;
        for change in changes {
            match change {
                Change::Append { shard, index, payload } => write(&mut entry, [*shard, *index], payload)?,
                Change::Compact { shard, indices } => write(&mut entry, [*shard, indices.end], &[])?,
                Change::State { shard, state } => write(&mut entry, [*shard, 0], state)?,
            }
        }
        entry.commit()?;
        Ok(())
    }

    fn bounds(&self, _shard: u64) -> Result<Range<u64>> {
        Err(unreadable())
    }

    fn read(&self, _shard: u64, _range: Range<u64>) -> Result<u64> {
        Err(unreadable())
    }

    fn method(&self) -> &'static str {
        "buffered, a sync for those that wait"
    }
}

fn write(entry: &mut EntryWriter<'_>, head: [u64; 2], body: &[u8]) -> Result<()> {
    use std::io::Write;
    let mut chunk = entry.begin_chunk(u32::try_from(size_of_val(&head) + body.len())?)?;
    for word in head {
        chunk.write_all(&word.to_le_bytes())?;
    }
    chunk.write_all(body)?;
    chunk.finish()?;
    Ok(())
}

fn unreadable() -> Error {
    "okaywal has no index to read by".into()
}
