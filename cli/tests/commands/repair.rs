//! `logboom repair`: what it lists, what it refuses, what it does, and what it keeps.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use logboom::{Config, Engine, EntryId, Error, ShardId};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::*;

const SEVEN: ShardId = ShardId(7);
const EIGHT: ShardId = ShardId(8);

#[test]
fn nothing_is_to_be_repaired_of_a_clean_log() {
    let (dir, _) = sample();
    let before = contents(dir.path());
    let listed = repair(dir.path(), &[]);
    let value = listed.value();
    assert_eq!((listed.code, &value["quarantined"], &value["has_unknown_losses"]), (0, &json!([]), &json!(false)));
    let text = run(&["repair", dir.path().to_str().unwrap()]);
    assert!(text.code == 0 && text.out.contains("to repair   nothing\n"), "{text:?}");
    for (args, error) in [
        (&["--shard", "7", "--cut", "--yes"][..], "shard 7 is not in quarantine"),
        (&["--shard", "7", "--destroy", "--yes"], "shard 7 is not in quarantine"),
        (&["--shard", "99", "--reset", "5:1", "--yes"], "shard 99 is not in quarantine"),
        (&["--accept-unknown-losses", "--yes"], "no shard is held back"),
    ] {
        let refused = repair(dir.path(), args);
        assert!(refused.code == 3 && refused.out.contains(error), "{args:?} {refused:?}");
    }
    assert_unchanged(dir.path(), &before);
}

#[test]
fn what_is_not_a_demand_is_refused() {
    let dir = hit();
    let before = contents(dir.path());
    for args in [
        &["--shard", "7"][..],
        &["--cut"],
        &["--reset", "5:1"],
        &["--yes"],
        &["--shard", "7", "--accept-unknown-losses"],
        &["--shard", "7", "--cut", "--destroy"],
        &["--shard", "7", "--cut", "--reset", "5:1"],
        &["--shard", "7", "--reset", "5"],
        &["--shard", "7", "--cut", "--hard-state", "0g"],
        &["--shard", "7", "--destroy", "--hard-state", "keep"],
        &["--hard-state", "keep"],
    ] {
        let refused = repair(dir.path(), args);
        assert!(refused.code == 3 && refused.out.is_empty() && refused.err.contains("--help"), "{args:?} {refused:?}");
    }
    assert_unchanged(dir.path(), &before);
}

#[test]
fn all_commands_agree_on_damage() {
    let dir = hit();
    let before = contents(dir.path());
    let (listed, inspected, verified) = (repair(dir.path(), &[]), inspect(dir.path()), verify(dir.path()));
    assert_eq!((listed.code, inspected.code, verified.code), (2, 2, 2));
    let (listed, inspected, verified) = (listed.value(), inspected.value(), verified.value());
    assert_eq!(listed["damages"], verified["damages"]);
    assert_eq!(inspected["recovery"]["damages"], verified["damages"]);
    assert_eq!((&listed["verdict"], &inspected["recovery"]["verdict"]), (&json!("damage"), &json!("damage")));
    assert_eq!(listed["outcome"], "listed");
    assert_eq!(listed["has_unknown_losses"], inspected["recovery"]["has_unknown_losses"]);
    assert_eq!(listed["quarantined"].as_array().unwrap().len(), 1);
    assert_eq!(listed["quarantined"][0]["quarantine"], inspected["shards"][0]["quarantine"]);
    assert_eq!(listed["quarantined"][0]["quarantine"]["entries"], json!([{ "start": 2, "end": 3 }]));
    assert_eq!(listed["quarantined"][0]["needs_hard_state"], false);

    let text = run(&["repair", dir.path().to_str().unwrap()]);
    assert!(
        text.out.contains("to repair   1 shard\ndamage      [records] segment 1 (segment-000000), byte "),
        "{text:?}"
    );
    let quarantine = "\
quarantine  shard 7 lost: entry 2
            its log, lost entries included, is 1 to 19
            --cut would drop the entries 2 to 19
ways out    heal it from another replica";
    assert!(text.code == 2 && text.out.contains(quarantine), "{text:?}");
    assert_unchanged(dir.path(), &before);
}

