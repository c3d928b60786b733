//! Directories as each version of the format left them, which every later build must open.
//!
//! `LOGBOOM_GOLDEN=write cargo test -p logboom --test golden` makes those of the present version anew; a version that
//! was released is never written again.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not find is its failure")]

mod by_text;
mod bytes;
mod damaged;

use std::{
    fs,
    path::{Path, PathBuf},
};

use logboom::{Config, Durability, Engine, Entry, EntryId, ShardId};

const VERSION: &str = "v2";
const LONG: ShardId = ShardId(1);
const MOVED: ShardId = ShardId(u64::MAX);
const GONE: ShardId = ShardId(3);

#[test]
fn a_closed_directory_of_version_1_opens() {
    check(&fixture("v1", "closed"));
}

#[test]
fn a_directory_of_version_1_whose_process_died_opens() {
    check(&fixture("v1", "died"));
}

#[test]
fn a_closed_directory_of_version_2_opens() {
    check(&fixture("v2", "closed"));
}

#[test]
fn a_directory_of_version_2_whose_process_died_opens() {
    check(&fixture("v2", "died"));
}

#[test]
fn a_directory_of_version_2_with_losses_opens() {
    let from = fixture("v2", "damaged");
    if std::env::var_os("LOGBOOM_GOLDEN").is_some() {
        drop(fs::remove_dir_all(&from));
        damaged::write(&from);
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    copy(&from, dir.path());
    let engine = Engine::open_read_only(config(dir.path())).unwrap();
    damaged::check(&|shard| engine.shard(shard));
    drop(engine);
    let engine = Engine::open(config(dir.path())).unwrap();
    damaged::check(&|shard| engine.shard(shard));
    assert!(engine.quarantined().is_empty() && !engine.has_unknown_losses());
}

#[test]
fn reading_leaves_every_directory_as_it_is() {
    for (version, name) in [("v1", "closed"), ("v1", "died"), ("v2", "closed"), ("v2", "died"), ("v2", "damaged")] {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        copy(&fixture(version, name), dir.path());
        let before = by_text::files(dir.path(), "");
        let engine = Engine::open_read_only(config(dir.path())).unwrap();
        let shards = engine.shards();
        assert!(!shards.is_empty());
        for shard in shards.into_iter().map(|id| engine.shard(id)) {
            let bounds = shard.bounds();
            let end = bounds.last.map_or(0, |last| last + 1);
            drop(shard.entries(bounds.first.unwrap_or(0)..end, u64::MAX).unwrap());
        }
        drop(engine);
        assert!(by_text::files(dir.path(), "") == before, "{version}/{name}");
    }
}

/// Everything that the directories hold, and that they can be written to and opened again.
fn check(from: &Path) {
    if std::env::var_os("LOGBOOM_GOLDEN").is_some() && from.ends_with("v2/closed") {
        write();
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    copy(from, dir.path());
    check_state(&Engine::open_read_only(config(dir.path())).unwrap().shard(LONG));
    let engine = Engine::open(config(dir.path())).unwrap();
    check_engine(&engine);
    let mut batch = engine.batch();
    batch.append(LONG, Entry::new(EntryId { index: 201, term: 5 }, b"by a later build")).unwrap();
    engine.write(batch).unwrap();
    engine.close().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    let entries = engine.shard(LONG).entries(200..202, u64::MAX).unwrap();
    assert_eq!(entries.get(201).unwrap().payload, b"by a later build");
}

fn check_engine(engine: &Engine) {
    assert_eq!(engine.shards(), [LONG, MOVED]);
    check_state(&engine.shard(LONG));
    let moved = engine.shard(MOVED);
    assert_eq!(moved.boundary(), Some(EntryId { index: 9, term: 2 }));
    assert_eq!((moved.first(), moved.last()), (Some(10), Some(11)));
    let entries = moved.entries(10..12, u64::MAX).unwrap();
    assert_eq!(entries.get(11).unwrap().payload, b"over the conflict");
    assert_eq!(moved.get(b"key").unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!(moved.get(b"deleted").unwrap(), None);
    assert_eq!(moved.commit_hint().unwrap().as_deref(), Some(&b"hint"[..]));
    assert_eq!(engine.shard(GONE).bounds().first, None);
}

fn check_state(long: &logboom::Shard) {
    assert_eq!((long.first(), long.last()), (Some(51), Some(200)));
    assert_eq!((long.term(50).ok(), long.term(51).ok(), long.term(200).ok()), (Some(1), Some(1), Some(4)));
    assert_eq!(long.hard_state().unwrap().as_deref(), Some(&b"term 4, vote 1"[..]));
    let entries = long.entries(51..201, u64::MAX).unwrap();
    for index in 51..=200 {
        let entry = entries.get(index).unwrap();
        assert_eq!((entry.term, entry.kind), (term(index), kind(index)));
        assert_eq!((entry.context, entry.payload), (context(index).as_slice(), payload(index).as_slice()));
    }
}

fn term(index: u64) -> u64 {
    1 + index / 60
}

fn kind(index: u64) -> u8 {
    u8::try_from(index % 3).unwrap()
}

fn context(index: u64) -> Vec<u8> {
    if index.is_multiple_of(10) { format!("context {index}").into_bytes() } else { Vec::new() }
}

fn payload(index: u64) -> Vec<u8> {
    format!("payload {index} ").into_bytes().repeat(usize::try_from(index).unwrap())
}

fn config(dir: &Path) -> Config {
    let mut config = Config::new(dir);
    config.segment_bytes = 256 << 10;
    config.reserve_segments = 0;
    config
}

fn write() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    fill(&engine);
    keep(dir.path(), &fixture(VERSION, "died"));
    engine.close().unwrap();
    keep(dir.path(), &fixture(VERSION, "closed"));
}

fn fill(engine: &Engine) {
    let boundary = EntryId { index: 9, term: 2 };
    let mut batch = engine.batch();
    batch.reset_to(MOVED, Some(boundary)).unwrap().put(MOVED, b"key", b"value").unwrap();
    batch.put(MOVED, b"deleted", b"value").unwrap().commit_hint(MOVED, b"hint").unwrap();
    for index in 10..13 {
        batch.append(MOVED, Entry::new(EntryId { index, term: 2 }, b"to be overwritten")).unwrap();
    }
    batch.append(GONE, Entry::new(EntryId { index: 1, term: 1 }, b"to be destroyed")).unwrap();
    engine.write(batch).unwrap();
    let mut batch = engine.batch();
    batch.overwrite(MOVED, [Entry::new(EntryId { index: 11, term: 3 }, b"over the conflict")]).unwrap();
    batch.delete(MOVED, b"deleted").unwrap().destroy(GONE).unwrap();
    engine.write(batch).unwrap();
    for index in 1..=200 {
        let (context, payload) = (context(index), payload(index));
        let mut entry = Entry::new(EntryId { index, term: term(index) }, payload.as_slice());
        (entry.kind, entry.context) = (kind(index), &context);
        let mut batch = engine.batch();
        batch.append(LONG, entry).unwrap();
        engine.write(batch).unwrap();
    }
    let mut batch = engine.batch();
    batch.hard_state(LONG, b"term 4, vote 1").unwrap().compact_through(LONG, 50).unwrap();
    engine.submit(batch, Durability::Durable).unwrap().wait().unwrap();
}

fn fixture(version: &str, name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version).join(name)
}

/// All but the lock, and but segments that nothing was ever written to.
fn keep(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    copy(from, to);
    for file in fs::read_dir(to).unwrap() {
        let path = file.unwrap().path();
        if path.ends_with("LOCK") || fs::read(&path).unwrap().iter().all(|&byte| byte == 0) {
            fs::remove_file(path).unwrap();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
