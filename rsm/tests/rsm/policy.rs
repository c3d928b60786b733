//! The policy beside one that is written for nothing but to be read.

use std::collections::BTreeMap;

use logboom_rsm::{EntrySizes, Hold, Holder, ShardStatus, SnapshotPolicy, Trigger};

/// How things stand, entry by entry.
#[derive(Debug)]
struct Scene {
    policy: SnapshotPolicy,
    /// The bytes of each applied entry in the log, by index.
    log: BTreeMap<u64, u64>,
    first: u64,
    applied: Option<u64>,
    saved: Option<u64>,
    saving: bool,
    holds: Vec<Hold>,
}

impl Scene {
    fn choose(random: &mut fastrand::Rng) -> Self {
        let first = random.u64(0..5);
        let count = random.u64(0..40);
        let most = if random.bool() { 10 } else { 100 };
        let log: BTreeMap<u64, u64> = (first..first + count).map(|index| (index, random.u64(0..most))).collect();
        let applied = log.keys().next_back().copied().or(first.checked_sub(1));
        let saved = applied.filter(|_| random.u8(..5) > 0).map(|applied| random.u64(first.saturating_sub(1)..=applied));
        let hold = |random: &mut fastrand::Rng| {
            let needs = random.u64(0..first + count + 3);
            let holder = if random.bool() { Holder::Lease(needs.saturating_sub(1)) } else { Holder::Follower(needs) };
            Hold { needs, holder }
        };
        let holds = (0..random.usize(0..4)).map(|_| hold(random)).collect();
        let maybe = |random: &mut fastrand::Rng, most| random.bool().then(|| random.u64(0..most));
        let mut policy = SnapshotPolicy::default();
        policy.every_entries = maybe(random, 30);
        policy.every_bytes = maybe(random, 500);
        policy.keep_entries = random.u64(0..20);
        policy.compact_entries_min = random.u64(0..5);
        policy.log_bytes_max = maybe(random, 800);
        Self { policy, log, first, applied, saved, saving: random.u8(..6) == 0, holds }
    }

    fn bytes(&self, from: u64, to: u64) -> u64 {
        self.log.iter().filter(|(index, _)| (from..=to).contains(index)).map(|(_, bytes)| bytes).sum()
    }

    /// The bytes that stay when everything up to and including `to` goes.
    fn left_behind(&self, to: u64) -> u64 {
        self.bytes(to + 1, u64::MAX)
    }

    /// How far the log may go if nothing is wrong, entry by entry.
    fn wished(&self) -> Option<u64> {
        let limit = self.saved?.min(self.applied?);
        let fine = |to: &u64| limit - to >= self.policy.keep_entries && self.holds.iter().all(|hold| hold.needs > *to);
        (self.first..=limit).take_while(fine).last()
    }

    /// How far it must go so that it is well within its cap, or as far as it can.
    fn forced(&self) -> Option<u64> {
        let cap = self.policy.log_bytes_max?;
        let limit = self.saved?.min(self.applied?);
        let exceeds = self.bytes(self.first, u64::MAX) > cap;
        let enough = (self.first..=limit).find(|to| self.left_behind(*to) <= cap - cap / 8);
        exceeds.then(|| enough.or((self.first <= limit).then_some(limit))).flatten()
    }
}

#[test]
fn decisions_are_those_of_the_oracle() {
    let seed = std::env::var("LOGBOOM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..30_000 {
        let scene = Scene::choose(&mut random);
        check(&scene, &format!("seed {seed}, round {round}: {scene:?}"));
    }
}

fn check(scene: &Scene, what: &str) {
    let mut log = EntrySizes::default();
    scene.log.iter().for_each(|(index, bytes)| log.add(*index..index + 1, *bytes));
    let mut status = ShardStatus::new(scene.first, &log);
    status.applied = scene.applied;
    status.saved = scene.saved;
    status.saving = scene.saving;
    status.holds = &scene.holds;
    let decision = scene.policy.decide(&status);

    let unsaved_from = scene.saved.map_or(scene.first, |saved| saved + 1);
    let count = scene.applied.map_or(0, |applied| (applied + 1).saturating_sub(unsaved_from));
    let bytes = scene.bytes(unsaved_from, u64::MAX);
    let all = scene.bytes(scene.first, u64::MAX);
    let policy = &scene.policy;
    let expected = match scene {
        _ if scene.saving || count == 0 => None,
        _ if policy.every_entries.is_some_and(|every| count > every) => Some(Trigger::Entries { count }),
        _ if policy.every_bytes.is_some_and(|every| bytes > every) => Some(Trigger::Bytes { bytes }),
        _ if policy.log_bytes_max.is_some_and(|cap| bytes > cap) => Some(Trigger::LogBytes { bytes: all }),
        _ => None,
    };
    assert_eq!(decision.snapshot, expected, "{what}");

    let (wished, forced) = (scene.wished(), scene.forced());
    let worth = |to: &u64| to - scene.first + 1 >= policy.compact_entries_min;
    let to = if forced > wished { forced } else { wished.filter(worth) };
    assert_eq!(decision.compaction.as_ref().map(|compaction| compaction.through), to, "{what}");
    if let Some(compaction) = &decision.compaction {
        assert!(Some(compaction.through) <= scene.applied && Some(compaction.through) <= scene.saved, "{what}");
        assert_eq!(compaction.over_cap, (forced > wished).then_some(all), "{what}");
        let mut overridden: Vec<Hold> = scene.holds.clone();
        overridden.retain(|hold| hold.needs <= compaction.through);
        overridden.sort();
        assert_eq!(compaction.overridden, overridden, "{what}");
        assert!(overridden.is_empty() || compaction.over_cap.is_some(), "{what}");
    }
    if let Some(held) = decision.held_by {
        assert!(scene.holds.contains(&held) && scene.holds.iter().all(|hold| *hold >= held), "{what}");
        let unheld = Scene { holds: Vec::new(), policy: policy.clone(), log: scene.log.clone(), ..*scene };
        assert!(unheld.wished() > wished, "it holds nothing back: {what}");
    }
}

