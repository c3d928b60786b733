//! A machine and its snapshots: built, shipped, installed, and cut off by power at every step.

use std::{
    io::{Read, Write},
    thread,
};

use logboom::{Engine, ShardId};
use logboom_openraft::{
    Data, Failure, SnapshotData, SnapshotView, StateMachine,
    v0_9::{
        self,
        openraft::{
            EntryPayload, RaftSnapshotBuilder, SnapshotMeta,
            storage::{RaftLogStorage, RaftStateMachine},
        },
    },
};

use crate::{
    fixture::{Answer, Fixture, now, poll},
    group::{A, Group, Row, What, rows},
    on_v0_9::{OnV0_9, Types, entry},
};

type Machine = v0_9::MachineStore<Types, Texts>;

/// A machine that remembers everything.
#[derive(Clone, Debug, Default, PartialEq)]
struct Texts(Vec<u8>);

impl StateMachine for Texts {
    type Data = Data;
    type Reply = u64;
    type View = Self;

    fn apply(&mut self, index: u64, data: Data) -> Result<u64, Failure> {
        self.0.extend_from_slice(&data.0);
        self.0.push(b' ');
        Ok(index)
    }

    fn view(&self) -> Result<Self, Failure> {
        Ok(self.clone())
    }

    fn recover(&mut self, from: &mut dyn Read) -> Result<(), Failure> {
        self.0.clear();
        from.read_to_end(&mut self.0)?;
        Ok(())
    }
}

impl SnapshotView for Texts {
    fn save(self, to: &mut dyn Write) -> Result<(), Failure> {
        Ok(to.write_all(&self.0)?)
    }
}

/// The state behind entries.
fn texts(entries: &[Row]) -> Texts {
    let mut texts = Texts::default();
    for row in entries {
        if let What::Data(data) = &row.what {
            texts.apply(row.id.2, Data(data.clone().into())).unwrap();
        }
    }
    texts
}

fn open(engine: &Engine) -> Machine {
    Machine::open(engine, A, Texts::default()).unwrap()
}

fn apply(machine: &Machine, entries: &[Row]) {
    let mut machine = machine.clone();
    let entries: Vec<_> = entries.iter().cloned().map(entry).collect();
    now(Box::pin(async move { machine.apply(entries).await.map_err(said) })).unwrap();
}

fn build(machine: &Machine) -> Answer<SnapshotMeta<u64, v0_9::openraft::BasicNode>> {
    let mut machine = machine.clone();
    Box::pin(async move {
        let mut builder = machine.get_snapshot_builder().await;
        Ok(builder.build_snapshot().await.map_err(said)?.meta)
    })
}

fn current(machine: &Machine) -> Option<v0_9::openraft::Snapshot<Types>> {
    let mut machine = machine.clone();
    now(Box::pin(async move { machine.get_current_snapshot().await.map_err(said) })).unwrap()
}

fn said(error: impl ToString) -> String {
    error.to_string()
}

#[test]
fn a_restart_finds_the_snapshot_and_there_is_one() {
    let fixture = Fixture::new(1);
    let engine = fixture.open();
    let machine = open(&engine);
    for upto in [4, 9] {
        apply(&machine, &rows(1, upto - 3..upto));
        let meta = fixture.wait(&engine, build(&machine)).unwrap();
        assert_eq!(meta.last_log_id.unwrap().index, upto - 1);
        assert_eq!(engine.snapshots().list(A).len(), 1);
        assert_eq!(current(&machine).unwrap().meta, meta);
    }
    apply(&machine, &rows(1, 9..12));
    drop((machine, engine));

    let engine = fixture.open();
    let machine = open(&engine);
    assert_eq!(machine.read(Texts::clone), texts(&[rows(1, 1..4), rows(1, 6..9)].concat()));
    let mut applied = machine.clone();
    let applied = now(Box::pin(async move { applied.applied_state().await.map_err(said) })).unwrap();
    assert_eq!(applied.0.unwrap().index, 8);
}

#[test]
fn a_state_that_is_being_saved_may_be_overtaken() {
    let fixture = Fixture::new(1);
    let engine = fixture.open();
    let machine = open(&engine);
    apply(&machine, &rows(1, 0..3));
    let mut saver = machine.clone();
    let mut older = now(Box::pin(async move { Ok(saver.get_snapshot_builder().await) })).unwrap();
    apply(&machine, &rows(1, 3..5));
    let newer = fixture.wait(&engine, build(&machine)).unwrap();
    // The view is older than what is registered: the snapshot that there is serves as well.
    let meta = fixture.wait(&engine, Box::pin(async move { Ok(older.build_snapshot().await.map_err(said)?.meta) }));
    assert_eq!(meta.unwrap(), newer);
}

/// Sends a snapshot as a network would, with everything arriving twice.
fn ship(from: &SnapshotData, to: &mut SnapshotData) {
    let manifest = from.manifest_bytes().unwrap();
    let mut wanted = to.begin(&manifest).unwrap();
    while let Some(at) = wanted {
        let chunk = from.chunk(at).unwrap();
        wanted = to.accept(&chunk).unwrap();
        assert_eq!(to.accept(&chunk).unwrap(), wanted);
        assert_eq!(to.begin(&manifest).unwrap(), wanted, "a transfer goes on where it was");
    }
}

