//! The contract of a log store, row by row.

use logboom::Engine;

use crate::{
    fixture::{Fixture, now, poll},
    group::{A, Group, Row, What, for_each_core, row, rows},
};

/// What a row does: to a group that has nothing, with an engine that it drives.
type Case<G> = fn(&Fixture, &Engine, &G);

type Rows<G> = Vec<(&'static str, Case<G>)>;

for_each_core! { every_row }

fn every_row<G: Group>() {
    for (name, case) in [appends::<G>(), reads(), ends()].into_iter().flatten() {
        println!("{}: {name}", G::CORE);
        let fixture = Fixture::new(1);
        let engine = fixture.open();
        case(&fixture, &engine, &G::on(&engine, A));
    }
}

/// What is written.
fn appends<G: Group>() -> Rows<G> {
    vec![
        ("get_log_state of nothing is nothing", |_, _, group| {
            assert_eq!(now(group.ends()), Ok((None, None)));
            assert_eq!(now(group.vote()), Ok(None));
            assert_eq!(now(group.committed()), Ok(None));
        }),
        ("log indexes start at 0, term 0 is a term", |_, _, group| {
            append(group, vec![row(0, 0, 0), row(0, 0, 1)]);
            assert_eq!(now(group.ends()), Ok((None, Some((0, 0, 1)))));
        }),
        ("an empty log may begin anywhere", |_, _, group| {
            append(group, rows(1, 5..7));
            assert_eq!(now(group.read(0..100)), Ok(rows(1, 5..7)));
        }),
        ("append: readable when it returns, through readers that were made earlier", |_, engine, group| {
            let reader = G::on(engine, A);
            append(group, rows(1, 0..3));
            assert_eq!(engine.shard(A).durable(), None);
            assert_eq!(now(reader.read(0..3)), Ok(rows(1, 0..3)));
        }),
        ("append of nothing calls back, behind what was appended before", |fixture, engine, group| {
            let before = group.append(rows(1, 0..3));
            let (mut before, mut empty) = (before, group.append(vec![]));
            assert!(poll(&mut before).is_none());
            assert!(poll(&mut empty).is_none());
            fixture.wait(engine, empty).unwrap();
            assert_eq!(engine.shard(A).durable(), Some(2));
            now(before).unwrap();
        }),
        ("append keeps the whole log id, and what an entry is", |_, _, group| {
            let members = Row { id: (1, 4, 1), what: What::Members(vec![1, 2, 3]) };
            let entries = vec![Row { id: (1, 3, 0), what: What::Blank }, members, row(2, 5, 2), row(2, 6, 3)];
            append(group, entries.clone());
            assert_eq!(now(group.read(0..4)), Ok(entries));
            assert_eq!(now(group.ends()), Ok((None, Some((2, 6, 3)))));
        }),
        ("append with a hole is an error that names it", |fixture, engine, group| {
            append(group, rows(1, 0..3));
            let said = fixture.wait(engine, group.append(rows(1, 4..5))).unwrap_err();
            assert!(said.contains("shard 1") && said.contains("entry 4"), "{said}");
        }),
        ("an append may be larger than a batch", |fixture, engine, group| {
            let entries: Vec<Row> =
                (0..9).map(|index| Row { id: (1, 1, index), what: What::Data(vec![7; 20_000]) }).collect();
            fixture.wait(engine, group.append(entries.clone())).unwrap();
            assert_eq!(engine.shard(A).durable(), Some(8));
            assert_eq!(fixture.wait(engine, group.read(0..9)), Ok(entries));
        }),
    ]
}

/// What is read.
fn reads<G: Group>() -> Rows<G> {
    vec![
        ("try_get_log_entries: absent entries at both ends are tolerated", |_, _, group| {
            append(group, rows(1, 0..10));
            now(group.purge((1, 1, 3))).unwrap();
            assert_eq!(now(group.read(0..100)), Ok(rows(1, 4..10)));
            assert_eq!(now(group.read(0..3)), Ok(vec![]));
            assert_eq!(now(group.read(10..12)), Ok(vec![]));
            assert_eq!(now(group.read(5..5)), Ok(vec![]));
        }),
        ("limited_get_log_entries: never with a gap; empty only when the first entry is gone", |_, _, group| {
            append(group, rows(1, 0..10));
            now(group.purge((1, 1, 3))).unwrap();
            now(group.truncate((1, 1, 8), Some((1, 1, 7)))).unwrap();
            assert_eq!(now(group.read_limited(4..6)), Ok(rows(1, 4..6)));
            assert_eq!(now(group.read_limited(6..100)), Ok(rows(1, 6..8)));
            // A leader that is none any more asks for what was purged or truncated; an error would end the node.
            for gone in [0..3, 3..6, 8..10, 6..6] {
                assert_eq!(now(group.read_limited(gone)), Ok(vec![]));
            }
        }),
        ("limited_get_log_entries: stops at so many bytes", |fixture, engine, group| {
            let entries: Vec<Row> =
                (0..40).map(|index| Row { id: (1, 1, index), what: What::Data(vec![7; 40_000]) }).collect();
            fixture.wait(engine, group.append(entries)).unwrap();
            assert_eq!(fixture.wait(engine, group.read_limited(0..40)).unwrap().len(), (1 << 20) / 40_008);
        }),
    ]
}

/// What is taken away, and what is noted.
fn ends<G: Group>() -> Rows<G> {
    vec![
        ("truncate: from an entry on, or after one; past the end does nothing", |_, _, group| {
            append(group, rows(1, 0..10));
            now(group.truncate((1, 1, 10), Some((1, 1, 9)))).unwrap();
            assert_eq!(now(group.ends()).unwrap().1, Some((1, 1, 9)));
            now(group.truncate((1, 1, 5), Some((1, 1, 4)))).unwrap();
            assert_eq!(now(group.read(0..100)), Ok(rows(1, 0..5)));
            append(group, rows(2, 5..7));
            assert_eq!(now(group.ends()).unwrap().1, Some((2, 1, 6)));
        }),
        ("truncate everything, with and without a purge point", |_, _, group| {
            append(group, rows(1, 0..3));
            now(group.truncate((1, 1, 0), None)).unwrap();
            assert_eq!(now(group.ends()), Ok((None, None)));
            append(group, rows(2, 0..6));
            now(group.purge((2, 1, 2))).unwrap();
            now(group.truncate((2, 1, 3), Some((2, 1, 2)))).unwrap();
            assert_eq!(now(group.ends()), Ok((Some((2, 1, 2)), Some((2, 1, 2)))));
            append(group, rows(3, 3..4));
        }),
        ("purge: inclusive; the whole log id stays, also of all entries; never back", |_, _, group| {
            append(group, vec![row(1, 7, 0), row(1, 8, 1), row(1, 9, 2)]);
            now(group.purge((1, 8, 1))).unwrap();
            assert_eq!(now(group.ends()), Ok((Some((1, 8, 1)), Some((1, 9, 2)))));
            now(group.purge((1, 7, 0))).unwrap();
            assert_eq!(now(group.ends()).unwrap().0, Some((1, 8, 1)));
            now(group.purge((1, 9, 2))).unwrap();
            assert_eq!(now(group.ends()), Ok((Some((1, 9, 2)), Some((1, 9, 2)))));
        }),
        ("purge beyond the last entry: the log goes on behind it", |_, _, group| {
            append(group, rows(1, 0..3));
            now(group.purge((4, 2, 20))).unwrap();
            assert_eq!(now(group.ends()), Ok((Some((4, 2, 20)), Some((4, 2, 20)))));
            assert_eq!(now(group.read(0..100)), Ok(vec![]));
            append(group, rows(4, 21..23));
            assert_eq!(now(group.ends()).unwrap().1, Some((4, 1, 22)));
        }),
        (
            "save_vote: durable on return, behind earlier appends; save_committed does not wait",
            |fixture, engine, group| {
                append(group, rows(1, 0..3));
                fixture.wait(engine, group.save_vote((7, 2, true))).unwrap();
                assert_eq!(engine.shard(A).durable(), Some(2));
                assert_eq!(now(group.vote()), Ok(Some((7, 2, true))));
                now(group.save_committed(Some((1, 1, 2)))).unwrap();
                assert_eq!(now(group.committed()), Ok(Some((1, 1, 2))));
                now(group.save_committed(None)).unwrap();
                assert_eq!(now(group.committed()), Ok(None));
            },
        ),
    ]
}

/// Appends without waiting for anything.
fn append<G: Group>(group: &G, entries: Vec<Row>) {
    let mut answer = group.append(entries);
    if let Some(outcome) = poll(&mut answer) {
        panic!("acknowledged without being durable: {outcome:?}");
    }
}
