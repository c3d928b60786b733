//! The `logboom` command as its users meet it: what it prints, how it exits, and that it never changes a directory.

#![expect(clippy::unwrap_used, reason = "a test states what it expects by unwrapping, in its helpers too")]

mod support;
mod repair;
mod identity;
mod in_use;
mod faces;

use std::{fs, io::Write, process::Stdio};

use logboom::{
    Engine, EntryId, ShardId,
    snapshot::{Spec, Stop},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::*;

#[test]
fn what_is_not_a_command_is_not_damage() {
    for args in [&[][..], &["bogus"], &["verify"], &["verify", "--bogus", "x"], &["inspect"]] {
        let run = run(args);
        assert_eq!(run.code, 3, "{args:?}");
        assert!(run.out.is_empty() && run.err.contains("Usage"), "{args:?}: {run:?}");
    }
    for args in [&["--help"][..], &["--version"], &["verify", "--help"], &["help", "inspect"]] {
        let run = run(args);
        assert!(run.code == 0 && !run.out.is_empty() && run.err.is_empty(), "{args:?}: {run:?}");
    }
}

#[test]
fn what_is_missing_of_a_path_is_named() {
    let dir = TempDir::new().unwrap();
    let missing = dir.path().join("missing");
    for command in ["inspect", "verify", "repair"] {
        let run = run(&[command, missing.join("log").to_str().unwrap()]);
        let is_named = run.err.contains(missing.to_str().unwrap()) && run.err.contains("does not exist");
        assert!(run.code == 3 && is_named && !run.err.contains("missing/log: does"), "{run:?}");
    }
}

#[test]
fn what_is_not_a_log_cannot_be_checked() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "not a log").unwrap();
    let newer = copy(&sample().0, "LOGBOOM", |bytes| {
        bytes[8] = 99;
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    });

    let cases = [
        (dir.path().join("missing"), "does not exist"),
        (file, "not a directory"),
        (dir.path().to_owned(), "not a Logboom directory"),
        (newer.path().to_owned(), "format version 99"),
    ];
    for (path, error) in &cases {
        for command in ["inspect", "verify", "repair"] {
            let text = run(&[command, path.to_str().unwrap()]);
            assert!(text.code == 3 && text.out.is_empty() && text.err.contains(error), "{command} {text:?}");
            let json = run(&["--json", command, path.to_str().unwrap()]);
            let value = json.value();
            assert_eq!((json.code, &value["verdict"]), (3, &json!("unchecked")), "{command} {json:?}");
            assert!(value["error"].as_str().unwrap().contains(error), "{command} {json:?}");
        }
    }
}

#[test]
fn a_closed_log_is_clean() {
    let (dir, _) = sample();
    let before = contents(dir.path());
    let run = verify(dir.path());
    assert_eq!(run.code, 0, "{run:?}");
    let value = run.value();
    assert_eq!(value["verdict"], "clean");
    assert_eq!((&value["cut"], &value["damages"]), (&Value::Null, &json!([])));
    assert!(value["records"].as_u64().unwrap() >= 7, "{value}");
    assert!(before == contents(dir.path()), "verify changed the directory");

    let text = self::run(&["verify", dir.path().to_str().unwrap()]);
    assert!(text.code == 0 && text.out.contains("verdict     clean\n") && text.err.is_empty(), "{text:?}");
}

#[test]
fn snapshots_are_listed_and_read() {
    let dir = TempDir::new().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    write(&engine, 1..20);
    let mut builder = engine.snapshots().build(Spec::new(1, EntryId { index: 10, term: 1 }), &Stop::new()).unwrap();
    builder.file("state").unwrap().write_all(&[7; 10_000]).unwrap();
    let built = builder.finish().unwrap();
    engine.snapshots().register(&built).unwrap();
    drop(built);
    engine.close().unwrap();
    let inspected = run(&["--json", "inspect", "--shard", "1", dir.path().to_str().unwrap()]).value();
    let row = &inspected["shards"][0]["snapshots"][0];
    assert_eq!((&row["index"], &row["term"]), (&json!(10), &json!(1)), "{inspected}");
    let file = row["file"].as_str().unwrap();
    assert!(run(&["inspect", dir.path().to_str().unwrap()]).out.contains("snapshots   1 of 1 shard\n"));
    let clean = verify(dir.path());
    assert_eq!((clean.code, &clean.value()["snapshots"]), (0, &json!({ "registered": 1, "bytes": 10_000 })));
    let rotten = copy(&dir, file, |bytes| bytes[9000] ^= 1);
    let found = verify(rotten.path());
    let what = found.value()["damages"][0]["what"].as_str().unwrap().to_owned();
    assert!(found.code == 2 && what.contains(file) && what.contains("shard 1"), "{what}");
    fs::remove_file(rotten.path().join(file)).unwrap();
    assert!(verify(rotten.path()).value()["damages"][0]["what"].as_str().unwrap().contains("missing"));
}

