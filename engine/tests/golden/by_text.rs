//! Reads a directory by `wal/FORMAT.md` and `engine/FORMAT.md` alone: by offsets as they stand in the tables there, and
//! by nothing of the crates that write it.

use std::{fs, ops::Range, path::Path};

use crc32fast::Hasher;

/// A checkpoint, and what each part of its body says.
#[derive(Debug)]
pub(super) struct Checkpoint {
    pub(super) replay_from: u64,
    /// Ids of the segments that it names.
    pub(super) segments: Vec<u64>,
    pub(super) damages: Vec<Damage>,
    /// If shards that nothing is known of are held back: as of which record, and which are known to hold nothing.
    pub(super) held_back: Option<(u64, Vec<u64>)>,
    pub(super) snapshots: Vec<Snapshots>,
    pub(super) shards: Vec<Shard>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Damage {
    pub(super) shard: u64,
    pub(super) entries: Vec<Range<u64>>,
    pub(super) hard_state: u64,
    pub(super) keys: u32,
    pub(super) suffix: u8,
}

#[derive(Debug, PartialEq)]
pub(super) struct Snapshots {
    pub(super) shard: u64,
    pub(super) registered: Vec<Registered>,
    pub(super) lost: u64,
}

#[derive(Debug, PartialEq)]
pub(super) struct Registered {
    pub(super) index: u64,
    pub(super) term: u64,
    pub(super) id: u64,
    pub(super) file: u64,
    pub(super) manifest_crc: u32,
}

#[derive(Debug, PartialEq)]
pub(super) struct Shard {
    pub(super) shard: u64,
    pub(super) sequence: u64,
    pub(super) log: Range<u64>,
    pub(super) boundary_term: Option<u64>,
    pub(super) hard_state: Option<String>,
    pub(super) commit_hint: Option<String>,
    pub(super) terms: Vec<(u64, u64)>,
    pub(super) keys: Vec<(String, String)>,
}

/// What the footer of a segment lists.
#[derive(Debug, PartialEq)]
pub(super) struct Footer {
    pub(super) segment: u64,
    /// What stands behind `moved.`, in a cold segment.
    pub(super) live_before: Option<u64>,
    pub(super) ranges: Vec<ListedRange>,
}

#[derive(Debug, PartialEq)]
pub(super) struct ListedRange {
    pub(super) shard: u64,
    pub(super) entries: Range<u64>,
    pub(super) bytes: u32,
    /// First entry, offset in the segment and length of each record.
    pub(super) places: Vec<(u64, usize, usize)>,
}

/// A record, wherever it was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) sequence: u64,
    pub(super) kind: u8,
    pub(super) owner: u64,
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) attribute: u64,
    pub(super) body: Vec<u8>,
}

/// The identity of a log: what its checksums are seeded with, and its unit.
struct Identity {
    seed: u32,
    pad: usize,
}

fn identity(dir: &Path) -> Identity {
    let bytes = fs::read(dir.join("LOGBOOM")).unwrap();
    assert_eq!(&bytes[..8], b"LOGBOOM\0");
    assert!([1, 2].contains(&u32_at(&bytes, 8)));
    assert_eq!(u32_at(&bytes, 60), crc(0, &bytes[..60]));
    Identity { seed: crc(0, &bytes[24..40]), pad: usize_at(&bytes, 12) }
}

/// The newer of the two checkpoints.
pub(super) fn checkpoint(dir: &Path) -> Checkpoint {
    let Identity { seed, pad } = identity(dir);
    let slots = ["checkpoint-0", "checkpoint-1"].map(|name| fs::read(dir.join(name)).unwrap());
    let newest = slots.iter().max_by_key(|slot| u64_at(slot, 8)).unwrap();
    assert_eq!((u32_at(newest, 0), &newest[4..8]), (crc(seed, &newest[4..64]), &b"LBCP"[..]));
    let content = &newest[pad..][..usize::try_from(u64_at(newest, 32)).unwrap()];
    assert_eq!(u32_at(newest, 40), crc(0, content));
    let rows = usize::try_from(u64_at(newest, 24)).unwrap();
    let (segments, body) = content.split_at(64 * rows);
    let mut checkpoint = Checkpoint {
        replay_from: u64_at(newest, 16),
        segments: segments.chunks(64).map(|row| u64_at(row, 0)).collect(),
        damages: Vec::new(),
        held_back: None,
        snapshots: Vec::new(),
        shards: Vec::new(),
    };
    let rest = match section(body, b"damage\x01\0") {
        Some((archive, rest)) => {
            damages(archive, &mut checkpoint);
            rest
        }
        None => body,
    };
    let rest = match section(rest, b"snapsh\x01\0") {
        Some((archive, rest)) => {
            checkpoint.snapshots = snapshots(archive);
            rest
        }
        None => rest,
    };
    checkpoint.shards = shards(rest.strip_prefix(b"chkpnt\x01\0").unwrap());
    checkpoint
}

