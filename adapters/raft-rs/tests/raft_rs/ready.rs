//! Asynchronous `Ready`s: what raft-rs 0.7 publishes of scenarios for them, on the engine.

use raft::{
    StateRole, Storage,
    eraftpb::{HardState, Message, MessageType},
};

use crate::support::{
    Node, append, entry, entry_with, foreign_snapshot, group_of, hard_state, message, settle, ship, snapshot_message,
};

/// A leader of the group 1, 2, 3 in term 2, whose follower 2 takes entries as they come.
fn leader() -> Node {
    let mut node = Node::new(1, group_of((1, 1), &[]), 1);
    node.raw.raft.become_candidate();
    node.raw.raft.become_leader();
    node.run();
    assert_eq!((node.raw.raft.term, node.raw.raft.raft_log.last_index()), (2, 2));
    let progress = node.raw.raft.mut_prs().get_mut(2).unwrap();
    progress.matched = 1;
    progress.become_replicate();
    node
}

fn append_response(from: u64, term: u64, index: u64) -> Message {
    Message { index, ..message(MessageType::MsgAppendResponse, from, term) }
}

fn propose(node: &mut Node, count: usize) {
    (0..count).for_each(|_| node.raw.propose(vec![], b"hello world!".to_vec()).unwrap());
}

#[test]
fn a_leader_commits_what_it_has_persisted() {
    let mut node = leader();
    for round in 0..10 {
        propose(&mut node, 10);
        let mut ready = node.raw.ready();
        assert_eq!(ready.entries().len(), 10);
        assert!(ready.persisted_messages().is_empty());
        let messages = ready.take_messages();
        assert!(messages.iter().all(|message| message.get_msg_type() == MessageType::MsgAppend));
        node.submit(ready);
        // Not durable, and read and counted by the core all the same.
        assert_eq!(node.group().last_index(), Ok(2 + 10 * (round + 1)));
        assert_eq!(node.group().term(2 + 10 * (round + 1)), Ok(2));
        if round == 2 {
            assert_eq!(node.persist().len(), 3);
        }
    }
    assert!(!node.raw.has_ready(), "one of three has them");

    node.raw.step(append_response(2, 2, 102)).unwrap();
    let ready = node.raw.ready();
    assert_eq!(ready.hs().unwrap().commit, 32, "two of three have them, one not durably");
    let committed = ready.committed_entries();
    assert_eq!((committed[0].index, committed.last().unwrap().index), (2, 32));
    assert!(!ready.messages().is_empty() && !ready.must_sync());
    node.submit(ready);

    node.persist();
    let ready = node.raw.ready();
    assert_eq!(ready.hs().unwrap().commit, 102);
    assert_eq!(ready.committed_entries().first().unwrap().index, 33);
}

#[test]
fn followers_can_be_ahead_of_their_leaders_disk() {
    let mut node = leader();
    propose(&mut node, 10);
    let ready = node.raw.ready();
    node.submit(ready);
    node.raw.step(append_response(2, 2, 11)).unwrap();
    node.raw.step(append_response(3, 2, 12)).unwrap();
    let ready = node.raw.ready();
    assert_eq!(ready.hs().unwrap().commit, 11);
    let committed: Vec<u64> = ready.committed_entries().iter().map(|entry| entry.index).collect();
    assert_eq!(committed, [2], "the leader has not persisted the others");
    node.submit(ready);
    node.persist();
    let ready = node.raw.ready();
    assert_eq!(ready.hs().unwrap().commit, 12);
    assert_eq!(ready.committed_entries().len(), 10);
}

