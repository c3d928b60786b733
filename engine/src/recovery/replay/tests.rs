//! Replays real histories with some of their records lost.

use std::{sync::Arc, time::Duration};

use logboom_disk::{SimDisk, SimOptions};
use logboom_snapshot::EntryId;
use logboom_wal::{Descriptor, ManualClock, Options, Runtime};

use super::*;
use crate::{
    append::batch::Batch,
    engine::Engine,
    shard_state::{published::View, quarantine::Quarantine},
    types::{config::Config, delta::Delta, payload::Entry},
};

const A: ShardId = ShardId(1);
const B: ShardId = ShardId(2);

/// Fills a batch.
type Fill<'f> = &'f dyn Fn(&mut Batch<'_>) -> Result<()>;

/// What replaying the log of these batches passes.
fn history(batches: &[Fill<'_>]) -> Vec<Scanned> {
    let (disk, clock) = (SimDisk::new(1, SimOptions::default()), ManualClock::new(1));
    let mut config = Config::new("simulated");
    config.segment_bytes = 256 << 10;
    let engine = Engine::open_on(Arc::clone(&disk) as _, config, Runtime::Manual(clock.clone())).unwrap();
    for fill in batches {
        let mut batch = engine.batch();
        fill(&mut batch).unwrap();
        engine.write(batch).unwrap();
    }
    clock.advance(Duration::from_secs(1));
    while engine.drive_once() {}
    let mut scanned = Vec::new();
    let mut opening = logboom_wal::open_read_only(disk.process_crash(), Options::default()).unwrap();
    opening
        .replay(&mut |next| {
            scanned.push(next);
            Ok(())
        })
        .unwrap();
    assert!(scanned.iter().all(|scanned| matches!(scanned, Scanned::Record(..))));
    scanned
}

fn sequence(scanned: &Scanned) -> Sequence {
    match scanned {
        Scanned::Record(record, _) => record.sequence(),
        Scanned::Lost(_) => panic!("lost already"),
    }
}

/// Loses a record of which the descriptor is left.
fn lose(scanned: &mut [Scanned], nth: usize) {
    let Scanned::Record(record, place) = &scanned[nth] else { panic!("lost already") };
    let (owner, first, count, kind) = (record.owner(), record.first(), record.count(), record.kind());
    let descriptor = Descriptor { owner, first, count, kind };
    scanned[nth] = Scanned::Lost(Loss::Record { sequence: record.sequence(), segment: place.segment, descriptor });
}

/// Loses a record, without a trace.
fn forget(scanned: &mut [Scanned], nth: usize) {
    let from = sequence(&scanned[nth]);
    scanned[nth] = Scanned::Lost(Loss::Unknown { from, until: Sequence(from.0 + 1) });
}

/// What is missing of which shards, whether others are held back, and what there is.
fn quarantine(scanned: Vec<Scanned>) -> (Vec<(ShardId, Quarantine)>, bool, HashMap<ShardId, View>) {
    let mut recovery = Recovery::new();
    for next in scanned {
        if let Scanned::Record(_, place) = &next {
            recovery.segments.live.insert(place.segment);
        }
        recovery.pass(next).unwrap();
    }
    let (shards, usage, _) = recovery.finish();
    let found = shards.quarantined();
    let views: HashMap<_, _> =
        shards.ids().into_iter().map(|id| (id, shards.get(id).unwrap().published.load())).collect();
    // Every entry of a log, lost or not, is counted somewhere: it can be dropped again.
    for (id, view) in &views {
        let mut delta = Delta::default();
        shards.get(*id).unwrap().state.lock().log.clear(&view.extent, &mut delta);
        usage.apply(SegmentId(99), 0, &delta);
        assert_eq!(
            delta.freed.iter().map(|(_, amount)| amount.entries).sum::<u64>(),
            view.extent.next - view.extent.first
        );
    }
    (found, shards.has_unknown_losses(), views)
}

fn entries(batch: &mut Batch<'_>, shard: ShardId, range: std::ops::Range<u64>, term: u64) -> Result<()> {
    for index in range {
        batch.append(shard, Entry::new(EntryId { index, term }, b"payload"))?;
    }
    Ok(())
}

fn lost(entries: &[(u64, u64)]) -> Quarantine {
    Quarantine { entries: entries.iter().map(|&(first, end)| first..end).collect(), ..Quarantine::default() }
}

fn suffix() -> Quarantine {
    Quarantine { suffix: true, ..Quarantine::default() }
}

/// The quarantine of A, and its log, when one batch of its history is lost; B is whole in any case.
fn after_loss_of(batch: Fill<'_>, then: Fill<'_>) -> (Option<Quarantine>, (u64, u64)) {
    let mut scanned = history(&[&|batch| entries(batch, A, 5..8, 1), &|batch| entries(batch, B, 1..4, 1), batch, then]);
    lose(&mut scanned, 2);
    let (mut found, unknown_losses, views) = quarantine(scanned);
    assert!(!unknown_losses && found.iter().all(|(shard, _)| *shard == A), "{found:?}");
    let extent = views.get(&A).map_or((0, 0), |view| (view.extent.first, view.extent.next));
    (found.pop().map(|(_, quarantine)| quarantine), extent)
}

#[test]
fn what_a_descriptor_tells_is_applied_and_the_rest_is_missing() {
    let nothing = |batch: &mut Batch<'_>| batch.put(B, b"k", b"v").map(drop);
    let last = |batch: &dyn Fn(&mut Batch<'_>) -> Result<()>| after_loss_of(batch, &nothing);
    assert_eq!(last(&|batch| entries(batch, A, 8..11, 1)), (Some(lost(&[(8, 11)])), (5, 11)));
    assert_eq!(last(&|batch| batch.truncate_after(A, 6).map(drop)), (None, (5, 7)));
    assert_eq!(last(&|batch| batch.compact_through(A, 6).map(drop)), (None, (7, 8)));
    assert_eq!(last(&|batch| batch.reset_to(A, None).map(drop)), (None, (0, 0)));
    let boundary = EntryId { index: 20, term: 4 };
    assert_eq!(last(&|batch| batch.reset_to(A, Some(boundary)).map(drop)), (Some(suffix()), (5, 8)));
    assert_eq!(last(&|batch| batch.destroy(A).map(drop)), (None, (0, 0)));
    let hard_state = Quarantine { hard_state: true, ..Quarantine::default() };
    assert_eq!(last(&|batch| batch.hard_state(A, b"vote").map(drop)), (Some(hard_state), (5, 8)));
    assert_eq!(last(&|batch| batch.commit_hint(A, b"7").map(drop)), (None, (5, 8)));
    let keys = Quarantine { keys: true, ..Quarantine::default() };
    assert_eq!(last(&|batch| batch.put(A, b"k", b"v").map(drop)), (Some(keys.clone()), (5, 8)));
    assert_eq!(last(&|batch| batch.delete(A, b"k").map(drop)), (Some(keys), (5, 8)));
    assert_eq!(last(&|batch| batch.accept_loss(A).map(drop)), (None, (5, 8)));
    assert_eq!(
        last(&|batch| batch.heal(A, Entry::new(EntryId { index: 6, term: 1 }, b"x")).map(drop)),
        (Some(lost(&[(6, 7)])), (5, 8))
    );
}

#[test]
fn what_comes_later_is_proven_and_may_make_good() {
    let more = |batch: &mut Batch<'_>| entries(batch, A, 11..12, 2);
    assert_eq!(after_loss_of(&|batch| entries(batch, A, 8..11, 1), &more), (Some(lost(&[(8, 11)])), (5, 12)));
    let vote = |batch: &mut Batch<'_>| batch.hard_state(A, b"new").map(drop);
    assert_eq!(after_loss_of(&|batch| batch.hard_state(A, b"old").map(drop), &vote), (None, (5, 8)));
    let cut = |batch: &mut Batch<'_>| batch.truncate_after(A, 8).map(drop);
    assert_eq!(after_loss_of(&|batch| entries(batch, A, 8..11, 1), &cut), (Some(lost(&[(8, 9)])), (5, 9)));
    let compact = |batch: &mut Batch<'_>| batch.compact_through(A, 9).map(drop);
    assert_eq!(after_loss_of(&|batch| entries(batch, A, 8..11, 1), &compact), (Some(lost(&[(10, 11)])), (10, 11)));
    let destroy = |batch: &mut Batch<'_>| batch.destroy(A).map(drop);
    assert_eq!(after_loss_of(&|batch| batch.put(A, b"k", b"v").map(drop), &destroy), (None, (0, 0)));
    // The boundary of a lost reset is unknown: later entries have no place.
    let boundary = EntryId { index: 7, term: 4 };
    let reset = |batch: &mut Batch<'_>| batch.reset_to(A, Some(boundary)).map(drop);
    let behind = |batch: &mut Batch<'_>| entries(batch, A, 8..9, 5);
    assert_eq!(after_loss_of(&reset, &behind), (Some(suffix()), (5, 8)));
}

#[test]
fn what_overwrote_older_entries_and_is_lost_does_not_bring_them_back() {
    let overwrite = |batch: &mut Batch<'_>| {
        batch
            .overwrite(
                A,
                [Entry::new(EntryId { index: 6, term: 2 }, b"new"), Entry::new(EntryId { index: 7, term: 2 }, b"new")],
            )
            .map(drop)
    };
    let mut scanned = history(&[&|batch| entries(batch, A, 5..8, 1), &overwrite, &|batch| entries(batch, A, 8..9, 2)]);
    lose(&mut scanned, 2);
    let (found, ..) = quarantine(scanned);
    assert_eq!(found, [(A, lost(&[(6, 8)]))]);
}

#[test]
fn a_loss_without_a_trace_is_ruled_out_by_a_later_link() {
    let history = || {
        history(&[
            &|batch| entries(batch, A, 1..3, 1),
            &|batch| entries(batch, B, 1..3, 1),
            &|batch| entries(batch, ShardId(3), 1..3, 1),
            &|batch| entries(batch, A, 3..4, 1),
            &|batch| entries(batch, B, 3..4, 1),
        ])
    };
    let mut scanned = history();
    forget(&mut scanned, 3);
    let (found, unknown_losses, views) = quarantine(scanned);
    assert_eq!(found, [(A, suffix()), (ShardId(3), suffix())], "B goes on behind the loss, from what is known");
    assert_eq!((views[&A].extent.next, views[&B].extent.next, unknown_losses), (3, 4, true));
    let mut scanned = history();
    forget(&mut scanned, 1);
    let (found, _, views) = quarantine(scanned);
    assert_eq!(found, [(B, suffix())], "A is proven by what follows, the third by its beginning");
    assert_eq!((views[&A].extent.next, views[&B].extent.next), (4, 0));
}

#[test]
fn a_new_life_needs_no_proof_of_the_old_one() {
    let mut scanned = history(&[
        &|batch| entries(batch, A, 1..3, 1),
        &|batch| entries(batch, A, 3..5, 1),
        &|batch| batch.destroy(A).map(drop),
        &|batch| entries(batch, A, 50..52, 9),
    ]);
    forget(&mut scanned, 1);
    let (found, unknown_losses, views) = quarantine(scanned.clone());
    assert_eq!((found, unknown_losses, views[&A].extent.first), (vec![], true, 50));
    scanned.pop();
    let (found, _, views) = quarantine(scanned);
    assert_eq!((found, views[&A].quarantined, views[&A].extent.next), (vec![], false, 0), "destroyed, for certain");
}

#[test]
fn a_broken_link_leaves_the_shard_as_of_the_last_proven_record() {
    let mut scanned = history(&[
        &|batch| entries(batch, A, 1..3, 1),
        &|batch| batch.hard_state(A, b"vote").map(drop),
        &|batch| entries(batch, A, 3..5, 1),
        &|batch| entries(batch, A, 5..6, 1),
    ]);
    scanned.remove(1);
    let (found, unknown_losses, views) = quarantine(scanned.clone());
    assert_eq!((found, unknown_losses), (vec![(A, suffix())], false));
    assert_eq!(views[&A].extent.next, 3);
    scanned.remove(0);
    let (found, _, views) = quarantine(scanned);
    assert_eq!((found, views[&A].extent.next), (vec![(A, suffix())], 0), "its beginning is missing");
}

#[test]
fn entries_of_a_segment_that_is_gone_are_missing() {
    let scanned = history(&[&|batch| entries(batch, A, 1..3, 1), &|batch| entries(batch, B, 1..3, 1)]);
    let mut recovery = Recovery::new();
    scanned.into_iter().for_each(|next| recovery.pass(next).unwrap());
    let (shards, ..) = recovery.finish();
    assert_eq!(shards.quarantined(), [(A, lost(&[(1, 3)])), (B, lost(&[(1, 3)]))]);
}

#[test]
fn an_accepted_loss_does_not_make_good_for_what_it_came_with() {
    let mut scanned = history(&[&|batch| batch.hard_state(A, b"old").map(drop), &|batch| {
        batch.hard_state(A, b"new")?.accept_loss(A).map(drop)
    }]);
    lose(&mut scanned, 1);
    let (found, ..) = quarantine(scanned);
    assert_eq!(found, [(A, Quarantine { hard_state: true, ..Quarantine::default() })]);
}