/// The archive of a section, and what stands behind the section.
fn section<'b>(bytes: &'b [u8], word: &[u8; 8]) -> Option<(&'b [u8], &'b [u8])> {
    let behind = bytes.strip_prefix(word)?;
    let len = usize::try_from(u64_at(behind, 0)).unwrap();
    let end = (16 + len).next_multiple_of(16);
    zeros(&bytes[16 + len..end]);
    Some((&bytes[16..16 + len], &bytes[end..]))
}

fn damages(archive: &[u8], checkpoint: &mut Checkpoint) {
    let root = archive.len() - 32;
    let row = |at: usize| {
        zeros(&archive[at + 29..at + 32]);
        Damage {
            shard: u64_at(archive, at),
            entries: list(archive, at + 8, 16).map(|at| u64_at(archive, at)..u64_at(archive, at + 8)).collect(),
            hard_state: u64_at(archive, at + 16),
            keys: u32_at(archive, at + 24),
            suffix: archive[at + 28],
        }
    };
    checkpoint.damages = list(archive, root, 32).map(row).collect();
    zeros(&archive[root + 9..root + 16]);
    let empty = list(archive, root + 24, 8).map(|at| u64_at(archive, at)).collect();
    checkpoint.held_back = (archive[root + 8] == 1).then(|| (u64_at(archive, root + 16), empty));
}

fn snapshots(archive: &[u8]) -> Vec<Snapshots> {
    let registered = |at: usize| {
        zeros(&archive[at + 36..at + 40]);
        Registered {
            index: u64_at(archive, at),
            term: u64_at(archive, at + 8),
            id: u64_at(archive, at + 16),
            file: u64_at(archive, at + 24),
            manifest_crc: u32_at(archive, at + 32),
        }
    };
    let row = |at: usize| Snapshots {
        shard: u64_at(archive, at),
        registered: list(archive, at + 8, 40).map(registered).collect(),
        lost: u64_at(archive, at + 16),
    };
    list(archive, archive.len() - 8, 24).map(row).collect()
}

fn shards(archive: &[u8]) -> Vec<Shard> {
    let root = archive.len() - 32;
    let terms: Vec<usize> = list(archive, root + 8, 16).collect();
    let keys: Vec<usize> = list(archive, root + 16, 8).collect();
    let bytes: Vec<u8> = list(archive, root + 24, 1).map(|at| archive[at]).collect();
    let (mut byte, mut term, mut key) = (0, 0, 0);
    let mut text = |end: usize| {
        let text = String::from_utf8(bytes[byte..end].to_vec()).unwrap();
        byte = end;
        text
    };
    let mut shards = Vec::new();
    for at in list(archive, root, 64) {
        zeros(&archive[at + 43..at + 44]);
        zeros(&archive[at + 60..at + 64]);
        let (hard_state, commit_hint) = (text(usize_at(archive, at + 44)), text(usize_at(archive, at + 48)));
        let (terms_end, keys_end) = (usize_at(archive, at + 52), usize_at(archive, at + 56));
        shards.push(Shard {
            shard: u64_at(archive, at),
            sequence: u64_at(archive, at + 8),
            log: u64_at(archive, at + 16)..u64_at(archive, at + 24),
            boundary_term: flag(archive, at + 40).then(|| u64_at(archive, at + 32)),
            hard_state: flag(archive, at + 41).then_some(hard_state),
            commit_hint: flag(archive, at + 42).then_some(commit_hint),
            terms: terms[term..terms_end].iter().map(|&at| (u64_at(archive, at), u64_at(archive, at + 8))).collect(),
            keys: keys[key..keys_end]
                .iter()
                .map(|&at| (text(usize_at(archive, at)), text(usize_at(archive, at + 4))))
                .collect(),
        });
        (term, key) = (terms_end, keys_end);
    }
    assert_eq!((term, key, byte), (terms.len(), keys.len(), bytes.len()), "all of it is some shard's");
    shards
}

/// The footers of all segments, by the segment's id.
pub(super) fn footers(dir: &Path) -> Vec<Footer> {
    let Identity { seed, pad } = identity(dir);
    let mut footers: Vec<Footer> =
        files(dir, "segment-").iter().filter_map(|(_, segment)| footer(segment, seed, pad)).collect();
    footers.sort_by_key(|footer| footer.segment);
    footers
}

