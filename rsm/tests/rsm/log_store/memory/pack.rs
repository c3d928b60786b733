//! The packs of the log in memory.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use logboom_rsm::log_store::LogEntry;

pub(super) fn encode(first: u64, entries: &[LogEntry]) -> Vec<u8> {
    let mut body = first.to_le_bytes().to_vec();
    for entry in entries {
        body.extend(entry.term.to_le_bytes());
        body.extend((entry.context.len() as u64).to_le_bytes());
        body.extend((entry.payload.len() as u64).to_le_bytes());
        body.push(entry.kind);
        body.extend([&entry.context[..], &entry.payload].concat());
    }
    [&hash(&body)[..], &body].concat()
}

/// Whether the checksum matches, the index of the first entry, and the entries; `None` if the bytes do not add up.
pub(super) fn decode(pack: &[u8]) -> Option<(bool, u64, Vec<LogEntry>)> {
    let (sum, body) = pack.split_first_chunk::<8>()?;
    let (first, mut rest) = body.split_first_chunk::<8>()?;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (numbers, behind) = rest.split_first_chunk::<25>()?;
        let number = |at: usize| u64::from_le_bytes(numbers[at..at + 8].try_into().unwrap());
        let (context, behind) = behind.split_at_checked(number(8).try_into().ok()?)?;
        let (payload, behind) = behind.split_at_checked(number(16).try_into().ok()?)?;
        let (context, payload) = (Bytes::copy_from_slice(context), Bytes::copy_from_slice(payload));
        entries.push(LogEntry { term: number(0), kind: numbers[24], context, payload });
        rest = behind;
    }
    Some((hash(body) == *sum, u64::from_le_bytes(*first), entries))
}

fn hash(bytes: &[u8]) -> [u8; 8] {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish().to_le_bytes()
}