#[test]
fn nothing_is_done_without_yes() {
    let dir = hit();
    let before = contents(dir.path());
    for (args, step) in [
        (&["--cut"][..], "would       shard 7: drop the entries 2 to 19\n"),
        (&["--cut", "--hard-state", "AB01"], "would       shard 7: set the hard state ab01\n"),
        (&["--reset", "50:3"], "would       shard 7: drop all entries: the log goes on behind entry 50 of term 3\n"),
        (&["--destroy"], "would       shard 7: forget the shard: log, hard state, commit hint and keys\n"),
    ] {
        let path = dir.path().to_str().unwrap();
        let shown = run(&[&["repair", path, "--shard", "7"], args].concat());
        assert!(shown.code == 1 && shown.out.contains(step) && shown.out.contains("--yes"), "{args:?} {shown:?}");
        let value = run(&[&["repair", "--json", path, "--shard", "7"], args].concat()).value();
        assert_eq!((&value["outcome"], &value["aside"]), (&json!("unconfirmed"), &Value::Null));
    }
    assert_unchanged(dir.path(), &before);
}

#[test]
fn a_cut_keeps_what_lies_before_the_loss() {
    let dir = hit();
    let before = contents(dir.path());
    let (file, _) = groups(dir.path());
    let done = repair(dir.path(), &["--shard", "7", "--cut", "--yes"]);
    let value = done.value();
    assert_eq!((done.code, &value["outcome"], &value["quarantined"]), (0, &json!("repaired"), &json!([])), "{done:?}");
    assert_eq!(value["steps"], json!(["shard 7: drop the entries 2 to 19", "shard 7: accept the loss"]));

    let aside = PathBuf::from(value["aside"].as_str().unwrap());
    assert_eq!(aside.parent(), Some(dir.path().join("damaged").as_path()));
    let mut copies = contents(&aside);
    let record = copies.remove("REPAIR.json").unwrap();
    let small = ["LOGBOOM", "checkpoint-0", "checkpoint-1"];
    let expected = |name: &String| *name == file || small.contains(&name.as_str());
    let expected: BTreeMap<_, _> = before.into_iter().filter(|(name, _)| expected(name)).collect();
    assert!(copies == expected, "the copies are the files as they were: {:?}", copies.keys());
    let lines: Vec<Value> = record.split_inclusive(|byte| *byte == b'\n').map(parse).collect();
    let [before, after] = &lines[..] else { panic!("two lines: {lines:?}") };
    assert_eq!((&before["version"], &before["steps"]), (&json!(env!("CARGO_PKG_VERSION")), &value["steps"]));
    assert_eq!(before["files"], json!(expected.keys().collect::<Vec<_>>()));
    assert_eq!(before["damages"][0]["lost"][0]["held"], "entry 2");
    assert_eq!(before["quarantined"][0]["shard"], 7);
    assert_eq!((&after["error"], &after["quarantined"]), (&Value::Null, &json!([])));
    for line in &lines {
        assert!(line["at"].as_str().unwrap().starts_with("20"), "{line}");
    }

    // What was intact in the damaged segment has moved, and the segment was given back.
    let (inspected, verified) = (inspect(dir.path()), verify(dir.path()));
    assert_eq!((inspected.code, verified.code), (0, 0), "{inspected:?} {verified:?}");
    let shard = &inspected.value()["shards"][0];
    assert_eq!((&shard["first"], &shard["last"], &shard["quarantine"]), (&json!(1), &json!(1), &Value::Null));
    assert_eq!(repair(dir.path(), &[]).code, 0);

    let engine = Engine::open(config(dir.path())).unwrap();
    // What is damaged still is told of when the background comes by, and keeps nothing from serving.
    assert!(engine.quarantined().is_empty() && !engine.has_unknown_losses() && engine.health().serves());
    write(&engine, 2..5);
    assert_eq!(engine.shard(SEVEN).entries(1..5, u64::MAX).unwrap().len(), 4);
    engine.close().unwrap();
    assert!(aside.join("REPAIR.json").exists(), "what is kept stays");
}

