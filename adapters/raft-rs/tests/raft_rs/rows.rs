//! The rows of the tables that raft-rs 0.7 tests its own storage with, as data.

use logboom_raft_rs::{Error, Group};
use protobuf::Message;
use raft::{
    GetEntriesContext, Storage, StorageError,
    eraftpb::{Entry, Snapshot},
};

use crate::support::{Node, append, build, entry, foreign_snapshot, group_of, members, ship, snapshot_message};

const NO_LIMIT: u64 = u64::MAX;

/// Entries whose index is their term.
fn plain(indexes: impl IntoIterator<Item = u64>) -> Vec<Entry> {
    indexes.into_iter().map(|index| entry(index, index)).collect()
}

fn read(group: &Group, low: u64, high: u64, max: u64) -> raft::Result<Vec<Entry>> {
    group.entries(low, high, max, GetEntriesContext::empty(false))
}

fn store_error<T>(error: StorageError) -> raft::Result<T> {
    Err(raft::Error::Store(error))
}

#[test]
fn storage_term() {
    let group = group_of((2, 2), &plain(3..6));
    let rows = [
        (1, store_error(StorageError::Compacted)),
        // raft-rs' rows have no boundary here; a storage that keeps one answers.
        (2, Ok(2)),
        (3, Ok(3)),
        (4, Ok(4)),
        (5, Ok(5)),
        (6, store_error(StorageError::Unavailable)),
    ];
    for (index, term) in rows {
        assert_eq!(group.term(index), term, "{index}");
    }
}

#[test]
fn storage_entries() {
    let all = plain(3..7);
    let group = group_of((2, 2), &all);
    let size = |index: usize| u64::from(all[index - 3].compute_size());
    let (two, three) = (size(4) + size(5), size(4) + size(5) + size(6));
    let rows = [
        (2, 6, NO_LIMIT, store_error(StorageError::Compacted)),
        (3, 4, NO_LIMIT, Ok(3..4)),
        (4, 5, NO_LIMIT, Ok(4..5)),
        (4, 6, NO_LIMIT, Ok(4..6)),
        (4, 7, NO_LIMIT, Ok(4..7)),
        (4, 7, 0, Ok(4..5)),
        (4, 7, two, Ok(4..6)),
        (4, 7, two + size(6) / 2, Ok(4..6)),
        (4, 7, three - 1, Ok(4..6)),
        (4, 7, three, Ok(4..7)),
        (4, 8, NO_LIMIT, store_error(StorageError::Unavailable)),
    ];
    for (low, high, max, expected) in rows {
        assert_eq!(read(&group, low, high, max), expected.map(plain), "{low}..{high}, {max}");
    }
}

#[test]
fn storage_first_and_last_index() {
    let group = group_of((2, 2), &plain(3..6));
    assert_eq!((group.first_index(), group.last_index()), (Ok(3), Ok(5)));
    let mut node = Node::new(1, group.clone(), 2);
    node.raw.step(append(2, 5, (5, 5), 4, vec![entry(6, 5)])).unwrap();
    node.run();
    assert_eq!(group.last_index(), Ok(6));
    group.applied_to(4).unwrap();
    group.compact_through(3).unwrap();
    assert_eq!((group.first_index(), group.last_index()), (Ok(4), Ok(6)));
}

#[test]
fn storage_compact() {
    for (index, first, term, len) in [(1, 3, 3, 3), (2, 3, 3, 3), (3, 4, 4, 2), (4, 5, 5, 1)] {
        let group = group_of((2, 2), &plain(3..6));
        group.applied_to(5).unwrap();
        group.compact_through(index).unwrap();
        assert_eq!(group.first_index(), Ok(first), "{index}");
        assert_eq!(read(&group, first, first + 1, 1).unwrap()[0].term, term, "{index}");
        assert_eq!(read(&group, first, 6, 100).unwrap().len(), len, "{index}");
    }
}

