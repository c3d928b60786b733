//! What is stored, byte by byte, as `FORMAT.md` says; the same under both versions.

use logboom::EntryId;

use crate::{
    fixture::{Fixture, now},
    group::{A, Group, Row, What, for_each_core, row},
};

for_each_core! { the_bytes_are_for_good }

fn the_bytes_are_for_good<G: Group>() {
    let fixture = Fixture::new(1);
    let engine = fixture.open();
    let group = G::on(&engine, A);
    let members = Row { id: (1, 2, 1), what: What::Members(vec![4, 5]) };
    let entries = vec![Row { id: (1, 2, 0), what: What::Blank }, members, row(3, 6, 2)];
    fixture.wait(&engine, group.append(entries)).unwrap();
    fixture.wait(&engine, group.save_vote((3, 6, true))).unwrap();
    now(group.save_committed(Some((1, 2, 1)))).unwrap();

    let (one, two, three, six) = (&le(1), &le(2), &le(3), &le(6));
    let shard = engine.shard(A);
    assert_eq!(shard.hard_state().unwrap().unwrap(), [&[1, 1][..], three, six].concat());
    assert_eq!(shard.commit_hint().unwrap().unwrap(), [&[1][..], one, one, two].concat());

    #[rustfmt::skip]
    let membership = [
        &[1][..], // version
        &[1, 0, 0, 0, 2, 0, 0, 0], &le(4), &le(5), // one configuration of two voters
        &[2, 0, 0, 0], &le(4), &[2, 0, 0, 0], b"n4", &le(5), &[2, 0, 0, 0], b"n5", // two nodes
    ].concat();
    let stored = shard.entries(0..3, u64::MAX).unwrap();
    let stored: Vec<_> =
        stored.iter().map(|entry| (entry.term, entry.kind, entry.context.to_vec(), entry.payload.to_vec())).collect();
    let expected =
        [(1, 0, two.to_vec(), Vec::new()), (1, 2, two.to_vec(), membership), (3, 1, six.to_vec(), b"3/6/2".to_vec())];
    assert_eq!(stored, expected);

    now(group.purge((1, 2, 1))).unwrap();
    assert_eq!(shard.boundary(), Some(EntryId { index: 1, term: 1 }));
    assert_eq!(shard.get(b"logboom-openraft: purged").unwrap().unwrap(), [&[1][..], one, one, two].concat());
    now(group.save_committed(None)).unwrap();
    assert_eq!(shard.commit_hint().unwrap().unwrap(), b""[..]);
}

fn le(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}
