//! What `coming-from.md` says of raft-engine's calls and Logboom's: both are called, side by side.

use std::path::Path;

use logboom::{Durability, Entry, EntryId, Error, ReadError, ShardId};
use raft_engine::{Command, LogBatch, MessageExt};
use raft_proto::eraftpb;

const GROUP: u64 = 9;
const SHARD: ShardId = ShardId(GROUP);

struct Old;

impl MessageExt for Old {
    type Entry = eraftpb::Entry;

    fn index(entry: &eraftpb::Entry) -> u64 {
        entry.index
    }
}

/// One log in each engine, which hold the same.
struct Both {
    old: raft_engine::Engine,
    new: logboom::Engine,
}

impl Both {
    fn open(dir: &Path) -> Self {
        let config = raft_engine::Config {
            dir: dir.join("old").to_str().expect("the path is text").to_owned(),
            ..raft_engine::Config::default()
        };
        let old = raft_engine::Engine::open(config).expect("raft-engine opens");
        let mut config = logboom::Config::new(dir.join("new"));
        config.segment_bytes = 256 << 10;
        Both { old, new: logboom::Engine::open(config).expect("Logboom opens") }
    }

    /// The same entries in both, each of one payload byte.
    fn add(&self, indexes: std::ops::Range<u64>, term: u64) {
        let entries: Vec<_> = indexes
            .clone()
            .map(|index| eraftpb::Entry { index, term, data: vec![1].into(), ..Default::default() })
            .collect();
        let mut batch = LogBatch::default();
        batch.add_entries::<Old>(GROUP, &entries).expect("the batch takes them");
        self.old.write(&mut batch, true).expect("raft-engine writes");
        let mut batch = self.new.batch();
        batch
            .overwrite(SHARD, indexes.map(|index| Entry::new(EntryId { index, term }, &[1])))
            .expect("the batch takes them");
        self.new.write(batch).expect("Logboom writes");
    }

    fn command(&self, command: Command) {
        let mut batch = LogBatch::default();
        batch.add_command(GROUP, command);
        self.old.write(&mut batch, true).expect("raft-engine writes");
    }

    fn bounds(&self) -> [(Option<u64>, Option<u64>); 2] {
        let shard = self.new.shard(SHARD);
        [(self.old.first_index(GROUP), self.old.last_index(GROUP)), (shard.first(), shard.last())]
    }

    fn assert_bounds(&self, first: u64, last: u64) {
        assert_eq!(self.bounds(), [(Some(first), Some(last)); 2]);
    }

    /// The indexes that a read of each gives, or whether it says that they are compacted.
    fn read(&self, begin: u64, end: u64, bytes: u64) -> [Result<Vec<u64>, bool>; 2] {
        let mut entries = Vec::new();
        let limit = usize::try_from(bytes).ok().filter(|_| bytes != u64::MAX);
        let old = match self.old.fetch_entries_to::<Old>(GROUP, begin, end, limit, &mut entries) {
            Ok(_) => Ok(entries.iter().map(|entry| entry.index).collect()),
            Err(raft_engine::Error::EntryCompacted) => Err(true),
            Err(raft_engine::Error::EntryNotFound) => Err(false),
            Err(error) => panic!("{error:#}"),
        };
        let new = match self.new.shard(SHARD).entries(begin..end, bytes) {
            Ok(entries) => Ok(entries.iter().map(|entry| entry.index).collect()),
            Err(ReadError::Compacted { .. }) => Err(true),
            Err(ReadError::Unavailable { .. }) => Err(false),
            Err(error) => panic!("{error:#}"),
        };
        [old, new]
    }
}

#[test]
fn overlapping_entries_replace_the_suffix() {
    let dir = tempfile::tempdir().unwrap();
    let both = Both::open(dir.path());
    both.add(5..10, 1); // any index may be the first
    both.assert_bounds(5, 9);
    both.add(7..8, 2);
    both.assert_bounds(5, 7);

    let mut batch = both.new.batch();
    batch.append(SHARD, Entry::new(EntryId { index: 7, term: 3 }, b"overlaps")).unwrap();
    assert!(matches!(both.new.write(batch), Err(Error::Gap { expected: 8, got: 7, .. })));
    let mut batch = both.new.batch();
    batch.overwrite(SHARD, [Entry::new(EntryId { index: 9, term: 3 }, b"leaves a gap")]).unwrap();
    both.new.write(batch).unwrap_err();
    both.assert_bounds(5, 7);
}

