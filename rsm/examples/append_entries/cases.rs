//! The cases, each with its transcript.

use logboom_rsm::{
    SnapshotPolicy,
    log_store::{Appending, LogEntry, LogStore},
};

use super::{
    Result,
    fuse::{Fuse, PowerCut},
    pair::{Pair, Results},
    server::{Answer, Request, Setup},
    transcript::Transcript,
};

/// A case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Runs it. Gives the transcript.
    pub(crate) run: fn() -> Result<String>,
}

pub(crate) const CASES: &[Case] = &[
    Case { name: "append", about: "a client waits for each result, a log for each batch", run: append },
    Case {
        name: "append_parallel",
        about: "results are told, and a leader sends before its own entries are durable",
        run: append_parallel,
    },
    Case { name: "conflict", about: "a follower has entries that were never committed", run: conflict },
    Case {
        name: "duplicates",
        about: "a request comes again, with more behind it, and once more when it is old",
        run: duplicates,
    },
    Case { name: "pack", about: "a follower joins, and is sent the log in packs", run: pack },
    Case { name: "snapshot", about: "a follower needs what is compacted, and is sent logical objects", run: snapshot },
    Case { name: "restart", about: "a power cut at each arrow of a conflict", run: restart },
    Case { name: "restart_parallel", about: "the same, with logs that do not wait", run: restart_parallel },
    Case { name: "restart_pack", about: "a power cut at each arrow of a catch-up by packs", run: restart_pack },
    Case {
        name: "restart_snapshot",
        about: "a power cut at each arrow of a catch-up by snapshot",
        run: restart_snapshot,
    },
];

/// Nothing is saved but in the cases that are about it.
fn setup(appending: Appending) -> Setup {
    let mut policy = SnapshotPolicy::default();
    policy.every_entries = None;
    Setup { appending, policy, transcript: Transcript::default(), fuse: Fuse::default() }
}

fn pair(appending: Appending) -> Result<Pair> {
    let mut pair = Pair::new(&setup(appending))?;
    pair.elect()?;
    pair.run()?;
    Ok(pair)
}

fn append() -> Result<String> {
    let mut pair = pair(Appending::Waits)?;
    pair.propose(&["a"], Results::Blocking)?;
    pair.propose(&["b", "c"], Results::Blocking)?;
    pair.agree()?;
    Ok(pair.transcript.take())
}

fn append_parallel() -> Result<String> {
    let mut pair = pair(Appending::Parallel)?;
    pair.transcript.take();
    pair.propose(&["a"], Results::Asynchronous)?;
    pair.propose(&["b", "c"], Results::Asynchronous)?;
    pair.exchange()?;
    pair.propose(&["d"], Results::Asynchronous)?;
    pair.run()?;
    pair.propose(&["e"], Results::Blocking)?;
    pair.agree()?;
    Ok(pair.transcript.take())
}

/// The follower has three entries of a leader that nobody else heard of.
fn diverged(appending: Appending) -> Result<Pair> {
    let mut pair = pair(appending)?;
    pair.propose(&["a"], Results::Blocking)?;
    let last = pair.follower.log.last_id()?;
    let entries = ["x", "y", "z"].map(|lost| LogEntry::new(2, lost)).into();
    match pair.follower.take(Request { term: 2, prev: last, entries, committed: last.index })? {
        Answer::Accepted { .. } => {}
        refused @ Answer::Refused { .. } => return Err(format!("{refused:?}").into()),
    }
    // It was elected in term 2, this one in term 3.
    pair.leader.enter(2)?;
    pair.transcript.take();
    Ok(pair)
}

fn conflict() -> Result<String> {
    let mut pair = diverged(Appending::Waits)?;
    pair.elect_above(2)?;
    pair.propose(&["b"], Results::Blocking)?;
    pair.agree()?;
    Ok(pair.transcript.take())
}

fn duplicates() -> Result<String> {
    let mut pair = pair(Appending::Waits)?;
    pair.propose(&["a", "b"], Results::Asynchronous)?;
    let request = pair.leader.request(2, 1)?.ok_or("the log does not reach back")?;
    pair.follower.take(request.clone())?;
    pair.transcript.heading("the answer is lost");
    pair.propose(&["c"], Results::Asynchronous)?;
    pair.run()?;
    pair.transcript.heading("the network has kept the first request, and brings it once more");
    pair.follower.take(request)?;
    pair.agree()?;
    Ok(pair.transcript.take())
}

/// A leader alone with a log, and a follower that is new.
fn alone(policy: SnapshotPolicy) -> Result<Pair> {
    let setup = Setup { policy, ..setup(Appending::Waits) };
    let mut pair = Pair::new(&setup)?;
    pair.elect()?;
    for command in ["a", "b", "c", "d", "e"] {
        pair.leader.lead(vec![LogEntry::new(1, command)])?;
    }
    pair.commit_alone()?;
    pair.transcript.take();
    Ok(pair)
}

fn pack() -> Result<String> {
    let mut pair = alone(setup(Appending::Waits).policy)?;
    pair.send_packs(4)?;
    pair.propose(&["f"], Results::Blocking)?;
    pair.agree()?;
    Ok(pair.transcript.take())
}

fn small_policy() -> SnapshotPolicy {
    let mut policy = SnapshotPolicy::default();
    policy.every_entries = Some(4);
    policy.keep_entries = 1;
    policy.compact_entries_min = 1;
    policy
}

fn snapshot() -> Result<String> {
    let mut pair = alone(small_policy())?;
    pair.leader.upkeep()?;
    pair.propose(&["f"], Results::Blocking)?;
    pair.agree()?;
    pair.transcript.heading("the follower loses power, and has the snapshot");
    pair.follower.restart()?;
    pair.exchange()?;
    pair.agree()?;
    Ok(pair.transcript.take())
}

/// Runs a case once for each of its arrows, with the power cut there.
fn at_each_arrow(prepare: impl Fn() -> Result<Pair>, run: impl Fn(&mut Pair) -> Result<()>) -> Result<String> {
    let mut whole = String::new();
    for arrow in 1.. {
        let mut pair = prepare()?;
        pair.fuse.set(Some(arrow));
        let Err(stopped) = run(&mut pair) else {
            if pair.fuse.passed() >= arrow {
                return Err("a power cut was not noticed".into());
            }
            break;
        };
        let cut = stopped.downcast::<PowerCut>()?;
        whole.push_str(&format!("== {arrow}. {cut}\n\n"));
        pair.recover(&cut)?;
        pair.run()?;
        pair.agree()?;
        whole.push_str(&pair.transcript.take());
        whole.push('\n');
    }
    Ok(whole.trim_end().to_owned() + "\n")
}

fn restart_of_a_conflict(appending: Appending) -> Result<String> {
    let prepare = || {
        let mut pair = diverged(appending)?;
        pair.elect_above(2)?;
        pair.transcript.take();
        Ok(pair)
    };
    at_each_arrow(prepare, |pair| pair.propose(&["b"], Results::Blocking))
}

fn restart() -> Result<String> {
    restart_of_a_conflict(Appending::Waits)
}

fn restart_parallel() -> Result<String> {
    restart_of_a_conflict(Appending::Parallel)
}

fn restart_pack() -> Result<String> {
    at_each_arrow(
        || alone(setup(Appending::Waits).policy),
        |pair| {
            pair.send_packs(4)?;
            pair.run()
        },
    )
}

fn restart_snapshot() -> Result<String> {
    let prepare = || {
        let mut pair = alone(small_policy())?;
        pair.leader.upkeep()?;
        pair.transcript.take();
        Ok(pair)
    };
    at_each_arrow(prepare, Pair::run)
}
