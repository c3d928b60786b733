//! Members that join behind the newest snapshot, which they are no members in: raft-rs refuses such a snapshot.

use logboom::snapshot::Stop;
use logboom_raft_rs::{Error, Group, Round, Writer};
use raft::{Storage, StorageError, eraftpb::ConfState};

use crate::support::{
    Machine, Node, build, entry, foreign_snapshot, group_of_members, members, ship, snapshot_message,
};

#[path = "../../examples/members.rs"]
#[expect(dead_code, reason = "an example has a main function")]
mod members_example;

/// A leader that is alone, with three entries behind a snapshot of index 2.
fn alone() -> Group {
    let group = group_of_members(&[1], (2, 2), &[entry(3, 3), entry(4, 3), entry(5, 3)]);
    drop(group.register(&build(&group, 2, b"state")).unwrap());
    group
}

fn configure(group: &Group, index: u64, conf_state: &ConfState) {
    let mut round = Round::new();
    round.conf_state(group, index, conf_state);
    assert!(Writer::new(group.engine(), || {}).write(&mut round).unwrap().1.is_empty());
}

/// Asks for a snapshot as a core does that has to send one: the index of what it gets, and its members.
fn ask(group: &Group, to: u64) -> Option<(u64, ConfState)> {
    match group.snapshot(0, to) {
        Ok(snapshot) => Some((snapshot.get_metadata().index, snapshot.get_metadata().get_conf_state().clone())),
        Err(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable)) => None,
        Err(error) => panic!("the core ends the process for {error}"),
    }
}

/// A configuration with node 3 at index 3: the snapshot of index 2 does not serve it, one of index 3 does.
fn check(joined: &ConfState) {
    let group = alone();
    configure(&group, 3, joined);
    assert_eq!(ask(&group, 3), None, "{joined:?}");
    assert!(group.sending(3).is_none());
    assert_eq!(group.snapshot_wanted(), Some(3));
    assert_eq!(ask(&group, 1), Some((2, members(&[1]))), "the snapshot stays what it is");

    group.applied_to(3).unwrap();
    drop(group.register(&build(&group, 3, b"state")).unwrap());
    assert_eq!(group.snapshot_wanted(), None);
    assert_eq!(ask(&group, 3), Some((3, joined.clone())));
    assert!(group.sending(3).is_some());
}

#[test]
fn a_member_waits_for_a_snapshot_of_the_index_that_added_it() {
    check(&members(&[1, 3]));
    check(&ConfState { learners: vec![3], ..members(&[1]) });
    check(&ConfState { voters_outgoing: vec![1, 3], learners_next: vec![3], ..members(&[1]) });
}

#[test]
fn a_member_that_came_back_waits_for_a_snapshot_of_its_return() {
    let group = alone();
    for (index, voters) in [(3, &[1, 3][..]), (4, &[1]), (5, &[1, 3])] {
        configure(&group, index, &members(voters));
    }
    assert_eq!((ask(&group, 3), group.snapshot_wanted()), (None, Some(5)));
    group.applied_to(4).unwrap();
    drop(group.register(&build(&group, 4, b"state")).unwrap());
    assert_eq!((ask(&group, 3), group.snapshot_wanted()), (None, Some(5)), "it was none at 4");
}

/// A driver registers its snapshots with the engine, and says nothing to the group.
#[test]
fn who_is_served_by_the_newest_snapshot_wants_no_other() {
    let group = alone();
    configure(&group, 3, &members(&[1, 3]));
    assert_eq!((ask(&group, 3), group.snapshot_wanted()), (None, Some(3)));
    group.applied_to(5).unwrap();

    let mut of_before = group.snapshot_spec(4).unwrap();
    of_before.membership = group.snapshot_spec(2).unwrap().membership;
    let snapshots = group.engine().snapshots();
    snapshots.register(&snapshots.build(of_before, &Stop::new()).unwrap().finish().unwrap()).unwrap();
    assert_eq!(group.snapshot_wanted(), Some(3), "it knows no member 3");

    snapshots.register(&build(&group, 5, b"state")).unwrap();
    assert_eq!(group.snapshot_wanted(), None);
    assert_eq!(ask(&group, 3), Some((5, members(&[1, 3]))));
}

#[test]
fn who_is_no_member_wants_nothing() {
    let group = alone();
    // The core asks as soon as it has applied a change, and the application says the configuration after that.
    assert_eq!((ask(&group, 3), group.snapshot_wanted()), (None, None));
    configure(&group, 3, &members(&[1, 3]));
    assert_eq!(group.snapshot_wanted(), Some(3));
    configure(&group, 4, &members(&[1]));
    assert_eq!(group.snapshot_wanted(), None);
    configure(&group, 5, &members(&[1, 3]));
    assert_eq!(group.snapshot_wanted(), None, "it has not asked again");
}

/// No snapshot is reported to a core that has lost the follower: what was leased would hold the log for ever.
#[test]
fn a_member_that_goes_lets_go_of_its_snapshot() {
    let group = group_of_members(&[1, 3], (2, 2), &[entry(3, 3), entry(4, 3)]);
    drop(group.register(&build(&group, 2, b"state")).unwrap());
    assert!(ask(&group, 3).is_some());
    group.applied_to(4).unwrap();
    let leased = group.compact_through(4).unwrap_err();
    assert!(matches!(leased, Error::Engine(logboom::Error::Leased { .. })), "{leased}");
    configure(&group, 3, &members(&[1]));
    group.compact_through(4).unwrap();
}

#[test]
fn a_snapshot_that_was_refused_is_not_fetched_again() {
    let (other, snapshot) = foreign_snapshot(10, 3, &[1, 2], b"state");
    // Its core is node 3, which the snapshot does not know.
    let group = group_of_members(&[1, 2, 3], (1, 1), &[]);
    let mut node = Node::new(3, group.clone(), 1);
    ship(&other, &snapshot, &group);
    for _ in 0..2 {
        node.raw.step(snapshot_message(2, 4, &snapshot)).unwrap();
        node.run();
        assert_eq!(group.last_index(), Ok(1), "raft-rs refuses it");
        let again = group.receive(&snapshot, &Stop::new()).unwrap_err();
        let stale = logboom::Error::Snapshot(logboom::snapshot::Error::Stale { shard: 7, index: 10, term: 3 });
        assert_eq!(again.to_string(), Error::Engine(stale).to_string());
    }
}

#[test]
fn five_members_join_one_after_the_other_and_all_come_to_commit() {
    let mut machines: Vec<Machine> = (1..=5).map(Machine::new).collect();
    let mut cluster = members_example::Cluster::default();
    for (id, machine) in (1..).zip(&machines) {
        cluster.add(id, &machine.open()).unwrap();
    }
    cluster.grow().unwrap();
    assert_eq!(cluster.sent, 4, "each is sent one snapshot, and takes it");

    // The power goes everywhere: each begins with the configuration of its snapshot, and comes to the same one.
    cluster.nodes.clear();
    for (id, machine) in (1..).zip(&mut machines) {
        machine.power_cut();
        cluster.add(id, &machine.open()).unwrap();
    }
    cluster.write("after the cut").unwrap();
    let all = ["the first", "with 2", "with 3", "with 4", "with 5", "after the cut"];
    cluster.until(|cluster| cluster.nodes.values().all(|node| node.texts == all)).unwrap();
}
