//! The command as its users run it, with rounds so short that its figures mean nothing.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

#[test]
fn a_run_reports_every_system_and_the_ratios() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let hist = dir.path().join("hist");
    let options = ["--seconds", "0.2", "--rounds", "1", "--json", "--system", "floor,raft-engine,logboom", "--hist"];
    let output = run(dir.path(), &["sync-1x1k"], &[&options[..], &[hist.to_str().unwrap()]].concat());
    let lines = lines(&output);
    let systems: Vec<_> = lines.iter().filter_map(|line| line["system"].as_str()).collect();
    assert_eq!(systems, ["floor", "raft-engine", "logboom"]);
    for line in &lines[..3] {
        assert_figures(line);
        assert!(line["ops_per_s"].as_f64().unwrap() > 0.0, "{line}");
    }
    for (line, name) in [(&lines[3], "ratio"), (&lines[4], "ratio_floor")] {
        assert_eq!(line["workload"], "sync-1x1k");
        for figure in ["throughput", "p50", "p99", "p999", "max", "cpu_per_op", "peak_rss"] {
            assert!(line[name][figure].is_number(), "{figure} in {line}");
        }
    }
    assert_eq!(lines.len(), 5);
    assert!(fs::read_to_string(&hist).unwrap().contains("Tag=sync-1x1k/logboom"));
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [hist], "nothing else is left behind");
}

#[test]
fn reads_are_reported_per_entry_and_the_floor_has_none() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let output = run(dir.path(), &["read-hot"], &["--seconds", "0.1", "--rounds", "1", "--json"]);
    let lines = lines(&output);
    assert_eq!(lines.len(), 3, "two systems and a ratio");
    lines[..2].iter().for_each(assert_figures);
    assert!(lines[0]["ns_per_entry"].as_f64().unwrap() > 0.0);
    assert!(lines[2]["ratio"]["ns_per_entry"].is_number());
}

#[test]
fn reclaiming_is_measured_beside_the_same_load_without_laggards() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = ["--gib", "0.1", "--rounds", "1", "--json", "--system", "logboom"];
    let output = run(dir.path(), &["gc-laggards"], &options);
    let lines = lines(&output);
    assert_figures(&lines[0]);
    assert!(lines[0]["write_amp"].as_f64().unwrap() >= 1.0, "{}", lines[0]);
    for figure in ["space_amp", "space_amp_max", "p99_without_us", "p99_ratio", "reserve_bytes", "live_mib_end"] {
        assert!(lines[0][figure].is_number(), "{figure} in {}", lines[0]);
    }
}

#[test]
fn a_snapshot_goes_all_its_way_beside_bare_loops() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let output = run(dir.path(), &["snapshot-4g"], &["--gib", "0.02", "--rounds", "2", "--json"]);
    let lines = lines(&output);
    assert_eq!(lines.len(), 1, "only one system has snapshots");
    for phase in ["build", "ship", "install"] {
        assert!(lines[0][format!("{phase}_of_bare")].as_f64().unwrap() > 0.0, "{}", lines[0]);
        assert!(lines[0][format!("{phase}_peak_mib")].as_f64().unwrap() < 64.0, "{}", lines[0]);
    }
}

#[test]
fn a_table_is_printed_without_json() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = ["--seconds", "0.5", "--rounds", "1", "--rate", "100", "--system", "logboom"];
    let output = run(dir.path(), &["sync-4x1k"], &options);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("| sync-4x1k ") && table.contains("| logboom "), "{table}");
}

#[test]
fn what_cannot_run_is_refused() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let output = command(dir.path(), &["memory"], &["--rate", "10"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("memory takes no --rate"));
}

#[cfg(not(feature = "tail"))]
#[test]
fn a_build_without_the_log_tail_says_which_one_has_it() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let output = command(dir.path(), &["memory", "tail-apply"], &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--features logboom-bench/tail -- run tail-apply"), "{said}");
}

#[cfg(feature = "tail")]
#[test]
fn a_workload_of_the_log_tail_ends_with_its_figures() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = ["--rounds", "1", "--seconds", "0.2", "--rows", "20000", "--json"];
    let figures = [
        ("tail-commit", &["p50_ratio", "p99_ratio", "cpu_ratio", "p50_ratio_keyed", "gets_per_row"][..]),
        ("tail-flush", &["sorted_ratio", "sorting_ratio", "commit_p99_ratio"]),
        ("tail-scan", &["clean_ratio", "deleted_ratio", "persisted_ratio", "tail_ratio"]),
        ("tail-apply", &["rows_per_s", "bytes_per_row", "bytes_per_row_1"]),
        ("log_bytes_per_row", &["rows_1", "rows_10", "rows_1000"]),
    ];
    for (workload, names) in figures {
        let output = run(dir.path(), &[workload], &options);
        let lines = lines(&output);
        let last = &lines[lines.len() - 1];
        assert_eq!(last["workload"], workload);
        names.iter().for_each(|name| assert!(last["figures"][name].is_number(), "{name} in {last}"));
        assert_empty(dir.path());
    }
}

/// What measures nothing ends with an error, and not with zeros.
#[test]
fn nothing_is_no_figure() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let refused = |mut command: Command, part: &str| {
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(part), "{part}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        assert_empty(dir.path());
    };
    let one = ["--rounds", "1", "--json", "--system", "floor"];
    refused(command(dir.path(), &["read-hot"], &one), "nothing is left to run. read-hot is not run on floor");
    let mut scaling = bench();
    scaling.args(["scaling", "--axis", "shards", "--system", "floor", "--dir"]).arg(dir.path());
    refused(scaling, "none of the systems");
    let mut plot = bench();
    plot.args(["plot", "/dev/null", "--out"]).arg(dir.path());
    refused(plot, "no points");
}

