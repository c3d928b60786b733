//! A `LOGBOOM` that rotted, is gone, or is another log's, and files of another log among those of this one: three
//! commands say the same, and `repair` mends it.

use std::{collections::BTreeMap, fs, path::Path};

use logboom::{Config, Engine, Error, ShardId};
use tempfile::TempDir;

use crate::support::*;

#[test]
fn a_rotten_identity_is_damage_that_repair_restores() {
    let (dir, _) = sample();
    let good = contents(dir.path());
    let rotten = copy(&dir, "LOGBOOM", |bytes| bytes[30] ^= 1);
    assert!(said(rotten.path(), 2).contains("the checksum of LOGBOOM does not match"));
    let listed = inspect(rotten.path()).value();
    assert_eq!(listed["shards"].as_array().unwrap().len(), 2, "what is there is listed: {listed}");
    refused(rotten.path());
    restored(rotten.path(), "LOGBOOM", &good);
}

#[test]
fn an_identity_that_is_gone_is_damage_that_repair_restores() {
    let (dir, _) = sample();
    let good = contents(dir.path());
    fs::remove_file(dir.path().join("LOGBOOM")).unwrap();
    assert!(said(dir.path(), 2).contains("LOGBOOM is missing"));
    refused(dir.path());
    restored(dir.path(), "no file is copied", &good);
}

#[test]
fn an_identity_of_another_log_is_damage_that_repair_restores() {
    let ((dir, _), (other, _)) = (sample(), sample());
    let good = contents(dir.path());
    fs::copy(other.path().join("LOGBOOM"), dir.path().join("LOGBOOM")).unwrap();
    assert!(said(dir.path(), 2).contains("no file belongs to the log that LOGBOOM names"));
    refused(dir.path());
    // Nothing of the log itself is put aside for it.
    let kept = run(&["repair", dir.path().to_str().unwrap(), "--strangers", "--yes"]);
    assert!(kept.code == 3 && kept.err.contains("before LOGBOOM is the log's own"), "{kept:?}");
    restored(dir.path(), "LOGBOOM", &good);
}

/// Of version 1: there is no copy, and the checksums say enough.
#[test]
fn an_identity_that_was_never_copied_is_restored_from_the_checksums() {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/golden/v1/closed");
    let dir = TempDir::new().unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    let before = run(&["--json", "inspect", dir.path().to_str().unwrap()]).value();
    fs::write(dir.path().join("LOGBOOM"), [0; 4096]).unwrap();
    assert!(said(dir.path(), 2).contains("LOGBOOM does not begin with a log's magic bytes"));
    let mended = run(&["repair", dir.path().to_str().unwrap(), "--identity", "--yes"]);
    assert_eq!(mended.code, 0, "{mended:?}");
    assert_eq!((verify(dir.path()).code, inspect(dir.path()).value()["shards"].clone()), (0, before["shards"].clone()));
    Engine::open(config(dir.path())).unwrap().close().unwrap();
    assert_eq!(fs::read(dir.path().join("LOGBOOM")).unwrap()[8], 1, "it stays of its version");
}

#[test]
fn files_of_another_log_are_put_aside() {
    let ((dir, _), (other, _)) = (sample(), sample());
    let good = contents(dir.path());
    let stray = fs::read(other.path().join("segment-000000")).unwrap();
    fs::write(dir.path().join("segment-000099"), &stray).unwrap();
    assert!(said(dir.path(), 2).contains("segment-000099"));
    refused(dir.path());
    let before = contents(dir.path());
    let path = dir.path().to_str().unwrap();
    let planned = run(&["repair", path, "--strangers"]);
    assert!(planned.code == 1 && planned.out.contains("would       put segment-000099 aside"), "{planned:?}");
    assert!(contents(dir.path()) == before, "the directory was changed");
    let kept = run(&["repair", path, "--identity", "--yes"]);
    assert!(kept.code == 3 && kept.err.contains("cannot be restored"), "{kept:?}");

    let mended = run(&["--json", "repair", path, "--strangers", "--yes"]);
    assert_eq!((mended.code, mended.value()["outcome"].as_str()), (0, Some("repaired")), "{mended:?}");
    let aside = mended.value()["aside"].as_str().unwrap().to_owned();
    assert_eq!(fs::read(Path::new(&aside).join("segment-000099")).unwrap(), stray);
    clean(dir.path(), &good);
    let nothing = run(&["repair", path, "--strangers", "--yes"]);
    assert!(nothing.code == 3 && nothing.err.contains("no file is in the way"), "{nothing:?}");
}

