//! fjall 3: an LSM tree behind a journal.
//!
//! A batch is written to the journal and synced with `fdatasync` under the journal's lock, so each batch has its own
//! sync, without group commit. Values from 1 KiB on are stored apart from keys, as fjall's documentation advises for
//! large ones; nothing is compressed.

use std::{ops::Range, path::Path};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};

use super::{
    Log,
    kv::{Change, Kv, KvLog, STATE_INDEX},
    touch,
};
use crate::Result;

/// Opens a log in fjall.
pub fn open(dir: &Path) -> Result<Box<dyn Log>> {
    let database = Database::builder(dir).open()?;
    let separated = || KeyspaceCreateOptions::default().with_kv_separation(Some(KvSeparationOptions::default()));
    let entries = database.keyspace("entries", separated)?;
    Ok(Box::new(KvLog(Fjall { database, entries })))
}

struct Fjall {
    database: Database,
    entries: Keyspace,
}

impl Kv for Fjall {
    fn commit(&self, changes: &[Change], durable: bool) -> Result<()> {
        let mut batch = self.database.batch().durability(durable.then_some(PersistMode::SyncData));
        for change in changes {
            match change {
                Change::Append { shard, index, payload } => batch.insert(&self.entries, key(*shard, *index), *payload),
                Change::State { shard, state } => {
                    batch.insert(&self.entries, key(*shard, STATE_INDEX), state.as_slice());
                }
                Change::Compact { shard, indices } => {
                    indices.clone().for_each(|index| batch.remove(&self.entries, key(*shard, index)));
                }
            }
        }
        Ok(batch.commit()?)
    }

    fn bounds(&self, shard: u64) -> Result<Range<u64>> {
        let mut entries = self.entries.range(key(shard, STATE_INDEX + 1)..=key(shard, u64::MAX));
        let Some(first) = entries.next().map(|entry| index(&entry.key()?)).transpose()? else { return Ok(1..1) };
        let last = entries.next_back().map(|entry| index(&entry.key()?)).transpose()?;
        Ok(first..last.unwrap_or(first) + 1)
    }

    fn read(&self, shard: u64, range: Range<u64>) -> Result<u64> {
        let mut count = 0;
        for entry in self.entries.range(key(shard, range.start)..key(shard, range.end)) {
            touch(&entry.value()?);
            count += 1;
        }
        Ok(count)
    }

    fn method(&self) -> &'static str {
        "buffered, fdatasync a batch"
    }
}

/// A key by which the entries of a shard are adjacent and in order.
#[expect(clippy::big_endian_bytes, reason = "keys are compared byte by byte")]
fn key(shard: u64, index: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&shard.to_be_bytes());
    key[8..].copy_from_slice(&index.to_be_bytes());
    key
}

#[expect(clippy::big_endian_bytes, reason = "see `key`")]
fn index(key: &[u8]) -> Result<u64> {
    Ok(u64::from_be_bytes(key.get(8..).ok_or("a short key")?.try_into()?))
}
