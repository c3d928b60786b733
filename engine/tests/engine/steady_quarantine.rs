//! A shard in quarantine serves and misses the same entries after every opening, until the quarantine ends.
//! `LOGBOOM_SEED` runs one seed.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use fastrand::Rng;
use logboom::{Engine, EntryId, Quarantine, ReadError, ShardId, disk::Disk};
use logboom_wal::Scanned;

use crate::{
    quarantine::{crash, damage},
    support::*,
};

/// Bytes that rot at once.
const ROT: u64 = 64 << 10;

/// The term of an entry, and its payload.
type Read = (u64, Vec<u8>);

/// What a shard says of itself: its bounds, what is missing, and what reading each of its entries gives.
#[derive(Debug, PartialEq)]
struct Said {
    bounds: logboom::Bounds,
    missing: Option<Quarantine>,
    entries: Vec<(u64, Option<Read>)>,
    terms: Vec<(u64, Option<u64>)>,
}

fn said(seed: u64, engine: &Engine) -> BTreeMap<ShardId, Said> {
    let of = |shard: ShardId| {
        let shard = engine.shard(shard);
        let bounds = shard.bounds();
        let range: Range<u64> = bounds.first.unwrap_or(0)..bounds.last.map_or(0, |last| last + 1);
        let entry = |index: u64| match shard.entries(index..index + 1, u64::MAX) {
            Ok(batch) => batch.iter().next().map(|entry| (entry.term, entry.payload.to_vec())),
            Err(ReadError::Corrupted { .. }) => None,
            Err(error) => panic!("{index} of {shard:?}: {error}"),
        };
        let read: Vec<_> = range.clone().map(|index| (index, entry(index))).collect();
        let lost: Vec<u64> = shard.quarantine().into_iter().flat_map(|lost| lost.entries).flatten().collect();
        let unread: Vec<u64> = read.iter().filter(|(_, entry)| entry.is_none()).map(|(index, _)| *index).collect();
        assert_eq!(lost, unread, "seed {seed}: what is lost of {shard:?}, and what cannot be read");
        Said {
            missing: shard.quarantine(),
            entries: read,
            terms: range.map(|index| (index, shard.term(index).ok())).collect(),
            bounds,
        }
    };
    engine.shards().into_iter().map(|shard| (shard, of(shard))).collect()
}

/// Appends and overwrites of shards that go on for several segments, some of them with a checkpoint, some without.
fn fill(engine: &Engine, rng: &mut Rng, ground: &Ground) {
    if rng.bool() {
        // A checkpoint so large is not due again before the test ends.
        for key in 0..24_u8 {
            write(engine, |batch| batch.put(ShardId(100), &[key], &[key; 20 << 10]).map(drop));
        }
        ground.pass(engine, Duration::from_secs(1));
    }
    let (mut next, mut kept) = ([1_u64; 8], [1_u64; 8]);
    let mut term = 1;
    for round in 0..rng.u64(300..1200) {
        let at = rng.usize(..next.len());
        let shard = ShardId(at as u64 + 1);
        let back = if rng.u32(..5) == 0 { rng.u64(..30).min(next[at] - kept[at]) } else { 0 };
        term += u64::from(back > 0);
        let (first, count) = (next[at] - back, rng.u64(1..6));
        let mut batch = engine.batch();
        batch.overwrite(shard, entries(shard, first..first + count, term)).unwrap();
        if rng.u32(..10) == 0 {
            batch.hard_state(shard, &round.to_le_bytes()).unwrap();
        }
        engine.write(batch).unwrap();
        if rng.u32(..40) == 0 && first - kept[at] > 60 {
            write(engine, |batch| batch.compact_through(shard, first - 60).map(drop));
            kept[at] = first - 59;
        }
        next[at] = first + count;
        if rng.u32(..20) == 0 {
            ground.pass(engine, Duration::from_millis(20));
        }
    }
}

fn rot(ground: &Ground, rng: &mut Rng) {
    let disk = ground.disk();
    let names: Vec<String> = disk.list().unwrap().into_iter().filter(|name| name.starts_with("segment-")).collect();
    let name = &names[rng.usize(..names.len())];
    let at = rng.u64(..(256 << 10) - ROT) / 512 * 512;
    disk.damage(name, at..at + ROT).unwrap();
}

fn check_seed(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let ground = Ground::sim(seed);
    let engine = ground.open();
    fill(&engine, &mut rng, &ground);
    crash(&ground, engine);
    rot(&ground, &mut rng);
    let mut engine = ground.open();
    let first = said(seed, &engine);
    for round in 0..4 {
        match rng.u32(..3) {
            0 => drop(engine.reclaim().unwrap()),
            1 => ground.pass(&engine, Duration::from_secs(2)),
            _ => {}
        }
        assert_eq!(said(seed, &engine), first, "seed {seed}, round {round}, while it was open");
        if rng.bool() {
            crash(&ground, engine);
            engine = ground.open();
        } else {
            engine = ground.reopen(engine);
        }
        assert_eq!(said(seed, &engine), first, "seed {seed}, round {round}");
    }
}

#[test]
fn what_is_missing_and_what_is_served_stays_the_same() {
    match std::env::var("LOGBOOM_SEED") {
        Ok(seed) => check_seed(seed.parse().unwrap()),
        Err(_) => (0..40).for_each(check_seed),
    }
}

