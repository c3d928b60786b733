//! What must hold of a raft group, whatever happens: the properties of figure 3 of the raft paper, and what a node has
//! promised by its messages.

use std::collections::BTreeMap;

use logboom_raft_rs::Group;
use raft::{
    GetEntriesContext, RawNode, StateRole,
    eraftpb::{Entry, HardState, Message, MessageType},
};

/// All that was ever seen of one group.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// By term.
    leaders: BTreeMap<u64, u64>,
    /// By voter and term.
    votes: BTreeMap<(u64, u64), u64>,
    /// By index and term: the term of the entry before it, and its data.
    entries: BTreeMap<(u64, u64), (u64, Vec<u8>)>,
    /// By index: the term of the entry, and the term in which it was committed.
    committed: BTreeMap<u64, (u64, u64)>,
    /// By index: the state of every machine that has applied up to there.
    states: BTreeMap<u64, u64>,
    /// By node: the last term and index that it has acknowledged entries of.
    acknowledged: BTreeMap<u64, (u64, u64)>,
}

impl Oracle {
    /// The highest index that is committed.
    pub(crate) fn committed(&self) -> u64 {
        self.committed.last_key_value().map_or(0, |(index, _)| *index)
    }

    pub(crate) fn terms(&self) -> usize {
        self.leaders.len()
    }

    /// A node, as it is now.
    pub(crate) fn look(&mut self, id: u64, node: &RawNode<Group>) {
        let (raft, log) = (&node.raft, &node.raft.raft_log);
        if raft.state == StateRole::Leader {
            let leader = *self.leaders.entry(raft.term).or_insert(id);
            assert_eq!(leader, id, "election safety: two leaders of term {}", raft.term);
        }
        self.look_at_log(id, node);
        for index in log.first_index()..=log.committed {
            let term = log.term(index).unwrap();
            let known = self.committed.entry(index).or_insert((term, raft.term));
            assert_eq!(known.0, term, "node {id}: two entries are committed at {index}");
            known.1 = known.1.min(raft.term);
        }
    }

    /// Log matching: what a log holds at an index and a term is the same everywhere, and so is the entry before it.
    fn look_at_log(&mut self, id: u64, node: &RawNode<Group>) {
        let log = &node.raft.raft_log;
        let (first, last) = (log.first_index(), log.last_index());
        let mut before = log.term(first - 1).unwrap();
        let mut next = first;
        while next <= last {
            let entries = log.slice(next, last + 1, None, GetEntriesContext::empty(false)).unwrap();
            assert!(!entries.is_empty(), "node {id}: no entries from {next} on");
            for entry in entries {
                assert_eq!(entry.index, next, "node {id}: a hole");
                let known = self.entries.entry((entry.index, entry.term));
                let known = known.or_insert_with(|| (before, entry.data.to_vec()));
                assert_eq!((known.0, &known.1[..]), (before, &entry.data[..]), "log matching: node {id}, {entry:?}");
                assert!(entry.term >= before, "node {id}: terms fall at {next}");
                (before, next) = (entry.term, next + 1);
            }
        }
    }

    /// Leader completeness: what was committed in an earlier term is in the log of every leader.
    pub(crate) fn look_at_leader(&self, id: u64, node: &RawNode<Group>) {
        let (raft, log) = (&node.raft, &node.raft.raft_log);
        if raft.state != StateRole::Leader {
            return;
        }
        for (index, (term, committed_in)) in self.committed.range(log.first_index().saturating_sub(1).max(1)..) {
            if *committed_in < raft.term {
                let found = log.term(*index);
                assert_eq!(found, Ok(*term), "leader completeness: {id} in term {}, entry {index}", raft.term);
            }
        }
    }

    /// A message that leaves a node.
    pub(crate) fn hear(&mut self, message: &Message) {
        let (from, term) = (message.from, message.term);
        let candidate = match message.get_msg_type() {
            MessageType::MsgRequestVoteResponse if !message.reject => message.to,
            MessageType::MsgRequestVote => from,
            MessageType::MsgAppendResponse if !message.reject => {
                let known = self.acknowledged.entry(from).or_default();
                *known = (*known).max((term, message.index));
                return;
            }
            _ => return,
        };
        let vote = *self.votes.entry((from, term)).or_insert(candidate);
        assert_eq!(vote, candidate, "node {from} votes twice in term {term}");
    }

    /// A node begins again, with what it finds: nothing that it has promised may be missing.
    pub(crate) fn reopened(&self, id: u64, state: &HardState, last: u64) {
        if let Some((term, index)) = self.acknowledged.get(&id) {
            assert!(state.term >= *term, "node {id} has forgotten term {term}: {state:?}");
            assert!(state.term > *term || last >= *index, "node {id} has forgotten {index} of term {term}: {last}");
        }
        if let Some((&(_, term), candidate)) = self.votes.range((id, 0)..=(id, u64::MAX)).next_back() {
            assert!(state.term >= term, "node {id} has forgotten its vote in term {term}: {state:?}");
            assert!(state.term > term || state.vote == *candidate, "node {id} has forgotten its vote: {state:?}");
        }
    }

    /// State machine safety: a machine that has applied up to an index is the same everywhere.
    pub(crate) fn applied(&mut self, id: u64, index: u64, state: u64) {
        let known = *self.states.entry(index).or_insert(state);
        assert_eq!(known, state, "state machine safety: node {id} at {index}");
    }
}

/// The state of a machine after another entry.
pub(crate) fn next_state(state: u64, entry: &Entry) -> u64 {
    let mut next = state;
    for byte in entry.term.to_le_bytes().iter().chain(&*entry.data) {
        next = (next ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(5);
    }
    next.wrapping_add(entry.index)
}
