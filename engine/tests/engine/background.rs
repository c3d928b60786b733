//! Sealing, checkpoints and reclaiming.

use bytes::Bytes;
use logboom::{Engine, EntryId, SegmentId, ShardId};

use crate::support::*;

/// Appends to a shard, and compacts what is `keep` entries behind.
fn churn(engine: &Engine, shard: ShardId, from: u64, count: u64, keep: u64) {
    for index in from..from + count {
        let mut batch = engine.batch();
        batch.append_payload(shard, EntryId { index, term: 1 }, Bytes::from(vec![index as u8; 20_000])).unwrap();
        if index >= keep {
            batch.compact_through(shard, index - keep).unwrap();
        }
        engine.write(batch).unwrap();
    }
}

#[test]
fn segments_are_recycled() {
    each(|ground| {
        let engine = ground.open();
        let mut most = 0;
        for round in 0..20 {
            churn(&engine, A, round * 20, 20, 10);
            ground.until(&engine, "segments are given back", || engine.segments().len() <= 6);
            most = most.max(engine.segments().len() as u64 + engine.metrics().log.prepared_segments);
        }
        // 20 rounds wrote 400 x 20 KB: more than thirty segments' worth.
        assert!(most <= 16, "{most} segment files");
        assert!(engine.metrics().segments_freed > 20, "{:?}", engine.metrics());
        let engine = ground.reopen(engine);
        assert_eq!(engine.shard(A).first(), Some(390));
        assert_eq!(engine.shard(A).entries(390..400, u64::MAX).unwrap().len(), 10);
        engine.close().unwrap();
    });
}

#[test]
fn a_laggard_holds_its_segments_and_no_others() {
    let ground = Ground::sim(2);
    let engine = ground.open();
    append(&engine, B, 1..5, 1);
    churn(&engine, A, 0, 100, 5);
    ground.until(&engine, "segments are given back", || engine.segments().len() <= 5);
    let segments = engine.segments();
    assert!(segments[0].live_entries >= 4, "{segments:?}");
    check(&engine.shard(B), 1..5, 1);
    write(&engine, |batch| batch.destroy(B).map(drop));
    let held = segments[0].info.id;
    churn(&engine, A, 100, 20, 5);
    ground.until(&engine, "the laggard's segment is given back", || engine.segments()[0].info.id > held);
}

#[test]
fn opening_after_a_close_replays_next_to_nothing() {
    each(|ground| {
        let engine = ground.open();
        for round in 0..10 {
            append(&engine, A, round * 100..(round + 1) * 100, 1);
            append(&engine, B, round * 100..(round + 1) * 100, 1);
            write(&engine, |batch| {
                batch.append_payload(C, EntryId { index: round, term: 1 }, Bytes::from(vec![0; 40_000])).map(drop)
            });
        }
        let engine = ground.reopen(engine);
        let report = engine.open_report();
        assert!(report.recovery.closed && report.recovery.cut.is_none(), "{report}");
        // That in which the last checkpoint was taken, and one that the group which says that the log is closed began.
        assert!(report.recovery.segments_replayed <= 2 && report.checkpoint_bytes.is_some(), "{report}");
        assert_eq!(report.shards, 3);
        check(&engine.shard(A), 0..1000, 1);
        check(&engine.shard(B), 0..1000, 1);
        engine.close().unwrap();
    });
}

#[test]
fn reopening_again_and_again_keeps_the_log_small() {
    each(|ground| {
        let mut engine = ground.open();
        for round in 0..15 {
            append(&engine, A, round * 3..(round + 1) * 3, 1);
            ground.pass(&engine, std::time::Duration::from_millis(20));
            engine = ground.reopen(engine);
        }
        check(&engine.shard(A), 0..45, 1);
        write(&engine, |batch| batch.compact_through(A, 43).map(drop));
        ground.until(&engine, "old segments are given back", || engine.segments().len() <= 4);
        engine.close().unwrap();
    });
}

#[test]
fn a_damaged_footer_costs_a_scan() {
    for part in [TRAILER, HEAD] {
        let (ground, sealed) = damaged_footers(part);
        let engine = ground.open();
        check(&engine.shard(A), 0..1600, 1);
        ground.until(&engine, "they are sealed again", || {
            engine.segments().iter().all(|segment| segment.info.footer || segment.info.active)
        });
        assert!(engine.metrics().index_sealed >= sealed);
        check(&engine.shard(A), 0..1600, 1);
        let engine = ground.reopen(engine);
        check(&engine.shard(A), 0..1600, 1);
    }
}

/// Opening needs the heads alone; what reads finds out.
#[test]
fn rows_that_have_rotted_cost_a_scan_when_they_are_read() {
    let (ground, _) = damaged_footers(ROWS);
    let engine = ground.open();
    assert_eq!(engine.metrics().index_bytes, 0, "no rows are read at opening");
    assert!(engine.segments().iter().filter(|segment| segment.info.footer).count() > 2);
    check(&engine.shard(A), 0..1600, 1);
    let engine = ground.reopen(engine);
    check(&engine.shard(A), 0..1600, 1);
}

/// Where the parts of a small footer begin, before the end of its segment.
const TRAILER: u64 = 64;
const HEAD: u64 = 4096;
const ROWS: u64 = 2 * 4096;

/// A closed engine, a part of each footer of which is damaged, and how many these are.
fn damaged_footers(part: u64) -> (Ground, u64) {
    let ground = Ground::sim(4);
    let engine = ground.open();
    for round in 0..40 {
        append(&engine, A, round * 50..(round + 1) * 50, 1);
        write(&engine, |batch| {
            batch.append_payload(B, EntryId { index: round, term: 1 }, Bytes::from(vec![1; 20_000])).map(drop)
        });
    }
    write(&engine, |batch| batch.overwrite(A, entries(A, 1500..1600, 1)).map(drop));
    let sealed: Vec<_> = engine.segments().into_iter().map(|segment| segment.info).filter(|info| info.footer).collect();
    assert!(sealed.len() > 2);
    engine.close().unwrap();
    for info in &sealed {
        let (name, at) = (format!("segment-{:06}", info.slot), (256 << 10) - part);
        ground.disk().damage(&name, at..at + 64).unwrap();
    }
    (ground, sealed.len() as u64)
}

#[test]
fn a_footer_damaged_while_the_engine_runs_costs_a_scan() {
    let mut ground = Ground::sim(4);
    ground.config.index_bytes = 0;
    ground.config.cache_bytes = 0;
    let engine = ground.open();
    for round in 0..20 {
        append(&engine, A, round * 50..(round + 1) * 50, 1);
        write(&engine, |batch| {
            batch.append_payload(B, EntryId { index: round, term: 1 }, Bytes::from(vec![1; 20_000])).map(drop)
        });
    }
    ground.until(&engine, "segments are sealed", || engine.metrics().index_sealed > 0);
    let first = engine.segments()[0].info;
    assert!(first.footer && first.id >= SegmentId(1));
    ground.disk().damage(&format!("segment-{:06}", first.slot), (256 << 10) - 4096..256 << 10).unwrap();
    check(&engine.shard(A), 0..1000, 1);
}