#[test]
fn a_follower_answers_when_it_is_durable_and_in_order() {
    let mut node = Node::new(1, group_of((1, 1), &[]), 1);
    for round in 0..10_u64 {
        let first = 2 + 3 * round;
        let behind = (first - 1, if round == 0 { 1 } else { 2 });
        let entries = (first..first + 3).map(|index| entry_with(index, 2, &b"hello"[..])).collect();
        node.raw.step(append(2, 2, behind, first + 2, entries)).unwrap();
        let ready = node.raw.ready();
        assert_eq!(ready.hs(), Some(&hard_state(2, 0, first + 2)));
        assert!(ready.messages().is_empty() && ready.committed_entries().is_empty());
        assert_eq!(ready.persisted_messages()[0].get_msg_type(), MessageType::MsgAppendResponse);
        node.submit(ready);
        assert!(node.writer.persisted().unwrap().is_empty(), "nothing is durable");
    }
    let saved = node.persist();
    let numbers: Vec<u64> = saved.iter().map(|saved| saved.number).collect();
    assert_eq!(numbers, (1..=10).collect::<Vec<u64>>());
    let acknowledged: Vec<u64> = saved.iter().flat_map(|saved| &saved.messages).map(|message| message.index).collect();
    assert_eq!(acknowledged, (1..=10).map(|round| 1 + 3 * round).collect::<Vec<u64>>());
    assert_eq!(node.writer.pending(), 0);
    let ready = node.raw.ready();
    assert_eq!(ready.committed_entries().len(), 30);
}