#[test]
fn a_cut_of_the_first_entry_leaves_nothing_or_the_boundary() {
    for boundary in [None, Some(EntryId { index: 0, term: 4 }), Some(EntryId { index: 9, term: 4 })] {
        let first = boundary.map_or(0, |boundary| boundary.index + 1);
        let dir = written(|engine| {
            let mut batch = engine.batch();
            // One record either way, so that the group behind it begins in the same way.
            match boundary {
                None => batch.hard_state(EIGHT, b"other").unwrap(),
                Some(_) => batch.reset_to(SEVEN, boundary).unwrap(),
            };
            engine.write(batch).unwrap();
            write(engine, first..first + 5);
        });
        let (file, at) = groups(dir.path());
        damage(dir.path(), &file, at[2]);
        let done = repair(dir.path(), &["--shard", "7", "--cut", "--yes"]);
        assert_eq!(done.code, 0, "{done:?}");
        let engine = Engine::open(config(dir.path())).unwrap();
        let bounds = engine.shard(SEVEN).bounds();
        assert_eq!((bounds.first, bounds.boundary), (None, boundary));
        write(&engine, first..first + 1);
        engine.close().unwrap();
    }
}

#[test]
fn a_reset_begins_anew_behind_a_boundary() {
    let dir = hit();
    let done = repair(dir.path(), &["--shard", "7", "--reset", "50:3", "--hard-state", "ab01", "--yes"]);
    assert_eq!(done.code, 0, "{done:?}");
    let engine = Engine::open(config(dir.path())).unwrap();
    let shard = engine.shard(SEVEN);
    assert_eq!(shard.bounds().boundary, Some(EntryId { index: 50, term: 3 }));
    assert_eq!((shard.last(), shard.hard_state().unwrap().unwrap().to_vec()), (None, vec![0xab, 1]));
    write(&engine, 51..53);
    drop(shard);
    engine.close().unwrap();

    let dir = hit();
    let max = format!("{}:1", u64::MAX);
    let refused = repair(dir.path(), &["--shard", "7", "--reset", &max, "--yes"]);
    assert!(refused.code == 3 && refused.out.contains("limit"), "{refused:?}");
    assert_eq!(repair(dir.path(), &[]).code, 2);
    let record = fs::read(folders(dir.path()).pop().unwrap().join("REPAIR.json")).unwrap();
    let after = parse(record.split_inclusive(|byte| *byte == b'\n').next_back().unwrap());
    assert!(after["error"].as_str().unwrap().contains("limit"), "what failed is recorded: {after}");
}

#[test]
fn a_destroyed_shard_is_forgotten() {
    let dir = hit();
    assert_eq!(repair(dir.path(), &["--shard", "7", "--destroy", "--yes"]).code, 0);
    let inspected = inspect(dir.path());
    assert_eq!((inspected.code, &inspected.value()["shards"]), (0, &json!([])));
}

#[test]
fn a_lost_vote_is_decided_by_a_person() {
    // The old hard state, which is known, and the new one, which is lost; or the lost one is the first.
    let lost_vote = |old: bool| {
        let dir = written(|engine| {
            for vote in [&b"old"[..], b"new"] {
                let mut batch = engine.batch();
                let shard = if old || vote == b"new" { SEVEN } else { EIGHT };
                batch.hard_state(shard, vote).unwrap();
                engine.write(batch).unwrap();
            }
            write(engine, 1..5);
        });
        let (file, at) = groups(dir.path());
        damage(dir.path(), &file, at[2]);
        dir
    };
    let cut = ["--shard", "7", "--cut", "--yes"];
    /// The hard state afterwards, or why the repair is refused.
    type Found = Result<Option<&'static [u8]>, &'static str>;
    let cases: [(bool, &[&str], Found); 7] = [
        (true, &[], Err("the last one that is known is 6f6c64: say by --hard-state")),
        (true, &["--hard-state", "none"], Err("had the hard state 6f6c64")),
        (true, &["--hard-state", "keep"], Ok(Some(b"old"))),
        (true, &["--hard-state", "6e6577"], Ok(Some(b"new"))),
        (false, &[], Err("the last one that is known is none")),
        (false, &["--hard-state", "none"], Ok(None)),
        (false, &["--hard-state", "6e6577"], Ok(Some(b"new"))),
    ];
    for (old, args, expected) in cases {
        let dir = lost_vote(old);
        let before = contents(dir.path());
        let listed = repair(dir.path(), &[]).value();
        assert_eq!(listed["quarantined"][0]["needs_hard_state"], true, "{listed}");
        assert_eq!(listed["quarantined"][0]["last_known_hard_state"], if old { json!("6f6c64") } else { Value::Null });
        let done = repair(dir.path(), &[&cut, args].concat());
        match expected {
            Err(error) => {
                assert!(done.code == 3 && done.out.contains(error), "{args:?} {done:?}");
                assert_unchanged(dir.path(), &before);
            }
            Ok(hard_state) => {
                assert_eq!(done.code, 0, "{args:?} {done:?}");
                let engine = Engine::open(config(dir.path())).unwrap();
                let found = engine.shard(SEVEN).hard_state().unwrap();
                assert_eq!((found.as_deref(), engine.shard(SEVEN).last()), (hard_state, Some(4)));
                engine.close().unwrap();
            }
        }
    }
}

