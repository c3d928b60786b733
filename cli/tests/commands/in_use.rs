//! The commands on a log that a writer has open, and that frees segments and uses them again meanwhile.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use logboom::{Durability, Engine, Entry, Error, Payload, ShardId};
use tempfile::TempDir;

use crate::support::*;

/// What one look finds may be of no one moment: a segment that the checkpoint names is another one by then. Several
/// look at once, so that each takes longer.
#[test]
fn a_good_log_in_use_is_never_damaged() {
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut config = config(dir.path());
    config.space_bytes_max = Some(3 << 20);
    config.reserve_segments = 1;
    let engine = Engine::open(config).unwrap();
    let done = AtomicBool::new(false);
    let path = dir.path().to_str().unwrap();
    let looks = || {
        let commands = [&["verify"][..], &["inspect"], &["inspect", "--quick"], &["repair"]];
        let runs = commands.iter().cycle().take(60).map(|args| run(&[args, &[path][..]].concat()));
        let is_odd = |run: &Run| run.code > 1 && !(run.code == 3 && run.err.contains("steady state"));
        runs.filter(is_odd).map(|run| (run.code, run.out.chars().take(400).collect(), run.err)).collect::<Vec<_>>()
    };
    let odd: Vec<(i32, String, String)> = thread::scope(|scope| {
        let writer = scope.spawn(|| fill(&engine, &done));
        let viewers: Vec<_> = (0..3).map(|_| scope.spawn(looks)).collect();
        let odd = viewers.into_iter().flat_map(|viewer| viewer.join().unwrap()).collect();
        done.store(true, Ordering::Release);
        writer.join().unwrap();
        odd
    });
    engine.close().unwrap();
    assert!(odd.is_empty(), "{} of 180: {odd:#?}", odd.len());
    let closed = verify(dir.path());
    assert_eq!(closed.code, 0, "{closed:?}");
}

/// Appends and compacts until it is done.
fn fill(engine: &Engine, done: &AtomicBool) {
    let mut first = 1;
    while !done.load(Ordering::Acquire) {
        let mut batch = engine.batch();
        for shard in [ShardId(1), ShardId(2)] {
            for index in [first, first + 1] {
                let payload = Payload::Borrowed(&[0xab; 8 << 10]);
                batch.append(shard, Entry { index, term: 1, kind: 0, context: &[], payload }).unwrap();
            }
            if first > 16 {
                batch.compact_through(shard, first - 16).unwrap();
            }
        }
        match engine.submit(batch, Durability::Durable) {
            // What was compacted is not durable yet.
            Err(Error::Full { .. }) => {}
            submitted => {
                drop(submitted.unwrap());
                first += 2;
            }
        }
    }
}