#[test]
fn what_would_fail_late_fails_early() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let hist = dir.path().join("missing").join("hist");
    let output = command(dir.path(), &["sync-1x1k"], &["--seconds", "600", "--hist", hist.to_str().unwrap()]).output();
    let output = output.unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains(hist.to_str().unwrap()), "{output:?}");
    assert_empty(dir.path());
}

#[test]
fn a_child_that_fails_fails_the_run() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut command = command(dir.path(), &["sync-1x1k"], &["--seconds", "0.1", "--system", "logboom"]);
    let output = command.env("LOGBOOM_BACKEND", "neither").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    for part in ["LOGBOOM_BACKEND", "sync-1x1k on logboom: the child ended without a result"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_empty(dir.path());
}

/// As `timeout` and some terminals do: twice, to the process and to its group.
#[test]
fn a_run_that_is_interrupted_twice_removes_its_files() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut child = command(dir.path(), &["sync-1x1k"], &["--seconds", "600"]).spawn().unwrap();
    let log = dir.path().join(format!("logboom-bench-{}", child.id())).join("log");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !log.exists() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    for _ in 0..2 {
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_empty(dir.path());
}

#[test]
fn a_disk_is_described_and_left_as_it_was() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (options, part) in [(&[][..], "| write cache "), (&["--grid", "--markdown"], "## 4 KiB a write")] {
        let output = bench().arg("device").arg(dir.path()).arg("--quick").args(options).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(part) && said.contains("pad unit"), "{output:?}");
        assert_empty(dir.path());
    }
}

#[test]
fn curves_are_measured_and_drawn() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let axes = ["--axis", "shards,writers", "--most", "0"];
    let options = ["--seconds", "0.1", "--rounds", "1", "--json", "--dir"];
    let output = bench().arg("scaling").args(axes).args(options).arg(dir.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_empty(dir.path());
    let lines = lines(&output);
    assert_eq!(lines.len(), 2 * 2, "two axes, two systems");
    for (line, figure) in [(&lines[0], "append_cpu_us"), (&lines[1], "open_ms"), (&lines[2], "ops_per_s")] {
        assert!(line["figures"][figure].as_f64().is_some_and(|value| value > 0.0), "{figure} in {line}");
    }
    let (file, plots) = (dir.path().join("curves"), dir.path().join("plots"));
    fs::write(&file, output.stdout).unwrap();
    let output = bench().arg("plot").arg(&file).arg("--out").arg(&plots).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(fs::read_to_string(plots.join("writers-p50-us.svg")).unwrap().contains("raft-engine"));
    assert!(plots.join("shards-open-ms.svg").exists());
}

/// The chart of the README is what the record gives, and the record has the figures that the documents state.
#[test]
fn the_chart_of_the_readme_is_of_its_record() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let record = root.join("benches/record/2026-11-23-readme.json");
    let output = bench().arg("plot").arg(&record).arg("--out").arg(dir.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let chart = |folder: &Path| fs::read_to_string(folder.join("ratios.svg")).unwrap();
    let (drawn, kept) = (chart(dir.path()), chart(&root.join("docs/plots")));
    assert!(drawn == kept, "docs/plots/ratios.svg is not what `logboom-bench plot` draws of the record");

    let documents = ["README.md", "docs/performance.md"].map(|name| fs::read_to_string(root.join(name)).unwrap());
    assert!(documents[0].contains("(docs/plots/ratios.svg)"));
    let figures = |line: &str| line.parse::<Value>().ok().filter(|line| line["ops_per_s"].is_number());
    for line in fs::read_to_string(record).unwrap().lines().filter_map(figures) {
        let latencies = format!("| {}, {} |", line["p50_us"], line["p99_us"]);
        let workload = format!("| {} |", line["workload"].as_str().unwrap());
        let row = documents[1].lines().find(|row| row.starts_with(&workload) && row.contains(&latencies));
        assert!(row.is_some() && documents[0].contains(&latencies), "{line}");
    }
}

#[test]
fn every_workload_is_listed() {
    let output = bench().arg("list").output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    assert_eq!(list.lines().count(), 20);
    assert!(list.lines().all(|line| line.len() > 20 && line.len() <= 130), "{list}");
}

fn assert_empty(dir: &Path) {
    let left: Vec<_> = fs::read_dir(dir).expect("the directory can be read").collect();
    assert!(left.is_empty(), "{left:?} is left behind");
}

fn run(dir: &Path, workloads: &[&str], options: &[&str]) -> Output {
    let output = command(dir, workloads, options).output().expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn command(dir: &Path, workloads: &[&str], options: &[&str]) -> Command {
    let mut command = bench();
    command.arg("run").args(workloads).args(options).arg("--dir").arg(dir);
    command
}

fn bench() -> Command {
    Command::new(env!("CARGO_BIN_EXE_logboom-bench"))
}

fn lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|line| line.parse().expect("a line of JSON")).collect()
}

fn assert_figures(line: &Value) {
    assert!(line["workload"].is_string() && line["system"].is_string(), "{line}");
    let figures =
        ["ops_per_s", "bytes_per_s", "p50_us", "p99_us", "p999_us", "max_us", "cpu_us_per_op", "peak_rss_bytes"];
    for figure in figures {
        assert!(line[figure].is_number(), "{figure} in {line}");
    }
}