#[test]
fn shards_that_nothing_is_known_of_are_accepted_as_lost() {
    let crashed = crashed();
    let (file, at) = groups(crashed.path());
    // So many that what tells of the first of them is gone too.
    let dir = copy(&crashed, &file, |bytes| bytes[at[3]..at[8]].fill(0));
    let listed = repair(dir.path(), &[]);
    let value = listed.value();
    assert_eq!((listed.code, &value["has_unknown_losses"]), (2, &json!(true)), "{listed:?}");
    assert_eq!(value["quarantined"][0]["quarantine"]["suffix"], true);

    // One that was never written to can be accepted by itself; the others are held back on.
    let done = repair(dir.path(), &["--shard", "99", "--cut", "--hard-state", "none", "--yes"]);
    assert_eq!((done.code, &done.value()["has_unknown_losses"]), (2, &json!(true)), "{done:?}");
    let again = repair(dir.path(), &["--shard", "99", "--cut", "--hard-state", "none"]);
    assert!(again.code == 3 && again.out.contains("shard 99 is not in quarantine"), "{again:?}");

    let text = run(&["repair", dir.path().to_str().unwrap(), "--accept-unknown-losses"]);
    assert!(text.code == 1 && text.out.contains("for one that never was"), "{text:?}");
    let done = repair(dir.path(), &["--accept-unknown-losses", "--yes"]);
    assert_eq!((done.code, &done.value()["has_unknown_losses"]), (2, &json!(false)), "shard 7 is left: {done:?}");
    let refused = repair(dir.path(), &["--shard", "7", "--cut", "--yes"]);
    assert!(refused.code == 3 && refused.out.contains("--hard-state"), "{refused:?}");
    let done = repair(dir.path(), &["--shard", "7", "--cut", "--hard-state", "none", "--yes"]);
    assert_eq!((done.code, folders(dir.path()).len()), (0, 3), "{done:?}");
    let engine = Engine::open(config(dir.path())).unwrap();
    let shard = engine.shard(SEVEN);
    let next = shard.next().unwrap();
    write(&engine, next..next + 2);
    drop(shard);
    engine.close().unwrap();
}

#[test]
fn keys_are_taken_as_they_are_known() {
    let dir = written(|engine| {
        for value in [&b"old"[..], b"lost"] {
            let mut batch = engine.batch();
            batch.put(SEVEN, b"key", value).unwrap();
            engine.write(batch).unwrap();
        }
        write(engine, 1..5);
    });
    let (file, at) = groups(dir.path());
    damage(dir.path(), &file, at[2]);
    let listed = repair(dir.path(), &[]).value();
    assert_eq!(listed["quarantined"][0]["quarantine"]["keys"], true, "{listed}");
    let done = repair(dir.path(), &["--shard", "7", "--cut", "--yes"]);
    let steps = json!(["shard 7: take keys and commit hint as they are", "shard 7: accept the loss"]);
    assert_eq!((done.code, &done.value()["steps"]), (0, &steps), "{done:?}");
    let engine = Engine::open(config(dir.path())).unwrap();
    let shard = engine.shard(SEVEN);
    assert_eq!((shard.get(b"key").unwrap().unwrap().to_vec(), shard.last()), (b"old".to_vec(), Some(4)));
    drop(shard);
    engine.close().unwrap();
}

