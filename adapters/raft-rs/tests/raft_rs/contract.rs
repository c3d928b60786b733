//! What raft-rs 0.7 expects of a storage, clause by clause: each row is one case.

use logboom::EntryId;
use logboom_raft_rs::{Error, Group, Round};
use raft::{
    GetEntriesContext, Storage, StorageError,
    eraftpb::{ConfState, Message, MessageType},
};

use crate::support::{
    Machine, Node, SHARD, append, build, entry, entry_with, foreign_snapshot, group_of, hard_state, members, message,
    ship, snapshot_message,
};

const ROWS: &[(&str, fn())] = &[
    ("raft-rs initial_state: a default ConfState means uninitialised", uninitialised),
    ("raft-rs initial_state: hard state and ConfState are found again", state_is_found_again),
    ("raft-rs initial_state: a commit index past the last entry is an error, not a panic", commit_past_the_end),
    ("raft-rs initial_state: what is applied is committed, or the core panics", applied_is_committed),
    ("raft-rs initial_state: what is applied lies in the log", applied_outside_the_log),
    ("raft-rs initial_state: a log from index 0 has no index behind which it begins", log_from_index_0),
    ("raft-rs initial_state: a log ahead of the hard state has lost a vote", hard_state_is_lost),
    ("raft-rs initial_state: the ConfState is that of what is applied", conf_state_of_what_is_applied),
    ("raft-rs first_index, last_index: 1 and 0 when fresh, around the boundary when empty", bounds_when_empty),
    ("raft-rs last_index: everything up to it at open is durable", recovered_is_durable),
    ("raft-rs term: the boundary's survives compaction, and opening", boundary_term),
    ("raft-rs term: Compacted below, Unavailable above", term_outside),
    ("raft-rs term: a lost entry's is told, for the core ends the process where one cannot be", lost_term),
    ("raft-rs entries: every field of an entry comes back", every_field),
    ("raft-rs entries: a kind that is none of raft-rs' is an error", foreign_kind),
    ("raft-rs snapshot: SnapshotTemporarilyUnavailable while none is ready", no_snapshot),
    ("raft-rs snapshot: one that the log does not go on from is none", snapshot_behind_the_log),
    ("raft-rs snapshot: the log behind one that is sent stays", log_behind_a_snapshot),
    ("raft-rs compaction: exclusive, and never past what is applied", compaction),
    ("raft-rs Ready: snapshot, entries and hard state are there together or not at all", ready_is_atomic),
    ("raft-rs Ready: one that exceeds a batch is a prefix at any moment", large_ready),
    ("raft-rs Ready: many groups, one batch", many_groups),
    ("raft-rs Ready: must_sync is false when only the commit index has moved, and nothing waits", commit_needs_no_sync),
    ("raft-rs Ready: a leader's messages need not wait, a follower's do", messages_wait),
    ("raft-rs advance_append_async: entries and terms are served before they are durable", served_before_durable),
    ("raft-rs on_persist_ready: a write tells what was submitted before it as well", write_after_submit),
    ("raft-rs apply_snapshot: the whole log goes, commit and term rise", snapshot_replaces_the_log),
    ("raft-rs apply_snapshot: the snapshot is sent on from here", snapshot_is_sent_on),
];

