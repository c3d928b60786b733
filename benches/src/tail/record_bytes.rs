//! The bytes of a row in the log, with its share of the record around it.

use super::{Report, Request, records::Records};
use crate::Result;

/// Rows of each log.
const ROWS: usize = 20_000;

/// Encodes transactions of one, ten and a thousand rows. Nothing is timed.
pub(super) fn measure(_request: &Request<'_>, report: &mut Report) -> Result<()> {
    for each in [1, 10, 1000] {
        let records = Records::new(ROWS, each, true)?;
        let bytes: usize = records.of_orders().iter().map(Vec::len).sum();
        let (in_log, in_arrow) = (per_row(bytes), per_row(records.arrow_bytes));
        let values = [("log_bytes_per_row", in_log), ("arrow_bytes_per_row", in_arrow)];
        report.line(format!("{each} rows a transaction"), values);
        report.figure(format!("rows_{each}"), in_log);
    }
    Ok(())
}

fn per_row(bytes: usize) -> f64 {
    bytes as f64 / ROWS as f64
}
