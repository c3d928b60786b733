//! Health: each reason occurs, and decides whether the engine serves and whether it is degraded.

use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use logboom::{
    Durability, Engine, EntryId, Error, Reason,
    disk::{Fault, FaultKind},
};

use crate::{
    hooked::{Gate, NO_STALL, Told, fill, next, open_hooked},
    support::*,
};

/// What is wrong, and whether the engine serves and is degraded, which must follow from that.
fn looked(engine: &Engine) -> (Vec<Reason>, bool, bool) {
    let health = engine.health();
    assert_eq!(health.is_good(), health.serves() && !health.is_degraded(), "{health:?}");
    (health.reasons.clone(), health.serves(), health.is_degraded())
}

fn wait_for(engine: &Engine, what: &str, is_so: impl Fn(&Reason) -> bool) -> (Vec<Reason>, bool, bool) {
    let begun = std::time::Instant::now();
    loop {
        let looked = looked(engine);
        if looked.0.iter().any(&is_so) {
            return looked;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain: {what} {looked:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A write that is in flight, for less than a stall takes, is no news.
#[test]
fn a_write_in_flight_is_no_reason() {
    let (gate, waits) = (Arc::new(Gate::default()), Arc::new(AtomicBool::new(false)));
    let (theirs, theirs_wait) = (Arc::clone(&gate), Arc::clone(&waits));
    let mut config = small("simulated");
    config.stall_after = Duration::from_secs(1000);
    let disk = logboom::disk::SimDisk::new(1, Default::default());
    let disk = crate::hooked::Hooked::around(disk, move |kind, name| {
        if kind == FaultKind::Write && name.starts_with("segment-") {
            theirs_wait.store(true, Ordering::SeqCst);
            theirs.pass();
        }
    });
    let engine = Engine::open_on(disk, config, logboom::Runtime::Threads).unwrap();
    waits.store(false, Ordering::SeqCst);
    gate.shut();
    thread::scope(|scope| {
        scope.spawn(|| append(&engine, A, 0..1, 1));
        while !waits.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        assert!(engine.health().is_good(), "{:?}", engine.health());
        gate.open();
    });
    engine.close().unwrap();
}

/// Any operation that lasts is a stall, the log's own or not, and it is over when that is.
#[test]
fn an_operation_that_lasts_is_a_stall_whoever_waits() {
    for (kind, prefix) in
        [(FaultKind::Write, "segment-"), (FaultKind::Write, "prefill-"), (FaultKind::Read, "segment-")]
    {
        let gate = Arc::new(Gate::default());
        let (theirs, (observer, heard)) = (Arc::clone(&gate), Told::channel());
        let engine = open_hooked(Duration::from_millis(20), Some(observer), move |done, name| {
            if done == kind && name.starts_with(prefix) {
                theirs.pass();
            }
        });
        fill(&engine);
        let last = engine.shard(A).last().unwrap();
        gate.shut();
        thread::scope(|scope| {
            scope.spawn(|| match kind {
                FaultKind::Read => drop(engine.shard(A).entries(0..1, 0).unwrap()),
                // Segments are used, and others prepared in their place.
                _ => (last + 1..last + 3000).for_each(|index| append(&engine, A, index..index + 1, 1)),
            });
            let (reasons, serves, is_degraded) =
                wait_for(&engine, "a stall", |reason| matches!(reason, Reason::Stalled(_)));
            assert!(!serves && !is_degraded, "{reasons:?}");
            assert_eq!(next(&heard), "stalled");
            gate.open();
        });
        while next(&heard) != "goes on" {}
        // What lasts a while on a busy machine may be a stall for a moment; none stays.
        while !engine.health().serves() {
            thread::yield_now();
        }
        engine.close().unwrap();
    }
}

/// The thread that commits is one that the log depends on.
#[test]
fn a_thread_that_ends_is_reported_and_poisons() {
    let is_on = Arc::new(AtomicBool::new(false));
    let (theirs, (observer, heard)) = (Arc::clone(&is_on), Told::channel());
    let engine = open_hooked(NO_STALL, Some(observer), move |kind, name| {
        let panics = kind == FaultKind::Sync && name.is_empty() && theirs.load(Ordering::SeqCst);
        assert!(!panics, "the queue's own");
    });
    append(&engine, A, 0..1, 1);
    is_on.store(true, Ordering::SeqCst);
    let mut batch = engine.batch();
    batch.append_payload(A, EntryId { index: 1, term: 1 }, b"payload").unwrap();
    // Either it was durable before the thread ended, or that is told.
    let outcome = block_on(engine.submit(batch, Durability::Durable).unwrap());
    assert!(matches!(outcome, Ok(()) | Err(Error::Poisoned { .. })), "{outcome:?}");
    let (reasons, serves, _) = wait_for(&engine, "it has ended", |reason| matches!(reason, Reason::Ended(_)));
    let ended = reasons.iter().find_map(|reason| match reason {
        Reason::Ended(ended) => Some((ended.name, &*ended.panic, ended.poisons)),
        _ => None,
    });
    assert_eq!((ended, serves), (Some(("logboom-commit", "the queue's own", true)), false));
    assert!(next(&heard).starts_with("poisoned: "));
    assert_eq!(next(&heard), "logboom-commit: the queue's own");
    let mut batch = engine.batch();
    batch.append_payload(A, EntryId { index: 2, term: 1 }, b"payload").unwrap();
    assert!(matches!(engine.write(batch), Err(Error::Poisoned { .. })));
    assert!(matches!(engine.close(), Err(Error::Poisoned { .. })));
}

/// A disk that panics, in whichever thread, is one that fails: where the log depends on it that is poison, and never a
/// panic of who writes.
#[test]
fn a_disk_that_panics_is_one_that_fails() {
    for (prefix, kind) in [("prefill-", FaultKind::Create), ("segment-", FaultKind::Write)] {
        for waits in [false, true] {
            let is_on = Arc::new(AtomicBool::new(false));
            let (theirs, (observer, heard)) = (Arc::clone(&is_on), Told::channel());
            let engine = open_hooked(NO_STALL, Some(observer), move |done, name| {
                let panics = done == kind && name.starts_with(prefix) && theirs.load(Ordering::SeqCst);
                assert!(!panics, "the disk's own");
            });
            append(&engine, A, 0..1, 1);
            is_on.store(true, Ordering::SeqCst);
            let write = |index| {
                let mut batch = engine.batch();
                batch.append_payload(A, EntryId { index, term: 1 }, bytes::Bytes::from(vec![1; 20_000])).unwrap();
                if waits { engine.write(batch) } else { block_on(engine.submit(batch, Durability::Durable)?) }
            };
            let refused = (1..1000).find_map(|index| write(index).err()).unwrap();
            let (reasons, serves, _) = looked(&engine);
            if prefix == "segment-" {
                assert!(matches!(refused, Error::Poisoned { .. }), "{refused:?}");
                assert!(matches!(reasons[..], [Reason::Poisoned(_), ..]) && !serves, "{reasons:?}");
                assert!(next(&heard).starts_with("poisoned: "));
                assert!(engine.close().is_err());
            } else {
                assert!(matches!(refused, Error::Io { .. }), "{refused:?}");
                assert!(
                    matches!(reasons[..], [Reason::Background { machine: "prefill", .. }]) && serves,
                    "{reasons:?}"
                );
                is_on.store(false, Ordering::SeqCst);
                engine.close().unwrap();
            }
        }
    }
}

/// One shard that is held back is no reason to send requests elsewhere.
#[test]
fn quarantine_degrades_and_serves() {
    let (_ground, engine) = crate::quarantine::hit(3);
    let (reasons, serves, is_degraded) = looked(&engine);
    assert!(matches!(reasons[..], [Reason::Quarantined(1)]) && serves && is_degraded, "{reasons:?}");
}

#[test]
fn prefill_that_fails_degrades_until_it_succeeds() {
    let ground = Ground::sim(4);
    let engine = ground.open();
    drive(&engine);
    ground.disk().inject(Fault::error(FaultKind::Allocate, ErrorKind::Other).on("prefill-").sticky());
    for index in 0..20 {
        let mut batch = engine.batch();
        batch.append_payload(A, EntryId { index, term: 1 }, bytes::Bytes::from(vec![1; 20_000])).unwrap();
        engine.write(batch).unwrap();
    }
    ground.pass(&engine, Duration::from_secs(1));
    let (reasons, serves, is_degraded) = looked(&engine);
    assert!(matches!(reasons[..], [Reason::Background { machine: "prefill", .. }]), "{reasons:?}");
    assert!(serves && is_degraded);
    ground.disk().clear_faults();
    ground.pass(&engine, Duration::from_secs(1));
    assert!(engine.health().is_good(), "{:?}", engine.health());
    engine.close().unwrap();
}

#[test]
fn rot_degrades_until_its_segment_is_given_back() {
    let mut ground = Ground::sim(5);
    (ground.config.scrub_period, ground.config.reclaim_in_background) = (Some(Duration::from_secs(10)), false);
    let engine = ground.open();
    fill(&engine);
    ground.disk().damage(&format!("segment-{:06}", engine.segments()[0].info.slot), 9000..9001).unwrap();
    ground.until(&engine, "rot is found", || !engine.health().is_good());
    let (reasons, serves, is_degraded) = looked(&engine);
    let first = engine.segments()[0].info.id;
    assert!(
        matches!(reasons[..], [Reason::Rot(rot)] if rot.segment == first && rot.damages == 1) && serves && is_degraded,
        "{reasons:?}"
    );
    write(&engine, |batch| batch.compact_through(A, engine.shard(A).last().unwrap()).map(drop));
    engine.reclaim().unwrap();
    assert!(engine.health().is_good(), "{:?}", engine.health());
    engine.close().unwrap();
}

/// Dashboards have these names; CHANGELOG says when one changes.
#[test]
fn metrics_have_these_names() {
    let ground = Ground::sim(5);
    let engine = ground.open();
    let text = format!("{:?}", engine.metrics());
    let names: std::collections::BTreeSet<&str> =
        text.split([' ', '{', ',']).filter_map(|word| word.strip_suffix(':')).collect();
    let expected = "admitted_bytes ahead_bytes append_batches buffer_bytes cached_bytes caught_panics cold_read_bytes \
                    cold_reads groups idle_buffer_bytes index_bytes \
                    index_checkpoints index_quarantined index_sealed index_shards log moved_bytes moved_records \
                    prepared_segments read_ahead_bytes read_cold read_hot reads_spared scrub_damages scrubbed_bytes \
                    segments segments_emptied segments_freed syncs writes written_bytes";
    assert_eq!(names, expected.split_whitespace().collect());
    engine.close().unwrap();
}
