//! The faces that programs read: the keys of `--json`, the words in them, exit codes. What changes here is a change of
//! the interface, and stands in CHANGELOG.

use std::collections::BTreeSet;

use serde_json::Value;
use tempfile::TempDir;

use crate::{repair::hit, support::*};

/// A clean log, one of which an entry is lost, and one whose `LOGBOOM` rotted.
fn logs() -> [TempDir; 3] {
    let (clean, _) = sample();
    let rotten = copy(&clean, "LOGBOOM", |bytes| bytes[30] ^= 1);
    [clean, hit(), rotten]
}

#[test]
fn the_keys_of_json_are_these() {
    let [clean, hit, rotten] = logs();
    let run =
        |dir: &TempDir, args: &[&str]| run(&[&["--json"], args, &[dir.path().to_str().unwrap()]].concat()).value();
    let torn = torn();
    let of = |args: &[&str]| keys(&[run(&clean, args), run(&torn, args), run(&hit, args)]);
    let cut = ".bytes .offset .segment .sequence";
    let damage = ".file .finding .group .lost .lost[].count .lost[].first .lost[].held .lost[].kind .lost[].shard \
                  .offset .segment .what";
    let missing = ".entries .entries[].end .entries[].start .hard_state .keys .snapshot .suffix";
    let verify = "bad_checkpoints bytes cut damages directory findings groups has_unknown_losses quarantined records \
                  segments snapshots snapshots.bytes snapshots.registered verdict without_footer quarantined[].shard";
    let expected = [list("", verify), list("cut", cut), list("damages[]", damage), list("quarantined[]", missing)];
    assert_eq!(of(&["verify"]), expected.into_iter().flatten().collect());

    let recovery = ".all_read .bytes_read .checkpoint .closed .cut .damages .epoch .has_unknown_losses .quarantined \
                    .records_replayed .refused .segments_replayed .verdict";
    let segments = ".bytes_used .cold .first_group .footer .last_group .live_bytes .live_entries .segment .slot";
    let shards = ".boundary .boundary.index .boundary.term .commit_hint .first .hard_state .keys .last .quarantine \
                  .shard .snapshots .terms .terms[].first .terms[].term";
    let expected = [
        list("", "absent directory recovery segments shards"),
        list("recovery", recovery),
        list("recovery.cut", cut),
        list("recovery.damages[]", damage),
        list("segments[]", segments),
        list("shards[]", shards),
        list("shards[].quarantine", missing),
    ];
    assert_eq!(of(&["inspect"]), expected.into_iter().flatten().collect());

    let repair = "aside damages directory has_unknown_losses outcome quarantined steps verdict";
    let shard = ".cut .first .last .last_known_hard_state .needs_hard_state .quarantine .shard";
    let expected = [
        list("", repair),
        list("damages[]", damage),
        list("quarantined[]", shard),
        list("quarantined[].quarantine", missing),
    ];
    assert_eq!(of(&["repair"]), expected.into_iter().flatten().collect());
    let identity = "aside directory found is_restorable ours outcome steps strangers";
    assert_eq!(keys(&[run(&rotten, &["repair"])]), list("", identity));
    let nothing = TempDir::new().unwrap();
    assert_eq!(keys(&[run(&nothing, &["verify"])]), list("", "directory error verdict"));
}

#[test]
fn exit_codes_and_verdicts_are_these() {
    let [clean, hit, _] = logs();
    let (torn, nothing) = (torn(), TempDir::new().unwrap());
    for (dir, code, verdict) in
        [(&clean, 0, "clean"), (&torn, 1, "tail"), (&hit, 2, "damage"), (&nothing, 3, "unchecked")]
    {
        let verified = verify(dir.path());
        assert_eq!((verified.code, verified.value()["verdict"].as_str()), (code, Some(verdict)), "{verified:?}");
    }
    let repair = |args: &[&str]| {
        let run = run(&[&["--json", "repair", hit.path().to_str().unwrap()], args].concat());
        (run.code, run.value()["outcome"].as_str().unwrap_or("none").to_owned())
    };
    assert_eq!(repair(&[]), (2, "listed".to_owned()));
    assert_eq!(repair(&["--shard", "7", "--cut"]), (1, "unconfirmed".to_owned()));
    assert_eq!(repair(&["--shard", "99", "--cut", "--yes"]), (3, "none".to_owned()));
    assert_eq!(repair(&["--shard", "7", "--cut", "--yes"]), (0, "repaired".to_owned()));
}

/// The options by which `repair` gives data up, and no others.
#[test]
fn options_of_repair_are_these() {
    let help = run(&["repair", "--help"]).out;
    let option =
        |line: &str| line.trim_start().strip_prefix("--").map(|name| name.split(' ').next().unwrap().to_owned());
    let (_, options) = help.split_once("Options:").unwrap();
    let (options, _) = options.split_once("Examples:").unwrap();
    let options: BTreeSet<String> = options.lines().filter_map(option).collect();
    let expected = "accept-unknown-losses cut destroy hard-state identity json reset shard strangers yes";
    assert_eq!(options, list("", expected));
}

/// The end of the last group is not there.
fn torn() -> TempDir {
    let crashed = crashed();
    let (file, groups) = groups(crashed.path());
    copy(&crashed, &file, |bytes| bytes[groups[groups.len() - 1] + IN_FIRST_BODY] ^= 1)
}

fn list(prefix: &str, names: &str) -> BTreeSet<String> {
    names.split_whitespace().map(|name| format!("{prefix}{name}")).collect()
}

/// Where the values are in all of these, `[]` for the items of a list.
fn keys(values: &[Value]) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    values.iter().for_each(|value| add(value, "", &mut keys));
    keys
}

fn add(value: &Value, at: &str, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                add(value, &at, keys);
                keys.insert(at);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| add(item, &format!("{at}[]"), keys)),
        _ => {}
    }
}
