//! What `coming-from.md` says of the term before the first entry, which etcd's `MemoryStorage` answers when it is new.

use logboom::{Config, Engine, EntryId, ReadError, ShardId};

const BARE: ShardId = ShardId(1);
const BEGUN: ShardId = ShardId(2);

#[test]
fn the_term_before_the_first_entry_is_that_of_a_boundary() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let engine = Engine::open(Config::new(dir.path()))?;
    assert!(matches!(engine.shard(BARE).term(0), Err(ReadError::Unavailable { last: None, .. })));
    let mut batch = engine.batch();
    batch.reset_to(BEGUN, Some(EntryId { index: 0, term: 0 }))?;
    engine.write(batch)?;
    assert_eq!(engine.shard(BEGUN).term(0)?, 0);
    let mut batch = engine.batch();
    batch.append_payload(BARE, EntryId { index: 1, term: 1 }, b"first")?;
    batch.append_payload(BEGUN, EntryId { index: 1, term: 1 }, b"first")?;
    engine.write(batch)?;
    assert!(matches!(engine.shard(BARE).term(0), Err(ReadError::Compacted { first: 1, .. })));
    assert_eq!(engine.shard(BEGUN).term(0)?, 0);
    engine.close()?;
    Ok(())
}
