//! What the damaged directory holds, byte by byte, as `engine/FORMAT.md` has it: the golden one, and one that this
//! build writes. Where a field moves, the latter cannot be read any more.

use std::path::Path;

use super::{
    by_text::{self, Checkpoint, Damage, Footer, ListedRange, Record, Registered, Shard, Snapshots},
    damaged::{self, EMPTY, KEYS, LOST, SNAPSHOTS, SUFFIX, TERMS},
    fixture,
};

/// The records of the last opening begin with this group: what comes before is what the checkpoint reflects.
const LAST_OPENING: u64 = 535;
/// The cold segment: 2^47, and the group that was next when it was begun.
const COLD: u64 = (1 << 47) + 275;

#[test]
fn the_golden_directory_is_as_the_text_says() {
    check(&fixture("v2", "damaged"));
}

#[test]
fn what_is_written_now_is_as_the_text_says() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    damaged::write(dir.path());
    check(dir.path());
}

#[test]
fn footers_of_both_versions_are_as_the_text_says() {
    for version in ["v1", "v2"] {
        let dir = fixture(version, "closed");
        let footers = by_text::footers(&dir);
        assert!(footers.iter().map(|footer| footer.segment).eq(1..=3), "{footers:?}");
        for footer in footers {
            assert_eq!(footer.live_before, None);
            footer.ranges.iter().for_each(|range| check_range(&dir, footer.segment, range));
        }
    }
}

fn check(dir: &Path) {
    check_checkpoint(dir, &by_text::checkpoint(dir));
    check_footers(dir);
    check_records(dir);
}

fn check_checkpoint(dir: &Path, checkpoint: &Checkpoint) {
    assert_eq!((checkpoint.replay_from, &checkpoint.segments[..]), (3, &[2, COLD][..]));
    let nothing = |shard| Damage { shard, entries: Vec::new(), hard_state: 0, keys: 0, suffix: 0 };
    let lost = Damage { entries: vec![2..3, 5..6], hard_state: 12 << 16, keys: 2, ..nothing(LOST.0) };
    assert_eq!(checkpoint.damages, [lost, Damage { suffix: 1, ..nothing(SUFFIX.0) }]);
    assert_eq!(checkpoint.held_back, Some((534 << 16, vec![EMPTY.0])));
    check_snapshots(dir, &checkpoint.snapshots);
    assert_eq!(checkpoint.shards, shards());
}

fn check_snapshots(dir: &Path, snapshots: &[Snapshots]) {
    let [lost, registered] = snapshots else { panic!("{snapshots:?}") };
    assert_eq!(*lost, Snapshots { shard: LOST.0, registered: Vec::new(), lost: 14 << 16 });
    assert_eq!((registered.shard, registered.lost), (SNAPSHOTS.0, 0));
    let indexes: Vec<(u64, u64)> =
        registered.registered.iter().map(|snapshot| (snapshot.index, snapshot.term)).collect();
    assert_eq!(indexes, [(1, 1), (3, 1)]);
    for snapshot in &registered.registered {
        let Registered { file, .. } = *snapshot;
        assert_eq!(*snapshot, by_text::container(dir, file));
    }
}

fn shards() -> Vec<Shard> {
    let text = |text: &str| Some(text.to_owned());
    let keys = |keys: &[(&str, &str)]| keys.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    let blank = |shard, sequence| Shard {
        shard,
        sequence,
        log: 0..0,
        boundary_term: None,
        hard_state: None,
        commit_hint: None,
        terms: Vec::new(),
        keys: Vec::new(),
    };
    vec![
        Shard {
            log: 5..8,
            boundary_term: Some(2),
            hard_state: text("vote"),
            commit_hint: text("later hint"),
            terms: vec![(5, 3), (7, 9)],
            ..blank(TERMS.0, 17 << 16)
        },
        Shard { hard_state: text(""), keys: keys(&[("empty", ""), ("key", "value")]), ..blank(KEYS.0, (17 << 16) + 1) },
        Shard {
            log: 1..7,
            commit_hint: text("last"),
            terms: vec![(1, 1), (2, 0), (3, 1), (5, 0), (6, 1)],
            keys: keys(&[("kept key", "kept value")]),
            ..blank(LOST.0, (17 << 16) + 2)
        },
        Shard { log: 1..2, terms: vec![(1, 1)], ..blank(SUFFIX.0, (2 << 16) + 8) },
        Shard { commit_hint: text(""), ..blank(SNAPSHOTS.0, (17 << 16) + 3) },
    ]
}