#[test]
fn every_row_holds() {
    let failed: Vec<&str> =
        ROWS.iter().filter(|row| std::panic::catch_unwind(row.1).is_err()).map(|row| row.0).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

fn uninitialised() {
    let group = Group::open(&Machine::new(1).open(), SHARD, 0).unwrap();
    let state = group.initial_state().unwrap();
    assert!(!state.initialized());
    assert_eq!(state.conf_state, ConfState::default());
}

fn state_is_found_again() {
    let mut machine = Machine::new(1);
    let engine = machine.open();
    Group::create(&engine, [SHARD], &members(&[1, 2, 3]), EntryId { index: 5, term: 5 }).unwrap();
    let mut node = Node::new(1, Group::open(&engine, SHARD, 5).unwrap(), 5);
    node.raw.step(append(2, 6, (5, 5), 6, vec![entry(6, 6), entry(7, 6)])).unwrap();
    node.run();
    machine.power_cut();
    let state = Group::open(&machine.open(), SHARD, 5).unwrap().initial_state().unwrap();
    assert_eq!((state.hard_state, state.conf_state), (hard_state(6, 0, 6), members(&[1, 2, 3])));
}

fn commit_past_the_end() {
    let group = group_of((2, 2), &[entry(3, 3)]);
    let mut batch = group.engine().batch();
    batch.commit_hint(SHARD, &4_u64.to_le_bytes()).unwrap();
    group.engine().write(batch).unwrap();
    let error = Group::open(group.engine(), SHARD, 2).unwrap_err();
    assert!(matches!(error, Error::Commit { commit: 4, first: 3, last: 3, .. }), "{error}");
    assert!(group.initial_state().is_err());
}

fn applied_is_committed() {
    let group = group_of((2, 2), &[entry(3, 3), entry(4, 3)]);
    assert_eq!(group.initial_state().unwrap().hard_state.commit, 2);
    let group = Group::open(group.engine(), SHARD, 4).unwrap();
    assert_eq!(group.initial_state().unwrap().hard_state.commit, 4);
    let node = Node::new(1, group, 4);
    assert_eq!(node.raw.raft.raft_log.applied, 4);
}

fn applied_outside_the_log() {
    let group = group_of((2, 2), &[entry(3, 3)]);
    for applied in [0, 1, 4, u64::MAX] {
        let error = Group::open(group.engine(), SHARD, applied).unwrap_err();
        assert!(matches!(error, Error::Applied { first: 3, last: 3, .. }), "{error}");
    }
}

fn log_from_index_0() {
    let engine = Machine::new(1).open();
    let mut batch = engine.batch();
    batch.append_payload(SHARD, EntryId { index: 0, term: 1 }, b"").unwrap();
    engine.write(batch).unwrap();
    let error = Group::open(&engine, SHARD, 0).unwrap_err();
    assert!(matches!(&error, Error::Malformed { what, .. } if what.contains("index 0")), "{error}");
}

fn hard_state_is_lost() {
    let group = group_of((2, 2), &[entry(3, 3)]);
    let mut batch = group.engine().batch();
    batch.append_payload(SHARD, EntryId { index: 4, term: 9 }, b"").unwrap();
    group.engine().write(batch).unwrap();
    let error = Group::open(group.engine(), SHARD, 2).unwrap_err();
    assert!(matches!(error, Error::Term { term: 3, last_term: 9, .. }), "{error}");
}

fn conf_state_of_what_is_applied() {
    let group = group_of((2, 2), &[entry(3, 3), entry(4, 3), entry(5, 3)]);
    let mut node = Node::new(1, group.clone(), 2);
    for (index, voters) in [(4, &[1, 2][..]), (5, &[1])] {
        let conf_state = members(voters);
        let mut round = Round::new();
        round.conf_state(&group, index, &conf_state);
        assert!(node.writer.write(&mut round).unwrap().1.is_empty());
    }
    let at = |applied| Group::open(group.engine(), SHARD, applied).unwrap().initial_state().unwrap().conf_state;
    let all = [at(2), at(3), at(4), at(5)];
    assert_eq!(all, [members(&[1, 2, 3]), members(&[1, 2, 3]), members(&[1, 2]), members(&[1])]);
    // What is compacted takes with it what nobody can begin with any more.
    group.applied_to(5).unwrap();
    group.compact_through(4).unwrap();
    assert_eq!((at(4), at(5)), (members(&[1, 2]), members(&[1])));
    assert_eq!(group.conf_state(3).unwrap(), ConfState::default());
}

fn bounds_when_empty() {
    let bounds = |group: &Group| (group.first_index().unwrap(), group.last_index().unwrap());
    let fresh = Group::open(&Machine::new(1).open(), SHARD, 0).unwrap();
    assert_eq!((bounds(&fresh), fresh.term(0)), ((1, 0), Ok(0)));
    assert_eq!(bounds(&group_of((0, 0), &[])), (1, 0));
    assert_eq!(bounds(&group_of((5, 5), &[])), (6, 5));
}

fn recovered_is_durable() {
    let mut machine = Machine::new(9);
    let engine = machine.open();
    Group::create(&engine, [SHARD], &members(&[1, 2]), EntryId { index: 0, term: 0 }).unwrap();
    let mut node = Node::new(1, Group::open(&engine, SHARD, 0).unwrap(), 0);
    node.raw.step(append(2, 1, (0, 0), 0, vec![entry(1, 1)])).unwrap();
    let ready = node.raw.ready();
    node.submit(ready);
    engine.drive_once();
    // Whether it has survived is open; once it was found it stays found.
    machine.power_cut();
    let last = Group::open(&machine.open(), SHARD, 0).unwrap().last_index().unwrap();
    for _ in 0..3 {
        machine.power_cut();
        assert_eq!(Group::open(&machine.open(), SHARD, 0).unwrap().last_index(), Ok(last));
    }
}

fn boundary_term() {
    let mut machine = Machine::new(1);
    let engine = machine.open();
    Group::create(&engine, [SHARD], &members(&[1, 2]), EntryId { index: 2, term: 2 }).unwrap();
    let mut node = Node::new(1, Group::open(&engine, SHARD, 2).unwrap(), 2);
    node.raw.step(append(2, 4, (2, 2), 4, vec![entry(3, 3), entry(4, 4)])).unwrap();
    node.run();
    let group = node.group();
    group.applied_to(4).unwrap();
    for (boundary, term) in [(3, 3), (4, 4)] {
        group.compact_through(boundary).unwrap();
        assert_eq!((group.first_index(), group.term(boundary)), (Ok(boundary + 1), Ok(term)));
    }
    engine.close().unwrap();
    machine.power_cut();
    let group = Group::open(&machine.open(), SHARD, 4).unwrap();
    assert_eq!((group.first_index(), group.last_index(), group.term(4)), (Ok(5), Ok(4), Ok(4)));
}

fn term_outside() {
    let group = group_of((2, 2), &[entry(3, 3)]);
    assert_eq!(group.term(1), Err(raft::Error::Store(StorageError::Compacted)));
    assert_eq!(group.term(4), Err(raft::Error::Store(StorageError::Unavailable)));
}

fn lost_term() {
    let group = crate::lost::group_that_lost_its_log();
    assert_eq!([1, 2, 3].map(|index| group.term(index)), [Ok(1), Ok(1), Ok(1)]);
    assert!(group.entries(1, 4, None, GetEntriesContext::empty(false)).is_err());
}

fn every_field() {
    use raft::eraftpb::EntryType;
    let mut entries = Vec::new();
    for (index, kind) in (1..).zip([EntryType::EntryNormal, EntryType::EntryConfChange, EntryType::EntryConfChangeV2]) {
        let mut entry = entry_with(index, 1, &b"data"[..]);
        entry.set_entry_type(kind);
        entry.context = b"context"[..].into();
        entry.sync_log = index == 2;
        entries.push(entry);
    }
    let mut node = Node::new(1, group_of((0, 0), &[]), 0);
    node.raw.step(append(2, 1, (0, 0), 0, entries.clone())).unwrap();
    node.run();
    assert_eq!(node.group().entries(1, 4, None, GetEntriesContext::empty(false)).unwrap(), entries);
}

fn foreign_kind() {
    let group = group_of((0, 0), &[]);
    let mut batch = group.engine().batch();
    batch.append(SHARD, logboom::Entry { kind: 9, ..logboom::Entry::new(EntryId { index: 1, term: 1 }, b"") }).unwrap();
    group.engine().write(batch).unwrap();
    assert!(group.entries(1, 2, None, GetEntriesContext::empty(false)).is_err());
    assert!(matches!(group.failure(), Some(Error::Read(_))));
}

fn no_snapshot() {
    let group = group_of((2, 2), &[entry(3, 3)]);
    let unavailable = Err(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable));
    assert_eq!(group.snapshot(0, 2), unavailable);
    assert_eq!(group.snapshot_wanted(), Some(2));
    drop(group.register(&build(&group, 2, b"state")).unwrap());
    assert_eq!(group.snapshot(3, 2), unavailable);
    assert_eq!(group.snapshot_wanted(), Some(3));
    drop(group.register(&build(&group, 3, b"state")).unwrap());
    assert_eq!((group.snapshot(3, 2).unwrap().get_metadata().index, group.snapshot_wanted()), (3, None));
}

