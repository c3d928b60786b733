//! redb 4: a B-tree, copied on write, with one writer at a time.
//!
//! A batch is a transaction that commits with `Durability::Immediate`; writers wait for each other, and there is no
//! group commit. Bulk filling commits with `Durability::None` and ends with one `Immediate` commit, which makes the
//! earlier ones durable.

use std::{ops::Range, path::Path};

use redb::{Database, Durability, ReadableDatabase, TableDefinition, TableError};

use super::{
    Log,
    kv::{Change, Kv, KvLog, STATE_INDEX},
    touch,
};
use crate::Result;

/// Opens a log in redb.
pub fn open(dir: &Path) -> Result<Box<dyn Log>> {
    Ok(Box::new(KvLog(Redb(Database::create(dir.join("log.redb"))?))))
}

struct Redb(Database);

/// The entries, by shard and index.
const ENTRIES: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("entries");

impl Kv for Redb {
    fn commit(&self, changes: &[Change], durable: bool) -> Result<()> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(if durable { Durability::Immediate } else { Durability::None })?;
        let mut entries = transaction.open_table(ENTRIES)?;
        for change in changes {
            match change {
                Change::Append { shard, index, payload } => drop(entries.insert((*shard, *index), *payload)?),
                Change::State { shard, state } => drop(entries.insert((*shard, STATE_INDEX), state.as_slice())?),
                Change::Compact { shard, indices } => {
                    entries.retain_in((*shard, indices.start)..(*shard, indices.end), |_, _| false)?;
                }
            }
        }
        drop(entries);
        Ok(transaction.commit()?)
    }

    fn bounds(&self, shard: u64) -> Result<Range<u64>> {
        let entries = match self.0.begin_read()?.open_table(ENTRIES) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(1..1),
            table => table?,
        };
        let mut entries = entries.range((shard, STATE_INDEX + 1)..=(shard, u64::MAX))?;
        let Some(first) = entries.next().transpose()?.map(|(key, _)| key.value().1) else { return Ok(1..1) };
        let last = entries.next_back().transpose()?.map(|(key, _)| key.value().1);
        Ok(first..last.unwrap_or(first) + 1)
    }

    fn read(&self, shard: u64, range: Range<u64>) -> Result<u64> {
        let entries = self.0.begin_read()?.open_table(ENTRIES)?;
        let mut count = 0;
        for entry in entries.range((shard, range.start)..(shard, range.end))? {
            touch(entry?.1.value());
            count += 1;
        }
        Ok(count)
    }

    fn method(&self) -> &'static str {
        "buffered, a transaction a batch"
    }
}
