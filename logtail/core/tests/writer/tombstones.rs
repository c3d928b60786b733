//! Deletes of rows that are in objects: they leave memory, and what they hide stays hidden.

use logboom_logtail_core::{
    TableId, Timestamp,
    flush::FlushParts,
    log::{ManualLog, Refused},
    writer::{CheckpointKind, CommitError, FlushError},
};

use crate::tail::{NOON, Store, Tail, batch, keys, row};

/// A table of these rows, all in objects.
fn flushed(ids: std::ops::Range<i64>) -> (Tail, TableId) {
    let mut tail = Tail::new();
    let table = tail.create_table("orders", true);
    let mut workspace = tail.begin();
    workspace.insert(table, &batch(&ids.map(|id| row(id, id)).collect::<Vec<_>>())).expect("they fit");
    tail.commit(workspace).expect("no other transaction writes");
    tail.flush(table, Timestamp::ZERO);
    (tail, table)
}

fn delete(tail: &mut Tail, table: TableId, ids: &[i64]) -> Timestamp {
    let mut workspace = tail.begin();
    workspace.delete(table, &keys(ids)).expect("they are keys");
    tail.commit(workspace).expect("no other transaction writes")
}

/// A delete that is committed at any step of a flush of deletes is seen, and leaves memory with this or the next.
#[test]
fn deletes_leave_memory_that_are_committed_when_their_flush_collects_them() {
    for step in 0..9 {
        let (mut tail, table) = flushed(0..12);
        delete(&mut tail, table, &[1, 7]);
        let before = tail.now();
        assert_eq!(tail.deletes(table), (2, 0));
        let mut flush = tail.begin_flush(table, FlushParts::DELETES, Timestamp::ZERO).unwrap();
        let mut done = false;
        for _ in 0..step {
            done = done || tail.step_flush(&mut flush, 100).unwrap();
            tail.settle();
        }
        delete(&mut tail, table, &[2, 11]);
        while !done {
            done = tail.step_flush(&mut flush, 100).unwrap();
            tail.settle();
        }
        tail.writer.end_flush(flush);
        // The third step collects them.
        assert_eq!(tail.deletes(table), if step < 3 { (0, 4) } else { (2, 2) }, "at step {step}");
        let left: Vec<_> = [0, 3, 4, 5, 6, 8, 9, 10].map(|id| row(id, id)).into();
        assert_eq!(tail.rows(table, tail.now()), left, "at step {step}");
        assert_eq!(tail.rows(table, before).len(), 10);
        tail.flush(table, Timestamp::ZERO);
        assert_eq!(tail.deletes(table), (0, 4));
        assert_eq!(tail.rows(table, tail.now()), left);
        let tail = tail.reopen(NOON);
        assert_eq!(tail.deletes(table), (0, 4));
        assert_eq!(tail.rows(table, tail.now()), left);
        assert_eq!(tail.rows(table, before).len(), 10);
    }
}

/// What a transaction deletes is compared with deletes since its snapshot, those included that have left memory.
#[test]
fn a_delete_that_has_left_memory_is_a_conflict_all_the_same() {
    let (mut tail, table) = flushed(0..6);
    let old = tail.now();
    let mut early = tail.begin();
    early.delete(table, &keys(&[3])).unwrap();
    tail.find_keys(&mut early);
    let at = delete(&mut tail, table, &[3]);
    tail.flush(table, Timestamp::ZERO);
    assert_eq!(tail.deletes(table), (0, 1));
    assert!(matches!(tail.commit(early), Err(CommitError::Conflict { at: found, .. }) if found == at));
    // With it goes the last one that may know of the delete.
    delete(&mut tail, table, &[5]);
    tail.flush(table, Timestamp::ZERO);
    let mut late = tail.begin_at(old).unwrap();
    late.delete(table, &keys(&[3])).unwrap();
    assert!(matches!(tail.commit(late), Err(CommitError::SnapshotTooOld { .. })));
}