fn snapshot_behind_the_log() {
    let group = group_of((2, 2), &[entry(3, 3), entry(4, 3)]);
    drop(group.register(&build(&group, 2, b"state")).unwrap());
    group.applied_to(4).unwrap();
    group.compact_through(3).unwrap();
    assert_eq!(group.snapshot(0, 2), Err(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable)));
}

fn log_behind_a_snapshot() {
    let group = group_of((2, 2), &[entry(3, 3), entry(4, 3)]);
    drop(group.register(&build(&group, 3, b"state")).unwrap());
    group.applied_to(4).unwrap();
    assert_eq!(group.snapshot(0, 2).unwrap().data, group.sending(2).unwrap().manifest_bytes());
    let error = group.compact_through(4).unwrap_err();
    assert!(matches!(error, Error::Engine(logboom::Error::Leased { .. })), "{error}");
    group.compact_through(3).unwrap();
    group.sent(2);
    group.compact_through(4).unwrap();
    assert_eq!(group.first_index(), Ok(5));
}

fn compaction() {
    let group = group_of((2, 2), &[entry(3, 3), entry(4, 3)]);
    let error = group.compact_through(3).unwrap_err();
    assert!(matches!(error, Error::Engine(logboom::Error::Unapplied { index: 3, .. })), "{error}");
    group.applied_to(3).unwrap();
    group.compact_through(3).unwrap();
    assert_eq!((group.first_index(), group.term(4)), (Ok(4), Ok(3)), "what is given goes");
    group.compact_through(2).unwrap();
    assert_eq!(group.first_index(), Ok(4));
    assert!(group.applied_to(5).is_err());
}

