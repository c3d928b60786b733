//! The transcripts of the example `append_entries`, beside those that are kept in `transcripts/`.
//!
//! `LOGBOOM_GOLDEN=write cargo test -p logboom-rsm --test rsm append_entries` makes them anew: whoever does reads what
//! changed, line by line.

use std::{collections::BTreeSet, fs, path::PathBuf};

use harness::cases::CASES;

#[path = "../../examples/append_entries/harness.rs"]
mod harness;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/rsm/transcripts")
}

#[test]
fn every_case_goes_as_it_is_written_down() {
    let mut files = BTreeSet::new();
    for case in CASES {
        let name = format!("{}.txt", case.name);
        let transcript = format!("{}: {}\n\n{}", case.name, case.about, (case.run)().unwrap());
        let again = format!("{}: {}\n\n{}", case.name, case.about, (case.run)().unwrap());
        assert!(transcript == again, "{name}: two runs differ");
        let path = folder().join(&name);
        if std::env::var_os("LOGBOOM_GOLDEN").is_some() {
            fs::write(&path, &transcript).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        let differs = kept.lines().zip(transcript.lines()).position(|(kept, seen)| kept != seen);
        let at = differs.unwrap_or(kept.lines().count().min(transcript.lines().count()));
        let line = |text: &str| text.lines().nth(at).unwrap_or("(the end)").to_owned();
        assert!(kept == transcript, "{name}:{}: {}\nkept: {}", at + 1, line(&transcript), line(&kept));
        files.insert(name);
    }
    let kept = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(kept.collect::<BTreeSet<_>>(), files, "a transcript without a case");
}

/// Refuses a transcript in which these do not follow each other, whatever comes in between.
fn check_order(case: &str, calls: &[&str]) {
    let case = CASES.iter().find(|known| known.name == case).unwrap();
    let transcript = (case.run)().unwrap();
    let mut lines = transcript.lines();
    for call in calls {
        let found = lines.any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").starts_with(call));
        assert!(found, "{}: there is no {call:?} where it should be:\n{transcript}", case.name);
    }
}

/// The order of the calls, for who makes the transcripts anew without a look at them.
#[test]
fn the_calls_come_in_their_order() {
    check_order(
        "append",
        &[
            "client wants",
            "leader log append -> 2",
            "leader machine pre_commit 2",
            "leader log end_of_append_batch 2",
            "leader sends entries 2",
            "follower log append -> 2",
            "follower machine pre_commit 2",
            "follower log end_of_append_batch 2",
            "follower answers",
            "leader machine commit 2",
            "client is answered",
        ],
    );
    check_order(
        "conflict",
        &[
            "leader sends entries 3 to 4",
            "follower log term_at 3",
            "follower machine rollback 5",
            "follower machine rollback 4",
            "follower machine rollback 3",
            "follower log write_at 3",
            "follower machine pre_commit 3",
            "follower log append -> 4",
            "follower machine pre_commit 4",
            "follower log end_of_append_batch 3, 2",
            "follower answers: 5",
            "leader machine commit 4",
        ],
    );
    check_order(
        "append_parallel",
        &[
            "leader log end_of_append_batch 5, 1; durable is 4",
            "leader sends entries 5",
            "follower log append -> 5",
            "follower log notify_log_append_completion(true)",
            "follower machine commit 4",
            "follower answers: 6 comes next, durable is 5",
            "leader log notify_log_append_completion(true)",
            "leader machine commit 5",
            "client is told that 5",
        ],
    );
    check_order(
        "snapshot",
        &[
            "leader machine create_snapshot",
            "leader commit has a snapshot of 6, the log begins at 6",
            "follower state save_state: term 1, receiving a snapshot",
            "leader machine read_logical_snp_obj 0",
            "follower machine save_logical_snp_obj 0",
            "follower machine apply_snapshot of 6",
            "follower answers: 7",
            "leader sends entries 7",
        ],
    );
}

/// What was sent is taken for what it is, however late it comes: the log behind it stays.
#[test]
fn an_old_request_takes_nothing_back() {
    check_order(
        "duplicates",
        &[
            "leader sends entries 2 to 3",
            "follower answers: 4",
            "-- the answer is lost",
            "leader sends entries 2 to 4",
            "follower log term_at 2: it is there",
            "follower log term_at 3: it is there",
            "follower log append -> 4",
            "follower answers: 5",
            "follower machine commit 4",
            "-- the network has kept the first request",
            "follower log term_at 2: it is there",
            "follower log term_at 3: it is there",
            "follower log end_of_append_batch 2, 2; durable is 4",
            "follower answers: 4",
            "both have [\"a\", \"b\", \"c\"]",
        ],
    );
}
