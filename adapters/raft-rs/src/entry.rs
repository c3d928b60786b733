//! Converts entries between raft-rs and the engine, which stores their fields, not the protobuf message.

use std::ops::Range;

use logboom::{EntryBatch, EntryRef, Payload};
use protobuf::{CachedSize, Message, UnknownFields};
use raft::eraftpb::{Entry, EntryType};

/// The bit of a kind for the flag `sync_log`, which raft-rs still has and does not use.
const SYNC_LOG: u8 = 0x80;

/// The most bytes of an encoded entry besides its data and context.
const FRAME_BYTES_MAX: u64 = 64;

/// The entry as the engine takes it.
pub(crate) fn to_engine(entry: &Entry) -> logboom::Entry<'_> {
    let kind = match entry.entry_type {
        EntryType::EntryNormal => 0,
        EntryType::EntryConfChange => 1,
        EntryType::EntryConfChangeV2 => 2,
    };
    logboom::Entry {
        index: entry.index,
        term: entry.term,
        kind: kind | if entry.sync_log { SYNC_LOG } else { 0 },
        context: &entry.context,
        payload: Payload::Borrowed(&entry.data),
    }
}

/// The entries of a batch in `range`: as many from its beginning as encode to at most `max_bytes`, but at least one.
/// They share the batch's memory. `Err` has a kind that raft-rs does not know.
pub(crate) fn from_engine(batch: &EntryBatch, range: &Range<u64>, max_bytes: u64) -> Result<Vec<Entry>, u8> {
    let mut entries = Vec::with_capacity(batch.len());
    let wanted = batch.iter().filter(|entry| range.contains(&entry.index));
    let bound = batch.payload_bytes().saturating_add(batch.len() as u64 * FRAME_BYTES_MAX);
    // Almost always everything fits, which saves computing encoded lengths.
    if bound <= max_bytes {
        for entry in wanted {
            entries.push(one(&entry)?);
        }
        return Ok(entries);
    }
    let mut size = 0;
    for entry in wanted {
        let entry = one(&entry)?;
        size += u64::from(entry.compute_size());
        if size > max_bytes && !entries.is_empty() {
            break;
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn one(stored: &EntryRef<'_>) -> Result<Entry, u8> {
    let entry_type = match stored.kind & !SYNC_LOG {
        0 => EntryType::EntryNormal,
        1 => EntryType::EntryConfChange,
        2 => EntryType::EntryConfChangeV2,
        _ => return Err(stored.kind),
    };
    Ok(Entry {
        entry_type,
        term: stored.term,
        index: stored.index,
        data: stored.payload_shared(),
        context: stored.context_shared(),
        sync_log: stored.kind & SYNC_LOG != 0,
        unknown_fields: UnknownFields::default(),
        cached_size: CachedSize::default(),
    })
}
