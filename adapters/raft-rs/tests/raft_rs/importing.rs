//! Groups from elsewhere, and what becomes of them when the power goes.

use logboom::{Engine, EntryId};
use logboom_raft_rs::{Error, Group, Import};
use raft::{GetEntriesContext, Storage, eraftpb::Entry};

use crate::support::{Machine, Node, SHARD, append, entry, entry_with, hard_state, members, settle};

/// A group in term 4 that has voted for 2, behind index 5, with a member that joined at 7.
fn import() -> Import {
    let conf_states = vec![(5, members(&[1, 2])), (7, members(&[1, 2, 3]))];
    Import::new(EntryId { index: 5, term: 2 }, hard_state(4, 2, 8), conf_states)
}

/// Several segments full.
fn entries() -> Vec<Entry> {
    (6..1000).map(|index| entry_with(index, 3, vec![7; 1000])).collect()
}

fn read(group: &Group, range: std::ops::Range<u64>) -> Vec<Entry> {
    group.entries(range.start, range.end, None, GetEntriesContext::empty(false)).unwrap()
}

/// What is there is all of the import.
fn check(engine: &Engine) {
    for (applied, voters) in [(6, &[1, 2][..]), (7, &[1, 2, 3])] {
        let state = Group::open(engine, SHARD, applied).unwrap().initial_state().unwrap();
        assert_eq!((state.hard_state, state.conf_state), (hard_state(4, 2, 8), members(voters)));
    }
    let group = Group::open(engine, SHARD, 6).unwrap();
    assert_eq!((group.first_index(), group.term(5)), (Ok(6), Ok(2)));
    assert_eq!(read(&group, 6..1000), entries());
}

#[test]
fn an_imported_group_is_as_it_was_elsewhere() {
    let mut machine = Machine::new(1);
    let engine = machine.open();
    import().write(&engine, SHARD, entries()).unwrap();
    check(&engine);
    let exists = import().write(&engine, SHARD, entries()).unwrap_err();
    assert!(matches!(exists, Error::Exists { .. }), "{exists}");
    machine.power_cut();
    let engine = machine.open();
    check(&engine);
    // A core goes on with it.
    let mut node = Node::new(1, Group::open(&engine, SHARD, 7).unwrap(), 7);
    node.raw.step(append(2, 4, (999, 3), 1000, vec![entry(1000, 4)])).unwrap();
    node.run();
    assert_eq!(node.raw.raft.raft_log.applied, 1000);
}

#[test]
fn an_import_that_is_cut_short_is_told_and_done_again() {
    let mut found = [0; 3];
    for at in 1.. {
        let mut machine = Machine::new(at);
        let engine = machine.open();
        settle(&engine);
        machine.disk.halt_after(at);
        let is_written = import().write(&engine, SHARD, entries()).is_ok();
        machine.power_cut();
        drop(engine);
        let engine = machine.open();
        match Group::open(&engine, SHARD, 0) {
            Err(Error::Unfinished { .. }) => found[0] += 1,
            Ok(_) => found[1] += 1,
            // What is applied lies before the boundary: it is all there.
            Err(Error::Applied { first: 6, .. }) => found[2] += 1,
            Err(error) => panic!("{error}"),
        }
        if is_written {
            check(&engine);
            break;
        }
        if Group::open(&engine, SHARD, 6).is_err() {
            import().write(&engine, SHARD, entries()).unwrap();
        }
        check(&engine);
    }
    assert!(found.iter().all(|count| *count > 0), "{found:?}");
}

#[test]
fn an_import_that_contradicts_itself_leaves_nothing() {
    let engine = Machine::new(1).open();
    let refused = |change: fn(&mut Import), entries: Vec<Entry>| {
        let mut import = import();
        change(&mut import);
        let error = import.write(&engine, SHARD, entries).unwrap_err();
        let shard = engine.shard(SHARD);
        assert!(shard.next().is_none() && shard.scan(..).unwrap().is_empty(), "{error} leaves something");
        error
    };
    let all = || vec![entry(6, 2), entry(7, 3), entry(8, 3)];
    let gap = refused(|_| (), vec![entry(6, 2), entry(8, 3)]);
    assert!(matches!(gap, Error::Engine(logboom::Error::Gap { expected: 7, got: 8, .. })), "{gap}");
    let back = refused(|_| (), vec![entry(6, 3), entry(7, 2)]);
    assert!(matches!(back, Error::Malformed { .. }), "{back}");
    let commit = refused(|import| import.hard_state.commit = 9, all());
    assert!(matches!(commit, Error::Commit { commit: 9, first: 6, last: 8, .. }), "{commit}");
    let commit = refused(|import| import.hard_state.commit = 4, all());
    assert!(matches!(commit, Error::Commit { commit: 4, .. }), "{commit}");
    let term = refused(|import| import.hard_state.term = 2, all());
    assert!(matches!(term, Error::Term { term: 2, last_term: 3, .. }), "{term}");
    import().write(&engine, SHARD, all()).unwrap();
}
