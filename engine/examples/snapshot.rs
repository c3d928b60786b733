//! Saves a snapshot and drops the log behind it, in one batch, and ships it to another engine.
//!
//! `cargo run -p logboom --example snapshot`
#![expect(clippy::print_stdout, reason = "it is what an example is for")]

use std::io::{Read, Write};

use logboom::{
    Config, Engine, Entry, EntryId, ShardId,
    snapshot::{Spec, Stop},
};

const SHARD: ShardId = ShardId(1);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let open = |name: &str| {
        let mut config = Config::new(dir.path().join(name));
        config.segment_bytes = 1 << 20; // small: the default is 64 MiB
        Engine::open(config)
    };
    let leader = open("leader")?;
    let mut batch = leader.batch();
    for index in 1..=10 {
        batch.append(SHARD, Entry::new(EntryId { index, term: 1 }, b"add 1"))?;
    }
    leader.write(batch)?;

    // The state up to entry 8 stands for these entries. It is streamed: the whole is never in memory.
    let spec = Spec::new(SHARD.0, EntryId { index: 8, term: 1 });
    let mut builder = leader.snapshots().build(spec, &Stop::new())?;
    builder.file("sum")?.write_all(b"8")?;
    let built = builder.finish()?; // durable, not yet registered
    let mut batch = leader.batch();
    batch.register_snapshot(SHARD, &built)?.compact_through(SHARD, 8)?; // up to and including 8
    leader.write(batch)?; // a crash leaves both or neither
    println!("the leader's log begins at {:?}", leader.shard(SHARD).first());

    // A follower gets the manifest, and then the chunks that it asks for.
    let follower = open("follower")?;
    let lease = leader.snapshots().newest(SHARD)?.ok_or("it was registered")?; // keeps the file while it lives
    let mut receiver = follower.snapshots().receive(SHARD, &lease.manifest_bytes(), &Stop::new())?;
    while let Some(position) = receiver.position() {
        receiver.accept(&lease.chunk(position)?)?; // each is verified
    }
    follower.snapshots().install(&receiver.finish()?, Some(b"term 1"))?; // with the hard state; resets the log
    assert_eq!(follower.shard(SHARD).next(), Some(9));

    let mut state = String::new();
    follower.snapshots().newest(SHARD)?.ok_or("it was installed")?.open("sum")?.read_to_string(&mut state)?;
    println!("the follower goes on behind 8, with the state {state}");
    assert_eq!(state, "8");
    drop(lease);
    follower.close()?;
    Ok(leader.close()?)
}

#[test]
fn it_runs() {
    main().unwrap();
}