#[test]
fn one_shard_is_repaired_and_the_others_stay() {
    let dir = written(|engine| {
        for shard in [SEVEN, EIGHT] {
            let mut batch = engine.batch();
            batch.append(shard, entry(1, 1)).unwrap();
            engine.write(batch).unwrap();
        }
        write(engine, 2..5);
    });
    let (file, at) = groups(dir.path());
    damage(dir.path(), &file, at[1]);
    damage(dir.path(), &file, at[2]);
    let done = repair(dir.path(), &["--shard", "8", "--cut", "--yes"]);
    let value = done.value();
    assert_eq!((done.code, &value["quarantined"][0]["shard"]), (2, &json!(7)), "{done:?}");
    assert_eq!(value["quarantined"].as_array().unwrap().len(), 1);
    assert_eq!(repair(dir.path(), &["--shard", "7", "--destroy", "--yes"]).code, 0);
    assert_eq!(inspect(dir.path()).code, 0);
}

#[test]
fn a_log_in_use_is_not_repaired() {
    let dir = hit();
    let engine = Engine::open(config(dir.path())).unwrap();
    assert_eq!(repair(dir.path(), &[]).code, 2, "it can be looked at");
    let refused = repair(dir.path(), &["--shard", "7", "--cut", "--yes"]);
    let id = format!("{}", std::process::id());
    assert!(refused.code == 3 && refused.out.contains("in use") && refused.out.contains(&id), "{refused:?}");
    assert!(!dir.path().join("damaged").exists());
    assert_eq!(engine.quarantined().len(), 1);
    engine.close().unwrap();
}

#[test]
fn without_a_copy_nothing_is_changed() {
    let dir = hit();
    fs::write(dir.path().join("damaged"), "a file is in the way").unwrap();
    let before = contents(dir.path());
    let refused = repair(dir.path(), &["--shard", "7", "--cut", "--yes"]);
    assert!(refused.code == 3 && refused.out.contains("cannot be made"), "{refused:?}");
    assert_unchanged_but_for_the_lock(dir.path(), before);
}

#[test]
fn a_segment_that_states_nothing_any_more_is_kept() {
    // A checkpoint tells which file it is in; without one it may be in any that states nothing.
    for checkpoint in [true, false] {
        let dir = written(|engine| write(engine, 1..200));
        if checkpoint {
            Engine::open(config(dir.path())).unwrap().close().unwrap();
        } else {
            for name in ["checkpoint-0", "checkpoint-1"] {
                let len = fs::read(dir.path().join(name)).unwrap().len();
                fs::write(dir.path().join(name), vec![0; len]).unwrap();
            }
        }
        let rows = inspect(dir.path()).value()["segments"].clone();
        assert!(rows.as_array().unwrap().len() >= 3, "{rows}");
        let file = format!("segment-{:06}", rows[1]["slot"].as_u64().unwrap());
        let whole = fs::metadata(dir.path().join(&file)).unwrap().len();
        fs::write(dir.path().join(&file), vec![0; usize::try_from(whole).unwrap()]).unwrap();
        let before = contents(dir.path());

        let listed = repair(dir.path(), &[]);
        assert_eq!(listed.code, 2, "{listed:?}");
        let cut = ["--shard", "7", "--cut", "--hard-state", "none", "--yes"];
        let done = repair(dir.path(), &cut).value();
        assert_eq!(done["quarantined"], json!([]), "{done}");
        let copies = contents(Path::new(done["aside"].as_str().unwrap()));
        assert_eq!(copies.get(&file), before.get(&file), "checkpoint {checkpoint}: {:?}", copies.keys());
        let is_spare = |name: &&String| name.starts_with("segment-") && **name != file;
        assert_eq!(
            copies.keys().any(|name| is_spare(&name)),
            !checkpoint,
            "checkpoint {checkpoint}: {:?}",
            copies.keys()
        );
    }
}

#[test]
fn a_folder_in_the_directory_is_not_looked_at() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("damaged");
    fs::create_dir_all(folder.join("segment-000001")).unwrap();
    fs::write(folder.join("LOGBOOM"), "not one").unwrap();
    fs::create_dir(dir.path().join("segment-000007")).unwrap();
    for round in 0..3 {
        let engine = Engine::open(config(dir.path())).unwrap();
        write(&engine, 1 + 5 * round..6 + 5 * round);
        engine.close().unwrap();
        assert_eq!((verify(dir.path()).code, inspect(dir.path()).code, repair(dir.path(), &[]).code), (0, 0, 0));
    }
    assert_eq!(fs::read(folder.join("LOGBOOM")).unwrap(), b"not one");

    // A file is another matter: what is not a log is not made one.
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("damaged"), "").unwrap();
    assert!(matches!(Engine::open(Config::new(dir.path())), Err(Error::Foreign { .. })));
}

