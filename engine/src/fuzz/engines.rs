//! An engine on a directory with anything in it: looked at, opened, read, written to, and opened again.

use std::{ops::Range, sync::Arc};

use logboom_snapshot::EntryId;
use logboom_wal::{
    ManualClock, Runtime,
    fuzz::{Bounds, Input, MemoryDisk, Meter, edit},
};

use super::fixtures::{SHARDS, choose, config, payload};
use crate::{
    engine::Engine,
    read::{entries::EntryBatch, shard::Shard},
    recovery::open,
    types::ids::ShardId,
};

/// Entries that are read at each end of a shard: an index may say that there are billions.
const READ: u64 = 40;
/// Bytes that one read asks for.
const READ_BYTES: u64 = 8 << 10;

/// What opening an engine and reading at both ends of every shard may take.
const BOUNDS: Bounds = Bounds { allocated_per_byte: 24, allocated: 4 << 20, read_per_byte: 24 };

/// Opens a directory that was written by an engine and then edited.
///
/// A view of it, another view, and an engine agree on what is there; without forged checksums every entry is one that
/// was written; and what is written after opening is there when it is opened again.
pub(super) fn open_edited(mut input: Input<'_>, meter: Meter<'_>) {
    let fixture = choose(input.byte());
    let mut image = fixture.now.clone();
    let sealed = edit(&mut image, &fixture.older, &mut input);
    let disk = MemoryDisk::new(image);
    let seen = BOUNDS.check(&disk, meter, || look(&disk, sealed));
    assert_eq!(look(&disk, sealed), seen, "looked at twice");
    let existed = disk.has("LOGBOOM");
    let opened = Engine::open_on(Arc::clone(&disk) as _, config(), Runtime::Manual(ManualClock::new(9)));
    let written = match &opened {
        Ok(engine) => Ok(describe(engine.shards(), |id| engine.shard(id), sealed)),
        Err(error) => Err(format!("{error:#}")),
    };
    // Where files are not of the log, what is its own can be read, and nothing written.
    let is_refused = written.as_ref().is_err_and(|error| {
        // Numbers that no log comes to, but a forged file may.
        error.starts_with("the log's identity") || error.ends_with("no number left for another segment")
    });
    if existed && !is_refused {
        assert_eq!(written, seen, "opened for writing");
    }
    let Ok(engine) = opened else { return };
    if !go_on(&engine) || sealed {
        return;
    }
    let now = describe(engine.shards(), |id| engine.shard(id), sealed);
    if engine.close().is_err() {
        return;
    }
    assert_eq!(look(&disk, sealed), Ok(now), "opened again");
}

/// What there is of each shard, in words.
fn look(disk: &Arc<MemoryDisk>, sealed: bool) -> Result<Vec<String>, String> {
    let (store, ..) = open::view(Arc::clone(disk) as _, &config()).map_err(|error| format!("{error:#}"))?;
    let shard = |id| Shard::new(Arc::clone(&store), id);
    Ok(describe(store.shard_ids(), shard, sealed))
}

fn describe(ids: Vec<ShardId>, shard: impl Fn(ShardId) -> Shard, sealed: bool) -> Vec<String> {
    ids.into_iter()
        .map(|id| {
            let shard = shard(id);
            let state = (shard.hard_state(), shard.commit_hint(), shard.scan(..));
            let entries = entries(&shard, sealed);
            format!("{id:?} {:?} {:?} {state:?} {entries}", shard.bounds(), shard.boundary())
        })
        .collect()
}

/// The first and the last entries of a shard.
fn entries(shard: &Shard, sealed: bool) -> String {
    let (Some(first), Some(last)) = (shard.first(), shard.last()) else { return String::new() };
    let mut told = String::new();
    for range in [first..(first + READ).min(last + 1), last.saturating_sub(READ).max(first)..last + 1] {
        let mut next = range.start;
        while next < range.end {
            match shard.entries(next..range.end, READ_BYTES) {
                Ok(entries) => {
                    check(shard, &entries, &(next..range.end), sealed);
                    next += entries.len() as u64;
                    told += &format!("{:x} ", hash(&entries));
                }
                Err(error) => {
                    told += &format!("{error:#}");
                    break;
                }
            }
        }
    }
    told
}

fn check(shard: &Shard, entries: &EntryBatch, asked: &Range<u64>, sealed: bool) {
    assert!(!entries.is_empty() && entries.len() as u64 <= asked.end - asked.start);
    for (entry, index) in entries.iter().zip(asked.clone()) {
        assert_eq!(entry.index, index);
        if !sealed && SHARDS.contains(&shard.id().0) {
            assert_eq!(shard.term(index).ok(), Some(entry.term), "{shard:?} {index}");
            assert_eq!(entry.payload, payload(shard.id(), index, entry.term), "{shard:?} {index}");
        }
    }
}

fn hash(entries: &EntryBatch) -> u32 {
    entries.iter().fold(0, |hash, entry| {
        let bytes = entry.payload.iter().chain(entry.context).chain([&entry.kind]);
        bytes.fold(hash.wrapping_mul(31) ^ entry.term as u32, |hash, byte| hash.wrapping_mul(31) ^ u32::from(*byte))
    })
}

/// Appends to every shard that takes it, and changes what else it has. Returns whether all of it is durable.
fn go_on(engine: &Engine) -> bool {
    for shard in SHARDS.map(ShardId) {
        let index = engine.shard(shard).next().unwrap_or(1);
        let mut batch = engine.batch();
        if batch
            .append_payload(shard, EntryId { index, term: 77 }, bytes::Bytes::from(payload(shard, index, 77)))
            .is_err()
            || batch.hard_state(shard, b"later").is_err()
            || engine.write(batch).is_err()
        {
            return false;
        }
    }
    true
}
