//! Several appends on their way at once, of one group and of many.

use logboom::{ShardId, disk::FaultKind};
use logboom_openraft::{Data, StoredEntry, v0_9::openraft as v0_9, v0_10::openraft as v0_10};

use crate::{
    fixture::{Answer, Fixture, now, poll},
    group::{A, Group, for_each_core, rows},
    on_v0_9::OnV0_9,
    on_v0_10::OnV0_10,
};

for_each_core! {
    callbacks_come_when_it_is_durable_and_in_order
    groups_share_commits
    a_failed_disk_is_what_callbacks_say
}

fn callbacks_come_when_it_is_durable_and_in_order<G: Group>() {
    let fixture = Fixture::new(1);
    let engine = fixture.open();
    let group = G::on(&engine, A);
    let mut index = 0;
    for round in 1..=20 {
        let first = index;
        let mut appends: Vec<Answer<()>> = Vec::new();
        for _ in 0..round {
            appends.push(group.append(rows(1, index..index + 2)));
            index += 2;
            let last = appends.len() - 1;
            assert!(poll(&mut appends[last]).is_none(), "nothing was written, so nothing can be acknowledged");
        }
        // All are accepted, and none of them is durable: so many are in flight.
        assert_eq!(now(group.read(first..index)).unwrap(), rows(1, first..index));
        assert_eq!(engine.shard(A).durable(), first.checked_sub(1));

        let mut done = 0;
        while done < appends.len() {
            fixture.step(&engine);
            let durable = engine.shard(A).durable();
            let outcomes: Vec<bool> = appends.iter_mut().skip(done).map(|append| poll(append).is_some()).collect();
            let more = outcomes.iter().take_while(|is_done| **is_done).count();
            assert!(outcomes.iter().skip(more).all(|is_done| !is_done), "out of order: {outcomes:?}");
            done += more;
            let acknowledged = (first + 2 * done as u64).checked_sub(1);
            assert!(acknowledged <= durable, "{acknowledged:?} are acknowledged, {durable:?} are durable");
        }
    }
}

fn groups_share_commits<G: Group>() {
    let fixture = Fixture::new(1);
    let engine = fixture.open();
    let groups: Vec<G> = (0..64).map(|shard| G::on(&engine, ShardId(shard))).collect();
    let before = engine.metrics().log.groups;
    let mut appends: Vec<Answer<()>> = groups.iter().map(|group| group.append(rows(1, 0..1))).collect();
    appends.iter_mut().for_each(|append| assert!(poll(append).is_none()));
    appends.into_iter().for_each(|append| fixture.wait(&engine, append).unwrap());
    let commits = engine.metrics().log.groups - before;
    println!("{}: 64 groups' appends took {commits} commits", G::CORE);
    assert!(commits <= 2, "{commits} commits");
}

fn a_failed_disk_is_what_callbacks_say<G: Group>() {
    let fixture = Fixture::new(1);
    let engine = fixture.open();
    let group = G::on(&engine, A);
    fixture.wait(&engine, group.append(rows(1, 0..2))).unwrap();
    for kind in [FaultKind::Write, FaultKind::Sync] {
        fixture.disk.fail_nth(kind, 1, std::io::ErrorKind::Other);
    }
    let failed = fixture.wait(&engine, group.append(rows(1, 2..4))).unwrap_err();
    let vote = fixture.wait(&engine, group.save_vote((2, 1, false))).unwrap_err();
    for said in [failed, vote] {
        assert!(said.contains("the log failed earlier"), "{said}");
    }
    assert_eq!(now(group.read(0..2)).unwrap(), rows(1, 0..2), "what was durable can be read");
}

#[test]
fn payloads_are_views_of_the_log_in_either_version() {
    let fixture = Fixture::new(1);
    let engine = fixture.open();
    let group = OnV0_9::on(&engine, A);
    fixture.wait(&engine, group.append(rows(1, 0..3))).unwrap();
    let stored = engine.shard(A).entries(0..3, u64::MAX).unwrap();
    let views: Vec<*const u8> = stored.iter().map(|entry| entry.payload.as_ptr()).collect();

    let mut reader = group.0.clone();
    let read = now(Box::pin(async move { Ok(v0_9::RaftLogReader::try_get_log_entries(&mut reader, 0..3).await) }));
    let seen: Vec<*const u8> = read.unwrap().unwrap().into_iter().map(place).collect();
    assert_eq!(seen, views);

    // What is stored is not of a version: a node may move from one to the other.
    let mut reader = OnV0_10::on(&engine, A).0;
    let read = now(Box::pin(async move { Ok(v0_10::RaftLogReader::try_get_log_entries(&mut reader, 0..3).await) }));
    let seen: Vec<*const u8> = read.unwrap().unwrap().into_iter().map(place).collect();
    assert_eq!(seen, views);
}

/// Where the data of an entry lies.
fn place(entry: impl StoredEntry<Data = Data>) -> *const u8 {
    entry.into_data().unwrap().0.as_ptr()
}
