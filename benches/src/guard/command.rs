//! `logboom-bench instructions`: counts instructions, compares them with the record, and updates the record.

use std::{
    collections::BTreeMap,
    fmt,
    io::Write,
    path::{Path, PathBuf},
};

use clap::{Args, builder::PossibleValuesParser};
use comfy_table::{CellAlignment, Table, presets};

use super::{
    callgrind::{self, Counted},
    operations::{self, Operation},
    record::{Circumstances, Record},
};
use crate::{Error, Result, interrupt};

/// The operations to count, and the record to compare with.
#[derive(Args, Debug)]
pub struct Request {
    /// The operations to count [default: all]
    #[arg(value_name = "OPERATION", value_parser = PossibleValuesParser::new(names()))]
    pub operations: Vec<String>,

    /// Writes the counts to the record.
    #[arg(long)]
    pub update: bool,

    /// The record to compare with [default: the committed one]
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// Leaves a profile of each operation there, for `callgrind_annotate`.
    #[arg(long, value_name = "DIR")]
    pub profile: Option<PathBuf>,
}

/// The names of all operations.
pub fn names() -> impl Iterator<Item = &'static str> {
    operations::ALL.iter().map(|operation| operation.name)
}

/// The counts could not be compared, for this reason.
#[derive(Debug)]
pub struct Skipped(String);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

/// Counts the operations and prints a report to standard output.
///
/// # Errors
/// If an operation takes more instructions than the record allows; [`Skipped`] if there is no valgrind, or the record
/// was counted under other circumstances. The counts are printed even so.
pub fn run(request: &Request) -> Result<()> {
    interrupt::watch()?;
    let path = request.record.clone().unwrap_or_else(|| PathBuf::from(COMMITTED));
    let counts = count(request)?;
    let circumstances = counts.first().map(|(_, counted)| counted.circumstances.clone()).ok_or("nothing to count")?;
    if request.update {
        return update(request, &path, circumstances, &counts);
    }
    let record = Record::load(&path)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "instructions per unit; {circumstances}\n\n{}\n", table(&counts, &record))?;
    out.flush()?;
    compared(&record, &circumstances, &counts)
}

/// The committed record, in the source tree of this build.
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/record/instructions.json");

type Counts = Vec<(&'static Operation, Counted)>;

fn count(request: &Request) -> Result<Counts> {
    let wanted = |operation: &&Operation| {
        request.operations.is_empty() || request.operations.iter().any(|name| name == operation.name)
    };
    let mut counts = Counts::new();
    for operation in operations::ALL.iter().filter(wanted) {
        interrupt::check()?;
        let counted = callgrind::count(operation, request.profile.as_deref())?;
        counts.push((operation, counted.ok_or_else(|| Skipped("there is no valgrind".to_owned()))?));
    }
    Ok(counts)
}

/// Updates the record. It keeps the counts of operations that were not counted now, if their circumstances are the
/// same.
fn update(request: &Request, path: &Path, circumstances: Circumstances, counts: &Counts) -> Result<()> {
    let old = Record::load(path).ok().filter(|record| record.circumstances == circumstances);
    let kept = old.filter(|_| !request.operations.is_empty()).map_or_else(BTreeMap::new, |record| record.instructions);
    let mut record = Record { circumstances, instructions: kept };
    counts.iter().for_each(|(operation, counted)| record.set(operation.name, counted.per_unit));
    record.save(path)?;
    Ok(writeln!(std::io::stdout().lock(), "{} is written", path.display())?)
}

fn compared(record: &Record, circumstances: &Circumstances, counts: &Counts) -> Result<()> {
    if record.circumstances != *circumstances {
        return Err(Skipped(format!("the record was counted with {}", record.circumstances)).into());
    }
    let failed =
        |(operation, counted): &&(&Operation, Counted)| !record.judge(operation.name, counted.per_unit).passes();
    let failed: Vec<_> = counts.iter().filter(failed).map(|(operation, _)| operation.name).collect();
    let gone: Vec<_> = record.instructions.keys().filter(|name| operations::find(name).is_none()).collect();
    match (failed.as_slice(), gone.as_slice()) {
        ([], []) => Ok(()),
        ([], gone) => Err(Error::from(format!("the record has what is not counted any more: {gone:?}"))),
        (failed, _) => Err(Error::from(format!("not what the record allows: {}", failed.join(", ")))),
    }
}

fn table(counts: &Counts, record: &Record) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["operation", "instructions", "recorded", "change", "one unit"]);
    for (operation, counted) in counts {
        let recorded = record.instructions.get(operation.name).map_or(String::new(), |count| format!("{count:.1}"));
        let verdict = record.judge(operation.name, counted.per_unit).to_string();
        let count = format!("{:.1}", counted.per_unit);
        table.add_row([operation.name.to_owned(), count, recorded, verdict, operation.unit.to_owned()]);
    }
    table.column_iter_mut().skip(1).take(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_something_else_is_not_compared() {
        let (record, counts) = record_and_counts(1000.0);
        let mut circumstances = record.circumstances.clone();
        compared(&record, &circumstances, &counts).unwrap();
        circumstances.rustc = "1.0.0".to_owned();
        assert!(compared(&record, &circumstances, &counts).unwrap_err().is::<Skipped>());
    }

    #[test]
    fn what_grew_and_what_is_gone_fail() {
        let (mut record, counts) = record_and_counts(1200.0);
        let circumstances = record.circumstances.clone();
        let error = compared(&record, &circumstances, &counts).unwrap_err();
        assert!(!error.is::<Skipped>() && error.to_string().contains(operations::ALL[0].name), "{error}");
        let table = table(&counts, &record).to_string();
        assert!(table.contains("1200.0") && table.contains("1000.0") && table.contains("+20.0 %, too much"), "{table}");
        record.set(operations::ALL[0].name, 1200.0);
        record.set("what is gone", 1.0);
        assert!(compared(&record, &circumstances, &counts).unwrap_err().to_string().contains("what is gone"));
    }

    #[test]
    fn the_committed_record_has_every_operation_and_no_other() {
        let record = Record::load(COMMITTED.as_ref()).unwrap();
        let mut names: Vec<_> = operations::ALL.iter().map(|operation| operation.name).collect();
        names.sort_unstable();
        assert_eq!(record.instructions.keys().collect::<Vec<_>>(), names);
    }

    fn record_and_counts(now: f64) -> (Record, Counts) {
        let circumstances = Circumstances::of_this_process();
        let operation = &operations::ALL[0];
        let mut record = Record { circumstances: circumstances.clone(), instructions: BTreeMap::default() };
        record.set(operation.name, 1000.0);
        (record, vec![(operation, Counted { per_unit: now, circumstances })])
    }
}
