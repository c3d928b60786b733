//! `Report`: what a workload of the log tail has measured.

use std::io::Write;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Map, Value, json};

use crate::{Result, job::round, report::short};

/// The figures of a workload, and the measurements that they come from.
#[derive(Debug)]
pub struct Report {
    workload: &'static str,
    lines: Vec<Line>,
    figures: Map<String, Value>,
}

/// What was measured of one of the contenders.
#[derive(Debug)]
struct Line {
    what: String,
    values: Vec<(&'static str, f64)>,
}

impl Report {
    /// An empty report.
    pub fn new(workload: &'static str) -> Self {
        Self { workload, lines: Vec::new(), figures: Map::new() }
    }

    /// Adds what was measured of a contender, by name: the median over the rounds of each.
    pub fn line(&mut self, what: impl Into<String>, values: impl IntoIterator<Item = (&'static str, f64)>) {
        self.lines.push(Line { what: what.into(), values: values.into_iter().collect() });
    }

    /// Adds a figure.
    pub fn figure(&mut self, name: impl Into<String>, value: f64) {
        self.figures.insert(name.into(), Value::from(round(value)));
    }

    /// Prints a table, and the figures below it.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn print(&self, out: &mut impl Write) -> Result<()> {
        writeln!(out, "\n{}", self.table())?;
        for (name, value) in &self.figures {
            writeln!(out, "{} {name}: {value}", self.workload)?;
        }
        Ok(())
    }

    /// Prints one JSON object a line: one for each contender, then the figures.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn print_json(&self, out: &mut impl Write) -> Result<()> {
        for Line { what, values } in &self.lines {
            let mut line = Map::new();
            line.insert("workload".to_owned(), self.workload.into());
            line.insert("of".to_owned(), what.as_str().into());
            line.extend(values.iter().map(|(name, value)| ((*name).to_owned(), Value::from(round(*value)))));
            writeln!(out, "{}", Value::Object(line))?;
        }
        writeln!(out, "{}", json!({ "workload": self.workload, "figures": self.figures }))?;
        Ok(())
    }

    fn table(&self) -> Table {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in self.lines.iter().flat_map(|line| &line.values) {
            if !names.contains(name) {
                names.push(name);
            }
        }
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header([self.workload].into_iter().chain(names.iter().copied()));
        for Line { what, values } in &self.lines {
            let cell = |name: &&str| values.iter().find(|(own, _)| own == name).map(|(_, value)| short(*value));
            let cells = names.iter().map(|name| cell(name).unwrap_or_default());
            table.add_row([what.clone()].into_iter().chain(cells));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("tail-commit");
        report.line("engine", [("p50_us", 200.0)]);
        report.line("tail", [("p50_us", 210.5), ("gets", 3.0)]);
        report.figure("p50_ratio", 1.05251);
        report
    }

    #[test]
    fn the_last_line_has_the_figures() {
        let mut out = Vec::new();
        report().print_json(&mut out).unwrap();
        let lines: Vec<Value> = String::from_utf8(out).unwrap().lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!((&lines[1]["of"], &lines[1]["gets"]), (&"tail".into(), &3.0.into()));
        assert_eq!(lines[2], json!({ "workload": "tail-commit", "figures": { "p50_ratio": 1.053 } }));
    }

    #[test]
    fn the_table_has_a_column_for_each_measurement() {
        let mut out = Vec::new();
        report().print(&mut out).unwrap();
        let table = String::from_utf8(out).unwrap();
        for part in ["| tail-commit ", "| p50_us ", "| gets ", "| engine ", "tail-commit p50_ratio: 1.053"] {
            assert!(table.contains(part), "{part} in\n{table}");
        }
    }
}