/// The row at which an entry can be lost.
#[test]
fn compaction_keeps_its_index_there_and_drops_it_here() {
    let dir = tempfile::tempdir().unwrap();
    let both = Both::open(dir.path());
    both.add(1..11, 1);
    let compact = |index| {
        let mut batch = both.new.batch();
        batch.compact_through(SHARD, index).unwrap();
        both.new.write(batch).unwrap();
    };
    assert_eq!(both.old.compact_to(GROUP, 4), 3); // the number that went
    compact(4 - 1);
    both.assert_bounds(4, 10);
    both.command(Command::Compact { index: 6 });
    compact(6 - 1);
    both.assert_bounds(6, 10);
    let shard = both.new.shard(SHARD);
    assert_eq!(shard.boundary().map(|boundary| (boundary.index, boundary.term)), Some((5, 1)));
    assert_eq!(shard.term(5).unwrap(), 1);

    both.old.compact_to(GROUP, 11);
    compact(10);
    assert_eq!(both.bounds(), [(None, None); 2]);
    assert_eq!(shard.next(), Some(11));
}

#[test]
fn ranges_are_half_open_and_never_empty() {
    let dir = tempfile::tempdir().unwrap();
    let both = Both::open(dir.path());
    both.add(1..11, 1);
    let same = |begin, end, bytes, expected: Result<Vec<u64>, bool>| {
        assert_eq!(both.read(begin, end, bytes), [expected.clone(), expected], "{begin}..{end}, {bytes} bytes");
    };
    same(2, 5, u64::MAX, Ok(vec![2, 3, 4]));
    same(2, 5, 0, Ok(vec![2]));
    same(2, 12, u64::MAX, Err(false));
    both.old.compact_to(GROUP, 4);
    let mut batch = both.new.batch();
    batch.compact_through(SHARD, 3).unwrap();
    both.new.write(batch).unwrap();
    same(3, 5, u64::MAX, Err(true));
    same(4, 5, u64::MAX, Ok(vec![4]));
    let one = both.new.shard(SHARD).entries(4..5, u64::MAX).unwrap();
    assert_eq!(both.old.get_entry::<Old>(GROUP, 4).unwrap().unwrap().data[..], *one.get(4).unwrap().payload);
}

#[test]
fn keys_are_the_groups_and_go_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let both = Both::open(dir.path());
    both.add(1..3, 1);
    let mut old = LogBatch::default();
    let mut new = both.new.batch();
    for key in [b"a", b"b", b"c"] {
        old.put(GROUP, key.to_vec(), b"value".to_vec()).unwrap();
        new.put(SHARD, key, b"value").unwrap();
    }
    old.delete(GROUP, b"a".to_vec());
    new.delete(SHARD, b"a").unwrap();
    both.old.write(&mut old, false).unwrap();
    drop(both.new.submit(new, Durability::Lazy).unwrap()); // readable, and not waited for
    let shard = both.new.shard(SHARD);
    for key in [b"a", b"b", b"c"] {
        assert_eq!(both.old.get(GROUP, key), shard.get(key).unwrap().map(|value| value.to_vec()));
    }
    let mut keys = Vec::new();
    let collect = |key: &[u8], _: &[u8]| {
        keys.push(key.to_vec());
        true
    };
    both.old.scan_raw_messages(GROUP, Some(b"a"), Some(b"c"), false, collect).unwrap();
    let pairs = shard.scan(b"a".as_slice()..b"c".as_slice()).unwrap();
    assert_eq!(keys, pairs.iter().map(|(key, _)| key.to_vec()).collect::<Vec<_>>());
    assert_eq!(keys, [b"b"]);
    assert_eq!((both.old.raft_groups(), both.new.shards()), (vec![GROUP], vec![SHARD]));

    both.command(Command::Clean);
    let mut batch = both.new.batch();
    batch.destroy(SHARD).unwrap();
    both.new.write(batch).unwrap();
    assert_eq!(both.bounds(), [(None, None); 2]);
    assert_eq!((both.old.get(GROUP, b"b"), shard.get(b"b").unwrap()), (None, None));
    assert_eq!((both.old.raft_groups(), both.new.shards()), (vec![], vec![]));
}

/// Safety hangs on these, so that they cannot ride along.
#[test]
fn what_replaces_or_votes_is_not_lazy() {
    let dir = tempfile::tempdir().unwrap();
    let both = Both::open(dir.path());
    both.add(1..3, 1);
    let lazy = |batch| both.new.submit(batch, Durability::Lazy).map(drop);
    let mut batch = both.new.batch();
    batch.append(SHARD, Entry::new(EntryId { index: 3, term: 1 }, b"rides along")).unwrap();
    lazy(batch).unwrap();

    let mut batches: [_; 4] = std::array::from_fn(|_| both.new.batch());
    batches[0].overwrite(SHARD, [Entry::new(EntryId { index: 2, term: 2 }, b"replaces")]).unwrap();
    batches[1].hard_state(SHARD, b"votes").unwrap();
    batches[2].reset_to(SHARD, None).unwrap();
    batches[3].destroy(SHARD).unwrap();
    for batch in batches {
        assert!(matches!(lazy(batch), Err(Error::NotLazy { .. })));
    }
}