/// Every point at which the power can go while a `Ready` is written, several times.
fn cut_everywhere(entries: usize, data: usize, mut check: impl FnMut(&Group, u64)) {
    for seed in 0..10 {
        let mut at = 1;
        while !cut_at(at, seed, entries, data, &mut check) {
            at += 1;
        }
    }
}

/// Writes a `Ready` with a snapshot and entries, stops in the middle of an operation, and has `check` look at what is
/// found, and at what the last entry was to be. True if nothing was stopped.
fn cut_at(at: u64, seed: u64, entries: usize, data: usize, check: &mut dyn FnMut(&Group, u64)) -> bool {
    let mut machine = Machine::new(100 * seed + at);
    let engine = machine.open();
    let group = Group::create(&engine, [SHARD], &members(&[1, 2]), EntryId { index: 1, term: 1 })
        .and_then(|()| Group::open(&engine, SHARD, 1))
        .unwrap();
    crate::support::settle(&engine);
    let (other, snapshot) = foreign_snapshot(10, 3, &[1, 2], b"state");
    ship(&other, &snapshot, &group);
    let mut node = Node::new(1, group.clone(), 1);
    node.raw.step(snapshot_message(2, 4, &snapshot)).unwrap();
    let entries: Vec<_> = (11..11 + entries as u64).map(|index| entry_with(index, 4, vec![7; data])).collect();
    let last = entries.last().map_or(10, |entry| entry.index);
    node.raw.step(append(2, 4, (10, 3), last, entries)).unwrap();
    let mut ready = node.raw.ready();
    assert!(!ready.snapshot().is_empty() && ready.hs().unwrap().commit == last);
    machine.disk.halt_after(at);
    let mut round = Round::new();
    round.save(&group, &mut ready);
    let is_written = node.writer.write(&mut round).is_ok();
    machine.power_cut();
    drop((node, group, engine));
    let engine = machine.open();
    let boundary = engine.shard(SHARD).boundary().unwrap().index;
    let found = Group::open(&engine, SHARD, boundary).unwrap();
    check(&found, last);
    assert!(!is_written || found.last_index() == Ok(last));
    is_written
}

