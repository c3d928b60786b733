//! Directories to try the command on, and how it is run.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use logboom::{Config, Engine, Entry, EntryId, Payload, ShardId};
use serde_json::Value;
use tempfile::TempDir;

/// Groups begin at multiples of this.
pub(crate) const BLOCK: usize = 4096;
/// The four bytes that a group's header has after its checksum.
const GROUP_MAGIC: &[u8; 4] = b"LBGR";
/// A byte of the first record's body in a group that begins with one of ours.
pub(crate) const IN_FIRST_BODY: usize = 128 + 64 + 8;

/// A closed log with two shards and one of everything.
pub(crate) fn sample() -> (TempDir, Config) {
    let dir = TempDir::new().unwrap();
    let config = config(dir.path());
    let engine = Engine::open(config.clone()).unwrap();
    let (seven, eight) = (ShardId(7), ShardId(8));
    let mut batch = engine.batch();
    for (index, term) in [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 5)] {
        batch.append(seven, entry(index, term)).unwrap();
    }
    batch.compact_through(seven, 2).unwrap();
    batch.hard_state(seven, &[1, 2, 255]).unwrap();
    batch.reset_to(eight, Some(EntryId { index: 100, term: 9 })).unwrap();
    batch.commit_hint(eight, &[7]).unwrap();
    batch.put(eight, b"a", b"1").unwrap();
    batch.put(eight, b"b", b"2").unwrap();
    engine.write(batch).unwrap();
    engine.close().unwrap();
    (dir, config)
}

/// The directory of a writer that was stopped between two writes, each in a group of its own.
pub(crate) fn crashed() -> TempDir {
    let dir = TempDir::new().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    write(&engine, 1..20);
    let crashed = copy_with(dir.path(), |_, _| ());
    engine.close().unwrap();
    crashed
}

pub(crate) fn config(dir: &Path) -> Config {
    let mut config = Config::new(dir);
    config.segment_bytes = 256 << 10;
    // Or the last group would be promised before it is damaged.
    config.idle_promise = Duration::from_secs(3600);
    config
}

/// Appends entries of shard 7, each durable before the next.
pub(crate) fn write(engine: &Engine, range: std::ops::Range<u64>) {
    for index in range {
        let mut batch = engine.batch();
        batch.append(ShardId(7), entry(index, 1)).unwrap();
        engine.write(batch).unwrap();
    }
}

pub(crate) fn entry(index: u64, term: u64) -> Entry<'static> {
    Entry { index, term, kind: 0, context: &[], payload: Payload::Borrowed(&[0xab; 512]) }
}

/// The segment file with the most groups, and where its groups begin.
pub(crate) fn groups(dir: &Path) -> (String, Vec<usize>) {
    let found = contents(dir).into_iter().filter(|(name, _)| name.starts_with("segment-")).map(|(name, bytes)| {
        let begins = |at: &usize| bytes[*at..].get(4..8) == Some(GROUP_MAGIC);
        (name, (0..bytes.len()).step_by(BLOCK).filter(begins).collect::<Vec<_>>())
    });
    found.max_by_key(|(_, groups)| groups.len()).expect("a log has segments")
}

/// A copy of a directory, one file of it changed.
pub(crate) fn copy(dir: &TempDir, file: &str, change: impl Fn(&mut Vec<u8>)) -> TempDir {
    copy_with(dir.path(), |name, bytes| {
        if name == file {
            change(bytes);
        }
    })
}

pub(crate) fn copy_with(dir: &Path, change: impl Fn(&str, &mut Vec<u8>)) -> TempDir {
    let to = TempDir::new().unwrap();
    for (name, mut bytes) in contents(dir) {
        change(&name, &mut bytes);
        fs::write(to.path().join(name), bytes).unwrap();
    }
    to
}

/// The files of a directory, but for one that an engine in it renames meanwhile.
pub(crate) fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let read = |path: PathBuf| match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        bytes => Some((name(&path), bytes.unwrap())),
    };
    paths.filter_map(read).collect()
}

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    pub(crate) fn value(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "one object on one line: {self:?}");
        serde_json::from_str(&self.out).unwrap()
    }
}

pub(crate) fn verify(dir: &Path) -> Run {
    run(&["verify", "--json", dir.to_str().unwrap()])
}

pub(crate) fn inspect(dir: &Path) -> Run {
    run(&["inspect", "--json", dir.to_str().unwrap()])
}

pub(crate) fn run(args: &[&str]) -> Run {
    let output = command(args).output().unwrap();
    Run {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logboom"));
    command.args(args).stdin(Stdio::null());
    command
}