/// An engine with one damaged record in a sealed segment that the checkpoint covers, and the entry that it held.
fn with_damage_below_the_checkpoint(config: impl Fn(&mut logboom::Config)) -> (Ground, Engine, u64) {
    let mut ground = Ground::sim(5);
    ground.config.cache_bytes = 0;
    config(&mut ground.config);
    let engine = ground.open();
    for index in 1..60 {
        append(&engine, A, index..index + 1, 1);
        write(&engine, |batch| {
            batch.append_payload(B, EntryId { index, term: 1 }, bytes::Bytes::from(vec![1; 20_000])).map(drop)
        });
    }
    let mut engine = ground.reopen(engine);
    let mut opening = logboom_wal::open_read_only(ground.disk(), logboom_wal::Options::default()).unwrap();
    opening.replay(&mut |_| Ok(())).unwrap();
    let first = opening.segments()[0];
    assert!(first.id < opening.replay_from(), "{first:?}");
    let mut places = Vec::new();
    opening
        .scan(first.id, &mut |scanned| {
            if let Scanned::Record(record, place) = scanned {
                places.extend((record.owner() == A.0).then_some((record.first(), place)));
            }
            Ok(())
        })
        .unwrap();
    let (index, place) = places[3];
    damage(&ground, place, 64..place.len);
    engine = ground.reopen(engine);
    assert_eq!(verified(&ground).damages.len(), 1);
    assert_eq!(engine.quarantined(), [], "opening does not read what the checkpoint covers");
    (ground, engine, index)
}

fn verified(ground: &Ground) -> logboom_wal::VerifyReport {
    logboom_wal::verify(ground.disk(), logboom_wal::Options::default(), &mut |_, _| ()).unwrap()
}

/// The shard is in quarantine for the entry alone, also after a crash and after a restart, until it is healed.
fn check_known(ground: &Ground, mut engine: Engine, index: u64) {
    for crashes in [false, true, false] {
        assert_eq!(engine.quarantined().len(), 1);
        assert_eq!(engine.shard(A).quarantine().unwrap().entries, std::slice::from_ref(&(index..index + 1)));
        assert_eq!(engine.shard(A).entries(1..60, u64::MAX).unwrap().len() as u64, index - 1);
        assert_eq!(engine.shard(A).term(index).ok(), Some(1), "what is lost is the entry, not its term");
        if crashes {
            crash(ground, engine);
            engine = ground.open();
        } else {
            engine = ground.reopen(engine);
        }
    }
    engine.heal(A, entries(A, index..index + 1, 1)).unwrap();
    engine.reclaim().unwrap();
    assert_eq!(verified(ground).damages.len(), 0, "the damaged segment was given back");
    engine = ground.reopen(engine);
    assert_eq!(engine.quarantined(), []);
    check(&engine.shard(A), 1..60, 1);
    engine.close().unwrap();
}

#[test]
fn what_a_scrub_finds_puts_the_shard_in_quarantine() {
    let (ground, engine, index) =
        with_damage_below_the_checkpoint(|config| config.scrub_period = Some(Duration::from_secs(10)));
    ground.until(&engine, "the scrub comes by", || !engine.quarantined().is_empty());
    check_known(&ground, engine, index);
}

#[test]
fn what_a_read_finds_puts_the_shard_in_quarantine() {
    let (ground, engine, index) = with_damage_below_the_checkpoint(|_| {});
    let read = engine.shard(A).entries(index - 1..60, u64::MAX).unwrap();
    assert_eq!(read.len(), 1, "what lies before it is served");
    check_known(&ground, engine, index);
}

#[test]
fn what_reclaiming_finds_puts_the_shard_in_quarantine() {
    let (ground, engine, index) = with_damage_below_the_checkpoint(|_| {});
    write(&engine, |batch| batch.compact_through(B, 58).map(drop));
    let report = engine.reclaim().unwrap();
    assert_eq!(report.damaged.len(), 1);
    check_known(&ground, engine, index);
}

#[test]
fn a_segment_is_verified_on_demand() {
    let (ground, engine, index) = with_damage_below_the_checkpoint(|_| {});
    engine.report_damage(engine.segments().iter().map(|segment| segment.info.id)).unwrap();
    check_known(&ground, engine, index);
}

/// What is intact beside it moves out once the shard has what it lost, or has given it up: by reclaiming that is asked
/// for, and by that in the background; where the engine was opened anew in between as well.
#[test]
fn a_segment_in_which_a_read_found_damage_is_emptied_and_given_back() {
    let ways = [(true, true), (true, false), (false, true), (false, false)];
    for (heals, (is_reopened, is_asked_for)) in [true, false].into_iter().flat_map(|heals| ways.map(|way| (heals, way)))
    {
        let (ground, mut engine, index) = with_damage_below_the_checkpoint(|config| config.scrub_period = None);
        engine.shard(A).entries(index..60, u64::MAX).unwrap_err();
        assert_eq!(engine.quarantined().len(), 1);
        if is_reopened {
            engine = ground.reopen(engine);
        }
        if heals {
            engine.heal(A, entries(A, index..index + 1, 1)).unwrap();
        } else {
            write(&engine, |batch| {
                batch.reset_to(A, Some(logboom::EntryId { index: 59, term: 1 }))?;
                batch.hard_state(A, b"vote")?.accept_loss(A).map(drop)
            });
        }
        assert_eq!(engine.quarantined(), []);
        match is_asked_for {
            true => drop(engine.reclaim().unwrap()),
            false => ground.pass(&engine, Duration::from_secs(20)),
        }
        assert_eq!(verified(&ground).damages.len(), 0, "{heals} {is_reopened} {is_asked_for}");
        engine = ground.reopen(engine);
        let entries = engine.shard(B).entries(1..60, u64::MAX).unwrap();
        assert_eq!(entries.len(), 59, "what lay beside it is there");
        engine.close().unwrap();
    }
}
