//! Appends entries of two shards in one batch, reads them, and finds them again after a restart.
//!
//! `cargo run -p logboom --example append_and_read`
#![expect(clippy::print_stdout, reason = "it is what an example is for")]

use logboom::{Config, Durability, Engine, Entry, EntryId, ShardId};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let mut config = Config::new(dir.path());
    config.segment_bytes = 1 << 20; // small: the default is 64 MiB
    let (users, orders) = (ShardId(7), ShardId(8)); // a shard is one raft group's log

    let engine = Engine::open(config.clone())?;
    let mut batch = engine.batch(); // atomic over all shards in it
    batch.append(users, Entry::new(EntryId { index: 1, term: 1 }, b"first"))?;
    batch.append(users, Entry::new(EntryId { index: 2, term: 1 }, b"second"))?;
    batch.hard_state(users, b"term 1, vote 3")?;
    batch.append(orders, Entry::new(EntryId { index: 1, term: 1 }, b"other"))?;
    let ticket = engine.submit(batch, Durability::Durable)?; // readable from now on
    ticket.wait()?; // and from now on it survives power loss

    let mut batch = engine.batch(); // another leader replaces the second entry: durable, as it overwrites
    batch.overwrite(
        users,
        [Entry::new(EntryId { index: 2, term: 2 }, b"replaced"), Entry::new(EntryId { index: 3, term: 2 }, b"third")],
    )?;
    engine.write(batch)?; // `submit` and `wait` in one
    engine.close()?;

    let engine = Engine::open(config)?;
    let shard = engine.shard(users);
    for entry in &shard.entries(1..4, u64::MAX)? {
        println!("{} of term {}: {}", entry.index, entry.term, String::from_utf8_lossy(entry.payload));
    }
    assert_eq!((shard.first(), shard.last(), shard.term(2)?), (Some(1), Some(3), 2));
    assert_eq!(shard.hard_state()?.as_deref(), Some(&b"term 1, vote 3"[..]));
    Ok(engine.close()?)
}

#[test]
fn it_runs() {
    main().unwrap();
}