#[test]
fn a_row_has_one_tombstone_however_often_its_key_is_written() {
    let (mut tail, table) = flushed(0..3);
    let mut parts = [FlushParts::ALL, FlushParts::DELETES, FlushParts::ROWS].into_iter().cycle();
    for v in 0..100 {
        delete(&mut tail, table, &[1]);
        let mut workspace = tail.begin();
        workspace.insert(table, &batch(&[row(1, v)])).unwrap();
        tail.commit(workspace).unwrap();
        if v % 3 == 0 {
            tail.flush_parts(table, parts.next().unwrap(), tail.now());
        }
        assert_eq!(tail.rows(table, tail.now()), [row(0, 0), row(1, v), row(2, 2)]);
    }
    tail.flush(table, tail.now());
    tail.flush(table, tail.now());
    let rows: usize = tail.places(table, Timestamp::MAX).len();
    let (in_memory, persisted) = tail.deletes(table);
    let version = tail.writer.state().table(table).unwrap().version();
    let all: u32 = version.objects().iter().map(|object| object.meta().rows()).sum();
    assert_eq!((rows, in_memory), (3, 0));
    assert_eq!(all as usize - persisted, 3, "a tombstone for each row that is not there");
}

/// A restart takes deletes from a checkpoint, of which a later one has the tombstones.
#[test]
fn checkpoints_have_the_deletes_of_their_time_once() {
    let (mut tail, table) = flushed(0..20);
    delete(&mut tail, table, &[1, 2, 15]);
    tail.checkpoint(CheckpointKind::Global);
    tail.flush(table, Timestamp::ZERO);
    delete(&mut tail, table, &[3, 16]);
    let expected = tail.rows(table, tail.now());
    tail.checkpoint(CheckpointKind::Incremental);
    let mut tail = tail.reopen(NOON);
    assert_eq!((tail.deletes(table), tail.rows(table, tail.now())), ((2, 3), expected));
    tail.flush(table, Timestamp::ZERO);
    delete(&mut tail, table, &[17]);
    let expected = tail.rows(table, tail.now());
    for kind in [CheckpointKind::Incremental, CheckpointKind::Global] {
        tail = tail.reopen(NOON);
        assert_eq!((tail.deletes(table), tail.rows(table, tail.now())), ((1, 5), expected.clone()));
        tail.checkpoint(kind);
    }
    let tail = tail.reopen(NOON);
    assert_eq!((tail.deletes(table), tail.rows(table, tail.now())), ((1, 5), expected));
}

/// A delete of a row that is flushed is committed at any step of the flush: it is seen, also behind a restart, and a
/// transaction that began before it and deletes the row as well is refused.
#[test]
fn deletes_of_flushed_rows_have_tombstones() {
    for step in 0..14 {
        let mut tail = Tail::new();
        let table = tail.create_table("orders", true);
        let mut workspace = tail.begin();
        workspace.insert(table, &batch(&(0..12).map(|id| row(id, id)).collect::<Vec<_>>())).unwrap();
        let inserted = tail.commit(workspace).unwrap();
        let mut early = [1, 11].map(|id| {
            let mut workspace = tail.begin();
            workspace.delete(table, &keys(&[id])).unwrap();
            tail.find_keys(&mut workspace);
            Some(workspace)
        });
        let first = delete(&mut tail, table, &[1, 7]);
        let mut flush = tail.begin_flush(table, FlushParts::ROWS, Timestamp::ZERO).unwrap();
        let mut done = false;
        for _ in 0..step {
            done = done || tail.step_flush(&mut flush, 5).unwrap();
            tail.settle();
        }
        let second = delete(&mut tail, table, &[2, 11]);
        for (workspace, at) in early.iter_mut().zip([first, second]) {
            // Each is refused, before the flush is placed and behind it.
            let refused = tail.propose(workspace.as_mut().unwrap());
            assert!(
                matches!(refused, Err(CommitError::Conflict { at: found, .. }) if found == at),
                "{step}: {refused:?}"
            );
        }
        while !done {
            done = tail.step_flush(&mut flush, 5).unwrap();
            tail.settle();
        }
        tail.writer.end_flush(flush);
        for (workspace, at) in early.iter_mut().zip([first, second]) {
            let refused = tail.commit(workspace.take().unwrap());
            assert!(
                matches!(refused, Err(CommitError::Conflict { at: found, .. }) if found == at),
                "{step}: {refused:?}"
            );
        }
        let (in_memory, persisted) = tail.deletes(table);
        assert_eq!((in_memory + persisted, persisted >= 2), (4, true), "at step {step}");
        let seen = |tail: &Tail| {
            assert_eq!(tail.rows(table, inserted).len(), 12, "at step {step}");
            let gone = |at| (0..12).filter(|id| !tail.rows(table, at).contains(&row(*id, *id))).collect::<Vec<_>>();
            assert_eq!((gone(first), gone(second)), (vec![1, 7], vec![1, 2, 7, 11]), "at step {step}");
        };
        seen(&tail);
        tail = tail.reopen(NOON);
        assert_eq!(tail.deletes(table), (in_memory, persisted), "at step {step}");
        seen(&tail);
        tail.checkpoint(CheckpointKind::Global);
        seen(&tail.reopen(NOON));
    }
}