fn ready_is_atomic() {
    let mut seen = Vec::new();
    cut_everywhere(3, 100, |group, _| {
        let state = group.initial_state().unwrap().hard_state;
        seen.push((group.first_index().unwrap(), group.last_index().unwrap(), state.term, state.commit));
        assert_eq!(group.engine().snapshots().list(SHARD).len(), usize::from(state.term == 4));
    });
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [(2, 1, 1, 1), (11, 13, 4, 13)]);
}

fn large_ready() {
    let mut lasts = std::collections::BTreeSet::new();
    cut_everywhere(60, 4000, |group, last| {
        let state = group.initial_state().unwrap().hard_state;
        let found = group.last_index().unwrap();
        lasts.insert(found);
        assert!(state.commit <= found && (found < 11 || state.term == 4), "{state:?}, {found}");
        assert!(found == last || state.commit <= 10, "{state:?} before the last entry");
    });
    assert!(lasts.len() > 2, "it was cut nowhere: {lasts:?}");
}

fn many_groups() {
    let engine = Machine::new(1).open();
    let shards: Vec<_> = (0..50).map(logboom::ShardId).collect();
    Group::create(&engine, shards.clone(), &members(&[1]), EntryId { index: 0, term: 0 }).unwrap();
    let exists = Group::create(&engine, [shards[7]], &members(&[1]), EntryId { index: 0, term: 0 });
    assert!(matches!(exists, Err(Error::Exists { .. })));
    let mut nodes: Vec<Node> =
        shards.iter().map(|shard| Node::new(1, Group::open(&engine, *shard, 0).unwrap(), 0)).collect();
    let before = engine.metrics().append_batches;
    let mut readys = Vec::new();
    for node in &mut nodes {
        node.raw.campaign().unwrap();
        readys.push(node.raw.ready());
    }
    let mut round = Round::new();
    for (node, ready) in nodes.iter().zip(&mut readys) {
        round.save(node.raw.store(), ready);
    }
    let (saved, _) = nodes[0].writer.write(&mut round).unwrap();
    assert_eq!((saved.len(), engine.metrics().append_batches - before), (50, 1));
    assert!(shards.iter().all(|shard| engine.shard(*shard).last() == Some(1)));
}

fn commit_needs_no_sync() {
    let mut node = Node::new(1, group_of((2, 2), &[entry(3, 3)]), 2);
    node.raw.step(message(MessageType::MsgHeartbeat, 2, 3)).unwrap();
    node.run();
    let heartbeat = Message { commit: 3, ..message(MessageType::MsgHeartbeat, 2, 3) };
    node.raw.step(heartbeat).unwrap();
    let ready = node.raw.ready();
    assert!(!ready.must_sync() && ready.hs().is_some());
    let engine = node.group().engine().clone();
    let before = engine.metrics().log;
    node.submit(ready);
    assert_eq!(node.writer.persisted().unwrap().len(), 1);
    let after = engine.metrics().log;
    assert_eq!((after.writes, after.syncs), (before.writes, before.syncs));
    assert_eq!(node.group().initial_state().unwrap().hard_state, hard_state(3, 0, 3));
}

