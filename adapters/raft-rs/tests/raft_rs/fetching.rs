//! Entries that are not in memory: when the core can wait for them, when not, and what it gets.

use std::sync::{Arc, Mutex};

use logboom::{Engine, EntryId};
use logboom_raft_rs::{Error, Fetch, Group};
use raft::{
    GetEntriesContext, StateRole, Storage, StorageError,
    eraftpb::{ConfChange, ConfChangeType, Message, MessageType},
};

use crate::support::{Machine, Node, SHARD, members, message};

const DATA: [u8; 1000] = [7; 1000];

/// A machine with a log of ten entries of term 1, none of which is in memory.
fn cold() -> (Machine, Engine) {
    let machine = Machine::new(3);
    let engine = machine.open();
    Group::create(&engine, [SHARD], &members(&[1, 2]), EntryId { index: 0, term: 0 }).unwrap();
    let mut batch = engine.batch();
    for index in 1..=10 {
        batch.append_payload(SHARD, EntryId { index, term: 1 }, &DATA).unwrap();
    }
    let mut state = [0; 24];
    (state[0], state[16]) = (1, 10);
    batch.hard_state(SHARD, &state).unwrap();
    engine.write(batch).unwrap();
    engine.close().unwrap();
    let engine = machine.open();
    (machine, engine)
}

type Fetches = Arc<Mutex<Vec<Fetch>>>;

fn cold_group() -> (Machine, Group, Fetches) {
    let (machine, engine) = cold();
    let fetches = Fetches::default();
    let given = Arc::clone(&fetches);
    let group = Group::open(&engine, SHARD, 0).unwrap().fetching(move |fetch| given.lock().unwrap().push(fetch));
    (machine, group, fetches)
}

/// A leader whose follower has nothing yet, and that waits for the first entries.
fn waiting_leader() -> (Machine, Node, Fetch) {
    let (machine, group, fetches) = cold_group();
    let config = raft::Config { id: 1, max_size_per_msg: 2048, ..raft::Config::default() };
    let mut node = Node::with(group, &config);
    node.raw.campaign().unwrap();
    node.run();
    node.raw.step(message(MessageType::MsgRequestVoteResponse, 2, 2)).unwrap();
    node.run();
    assert!(node.is_leader());
    let mut refusal = message(MessageType::MsgAppendResponse, 2, 2);
    (refusal.reject, refusal.index) = (true, 10);
    node.raw.step(refusal).unwrap();
    assert!(appends(&node.run()).is_empty(), "the entries are not there");
    let fetch = fetches.lock().unwrap().pop().unwrap();
    (machine, node, fetch)
}

fn appends(messages: &[Message]) -> Vec<(u64, usize)> {
    let appends = messages.iter().filter(|message| message.get_msg_type() == MessageType::MsgAppend);
    appends.map(|message| (message.index, message.entries.len())).collect()
}

#[test]
fn entries_are_sent_when_they_are_fetched() {
    let (_machine, mut node, fetch) = waiting_leader();
    fetch.run().deliver(&mut node.raw).unwrap();
    assert_eq!(appends(&node.run()), [(0, 2)]);
    assert_eq!(node.group().failure().map(|error| error.to_string()), None);
}

#[test]
fn nothing_is_sent_to_a_removed_node() {
    let (_machine, mut node, fetch) = waiting_leader();
    let mut change = ConfChange { node_id: 2, ..ConfChange::default() };
    change.set_change_type(ConfChangeType::RemoveNode);
    node.raw.apply_conf_change(&change).unwrap();
    node.run();
    fetch.run().deliver(&mut node.raw).unwrap();
    assert!(appends(&node.run()).is_empty());
}

#[test]
fn nothing_is_sent_by_a_node_that_leads_no_more() {
    let (_machine, mut node, fetch) = waiting_leader();
    node.raw.raft.become_follower(3, 2);
    node.run();
    fetch.run().deliver(&mut node.raw).unwrap();
    assert!(node.run().is_empty());
}

