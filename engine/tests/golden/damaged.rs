//! A directory with something of everything: a checkpoint of entries of several terms, keys, snapshots and shards of
//! which something is lost, footers of a segment of the log and of a cold one, and records of all kinds.
//!
//! It is made on the simulated disk, by one seed and without threads, so that it comes out the same each time: the
//! records have the sequences that the test of the bytes expects.

use std::{fs, io::Write, ops::Range, path::Path, sync::Arc};

use logboom::{
    Batch, Engine, Entry, EntryId, ManualClock, Runtime, Shard, ShardId,
    disk::{Disk, Mode, Pool, SimDisk, SimOptions},
    snapshot::{Spec, Stop},
};

use super::config;

pub(super) const TERMS: ShardId = ShardId(1);
pub(super) const KEYS: ShardId = ShardId(2);
pub(super) const LOST: ShardId = ShardId(3);
pub(super) const EMPTY: ShardId = ShardId(4);
pub(super) const SUFFIX: ShardId = ShardId(5);
pub(super) const SNAPSHOTS: ShardId = ShardId(u64::MAX);

const SEED: u64 = 7;
const BLOCK: u64 = 4096;

/// Writes the directory to `dir`, which must not have it yet.
pub(super) fn write(dir: &Path) {
    let disk = SimDisk::new(SEED, SimOptions::default());
    let engine = open(&disk);
    let bodies = fill(&engine);
    // Without a checkpoint, which would know what is lost.
    let disk = disk.process_crash();
    drop(engine);
    bodies.iter().for_each(|body| damage_body(&disk, body));
    // Two groups of one block each, one behind the other: nothing repeats what the first one held.
    for group in [&b"first lost group"[..], b"second lost group"] {
        let (name, at) = find(&disk, group);
        let begin = at / BLOCK * BLOCK;
        disk.damage(&name, begin..begin + BLOCK).unwrap();
    }
    let engine = open(&disk);
    engine.reclaim().unwrap();
    engine.close().unwrap();
    let engine = open(&disk);
    while engine.drive_once() {}
    end_losses(&engine);
    let disk = disk.process_crash();
    drop(engine);
    fs::create_dir_all(dir).unwrap();
    let files = disk.list().unwrap().into_iter().map(|name| (read(&disk, &name), name));
    for (bytes, name) in files.filter(|(bytes, _)| bytes.iter().any(|&byte| byte != 0)) {
        fs::write(dir.join(name), bytes).unwrap();
    }
}

/// Checks what an opening of the directory finds: all that was lost is healed, accepted or destroyed.
pub(super) fn check(shard: &dyn Fn(ShardId) -> Shard) {
    let payloads = |id: ShardId, range: Range<u64>| -> Vec<Vec<u8>> {
        shard(id).entries(range, u64::MAX).unwrap().iter().map(|entry| entry.payload.to_vec()).collect()
    };
    assert_eq!(shard(TERMS).boundary(), Some(EntryId { index: 5, term: 3 }));
    assert_eq!(payloads(TERMS, 6..9), [&b"b"[..], b"d", b""]);
    assert_eq!(shard(TERMS).hard_state().unwrap().as_deref(), Some(&b"new vote"[..]));
    assert_eq!(shard(KEYS).boundary(), Some(EntryId { index: 9, term: 8 }));
    assert_eq!(shard(KEYS).get(b"key").unwrap().as_deref(), Some(&b"value"[..]));
    let entries: [&[u8]; 6] = [b"one", b"lost entry two", b"three", b"four", b"lost entry five", b"six"];
    assert_eq!(payloads(LOST, 1..7), entries);
    assert_eq!(shard(LOST).get(b"new key").unwrap().as_deref(), Some(&b"new value"[..]));
    assert_eq!((shard(LOST).get(b"kept key").unwrap(), shard(LOST).hard_state().unwrap()), (None, None));
    assert_eq!(shard(SUFFIX).bounds().first, None);
    assert_eq!(shard(SNAPSHOTS).commit_hint().unwrap().as_deref(), Some(&b""[..]));
}

fn open(disk: &Arc<SimDisk>) -> Engine {
    let disk: Arc<dyn Disk> = Arc::<SimDisk>::clone(disk);
    let mut config = config(Path::new("simulated"));
    config.snapshots_kept = 2;
    Engine::open_on(disk, config, Runtime::Manual(ManualClock::new(SEED))).unwrap()
}

/// Fills an engine. Returns the bodies of the records that are to be lost, each of which is known by its header.
fn fill(engine: &Engine) -> Vec<Vec<u8>> {
    let boundary = EntryId { index: 4, term: 2 };
    one(engine, |batch| {
        batch.reset_to(TERMS, Some(boundary))?.hard_state(TERMS, b"vote")?.commit_hint(TERMS, b"hint")?;
        batch
            .append(TERMS, Entry::new(EntryId { index: 5, term: 3 }, b"a"))?
            .append(TERMS, Entry::new(EntryId { index: 6, term: 3 }, b"b"))?;
        batch.append(TERMS, Entry::new(EntryId { index: 7, term: 9 }, b"c"))?;
        batch.put(KEYS, b"key", b"value")?.put(KEYS, b"empty", b"")?;
        batch.append(EMPTY, Entry::new(EntryId { index: 1, term: 1 }, b"to be destroyed"))?;
        batch.append(SUFFIX, Entry::new(EntryId { index: 1, term: 1 }, b"before the loss"))?.hard_state(KEYS, b"")
    });
    snapshot(engine, SNAPSHOTS, 1);
    snapshot(engine, SNAPSHOTS, 3);
    let bodies = fill_lost(engine);
    for payload in [&b"first lost group"[..], b"second lost group"] {
        let index = if payload.starts_with(b"first") { 2 } else { 3 };
        one(engine, |batch| batch.append(SUFFIX, Entry::new(EntryId { index, term: 1 }, payload)));
    }
    // A shard that wrote nothing in the lost range has lost nothing in it: each of its records names the one before.
    one(engine, |batch| {
        batch.commit_hint(TERMS, b"later hint")?.delete(KEYS, b"none")?.commit_hint(LOST, b"last")?;
        batch.commit_hint(SNAPSHOTS, b"")?.destroy(EMPTY)
    });
    bodies
}

