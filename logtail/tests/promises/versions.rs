//! Versions of rows over flushes: each at its time.

use std::collections::BTreeMap;

use fastrand::Rng;
use logboom::Clock;
use logboom_logtail::{CheckpointKind, Object, TableId, Tail, Timestamp};

use crate::machine::{Machine, Row, begin_flush, create, delete, rows, step, upsert};

type Seen = Vec<(Timestamp, BTreeMap<i64, Option<i64>>)>;

fn check(tail: &Tail, table: TableId, seen: &Seen, what: &str) {
    for (at, model) in seen {
        let found = rows(tail, table, *at);
        let sum = |rows: &mut dyn Iterator<Item = Option<i64>>| rows.flatten().sum::<i64>();
        assert_eq!(sum(&mut found.iter().map(|row| row.1)), sum(&mut model.values().copied()), "at {at}, {what}");
        assert!(found.iter().copied().eq(model.clone()), "at {at}, {what}: {found:?} instead of {model:?}");
    }
}

#[test]
fn each_of_several_versions_is_there_at_its_time() {
    for versions in 1..=8 {
        for is_sorted in [true, false] {
            let what = format!("{versions} versions, sorted: {is_sorted}");
            let machine = Machine::new();
            let mut process = machine.start();
            let table = create(&process.tail);
            let (mut model, mut seen) = (BTreeMap::new(), Seen::new());
            let mut ids: Vec<i64> = (0..50).collect();
            for version in 0..versions {
                if !is_sorted {
                    Rng::with_seed(version).shuffle(&mut ids);
                }
                let changed: Vec<Row> = ids.iter().map(|id| (*id, Some(id * 100 + version.cast_signed()))).collect();
                // In one transaction, and in two with the second in the middle of the others' keys.
                for part in changed.chunks(if version % 2 == 0 { 50 } else { 29 }) {
                    let at = upsert(&process.tail, table, part).unwrap();
                    model.extend(part.iter().copied());
                    seen.push((at, model.clone()));
                }
            }
            check(&process.tail, table, &seen, &what);
            process.tail.flush(table).unwrap();
            check(&process.tail, table, &seen, &what);
            process = machine.restart(process);
            check(&process.tail, table, &seen, &what);
            process.tail.checkpoint(CheckpointKind::Global).unwrap();
            process = machine.restart(process);
            check(&process.tail, table, &seen, &what);
        }
    }
}

/// Rows are committed in another order than that of the object: deletes hit those that they were meant for, also the
/// ones at each step of the flush that sorts them.
#[test]
fn deletes_follow_rows_through_the_sort() {
    for seed in 0..6 {
        println!("seed {seed}");
        let mut rng = Rng::with_seed(seed);
        let machine = Machine::new();
        let mut process = machine.start();
        let table = create(&process.tail);
        let (mut model, mut seen) = (BTreeMap::new(), Seen::new());
        let delete_some = |tail: &Tail, rng: &mut Rng, model: &mut BTreeMap<i64, Option<i64>>, seen: &mut Seen| {
            let gone: Vec<_> = (0..rng.usize(1..6)).map(|_| rng.i64(0..400)).collect();
            let at = delete(tail, table, &gone).unwrap();
            gone.iter().for_each(|id| _ = model.remove(id));
            seen.push((at, model.clone()));
        };
        for round in 0..3 {
            let mut changed: Vec<Row> = (0..400).map(|id| (id, Some(id * 1000 + round))).collect();
            rng.shuffle(&mut changed);
            for part in changed[..300].chunks(70) {
                let at = upsert(&process.tail, table, part).unwrap();
                model.extend(part.iter().copied());
                seen.push((at, model.clone()));
            }
            delete_some(&process.tail, &mut rng, &mut model, &mut seen);
            let before = seen.clone();
            let mut flushing = begin_flush(&process.tail, table);
            loop {
                let done = step(&process.tail, &mut flushing).unwrap();
                delete_some(&process.tail, &mut rng, &mut model, &mut seen);
                if done {
                    break;
                }
            }
            drop(flushing);
            // Nothing of it changes what was seen before.
            check(&process.tail, table, &before, &format!("seed {seed}"));
            check(&process.tail, table, &seen, &format!("seed {seed}"));
            if round == 1 {
                process.tail.checkpoint(CheckpointKind::Global).unwrap();
                check(&process.tail, table, &seen, &format!("seed {seed}, behind a checkpoint"));
            }
            process = machine.restart(process);
            check(&process.tail, table, &seen, &format!("seed {seed}, restarted"));
        }
    }
}

/// Each row that is in an object has one tombstone at most, in memory or in an object.
#[test]
fn a_key_that_is_written_again_and_again_is_counted_once() {
    let tombstones = |object: &std::sync::Arc<Object>| -> u32 {
        object.meta().blocks.iter().filter_map(|block| block.tombstones).map(|range| range.count).sum()
    };
    // Versions are kept for readers of the past, or dropped.
    for history in [300, 0] {
        let mut machine = Machine::new();
        machine.options.history = std::time::Duration::from_secs(history);
        let mut process = machine.start();
        let table = create(&process.tail);
        upsert(&process.tail, table, &[(0, Some(0)), (1, Some(0)), (2, Some(0))]).unwrap();
        process.tail.flush(table).unwrap();
        for version in 0..100 {
            delete(&process.tail, table, &[1]).unwrap();
            assert_eq!(rows(&process.tail, table, process.tail.watermark()).len(), 2);
            upsert(&process.tail, table, &[(1, Some(version))]).unwrap();
            machine.clock.set_unix(machine.clock.unix() + std::time::Duration::from_millis(3));
            if version % 7 == 0 {
                process.tail.flush(table).unwrap();
            }
            if version % 30 == 0 {
                process.tail.checkpoint(CheckpointKind::Incremental).unwrap();
                process = machine.restart(process);
            }
            let expected = [(0, Some(0)), (1, Some(version)), (2, Some(0))];
            assert_eq!(rows(&process.tail, table, process.tail.watermark()), expected);
        }
        process.tail.flush(table).unwrap();
        let version = process.tail.version(table).unwrap();
        let all: u32 = version.objects().iter().map(|object| object.meta().rows()).sum();
        let in_memory: usize =
            version.objects().iter().map(|object| object.deleted(0..object.meta().rows(), Timestamp::MAX).len()).sum();
        let persisted: u32 = version.objects().iter().map(tombstones).sum();
        assert_eq!((all - persisted, in_memory), (3, 0), "{all} rows");
    }
}