fn messages_wait() {
    let mut node = Node::new(1, group_of((2, 2), &[]), 2);
    node.raw.step(append(2, 3, (2, 2), 2, vec![entry(3, 3)])).unwrap();
    let mut ready = node.raw.ready();
    assert!(ready.take_messages().is_empty());
    let mut round = Round::new();
    round.save(&node.group(), &mut ready);
    assert!(node.writer.submit(&mut round).unwrap().is_empty());
    drop(round);
    assert!(ready.take_persisted_messages().is_empty(), "nobody can send them by mistake");
    node.raw.advance_append_async(ready);
    assert!(node.writer.persisted().unwrap().is_empty());
    assert_eq!(node.persist()[0].messages.len(), 1);
}

fn served_before_durable() {
    let mut node = Node::new(1, group_of((2, 2), &[entry(3, 3)]), 2);
    node.raw.step(append(2, 4, (2, 2), 2, vec![entry(3, 4), entry(4, 4)])).unwrap();
    let ready = node.raw.ready();
    node.submit(ready);
    let group = node.group();
    assert_eq!((group.last_index(), group.term(3), group.term(4)), (Ok(4), Ok(4), Ok(4)));
    assert_eq!(group.entries(3, 5, None, GetEntriesContext::empty(false)).unwrap(), [entry(3, 4), entry(4, 4)]);
    assert_eq!(group.shard().durable(), Some(2));
}

fn write_after_submit() {
    let mut node = Node::new(1, group_of((2, 2), &[]), 2);
    node.raw.step(append(2, 3, (2, 2), 2, vec![entry(3, 3)])).unwrap();
    let ready = node.raw.ready();
    node.submit(ready);
    // Nothing of this one has to be durable, but its answer comes after the other.
    node.raw.step(message(MessageType::MsgHeartbeat, 2, 3)).unwrap();
    let mut ready = node.raw.ready();
    assert!(!ready.must_sync());
    let mut round = Round::new();
    round.save(&node.group(), &mut ready);
    let (saved, _) = node.writer.write(&mut round).unwrap();
    assert_eq!((saved.len(), saved[0].number), (1, 2));
    let before = node.persist();
    assert_eq!((before.len(), before[0].number, node.writer.pending()), (1, 1, 0));
    node.raw.advance(ready);
    assert_eq!(node.raw.raft.raft_log.persisted, 3);
    assert!(node.persist().is_empty(), "each is told once");
}

fn snapshot_replaces_the_log() {
    let (other, snapshot) = foreign_snapshot(4, 3, &[1, 2], b"state");
    let group = group_of((2, 2), &[entry(3, 3), entry(4, 9), entry(5, 9), entry(6, 9)]);
    ship(&other, &snapshot, &group);
    let mut node = Node::new(1, group.clone(), 2);
    node.raw.step(snapshot_message(2, 12, &snapshot)).unwrap();
    node.run();
    assert_eq!((group.first_index(), group.last_index(), group.term(4)), (Ok(5), Ok(4), Ok(3)));
    assert_eq!(group.initial_state().unwrap().hard_state, hard_state(12, 0, 4));
}

fn snapshot_is_sent_on() {
    use std::io::Read;
    let (other, snapshot) = foreign_snapshot(10, 3, &[1, 2, 4], b"the state");
    let group = group_of((2, 2), &[]);
    ship(&other, &snapshot, &group);
    let mut node = Node::new(1, group.clone(), 2);
    node.raw.step(snapshot_message(2, 4, &snapshot)).unwrap();
    node.run();
    let sent_on = group.snapshot(0, 4).unwrap();
    assert_eq!((sent_on.get_metadata(), &sent_on.data), (snapshot.get_metadata(), &snapshot.data));
    let mut state = String::new();
    group.sending(4).unwrap().open("state").unwrap().read_to_string(&mut state).unwrap();
    assert_eq!(state, "the state");
}