/// A table of 100 rows, each of which was replaced often: there are more deletes than an entry takes.
fn replaced() -> (Tail, TableId) {
    let mut tail = Tail::open(ManualLog::new(16 << 10), Store::new(), NOON);
    let table = tail.create_table("orders", true);
    for v in 0..20 {
        let mut workspace = tail.begin();
        workspace.upsert(table, &batch(&(0..100).map(|id| row(id, v)).collect::<Vec<_>>())).expect("they fit");
        tail.commit(workspace).expect("no other transaction writes");
    }
    (tail, table)
}

#[test]
fn a_flush_has_more_deletes_than_an_entry_takes() {
    let (mut tail, table) = replaced();
    tail.block_rows = 400;
    tail.flush(table, Timestamp::ZERO);
    let rows: Vec<_> = (0..100).map(|id| row(id, 19)).collect();
    assert_eq!((tail.rows(table, tail.now()), tail.deletes(table)), (rows.clone(), (0, 1900)));
    let tail = tail.reopen(NOON);
    assert_eq!((tail.rows(table, tail.now()), tail.deletes(table)), (rows, (0, 1900)));
}

/// Steps a flush until it fails, with objects of so many rows.
fn fail_flush(tail: &mut Tail, table: TableId, object_rows: usize) -> FlushError<Refused> {
    let mut flush = tail.begin_flush(table, FlushParts::ALL, Timestamp::ZERO).expect("there are rows");
    let error = loop {
        match tail.step_flush(&mut flush, object_rows) {
            Ok(done) => assert!(!done),
            Err(error) => break error,
        }
        tail.settle();
    };
    tail.writer.end_flush(flush);
    error
}

/// The record has the metadata of all blocks: that there will be too many shows with the first object.
#[test]
fn a_flush_with_more_metadata_than_an_entry_takes_puts_nothing() {
    let mut tail = Tail::open(ManualLog::new(16 << 10), Store::new(), NOON);
    let table = tail.create_table("orders", true);
    for first in (0..1000).step_by(100) {
        let mut workspace = tail.begin();
        workspace.insert(table, &batch(&(first..first + 100).map(|id| row(id, 1)).collect::<Vec<_>>())).unwrap();
        tail.commit(workspace).unwrap();
    }
    for _ in 0..2 {
        let error = fail_flush(&mut tail, table, 30);
        assert!(matches!(error, FlushError::TooLarge { max: 16_384, .. }), "{error:?}");
        assert!(tail.store.is_empty());
    }
    assert_eq!(tail.rows(table, tail.now()), (0..1000).map(|id| row(id, 1)).collect::<Vec<_>>());
}

/// Deletes that are made while objects are put, and are too many for the record, go to further tombstone objects.
#[test]
fn a_flush_goes_on_however_much_is_deleted_meanwhile() {
    let mut tail = Tail::open(ManualLog::new(8 << 10), Store::new(), NOON);
    let table = tail.create_table("orders", true);
    for first in (0..7500).step_by(100) {
        let mut workspace = tail.begin();
        workspace.insert(table, &batch(&(first..first + 100).map(|id| row(id, 1)).collect::<Vec<_>>())).unwrap();
        tail.commit(workspace).unwrap();
    }
    tail.block_rows = 900;
    delete(&mut tail, table, &[0]);
    let early = tail.now();
    let mut flush = tail.begin_flush(table, FlushParts::ALL, Timestamp::ZERO).unwrap();
    let (mut put, mut rounds) = (0, 0);
    while !tail.step_flush(&mut flush, 2500).unwrap() {
        tail.settle();
        // Behind each tombstone object, in all blocks, so that the record would be too long once more.
        if std::mem::replace(&mut put, tail.store.len()) < tail.store.len() && put > 3 && rounds < 3 {
            let of_round = |id: &i64| (id % 15 - 1).div_euclid(4) == rounds;
            for ids in (0..7500).filter(of_round).collect::<Vec<_>>().chunks(100) {
                delete(&mut tail, table, ids);
            }
            rounds += 1;
        }
    }
    tail.writer.end_flush(flush);
    assert_eq!((tail.store.len(), rounds), (3 + 4, 3));
    let rows: Vec<_> = (1..7500).filter(|id| [0, 13, 14].contains(&(id % 15))).map(|id| row(id, 1)).collect();
    for _ in 0..2 {
        assert_eq!((tail.rows(table, tail.now()), tail.deletes(table)), (rows.clone(), (0, 6001)));
        assert_eq!(tail.rows(table, early).len(), 7499);
        tail = tail.reopen(NOON);
    }
}

