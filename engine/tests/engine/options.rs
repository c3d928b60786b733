//! Options that no other test covers: each has an effect.

use std::{fs, time::Duration};

use bytes::Bytes;
use logboom::{
    Config, Engine, EntryId, Error, ShardId,
    disk::{DirectChoice, SyncMethod},
};

use crate::support::*;

/// What a change of the options makes of a number that an engine shows after some work.
fn shown<T>(change: impl Fn(&mut Config), work: impl Fn(&Ground, &Engine) -> T) -> T {
    let mut ground = Ground::sim(3);
    change(&mut ground.config);
    let engine = ground.open();
    let shown = work(&ground, &engine);
    engine.close().unwrap();
    shown
}

/// Entries that fill some segments, of which every one keeps a little alive.
fn fill(engine: &Engine) {
    for index in 0..100 {
        write(engine, |batch| {
            batch.append_payload(A, EntryId { index, term: 1 }, Bytes::from(vec![7; 20_000]))?;
            batch
                .append_payload(ShardId(100 + index / 10), EntryId { index: index % 10, term: 1 }, b"stays")?
                .compact_through(A, index)
                .map(drop)
        });
    }
}

#[test]
fn the_directory_is_made_or_must_be_there() {
    let dir = temp_dir();
    let mut config = small(dir.path().join("log"));
    let open = |config: &Config| Engine::open(config.clone()).map(|engine| engine.close().unwrap());
    for (create, create_dir) in [(false, false), (false, true), (true, false)] {
        (config.create, config.disk.create) = (create, create_dir);
        assert!(matches!(open(&config), Err(Error::Foreign { .. })), "{create} {create_dir}");
        assert!(!config.dir.exists());
    }
    fs::create_dir(&config.dir).unwrap();
    (config.create, config.disk.create) = (false, true);
    assert!(matches!(open(&config), Err(Error::Foreign { .. })), "there is no log");
    (config.create, config.disk.create) = (true, false);
    open(&config).unwrap();
    (config.create, config.disk.create) = (false, false);
    open(&config).unwrap();
    config.dir = dir.path().join("another");
    (config.create, config.disk.create) = (true, true);
    open(&config).unwrap();
}

#[test]
fn segments_in_reserve_are_prepared() {
    for reserve in [0, 1, 4] {
        let prepared = shown(
            |config| config.reserve_segments = reserve,
            |ground, engine| {
                ground.pass(engine, Duration::from_secs(1));
                engine.metrics().log.prepared_segments
            },
        );
        // Three are kept back whatever is configured.
        assert_eq!(prepared, u64::from(reserve) + 3);
    }
}

#[test]
fn the_background_moves_live_records_if_enabled() {
    for reclaims in [false, true] {
        let moved = shown(
            |config| config.reclaim_in_background = reclaims,
            |ground, engine| {
                fill(engine);
                ground.pass(engine, Duration::from_secs(600));
                engine.metrics().log.moved_records
            },
        );
        assert_eq!(moved > 0, reclaims, "{moved} records");
    }
}

#[test]
fn read_ahead_stays_within_its_memory_limit() {
    for (most, ahead) in [(0, false), (16 << 20, true)] {
        let metrics = shown(
            |config| (config.read_ahead_bytes, config.cache_bytes) = (most, 0),
            |ground, engine| {
                for round in 0..30 {
                    (0..40).for_each(|id| append(engine, ShardId(id), round * 10..(round + 1) * 10, 1));
                }
                ground.pass(engine, Duration::from_secs(1));
                for id in 0..40 {
                    check(&engine.shard(ShardId(id)), 0..300, 1);
                }
                engine.metrics().log
            },
        );
        assert_eq!(metrics.read_ahead_bytes > 0, ahead, "{metrics:?}");
        assert!(metrics.ahead_bytes <= most);
    }
}

#[test]
fn an_idle_log_writes_a_promise_after_the_configured_time() {
    for (promise, is_early) in [(Duration::from_millis(20), true), (Duration::from_secs(3600), false)] {
        let groups = shown(
            |config| config.idle_promise = promise,
            |ground, engine| {
                ground.pass(engine, Duration::from_secs(1));
                let before = engine.metrics().log.groups;
                append(engine, A, 0..1, 1);
                ground.pass(engine, Duration::from_secs(1));
                engine.metrics().log.groups - before
            },
        );
        assert_eq!(groups > 1, is_early, "{promise:?}: {groups} groups for one batch");
    }
}

#[test]
fn the_scrub_reads_full_segments_once_in_a_period() {
    for (period, is_read) in [(None, false), (Some(Duration::ZERO), true), (Some(Duration::from_secs(60)), true)] {
        let scrubbed = shown(
            |config| (config.scrub_period, config.reclaim_in_background) = (period, false),
            |ground, engine| {
                fill(engine);
                (0..200).for_each(|_| ground.pass(engine, Duration::from_secs(1)));
                engine.metrics().log.scrubbed_bytes
            },
        );
        assert_eq!(scrubbed > 0, is_read, "{period:?}: {scrubbed}");
    }
}

#[test]
fn how_the_disk_is_used_is_the_embedders_choice() {
    let facts = |change: fn(&mut Config)| {
        let mut ground = Ground::real();
        change(&mut ground.config);
        let engine = ground.open();
        append(&engine, A, 0..100, 1);
        check(&engine.shard(A), 0..100, 1);
        let facts = engine.open_report().disk.clone();
        engine.close().unwrap();
        facts
    };
    assert!(!facts(|config| config.disk.direct = DirectChoice::Off).direct);
    assert_eq!(facts(|config| config.disk.sync_method = Some(SyncMethod::Rolling)).sync_method, SyncMethod::Rolling);
    assert_eq!(facts(|config| config.disk.sync_method = Some(SyncMethod::Dsync)).sync_method, SyncMethod::Dsync);
    assert_eq!(facts(|config| config.disk.pad_unit = Some(8192)).pad_unit, 8192);
}
