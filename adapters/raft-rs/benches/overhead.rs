//! What the adapter costs over the bare engine: a durable write of 64 groups in one batch, and reading 100 entries.
//!
//! Both sides do the same in turns, on the same engine, so that whatever the machine does besides hits both; what is
//! printed are medians. Making the `Ready`s is raft-rs' own work, and not counted.
//!
//! `LOGBOOM_BENCH_DIR` says where, otherwise it is in the build folder.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program that prints")]

use std::{
    env,
    hint::black_box,
    path::PathBuf,
    time::{Duration, Instant},
};

use logboom::{Config, Engine, EntryId, ShardId};
use logboom_raft_rs::{Group, Round, Writer};
use raft::{GetEntriesContext, RawNode, Storage, eraftpb::ConfState};

const GROUPS: u64 = 64;
const PAYLOAD: usize = 256;
const WRITES: usize = 2_000;
const READS: usize = 20_000;
const ENTRIES: u64 = 100;

fn main() {
    // `cargo test --benches` wants to see that it runs.
    let is_short = env::args().any(|arg| arg == "--test");
    let base = env::var_os("LOGBOOM_BENCH_DIR").map_or(PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let dir = tempfile::tempdir_in(base).unwrap();
    let engine = Engine::open(Config::new(dir.path().join("log"))).unwrap();
    let share = if is_short { 100 } else { 1 };
    write(&engine, WRITES / share);
    for per_record in [1, 8, 100] {
        read(&engine, READS / share, per_record);
    }
    engine.close().unwrap();
}

/// A batch of one entry of each group, made durable.
fn write(engine: &Engine, rounds: usize) {
    let mut nodes: Vec<RawNode<Group>> = nodes(engine);
    let mut writer = Writer::new(engine, || {});
    for _ in 0..3 {
        turn(&mut nodes, &mut writer);
    }
    let payload = [7; PAYLOAD];
    let (mut bare, mut adapted) = (Vec::new(), Vec::new());
    for next in 1..=rounds as u64 {
        let begun = Instant::now();
        let mut batch = engine.batch();
        for group in 0..GROUPS {
            batch.append_payload(ShardId(1000 + group), EntryId { index: next, term: 1 }, &payload).unwrap();
        }
        engine.write(batch).unwrap();
        bare.push(begun.elapsed());

        for node in &mut nodes {
            node.propose(vec![], payload.to_vec()).unwrap();
        }
        adapted.push(turn(&mut nodes, &mut writer));
    }
    let (bare, adapted) = (median(bare), median(adapted));
    let more = 100.0 * (adapted.as_secs_f64() / bare.as_secs_f64() - 1.0);
    println!("a durable batch of {GROUPS} groups: bare {bare:?}, raft-rs {adapted:?}, {more:+.1} %");
}

fn nodes(engine: &Engine) -> Vec<RawNode<Group>> {
    let members = ConfState::from((vec![1], vec![]));
    let shards = (0..GROUPS).map(ShardId);
    Group::create(engine, shards.clone(), &members, EntryId { index: 0, term: 0 }).unwrap();
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let node = |shard| {
        let group = Group::open(engine, shard, 0).unwrap();
        let mut node = RawNode::new(&raft::Config::new(1), group, &logger).unwrap();
        node.campaign().unwrap();
        node
    };
    shards.map(node).collect()
}

/// All that is ready. Gives how long saving took.
fn turn(nodes: &mut [RawNode<Group>], writer: &mut Writer) -> Duration {
    let mut readys: Vec<_> = nodes.iter_mut().map(RawNode::ready).collect();
    let begun = Instant::now();
    let mut round = Round::new();
    for (node, ready) in nodes.iter().zip(&mut readys) {
        round.save(node.store(), ready);
    }
    let (saved, _) = writer.write(&mut round).unwrap();
    let took = begun.elapsed();
    assert_eq!(saved.len(), nodes.len());
    for (node, ready) in nodes.iter_mut().zip(readys) {
        black_box(node.advance(ready));
        node.advance_apply();
    }
    took
}

/// 100 entries from memory, which were appended in records of `per_record`.
fn read(engine: &Engine, rounds: usize, per_record: u64) {
    let shard = ShardId(2000 + per_record);
    Group::create(engine, [shard], &ConfState::from((vec![1], vec![])), EntryId { index: 0, term: 0 }).unwrap();
    let payload = [7; PAYLOAD];
    for first in (0..ENTRIES).step_by(usize::try_from(per_record).unwrap()) {
        let mut batch = engine.batch();
        for index in first + 1..=(first + per_record).min(ENTRIES) {
            batch.append_payload(shard, EntryId { index, term: 0 }, &payload).unwrap();
        }
        engine.write(batch).unwrap();
    }
    let group = Group::open(engine, shard, 0).unwrap();
    let shard = engine.shard(shard);
    let (mut bare, mut adapted) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begun = Instant::now();
        let entries = shard.entries(1..ENTRIES + 1, u64::MAX).unwrap();
        entries.iter().for_each(|entry| _ = black_box(entry.payload[0]));
        drop(entries);
        bare.push(begun.elapsed());

        let begun = Instant::now();
        let entries = group.entries(1, ENTRIES + 1, None, GetEntriesContext::empty(false)).unwrap();
        entries.iter().for_each(|entry| _ = black_box(entry.data[0]));
        drop(entries);
        adapted.push(begun.elapsed());
    }
    let (bare, adapted) = (median(bare), median(adapted));
    let more = (adapted.as_secs_f64() - bare.as_secs_f64()) * 1e9 / ENTRIES as f64;
    println!(
        "{ENTRIES} entries in records of {per_record}: bare {bare:?}, raft-rs {adapted:?}, {more:+.1} ns an entry"
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