/// A log in which the records of a shard that never compacts were moved.
fn moved() -> TempDir {
    let dir = TempDir::new().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    for nth in 0..40 {
        write(&engine, nth * 20 + 1..nth * 20 + 21);
        let mut batch = engine.batch();
        batch.append(ShardId(9), entry(nth + 1, 1)).unwrap();
        batch.compact_through(ShardId(7), nth * 20 + 19).unwrap();
        engine.write(batch).unwrap();
    }
    assert!(engine.reclaim().unwrap().cold_segments > 0);
    engine.close().unwrap();
    dir
}

#[test]
fn segments_of_moved_records_are_listed_and_checked() {
    let dir = moved();
    let found = inspect(dir.path());
    assert_eq!(found.code, 0, "{found:?}");
    let value = found.value();
    let cold = value["segments"].as_array().unwrap().iter().find(|row| row["cold"] == true).unwrap();
    assert!(cold["live_bytes"].as_u64() > Some(512) && cold["footer"] == true, "{cold}");
    let table = run(&["inspect", dir.path().to_str().unwrap()]).out;
    let name = format!("c{}", cold["segment"].as_u64().unwrap() - (1 << 47));
    assert!(table.contains(&name), "{name}: {table}");
    assert_eq!(verify(dir.path()).code, 0);

    // One block of it: what was there is told of, and the shard that it was of can be healed or cut.
    let file = format!("segment-{:06}", cold["slot"].as_u64().unwrap());
    let damaged = copy(&dir, &file, |bytes| bytes[2 * BLOCK..3 * BLOCK].fill(0x5a));
    let checked = verify(damaged.path());
    assert_eq!(checked.code, 2, "{checked:?}");
    assert_eq!(checked.value()["damages"][0]["segment"], cold["segment"]);
    let text = run(&["verify", damaged.path().to_str().unwrap()]).out;
    assert!(text.contains(&format!("segment {name}")), "{text}");
}

#[test]
fn a_log_in_use_can_be_looked_at() {
    let dir = TempDir::new().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    write(&engine, 1..20);
    for command in ["inspect", "verify", "repair"] {
        let run = run(&["--json", command, dir.path().to_str().unwrap()]);
        assert!(run.code == 0, "{command}: {run:?}");
    }
    write(&engine, 20..30);
    engine.close().unwrap();
}

/// What was added was never of the log: it is told of, and costs nothing.
#[test]
fn a_segment_file_that_is_too_long_gets_its_size_back() {
    let (dir, mut config) = sample();
    let (file, _) = groups(dir.path());
    let long = copy(&dir, &file, |bytes| bytes.push(7));
    let found = verify(long.path());
    assert!(found.code == 2 && found.value()["findings"] == json!(["odd-file"]), "{found:?}");
    config.dir = long.path().to_owned();
    Engine::open(config).unwrap().close().unwrap();
    let found = verify(long.path());
    assert_eq!(found.code, 0, "{found:?}");
    assert_eq!(fs::metadata(long.path().join(file)).unwrap().len(), 256 << 10);
}

#[test]
fn an_unpromised_tail_is_told_from_damage() {
    let crashed = crashed();
    assert_eq!(verify(crashed.path()).code, 0, "a crash alone is clean");

    let (file, groups) = groups(crashed.path());
    // The first group begins the epoch; the entries follow, one a group.
    let (first, last) = (groups[2], *groups.last().unwrap());
    let tail = copy(&crashed, &file, |bytes| bytes[last + IN_FIRST_BODY] ^= 1);
    let run = verify(tail.path());
    let value = run.value();
    assert_eq!((run.code, &value["verdict"]), (1, &json!("tail")), "{run:?}");
    assert_eq!(value["cut"]["offset"], last);
    assert_eq!(value["damages"], json!([]));

    let damaged = copy(&crashed, &file, |bytes| bytes[first + IN_FIRST_BODY] ^= 1);
    let run = verify(damaged.path());
    let value = run.value();
    assert_eq!((run.code, &value["verdict"]), (2, &json!("damage")), "{run:?}");
    let damage = &value["damages"][0];
    assert_eq!(damage["offset"], first);
    assert_eq!(damage["lost"], json!([{ "shard": 7, "first": 2, "count": 1, "kind": 1, "held": "entry 2" }]));

    let text = self::run(&["verify", damaged.path().to_str().unwrap()]);
    assert!(text.out.contains("verdict     DAMAGE\n"), "{text:?}");
    assert!(text.out.contains("it held entry 2 of shard 7"), "{text:?}");
}