fn check_footers(dir: &Path) {
    let footers = by_text::footers(dir);
    let listed = |footer: &Footer| -> Vec<(u64, u64, u64)> {
        footer.ranges.iter().map(|one| (one.shard, one.entries.start, one.entries.end)).collect()
    };
    let [log, cold] = &footers[..] else { panic!("{footers:?}") };
    assert_eq!((log.segment, log.live_before, cold.segment, cold.live_before), (1, None, COLD, Some(276)));
    assert_eq!(listed(log), [(TERMS.0, 5, 8), (LOST.0, 1, 7), (SUFFIX.0, 1, 2)]);
    let moved = [(TERMS.0, 5, 8), (LOST.0, 1, 2), (LOST.0, 3, 5), (LOST.0, 6, 7), (SUFFIX.0, 1, 2)];
    assert_eq!(listed(cold), moved);
    // The file of segment 1 is segment 3 by now.
    cold.ranges.iter().for_each(|range| check_range(dir, COLD, range));
}

/// Each place is that of a record of the shard that holds the entries from there on.
fn check_range(dir: &Path, segment: u64, range: &ListedRange) {
    let mut bytes = 0;
    for &(first, offset, len) in &range.places {
        let record = by_text::record(dir, segment, offset);
        assert_eq!((record.owner, record.kind), (range.shard, 1));
        // Entries that were dropped are not listed: the range may begin inside a record.
        let entries = record.first..record.first + u64::from(record.count);
        assert!(entries.contains(&first) && first == record.first.max(range.entries.start));
        assert!(range.entries.contains(&first));
        assert_eq!(len, 64 + record.body.len().next_multiple_of(8));
        bytes += len;
    }
    assert_eq!(usize::try_from(range.bytes).unwrap(), bytes);
}

fn check_records(dir: &Path) {
    let mut records: Vec<Record> = by_text::records(dir);
    let freed = records.iter().find(|record| record.kind == 128).unwrap();
    assert_eq!((freed.owner, freed.first, freed.attribute), (0, 0, 0));
    assert_eq!(freed.body.len(), 8 * usize::try_from(freed.count).unwrap());
    records.retain(|record| record.sequence >= LAST_OPENING << 16);
    let term = |record: &Record| (record.kind, record.owner, record.first, record.count, record.attribute);
    let register = records.iter().rfind(|record| record.kind == 13).unwrap();
    let (id, file, crc) = (&register.body[..8], &register.body[8..16], &register.body[16..]);
    let snapshot = by_text::container(dir, u64::from_le_bytes(file.try_into().unwrap()));
    assert_eq!(id, snapshot.id.to_le_bytes());
    assert_eq!(crc, snapshot.manifest_crc.to_le_bytes());
    let forgotten = records.iter().find(|record| record.kind == 13).unwrap();
    let forgotten = u64::from_le_bytes(forgotten.body[..8].try_into().unwrap());
    let expected = [
        (10, LOST.0, 2, 1, 1),
        (10, LOST.0, 5, 1, 1),
        (11, LOST.0, 12 << 16, 2, 14 << 16),
        (8, LOST.0, 0, 0, 0),
        (9, LOST.0, 0, 0, 0),
        (12, 0, 0, 0, 0),
        (13, LOST.0, 5, 2, 1),
        (13, LOST.0, 6, 2, 1),
        (2, TERMS.0, 6, 0, 0),
        (1, TERMS.0, 7, 2, 10),
        (3, TERMS.0, 5, 0, 3),
        (6, TERMS.0, 0, 0, 0),
        (7, TERMS.0, 0, 0, 0),
        (4, KEYS.0, 9, 1, 8),
        (4, EMPTY.0, 0, 0, 0),
        (14, LOST.0, forgotten, 0, 0),
        (5, SUFFIX.0, 0, 0, 0),
    ];
    assert_eq!(records.iter().map(term).collect::<Vec<_>>(), expected);
    let body = |kind: u8| &*records.iter().find(|record| record.kind == kind).unwrap().body;
    assert_eq!((body(8), body(9)), (&b"\x07\0new keynew value"[..], &b"kept key"[..]));
    assert_eq!((body(6), body(7)), (&b"new vote"[..], &b"new hint"[..]));
    for kind in [2, 3, 4, 5, 11, 12, 14] {
        assert_eq!(body(kind), b"");
    }
    let entries = |kind: u8| by_text::entries(records.iter().find(|record| record.kind == kind).unwrap());
    let entry = |kind, context: &str, payload: &str| (kind, context.to_owned(), payload.to_owned());
    assert_eq!(entries(1), [entry(0, "", "d"), entry(0, "", "")]);
    assert_eq!(entries(10), [entry(7, "context", "lost entry two")]);
}