/// Shard 7 with the entries 1 to 19, of which the second is lost.
pub(crate) fn hit() -> TempDir {
    let dir = crashed();
    let (file, at) = groups(dir.path());
    damage(dir.path(), &file, at[2]);
    dir
}

/// The directory of a writer that was stopped.
fn written(fill: impl FnOnce(&Engine)) -> TempDir {
    let dir = TempDir::new().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    fill(&engine);
    let copied = copy_with(dir.path(), |_, _| ());
    engine.close().unwrap();
    copied
}

/// Changes a byte of the first record of the group at `group`.
fn damage(dir: &Path, file: &str, group: usize) {
    let mut bytes = fs::read(dir.join(file)).unwrap();
    bytes[group + IN_FIRST_BODY] ^= 1;
    fs::write(dir.join(file), bytes).unwrap();
}

fn repair(dir: &Path, args: &[&str]) -> Run {
    run(&[&["repair", "--json", dir.to_str().unwrap()], args].concat())
}

fn assert_unchanged(dir: &Path, before: &BTreeMap<String, Vec<u8>>) {
    assert!(contents(dir) == *before && folders(dir).is_empty(), "the directory was changed");
}

/// The lock's file holds the number of the process that had it last.
fn assert_unchanged_but_for_the_lock(dir: &Path, mut before: BTreeMap<String, Vec<u8>>) {
    let mut after = contents(dir);
    before.remove("LOCK");
    after.remove("LOCK");
    assert!(after == before, "the directory was changed");
}

/// What repairs have put aside.
fn folders(dir: &Path) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(dir.join("damaged")) else { return Vec::new() };
    found.map(|entry| entry.unwrap().path()).collect()
}

fn parse(line: &[u8]) -> Value {
    serde_json::from_slice(line).unwrap()
}

/// Below the checkpoint an opening reads nothing: the commands do, and agree.
#[test]
fn all_commands_agree_on_damage_that_opening_does_not_read() {
    let dir = written(|engine| {
        for nth in 0..40 {
            write(engine, nth * 20 + 1..nth * 20 + 21);
        }
    });
    let inspected = inspect(dir.path()).value();
    let sealed = inspected["segments"].as_array().unwrap().iter().filter(|row| row["footer"] == true);
    let fullest = sealed.max_by_key(|row| row["live_entries"].as_u64()).unwrap();
    let file = format!("segment-{:06}", fullest["slot"].as_u64().unwrap());
    let rotten = copy(&dir, &file, |bytes| bytes[100 << 10..(100 << 10) + BLOCK].fill(0x5a));
    let quick = run(&["inspect", "--quick", rotten.path().to_str().unwrap()]);
    assert!(quick.code == 0 && quick.out.contains("clean, as far as opening reads it"), "{quick:?}");
    let (listed, inspected, verified) = (repair(rotten.path(), &[]), inspect(rotten.path()), verify(rotten.path()));
    assert_eq!((listed.code, inspected.code, verified.code), (2, 2, 2), "{listed:?} {inspected:?} {verified:?}");
    let (listed, inspected, verified) = (listed.value(), inspected.value(), verified.value());
    assert_eq!((&listed["damages"], &inspected["recovery"]["damages"]), (&verified["damages"], &verified["damages"]));
    assert_eq!(verified["damages"][0]["file"], file);
    let lost = &listed["quarantined"][0]["quarantine"]["entries"];
    assert_eq!((lost.as_array().unwrap().len(), lost), (1, &inspected["shards"][0]["quarantine"]["entries"]));

    let done = repair(rotten.path(), &["--shard", "7", "--cut", "--yes"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!((inspect(rotten.path()).code, verify(rotten.path()).code), (0, 0));
    let left = inspect(rotten.path()).value()["shards"][0]["last"].as_u64().unwrap();
    assert_eq!(left + 1, lost[0]["start"].as_u64().unwrap());
}