/// A missing footer costs no data, a lost group of the same segment does: neither line hides the other.
#[test]
fn a_segment_can_lack_its_footer_and_a_group() {
    let dir = TempDir::new().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    write(&engine, 1..200);
    engine.close().unwrap();
    let (file, groups) = groups(dir.path());
    let both = copy(&dir, &file, |bytes| {
        let trailer = bytes.len() - 64;
        bytes[trailer..].fill(0);
        bytes[groups[5] + IN_FIRST_BODY] ^= 1;
    });
    let run = run(&["verify", both.path().to_str().unwrap()]);
    assert!(run.code == 2 && run.out.contains("[footer] segments ") && run.out.contains("[records] "), "{run:?}");
    assert!(run.out.contains("their groups are read instead\n") && !run.out.contains("nothing is lost"), "{run:?}");
}

#[test]
fn what_damage_took_is_named() {
    let dir = TempDir::new().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    write(&engine, 1..4);
    let (seven, eight) = (ShardId(7), ShardId(8));
    let mut batch = engine.batch();
    batch.append(seven, entry(4, 1)).unwrap();
    batch.truncate_after(seven, 3).unwrap();
    batch.compact_through(seven, 2).unwrap();
    batch.hard_state(seven, b"vote").unwrap();
    batch.reset_to(eight, Some(EntryId { index: 100, term: 9 })).unwrap();
    batch.commit_hint(eight, &[7]).unwrap();
    batch.put(eight, b"a", b"1").unwrap();
    batch.delete(eight, b"b").unwrap();
    batch.destroy(ShardId(9)).unwrap();
    engine.write(batch).unwrap();
    write(&engine, 4..6);
    engine.close().unwrap();

    let (file, groups) = groups(dir.path());
    // The epoch's group, one for each of three entries, and then the batch.
    let damaged = copy(&dir, &file, |bytes| bytes[groups[4]..groups[4] + BLOCK].fill(0));
    let run = verify(damaged.path());
    assert_eq!(run.code, 2, "{run:?}");
    let lost = run.value()["damages"][0]["lost"].clone();
    let held: Vec<String> = lost
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{}: {}", row["shard"], row["held"].as_str().unwrap()))
        .collect();
    assert_eq!(
        held,
        [
            "7: entry 4",
            "7: a truncation after 3",
            "7: a compaction to 2",
            "7: a hard state",
            "8: a reset",
            "8: a commit hint",
            "8: a key",
            "8: a key",
            "9: a destruction",
        ]
    );
}

#[test]
fn inspect_tells_what_damage_took() {
    let crashed = crashed();
    let (file, groups) = groups(crashed.path());
    let damaged = copy(&crashed, &file, |bytes| bytes[groups[2] + IN_FIRST_BODY] ^= 1);
    let run = inspect(damaged.path());
    let value = run.value();
    assert_eq!((run.code, &value["recovery"]["verdict"]), (2, &json!("damage")), "{run:?}");
    assert_eq!(value["recovery"]["damages"][0]["offset"], groups[2]);
    assert_eq!(value["recovery"]["quarantined"], 1);
    let shard = value["shards"].as_array().unwrap().iter().find(|row| !row["quarantine"].is_null()).unwrap().clone();
    let text = self::run(&["inspect", damaged.path().to_str().unwrap()]);
    let quarantine = format!("quarantine  shard {} lost: ", shard["shard"]);
    for line in
        ["on open     holds back 1 shard\n", "damage      [records] segment 1 (segment-000000), byte ", &quarantine]
    {
        assert!(text.code == 2 && text.out.contains(line), "{line:?} in {text:?}");
    }
    let verified = self::run(&["verify", damaged.path().to_str().unwrap()]);
    assert!(verified.code == 2 && verified.out.contains(&quarantine), "{verified:?}");

    // Without its newest segment a log is not merely shorter: the checkpoint says that it went on.
    let dir = TempDir::new().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    write(&engine, 1..200);
    engine.close().unwrap();
    let newest = inspect(dir.path()).value()["segments"].as_array().unwrap().last().unwrap()["slot"].clone();
    fs::remove_file(dir.path().join(format!("segment-{:06}", newest.as_u64().unwrap()))).unwrap();
    for command in ["inspect", "verify"] {
        let run = self::run(&[command, dir.path().to_str().unwrap()]);
        assert!(run.code == 2 && run.out.contains("verdict     DAMAGE\n"), "{command}: {run:?}");
    }
    let run = self::run(&["repair", dir.path().to_str().unwrap()]);
    assert!(run.code == 2 && run.out.contains("[end] "), "{run:?}");
    assert!(run.out.contains("and every one that nothing is known of: --accept-unknown-losses\n"), "{run:?}");
}

