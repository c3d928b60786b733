//! Every configuration works, or is rejected with the name of the field.

use std::time::Duration;

use logboom::{Config, Durability, EntryId, Error, disk::FaultKind};

use crate::support::*;

type Set = fn(&mut Config);

#[test]
fn invalid_fields_are_named() {
    let refused: [(&str, Set); 8] = [
        ("segment_bytes", |config| config.segment_bytes = 0),
        ("segment_bytes", |config| config.segment_bytes = u64::MAX),
        ("reserve_segments", |config| config.reserve_segments = 4097),
        ("reserve_segments", |config| config.reserve_segments = u32::MAX),
        ("space_bytes_max", |config| config.space_bytes_max = Some(0)),
        ("admission_bytes", |config| config.admission_bytes = 0),
        ("stall_after", |config| config.stall_after = Duration::ZERO),
        ("snapshots_kept", |config| config.snapshots_kept = 0),
    ];
    for (field, set) in refused {
        let mut ground = Ground::sim(1);
        set(&mut ground.config);
        match ground.try_open() {
            Err(Error::Config { reason }) => assert!(reason.contains(field), "{field}: {reason}"),
            other => panic!("{field}: {other:?}"),
        }
        // The bound of space is one of the log's own segments: whether there is a log is looked at.
        let changes =
            ground.disk().operations().iter().any(|done| !matches!(done.kind, FaultKind::List | FaultKind::Open));
        assert!(!changes, "{field}: nothing is touched");
    }
}

#[test]
fn accepted_configurations_work() {
    let accepted: [(&str, Set); 22] = [
        ("lazy_age 0", |config| config.lazy_age = Duration::ZERO),
        ("lazy_age MAX", |config| config.lazy_age = Duration::MAX),
        ("idle_promise 0", |config| config.idle_promise = Duration::ZERO),
        ("idle_promise MAX", |config| config.idle_promise = Duration::MAX),
        ("stall_after 1 ns", |config| config.stall_after = Duration::from_nanos(1)),
        ("stall_after MAX", |config| config.stall_after = Duration::MAX),
        ("scrub_period none", |config| config.scrub_period = None),
        ("scrub_period 0", |config| config.scrub_period = Some(Duration::ZERO)),
        ("scrub_period 1 ns", |config| config.scrub_period = Some(Duration::from_nanos(1))),
        ("scrub_period MAX", |config| config.scrub_period = Some(Duration::MAX)),
        ("reserve_segments 0", |config| config.reserve_segments = 0),
        ("space_bytes_max MAX", |config| config.space_bytes_max = Some(u64::MAX)),
        ("space_bytes_max of 8 segments", |config| config.space_bytes_max = Some(8 * config.segment_bytes)),
        ("cache_bytes 0", |config| config.cache_bytes = 0),
        ("cache_bytes MAX", |config| config.cache_bytes = u64::MAX),
        ("read_ahead_bytes 0", |config| config.read_ahead_bytes = 0),
        ("read_ahead_bytes MAX", |config| config.read_ahead_bytes = u64::MAX),
        ("index_bytes 0", |config| config.index_bytes = 0),
        ("index_bytes MAX", |config| config.index_bytes = u64::MAX),
        ("admission_bytes 1", |config| config.admission_bytes = 1),
        ("admission_bytes MAX", |config| config.admission_bytes = u64::MAX),
        ("snapshots_kept MAX", |config| config.snapshots_kept = u32::MAX),
    ];
    for (what, set) in accepted {
        let mut ground = Ground::sim(1);
        set(&mut ground.config);
        let mut engine = ground.open();
        for round in 0..3 {
            let begin = round * 1500;
            for first in (begin..begin + 1500).step_by(50) {
                append(&engine, A, first..first + 50, 1);
                let mut batch = engine.batch();
                batch.append_payload(B, EntryId { index: first, term: 1 }, b"lazy").unwrap();
                drop(engine.submit(batch, Durability::Lazy).unwrap());
                // With a clock of its own, so that every machine comes to its turn, and to the end of time.
                ground.pass(&engine, Duration::from_millis(200));
                write(&engine, |batch| batch.reset_to(B, None).map(drop));
            }
            check(&engine.shard(A), 0..begin + 1500, 1);
            ground.pass(&engine, Duration::from_secs(1 << 40));
            engine.reclaim().unwrap();
            assert!(engine.health().is_good(), "{what}: {:?}", engine.health());
            engine = ground.reopen(engine);
        }
        check(&engine.shard(A), 0..4500, 1);
        engine.close().unwrap();
    }
}