fn install(machine: &Machine, meta: &SnapshotMeta<u64, v0_9::openraft::BasicNode>, data: SnapshotData) -> Answer<()> {
    let (mut machine, meta) = (machine.clone(), meta.clone());
    Box::pin(async move { machine.install_snapshot(&meta, Box::new(data)).await.map_err(said) })
}

/// Cuts the power at every step until the answer is there: a restart finds the old state, or the new one, which it is
/// from then on.
fn cut_while<T>(fixture: &Fixture, engine: &Engine, mut answer: Answer<T>, old: &Texts, new: &Texts) {
    let mut cuts = [0, 0];
    let mut check = |acknowledged: bool, seed: u64| {
        let fixture = fixture.cut(seed);
        let engine = fixture.open();
        let found = open(&engine).read(Texts::clone);
        assert!(found == *new || (!acknowledged && found == *old), "a cut leaves neither the old nor the new");
        assert_eq!(engine.snapshots().list(A).len(), 1);
        cuts[usize::from(found == *new)] += 1;
    };
    for step in 0.. {
        check(false, step);
        if let Some(outcome) = poll(&mut answer) {
            drop(outcome.unwrap());
            break;
        }
        fixture.step(engine);
        // The thread of the snapshot is not ours to drive.
        thread::yield_now();
    }
    check(true, 1_000_000);
    println!("{} cuts found the old snapshot, {} the new one", cuts[0], cuts[1]);
}

#[test]
fn a_cut_while_a_snapshot_is_built_leaves_the_old_or_the_new() {
    let fixture = Fixture::new(3);
    let engine = fixture.open();
    let machine = open(&engine);
    apply(&machine, &rows(1, 0..3));
    fixture.wait(&engine, build(&machine)).unwrap();
    let old = machine.read(Texts::clone);
    for first in (3..100).step_by(10) {
        apply(&machine, &rows(1, first..first + 10));
    }
    cut_while(&fixture, &engine, build(&machine), &old, &machine.read(Texts::clone));
}

#[test]
fn a_snapshot_is_shipped_by_chunks_and_a_cut_leaves_the_old_or_the_new() {
    let (there, here) = (Fixture::new(1), Fixture::new(2));
    let (leader, follower) = (there.open(), here.open());
    let source = open(&leader);
    let long: Vec<Row> =
        (0..60_u8).map(|index| Row { id: (1, 1, index.into()), what: What::Data(vec![index; 20_000]) }).collect();
    apply(&source, &long);
    let meta = there.wait(&leader, build(&source)).unwrap();
    let sent = *current(&source).unwrap().snapshot;

    let (old, new) = (texts(&rows(1, 0..3)), texts(&long));
    let machine = open(&follower);
    apply(&machine, &rows(1, 0..3));
    here.wait(&follower, build(&machine)).unwrap();
    let mut received = SnapshotData::receive(&follower, A);
    ship(&sent, &mut received);

    cut_while(&here, &follower, install(&machine, &meta, received), &old, &new);
    assert_eq!(machine.read(Texts::clone), new);

    // Purge follows, beyond the last entry; the leader sends it once more.
    let mut log = OnV0_9::on(&follower, A).0;
    let last = meta.last_log_id.unwrap();
    now(Box::pin(async move { log.purge(last).await.map_err(said) })).unwrap();
    let mut again = SnapshotData::receive(&follower, A);
    assert_eq!(again.begin(&sent.manifest_bytes().unwrap()).unwrap(), None, "it is here already");
    here.wait(&follower, install(&machine, &meta, again)).unwrap();
    drop((machine, follower));
    let follower = here.open();
    assert_eq!(open(&follower).read(Texts::clone), new);
    assert_eq!(now(OnV0_9::on(&follower, A).ends()).unwrap().1, Some((1, 1, 59)));
}

#[test]
fn what_is_not_this_snapshot_is_refused() {
    let (there, here) = (Fixture::new(1), Fixture::new(2));
    let (leader, follower) = (there.open(), here.open());
    let source = open(&leader);
    apply(&source, &rows(1, 0..3));
    let meta = there.wait(&leader, build(&source)).unwrap();
    let sent = *current(&source).unwrap().snapshot;
    let machine = open(&follower);

    let nothing = SnapshotData::receive(&follower, A);
    let unfinished = here.wait(&follower, install(&machine, &meta, nothing)).unwrap_err();
    assert!(unfinished.contains("has not arrived as a whole"), "{unfinished}");

    let mut received = SnapshotData::receive(&follower, A);
    ship(&sent, &mut received);
    let mut other = meta.clone();
    other.last_log_id.as_mut().unwrap().index += 1;
    let mismatch = here.wait(&follower, install(&machine, &other, received)).unwrap_err();
    assert!(mismatch.contains("of another entry"), "{mismatch}");

    let mut foreign = SnapshotData::receive(&follower, ShardId(2));
    assert!(foreign.begin(&sent.manifest_bytes().unwrap()).is_err());
    assert!(current(&machine).is_none() && machine.read(Texts::clone) == Texts::default());
    assert!(matches!(entry(rows(1, 0..1).remove(0)).payload, EntryPayload::Normal(_)));
}
