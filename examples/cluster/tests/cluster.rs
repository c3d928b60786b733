//! The command itself, with few groups and few kills, for each core. `LOGBOOM_LONG=1` kills fifty times.

#![expect(clippy::unwrap_used, reason = "a test states what it expects by unwrapping")]

use std::process::Command;

#[test]
fn raft_rs_survives() {
    check("raft-rs");
}

#[test]
fn openraft_survives() {
    check("openraft");
}

fn check(core: &str) {
    let kills = if std::env::var_os("LOGBOOM_LONG").is_some() { "50" } else { "4" };
    let seed = std::env::var("LOGBOOM_SEED").unwrap_or_else(|_| fastrand::u64(..).to_string());
    let output = Command::new(env!("CARGO_BIN_EXE_logboom-cluster"))
        .args(["--core", core, "--shards", "12", "--clients", "8", "--seconds", "12", "--kills", kills])
        .args(["--seed", &seed])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "LOGBOOM_SEED={seed}\n{said}\n{complained}");
    assert!(said.contains("all 36 replicas agree"), "{said}");
    let row = said.lines().find(|line| line.starts_with("kills")).unwrap();
    assert_eq!(row.split_whitespace().last(), Some(kills), "{said}");
    eprintln!("{said}");
}

/// A run that has nothing to check is none: these once ended with *all 0 registers are linearizable*, and success.
#[test]
fn a_run_of_nothing_is_refused() {
    for nothing in [["--shards", "0"], ["--clients", "0"], ["--tick-ms", "0"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_logboom-cluster"))
            .args(["--core", "raft-rs", "--seconds", "0", "--kills", "0"])
            .args(nothing)
            .output()
            .unwrap();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{nothing:?}: {complained}");
        assert!(complained.contains(nothing[0]), "{complained}");
    }
}