/// Metadata of rows that fill an entry but for what their tombstones take: no further tombstone object helps, however
/// many deletes are made meanwhile.
#[test]
fn a_flush_fails_whose_record_is_too_long_without_late_deletes() {
    let (mut flushed, mut failed) = (0, 0);
    for blocks in 20..80 {
        let mut tail = Tail::open(ManualLog::new(8 << 10), Store::new(), NOON);
        let table = tail.create_table("orders", true);
        let rows = 20 * blocks;
        for first in (0..rows).step_by(100) {
            let mut workspace = tail.begin();
            let ids = first..rows.min(first + 100);
            workspace.insert(table, &batch(&ids.map(|id| row(id, 1)).collect::<Vec<_>>())).unwrap();
            tail.commit(workspace).unwrap();
        }
        tail.block_rows = 20;
        for ids in (0..rows).step_by(20).collect::<Vec<_>>().chunks(100) {
            delete(&mut tail, table, ids);
        }
        let mut flush = tail.begin_flush(table, FlushParts::ALL, Timestamp::ZERO).unwrap();
        let mut late = (0..rows).filter(|id| id % 20 != 0);
        for step in 0.. {
            assert!(step < 300, "{blocks} blocks: the flush does not end");
            match tail.step_flush(&mut flush, 100_000) {
                Ok(true) => flushed += 1,
                Err(FlushError::TooLarge { .. }) => failed += 1,
                Ok(false) => {
                    delete(&mut tail, table, &[late.next().unwrap()]);
                    tail.settle();
                    continue;
                }
                Err(error) => panic!("{error}"),
            }
            break;
        }
        tail.writer.end_flush(flush);
    }
    assert!(flushed > 0 && failed > 0, "{flushed} and {failed}");
}

/// That the record will be too long for its tombstones, of new blocks or of older ones, shows before anything is put.
#[test]
fn a_flush_with_more_tombstones_than_an_entry_takes_puts_nothing() {
    for of_older in [false, true] {
        let (mut flushed, mut failed) = (0, 0);
        for blocks in 20..80 {
            let mut tail = Tail::open(ManualLog::new(8 << 10), Store::new(), NOON);
            let table = tail.create_table("orders", true);
            let insert = |tail: &mut Tail, rows: std::ops::Range<i64>| {
                for first in rows.clone().step_by(100) {
                    let mut workspace = tail.begin();
                    let ids = first..rows.end.min(first + 100);
                    workspace.insert(table, &batch(&ids.map(|id| row(id, 1)).collect::<Vec<_>>())).unwrap();
                    tail.commit(workspace).unwrap();
                }
            };
            let rows = 20 * blocks;
            let mut deleted = 0..rows;
            if of_older {
                // In blocks of two rows, of which there are many.
                tail.block_rows = 2;
                for _ in 0..4 {
                    insert(&mut tail, deleted.end..deleted.end + 50);
                    tail.flush(table, Timestamp::ZERO);
                    deleted.end += 50;
                }
                deleted.start = rows;
            }
            tail.block_rows = 20;
            insert(&mut tail, if of_older { 10_000..10_000 + rows } else { 0..rows });
            for ids in deleted.step_by(if of_older { 2 } else { 20 }).collect::<Vec<_>>().chunks(100) {
                delete(&mut tail, table, ids);
            }
            let before = tail.store.len();
            let mut flush = tail.begin_flush(table, FlushParts::ALL, Timestamp::ZERO).unwrap();
            let failure = loop {
                match tail.step_flush(&mut flush, 200) {
                    Ok(false) => tail.settle(),
                    Ok(true) => break None,
                    Err(error) => break Some(error),
                }
            };
            tail.writer.end_flush(flush);
            match failure {
                None => flushed += 1,
                Some(FlushError::TooLarge { .. }) => {
                    assert_eq!(tail.store.len(), before, "{blocks} blocks, deletes of older ones: {of_older}");
                    failed += 1;
                }
                Some(error) => panic!("{error}"),
            }
        }
        assert!(flushed > 0 && failed > 0, "{flushed} and {failed}");
    }
}