/// What etcd does: a snapshot when more than 10,000 entries were applied behind the last one (its `snapshot` compares
/// with `<=` and returns), and 5,000 of them kept behind it.
#[test]
fn the_defaults_are_those_of_etcd() {
    let policy = SnapshotPolicy::default();
    let log = EntrySizes::default();
    let mut status = ShardStatus::new(1, &log);
    let mut seen = Vec::new();
    for applied in 1..=45_000 {
        status.applied = Some(applied);
        if policy.decide(&status).snapshot.is_some() {
            status.saved = Some(applied);
            let to = policy.decide(&status).compaction.map(|compaction| compaction.through);
            status.first = to.map_or(status.first, |to| to + 1);
            seen.push((applied, to));
        }
    }
    assert_eq!(seen, [(10_001, Some(5_001)), (20_002, Some(15_002)), (30_003, Some(25_003)), (40_004, Some(35_004))]);
}

/// Each number is one that is not reached by as much: a snapshot is due behind it.
#[test]
fn a_snapshot_is_due_when_more_was_applied() {
    let mut log = EntrySizes::default();
    log.add(1..101, 1000);
    let due = |policy: SnapshotPolicy, applied| {
        let mut status = ShardStatus::new(1, &log);
        status.applied = Some(applied);
        policy.decide(&status).snapshot
    };
    let mut never = SnapshotPolicy::default();
    never.every_entries = None;
    never.log_bytes_max = None;
    for every in [0, 1, 7] {
        let mut policy = never.clone();
        policy.every_entries = Some(every);
        assert_eq!(due(policy.clone(), every), None, "{every}");
        assert_eq!(due(policy, every + 1), Some(Trigger::Entries { count: every + 1 }), "{every}");
    }
    // All of the hundred entries have ten bytes.
    let all = |every_bytes, log_bytes_max| {
        let mut policy = never.clone();
        policy.every_bytes = every_bytes;
        policy.log_bytes_max = log_bytes_max;
        policy
    };
    assert_eq!(due(all(Some(1000), None), 100), None);
    assert_eq!(due(all(Some(999), None), 100), Some(Trigger::Bytes { bytes: 1000 }));
    assert_eq!(due(all(None, Some(1000)), 100), None);
    assert_eq!(due(all(None, Some(999)), 100), Some(Trigger::LogBytes { bytes: 1000 }));
}

/// A follower that is gone for good costs the log up to the cap, and not more.
#[test]
fn a_dead_follower_holds_the_log_up_to_the_cap() {
    let mut policy = SnapshotPolicy::default();
    policy.every_entries = Some(100);
    policy.keep_entries = 10;
    policy.log_bytes_max = Some(50_000);
    let holds = [Hold { needs: 5, holder: Holder::Follower(3) }];
    let mut log = EntrySizes::default();
    let (mut first, mut saved, mut overrides) = (1, None, 0);
    for applied in 1..=10_000 {
        log.add(applied..applied + 1, 100);
        let mut status = ShardStatus::new(first, &log);
        status.applied = Some(applied);
        status.saved = saved;
        status.holds = &holds;
        let decision = policy.decide(&status);
        if decision.snapshot.is_some() {
            saved = Some(applied);
        }
        if let Some(compaction) = decision.compaction {
            assert_eq!(compaction.overridden, holds);
            assert!(compaction.over_cap.is_some());
            overrides += 1;
            first = compaction.through + 1;
        }
        let log_bytes = log.bytes(first..applied + 1);
        assert!(log_bytes <= 60_000, "{log_bytes} bytes at {applied}");
        if applied <= 500 {
            assert_eq!(first, 1, "it is held at {applied}");
        }
    }
    assert!((1..=10_000 / 50).contains(&overrides), "{overrides} compactions");
}
