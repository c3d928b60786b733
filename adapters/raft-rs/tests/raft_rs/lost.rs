//! Something of a group is lost while its core runs: the other groups of the loop go on.

use logboom::{
    Engine, EntryId, ShardId,
    disk::{Disk, Mode, Pool},
};
use logboom_raft_rs::{Error, Group, Round, Writer};
use raft::{
    RawNode, Ready, Storage,
    eraftpb::{Entry, Message, MessageType},
};

use crate::support::{Machine, Node, append, entry_with, members, message, settle};

const A: ShardId = ShardId(1);
const B: ShardId = ShardId(2);

/// The data of the entries that are lost.
const MARK: &[u8] = b"of the entries that rot, and no others";

/// Two followers on one engine, with three durable entries each.
struct Pair {
    machine: Machine,
    engine: Engine,
    writer: Writer,
    a: RawNode<Group>,
    b: RawNode<Group>,
}

impl Pair {
    fn new() -> Self {
        let mut machine = Machine::new(11);
        machine.cache_bytes = 0;
        let engine = machine.open();
        Group::create(&engine, [A, B], &members(&[1, 2, 3]), EntryId { index: 0, term: 0 }).unwrap();
        for (shard, data) in [(A, MARK), (B, b"data")] {
            let mut node = Node::new(1, Group::open(&engine, shard, 0).unwrap(), 0);
            let entries = (1..4).map(|index| entry_with(index, 1, data)).collect();
            node.raw.step(append(2, 1, (0, 0), 0, entries)).unwrap();
            node.run();
        }
        // From here on they are on the disk alone.
        engine.close().unwrap();
        let engine = machine.open();
        let open = |shard| Node::new(1, Group::open(&engine, shard, 0).unwrap(), 0).raw;
        let (a, b) = (open(A), open(B));
        let writer = Writer::new(&engine, || {});
        Self { machine, engine, writer, a, b }
    }

    /// The entries of A rot, and are found to be lost.
    fn lose(&self) {
        damage(&self.machine, MARK);
        self.engine.report_damage(self.engine.segments().iter().map(|segment| segment.info.id)).unwrap();
        assert_eq!(self.a.store().shard().quarantine().unwrap().entries, std::slice::from_ref(&(1..4)));
        assert_eq!(self.b.store().shard().quarantine(), None);
    }

    /// Both are sent entries; `of_b` is what B's have.
    fn readys(&mut self, first: u64, of_b: Vec<Entry>) -> (Ready, Ready) {
        self.a.step(append(2, 1, (first - 1, 1), 0, vec![entry_with(first, 1, &b"more"[..])])).unwrap();
        self.b.step(append(2, 1, (first - 1, 1), 0, of_b)).unwrap();
        (self.a.ready(), self.b.ready())
    }
}

/// A group whose entries 1 to 3, of term 1, are lost.
pub(crate) fn group_that_lost_its_log() -> Group {
    let pair = Pair::new();
    pair.lose();
    pair.a.store().clone()
}

/// Damages `mark` where it is written first.
fn damage(machine: &Machine, mark: &[u8]) {
    for name in machine.disk.list().unwrap().iter().filter(|name| name.starts_with("segment-")) {
        let file = machine.disk.open(name, Mode::Read).unwrap();
        let mut region = Pool::new(0).region(usize::try_from(file.size().unwrap()).unwrap());
        file.read_at(&mut region, 0).unwrap();
        let bytes = region.freeze();
        if let Some(at) = bytes.windows(mark.len()).position(|window| window == mark) {
            let at = at as u64;
            machine.disk.damage(name, at..at + mark.len() as u64).unwrap();
            return;
        }
    }
    panic!("it is nowhere");
}

fn acknowledged(messages: &[Message]) -> Vec<u64> {
    let all = messages.iter().filter(|message| message.get_msg_type() == MessageType::MsgAppendResponse);
    all.map(|message| message.index).collect()
}

