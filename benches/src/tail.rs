//! The workloads of the log tail, by name.
//!
//! Each measures the log tail beside what it is built on: the bare engine, or the `parquet` crate. Both take turns in
//! one process, on the same data, directory and sync mode. They are in builds with `--features tail` alone, as Arrow
//! and Parquet take minutes to build.

mod report;

#[cfg(feature = "tail")]
mod commit;
#[cfg(feature = "tail")]
mod flush;
#[cfg(feature = "tail")]
mod scan;
#[cfg(feature = "tail")]
mod apply;
#[cfg(feature = "tail")]
mod record_bytes;
#[cfg(feature = "tail")]
mod bare_shard;
#[cfg(feature = "tail")]
mod bare_parquet;
#[cfg(feature = "tail")]
mod records;
#[cfg(feature = "tail")]
mod shop;
#[cfg(feature = "tail")]
mod counted;
#[cfg(feature = "tail")]
mod orders;

pub use report::Report;

use crate::{Result, place::Place};

/// Whether this build has the workloads.
pub const IS_BUILT: bool = cfg!(feature = "tail");

/// A workload of the log tail.
#[derive(Debug)]
pub struct Workload {
    /// The name in options and reports.
    pub name: &'static str,
    /// A description in one line.
    pub about: &'static str,
    #[cfg_attr(not(feature = "tail"), expect(dead_code, reason = "nothing is run in such a build"))]
    kind: Kind,
}

/// All workloads, in the order of the list.
pub const ALL: &[Workload] = &[
    Workload {
        name: "tail-commit",
        about: "16 blocking writers of transactions of 10 rows, beside a bare shard",
        kind: Kind::Commit,
    },
    Workload {
        name: "tail-flush",
        about: "a million rows, or --rows, are flushed, beside the parquet crate",
        kind: Kind::Flush,
    },
    Workload {
        name: "tail-scan",
        about: "scans of two million rows, or --rows, beside the parquet crate",
        kind: Kind::Scan,
    },
    Workload { name: "tail-apply", about: "a million rows, or --rows, are placed from the log", kind: Kind::Apply },
    Workload { name: "log_bytes_per_row", about: "the bytes of a row in the log", kind: Kind::RecordBytes },
];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Commit,
    Flush,
    Scan,
    Apply,
    RecordBytes,
}

/// How a workload is run.
#[derive(Debug)]
pub struct Request<'a> {
    /// The directory for the logs and objects.
    pub place: &'a Place,
    /// The duration of each round's measurement in seconds, unless the size of the data decides it.
    pub seconds: f64,
    /// The number of rounds; the median of each figure is reported.
    pub rounds: u32,
    /// The rows that a table has before the measurement; the workload's own number if `None`.
    pub rows: Option<u64>,
}

/// Finds a workload by name.
pub fn find(name: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.name == name)
}

impl Workload {
    /// What to say where the build has no workloads of the log tail.
    pub fn missing(&self) -> String {
        let command = "cargo run --release --bin logboom-bench --features logboom-bench/tail -- run";
        format!("{} is not in this build, but in that of: {command} {}", self.name, self.name)
    }

    /// Runs all rounds.
    ///
    /// # Errors
    /// Where the build has no workloads of the log tail, and where one fails.
    #[cfg(not(feature = "tail"))]
    pub fn run(&self, _request: &Request<'_>) -> Result<Report> {
        Err(self.missing().into())
    }

    /// Runs all rounds.
    ///
    /// # Errors
    /// Where one fails.
    #[cfg(feature = "tail")]
    pub fn run(&self, request: &Request<'_>) -> Result<Report> {
        let mut report = Report::new(self.name);
        match self.kind {
            Kind::Commit => commit::measure(request, &mut report),
            Kind::Flush => flush::measure(request, &mut report),
            Kind::Scan => scan::measure(request, &mut report),
            Kind::Apply => apply::measure(request, &mut report),
            Kind::RecordBytes => record_bytes::measure(request, &mut report),
        }?;
        request.place.clear(shop::DIR)?;
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload;

    #[test]
    fn names_are_unique_and_found() {
        for workload in ALL {
            assert_eq!(find(workload.name).map(|found| found.about), Some(workload.about));
            assert!(workload::find(workload.name).is_none(), "{}", workload.name);
        }
    }

    #[test]
    fn a_build_without_them_names_the_one_with() {
        let said = ALL[0].missing();
        assert!(said.ends_with("--features logboom-bench/tail -- run tail-commit"), "{said}");
    }
}