#[test]
fn what_was_asked_for_in_an_earlier_term_is_not_sent() {
    let (_machine, mut node, fetch) = waiting_leader();
    node.raw.raft.become_follower(3, 2);
    node.raw.raft.become_candidate();
    node.raw.raft.become_leader();
    node.run();
    fetch.run().deliver(&mut node.raw).unwrap();
    assert!(node.run().is_empty());
}

#[test]
fn a_fetch_that_fails_is_on_record_and_the_core_goes_on() {
    let (machine, mut node, fetch) = waiting_leader();
    let group = node.group();
    machine.fail_reads();
    let error = fetch.run().deliver(&mut node.raw).unwrap_err();
    assert!(matches!(error, Error::Read(_)), "{error}");
    assert!(group.failure().is_some() && node.is_leader());
    // Without anybody to fetch, the core is told to wait where it can, and gets the error where it cannot.
    let bare = Group::open(group.engine(), SHARD, 0).unwrap();
    let read = |can_wait| bare.entries(1, 3, None, GetEntriesContext::empty(can_wait)).unwrap_err();
    assert_eq!(read(true), raft::Error::Store(StorageError::LogTemporarilyUnavailable));
    assert!(matches!(read(false), raft::Error::Store(StorageError::Other(_))));
    assert!(bare.failure().is_some());
}

/// Building a `Ready`, transferring leadership and committing by votes read in the core's thread, whatever is cold.
#[test]
fn what_the_core_cannot_wait_for_is_read_at_once() {
    let (_machine, group, fetches) = cold_group();
    let mut node = Node::new(1, group, 0);
    let ready = node.raw.ready();
    assert_eq!(ready.committed_entries().len(), 10);
    assert!(ready.committed_entries().iter().all(|entry| entry.data == DATA[..]));
    assert_eq!(fetches.lock().unwrap().len(), 0);

    let (_machine, group, fetches) = cold_group();
    let mut node = Node::new(1, group, 0);
    node.raw.raft.become_candidate();
    node.raw.raft.become_leader();
    fetches.lock().unwrap().clear();
    node.raw.raft.mut_prs().get_mut(2).unwrap().matched = 11;
    node.raw.transfer_leader(2);
    assert_eq!(fetches.lock().unwrap().len(), 0, "leadership");
    assert_eq!(node.raw.raft.state, StateRole::Leader);
}

#[test]
fn only_a_context_that_can_wait_is_made_to() {
    let (_machine, group, fetches) = cold_group();
    assert_eq!(group.entries(1, 11, None, GetEntriesContext::empty(false)).unwrap().len(), 10);
    assert_eq!(fetches.lock().unwrap().len(), 0);
    let outcome = group.entries(1, 11, None, GetEntriesContext::empty(true));
    assert_eq!(outcome.unwrap_err(), raft::Error::Store(StorageError::LogTemporarilyUnavailable));
    assert_eq!(fetches.lock().unwrap().len(), 1);
    // Bounds and terms need no disk.
    assert_eq!((group.first_index(), group.last_index(), group.term(10)), (Ok(1), Ok(10), Ok(1)));
}

/// The core's entries are the memory that the log was written from, or that a read has read into.
#[test]
fn no_payload_is_copied() {
    let warm = crate::support::group_of((0, 0), &[crate::support::entry_with(1, 1, &DATA[..])]);
    let (_machine, engine) = cold();
    let cold = Group::open(&engine, SHARD, 0).unwrap();
    let stored = warm.shard().entries(1..2, u64::MAX).unwrap();
    let read = warm.entries(1, 2, None, GetEntriesContext::empty(false)).unwrap();
    assert_eq!(read[0].data.as_ptr(), stored.get(1).unwrap().payload.as_ptr());

    let read = cold.entries(1, 11, None, GetEntriesContext::empty(false)).unwrap();
    let distance = |at: usize| read[at].data.as_ptr().addr() - read[0].data.as_ptr().addr();
    assert_eq!((distance(1), distance(9)), (1000, 9000), "slices of one record, as it lies on the disk");
}