/// Two runs of entries, a hard state, two changes of keys and the registration of a snapshot are to be lost.
fn fill_lost(engine: &Engine) -> Vec<Vec<u8>> {
    let bodies = [&b"lost entry two"[..], b"lost entry five", b"lost hard state", b"lost key", b"lost value"];
    let [two, five, hard_state, deleted, value] = bodies;
    for (index, payload) in [(1, &b"one"[..]), (2, two), (3, b"three"), (4, b"four"), (5, five), (6, b"six")] {
        one(engine, |batch| batch.append(LOST, Entry::new(EntryId { index, term: 1 }, payload)));
    }
    one(engine, |batch| batch.put(LOST, b"kept key", b"kept value"));
    one(engine, |batch| batch.hard_state(LOST, hard_state));
    one(engine, |batch| batch.delete(LOST, deleted)?.put(LOST, b"key", value));
    let id = snapshot(engine, LOST, 1);
    bodies.into_iter().map(<[u8]>::to_vec).chain([id.to_le_bytes().to_vec()]).collect()
}

/// Writes what the checkpoint does not have: a record of every kind, and what ends the losses that it knows of.
fn end_losses(engine: &Engine) {
    one(engine, |batch| {
        let lost = [(2, &b"lost entry two"[..]), (5, b"lost entry five")];
        for (index, payload) in lost {
            batch.heal(
                LOST,
                Entry { kind: 7, context: b"context", ..Entry::new(EntryId { index, term: 1 }, payload) },
            )?;
        }
        batch.accept_loss(LOST)?.put(LOST, b"new key", b"new value")?.delete(LOST, b"kept key")
    });
    engine.accept_unknown_losses().unwrap();
    let forgotten = snapshot(engine, LOST, 5);
    snapshot(engine, LOST, 6);
    one(engine, |batch| {
        batch
            .truncate_after(TERMS, 6)?
            .append(TERMS, Entry::new(EntryId { index: 7, term: 10 }, b"d"))?
            .append(TERMS, Entry::new(EntryId { index: 8, term: 10 }, b""))?;
        batch.compact_through(TERMS, 5)?.hard_state(TERMS, b"new vote")?.commit_hint(TERMS, b"new hint")?;
        batch.reset_to(KEYS, Some(EntryId { index: 9, term: 8 }))?.reset_to(EMPTY, None)?;
        batch.forget_snapshot(LOST, forgotten)
    });
    one(engine, |batch| batch.destroy(SUFFIX));
}

/// Builds a snapshot and registers it. Returns its id.
fn snapshot(engine: &Engine, shard: ShardId, index: u64) -> u64 {
    let spec = Spec::new(shard.0, EntryId { index, term: 1 });
    let mut builder = engine.snapshots().build(spec, &Stop::new()).unwrap();
    builder.file("state").unwrap().write_all(b"content").unwrap();
    let built = builder.finish().unwrap();
    one(engine, |batch| batch.register_snapshot(shard, &built));
    built.registration().id
}

/// Writes a batch, as a group of its own.
fn one<'a>(engine: &Engine, fill: impl for<'b> FnOnce(&'b mut Batch<'a>) -> logboom::Result<&'b mut Batch<'a>>) {
    let mut batch = engine.batch();
    fill(&mut batch).unwrap();
    engine.write(batch).unwrap();
}

fn damage_body(disk: &SimDisk, body: &[u8]) {
    let (name, at) = find(disk, body);
    disk.damage(&name, at..at + 1).unwrap();
}

/// The segment file in which the bytes stand, and where; nowhere else.
fn find(disk: &SimDisk, bytes: &[u8]) -> (String, u64) {
    let mut found = Vec::new();
    for name in disk.list().unwrap().into_iter().filter(|name| name.starts_with("segment-")) {
        let file = read(disk, &name);
        let places = file.windows(bytes.len()).enumerate().filter(|(_, window)| *window == bytes);
        found.extend(places.map(|(at, _)| (name.clone(), at as u64)));
    }
    assert_eq!(found.len(), 1, "{bytes:?}: {found:?}");
    found.remove(0)
}

fn read(disk: &SimDisk, name: &str) -> Vec<u8> {
    let file = disk.open(name, Mode::Read).unwrap();
    let mut region = Pool::new(0).region(usize::try_from(file.size().unwrap()).unwrap());
    file.read_at(&mut region, 0).unwrap();
    region.to_vec()
}