#[test]
fn inspect_lists_what_a_log_holds() {
    let (dir, _) = sample();
    let before = contents(dir.path());
    let run = inspect(dir.path());
    assert_eq!(run.code, 0, "{run:?}");
    let value = run.value();
    assert_eq!(value["recovery"]["verdict"], "clean");
    assert_eq!(
        value["shards"],
        json!([
            {
                "shard": 7, "first": 3, "last": 6, "boundary": { "index": 2, "term": 1 },
                "terms": [{ "first": 3, "term": 1 }, { "first": 4, "term": 2 }, { "first": 6, "term": 5 }],
                "hard_state": "0102ff", "commit_hint": null, "keys": 0, "quarantine": null, "snapshots": [],
            },
            {
                "shard": 8, "first": null, "last": null, "boundary": { "index": 100, "term": 9 },
                "terms": [], "hard_state": null, "commit_hint": "07", "keys": 2, "quarantine": null, "snapshots": [],
            },
        ])
    );
    assert!(!value["segments"].as_array().unwrap().is_empty(), "{value}");
    assert!(before == contents(dir.path()), "inspect changed the directory");

    let text = self::run(&["inspect", dir.path().to_str().unwrap()]).out;
    let (head, shards) = text.rsplit_once("\n\n").unwrap();
    let expected = "\
shard  first  last  boundary      terms                         hard state  commit hint  keys
    7      3     6  2 (term 1)    1 from 3, 2 from 4, 5 from 6  0102ff      -               0
    8      -     -  100 (term 9)  -                             -           07              2
";
    assert_eq!(shards, expected);
    for line in ["verdict     clean\n", "on open     nothing is cut\n", "epoch       1, closed\n", "\nsegment  slot  "]
    {
        assert!(head.contains(line), "{line:?} in {head}");
    }
    let only = self::run(&["inspect", "--json", "--shard", "8", dir.path().to_str().unwrap()]).value();
    assert_eq!((only["shards"].as_array().unwrap().len(), &only["absent"]), (1, &json!([])));
    let none = self::run(&["inspect", "--shard", "99", dir.path().to_str().unwrap()]);
    assert!(none.code == 0 && none.out.contains("no shard    99: the log holds nothing of it\n"), "{none:?}");
}

#[test]
fn a_reader_that_goes_away_changes_nothing() {
    let (dir, _) = sample();
    let mut child = command(&["inspect", dir.path().to_str().unwrap()]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_report_that_cannot_be_printed_is_no_verdict() {
    let (dir, _) = sample();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let run = command(&["inspect", dir.path().to_str().unwrap()]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(run.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&run.stderr).contains("cannot be printed"), "{run:?}");
}

#[test]
fn an_error_that_nobody_reads_keeps_its_code() {
    let dir = TempDir::new().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = command(&["verify", dir.path().to_str().unwrap()]).stderr(writer).status().unwrap();
    assert_eq!(run.code(), Some(3));
}

#[test]
fn help_that_nobody_reads_is_no_failure() {
    for args in [&["--help"][..], &["--version"], &["repair", "--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(command(args).stdout(writer).status().unwrap().code(), Some(0), "{args:?}");
    }
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    assert_eq!(command(&["--help"]).stdout(full).status().unwrap().code(), Some(3));
}
