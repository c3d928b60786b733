//! Rows are placed and published from the records of a log, as by a restart or a reader of the log, on one thread.

use std::{hint::black_box, time::Instant};

use logboom_logtail_core::{
    record::{Commit, Record},
    state::Applier,
};

use super::{Report, Request, records::Records};
use crate::{Result, interrupt, report::median, usage};

const ROWS: u64 = 1_000_000;

/// Rows of a transaction.
const EACH: usize = 10;

/// Places the rows of transactions of ten rows in tables with and without a key, and those of transactions of one row.
pub(super) fn measure(request: &Request<'_>, report: &mut Report) -> Result<()> {
    let rows = usize::try_from(request.rows.unwrap_or(ROWS))?;
    let keyed = Applied::new(&Records::new(rows, EACH, true)?, request.rounds)?;
    report.figure("rows_per_s", keyed.rows_per_s);
    report.figure("bytes_per_row", keyed.beside);
    keyed.line("10 rows a transaction, a key", report);
    let bare = Applied::new(&Records::new(rows, EACH, false)?, request.rounds)?;
    report.figure("rows_per_s_without_key", bare.rows_per_s);
    bare.line("10 rows a transaction, no key", report);
    let single = Applied::new(&Records::new(rows, 1, true)?, request.rounds)?;
    report.figure("bytes_per_row_1", single.total);
    single.line("1 row a transaction, a key", report);
    Ok(())
}

/// The medians over the rounds.
struct Applied {
    rows_per_s: f64,
    /// The memory of a row, in bytes, and what of it is beside its values in Arrow's layout.
    total: f64,
    beside: f64,
}

impl Applied {
    fn new(records: &Records, rounds: u32) -> Result<Self> {
        let (mut rates, mut totals, mut rows) = (Vec::new(), Vec::new(), 0);
        for _ in 0..rounds {
            let before = usage::live_bytes();
            let began = Instant::now();
            let applier = apply(records)?;
            let elapsed = began.elapsed();
            let bytes = usage::live_bytes().saturating_sub(before);
            let table = applier.state().table(records.table).ok_or("the table is gone")?;
            rows = table.version().memtables().iter().map(|memtable| u64::from(memtable.len())).sum();
            rates.push(rows as f64 / elapsed.as_secs_f64());
            totals.push(bytes as f64 / rows as f64);
            black_box(applier);
            interrupt::check()?;
        }
        let total = median(totals).unwrap_or_default();
        let beside = total - records.arrow_bytes as f64 / rows as f64;
        Ok(Self { rows_per_s: median(rates).unwrap_or_default(), total, beside })
    }

    fn line(&self, what: &str, report: &mut Report) {
        let Self { rows_per_s, total, beside } = *self;
        report.line(what, [("rows_per_s", rows_per_s), ("bytes_per_row", total), ("bytes_beside_arrow", beside)]);
    }
}

fn apply(records: &Records) -> Result<Applier> {
    let mut applier = Applier::new();
    for record in &records.all {
        if let (_, Record::Commit(commit)) = Record::decode(record)? {
            place(&mut applier, &commit)?;
        }
    }
    Ok(applier)
}

fn place(applier: &mut Applier, commit: &Commit<'_>) -> Result<()> {
    applier.place(commit)?;
    applier.publish(commit.timestamp);
    Ok(())
}