#[test]
fn an_identity_alone_is_damage() {
    let (dir, _) = sample();
    for name in contents(dir.path()).keys().filter(|name| *name != "LOGBOOM") {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    assert!(said(dir.path(), 2).contains("all other files of the log are gone"));
    refused(dir.path());
    let kept = run(&["repair", dir.path().to_str().unwrap(), "--identity", "--yes"]);
    assert!(kept.code == 3 && kept.err.contains("cannot be restored"), "{kept:?}");
}

/// Has each command look at the log, and returns what they all say of it.
fn said(dir: &Path, code: i32) -> String {
    let before = contents(dir);
    let path = dir.to_str().unwrap();
    let checked = verify(dir);
    let damages = checked.value()["damages"].as_array().unwrap().clone();
    assert_eq!((checked.code, damages.len()), (code, 1), "{checked:?}");
    let what = damages[0]["what"].as_str().unwrap().to_owned();
    for command in ["verify", "inspect", "repair"] {
        let text = run(&[command, path]);
        assert!(text.code == code && text.out.contains(&what), "{command} does not say {what:?}: {text:?}");
    }
    assert!(contents(dir) == before, "the directory was changed");
    what
}

fn refused(dir: &Path) {
    let mut before = contents(dir);
    assert!(matches!(Engine::open(Config::new(dir)), Err(Error::Identity { .. })));
    let mut after = contents(dir);
    before.remove("LOCK");
    after.remove("LOCK");
    assert!(before == after, "the directory was changed");
}

/// Restores the identity, and checks that the log is what it was before that was lost.
fn restored(dir: &Path, copied: &str, good: &BTreeMap<String, Vec<u8>>) {
    let path = dir.to_str().unwrap();
    let before = contents(dir);
    let planned = run(&["repair", path, "--identity"]);
    assert!(planned.code == 1 && planned.out.contains("would       write LOGBOOM again"), "{planned:?}");
    assert!(contents(dir) == before, "the directory was changed");
    let mended = run(&["--json", "repair", path, "--identity", "--yes"]);
    assert_eq!((mended.code, mended.value()["outcome"].as_str()), (0, Some("repaired")), "{mended:?}");
    let aside = mended.value()["aside"].as_str().unwrap().to_owned();
    assert_eq!(fs::read(Path::new(&aside).join(copied)).ok().as_ref(), before.get(copied));
    let record = fs::read_to_string(Path::new(&aside).join("REPAIR.json")).unwrap();
    assert_eq!(record.lines().count(), 2, "{record}");
    clean(dir, good);
    let again = run(&["repair", path, "--identity", "--yes"]);
    assert!(again.code == 3 && again.err.contains("the identity is intact"), "{again:?}");
}

fn clean(dir: &Path, good: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in good.iter().filter(|(name, _)| *name != "LOCK") {
        assert!(fs::read(dir.join(name)).unwrap() == *bytes, "{name} is not what it was");
    }
    assert_eq!((verify(dir).code, inspect(dir).code, run(&["repair", dir.to_str().unwrap()]).code), (0, 0, 0));
    let engine = Engine::open(config(dir)).unwrap();
    assert_eq!(engine.shards(), [ShardId(7), ShardId(8)]);
    engine.close().unwrap();
}