#[test]
fn an_answer_that_needs_no_sync_waits_for_those_before_it() {
    let mut node = Node::new(1, group_of((1, 1), &[entry(2, 2)]), 1);
    let heartbeat = |commit| Message { commit, ..message(MessageType::MsgHeartbeat, 2, 2) };
    // The leader's name is learned, and nothing is to be written.
    node.raw.step(heartbeat(1)).unwrap();
    let ready = node.raw.ready();
    assert!(!ready.must_sync());
    node.submit(ready);
    let saved = node.writer.persisted().unwrap();
    assert_eq!(saved.len(), 1, "no step of the disk was needed");
    assert_eq!(saved[0].messages[0].get_msg_type(), MessageType::MsgHeartbeatResponse);
    node.raw.on_persist_ready(saved[0].number);

    node.raw.step(append(2, 2, (2, 2), 1, vec![entry(3, 2)])).unwrap();
    let ready = node.raw.ready();
    node.submit(ready);
    // The same entries again: there is nothing to write, and the answer says that they are there.
    node.raw.step(append(2, 2, (2, 2), 2, vec![entry(3, 2)])).unwrap();
    let ready = node.raw.ready();
    assert!(ready.entries().is_empty() && !ready.must_sync());
    assert_eq!(ready.persisted_messages()[0].index, 3);
    node.submit(ready);
    assert!(node.writer.persisted().unwrap().is_empty());
    assert_eq!(node.persist().iter().map(|saved| saved.number).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn entries_follow_a_snapshot_while_neither_is_durable() {
    let (other, snapshot) = foreign_snapshot(36, 2, &[1, 2], b"state");
    let group = group_of((1, 1), &[entry(2, 2)]);
    let mut node = Node::new(1, group.clone(), 1);
    ship(&other, &snapshot, &group);
    node.raw.step(snapshot_message(2, 2, &snapshot)).unwrap();
    let ready = node.raw.ready();
    assert_eq!((ready.hs(), ready.snapshot()), (Some(&hard_state(2, 0, 36)), &snapshot));
    node.submit(ready);

    let entries: Vec<_> = (37..46).map(|index| entry_with(index, 2, &b"hello"[..])).collect();
    node.raw.step(append(2, 2, (36, 2), 39, entries.clone())).unwrap();
    let ready = node.raw.ready();
    assert_eq!(ready.entries(), &entries);
    assert!(ready.committed_entries().is_empty(), "they come behind a snapshot that is not durable");
    node.submit(ready);

    let saved = node.persist();
    assert_eq!(saved.iter().map(|saved| saved.snapshot).collect::<Vec<_>>(), [Some(36), None]);
    assert_eq!(node.raw.raft.raft_log.persisted, 45);
    node.raw.advance_apply_to(36);
    assert_eq!(node.raw.ready().committed_entries(), &entries[..3]);
}

#[test]
fn a_snapshot_follows_one_that_is_not_durable() {
    let group = group_of((1, 1), &[entry(2, 2)]);
    let mut node = Node::new(1, group.clone(), 1);
    for (index, number) in [(10, 1), (20, 2)] {
        let (other, snapshot) = foreign_snapshot(index, 2, &[1, 2], b"state");
        ship(&other, &snapshot, &group);
        node.raw.step(snapshot_message(2, 2, &snapshot)).unwrap();
        if index == 10 {
            let entries = (11..14).map(|index| entry(index, 2)).collect();
            node.raw.step(append(2, 2, (10, 2), 12, entries)).unwrap();
        }
        let ready = node.raw.ready();
        assert_eq!((ready.number(), ready.snapshot()), (number, &snapshot));
        node.submit(ready);
    }
    assert_eq!((group.first_index(), group.last_index()), (Ok(21), Ok(20)));
    let saved = node.persist();
    assert_eq!(saved.iter().map(|saved| saved.snapshot).collect::<Vec<_>>(), [Some(10), Some(20)]);
    node.raw.advance_apply_to(20);
    assert_eq!(node.raw.raft.raft_log.persisted, 20);
    assert_eq!(group.engine().snapshots().list(group.id()).len(), 1);
}

#[test]
fn a_snapshot_and_entries_in_one_ready() {
    let (other, snapshot) = foreign_snapshot(10, 3, &[1, 2], b"state");
    let group = group_of((1, 1), &[]);
    let mut node = Node::new(1, group.clone(), 1);
    let entries = (2..20).map(|index| entry(index, 2)).collect();
    node.raw.step(append(2, 2, (1, 1), 5, entries)).unwrap();
    node.run();
    ship(&other, &snapshot, &group);
    node.raw.step(snapshot_message(2, 3, &snapshot)).unwrap();
    let entries: Vec<_> = (11..14).map(|index| entry(index, 3)).collect();
    node.raw.step(append(2, 3, (10, 3), 12, entries.clone())).unwrap();
    let ready = node.raw.ready();
    assert_eq!((ready.hs(), ready.snapshot()), (Some(&hard_state(3, 0, 12)), &snapshot));
    let light = node.write(ready);
    assert_eq!((light.commit_index(), light.committed_entries()), (None, &entries[..2].to_vec()));
    assert_eq!((group.first_index(), group.last_index()), (Ok(11), Ok(13)));
}

#[test]
fn persisted_entries_are_overwritten() {
    let group = group_of((1, 1), &[]);
    let mut node = Node::new(1, group.clone(), 1);
    let old: Vec<_> = (2..5).map(|index| entry_with(index, 2, &b"old"[..])).collect();
    node.raw.step(append(2, 2, (1, 1), 1, old.clone())).unwrap();
    node.run();
    let new: Vec<_> = (4..7).map(|index| entry_with(index, 3, &b"new"[..])).collect();
    node.raw.step(append(3, 3, (3, 2), 5, new.clone())).unwrap();
    let ready = node.raw.ready();
    assert_eq!((ready.entries(), &ready.committed_entries()[..]), (&new, &old[..2]));
    let light = node.write(ready);
    assert_eq!(light.committed_entries(), &new[..2]);
    assert_eq!((group.term(3), group.term(4), group.last_index()), (Ok(2), Ok(3), Ok(6)));
}

/// The same entries are written, replaced, and written again while the first of them are on their way.
#[test]
fn a_notice_for_entries_that_were_replaced_says_nothing() {
    let group = group_of((1, 1), &[]);
    let mut node = Node::new(1, group.clone(), 1);
    let a: Vec<_> = (2..6).map(|index| entry(index, 2)).collect();
    let b: Vec<_> = (2..4).map(|index| entry(index, 3)).collect();
    for (leader, term, entries) in [(2, 2, &a), (3, 3, &b), (2, 4, &a)] {
        node.raw.step(append(leader, term, (1, 1), 1, entries.clone())).unwrap();
        let ready = node.raw.ready();
        assert_eq!(ready.entries(), entries);
        node.submit(ready);
    }
    node.raw.on_persist_ready(2);
    assert_eq!(node.raw.raft.raft_log.persisted, 1, "what was persisted then is not what the log has now");
    node.persist();
    assert_eq!((node.raw.raft.raft_log.persisted, group.last_index()), (5, Ok(5)));
}

#[test]
fn a_candidate_asks_when_its_vote_is_durable_and_a_leader_need_not_wait() {
    let group = group_of((5, 5), &[]);
    let mut node = Node::new(1, group.clone(), 5);
    node.raw.campaign().unwrap();
    let ready = node.raw.ready();
    assert_eq!(ready.hs(), Some(&hard_state(6, 1, 5)));
    assert!(ready.messages().is_empty());
    node.submit(ready);
    assert!(node.writer.persisted().unwrap().is_empty());
    let saved = node.persist();
    assert!(saved[0].messages.iter().all(|message| message.get_msg_type() == MessageType::MsgRequestVote));
    assert_eq!(saved[0].messages.len(), 2);

    // Two others ask in vain; neither answer needs anything written.
    for from in [2, 3] {
        let request = Message { log_term: 4, index: 4, ..message(MessageType::MsgRequestVote, from, 6) };
        node.raw.step(request).unwrap();
        let ready = node.raw.ready();
        assert!(ready.persisted_messages()[0].reject);
        node.submit(ready);
    }
    node.raw.step(message(MessageType::MsgRequestVoteResponse, 2, 6)).unwrap();
    let ready = node.raw.ready();
    assert_eq!(node.raw.raft.state, StateRole::Leader);
    assert_eq!((ready.messages().len(), ready.entries().len()), (2, 1));
    node.submit(ready);
    let numbers: Vec<u64> = node.persist().iter().map(|saved| saved.number).collect();
    assert_eq!(numbers, [2, 3, 4]);
    assert_eq!(node.raw.raft.raft_log.persisted, 6);
}

#[test]
fn entries_are_applied_while_others_are_appended() {
    let engine = group_of((1, 1), &[]).engine().clone();
    let shard = logboom::ShardId(70);
    let boundary = logboom::EntryId { index: 1, term: 1 };
    logboom_raft_rs::Group::create(&engine, [shard], &crate::support::members(&[1]), boundary).unwrap();
    let mut node = Node::new(1, logboom_raft_rs::Group::open(&engine, shard, 1).unwrap(), 1);
    node.raw.campaign().unwrap();
    node.run();
    let mut last = node.raw.raft.raft_log.last_index();
    for count in [3, 1, 7, 10, 2] {
        propose(&mut node, count);
        let ready = node.raw.ready();
        let entries = ready.entries().clone();
        let light = node.append(ready);
        assert_eq!(light.committed_entries(), &entries);
        last += count as u64;
        assert_eq!(light.commit_index(), Some(last));
        // What is applied does not decide what comes next.
        node.raw.advance_apply_to(last - count as u64 + 1);
        assert!(!node.raw.has_ready());
    }
}

/// The disk fails under a follower: it stays silent, for good.
#[test]
fn nothing_is_acknowledged_after_a_failed_sync() {
    let mut node = Node::on_failing_disk();
    node.raw.step(append(2, 2, (1, 1), 1, vec![entry(2, 2)])).unwrap();
    let ready = node.raw.ready();
    assert_eq!(ready.persisted_messages().len(), 1);
    node.submit(ready);
    settle(node.group().engine());
    for _ in 0..2 {
        let error = node.writer.persisted().unwrap_err();
        assert!(matches!(error, logboom_raft_rs::Error::Engine(logboom::Error::Poisoned { .. })), "{error}");
    }
    assert_eq!(node.writer.pending(), 1);
    // What the log has can be read, and nothing can be written.
    assert_eq!(node.group().term(2), Ok(2));
    node.raw.step(append(2, 2, (2, 2), 1, vec![entry(3, 2)])).unwrap();
    let mut ready = node.raw.ready();
    let mut round = logboom_raft_rs::Round::new();
    round.save(&node.group(), &mut ready);
    assert!(node.writer.submit(&mut round).is_err());
    assert!(!round.is_empty(), "a refused round can be submitted again");
}

#[test]
fn a_ready_without_its_snapshot_is_refused() {
    let (_, snapshot) = foreign_snapshot(10, 3, &[1, 2], b"state");
    let group = group_of((1, 1), &[]);
    let mut node = Node::new(1, group.clone(), 1);
    node.raw.step(snapshot_message(2, 3, &snapshot)).unwrap();
    let mut ready = node.raw.ready();
    let mut round = logboom_raft_rs::Round::new();
    round.save(&group, &mut ready);
    let error = node.writer.submit(&mut round).unwrap_err();
    assert!(matches!(error, logboom_raft_rs::Error::NoSnapshot { index: 10, term: 3, .. }), "{error}");
    assert_eq!(group.initial_state().unwrap().hard_state, HardState { term: 1, commit: 1, ..HardState::default() });
}