fn footer(segment: &[u8], seed: u32, pad: usize) -> Option<Footer> {
    let trailer = &segment[segment.len() - 64..];
    if u32_at(trailer, 0) != crc(seed, &trailer[4..]) {
        return None;
    }
    assert_eq!(&trailer[4..8], b"LBFT");
    let (body_len, head_len) = (usize_at(trailer, 36), usize_at(trailer, 44));
    let head_at = (segment.len() - 64 - head_len) / pad * pad;
    let body_at = head_at - body_len.next_multiple_of(pad);
    let (head, body) = (&segment[head_at..head_at + head_len], &segment[body_at..body_at + body_len]);
    assert_eq!((u32_at(trailer, 48), u32_at(trailer, 40)), (crc(0, head), crc(0, body)));
    let (live_before, head) = match head.strip_prefix(b"moved.\x01\0") {
        Some(behind) => (Some(u64_at(behind, 0)), &behind[8..]),
        None => (None, head),
    };
    let (head, body) = (head.strip_prefix(b"footer\x02\0").unwrap(), body.strip_prefix(b"places\x01\0").unwrap());
    let rows: Vec<usize> = list(body, body.len() - 8, 12).collect();
    let range = |at: usize| {
        let (first, rows_at) = (u64_at(head, at + 8), usize_at(head, at + 20));
        let place =
            |&at: &usize| (first + u64::from(u32_at(body, at)), 8 * usize_at(body, at + 4), 8 * usize_at(body, at + 8));
        ListedRange {
            shard: u64_at(head, at),
            entries: first..first + u64::from(u32_at(head, at + 16)),
            bytes: u32_at(head, at + 28),
            places: rows[rows_at..][..usize_at(head, at + 24)].iter().map(place).collect(),
        }
    };
    let ranges = list(head, head.len() - 8, 32).map(range).collect();
    Some(Footer { segment: u64_at(trailer, 8), live_before, ranges })
}

/// The intact record that begins at an offset of a segment.
pub(super) fn record(dir: &Path, segment: u64, offset: usize) -> Record {
    let files = files(dir, "segment-");
    let (_, bytes) = files.iter().find(|(_, bytes)| u64_at(bytes, 8) == segment).unwrap();
    record_at(bytes, offset, identity(dir).seed).unwrap()
}

/// Every intact record of the log, by sequence: records stand at multiples of 8.
pub(super) fn records(dir: &Path) -> Vec<Record> {
    let seed = identity(dir).seed;
    let mut records = Vec::new();
    for (_, bytes) in files(dir, "segment-") {
        records.extend((0..bytes.len()).step_by(8).filter_map(|at| record_at(&bytes, at, seed)));
    }
    records.sort_by_key(|record| record.sequence);
    records
}

fn record_at(segment: &[u8], at: usize, seed: u32) -> Option<Record> {
    let header = segment.get(at..at + 64)?;
    let body = segment.get(at + 64..)?.get(..usize_at(header, 52))?;
    if u32_at(header, 0) != crc(seed, &header[4..]) || u32_at(header, 4) != crc(0, body) {
        return None;
    }
    Some(Record {
        sequence: u64_at(header, 16),
        kind: header[56],
        owner: u64_at(header, 8),
        first: u64_at(header, 32),
        count: u32_at(header, 48),
        attribute: u64_at(header, 40),
        body: body.to_vec(),
    })
}

/// Kind, context and payload of each entry of a record of kind 1 or 10.
pub(super) fn entries(record: &Record) -> Vec<(u8, String, String)> {
    let (table, bytes) = record.body.split_at(8 * usize::try_from(record.count).unwrap());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut begin = 0;
    let mut entry = |row: &[u8]| {
        let (context, payload) =
            bytes[begin..usize_at(row, 0)].split_at(usize::from(row[4]) | usize::from(row[5]) << 8);
        begin = usize_at(row, 0);
        zeros(&row[7..]);
        (row[6], text(context), text(payload))
    };
    let entries = table.chunks(8).map(&mut entry).collect();
    assert_eq!(begin, bytes.len());
    entries
}

/// What the container of a snapshot says of it, by `snapshot/FORMAT.md`.
pub(super) fn container(dir: &Path, file: u64) -> Registered {
    let bytes = fs::read(dir.join(format!("snapshot-{file:016x}"))).unwrap();
    Registered {
        index: u64_at(&bytes, 40),
        term: u64_at(&bytes, 48),
        id: u64_at(&bytes, 56),
        file: u64_at(&bytes, 64),
        manifest_crc: u32_at(&bytes, 88),
    }
}

/// The names and bytes of the files whose names begin so, sorted.
pub(super) fn files(dir: &Path, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let names = fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<_> = names
        .filter(|name| name.starts_with(prefix))
        .map(|name| (name.clone(), fs::read(dir.join(name)).unwrap()))
        .collect();
    files.sort();
    files
}

/// Where the elements of a list stand that is at `at` of an archive and has elements of `size` bytes.
fn list(archive: &[u8], at: usize, size: usize) -> impl Iterator<Item = usize> {
    let offset = i32::from_le_bytes(archive[at..at + 4].try_into().unwrap());
    let first = at.checked_add_signed(isize::try_from(offset).unwrap()).unwrap();
    (0..usize_at(archive, at + 4)).map(move |nth| first + nth * size)
}

fn flag(bytes: &[u8], at: usize) -> bool {
    assert!(bytes[at] <= 1);
    bytes[at] == 1
}

fn zeros(bytes: &[u8]) {
    assert!(bytes.iter().all(|&byte| byte == 0), "{bytes:?}");
}

fn crc(seed: u32, bytes: &[u8]) -> u32 {
    let mut crc = Hasher::new_with_initial(seed);
    crc.update(bytes);
    crc.finalize()
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn usize_at(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u32_at(bytes, at)).unwrap()
}
