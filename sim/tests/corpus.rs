//! The bodies of the fuzz targets, on stable: the committed corpus, and inputs made up from a seed.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not find is its failure")]

use std::{alloc::System, fs, path::Path};

use fastrand::Rng;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes of the corpus in all: it is read with every run of the tests.
const CORPUS_BYTES_MAX: u64 = 200 << 10;

/// The longest input that is made up: as many edits as a body makes.
const INPUT_BYTES_MAX: usize = 256;

type Body = fn(&[u8], &dyn Fn() -> u64);

/// The targets, and how many inputs are made up for each.
const TARGETS: [(&str, Body, u64); 9] = [
    ("segment_recover", logboom_wal::fuzz::segment_recover, 1500),
    ("record_decode", logboom::fuzz::record_decode, 20_000),
    ("metadata_archive", logboom::fuzz::metadata_archive, 1500),
    ("snapshot_container", logboom::fuzz::snapshot_container, 1500),
    ("block_meta", logboom_logtail_core::fuzz::block_meta, 5000),
    ("row_decode", logboom_logtail_core::fuzz::row_decode, 20_000),
    ("tail_log", logboom_logtail_core::fuzz::tail_log, 3000),
    ("engine_ops", |bytes, _| logboom_sim::fuzz::engine_ops(bytes), 100),
    ("engine_crash", |bytes, _| logboom_sim::fuzz::engine_crash(bytes), 100),
];

/// One test, since the allocator counts for all threads.
#[test]
fn every_target_holds() {
    let seed = std::env::var("LOGBOOM_SEED").ok().map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    let long = std::env::var_os("LOGBOOM_LONG").is_some();
    for (name, body, inputs) in TARGETS {
        let files = replay(name, body);
        let inputs = if long { 20 * inputs } else { inputs };
        println!("{name}: {files} inputs of the corpus, {inputs} from LOGBOOM_SEED={seed}");
        (0..inputs).for_each(|nth| made_up(name, body, seed.wrapping_add(nth)));
    }
}

fn replay(target: &str, body: Body) -> usize {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut bytes = 0;
    for file in &files {
        let input = fs::read(file).unwrap();
        bytes += input.len() as u64;
        run(body, &input, &format_args!("{}", file.display()));
    }
    assert!(bytes * TARGETS.len() as u64 <= CORPUS_BYTES_MAX, "{target}: a corpus of {bytes} bytes");
    assert!(!files.is_empty(), "{target} has no corpus");
    files.len()
}

/// Runs an input that is all random, or mostly small numbers, which choose what is there.
fn made_up(target: &str, body: Body, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let small = rng.bool();
    let len = rng.usize(..INPUT_BYTES_MAX);
    let input: Vec<u8> = (0..len).map(|_| if small && rng.u8(..4) != 0 { rng.u8(..16) } else { rng.u8(..) }).collect();
    run(body, &input, &format_args!("{target}, LOGBOOM_SEED={seed}"));
}

fn run(body: Body, input: &[u8], what: &dyn std::fmt::Display) {
    let ran = std::panic::catch_unwind(|| body(input, &allocated));
    assert!(ran.is_ok(), "failed on {what}");
}

fn allocated() -> u64 {
    ALLOCATOR.stats().bytes_allocated as u64
}
