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
    eprintln!("{said}");
}