#[test]
fn compacting_past_the_end_is_refused() {
    let group = group_of((2, 2), &plain(3..6));
    group.applied_to(5).unwrap();
    let error = group.compact_through(6).unwrap_err();
    assert!(matches!(error, Error::Engine(logboom::Error::Beyond { index: 6, last: Some(5), .. })), "{error}");
    group.compact_through(5).unwrap();
    assert_eq!((group.first_index(), group.last_index(), group.term(5)), (Ok(6), Ok(5), Ok(5)));
}

#[test]
fn storage_create_snapshot() {
    let unavailable = || store_error::<Snapshot>(StorageError::SnapshotTemporarilyUnavailable);
    for (index, request) in [(4, 0), (5, 5), (4, 4)] {
        let group = group_of((2, 2), &plain(3..6));
        assert_eq!(group.snapshot(request, 0), unavailable());
        assert_eq!(group.snapshot_wanted(), Some(request.max(2)));
        drop(group.register(&build(&group, index, b"state")).unwrap());
        assert_eq!(group.snapshot_wanted(), None);
        let snapshot = group.snapshot(request, 3).unwrap();
        let metadata = snapshot.get_metadata();
        assert_eq!((metadata.index, metadata.term), (index, index));
        assert_eq!(metadata.get_conf_state(), &members(&[1, 2, 3]));
        // One that does not go as far as is asked for is none: raft-rs' own storage would state another index.
        assert_eq!(group.snapshot(index + 1, 0), unavailable());
    }
}

#[test]
fn storage_append() {
    // What is there is 3, 4 and 5, and only 3 is committed. raft-rs' rows go to the storage; these go through the
    // core, which makes `Ready`s of them, and keeps what it has already from the storage.
    let rows = [
        ((2, 2), plain(3..6), vec![3, 4, 5]),
        ((2, 2), vec![entry(3, 3), entry(4, 6), entry(5, 6)], vec![3, 6, 6]),
        ((2, 2), vec![entry(3, 3), entry(4, 4), entry(5, 5), entry(6, 5)], vec![3, 4, 5, 5]),
        // The existing entries are truncated.
        ((3, 3), vec![entry(4, 5)], vec![3, 5]),
        ((5, 5), vec![entry(6, 6)], vec![3, 4, 5, 6]),
    ];
    for (behind, entries, terms) in rows {
        let group = group_of((2, 2), &plain(3..6));
        let mut node = Node::new(1, group.clone(), 2);
        node.raw.step(append(2, 6, behind, 3, entries.clone())).unwrap();
        node.run();
        let last = group.last_index().unwrap();
        let found: Vec<u64> = read(&group, 3, last + 1, NO_LIMIT).unwrap().iter().map(|entry| entry.term).collect();
        assert_eq!(found, terms, "{behind:?} {entries:?}");
    }
}

#[test]
fn storage_apply_snapshot() {
    let (other, snapshot) = foreign_snapshot(6, 5, &[1, 2, 3, 4], b"the state");
    let group = group_of((2, 2), &plain(3..6));
    ship(&other, &snapshot, &group);
    let mut node = Node::new(1, group.clone(), 2);
    node.raw.step(snapshot_message(2, 6, &snapshot)).unwrap();
    node.run();
    assert_eq!((group.first_index(), group.last_index(), group.term(6)), (Ok(7), Ok(6), Ok(5)));
    assert_eq!(group.conf_state(6).unwrap(), members(&[1, 2, 3, 4]));
    assert_eq!(group.initial_state().unwrap().hard_state.commit, 6);

    // One that is older is refused before the core sees it.
    let (_other, old) = foreign_snapshot(3, 3, &[1, 2, 3], b"old");
    let error = group.receive(&old, &logboom::snapshot::Stop::new()).unwrap_err();
    assert!(
        matches!(error, Error::Engine(logboom::Error::Snapshot(logboom::snapshot::Error::Stale { .. }))),
        "{error}"
    );
}
