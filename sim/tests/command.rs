//! The exit status of the command, which says whether anything was checked.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not find is its failure")]

use std::process::Command;

/// Runs the command; gives its exit status and what it said.
fn run(line: &str) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_logboom-sim")).args(line.split(' ')).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_run_of_nothing_finds_nothing_good() {
    for line in ["--seeds 0", "--seconds 0", "scripts --seeds 0"] {
        let (status, said) = run(line);
        assert_eq!(status, Some(2), "{line}: {said}");
    }
    // There is no script behind the last number.
    let (status, said) = run(&format!("scripts --seeds 1 --seed {}", u64::MAX));
    assert_eq!(status, Some(1), "{said}");
    for line in ["--seeds 2", "--seed 7", "scripts --seeds 1"] {
        let (status, said) = run(line);
        assert_eq!(status, Some(0), "{line}: {said}");
    }
}

/// It once began anew at 0, and had no end.
#[test]
fn there_is_a_last_seed() {
    let (status, said) = run(&format!("--seed {} --seeds 5 --threads 2", u64::MAX - 1));
    assert!(status == Some(0) && said.contains("2 histories"), "{said}");
}

#[cfg(feature = "mutants")]
#[test]
fn a_bug_that_is_not_there_is_not_found() {
    let (status, said) = run("mutants WriteNotDurable");
    assert!(status == Some(0) && said.contains("nothing is found without a bug"), "{said}");
    let (status, said) = run("mutants NotABug");
    assert_eq!(status, Some(2), "{said}");
}
