//! Output that the commands share: formats, exit codes, tables, sizes, a progress bar.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

use comfy_table::{CellAlignment, ContentArrangement, Table, TableStyle};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// How a command prints what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For a person.
    Text,
    /// One JSON object on one line.
    Json,
}

/// The exit code of a command: its worst finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// No finding.
    Clean = 0,
    /// Work is pending: an unpromised tail that a writable open would cut, or an unconfirmed repair.
    Pending = 1,
    /// Damage: bytes differ from those that were written.
    Damage = 2,
    /// The command failed, without a statement about the log.
    Unchecked = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What a command found, rendered.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) text: String,
    pub(crate) exit: Exit,
}

impl Report {
    /// A report of `value`: serialized, or as `text` renders it.
    pub(crate) fn new<T: Serialize>(format: Format, exit: Exit, value: &T, text: impl FnOnce(&T) -> String) -> Self {
        let text = match format {
            Format::Text => text(value),
            Format::Json => serde_json::to_string(value).expect("reports have string keys and no failing parts") + "\n",
        };
        Self { text, exit }
    }
}

/// Why a command could not do its work.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    verdict: &'static str,
    directory: String,
    error: String,
}

impl Failure {
    /// The error of reading `dir`.
    pub(crate) fn new(dir: &Path, error: &impl Display) -> Self {
        Self { verdict: "unchecked", directory: dir.display().to_string(), error: format!("{error:#}") }
    }

    /// The message.
    pub(crate) fn error(&self) -> &str {
        &self.error
    }

    /// The failure as a report. Text goes to standard error; JSON goes to standard output, where a program reads it.
    pub(crate) fn report(&self, format: Format) -> Report {
        let text = |failure: &Self| {
            // Errors of the disk name the path; those of the log do not.
            if failure.error.contains(&failure.directory) {
                complain(&failure.error);
            } else {
                complain(format_args!("{}: {}", failure.directory, failure.error));
            }
            String::new()
        };
        Report::new(format, Exit::Unchecked, self, text)
    }
}

/// Prints an error to standard error. If that is closed, the exit code still tells (`eprintln!` would panic).
pub(crate) fn complain(error: impl Display) {
    writeln!(io::stderr(), "error: {error:#}").unwrap_or_default();
}

/// The outcome of a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// No repair was requested: lists the faults.
    Listed,
    /// The steps are shown, not done, without `--yes`.
    Unconfirmed,
    Repaired,
}

impl Outcome {
    /// A line of a report in text for a step that was done, or would be.
    pub(crate) fn step(self, step: &str) -> String {
        field(if self == Self::Repaired { "done" } else { "would" }, step)
    }
}

/// The line of a report in text that says why nothing was done.
pub(crate) fn unconfirmed() -> String {
    field("nothing", "was changed: add --yes to do it")
}

/// A line of a report in text: what it is about, and what is so.
pub(crate) fn field(name: &str, value: &str) -> String {
    format!("{name:<FIELD_WIDTH$}{value}\n")
}

/// Columns in front of the value of a [`field`].
pub(crate) const FIELD_WIDTH: usize = 12;

/// A table under a line of headings, numbers to the right. `columns` are the headings, those of numbers marked by a
/// leading `#`.
pub(crate) fn table<const N: usize>(columns: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.map(|name| name.trim_start_matches('#')));
    for row in rows {
        table.add_row(row);
    }
    for (column, name) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, 2));
        if name.starts_with('#') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect()
}

/// A size for a person: `640 B`, `4.0 KiB`, `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1 << 10 {
        return format!("{bytes} B");
    }
    // The largest unit of which there is at least one: each is 2^10 of the one before.
    let rank = bytes.ilog2() / 10;
    let tenths = (u128::from(bytes) * 10) >> (10 * rank);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[rank as usize - 1])
}

/// `1 segment`, `2 segments`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// A value, or `-` when there is none.
pub(crate) fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A progress bar of bytes on standard error, if that is a terminal.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn new(what: &'static str, format: Format) -> Self {
        if format == Format::Json || !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = "{msg} [{bar:40}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
        let style = ProgressStyle::with_template(style).expect("the template is constant").progress_chars("=> ");
        Self(ProgressBar::new(0).with_style(style).with_message(what))
    }

    /// Shows how many bytes of how many are done.
    pub(crate) fn set(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_decimal_and_the_largest_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (64 << 20, "64.0 MiB"),
            (3 << 29, "1.5 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn a_table_aligns_numbers_to_the_right_and_leaves_no_trailing_blanks() {
        let rows = [["a".to_owned(), "7".to_owned()], ["longer".to_owned(), "1234".to_owned()]];
        let text = table(["name", "#count"], rows);
        assert_eq!(text, "name    count\na           7\nlonger   1234\n");
    }
}
