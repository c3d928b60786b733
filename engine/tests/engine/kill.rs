//! kill -9 while appending, then opening again: every acknowledged entry is there.
//!
//! The writer is this test binary, started again with [`ROLE`] set. It tells on its standard output what was
//! acknowledged, and is killed at a random moment.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use logboom::{Durability, Engine, EntryId, ShardId};

use crate::support::*;

/// Set in the child: the directory to write to.
const ROLE: &str = "LOGBOOM_TEST_KILLED_WRITER";

const WRITERS: u64 = 4;

#[test]
fn every_acknowledged_entry_survives_kill() {
    if let Ok(dir) = std::env::var(ROLE) {
        return write_until_killed(&dir);
    }
    let rounds = if std::env::var("LOGBOOM_LONG").is_ok_and(|value| value == "1") { 500 } else { 30 };
    let ground = Ground::real();
    let mut rng = Rng::with_seed(1);
    let mut acknowledged = [None; WRITERS as usize];
    for round in 0..rounds {
        let told = kill_one(&ground, Duration::from_millis(rng.u64(20..120)));
        for (shard, index) in told {
            acknowledged[shard as usize] = acknowledged[shard as usize].max(Some(index));
        }
        let engine = ground.open();
        for (id, acknowledged) in (0..).zip(acknowledged) {
            let shard = engine.shard(ShardId(id));
            assert!(shard.last() >= acknowledged, "round {round}: {shard:?} lacks {acknowledged:?}");
            if let (Some(first), Some(last)) = (shard.first(), shard.last()) {
                check(&shard, first..last + 1, 1);
            }
        }
        engine.close().unwrap();
    }
    assert!(acknowledged.iter().all(Option::is_some), "{acknowledged:?}");
}

/// Starts a writer, kills it, and returns what it was told to be durable.
fn kill_one(ground: &Ground, after: Duration) -> Vec<(u64, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::every_acknowledged_entry_survives_kill", "--nocapture", "--test-threads=1"])
        .env(ROLE, &ground.config.dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut told = Vec::new();
        for line in output.lines().map_while(Result::ok) {
            let mut words = line.split(' ');
            if words.next() == Some("durable")
                && let (Some(shard), Some(index), Some("end")) = (words.next(), words.next(), words.next())
            {
                told.push((shard.parse().unwrap(), index.parse().unwrap()));
            }
        }
        told
    });
    std::thread::sleep(after);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(9), "the writer had ended by itself: {status}");
    reader.join().unwrap()
}

fn write_until_killed(dir: &str) {
    let engine = Engine::open(small(dir)).unwrap();
    std::thread::scope(|scope| {
        for id in 0..WRITERS {
            let engine = &engine;
            scope.spawn(move || write_one_shard(engine, ShardId(id)));
        }
    });
}

fn write_one_shard(engine: &Engine, shard: ShardId) {
    let mut rng = Rng::new();
    loop {
        let next = engine.shard(shard).next().unwrap_or(0);
        let mut batch = engine.batch();
        let count = rng.u64(1..20);
        for index in next..next + count {
            batch.append_payload(shard, EntryId { index, term: 1 }, Bytes::from(payload(shard, index, 1))).unwrap();
        }
        if next > 2000 && rng.u32(..10) == 0 {
            batch.compact_through(shard, next - 1000).unwrap();
        }
        match rng.bool() {
            true => engine.write(batch).unwrap(),
            false => engine.submit(batch, Durability::Durable).unwrap().wait().unwrap(),
        }
        // One write call: a line is told whole or not at all, whenever the process dies.
        let line = format!("durable {} {} end\n", shard.0, next + count - 1);
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}
