//! What the adapter costs over the bare engine, in rounds that alternate: noise of the machine hits both sides.
//!
//! `cargo bench -p logboom-openraft`; `-- --test` runs one round, to see that it works.

#![expect(clippy::unwrap_used, reason = "a bench has nobody to give an error to")]
#![expect(clippy::print_stdout, reason = "this is what it prints")]

use std::{
    hint::black_box,
    sync::mpsc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use logboom::{Config, Durability, Engine, Entry, EntryId, ShardId};
use logboom_openraft::{
    Data, Options,
    v0_10::{
        LogStore, openraft,
        openraft::{
            EntryPayload, LogId, RaftLogReader,
            impls::leader_id_adv::LeaderId,
            storage::{IOFlushed, RaftLogStorage},
            type_config::{TypeConfigExt, alias::EntryOf},
        },
    },
};

openraft::declare_raft_types!(
    pub(crate) Types:
        D = Data,
        R = (),
);

const GROUPS: u64 = 64;
const READ: u64 = 100;

fn main() {
    let rounds = if std::env::args().any(|argument| argument == "--test") { 1 } else { 400 };
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::open(Config::new(dir.path().join("log"))).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut bench = Bench { engine, runtime, payload: Bytes::from(vec![7; 256]), next: 0 };
    bench.append(rounds);
    [READ, 1].into_iter().for_each(|together| bench.read(rounds * 20, together));
}

struct Bench {
    engine: Engine,
    runtime: tokio::runtime::Runtime,
    payload: Bytes,
    /// The index that every group is at.
    next: u64,
}

impl Bench {
    fn append(&mut self, rounds: usize) {
        let mut sides = [("one batch", Vec::new()), ("64 submits", Vec::new()), ("the adapter", Vec::new())];
        let ways = [Self::one_batch, Self::submits, Self::adapter];
        let mut stores: Vec<_> =
            (0..GROUPS).map(|shard| LogStore::new(&self.engine, ShardId(shard), Options::default())).collect();
        for round in 0..rounds + rounds / 10 {
            for turn in 0..ways.len() {
                let way = (round + turn) % ways.len();
                let took = ways[way](self, &mut stores);
                self.next += 1;
                if round >= rounds / 10 {
                    sides[way].1.push(took);
                }
            }
        }
        println!("durable append of one entry of 256 B to each of {GROUPS} groups, median of {rounds}:");
        let base = median(&mut sides[1].1.clone());
        for (name, times) in &mut sides {
            let took = median(times);
            println!(
                "  {name:12} {:8.1} us  {:+.1} %",
                micros(took),
                (took.as_secs_f64() / base.as_secs_f64() - 1.0) * 100.0
            );
        }
    }

    fn one_batch(&mut self, _: &mut [LogStore<Types>]) -> Duration {
        let begun = Instant::now();
        let mut batch = self.engine.batch();
        for shard in 0..GROUPS {
            batch.append(ShardId(shard), self.entry()).unwrap();
        }
        let (sender, done) = mpsc::channel();
        let ticket = self.engine.submit(batch, Durability::Durable).unwrap();
        ticket.on_complete(move |outcome| sender.send(outcome).unwrap());
        done.recv().unwrap().unwrap();
        begun.elapsed()
    }

    fn submits(&mut self, _: &mut [LogStore<Types>]) -> Duration {
        let begun = Instant::now();
        let (sender, done) = mpsc::channel();
        for shard in 0..GROUPS {
            let mut batch = self.engine.batch();
            batch.append(ShardId(shard), self.entry()).unwrap();
            let sender = sender.clone();
            let ticket = self.engine.submit(batch, Durability::Durable).unwrap();
            ticket.on_complete(move |outcome| sender.send(outcome).unwrap());
        }
        (0..GROUPS).for_each(|_| done.recv().unwrap().unwrap());
        begun.elapsed()
    }

    fn adapter(&mut self, stores: &mut [LogStore<Types>]) -> Duration {
        let begun = Instant::now();
        self.runtime.block_on(async {
            let mut done = Vec::with_capacity(stores.len());
            for store in stores {
                let (sender, flushed) = Types::oneshot();
                store.append([self.raft_entry(self.next)], IOFlushed::signal(sender)).await.unwrap();
                done.push(flushed);
            }
            for flushed in done {
                flushed.await.unwrap().unwrap();
            }
        });
        begun.elapsed()
    }

    /// Entries that were appended in calls of `together`.
    fn read(&mut self, rounds: usize, together: u64) {
        let group = ShardId(GROUPS + together);
        let mut store = LogStore::<Types>::new(&self.engine, group, Options::default());
        self.runtime.block_on(async {
            for first in (0..READ / together).map(|call| call * together) {
                let (sender, flushed) = Types::oneshot();
                let entries = (first..first + together).map(|index| self.raft_entry(index));
                store.append(entries, IOFlushed::signal(sender)).await.unwrap();
                flushed.await.unwrap().unwrap();
            }
        });
        let shard = self.engine.shard(group);
        let mut sides = [("views", Vec::new()), ("owned bytes", Vec::new()), ("the adapter", Vec::new())];
        for _ in 0..rounds {
            let begun = Instant::now();
            let entries = shard.entries(0..READ, u64::MAX).unwrap();
            let views: Vec<_> = entries.iter().map(|entry| (entry.index, entry.term, entry.payload)).collect();
            black_box(&views);
            drop(views);
            sides[0].1.push(begun.elapsed());
            let begun = Instant::now();
            let entries = shard.entries(0..READ, u64::MAX).unwrap();
            let owned: Vec<_> = entries.iter().map(|entry| (entry.index, entry.term, entry.payload_shared())).collect();
            drop(black_box(owned));
            sides[1].1.push(begun.elapsed());
            let begun = Instant::now();
            drop(black_box(self.runtime.block_on(store.try_get_log_entries(0..READ)).unwrap()));
            sides[2].1.push(begun.elapsed());
        }
        println!("reading {READ} recent entries of 256 B, appended by {together}, median of {rounds}, an entry:");
        for (name, times) in &mut sides {
            println!("  {name:12} {:8.1} ns", median(times).as_nanos() as f64 / READ as f64);
        }
    }

    fn entry(&self) -> Entry<'_> {
        Entry {
            kind: 1,
            context: &[1, 0, 0, 0, 0, 0, 0, 0],
            ..Entry::new(EntryId { index: self.next, term: 1 }, self.payload.clone())
        }
    }

    fn raft_entry(&self, index: u64) -> EntryOf<Types> {
        openraft::Entry { log_id: id(index), payload: EntryPayload::Normal(Data(self.payload.clone())) }
    }
}

fn id(index: u64) -> LogId<LeaderId<u64, u64>> {
    LogId::new(LeaderId { term: 1, node_id: 1 }, index)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