#[test]
fn a_round_is_submitted_without_the_group_that_lost_something() {
    let mut pair = Pair::new();
    pair.lose();
    // More than a batch holds, and the refusal comes behind the first.
    let large: Vec<_> = (4..64).map(|index| entry_with(index, 1, vec![7; 4000])).collect();
    let (mut of_a, mut of_b) = pair.readys(4, large.clone());
    let mut round = Round::new();
    round.save(pair.b.store(), &mut of_b).save(pair.a.store(), &mut of_a);
    let left_out = pair.writer.submit(&mut round).unwrap();
    assert_eq!(left_out.shards(), [A]);
    assert!(round.is_empty() && pair.writer.pending() == 1);
    drop(round);
    pair.b.advance_append_async(of_b);
    settle(&pair.engine);
    let saved = pair.writer.persisted().unwrap();
    assert_eq!(saved.iter().map(|saved| saved.shard).collect::<Vec<_>>(), [B]);
    assert_eq!(acknowledged(&saved[0].messages), [63]);
    let stored = pair.b.store().entries(4, 64, None, raft::GetEntriesContext::empty(false)).unwrap();
    assert_eq!(stored, large);
    assert_eq!((pair.a.store().last_index(), pair.b.store().failure().is_none()), (Ok(3), true));
    let failure = pair.a.store().failure();
    assert!(matches!(failure, Some(Error::Engine(logboom::Error::Quarantined { shard: A }))), "{failure:?}");
}

#[test]
fn a_round_is_written_without_the_group_that_lost_something() {
    let mut pair = Pair::new();
    pair.lose();
    let (mut of_a, mut of_b) = pair.readys(4, vec![entry_with(4, 1, &b"more"[..])]);
    let conf_state = members(&[1, 2]);
    let mut round = Round::new();
    round.save(pair.a.store(), &mut of_a).save(pair.b.store(), &mut of_b).conf_state(pair.a.store(), 3, &conf_state);
    let (saved, left_out) = pair.writer.write(&mut round).unwrap();
    assert_eq!((left_out.shards(), saved.len()), (&[A][..], 1));
    assert_eq!(acknowledged(&saved[0].messages), [4]);
    assert!(left_out.into_result().is_err());
}

/// The core that goes on after something of it was not saved takes that to be durable.
#[test]
fn a_group_that_was_left_out_stays_out_until_it_is_opened_again() {
    let mut pair = Pair::new();
    pair.lose();
    let (mut of_a, _) = pair.readys(4, Vec::new());
    let mut round = Round::new();
    round.save(pair.a.store(), &mut of_a);
    assert!(pair.writer.submit(&mut round).unwrap().contains(A));
    drop(round);
    pair.a.advance_append_async(of_a);
    pair.engine.heal(A, (1..4).map(|index| logboom::Entry::new(EntryId { index, term: 1 }, MARK))).unwrap();
    assert_eq!(pair.a.store().shard().quarantine(), None);
    // Nothing has to be written for this answer, which would acknowledge what was not.
    pair.a.step(append(2, 1, (4, 1), 0, Vec::new())).unwrap();
    let mut ready = pair.a.ready();
    assert_eq!(acknowledged(ready.persisted_messages()), [4]);
    let mut round = Round::new();
    round.save(pair.a.store(), &mut ready);
    assert!(pair.writer.submit(&mut round).unwrap().contains(A));
    settle(&pair.engine);
    assert!(pair.writer.persisted().unwrap().is_empty());
    drop((round, pair.a));
    assert_eq!(Group::open(&pair.engine, A, 0).unwrap().last_index(), Ok(3));
}

/// The core ends the process for a term that storage cannot tell.
#[test]
fn a_follower_that_lags_at_a_lost_entry_is_sent_what_comes_behind_it() {
    let mut pair = Pair::new();
    pair.a.raft.become_candidate();
    pair.a.raft.become_leader();
    pair.lose();
    pair.a.raft.mut_prs().get_mut(3).unwrap().next_idx = 4;
    pair.a.step(message(MessageType::MsgHeartbeatResponse, 3, 2)).unwrap();
    let messages = pair.a.ready().take_messages();
    let sent = messages.iter().find(|message| message.to == 3 && message.get_msg_type() == MessageType::MsgAppend);
    let sent = sent.unwrap();
    assert_eq!((sent.index, sent.log_term, sent.entries[0].index), (3, 1, 4));
    assert_eq!(pair.a.store().term(1), Ok(1));
}
