//! Readers beside a writer that appends, truncates and purges: what is read was the log at one moment.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use futures_util::{FutureExt, TryStreamExt};
use logboom::{
    Config, Engine, Runtime,
    disk::{SimDisk, SimOptions},
};
use logboom_openraft::{
    Options,
    v0_10::{LogStore, openraft::RaftLogReader},
};

use crate::{
    fixture::{Answer, Fixture, now, poll},
    group::{A, Group, Row, What, for_each_core, rows},
    on_v0_10::{OnV0_10, Types},
};

const ROUNDS: u64 = 4000;

for_each_core! { reads_are_of_one_moment }

#[test]
fn a_stream_that_is_purged_or_truncated_from_under_its_reader_is_an_error_and_no_end() {
    for (taken, absent) in [(Taken::Purged, 256), (Taken::Truncated, 300)] {
        let fixture = Fixture::new(1);
        let engine = fixture.open();
        let store = OnV0_10::on(&engine, A);
        fixture.wait(&engine, store.append(rows(1, 0..1000))).unwrap();
        let mut options = Options::default();
        options.message_entries_max = 256;
        let mut reader = LogStore::<Types>::new(&engine, A, options);
        let mut stream = reader.entries_stream(0..1000).now_or_never().unwrap();
        let mut next = || stream.try_next().now_or_never().unwrap();
        assert_eq!(next().unwrap().unwrap().log_id.index, 0);
        match taken {
            Taken::Purged => now(store.purge((1, 1, 500))).unwrap(),
            Taken::Truncated => now(store.truncate((1, 1, 300), Some((1, 1, 299)))).unwrap(),
        }
        let said = loop {
            match next() {
                Ok(entry) => assert!(entry.expect("it ends short").log_id.index < absent),
                Err(error) => break error.to_string(),
            }
        };
        assert!(said.contains(&format!("{absent} is not there")), "{said}");
    }
}

enum Taken {
    Purged,
    Truncated,
}

fn reads_are_of_one_moment<G: Group>() {
    let mut config = Config::new("simulated");
    config.segment_bytes = 256 << 10;
    let engine = Engine::open_on(SimDisk::new(1, SimOptions::default()), config, Runtime::Threads).unwrap();
    let ended = AtomicBool::new(false);
    let (lives, reads) = thread::scope(|scope| {
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| read::<G>(&engine, &ended))).collect();
        let lives = Writer::<G>::new(&engine).run();
        ended.store(true, Ordering::Relaxed);
        (lives, readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect::<Vec<_>>())
    });
    for read in &reads {
        // All of it had been written before the first of it was gone.
        let born = read.iter().max().copied().unwrap_or(0);
        let gone = read.iter().map(|number| lives[number]).min().unwrap_or(u64::MAX);
        assert!(born < gone, "entry {born} was read beside one that was gone at {gone}: {read:?}");
    }
    println!("{}: {} reads beside {ROUNDS} writes", G::CORE, reads.len());
    assert!(!reads.is_empty());
}

/// Reads everything, again and again: the numbers of the entries.
fn read<G: Group>(engine: &Engine, ended: &AtomicBool) -> Vec<Vec<u64>> {
    let group = G::on(engine, A);
    let mut reads = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let rows = wait(group.read(0..u64::MAX));
        assert!(rows.is_sorted_by(|one, next| one.id.2 + 1 == next.id.2), "a hole");
        reads.push(rows.iter().map(number).collect());
    }
    reads
}

/// Entries have numbers, which rise, and their lives end at the number of what was written next.
struct Writer<G> {
    group: G,
    random: fastrand::Rng,
    rows: Vec<Row>,
    next_index: u64,
    number: u64,
    term: u64,
    /// The numbers at which entries were gone.
    lives: BTreeMap<u64, u64>,
}

impl<G: Group> Writer<G> {
    fn new(engine: &Engine) -> Self {
        let (group, random) = (G::on(engine, A), fastrand::Rng::with_seed(1));
        Self { group, random, rows: Vec::new(), next_index: 0, number: 0, term: 1, lives: BTreeMap::new() }
    }

    fn run(mut self) -> BTreeMap<u64, u64> {
        for _ in 0..ROUNDS {
            match self.random.u32(0..10) {
                0..=3 if self.rows.len() > 1 => self.replace(),
                4 if self.rows.len() > 20 => self.purge(),
                _ => {
                    let count = self.random.u64(1..5);
                    self.append(count);
                }
            }
        }
        self.lives
    }

    fn append(&mut self, count: u64) {
        let rows: Vec<Row> = (0..count).map(|_| self.row()).collect();
        self.rows.extend(rows.clone());
        // Accepted by the first poll; nobody waits for the disk.
        assert!(poll(&mut self.group.append(rows)).is_none_or(|outcome| outcome.is_ok()));
    }

    fn row(&mut self) -> Row {
        let id = (self.term, 1, self.next_index);
        self.next_index += 1;
        self.number += 1;
        self.lives.insert(self.number, u64::MAX);
        Row { id, what: What::Data(self.number.to_le_bytes().to_vec()) }
    }

    /// Puts other entries in the place of some: as many, so that the ends of the log do not tell.
    fn replace(&mut self) {
        let keep = self.random.usize(1..self.rows.len());
        let (first, last) = (self.rows[keep].id, self.rows[keep - 1].id);
        wait(self.group.truncate(first, Some(last)));
        let gone = self.rows.split_off(keep);
        self.bury(&gone);
        self.next_index = first.2;
        self.term += 1;
        self.append(gone.len() as u64);
    }

    fn purge(&mut self) {
        let keep = self.random.usize(1..self.rows.len());
        wait(self.group.purge(self.rows[keep - 1].id));
        let rest = self.rows.split_off(keep);
        let gone = std::mem::replace(&mut self.rows, rest);
        self.bury(&gone);
    }

    fn bury(&mut self, gone: &[Row]) {
        for row in gone {
            self.lives.insert(number(row), self.number + 1);
        }
    }
}

fn number(row: &Row) -> u64 {
    match &row.what {
        What::Data(data) => u64::from_le_bytes(data[..].try_into().unwrap()),
        other => panic!("{other:?}"),
    }
}

fn wait<T>(mut answer: Answer<T>) -> T {
    loop {
        match poll(&mut answer) {
            Some(outcome) => return outcome.unwrap(),
            None => thread::yield_now(),
        }
    }
}
