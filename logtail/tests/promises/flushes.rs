//! What goes on beside a flush, at each of its steps.

use logboom_logtail::{TableId, Tail, Timestamp};

use crate::machine::{Machine, begin_flush, create, delete, rows, step, upsert};

/// How many rows of a table are in memory, and in objects.
fn places(tail: &Tail, table: TableId) -> (u32, u32) {
    let version = tail.version(table).unwrap();
    let in_memory = version.memtables().iter().map(|memtable| memtable.len()).sum();
    (in_memory, version.objects().iter().map(|object| object.meta().rows()).sum())
}

/// Rows leave memory when the record of their objects is durable, and not before: a flush that is given up at any step
/// leaves them where they were, and the next one moves them.
#[test]
fn rows_leave_memory_when_their_objects_are_durable() {
    let mut kept = 0;
    for last in 0.. {
        let mut machine = Machine::new();
        let process = machine.start();
        let tail = &process.tail;
        let table = create(tail);
        upsert(tail, table, &(0..20).map(|id| (id, Some(1))).collect::<Vec<_>>()).unwrap();
        let mut flushing = begin_flush(tail, table);
        let done = (0..last).any(|_| step(tail, &mut flushing).unwrap());
        drop(flushing);
        let left = places(tail, table);
        assert!(left == (0, 20) || left == (20, 0) && !done, "behind step {last}: {left:?}");
        kept += u32::from(left == (20, 0));
        assert_eq!(rows(tail, table, tail.watermark()).len(), 20);
        // A power cut finds what had left memory.
        machine.cut_power(process);
        let process = machine.start();
        let tail = &process.tail;
        assert!(left == places(tail, table) || left == (20, 0), "behind step {last}: {left:?}");
        assert_eq!(rows(tail, table, tail.watermark()).len(), 20);
        tail.flush(table).unwrap();
        assert_eq!((places(tail, table), rows(tail, table, tail.watermark()).len()), ((0, 20), 20));
        if done {
            assert!(kept > 3, "there are steps");
            break;
        }
    }
}

/// Rows and deletes that are committed at a step of a flush do not hold it up, and are in memory behind it; blocks are
/// dirty that have deletes in memory, and no others.
#[test]
fn a_flush_ends_under_deletes_and_what_is_later_stays_in_memory() {
    for at_step in 0.. {
        let machine = Machine::new();
        let process = machine.start();
        let tail = &process.tail;
        let table = create(tail);
        for first in (0..20_000).step_by(2000) {
            upsert(tail, table, &(first..first + 2000).map(|id| (id, Some(1))).collect::<Vec<_>>()).unwrap();
        }
        let mut flushing = begin_flush(tail, table);
        let mut steps = 0;
        let mut seen = Vec::new();
        loop {
            if steps == at_step {
                seen.push(delete(tail, table, &[9000, 9001]).unwrap());
                seen.push(upsert(tail, table, &[(3, Some(2)), (20_000, Some(2))]).unwrap());
            }
            steps += 1;
            if step(tail, &mut flushing).unwrap() {
                break;
            }
        }
        drop(flushing);
        if seen.is_empty() {
            assert!(steps > 4, "there are steps");
            break;
        }
        let version = tail.version(table).unwrap();
        let [object] = version.objects() else { panic!("{version:?}") };
        let deleted = object.deleted(0..object.meta().rows(), Timestamp::MAX);
        let is_dirty = |block: &usize| deleted.iter().any(|row| object.block_of(*row) == Some(*block));
        let blocks = (0..object.meta().blocks.len()).filter(is_dirty).collect::<Vec<_>>();
        assert_eq!(object.dirty_blocks(), blocks, "at step {at_step}");
        let later: u32 = version.memtables().iter().map(|memtable| memtable.len()).sum();
        // The deletes that the flush has collected are in an object.
        let persisted = (0..object.meta().blocks.len()).filter(|block| object.tombstones_of(*block).is_some());
        let deleted_in = blocks.into_iter().chain(persisted).collect::<Vec<_>>();
        assert!(
            later == 2 && deleted_in == [0, 1] || (at_step == 0 && later == 0),
            "at step {at_step}: {later}, {deleted_in:?}"
        );
        let check = |tail: &Tail| {
            let found = rows(tail, table, tail.watermark());
            assert_eq!(found.len(), 19_999, "at step {at_step}");
            assert!(found.contains(&(3, Some(2))) && !found.iter().any(|row| row.0 == 9000), "at step {at_step}");
            assert_eq!(rows(tail, table, seen[0]).len(), 19_998, "at step {at_step}");
        };
        check(tail);
        tail.flush(table).unwrap();
        assert!(tail.version(table).unwrap().objects().iter().all(|object| object.dirty_blocks().is_empty()));
        check(tail);
        let process = machine.restart(process);
        check(&process.tail);
    }
}
